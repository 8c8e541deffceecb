"""Copies of pictures as they turn up in collections: shifted, re-encoded, resized, with other tones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from git10m.curation.degradations import as_jpeg

__all__ = ["PLANTED", "copy_of", "gains", "gamma", "resized", "shifted"]


def shifted(pixels: np.ndarray, right: int, down: int) -> np.ndarray:
    """Move a picture by some pixels; what comes in at the edge repeats it."""
    height, width = pixels.shape[:2]
    rows, columns = np.clip(np.arange(height) - down, 0, height - 1), np.clip(np.arange(width) - right, 0, width - 1)
    return np.ascontiguousarray(pixels[rows][:, columns])


def resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    size = round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def gamma(pixels: np.ndarray, exponent: float) -> np.ndarray:
    return np.rint(255.0 * (pixels / 255.0) ** exponent).astype(np.uint8)


def gains(pixels: np.ndarray, red: float, green: float, blue: float) -> np.ndarray:
    return np.clip(np.rint(pixels * np.array([red, green, blue])), 0, 255).astype(np.uint8)


def copy_of(pixels: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Everything at once, each by as much as the promises allow."""
    moved = shifted(pixels, *(int(step) for step in draws.integers(-2, 3, 2)))
    toned = gains(gamma(moved, draws.uniform(0.7, 1.4)), *draws.uniform(0.8, 1.2, 3))
    return resized(as_jpeg(toned, int(draws.integers(40, 96))), draws.uniform(0.5, 1.0))


PLANTED: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "shifted by 2 px": lambda pixels, draws: shifted(pixels, *(int(step) for step in draws.choice((-2, 2), 2))),
    "shifted by 1 px": lambda pixels, draws: shifted(pixels, *(int(step) for step in draws.choice((-1, 1), 2))),
    "JPEG 40": lambda pixels, _: as_jpeg(pixels, 40),
    "halved": lambda pixels, _: resized(pixels, 0.5),
    "resized": lambda pixels, draws: resized(pixels, draws.uniform(0.5, 1.0)),
    "gamma 0.7": lambda pixels, _: gamma(pixels, 0.7),
    "gamma 1.4": lambda pixels, _: gamma(pixels, 1.4),
    "gains": lambda pixels, draws: gains(pixels, *draws.choice((0.8, 1.2), 3)),
    "all at once": copy_of,
}
"""By name, what is done to a picture, drawn within the limits that are promised."""
