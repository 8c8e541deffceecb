"""Splits by whole parent cells: all tiles of a cell, at every level and date, share one split."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from git10m.grid import IntArray, Tile
from git10m.recipe import Splits

__all__ = ["SPLITS", "cell_split", "split_codes", "unplaced_split"]

SPLITS = ("train", "validation", "test")
"""Names of the splits; ``split_codes`` counts them from 0."""


def cell_split(cell: Tile, splits: Splits) -> str:
    """Return the split of a cell, from a hash of its address and the seed alone.

    More imagery never moves a cell to another split, and two builds with one seed agree.
    """
    return _drawn(f"{splits.seed}/{cell.name}".encode(), splits)


def _drawn(key: bytes, splits: Splits) -> str:
    digest = hashlib.blake2b(key, digest_size=8).digest()
    draw = int.from_bytes(digest, "big") / 2.0**64
    if draw < splits.validation:
        return "validation"
    return "test" if draw < splits.validation + splits.test else "train"


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
    down = level - cell_level
    packed = ((x >> down) << 32) | (y >> down)
    cells, inverse = np.unique(packed, return_inverse=True)
    codes = [
        SPLITS.index(cell_split(Tile(cell_level, int(cell >> 32), int(cell & 0xFFFFFFFF)), splits)) for cell in cells
    ]
    return np.array(codes, dtype=np.int8)[inverse] if len(cells) else np.empty(0, dtype=np.int8)


def unplaced_split(digest: bytes, splits: Splits) -> str:
    """Return the split of an image without a place, from the digest of its bytes and the seed: copies stay together."""
    return _drawn(f"{splits.seed}/".encode() + digest, splits)
