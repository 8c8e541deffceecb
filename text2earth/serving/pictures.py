"""``/image``: which tiles a box of longitude and latitude needs, and how they become one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from git10m.grid import HALF_WORLD_M, MAX_LATITUDE, Tile, lonlat_to_xy
from text2earth.errors import OutsideWorldError, RequestError
from text2earth.serving.settings import ServerSettings
from text2earth.serving.worlds import Pixels

__all__ = ["Picture", "parse_bbox", "plan_picture"]

_TILE = 256
_USUAL_PX = 1024
"""Longest side of a picture where nothing is said of its size."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that can be made.

    Args:
        level: Whose pixels it is made from.
        left: West edge in pixels of the level.
        top: North edge.
        right: East edge; beyond the world's width where the box crosses the antimeridian.
        bottom: South edge.
        width: Pixels of the picture.
        height: Pixels of the picture.
    """

    level: int
    left: float
    top: float
    right: float
    bottom: float
    width: int
    height: int

    @property
    def bounds_m(self) -> Box:
        """West, south, east and north in EPSG:3857 metres; east may lie beyond the antimeridian."""
        size = 2 * HALF_WORLD_M / (_TILE << self.level)
        west, east = (side * size - HALF_WORLD_M for side in (self.left, self.right))
        south, north = (HALF_WORLD_M - side * size for side in (self.bottom, self.top))
        return west, south, east, north

    def spans(self) -> tuple[range, range]:
        """Return columns and rows of the tiles that it is made of; columns may lie beyond the world's width."""
        columns = range(math.floor(self.left / _TILE), math.ceil(self.right / _TILE))
        rows = range(math.floor(self.top / _TILE), math.ceil(self.bottom / _TILE))
        return columns, rows

    def tiles(self) -> list[Tile]:
        """Return the tiles that it is made of, each once."""
        columns, rows = self.spans()
        return list(dict.fromkeys(self._tile(x, y) for y in rows for x in columns))

    def assemble(self, painted: Mapping[Tile, Pixels]) -> Pixels:
        """Return the picture, uint8 (height, width, 3).

        Where its pixels are those of the level they are taken as they are; otherwise they are averaged down.
        """
        columns, rows = self.spans()
        mosaic = np.concatenate(
            [np.concatenate([painted[self._tile(x, y)] for x in columns], axis=1) for y in rows], axis=0
        )
        left, top = self.left - columns[0] * _TILE, self.top - rows[0] * _TILE
        right, bottom = self.right - columns[0] * _TILE, self.bottom - rows[0] * _TILE
        if (self.width, self.height) == (right - left, bottom - top) and left == int(left) and top == int(top):
            return mosaic[int(top) : int(bottom), int(left) : int(right)]
        picture = Image.fromarray(mosaic).resize(
            (self.width, self.height), Image.Resampling.BILINEAR, box=(left, top, right, bottom)
        )
        return np.asarray(picture)

    def _tile(self, x: int, y: int) -> Tile:
        return Tile(self.level, x % (1 << self.level), y)


