"""A child agrees with its parent: the mean of its blocks of pixels is the parent's pixel, after rounding too.

The low band of an image is what box means over factor×factor blocks keep of it. Replacing the child's by the parent's
(Choi et al., "ILVR", ICCV 2021, and Wang et al., "DDNM", ICLR 2023, do so with other filters) is a projection onto
the images that agree; clipping and rounding lead off it again, so that it is repeated, and what still disagrees
after that is counted out in whole units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["agreeing", "block_mean", "with_low_band"]

_ROUNDS = 5
"""Of replacing the low band and clipping; by then it moves no mean by half a unit."""

Pixels = npt.NDArray[np.uint8]


def block_mean(pixels: Pixels, *, factor: int) -> Pixels:
    """Return the rounded mean of each factor×factor block, halves to the even number as ``round`` does.

    Args:
        pixels: uint8 (H, W, C), both sides multiples of the factor.
        factor: 1 or more.

    Returns:
        uint8 (H / factor, W / factor, C).
    """
    count = factor * factor
    whole, rest = np.divmod(_blocks(pixels, factor).sum(axis=(1, 3), dtype=np.uint32), count)
    up = (2 * rest > count) | ((2 * rest == count) & (whole % 2 == 1))
    found: Pixels = (whole + up).astype(np.uint8)
    return found


def agreeing(pixels: npt.NDArray[np.float32], *, parent: Pixels) -> Pixels:
    """Return the pixels of uint8, near to those given, whose block means are the parent's pixels.

    A mean of whole numbers need not be one: it lies less than half a unit off the parent's pixel, so that it rounds
    to it however halves are rounded.

    Args:
        pixels: float32 (H, W, C), 0…255; values beyond are clipped.
        parent: uint8 (h, w, C); H / h = W / w is the factor.
    """
    factor = pixels.shape[0] // parent.shape[0]
    wanted = parent.astype(np.float32)[:, None, :, None]
    found = _blocks(pixels.astype(np.float32), factor)
    for _ in range(_ROUNDS):
        found = np.clip(found + (wanted - found.mean(axis=(1, 3), keepdims=True)), 0.0, 255.0)
    whole = np.rint(found).astype(np.int32)
    _count_out(whole, parent)
    agreed: Pixels = whole.astype(np.uint8).reshape(pixels.shape)
    return agreed


def with_low_band(predicted: Tensor, low: Tensor) -> Tensor:
    """Return a prediction (B, C, H, W) with the block means of ``low`` (B, C, h, w), both in one scale of values."""
    count, channels, rows, columns = low.shape
    blocks = predicted.reshape(count, channels, rows, predicted.shape[2] // rows, columns, -1)
    missing = low[:, :, :, None, :, None] - blocks.mean((3, 5), keepdim=True)
    found: Tensor = (blocks + missing).reshape(predicted.shape)
    return found


def _blocks(pixels: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Return a view (h, factor, w, factor, C)."""
    height, width, channels = pixels.shape
    return pixels.reshape(height // factor, factor, width // factor, factor, channels)


def _count_out(whole: npt.NDArray[np.int32], parent: Pixels) -> None:
    """Move, in place, blocks (h, f, w, f, C) whose mean is half a unit or more off, a unit a pixel and turn.

    Each turn moves as many pixels as units are missing, or all of those that are not at the end of the scale. One is
    left, since a block that is all at one end cannot miss more; so it ends.
    """
    blocks = whole.transpose(0, 2, 4, 1, 3)
    count = blocks.shape[3] * blocks.shape[4]
    while True:
        missing = parent.astype(np.int32) * count - blocks.sum(axis=(3, 4))
        off = 2 * np.abs(missing) >= count
        if not off.any():
            return
        units, ways = np.abs(missing[off])[:, None], np.sign(missing[off])[:, None]
        flat = blocks[off].reshape(-1, count)
        free = (flat + ways >= 0) & (flat + ways <= 255)
        moved = free & (np.cumsum(free, axis=1) <= units)
        blocks[off] = (flat + ways * moved).reshape(-1, *blocks.shape[3:])
