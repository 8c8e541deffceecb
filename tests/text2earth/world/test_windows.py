from dataclasses import replace

import numpy as np
import pytest
from small_networks import AnalyticNetwork

from text2earth.errors import RequestError
from text2earth.world import Box, UniformPrompt
from text2earth.world.painting import Painting
from text2earth.world.projection import block_mean
from text2earth.world.windows import paint, passes

MODES = ["metaearth", "trimmed", "tent", "fused"]


def painting_of(network, **changes):
    settings = {"level": 14, "stage": 1, "seed": 5, "steps": 3, "mode": "fused", "batch": 4}
    return Painting(network, **settings | changes)


def hills(box):
    """A parent without edges: slow waves of three colours, uint8 (h, w, 3)."""
    y, x = np.mgrid[box.y : box.bottom, box.x : box.right]
    waves = [np.sin(x / 9) + np.cos(y / 7), np.sin((x + y) / 11), np.cos(x / 13) * np.sin(y / 17)]
    return np.rint(128 + 45 * np.stack(waves, axis=-1)).astype(np.uint8)


def painted(box, painting, *, low=hills, prompt="fields", project=True):
    return paint([box], painting=painting, low=low, prompts=UniformPrompt(prompt), project=project)[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_box_is_the_cut_of_any_larger_one(network, mode):
    painting = painting_of(network, mode=mode)
    whole, box = Box(-70, 30, 200, 150), Box(-13, 61, 90, 77)
    assert np.array_equal(painted(box, painting), painted(whole, painting)[box.slices(whole)])


@pytest.mark.parametrize("mode", MODES)
def test_boxes_of_one_call_get_what_each_gets_alone(network, mode):
    painting = painting_of(network, mode=mode)
    boxes = [Box(0, 0, 64, 64), Box(64, 0, 64, 64), Box(4000, -900, 30, 41), Box(0, 0, 64, 64)]
    together = paint(boxes, painting=painting, low=hills, prompts=UniformPrompt("fields"))
    for box, pixels in zip(boxes, together, strict=True):
        assert np.array_equal(pixels, painted(box, painting))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("factor", [2, 4])
def test_the_childs_block_means_are_the_parents_pixels(mode, factor):
    network = AnalyticNetwork(factor=factor, texture=0.6)
    box = Box(-64, 128, 128, 96)
    child = painted(box, painting_of(network, mode=mode))
    assert np.array_equal(block_mean(child, factor=factor), hills(box.coarsened(factor)))


def test_without_projection_the_child_goes_its_own_way(network):
    box = Box(0, 0, 128, 128)
    child = painted(box, painting_of(network), project=False)
    assert not np.array_equal(block_mean(child, factor=4), hills(box.coarsened(4)))


def test_every_forward_pass_is_of_one_size(network):
    painted(Box(0, 0, 100, 40), painting_of(network, batch=7))
    assert set(network.calls) == {(7, 3, 64, 64)}
