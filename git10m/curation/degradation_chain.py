"""Degraded copies of good pictures, to train a restorer on: blur, resizing, noise and JPEG, twice.

In the spirit of Real-ESRGAN's second-order model (Wang et al. 2021, arXiv 2107.10833, section 3), with strengths that
satellite and aerial imagery has: softer than the average photo, seldom as noisy, often a JPEG of a JPEG. Every draw
follows from (seed, counter), so that a training can go on anywhere. Nothing shifts: kernels are symmetric, and pixels
are areas in every resizing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from git10m.curation.degradations import as_jpeg

__all__ = ["Strength", "degraded"]

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
_UNTOUCHED = 0.05
"""Share of pictures that are only reduced: a restorer must also learn to leave good pictures alone."""
_REACH_PX = 6


@dataclass(frozen=True, slots=True)
class Strength:
    """How strong the faults of one round are.

    Attributes:
        blur: Share of pictures that are blurred; half of them by a Gaussian with two axes.
        sigma_px: Least and largest standard deviation of the blur.
        resize: Shares that are reduced and that are enlarged.
        factor: Least and largest factor of that.
        noise: Share with noise; a third of it as photons make it, a third grey.
        noise_sigma: Least and largest σ, in grey levels.
        jpeg: Share that goes through a JPEG.
        quality: Least and largest quality of that.
    """

    blur: float
    sigma_px: tuple[float, float]
    resize: tuple[float, float]
    factor: tuple[float, float]
    noise: float
    noise_sigma: tuple[float, float]
    jpeg: float
    quality: tuple[int, int]


_FIRST = Strength(0.8, (0.3, 2.0), (0.4, 0.2), (0.5, 1.4), 0.6, (1.0, 15.0), 0.5, (40, 95))
_SECOND = Strength(0.4, (0.3, 1.2), (0.25, 0.2), (0.7, 1.2), 0.4, (1.0, 8.0), 0.7, (35, 95))


def degraded(
    pixels: Pixels, *, scale: int, seed: int, counter: int, rounds: tuple[Strength, ...] = (_FIRST, _SECOND)
) -> Pixels:
    """Return a picture as it might have come from a worse sensor, a longer way, or a smaller file.

    Args:
        pixels: uint8 (H, W, 3), RGB; sides are multiples of ``scale``.
        scale: What the restorer will enlarge by: 1 or 2 (or more).
        seed: Of all draws.
        counter: Number of the example; the same pair gives the same picture.
        rounds: Strengths, one round after the other.

    Returns:
        uint8 (H / scale, W / scale, 3), on the same ground.
    """
    draws = np.random.default_rng([seed, counter])
    height, width = (side // scale for side in pixels.shape[:2])
    if draws.random() < _UNTOUCHED:
        return _resized(pixels, (height, width), Image.Resampling.BOX)
    for number, strength in enumerate(rounds):
        pixels = _blurred(pixels, strength, draws)
        # The size is reached before the last noise and JPEG, or those would be averaged away.
        last = number == len(rounds) - 1
        size = (height, width) if last else _another_size(pixels, strength, draws)
        pixels = _resized(pixels, size, _FILTERS[int(draws.integers(len(_FILTERS)))])
        pixels = _noisy(pixels, strength, draws)
        if draws.random() < strength.jpeg:
            pixels = as_jpeg(pixels, int(draws.integers(strength.quality[0], strength.quality[1] + 1)))
    return pixels


def _blurred(pixels: Pixels, strength: Strength, draws: np.random.Generator) -> Pixels:
    """Blur by a Gaussian that is round, or has two axes in any direction."""
    if draws.random() >= strength.blur:
        return pixels
    long, short = (_between(strength.sigma_px, draws) for _ in range(2))
    angle = draws.uniform(0.0, math.pi)
    kernel = _kernel(long, long if draws.random() < 0.5 else short, angle)
    reach = kernel.shape[0] // 2
    height, width = pixels.shape[:2]
    around = np.pad(pixels.astype(np.float32), ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    total = np.zeros(pixels.shape, dtype=np.float32)
    for (row, column), weight in np.ndenumerate(kernel):
        if weight > 1e-5:
            total += weight * around[row : row + height, column : column + width]
    return _rounded(total)


def _kernel(sigma: float, other: float, angle: float) -> Floats:
    """Return a Gaussian with two axes as weights, (side, side), that add up to 1."""
    reach = min(_REACH_PX, max(1, math.ceil(3.0 * max(sigma, other))))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    weights = np.exp(-0.5 * ((along / sigma) ** 2 + (across / other) ** 2))
    kernel: Floats = (weights / weights.sum()).astype(np.float32)
    return kernel


def _another_size(pixels: Pixels, strength: Strength, draws: np.random.Generator) -> tuple[int, int]:
    low, high = strength.factor
    smaller, larger = strength.resize
    draw, factor = draws.random(), 1.0
    if draw < smaller:
        factor = draws.uniform(low, 1.0)
    elif draw < smaller + larger:
        factor = draws.uniform(1.0, high)
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return height, width


def _resized(pixels: Pixels, size: tuple[int, int], how: Image.Resampling) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), how))


def _noisy(pixels: Pixels, strength: Strength, draws: np.random.Generator) -> Pixels:
    """Add noise: even, grey, or as photons make it, whose power grows with brightness."""
    if draws.random() >= strength.noise:
        return pixels
    sigma = np.float32(_between(strength.noise_sigma, draws))
    grain: Callable[..., Floats] = draws.standard_normal
    height, width, channels = pixels.shape
    kind = int(draws.integers(3))
    if kind == 0:
        added = sigma * grain((height, width, channels), dtype=np.float32)
    elif kind == 1:
        added = sigma * grain((height, width, 1), dtype=np.float32)
    else:
        # At middle grey it has the σ that was drawn; a Poisson count of photons is normal but for the darkest.
        photons = np.float32(127.5) / sigma**2
        added = draws.poisson(pixels * photons).astype(np.float32) / photons - pixels
    return _rounded(pixels + added)


def _between(bounds: tuple[float, float], draws: np.random.Generator) -> float:
    return float(draws.uniform(*bounds))


def _rounded(values: Floats) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
