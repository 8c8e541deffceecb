"""A child agrees with its parent, and with the zooms between them."""

from __future__ import annotations

import numpy as np
import pytest

from text2earth.world.projection import block_mean
from text2earth.world.zooms import settled


def test_means_round_halves_to_even_as_round_does():
    pixels = np.array([[0, 1], [0, 1], [1, 2], [2, 1]], np.uint8)[..., None]
    assert block_mean(pixels, factor=2)[:, 0, 0].tolist() == [round(0.5), round(1.5)] == [0, 2]


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("contrast", [3, 60, 255])
def test_any_child_can_be_settled(factor, contrast):
    random = np.random.default_rng(factor)
    parent = random.integers(0, 256, (24, 20, 3)).astype(np.uint8)
    wide = parent.repeat(factor, 0).repeat(factor, 1).astype(int)
    child = np.clip(wide + random.integers(-contrast, contrast + 1, wide.shape), 0, 255).astype(np.uint8)
    found = settled(child, parent)
    assert np.array_equal(block_mean(found, factor=factor), parent)
    assert np.array_equal(block_mean(block_mean(found, factor=2), factor=factor // 2), parent)
    assert np.array_equal(settled(found, parent), found)


def test_only_blocks_that_disagree_are_changed():
    parent = np.full((4, 4, 3), 100, np.uint8)
    child = parent.repeat(4, 0).repeat(4, 1)
    child[5, 6, 1] = 200
    found = settled(child, parent)
    assert found[4:8, 4:8, 1].mean() == 100
    assert np.array_equal(np.delete(found, slice(4, 8), 0), np.delete(child, slice(4, 8), 0))
