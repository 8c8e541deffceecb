"""The web-mercator tile grid, as pure arithmetic.

Tiles follow the XYZ scheme in EPSG:3857: level ``z`` has ``2**z`` columns counted eastward from 180° W and as many
rows counted southward from 85.0511° N. Arrays are accepted wherever a coordinate is.

Resolutions come in two kinds. The *nominal* one is Git-10M's label, ``2 ** (17 - level)`` metres a pixel, which
ignores latitude. The *true* one, ``gsd_m``, is the ground distance between neighbouring pixels of a tile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

__all__ = [
    "EARTH_RADIUS_M",
    "HALF_WORLD_M",
    "MAX_LATITUDE",
    "MAX_LEVEL",
    "Tile",
    "gsd_m",
    "lonlat_to_xy",
    "nominal_resolution_m",
    "pixel_size_m",
    "quadkey_number",
    "quadkey_number_to_xy",
    "tile_centres",
    "tile_size_m",
]

EARTH_RADIUS_M = 6378137.0
"""Radius of the sphere that EPSG:3857 projects from, in metres."""
HALF_WORLD_M = math.pi * EARTH_RADIUS_M
"""Half the width of the EPSG:3857 square, in projected metres."""
MAX_LATITUDE = math.degrees(math.atan(math.sinh(math.pi)))
"""Latitude of the square's upper edge, 85.0511°."""
MAX_LEVEL = 22
"""Finest level that the toolkit accepts."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One cell of the grid.

    Args:
        level: Zoom level, 0…22.
        x: Column, 0…2**level − 1, eastward.
        y: Row, 0…2**level − 1, southward.

    Raises:
        ValueError: If a number is outside its range.
    """

    level: int
    x: int
    y: int

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_LEVEL:
            raise ValueError(f"level {self.level} is outside 0–{MAX_LEVEL}")
        side = 1 << self.level
        if not (0 <= self.x < side and 0 <= self.y < side):
            raise ValueError(f"tile x={self.x}, y={self.y} is outside 0–{side - 1} at level {self.level}")

    @classmethod
    def from_lonlat(cls, lon: float, lat: float, level: int) -> Tile:
        """Return the tile that holds a point (degrees, WGS 84); latitudes beyond ±85.0511° are clamped."""
        x, y = lonlat_to_xy(lon, lat)
        side = 1 << level
        return cls(level, min(int(x * side), side - 1), min(int(y * side), side - 1))

    @classmethod
    def from_quadkey(cls, quadkey: str) -> Tile:
        """Return the tile of a quadkey such as ``"0231"``; the empty string is the world.

        Raises:
            ValueError: If a character is not one of 0, 1, 2, 3.
        """
        x = y = 0
        for digit in quadkey:
            if digit not in "0123":
                raise ValueError(f"quadkey {quadkey!r} holds {digit!r}; its digits are 0–3")
            number = int(digit)
            x, y = 2 * x + (number & 1), 2 * y + (number >> 1)
        return cls(len(quadkey), x, y)

    @property
    def quadkey(self) -> str:
        """Base-4 address of ``level`` digits; a tile's key starts with its parent's."""
        return "".join(
            str(((self.x >> shift) & 1) | (((self.y >> shift) & 1) << 1)) for shift in range(self.level - 1, -1, -1)
        )

    @property
    def name(self) -> str:
        """Git-10M's ``Google_location``: ``"level_x_y"``."""
        return f"{self.level}_{self.x}_{self.y}"

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in EPSG:3857 metres."""
        size = tile_size_m(self.level)
        west, north = self.x * size - HALF_WORLD_M, HALF_WORLD_M - self.y * size
        return west, north - size, west + size, north

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees, WGS 84."""
        side = 1 << self.level
        west, east = (360.0 * column / side - 180.0 for column in (self.x, self.x + 1))
        north, south = (_latitude(row / side) for row in (self.y, self.y + 1))
        return west, south, east, north

    @property
    def centre(self) -> tuple[float, float]:
        """(lon, lat) in degrees of the point where the tile's diagonals cross in EPSG:3857."""
        side = 1 << self.level
        return 360.0 * (self.x + 0.5) / side - 180.0, _latitude((self.y + 0.5) / side)

    def parent(self, levels_up: int = 1) -> Tile:
        """Return the tile ``levels_up`` levels coarser that covers this one.

        Raises:
            ValueError: If there is none.
        """
        if not 0 <= levels_up <= self.level:
            raise ValueError(f"tile {self.name} has no parent {levels_up} levels up")
        return Tile(self.level - levels_up, self.x >> levels_up, self.y >> levels_up)

    def children(self, levels_down: int = 1) -> Iterator[Tile]:
        """Yield the ``4**levels_down`` tiles below this one, row by row."""
        side = 1 << levels_down
        for row in range(side):
            for column in range(side):
                yield Tile(self.level + levels_down, (self.x << levels_down) + column, (self.y << levels_down) + row)

    def gsd_m(self, tile_size: int = 256) -> float:
        """Return the true ground size of a pixel at the tile's centre, in metres."""
        return float(gsd_m(self.level, self.centre[1], tile_size=tile_size))