def parse_bbox(text: str) -> Box:
    """Read ``WEST,SOUTH,EAST,NORTH`` in degrees; east is less than west where the box crosses the antimeridian.

    Raises:
        RequestError: If it is no box on the map.
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise RequestError(f"bbox is {text!r}; it is WEST,SOUTH,EAST,NORTH, in degrees") from None
    if not (-180 <= west <= 180 and -180 <= east <= 180 and west != east):
        raise RequestError(f"bbox is {text!r}; west and east are −180…180 degrees, and differ")
    if not -MAX_LATITUDE <= south < north <= MAX_LATITUDE:
        raise RequestError(f"bbox is {text!r}; south is less than north, both within ±{MAX_LATITUDE:.4f} degrees")
    return west, south, east, north


def plan_picture(
    box: Box,
    *,
    levels: range,
    settings: ServerSettings,
    level: int | None = None,
    width: int | None = None,
    height: int | None = None,
) -> Picture:
    """Choose the level of a picture, and its size.

    With a level and no size the picture has the level's own pixels, and its edges move outward to their grid. With a
    size it shows just the box; where no level is given it is made from the coarsest that has pixels enough.

    Args:
        box: West, south, east, north in degrees.
        levels: That the world has.
        settings: Limits of size.
        level: Whose pixels it is made from.
        width: Pixels; where one of both is left out it follows from the other.
        height: Pixels.

    Raises:
        OutsideWorldError: If the world has no such level, or none that is fine enough.
        RequestError: If the picture is too large.
    """
    if level is not None and level not in levels:
        raise OutsideWorldError(f"level is {level}; this world has the levels {levels[0]}…{levels[-1]}")
    unit = _unit_box(box)
    wide, high = unit[2] - unit[0], unit[3] - unit[1]
    if width is None and height is None and level is not None:
        picture = _on_the_grid(unit, level)
    else:
        finest = (_TILE << levels[-1]) * max(wide, high)
        if width is None and height is None:
            longest = max(1, min(_USUAL_PX, int(finest)))
            width, height = (longest, None) if wide >= high else (None, longest)
        width = width or max(1, round((height or 1) * wide / high))
        height = height or max(1, round(width * high / wide))
        chosen = _level_for(max(width / wide, height / high), levels=levels) if level is None else level
        side = _TILE << chosen
        left, top, right, bottom = (part * side for part in unit)
        picture = Picture(chosen, left, top, right, bottom, width, height)
        _check_detail(picture)
    _check_size(picture, settings)
    return picture


def _unit_box(box: Box) -> Box:
    """Return left, top, right and bottom in widths of the world, from its north-west corner."""
    west, south, east, north = box
    (left, right), (bottom, top) = lonlat_to_xy(np.array([west, east]), np.array([south, north]))
    left, top, right, bottom = float(left), max(0.0, float(top)), float(right), min(1.0, float(bottom))
    return left, top, right + 1.0 if east < west else right, bottom


def _on_the_grid(unit: Box, level: int) -> Picture:
    side = _TILE << level
    # A box that was read off the grid comes back to it, in spite of the last digits of its degrees.
    left, top = (math.floor(part * side + 1e-3) for part in unit[:2])
    right, bottom = (math.ceil(part * side - 1e-3) for part in unit[2:])
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    return Picture(level, left, top, right, bottom, right - left, bottom - top)


def _level_for(pixels_a_world: float, *, levels: range) -> int:
    """Return the coarsest level whose pixels are no larger than those that were asked for, or the finest there is."""
    return next((level for level in levels if (_TILE << level) >= pixels_a_world * (1 - 1e-9)), levels[-1])


def _check_detail(picture: Picture) -> None:
    """Refuse to invent pixels between those of a level."""
    across, down = picture.right - picture.left, picture.bottom - picture.top
    if picture.width > math.ceil(across) + 1 or picture.height > math.ceil(down) + 1:
        raise OutsideWorldError(
            f"{picture.width}×{picture.height} px were asked for; at level {picture.level} this box has "
            f"{math.ceil(across)}×{math.ceil(down)}; ask for fewer, or for a larger box"
        )


def _check_size(picture: Picture, settings: ServerSettings) -> None:
    if max(picture.width, picture.height) > settings.image_px:
        raise RequestError(
            f"the picture would have {picture.width}×{picture.height} px; "
            f"{settings.image_px} a side are allowed: ask for a smaller box, a coarser level or fewer pixels"
        )
    columns, rows = picture.spans()
    if len(columns) * len(rows) > settings.image_tiles:
        raise RequestError(
            f"the picture would be made of {len(columns) * len(rows)} tiles of level {picture.level}; "
            f"{settings.image_tiles} are allowed: ask for a smaller box or a coarser level"
        )
