"""Every tile or image that a build asks for, in the order in which it is worked on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.grid import IntArray, Tile, quadkey_number, quadkey_number_to_xy
from git10m.recipe import Tiles
from git10m.sources import Imagery, Request
from git10m.sources.mosaic import BLOCK_TILES

__all__ = ["Plan", "plan_tiles"]

_GROUP_BITS = 19
"""A tile of level 22 takes 44 bits of 63; the rest number its group."""
_AT_ONCE = 500_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a build asks for; arrays of one length.

    Tiles come first, sorted by (level, quadkey, group); lists follow, group by group in their own order.

    Attributes:
        level: int8; 0 where the resolution is unknown.
        x: int32.
        y: int32.
        group: int32, index of the imagery's group.
        entry: int32, position in a list; −1 where the tile says it all.
    """

    level: npt.NDArray[np.int8]
    x: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]
    group: npt.NDArray[np.int32]
    entry: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.level)

    def requests(self, start: int, stop: int) -> Iterator[Request]:
        """Yield the requests of a range."""
        part = slice(start, stop)
        columns = (self.level, self.x, self.y, self.group, self.entry)
        for level, x, y, group, entry in zip(*(values[part].tolist() for values in columns), strict=True):
            yield Request(Tile(level, x, y) if level else None, group, entry)

    def taken(self, kept: npt.NDArray[Any] | slice) -> Plan:
        """Return the part of the plan at some positions, where a mask is true, or in a slice."""
        return Plan(self.level[kept], self.x[kept], self.y[kept], self.group[kept], self.entry[kept])

    def thinned(self, most: int) -> Plan:
        """Return at most so many tiles, spread evenly over the plan."""
        if most >= len(self):
            return self
        return self.taken(np.arange(most, dtype=np.int64) * len(self) // most)

    def unit_bounds(self, unit_rows: int) -> list[int]:
        """Cut the plan into units of at least ``unit_rows`` tiles that never divide a block of 8×8.

        Returns:
            Positions: unit ``k`` runs from the ``k``-th to the one after it.
        """
        if not len(self):
            return [0]
        new = self.entry[1:] != self.entry[:-1]
        for values in (self.level, self.x // BLOCK_TILES, self.y // BLOCK_TILES):
            new |= values[1:] != values[:-1]
        bounds = [0]
        for start in (np.flatnonzero(new) + 1).tolist():
            if start - bounds[-1] >= unit_rows:
                bounds.append(start)
        return [*bounds, len(self)]


def plan_tiles(imagery: Imagery, tiles: Tiles, *, area: Any = None) -> Plan:
    """List the tiles of every group, and the images of every list.

    Args:
        imagery: What may be asked for.
        tiles: Levels.
        area: Area of interest in degrees; None: wherever there is imagery. Lists are taken whole.
    """
    groups = range(len(imagery.groups))
    lists = {group: found for group in groups if (found := imagery.entries(group)) is not None}
    by_level: dict[int, list[int]] = {}
    for group in groups:
        for level in () if group in lists else imagery.levels(group, tiles.levels):
            by_level.setdefault(level, []).append(group)
    parts = [_tiles_of_level(imagery, level, members, area) for level, members in sorted(by_level.items())]
    for group, found in lists.items():
        entry = np.arange(len(found.level), dtype=np.int32)
        parts.append(Plan(found.level, found.x, found.y, np.full_like(entry, group), entry))
    names = ("level", "x", "y", "group", "entry")
    if not parts:
        return Plan(np.empty(0, dtype=np.int8), *(np.empty(0, dtype=np.int32) for _ in names[1:]))
    if len(parts) == 1:
        return parts[0]
    columns = []
    for name in names:  # one after the other, so that a plan of ten million tiles is never held twice
        columns.append(np.concatenate([getattr(part, name) for part in parts]))
    return Plan(*columns)


def _tiles_of_level(imagery: Imagery, level: int, groups: list[int], area: Any) -> Plan:
    """Sort the tiles of one level by (quadkey, group), each once."""
    pieces = [
        (quadkey_number(x, y) << _GROUP_BITS) | group for group in groups for x, y in imagery.cover(group, level, area)
    ]
    keys: IntArray = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)
    del pieces
    keys.sort()
    again = keys[1:] == keys[:-1]
    if again.any():
        keys = keys[np.concatenate([[True], ~again])]
    x, y, group = (np.empty(keys.size, dtype=np.int32) for _ in range(3))
    for start in range(0, keys.size, _AT_ONCE):  # the arithmetic takes several times the memory of its result
        part = slice(start, start + _AT_ONCE)
        x[part], y[part] = quadkey_number_to_xy(keys[part] >> _GROUP_BITS)
        group[part] = keys[part] & ((1 << _GROUP_BITS) - 1)
    return Plan(np.full(keys.size, level, dtype=np.int8), x, y, group, np.full(keys.size, -1, dtype=np.int32))