def tile_size_m(level: int) -> float:
    """Return the side of a tile in EPSG:3857 metres."""
    return 2.0 * HALF_WORLD_M / (1 << level)


def pixel_size_m(level: int, *, tile_size: int = 256) -> float:
    """Return the side of a pixel in EPSG:3857 metres (not ground metres)."""
    return tile_size_m(level) / tile_size


@overload
def gsd_m(level: int, lat: float, *, tile_size: int = ...) -> float: ...
@overload
def gsd_m(level: Any, lat: FloatArray, *, tile_size: int = ...) -> FloatArray: ...
def gsd_m(level: Any, lat: Any, *, tile_size: int = 256) -> Any:
    """Return the ground size of a pixel in metres: ``cos(lat)·2π·6378137 / (tile_size·2**level)``.

    Args:
        level: Zoom level or array of levels.
        lat: Latitude in degrees, or array of latitudes.
        tile_size: Pixels a side, 256 or 512.
    """
    return np.cos(np.radians(lat)) * 2.0 * HALF_WORLD_M / (tile_size * 2.0**level)


def nominal_resolution_m(level: int) -> float:
    """Return Git-10M's ``resolution`` label, ``2 ** (17 - level)`` metres a pixel, whatever the latitude."""
    return float(2.0 ** (17 - level))


def lonlat_to_xy(lon: Any, lat: Any) -> tuple[Any, Any]:
    """Project degrees to the unit square of the grid: x eastward, y southward, each 0…1."""
    sine = np.sin(np.radians(np.clip(lat, -MAX_LATITUDE, MAX_LATITUDE)))
    return (np.asarray(lon) + 180.0) / 360.0, 0.5 - np.arctanh(sine) / (2.0 * math.pi)


def tile_centres(level: int, x: IntArray, y: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return (lon, lat) in degrees of many tiles of one level."""
    side = float(1 << level)
    lat = np.degrees(np.arctan(np.sinh(math.pi * (1.0 - 2.0 * (y + 0.5) / side))))
    return np.asarray(360.0 * (x + 0.5) / side - 180.0, np.float64), np.asarray(lat, np.float64)


def quadkey_number(x: IntArray, y: IntArray) -> IntArray:
    """Interleave the bits of columns and rows: the quadkey read as a base-4 number (Z-order), level ≤ 22."""
    return _spread_bits(x) | (_spread_bits(y) << 1)


def quadkey_number_to_xy(number: IntArray) -> tuple[IntArray, IntArray]:
    """Undo `quadkey_number`."""
    return _gather_bits(number), _gather_bits(number >> 1)


def _gather_bits(values: IntArray) -> IntArray:
    gathered = np.asarray(values, dtype=np.int64) & 0x5555555555555555
    for shift, mask in (
        (1, 0x3333333333333333),
        (2, 0x0F0F0F0F0F0F0F0F),
        (4, 0x00FF00FF00FF00FF),
        (8, 0x0000FFFF0000FFFF),
        (16, 0x00000000FFFFFFFF),
    ):
        gathered = (gathered | (gathered >> shift)) & mask
    return gathered


def _spread_bits(values: IntArray) -> IntArray:
    spread = np.asarray(values, dtype=np.int64)
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        spread = (spread | (spread << shift)) & mask
    return spread


def _latitude(y: float) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * y))))
