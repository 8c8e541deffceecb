"""Where tiles are: footprints as counted cells of the grid, however many tiles there are, and the places they form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["CELL_LEVEL", "Cells", "Footprints", "Place", "latitude", "places", "position", "union"]

CELL_LEVEL = 7
"""Tiles whose cells of this level touch (some 300 km wide at the equator) belong to one place."""
MOST_CELLS = 300_000
"""Cells that are told apart; where tiles lie in more, those of the level with most are counted by their parents."""

_LEVEL, _SOURCE, _SPLIT, _X = 54, 46, 44, 22
"""Lowest bit of each part of a key; y is at 0. A column of level 22 needs 22 bits."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cells:
    """Tiles as cells of the grid: the tiles themselves, or parents of so many of them.

    Attributes:
        level: (cells,) level of the tiles.
        up: (cells,) levels from the tiles up to the cell.
        x: (cells,) column of the cell, at level − up. One right of the antimeridian may be beyond the last column.
        y: (cells,) row.
        source: (cells,) number of the source.
        split: (cells,) number of the split, 0–3.
        count: (cells,) tiles in the cell.
    """

    level: IntArray
    up: IntArray
    x: IntArray
    y: IntArray
    source: IntArray
    split: IntArray
    count: IntArray

    @classmethod
    def of_tiles(cls, tiles: npt.NDArray[Any]) -> Self:
        """Return a cell for each of some tiles, (tiles, 3) level, x, y."""
        level, x, y = tiles.astype(np.int64).reshape(-1, 3).T
        nothing = np.zeros_like(level)
        return cls(level, nothing, x, y, nothing, nothing, np.ones_like(level))

    def __len__(self) -> int:
        return len(self.level)

    def taken(self, chosen: npt.NDArray[Any]) -> Cells:
        """Return some of the cells, by mask or position."""
        parts = (self.level, self.up, self.x, self.y, self.source, self.split, self.count)
        return Cells(*(part[chosen] for part in parts))

    def edges(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return left, top, right and bottom in the unit square of the grid."""
        side: FloatArray = np.exp2(-(self.level - self.up).astype(np.float64))
        left, top = self.x * side, self.y * side
        return left, top, left + side, top + side

    def by_level(self) -> dict[int, int]:
        """Return tiles by level, rising."""
        return {level: int(self.count[self.level == level].sum()) for level in np.unique(self.level).tolist()}


class Footprints:
    """Gathers the cells of tiles, batch by batch, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._keys, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)
        self._up: dict[int, int] = {}

    def add(self, tiles: npt.NDArray[Any], *, source: IntArray | int = 0, split: IntArray | int = 0) -> None:
        """Add tiles, (tiles, 3) level, x, y, with the numbers of their source (0–255) and split (0–3)."""
        if not len(tiles):
            return
        level, x, y = tiles.astype(np.int64).T
        up = np.array([self._up.get(each, 0) for each in range(32)])[level]
        key = (
            level << _LEVEL | np.asarray(source) << _SOURCE | np.asarray(split) << _SPLIT | (x >> up) << _X | (y >> up)
        )
        self._merge(np.concatenate([self._keys, key]), np.concatenate([self._counts, np.ones(len(key), np.int64)]))
        while len(self._keys) > MOST_CELLS:
            self._coarsen()

    def cells(self) -> Cells:
        """Return what was gathered."""
        level, source, split, x, y = _parts(self._keys)
        up = np.array([self._up.get(each, 0) for each in range(32)], np.int64)[level]
        return Cells(level, up, x, y, source, split, self._counts)

    def _merge(self, keys: IntArray, counts: IntArray) -> None:
        self._keys, position = np.unique(keys, return_inverse=True)
        self._counts = np.bincount(position, weights=counts, minlength=len(self._keys)).astype(np.int64)

    def _coarsen(self) -> None:
        level, source, split, x, y = _parts(self._keys)
        # The level with most cells above level 2, where few are left to merge.
        left = level - np.array([self._up.get(each, 0) for each in range(32)])[level]
        crowded = int(np.bincount(level[left > 2]).argmax())
        self._up[crowded] = self._up.get(crowded, 0) + 1
        shift = (level == crowded).astype(np.int64)
        key = level << _LEVEL | source << _SOURCE | split << _SPLIT | (x >> shift) << _X | (y >> shift)
        self._merge(key, self._counts)


@dataclass(frozen=True, slots=True)
class Place:
    """A group of neighbouring tiles.

    Attributes:
        number: From 1, by falling number of tiles.
        cells: Its tiles.
        extent: (left, top, right, bottom) in the unit square of the grid; right is beyond 1 across the antimeridian.
        squares: Cells of ``CELL_LEVEL`` that it touches, as (column, row).
    """

    number: int
    cells: Cells
    extent: tuple[float, float, float, float]
    squares: frozenset[tuple[int, int]]

    @property
    def tiles(self) -> int:
        """How many tiles it has."""
        return int(self.cells.count.sum())

    @property
    def centre(self) -> tuple[float, float]:
        """(lon, lat) of the middle of the extent, in degrees."""
        left, top, right, bottom = self.extent
        return (left + right) * 180.0 % 360.0 - 180.0, latitude((top + bottom) / 2)


