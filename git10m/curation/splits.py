"""Splits by whole parent cells: all tiles of a cell, at every level and date, share one split."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

from git10m.grid import IntArray, Tile
from git10m.recipe import Splits

__all__ = ["SPLITS", "cell_split", "near_held_out", "split_codes", "stratified_codes", "unplaced_split"]

_EQUATOR_M = 2.0 * math.pi * 6_378_137.0

SPLITS = ("train", "validation", "test")
"""Names of the splits; ``split_codes`` counts them from 0."""


def cell_split(cell: Tile, splits: Splits) -> str:
    """Return the split of a cell, from a hash of its address and the seed alone.

    More imagery never moves a cell to another split, and two builds with one seed agree.
    """
    return _drawn(f"{splits.seed}/{cell.name}".encode(), splits)


def _drawn(key: bytes, splits: Splits) -> str:
    draw = _draw(key)
    if draw < splits.validation:
        return "validation"
    return "test" if draw < splits.validation + splits.test else "train"


def _draw(key: bytes) -> float:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2.0**64


def split_codes(
    level: npt.NDArray[np.int64], x: IntArray, y: IntArray, *, cell_level: int, splits: Splits
) -> npt.NDArray[np.int8]:
    """Return the split of many tiles as positions in `SPLITS`.

    Args:
        level: Levels, each at least ``cell_level``.
        x: Columns.
        y: Rows.
        cell_level: Level of the cells.
        splits: Shares and seed.
    """
    cells, inverse = np.unique(_cells(level, x, y, cell_level), return_inverse=True)
    codes = [SPLITS.index(cell_split(_tile_of(cell, cell_level), splits)) for cell in cells.tolist()]
    return np.array(codes, dtype=np.int8)[inverse] if len(cells) else np.empty(0, dtype=np.int8)


def stratified_codes(
    level: npt.NDArray[np.int64], x: IntArray, y: IntArray, *, cell_level: int, splits: Splits
) -> npt.NDArray[np.int8]:
    """Return the split of many tiles as `split_codes` does, with cells chosen so that every level has its share.

    Cells are looked at in the order of their draws; one is held out if that brings the levels, taken together, nearer
    to their shares. Rare levels so weigh as much as common ones.
    """
    cells, inverse = np.unique(_cells(level, x, y, cell_level), return_inverse=True)
    levels, which = np.unique(level, return_inverse=True)
    counts = np.zeros((len(cells), len(levels)))
    np.add.at(counts, (inverse, which), 1.0)
    counts /= np.maximum(1.0, counts.sum(axis=0))  # of each level, the share that lies in a cell
    codes = np.zeros(len(cells), dtype=np.int8)
    draws = [_draw(f"{splits.seed}/{_tile_of(cell, cell_level).name}".encode()) for cell in cells.tolist()]
    for name, share in (("validation", splits.validation), ("test", splits.test)):
        missing = np.full(len(levels), share)
        for cell in np.argsort(draws, kind="stable").tolist():
            if codes[cell] == 0 and ((missing - counts[cell]) ** 2).sum() < (missing**2).sum():
                codes[cell] = SPLITS.index(name)
                missing -= counts[cell]
    return codes[inverse] if len(cells) else np.empty(0, dtype=np.int8)


def near_held_out(
    level: npt.NDArray[np.int64],
    x: IntArray,
    y: IntArray,
    split: npt.NDArray[np.int8],
    *,
    cell_level: int,
    buffer_m: float,
) -> npt.NDArray[np.bool_]:
    """Tell which training tiles lie closer to a cell of validation or test than a buffer.

    Args:
        level: Levels, each at least ``cell_level``.
        x: Columns.
        y: Rows.
        split: Positions in `SPLITS`.
        cell_level: Level of the cells.
        buffer_m: Metres on the ground, at the latitude of the tile; along columns and rows.
    """
    held = np.unique(_cells(level, x, y, cell_level)[split > 0])
    side, cells = np.exp2(level), 2**cell_level
    latitude = np.arctan(np.sinh(np.pi * (1.0 - 2.0 * (y + 0.5) / side)))
    reach = buffer_m / (_EQUATOR_M * np.cos(latitude))
    west, east = (np.floor(cells * (edge / side + by)).astype(np.int64) for edge, by in ((x, -reach), (x + 1, reach)))
    north, south = (np.floor(cells * (edge / side + by)).astype(np.int64) for edge, by in ((y, -reach), (y + 1, reach)))
    found = np.zeros(len(x), dtype=bool)
    for right in range(int((east - west).max(initial=-1)) + 1):
        for down in range(int((south - north).max(initial=-1)) + 1):
            column, row = west + right, north + down
            inside = (column <= east) & (row <= south) & (row >= 0) & (row < cells)
            # The world goes on beyond the antimeridian.
            found |= inside & np.isin(((column % cells) << 32) | row, held)
    near: npt.NDArray[np.bool_] = found & (split == 0)
    return near


def _cells(level: npt.NDArray[np.int64], x: IntArray, y: IntArray, cell_level: int) -> IntArray:
    down = level - cell_level
    packed: IntArray = ((x >> down) << 32) | (y >> down)
    return packed


def _tile_of(cell: int, level: int) -> Tile:
    return Tile(level, cell >> 32, cell & 0xFFFFFFFF)


def unplaced_split(digest: bytes, splits: Splits) -> str:
    """Return the split of an image without a place, from the digest of its bytes and the seed: copies stay together."""
    return _drawn(f"{splits.seed}/".encode() + digest, splits)
