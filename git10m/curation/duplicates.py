"""Hashes of images, and which of several equal ones stays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from git10m.curation.quality import luma
from git10m.grid import IntArray

__all__ = ["later_copies", "perceptual_hashes", "placeholders"]

_SIDE, _COARSE, _FINE = 32, 8, 16
_DISTANT_TILES = 8


def perceptual_hashes(pixels: npt.NDArray[np.uint8]) -> tuple[str, str]:
    """Return two hashes that change little when an image is re-encoded: of 64 bits and of 256, hexadecimal.

    Luma is reduced to 32×32 by area means; of its discrete cosine transform the 8×8 (and the 16×16) lowest frequencies
    are compared with their median (the DCT hash of Zauner 2010, "Implementation and Benchmarking of Perceptual Image
    Hash Functions"). Of 370,000 pairs of distinct real tiles ten have 64-bit hashes that differ in 12 bits or less,
    none has 256-bit hashes that differ in 56 or less.

    Args:
        pixels: uint8 (H, W, 3), RGB.
    """
    small = np.asarray(Image.fromarray(luma(pixels)).resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float64)
    basis = _cosine_basis()
    # Rounded, so that the last bits of a product, which differ between machines, decide nothing (flat images!).
    fine = (basis @ small @ basis.T).round(6)
    return _bits_above_median(fine[:_COARSE, :_COARSE]), _bits_above_median(fine)


def later_copies(digests: Sequence[bytes] | npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return, for each item, the position of the first item with the same digest if that is an earlier one, else −1.

    Args:
        digests: Equal-length digests, in the order in which the first is to be kept.
    """
    array = np.asarray(digests)
    _, first, inverse = np.unique(array, return_index=True, return_inverse=True)
    original = first[inverse]
    return np.where(original == np.arange(len(array)), -1, original).astype(np.int64)


def placeholders(
    digests: npt.NDArray[np.void], level: IntArray, x: IntArray, y: IntArray, source: IntArray
) -> npt.NDArray[np.bool_]:
    """Tell which served tiles stand for missing imagery: the same bytes at distant places of one source.

    Places are distant that lie more than 8 tiles apart, or on different levels. A true picture never comes twice to
    the byte; what does is "no data here", or ground without any feature.

    Args:
        digests: Of the bytes, (N,).
        level: Levels, (N,).
        x: Columns.
        y: Rows.
        source: Number of the source.
    """
    _, group = np.unique(digests, return_inverse=True)
    _, group = np.unique(group * (int(source.max(initial=0)) + 1) + source, return_inverse=True)
    count = int(group.max(initial=-1)) + 1
    spread = np.zeros(count, dtype=np.int64)
    for values, far in ((level, 1), (x, _DISTANT_TILES + 1), (y, _DISTANT_TILES + 1)):
        low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
        np.minimum.at(low, group, values)
        np.maximum.at(high, group, values)
        spread |= high - low >= far
    return spread.astype(bool)[group]


def _bits_above_median(values: npt.NDArray[np.float64]) -> str:
    return np.packbits((values > np.median(values)).ravel()).tobytes().hex()


@lru_cache(maxsize=1)
def _cosine_basis() -> npt.NDArray[np.float64]:
    """Return the first 16 rows of the 32-point DCT-II, (16, 32)."""
    k, n = np.arange(_FINE)[:, None], np.arange(_SIDE)[None, :]
    return np.cos(np.pi * k * (2 * n + 1) / (2 * _SIDE))
