"""Measures of constructed images whose values are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from git10m.curation.quality import luma, measure

WHOLE = np.ones((64, 64), dtype=bool)


def flat(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((64, 64, 3), (red, green, blue), dtype=np.uint8)


def stripes(low: int, high: int) -> np.ndarray:
    """Columns of two greys in turn."""
    pixels = flat(low, low, low)
    pixels[:, ::2] = high
    return pixels


def test_a_flat_image_has_nothing_but_brightness():
    measures = measure(flat(90, 90, 90), WHOLE)
    assert measures.valid_fraction == 1.0
    assert (measures.entropy, measures.sharpness, measures.contrast, measures.saturation) == (0.0, 0.0, 0.0, 0.0)
    assert measures.brightness == 90.0


def test_two_greys_in_equal_parts_have_one_bit():
    measures = measure(stripes(50, 150), WHOLE)
    assert measures.entropy == pytest.approx(1.0)
    assert measures.brightness == pytest.approx(100.0)
    assert measures.contrast == pytest.approx(50.0)
    # the Laplacian of a one-pixel stripe is ±2 × the step
    assert measures.sharpness == pytest.approx(200.0)


@pytest.mark.parametrize("bits", range(9))
def test_as_many_greys_as_2_to_the_n_have_n_bits(bits: int):
    greys = np.arange(64 * 64).reshape(64, 64) % 2**bits
    assert measure(np.repeat(greys[..., None], 3, axis=2).astype(np.uint8), WHOLE).entropy == pytest.approx(bits)


def test_a_ramp_is_not_sharp_but_full_of_contrast():
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 64, 3))
    measures = measure(ramp, WHOLE)
    assert measures.sharpness == 0.0
    assert measures.contrast == pytest.approx(4 * np.sqrt((64**2 - 1) / 12))


@pytest.mark.parametrize(
    ("colour", "saturation"),
    [((0, 0, 0), 0.0), ((255, 255, 255), 0.0), ((255, 0, 0), 1.0), ((200, 100, 100), 0.5), ((0, 1, 0), 1.0)],
)
def test_saturation_is_that_of_hsv(colour: tuple[int, int, int], saturation: float):
    assert measure(flat(*colour), WHOLE).saturation == pytest.approx(saturation)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_luma_is_that_of_bt_601_within_a_step(red: int, green: int, blue: int):
    assert abs(int(luma(flat(red, green, blue))[0, 0]) - (0.299 * red + 0.587 * green + 0.114 * blue)) <= 1


def test_what_is_not_valid_does_not_count():
    pixels, valid = stripes(50, 150), WHOLE.copy()
    valid[:, 32:] = False
    pixels[:, 32:] = 255
    measures = measure(pixels, valid)
    assert measures.valid_fraction == 0.5
    assert measures.entropy == pytest.approx(1.0)
    assert measures.brightness == pytest.approx(100.0)
    assert measures.saturation == 0.0


def test_the_edge_of_the_data_is_not_sharp():
    pixels, valid = flat(120, 120, 120), WHOLE.copy()
    valid[10:20] = False
    pixels[10:20] = 0
    assert measure(pixels, valid).sharpness == 0.0


def test_a_lonely_pixel_can_be_measured():
    valid = np.zeros((64, 64), dtype=bool)
    valid[5, 5] = True
    measures = measure(flat(10, 20, 30), valid)
    assert measures.sharpness == 0.0
    assert measures.valid_fraction == pytest.approx(1 / 4096)


def test_blur_lowers_sharpness():
    grain = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    blurred = np.asarray(Image.fromarray(grain).resize((16, 16)).resize((64, 64), Image.Resampling.BICUBIC))
    assert measure(blurred, WHOLE).sharpness < measure(grain, WHOLE).sharpness / 5
