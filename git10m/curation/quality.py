"""Measures of a tile's pixels, each in plain units and cheap enough for ten million tiles, and one score of them.

The score says how well a picture is taken, not what it shows: sharpness relative to the picture's own coarse structure,
noise, JPEG blocks, contrast, haze. It falls with every degradation, and where the published dataset cuts at 4.8 it cuts
between what still serves and what does not:

    score   what such a tile looks like (medians over real tiles, Landsat to 5 cm aerial: tests/benchmarks/quality.py)
    7 – 10  crisp, much contrast, clean
    5.9     real tiles as they are; a tenth of them lies below 4.8, most for noise, heavy JPEG or too little contrast
    5.1–5.5 the same with noise of σ = 8, haze of 0.2, or as JPEG of quality 40
    4.8     Git-10M's cut
    4.5     noise of 16, haze of 0.4, halved and enlarged
    3 – 4   a Gaussian blur of σ = 1 px, JPEG of quality 20, haze of 0.6
    0 – 3   worse than that; and ground without any feature, such as calm sea, of which no picture is good or bad
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["MEASURED", "Measures", "luma", "measure", "quality_score"]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_BLOCK = 16
_JPEG_BLOCK = 8
_LEAST_SIDE = 64
"""Below this a picture has too few blocks for noise and coarse structure to be told; it gets no score."""

# The score's scales. Each was set by eye and by the degradations of tests/benchmarks/quality.py.
_TEXTURE = 0.35
"""Of texture, the power of second differences at full resolution over that at half; 4 for white noise."""
_NOISE_MARGIN = 1.05
_SHARPNESS_SCALE, _SHARPNESS_FLOOR = 0.4, 6.0
_NOISE_SCALE, _NOISE_POWER = 15.0, 1.3
_BLOCK_SCALE = 0.6
_CONTRAST_SCALE = 16.0
_HAZE_WEIGHT, _DARK = 0.8, 30.0
_EXPONENT = 0.7
"""Puts Git-10M's cut, 4.8, between what serves and what does not; it changes no order."""
_LEAST = 0.03
"""What is left of a factor at its worst, so that the others still count."""

_WHITE_LEAST, _WHITE_SPREAD = 190, 30
_WATER_BRIGHTEST, _WATER_RED, _WATER_GREEN, _WATER_ROUGHNESS = 110.0, 3.0, 12.0, 4.0


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures over the valid pixels of a tile; units and ranges as in ``records.Row``."""

    valid_fraction: float
    entropy: float
    sharpness: float
    contrast: float
    brightness: float
    saturation: float
    clipped: float
    noise: float
    blockiness: float
    haze: float
    white_fraction: float
    water_fraction: float
    score: float | None


MEASURED = tuple(field.name for field in fields(Measures) if field.name != "score")
"""Measures that are columns of a row by the same name."""


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
        (sharpness); standard deviation and mean of luma; mean HSV saturation; share of pixels whose luma is at
        either end; σ of white noise; JPEG blockiness; haze; shares of white ground and of water; and the score, None
        for pictures of less than 64 pixels a side.
    """
    share = float(valid.mean())
    mask = None if share == 1.0 else valid
    grey = luma(pixels)
    histogram = np.bincount(grey.ravel() if mask is None else grey[mask], minlength=256)
    p = histogram / histogram.sum()
    levels = np.arange(256)
    mean = float(p @ levels)
    seen = p[p > 0]
    contrast = math.sqrt(max(0.0, float(p @ levels.astype(np.float64) ** 2) - mean**2))
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    haze = _haze(low, mask)
    pyramid = _pyramid(grey, mask)
    sharpness = _laplacian_deviation(*pyramid[0])
    noise, noise_everywhere = _noise(pyramid)
    blockiness = _blockiness(grey, mask)
    return Measures(
        valid_fraction=share,
        entropy=float(-(seen @ np.log2(seen))) + 0.0,
        sharpness=sharpness,
        contrast=contrast,
        brightness=mean,
        saturation=_saturation(high, low, mask),
        clipped=float(p[:3].sum() + p[253:].sum()),
        noise=noise,
        blockiness=blockiness,
        haze=haze,
        white_fraction=_mean_of((low >= _WHITE_LEAST) & (high - low <= _WHITE_SPREAD), mask),
        water_fraction=_water(pixels, grey, mask),
        score=quality_score(
            sharpness,
            coarse_sharpness=_laplacian_deviation(*pyramid[-1]),
            noise=noise,
            noise_everywhere=noise_everywhere,
            blockiness=blockiness,
            contrast=contrast,
            haze=haze,
        )
        if min(grey.shape) >= _LEAST_SIDE
        else None,
    )


