import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from text2earth.world.projection import agreeing, block_mean, with_low_band

factors = st.sampled_from([2, 3, 4])


@st.composite
def families(draw):
    """A parent of 3×2 px and a child that has nothing to do with it."""
    factor = draw(factors)
    parent = draw(arrays.arrays(np.uint8, (3, 2, 3)))
    values = st.floats(-300, 600, width=32)
    child = draw(arrays.arrays(np.float32, (3 * factor, 2 * factor, 3), elements=values))
    return factor, parent, child


@given(families())
def test_every_mean_rounds_to_the_parents_pixel(family):
    factor, parent, child = family
    agreed = agreeing(child, parent=parent)
    assert np.array_equal(block_mean(agreed, factor=factor), parent)
    means = agreed.reshape(3, factor, 2, factor, 3).mean((1, 3))
    assert np.abs(means - parent).max() < 0.5
    assert np.array_equal(np.rint(means).astype(np.uint8), parent)


@given(families())
def test_what_agrees_already_stays(family):
    _, parent, child = family
    agreed = agreeing(child, parent=parent)
    factor = family[0]
    exact = agreed.reshape(3, factor, 2, factor, 3).mean((1, 3)) == parent
    again = agreeing(agreed.astype(np.float32), parent=parent)
    kept = np.repeat(np.repeat(exact, factor, 0), factor, 1)
    assert np.array_equal(agreed[kept], again[kept])


def test_detail_survives():
    """Only the low band is replaced: what is left of the child is the child's."""
    rng = np.random.default_rng(3)
    texture = rng.normal(0, 12, (64, 64, 3)).astype(np.float32)
    parent = np.full((16, 16, 3), 140, dtype=np.uint8)
    agreed = agreeing(texture + 60, parent=parent).astype(float)
    high = texture - np.repeat(np.repeat(texture.reshape(16, 4, 16, 4, 3).mean((1, 3)), 4, 0), 4, 1)
    assert np.corrcoef((agreed - 140).ravel(), high.ravel())[0, 1] > 0.998


def test_a_block_that_rounding_leads_astray_is_counted_out():
    """All values a little below ½: rounding takes them all down, and the mean with them."""
    texture = np.tile(np.array([[0.4, 2.4], [0.4, 2.4]], dtype=np.float32), (1, 1))[..., None]
    parent = np.array([[[1]]], dtype=np.uint8)
    assert np.array_equal(block_mean(agreeing(texture, parent=parent), factor=2), parent)


@given(arrays.arrays(np.uint8, (4, 8, 3)), st.sampled_from([1, 2, 4]))
def test_a_block_mean_is_rounded_as_round_does(pixels, factor):
    exact = pixels.astype(float).reshape(4 // factor, factor, 8 // factor, factor, 3).mean((1, 3))
    assert np.array_equal(block_mean(pixels, factor=factor), np.rint(exact).astype(np.uint8))


def test_a_prediction_takes_the_low_band_and_keeps_its_own_high_one():
    torch.manual_seed(0)
    predicted, low = torch.rand(2, 3, 16, 12) - 0.5, torch.rand(2, 3, 4, 3)
    found = with_low_band(predicted, low)
    means = torch.nn.functional.avg_pool2d(found, 4)
    assert torch.allclose(means, low, atol=1e-6)
    moved = found - predicted
    steps = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(moved, 4), scale_factor=4)
    assert torch.allclose(moved, steps, atol=1e-6)
