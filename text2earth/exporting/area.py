"""An area of the world in degrees, as pixels and tiles of each zoom."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from git10m.grid import MAX_LATITUDE, lonlat_to_xy
from text2earth.errors import ExportError
from text2earth.world.box import Box

__all__ = ["TILE", "Address", "Area", "columns_and_rows", "count_of", "tiles_of"]

TILE = 256
"""Pixels a side of a tile."""

Address = tuple[int, int, int]
"""Zoom, column, row of a tile."""

_NEARLY = 0.02
"""Pixels by which an edge may miss a whole pixel: bounds of tiles, in degrees, are rounded to nine digits or so."""


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of longitudes and latitudes; west > east goes across the antimeridian.

    Args:
        west: Degrees, −180…180.
        south: Degrees, −90…90; what lies beyond ±85.0511° has no pixels.
        east: Degrees.
        north: Degrees.

    Raises:
        ExportError: If it is empty, or not on Earth.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        given = f"--bbox {self.west:g} {self.south:g} {self.east:g} {self.north:g} was given"
        if not all(map(math.isfinite, (self.west, self.south, self.east, self.north))):
            raise ExportError(f"{given}; four numbers are needed: west, south, east, north in degrees")
        if not all(-180.0 <= lon <= 180.0 for lon in (self.west, self.east)):
            raise ExportError(f"{given}; west and east are −180…180 degrees, west > east across the antimeridian")
        if not all(-90.0 <= lat <= 90.0 for lat in (self.south, self.north)):
            raise ExportError(f"{given}; south and north are −90…90 degrees, in the order west, south, east, north")
        if self.south >= self.north or self.west == self.east:
            raise ExportError(f"{given}; it is empty: south is less than north, and west is not east")
        if self.south >= MAX_LATITUDE or self.north <= -MAX_LATITUDE:
            raise ExportError(f"{given}; the world ends at ±{MAX_LATITUDE:.4f} degrees of latitude, as EPSG:3857 does")

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees, within the world's latitudes."""
        return self.west, max(self.south, -MAX_LATITUDE), self.east, min(self.north, MAX_LATITUDE)

    @property
    def unwrapped(self) -> tuple[float, float, float, float]:
        """Bounds with west < east: of an area across the antimeridian, those of the whole parallel."""
        west, south, east, north = self.bounds
        return (west, south, east, north) if west < east else (-180.0, south, 180.0, north)

    @property
    def centre(self) -> tuple[float, float]:
        """(lon, lat) in degrees."""
        west, south, east, north = self.bounds
        lon = (west + (east if west < east else east + 360.0)) / 2.0
        return (lon - 360.0 if lon > 180.0 else lon), (south + north) / 2.0

    def box(self, zoom: int) -> Box:
        """Return the whole pixels of a zoom that cover it; across the antimeridian it goes on beyond 2**zoom tiles."""
        west, south, east, north = self.bounds
        side = TILE << zoom
        left, top = (float(each) * side for each in lonlat_to_xy(west, north))
        right, bottom = (float(each) * side for each in lonlat_to_xy(east, south))
        right += side if right <= left else 0
        x, y = math.floor(left + _NEARLY), max(0, math.floor(top + _NEARLY))
        last_x, last_y = math.ceil(right - _NEARLY), min(side, math.ceil(bottom - _NEARLY))
        return Box(x, y, max(1, last_x - x), max(1, last_y - y))


def columns_and_rows(box: Box) -> tuple[range, range]:
    """Return the columns, which may lie beyond the world, and rows of the tiles that a box touches."""
    tiles = box.coarsened(TILE)
    return range(tiles.x, tiles.right), range(tiles.y, tiles.bottom)


def tiles_of(zoom: int, box: Box) -> Iterator[Address]:
    """Yield the tiles that a box touches, each once, neighbours together (in Z-order).

    The quadtree is walked from its root, and what lies outside the box is left out: nothing is listed beforehand.
    """
    side = 1 << zoom
    columns, rows = columns_and_rows(box)
    if len(columns) >= side:
        parts = [(0, side)]
    else:
        first = columns.start % side
        last = first + len(columns)
        parts = [(first, last)] if last <= side else [(first, side), (0, last - side)]
    waiting = [(0, 0, 0)]
    while waiting:
        level, x, y = waiting.pop()
        shift = zoom - level
        left, right, top, bottom = x << shift, (x + 1) << shift, y << shift, (y + 1) << shift
        if bottom <= rows.start or top >= rows.stop or all(right <= low or left >= high for low, high in parts):
            continue
        if level == zoom:
            yield zoom, x, y
        else:
            waiting.extend((level + 1, 2 * x + (i & 1), 2 * y + (i >> 1)) for i in (3, 2, 1, 0))


def count_of(zoom: int, box: Box) -> int:
    """Return the number of tiles that a box touches."""
    columns, rows = columns_and_rows(box)
    return min(len(columns), 1 << zoom) * len(rows)
