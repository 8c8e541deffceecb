"""The chain of degradations that restorers learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_tiles import real_tiles
from small_imagery import texture

from git10m.curation.degradation_chain import Strength, degraded

NOTHING = Strength(0.0, (1, 1), (0, 0), (1, 1), 0.0, (1, 1), 0.0, (90, 90))
BLUR = Strength(1.0, (1.2, 1.2), (0, 0), (1, 1), 0.0, (1, 1), 0.0, (90, 90))
NOISE = Strength(0.0, (1, 1), (0, 0), (1, 1), 1.0, (10, 10), 0.0, (90, 90))


def ground(seed: int = 0, side: int = 64) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(texture(side, side, seed=seed), 0, -1))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_size_is_that_of_the_restorers_input(scale: int):
    for counter in range(40):
        found = degraded(ground(), scale=scale, seed=1, counter=counter)
        assert (found.shape, found.dtype) == ((64 // scale, 64 // scale, 3), np.uint8)


def test_seed_and_counter_decide_and_nothing_else():
    first = [degraded(ground(), scale=2, seed=3, counter=counter) for counter in range(8)]
    again = [degraded(ground(), scale=2, seed=3, counter=counter) for counter in reversed(range(8))][::-1]
    other = [degraded(ground(), scale=2, seed=4, counter=counter) for counter in range(8)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert len({picture.tobytes() for picture in first}) == 8


def test_without_faults_a_picture_is_only_reduced():
    for counter in range(10):
        assert np.array_equal(degraded(ground(), scale=1, seed=0, counter=counter, rounds=(NOTHING,)), ground())


def test_blur_is_symmetric_and_keeps_the_mean():
    point = np.zeros((41, 41, 3), dtype=np.uint8)
    point[20, 20] = 255
    for counter in range(1, 30):
        spread = degraded(point, scale=1, seed=0, counter=counter, rounds=(BLUR,)).astype(float)
        assert np.abs(spread - spread[::-1, ::-1]).max() <= 1
        y, x = np.mgrid[:41, :41]
        weights = spread[..., 0] / spread[..., 0].sum()
        assert (weights * y).sum() == pytest.approx(20, abs=0.05)
        assert (weights * x).sum() == pytest.approx(20, abs=0.05)
    flat = np.full((32, 32, 3), 77, dtype=np.uint8)
    assert np.array_equal(degraded(flat, scale=1, seed=0, counter=3, rounds=(BLUR, BLUR)), flat)


def test_noise_of_every_kind_has_the_deviation_that_was_drawn():
    grey = np.full((96, 96, 3), 128, dtype=np.uint8)
    found = [degraded(grey, scale=1, seed=0, counter=counter, rounds=(NOISE,)) for counter in range(40)]
    found = [picture for picture in found if not np.array_equal(picture, grey)]
    assert len(found) > 30
    for picture in found:
        assert picture.std() == pytest.approx(10, rel=0.1)
        assert picture.mean() == pytest.approx(128, abs=0.7)
    grey_noise = [np.ptp(picture.astype(int), axis=2).max() == 0 for picture in found]
    assert 0 < sum(grey_noise) < len(found)


def test_nothing_shifts_on_real_tiles(imagery: Path):
    """The degraded tile, enlarged, fits the good one best where it is, not a pixel aside."""
    tiles = [tile for _, tile in real_tiles(imagery, each=1)][:12]
    for counter, tile in enumerate(tiles):
        for scale in (1, 2):
            small = Image.fromarray(degraded(tile, scale=scale, seed=5, counter=counter))
            found = np.asarray(small.resize((256, 256), Image.Resampling.BICUBIC)).astype(float)
            errors = {
                (dy, dx): np.abs(np.roll(found, (dy, dx), (0, 1)) - tile)[4:-4, 4:-4].mean()
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
            }
            assert min(errors, key=lambda shift: errors[shift]) == (0, 0)
