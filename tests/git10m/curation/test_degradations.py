"""Faults put into pictures on purpose do what their names say."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from small_imagery import texture

from git10m.curation.degradations import add_haze, add_noise, as_jpeg, blurred, reduced

PICTURE = np.ascontiguousarray(np.moveaxis(texture(128, 160, seed=4), 0, -1))


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_the_blur_is_a_gaussian(sigma: float) -> None:
    point = np.zeros((65, 65, 3), dtype=np.uint8)
    point[28:37, 28:37] = 255
    x = np.arange(65) - 32
    weights = np.exp(-0.5 * (x / sigma) ** 2)
    profile = np.convolve((np.abs(x) <= 4).astype(float), weights / weights.sum(), mode="same")
    expected = 255 * np.outer(profile, profile)
    assert np.abs(blurred(point, sigma)[..., 1] - expected).max() <= 1.0
    pillow = np.asarray(Image.fromarray(PICTURE).filter(ImageFilter.GaussianBlur(sigma))).astype(int)
    assert np.abs(blurred(PICTURE, sigma) - pillow)[16:-16, 16:-16].mean() < 1.0


def test_a_flat_picture_stays_flat() -> None:
    flat = np.full((40, 40, 3), (10, 120, 240), dtype=np.uint8)
    for same in (blurred(flat, 3.0), reduced(flat, 4)):
        assert np.array_equal(same, flat)


@pytest.mark.parametrize("sigma", [8.0, 16.0, 32.0])
def test_noise_has_its_deviation_and_follows_its_seed(sigma: float) -> None:
    grey = np.full((256, 256, 3), 128, dtype=np.uint8)
    noisy = add_noise(grey, sigma, seed=1)
    assert noisy.std() == pytest.approx(sigma, rel=0.02)
    assert np.array_equal(noisy, add_noise(grey, sigma, seed=1))
    assert not np.array_equal(noisy, add_noise(grey, sigma, seed=2))
    assert np.corrcoef(noisy[..., 0].ravel(), noisy[..., 1].ravel())[0, 1] == pytest.approx(0.0, abs=0.02)


def test_jpeg_loses_the_more_the_lower_the_quality() -> None:
    lost = [np.abs(as_jpeg(PICTURE, quality).astype(int) - PICTURE).mean() for quality in (90, 40, 20, 10)]
    assert lost == sorted(lost)


def test_haze_draws_every_colour_to_that_of_the_sky() -> None:
    assert np.array_equal(add_haze(PICTURE, 0.0), PICTURE)
    assert np.array_equal(np.unique(add_haze(PICTURE, 1.0).reshape(-1, 3), axis=0), [[235, 238, 242]])
    assert add_haze(PICTURE, 0.5).std(axis=(0, 1)) == pytest.approx(PICTURE.std(axis=(0, 1)) / 2, rel=0.02)


def test_what_is_reduced_has_no_detail_finer_than_its_pixels() -> None:
    small = reduced(PICTURE, 4)
    assert small.shape == PICTURE.shape
    means = [array.reshape(32, 4, 40, 4, 3).mean(axis=(1, 3)) for array in (small.astype(float), PICTURE.astype(float))]
    assert np.abs(means[0] - means[1]).mean() < 4