def places(cells: Cells) -> list[Place]:
    """Group tiles whose cells of ``CELL_LEVEL`` touch, also across the antimeridian; the one with most tiles first."""
    if not len(cells):
        return []
    squares, where = _distinct(_squares(cells))
    group = _connected(squares)
    numbers = np.arange(1, int(group.max()) + 1)
    of_cells = group[where]
    order, of_squares = np.argsort(of_cells, kind="stable"), np.argsort(group, kind="stable")
    found = []
    for inside_at, squares_at in zip(
        np.split(order, np.searchsorted(of_cells[order], numbers)),
        np.split(of_squares, np.searchsorted(group[of_squares], numbers)),
        strict=True,
    ):
        mine = squares[squares_at]
        inside = _unwrapped(cells.taken(inside_at), mine[:, 0])
        left, top, right, bottom = inside.edges()
        extent = float(left.min()), float(top.min()), float(right.max()), float(bottom.max())
        found.append((inside, extent, frozenset(map(tuple, mine.tolist()))))
    found.sort(key=lambda entry: (-int(entry[0].count.sum()), entry[1]))
    return [Place(number, *entry) for number, entry in enumerate(found, start=1)]


def union(cells: Cells, *, above: int) -> Cells:
    """Return parents ``above`` levels up, each once, with the source and split of most of its tiles.

    Args:
        cells: Of one level of tiles, and all as far up.
        above: 0: the cells themselves, each once whatever its sources and splits.
    """
    if not len(cells):
        return cells
    x, y = cells.x >> above, cells.y >> above
    # Sorted by place, then by number of tiles of a source and split there: the last of each place has most.
    kinds, kind = np.unique(x << 32 | y << 10 | cells.source << 2 | cells.split, return_inverse=True)
    counts = np.bincount(kind, weights=cells.count).astype(np.int64)
    square = kinds >> 10
    order = np.lexsort((counts, square))
    last = np.flatnonzero(np.r_[square[order][1:] != square[order][:-1], True])
    totals = np.diff(np.r_[0, np.cumsum(counts[order])[last]])
    chosen = kinds[order][last]
    up = int(cells.up[0]) + above
    whole = np.ones(len(chosen), np.int64)
    return Cells(
        whole * cells.level[0],
        whole * up,
        chosen >> 32,
        chosen >> 10 & 0x3FFFFF,
        chosen >> 2 & 0xFF,
        chosen & 0x3,
        totals,
    )


def position(lon: float, lat: float, *, digits: int = 2) -> str:
    """Write a position in words, latitude first as people read it: ``"50.04° N, 14.40° E"``."""
    return f"{abs(lat):.{digits}f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.{digits}f}° {'E' if lon >= 0 else 'W'}"


def latitude(y: float) -> float:
    """Return the latitude of a row of the unit square of the grid, in degrees."""
    return math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * y))))


def _parts(keys: IntArray) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Return level, source, split, x and y of keys."""
    return keys >> _LEVEL, keys >> _SOURCE & 0xFF, keys >> _SPLIT & 0x3, keys >> _X & 0x3FFFFF, keys & 0x3FFFFF


def _squares(cells: Cells) -> IntArray:
    """Return (cells, 2) column and row of the cells of ``CELL_LEVEL`` that hold the centres."""
    left, top, right, bottom = cells.edges()
    middle = np.stack([(left + right) / 2, (top + bottom) / 2], axis=1)
    found: IntArray = (middle * 2**CELL_LEVEL).astype(np.int64)
    return found


def _distinct(pairs: IntArray) -> tuple[IntArray, IntArray]:
    """Return distinct (column, row) pairs, rising, and the position of each given pair among them."""
    # One number a pair: sorting those is many times faster than sorting rows.
    keys, position_ = np.unique(pairs[:, 0] << 32 | pairs[:, 1], return_inverse=True)
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1), position_


def _connected(squares: IntArray) -> IntArray:
    """Number the groups of squares that touch, corners included; the first column touches the last."""
    number = {square: at for at, square in enumerate(map(tuple, squares.tolist()))}
    group = np.full(len(squares), -1, np.int64)
    groups = 0
    for start, at in number.items():
        if group[at] >= 0:
            continue
        group[at], waiting = groups, [start]
        while waiting:
            x, y = waiting.pop()
            for near in (((x + dx) % 2**CELL_LEVEL, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)):
                if near in number and group[number[near]] < 0:
                    group[number[near]] = groups
                    waiting.append(near)
        groups += 1
    return group


def _unwrapped(cells: Cells, columns: Sequence[int] | IntArray) -> Cells:
    """Move cells that lie west of the widest gap between columns one turn to the east, so that a group is whole."""
    occupied = np.unique(columns)
    gaps = np.diff(np.r_[occupied, occupied[0] + 2**CELL_LEVEL])
    if gaps[-1] >= gaps.max():
        return cells
    first = int(occupied[int(gaps.argmax()) + 1])  # the westernmost column once the gap is at the ends
    turned = _squares(cells)[:, 0] < first
    x = cells.x + np.where(turned, np.exp2(cells.level - cells.up).astype(np.int64), 0)
    return Cells(cells.level, cells.up, x, cells.y, cells.source, cells.split, cells.count)
