"""Stages that agree with their parents through the zooms between them, which are block means of the finer stage."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from text2earth.world.projection import block_mean

__all__ = ["settled"]

Pixels = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


def settled(child: Pixels, parent: Pixels) -> Pixels:
    """Return the child, changed where it does not agree with its parent at a zoom between them or at its own.

    Afterwards the means of the child's blocks, and those of the blocks of every zoom between the two, whose pixels are
    rounded means themselves, lie less than half a unit off the parent's pixels: they round to them, however halves are
    rounded. Blocks that agreed keep their pixels; in the others the parent's value is shared out from zoom to zoom
    by largest remainder, so that each mean is met exactly.

    Args:
        child: uint8 (f·h, f·w, C), with f a power of two.
        parent: uint8 (h, w, C).
    """
    factor = child.shape[0] // parent.shape[0]
    wrong = _disagreement(child, parent, factor)
    if not wrong.any():
        return child
    height, width, bands = parent.shape
    blocks = child.reshape(height, factor, width, factor, bands).transpose(0, 2, 4, 1, 3).copy()
    blocks[wrong] = _shared_out(blocks[wrong].astype(np.int64), parent[wrong].astype(np.int64))
    return np.ascontiguousarray(blocks.transpose(0, 3, 1, 4, 2)).reshape(child.shape)


def _disagreement(child: Pixels, parent: Pixels, factor: int) -> npt.NDArray[np.bool_]:
    """Return which of the parent's values (h, w, C) are half a unit or more off the means of the child or a zoom."""
    found = np.zeros(parent.shape, np.bool_)
    height, width, bands = parent.shape
    side = factor
    while side > 1:
        zoom = child if side == factor else block_mean(child, factor=factor // side)
        sums = zoom.reshape(height, side, width, side, bands).sum(axis=(1, 3), dtype=np.int64)
        found |= 2 * np.abs(sums - side * side * parent.astype(np.int64)) >= side * side
        side //= 2
    return found


def _shared_out(blocks: Integers, values: Integers) -> Integers:
    """Return blocks (N, k, k) whose means are the values (N,), and so on down in each of their quarters."""
    count, side = blocks.shape[:2]
    if side == 1:
        return values[:, None, None]
    half = side // 2
    quarters = blocks.reshape(count, 2, half, 2, half).transpose(0, 1, 3, 2, 4)
    shares = _apportioned(quarters.mean(axis=(3, 4)).reshape(count, 4), 4 * values)
    filled = _shared_out(quarters.reshape(count * 4, half, half), shares.ravel())
    return filled.reshape(count, 2, 2, half, half).transpose(0, 1, 3, 2, 4).reshape(count, side, side)


def _apportioned(means: npt.NDArray[np.float64], totals: Integers) -> Integers:
    """Return integers 0…255 (N, 4) near the means whose sums are the totals (N,)."""
    found = np.rint(means).astype(np.int64)
    while (missing := totals - found.sum(axis=1)).any():
        sign = np.sign(missing)
        full = np.where(sign[:, None] > 0, found >= 255, found <= 0)
        wish = np.where(full, -np.inf, (means - found) * sign[:, None])
        found[np.arange(len(found)), wish.argmax(axis=1)] += sign
    return found
