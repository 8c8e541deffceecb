"""Faults of imagery, put into pictures on purpose: to measure scores by, and to train restorers with."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["add_haze", "add_noise", "as_jpeg", "blurred", "reduced"]

Pixels = npt.NDArray[np.uint8]

_AIRLIGHT = (235.0, 238.0, 242.0)
"""RGB of haze under a clear sky: a bluish white."""


def blurred(pixels: Pixels, sigma_px: float) -> Pixels:
    """Return a picture blurred by a Gaussian.

    Args:
        pixels: uint8 (H, W, 3), RGB; so in all functions here.
        sigma_px: Standard deviation; the kernel reaches four of them.
    """
    reach = max(1, int(4.0 * sigma_px + 0.5))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2).astype(np.float32)
    weights /= weights.sum()
    wide = pixels.astype(np.float32)
    for axis in (0, 1):
        around = np.pad(wide, [(reach, reach) if i == axis else (0, 0) for i in range(3)], mode="symmetric")
        length = wide.shape[axis]
        parts = (np.take(around, range(i, i + length), axis=axis) * weight for i, weight in enumerate(weights))
        wide = sum(parts, start=np.zeros_like(wide))
    return _rounded(wide)


def add_noise(pixels: Pixels, sigma: float, *, seed: int) -> Pixels:
    """Return a picture with Gaussian noise of its own in each channel, σ in grey levels."""
    draws = np.random.default_rng(seed).standard_normal(pixels.shape, dtype=np.float32)
    return _rounded(pixels + np.float32(sigma) * draws)


def as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Return a picture as it comes back from a JPEG file of some quality (1–95), colours at half resolution."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def add_haze(pixels: Pixels, share: float) -> Pixels:
    """Return a picture seen through even haze: (1 − share) of it, and share of the airlight (0–1)."""
    return _rounded(pixels * np.float32(1.0 - share) + np.float32(share) * np.array(_AIRLIGHT, dtype=np.float32))


def reduced(pixels: Pixels, factor: int) -> Pixels:
    """Return a picture that was averaged down by a factor, and enlarged again (bicubic)."""
    height, width = pixels.shape[:2]
    small = Image.fromarray(pixels).resize((max(1, width // factor), max(1, height // factor)), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def _rounded(values: npt.NDArray[np.float32]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
