"""Measures of a tile's pixels, each in plain units and cheap enough for ten million tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["Measures", "luma", "measure"]


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures over the valid pixels of a tile; units and ranges as in ``records.Row``."""

    valid_fraction: float
    entropy: float
    sharpness: float
    contrast: float
    brightness: float
    saturation: float


def luma(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return ITU-R BT.601 luma, uint8 (H, W), of RGB uint8 (H, W, 3)."""
    return np.asarray(Image.fromarray(pixels).convert("L"))


def measure(pixels: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> Measures:
    """Measure a tile.

    Args:
        pixels: uint8 (H, W, 3), RGB.
        valid: bool (H, W); at least one pixel.

    Returns:
        Entropy of the luma histogram in bits; standard deviation of the four-neighbour Laplacian of luma
        (sharpness); standard deviation and mean of luma; mean HSV saturation.
    """
    share = float(valid.mean())
    whole = share == 1.0
    grey = luma(pixels)
    counts = np.bincount(grey.ravel() if whole else grey[valid], minlength=256)
    p = counts / counts.sum()
    levels = np.arange(256)
    mean = float(p @ levels)
    seen = p[p > 0]
    return Measures(
        valid_fraction=share,
        entropy=float(-(seen @ np.log2(seen))) + 0.0,
        sharpness=_laplacian_deviation(grey, None if whole else valid),
        contrast=float(np.sqrt(max(0.0, p @ levels.astype(np.float64) ** 2 - mean**2))),
        brightness=mean,
        saturation=_saturation(pixels, None if whole else valid),
    )


def _laplacian_deviation(grey: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_] | None) -> float:
    wide = grey.astype(np.int16)
    laplacian = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * wide[1:-1, 1:-1]
    if valid is not None:
        # The edge of the data is no edge of the scene: all five pixels must be valid.
        core = valid[:-2, 1:-1] & valid[2:, 1:-1] & valid[1:-1, :-2] & valid[1:-1, 2:] & valid[1:-1, 1:-1]
        laplacian = laplacian[core]
    return float(laplacian.std(dtype=np.float64)) if laplacian.size else 0.0


def _saturation(pixels: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_] | None) -> float:
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    # Black has no saturation; dividing by 1 there gives the 0 that is meant.
    ratio = (high - low).astype(np.float32) / np.maximum(high, 1)
    return float(ratio.mean(dtype=np.float64) if valid is None else ratio[valid].mean(dtype=np.float64))