def quality_score(
    sharpness: float,
    *,
    coarse_sharpness: float,
    noise: float,
    noise_everywhere: float,
    blockiness: float,
    contrast: float,
    haze: float,
) -> float:
    """Return the score of some measures, 0–10: a product, so that any one fault tells.

    Args:
        sharpness: Standard deviation of the Laplacian of luma.
        coarse_sharpness: The same at an eighth of the resolution.
        noise: σ of white noise in the calmest quarter of the picture, in grey levels.
        noise_everywhere: The same at half of it; texture counts as noise there.
        blockiness: As in `Measures`.
        contrast: Standard deviation of luma.
        haze: 0–1.
    """
    # What noise adds to a Laplacian's power: 20, the sum of its squared weights.
    added = (_NOISE_MARGIN * noise_everywhere) ** 2
    fine = math.sqrt(max(0.0, sharpness**2 - 20.0 * added))
    structure = math.sqrt(max(0.0, contrast**2 - added))
    factors = (
        _risen(fine / (coarse_sharpness + _SHARPNESS_FLOOR) / _SHARPNESS_SCALE),
        1.0 / (1.0 + (noise / _NOISE_SCALE) ** _NOISE_POWER),
        1.0 / (1.0 + blockiness / _BLOCK_SCALE),
        _risen(structure / _CONTRAST_SCALE),
        1.0 - _HAZE_WEIGHT * haze,
    )
    return 10.0 * math.prod(factors) ** _EXPONENT


def _risen(ratio: float) -> float:
    return _LEAST + (1.0 - _LEAST) * (1.0 - math.exp(-ratio))


def _mean_of(values: npt.NDArray[Any], mask: Mask | None) -> float:
    seen = values if mask is None else values[mask]
    return float(seen.mean(dtype=np.float64)) if seen.size else 0.0


