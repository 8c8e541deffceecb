"""Which tiles a build asks for: every tile that a scene covers, supports and the region wants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from git10m.grid import IntArray, Tile, quadkey_number, tile_centres
from git10m.recipe import Tiles
from git10m.region import tiles_touching
from git10m.sources import Request
from git10m.sources.mosaic import BLOCK_TILES, Mosaic

__all__ = ["Plan", "plan_tiles"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The tiles of a build, sorted by (level, quadkey, group); arrays of one length.

    Attributes:
        level: int8.
        x: int32.
        y: int32.
        group: int32, index of the mosaic's group.
    """

    level: npt.NDArray[np.int8]
    x: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]
    group: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.level)

    def requests(self, start: int, stop: int) -> Iterator[Request]:
        """Yield the requests of a range."""
        for i in range(start, stop):
            yield Request(Tile(int(self.level[i]), int(self.x[i]), int(self.y[i])), int(self.group[i]))

    def thinned(self, most: int) -> Plan:
        """Return at most so many tiles, spread evenly over the plan."""
        if most >= len(self):
            return self
        kept = np.arange(most, dtype=np.int64) * len(self) // most
        return Plan(self.level[kept], self.x[kept], self.y[kept], self.group[kept])

    def unit_bounds(self, unit_rows: int) -> list[int]:
        """Cut the plan into units of at least ``unit_rows`` tiles that never divide a block of 8×8.

        Returns:
            Positions: unit ``k`` runs from the ``k``-th to the one after it.
        """
        if not len(self):
            return [0]
        block = np.stack([self.level, self.x // BLOCK_TILES, self.y // BLOCK_TILES])
        starts = np.flatnonzero(np.any(block[:, 1:] != block[:, :-1], axis=0)) + 1
        bounds = [0]
        for start in starts.tolist():
            if start - bounds[-1] >= unit_rows:
                bounds.append(start)
        return [*bounds, len(self)]


def plan_tiles(mosaic: Mosaic, tiles: Tiles, *, area: Any = None) -> Plan:
    """List the tiles of every group.

    Args:
        mosaic: Scenes and groups.
        tiles: Levels and the rule about oversampling.
        area: Area of interest in degrees; None: wherever the scenes are.
    """
    levels, packed, groups = [], [], []
    for number, group in enumerate(mosaic.groups):
        wanted = sorted({level for i in group.scenes for level in mosaic.scenes[i].source.levels or tiles.levels})
        for level in wanted:
            found = [_scene_tiles(mosaic, i, level, tiles, area) for i in group.scenes]
            once = np.unique(np.concatenate(found))
            if once.size:
                packed.append(once)
                levels.append(np.full(once.size, level, dtype=np.int8))
                groups.append(np.full(once.size, number, dtype=np.int32))
    if not packed:
        empty = np.empty(0, dtype=np.int32)
        return Plan(empty.astype(np.int8), empty, empty, empty)
    return _sorted(np.concatenate(levels), np.concatenate(packed), np.concatenate(groups))


def _scene_tiles(mosaic: Mosaic, index: int, level: int, tiles: Tiles, area: Any) -> IntArray:
    """Return the packed (x, y) of the tiles of a level that one scene can fill."""
    scene = mosaic.scenes[index]
    nothing = np.empty(0, dtype=np.int64)
    if level not in (scene.source.levels or tiles.levels):
        return nothing
    if not (tiles.oversample or scene.ever_supported(level, tile_size=tiles.size)):
        return nothing
    footprint = mosaic.outlines[index]
    if area is not None:
        footprint = shapely.union_all([_shifted(footprint, turn).intersection(area) for turn in (-360.0, 0.0, 360.0)])
    kept = [nothing]
    for x, y in tiles_touching(footprint, level):
        if not tiles.oversample:
            lon, lat = tile_centres(level, x, y)
            fine = scene.supported(level, lon, lat, tile_size=tiles.size)
            x, y = x[fine], y[fine]  # noqa: PLW2901 - the pieces shrink, nothing else is meant
        kept.append((x.astype(np.int64) << 32) | y.astype(np.int64))
    return np.concatenate(kept)


def _shifted(shape: Any, degrees: float) -> Any:
    return shapely.transform(shape, lambda points: points + np.array([degrees, 0.0]))


def _sorted(level: npt.NDArray[np.int8], packed: IntArray, group: npt.NDArray[np.int32]) -> Plan:
    x, y = packed >> 32, packed & 0xFFFFFFFF
    order = np.lexsort((group, quadkey_number(x, y), level))
    return Plan(level[order], x[order].astype(np.int32), y[order].astype(np.int32), group[order])
