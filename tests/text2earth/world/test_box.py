import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2earth.errors import RequestError
from text2earth.world import Box

places = st.integers(-(2**31), 2**31)
sides = st.integers(1, 2**12)
boxes = st.builds(Box, places, places, sides, sides)


def test_a_box_holds_the_worlds_last_pixel():
    side = 256 << 22
    assert Box(side - 256, side - 256, 256, 256).right == 2**30


@given(boxes, st.sampled_from([1, 2, 4, 32, 48]))
def test_an_aligned_box_is_the_smallest_one_around(box, step):
    around = box.aligned(step)
    assert around.contains(box)
    assert {around.x % step, around.y % step, around.width % step, around.height % step} == {0}
    assert around.width < box.width + 2 * step
    assert around.height < box.height + 2 * step


@given(boxes, st.sampled_from([2, 4]))
def test_refining_what_was_coarsened_gives_the_aligned_box(box, factor):
    assert box.coarsened(factor).refined(factor) == box.aligned(factor)
    assert box.refined(factor).coarsened(factor) == box


@given(boxes, boxes)
def test_an_overlap_lies_in_both_and_is_mutual(one, other):
    both = one.overlap(other)
    assert both == other.overlap(one)
    if both is not None:
        assert one.contains(both)
        assert other.contains(both)


def test_slices_cut_the_box_out_of_an_array():
    whole = Box(-3, 5, 8, 4)
    columns = np.arange(-3, 5)[None] + np.zeros((4, 1), int)
    assert columns[Box(0, 6, 2, 2).slices(whole)].tolist() == [[0, 1], [0, 1]]
    with pytest.raises(RequestError, match="does not lie within"):
        Box(4, 5, 2, 1).slices(whole)


def test_integers_of_numpy_do_not_overflow():
    assert Box(np.int32(2**31 - 1), 0, np.int32(10), 1).right == 2**31 + 9


@pytest.mark.parametrize("values", [(0, 0, 0, 1), (0, 0, 1, -1), (2**40, 0, 1, 1), (0, -(2**41), 1, 1)])
def test_an_impossible_box_is_refused(values):
    with pytest.raises(RequestError, match="was given"):
        Box(*values)


def test_a_box_is_of_whole_pixels():
    with pytest.raises(TypeError):
        Box(0.5, 0, 1, 1)