def _pyramid(grey: npt.NDArray[np.uint8], mask: Mask | None) -> list[tuple[Floats, Mask | None]]:
    """Return luma at full, half, quarter and eighth resolution, with what is valid; area means."""
    levels = [(grey.astype(np.float32), mask)]
    for _ in range(3):
        values, valid = levels[-1]
        height, width = (side // 2 * 2 for side in values.shape)
        if min(height, width) < 6:
            break
        whole = values[:height, :width]
        rows = whole[0::2] + whole[1::2]
        small = (rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25)
        if valid is not None:
            both = valid[0:height:2] & valid[1:height:2]
            valid = both[:, 0:width:2] & both[:, 1:width:2]
        levels.append((small, valid))
    return levels


def _laplacian_deviation(grey: Floats, valid: Mask | None) -> float:
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    if valid is not None:
        # The edge of the data is no edge of the scene: all five pixels must be valid.
        core = valid[:-2, 1:-1] & valid[2:, 1:-1] & valid[1:-1, :-2] & valid[1:-1, 2:] & valid[1:-1, 1:-1]
        laplacian = laplacian[core]
    return float(laplacian.std(dtype=np.float64)) if laplacian.size else 0.0


def _noise(pyramid: list[tuple[Floats, Mask | None]]) -> tuple[float, float]:
    """Return σ of white noise, in the calmest quarter of the picture's blocks and in half of them.

    Second differences in both directions leave out linear structure (Immerkær 1996, "Fast Noise Variance
    Estimation"). Texture is told from noise by scale: halving the resolution leaves a quarter of white noise's power,
    but more than all of texture's.
    """
    if min(pyramid[0][0].shape) < _BLOCK:
        return 0.0, 0.0
    (full, mask), (half, _) = pyramid[:2]
    fine, coarse = _block_power(full, _BLOCK), _block_power(half, _BLOCK // 2)
    rows, columns = (min(a, b) for a, b in zip(fine.shape, coarse.shape, strict=True))
    fine, coarse = fine[:rows, :columns], coarse[:rows, :columns]
    power = np.maximum(0.0, (fine - _TEXTURE * coarse) / (1.0 - _TEXTURE / 4.0))
    if mask is not None:
        power = power[(_block_means(mask, _BLOCK) == 1.0)[:rows, :columns]]
    if not power.size:
        return 0.0, 0.0
    calm, middle = np.percentile(power, [25, 50])
    return math.sqrt(calm), math.sqrt(middle)


def _block_power(grey: Floats, side: int) -> npt.NDArray[np.float32]:
    """Return the mean square of second differences in both directions in each block, in units of a noise's σ²."""
    across = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    both = across[:-2] - 2 * across[1:-1] + across[2:]
    square = np.zeros_like(grey)
    np.multiply(both, both, out=square[:-2, :-2])
    found = _block_means(square, side) / np.float32(36)
    # The outermost blocks lack two rows or columns of differences.
    found[-1] *= side / (side - 2) if grey.shape[0] % side == 0 else 1
    found[:, -1] *= side / (side - 2) if grey.shape[1] % side == 0 else 1
    return found


def _block_means(values: npt.NDArray[Any], side: int) -> Floats:
    """Return the mean of each whole block of ``side`` × ``side``, float32."""
    height, width = (length // side for length in values.shape)
    rows = values[: height * side, : width * side].reshape(height, side, width * side).sum(axis=1, dtype=np.float32)
    means: Floats = rows.reshape(height, width, side).sum(axis=2) / np.float32(side * side)
    return means


def _blockiness(grey: npt.NDArray[np.uint8], mask: Mask | None) -> float:
    """Return how much larger steps are at one phase of eight pixels than at any other, over the mean step + 1.

    One phase alone: enlarging by two or four makes steps at several. Wherever the phase lies, for tiles are seldom cut
    where the blocks of a JPEG begin.
    """
    wide = grey.astype(np.int16)
    excess = total = 0.0
    for values, valid in ((wide, mask), (wide.T, None if mask is None else mask.T)):
        steps = np.abs(np.diff(values, axis=1))
        if valid is None:
            by_column = steps.mean(axis=0, dtype=np.float64)
        else:
            known = valid[:, 1:] & valid[:, :-1]
            by_column = (steps * known).sum(axis=0, dtype=np.float64) / np.maximum(known.sum(axis=0), 1)
        if len(by_column) < 3 * _JPEG_BLOCK:
            return 0.0
        beyond = by_column[1:-1] - (by_column[:-2] + by_column[2:]) / 2
        phases = sorted(float(beyond[i::_JPEG_BLOCK].mean()) for i in range(_JPEG_BLOCK))
        excess += phases[-1] - phases[-2]
        total += float(by_column.mean())
    return excess / (total + 2.0)


def _haze(low: npt.NDArray[np.uint8], mask: Mask | None) -> float:
    """Return how far the darkest hundredth of the darkest channel lies above black, 0–1.

    The dark channel prior (He et al. 2009): clear pictures have some pixels that are dark in one channel at least.
    Bright ground such as desert or snow has fewer, and counts as a little hazy.
    """
    counts = np.bincount(low.ravel() if mask is None else low[mask], minlength=256).cumsum()
    darkest = int(np.searchsorted(counts, counts[-1] * 0.01))
    return max(0.0, (darkest - _DARK) / (255.0 - _DARK))


def _water(pixels: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8], mask: Mask | None) -> float:
    """Return the share of 8×8 blocks that are dark, smooth, and neither reddish nor green."""
    if min(grey.shape) < 8:
        return 0.0
    red, green, blue = (_block_means(pixels[..., i], 8) for i in range(3))
    wide = grey.astype(np.float32)
    mean = _block_means(wide, 8)
    smooth = _block_means(wide * wide, 8) - mean * mean < _WATER_ROUGHNESS**2
    colour = (red <= np.maximum(green, blue) + _WATER_RED) & (green - (red + blue) / 2 <= _WATER_GREEN)
    water = smooth & (mean < _WATER_BRIGHTEST) & colour
    return _mean_of(water, None if mask is None else _block_means(mask, 8) == 1.0)


def _saturation(high: npt.NDArray[np.uint8], low: npt.NDArray[np.uint8], mask: Mask | None) -> float:
    # Black has no saturation; dividing by 1 there gives the 0 that is meant.
    return _mean_of((high - low).astype(np.float32) / np.maximum(high, 1), mask)
