"""Areas on the globe and the tiles that they touch.

Areas are shapely polygons in degrees. Longitudes may run past ±180° where an area crosses the antimeridian; tiles
are wrapped back into the grid. Latitudes beyond ±85.0511° lie outside the grid.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from git10m.errors import RegionError
from git10m.grid import IntArray, lonlat_to_xy
from git10m.recipe import Region, shown
from git10m.vectors import read_vectors

__all__ = ["area_of", "box_area", "intersection", "tiles_touching", "unwrap"]

_DESCENT_LEVELS = 3
"""Levels between two tests of the descent: one cell becomes 64."""
_ROUNDING = 1e-13
"""Part of the grid's width (4 µm) below which an overlap is the rounding of coordinates on the grid's own lines."""
_CIRCLE_POINTS = 128
_KM_PER_DEGREE = 111.2
_STRAIGHT_DEG = 0.1
"""Edges are straight in degrees and curved on the grid; pieces of this length stray by less than 10 m."""


def area_of(region: Region) -> BaseGeometry:
    """Return the area of interest of a recipe, in degrees; longitudes may run past ±180°.

    Raises:
        RegionError: If a column or value is not in a file, or the area is empty or malformed.
        SourceError: If a file cannot be read.
    """
    if region.bbox is not None:
        area = box_area(region.bbox)
    elif region.file is not None:
        area = _from_file(region)
    else:
        assert region.buffer_km is not None
        area = shapely.union_all([_around(lon, lat, region.buffer_km) for lon, lat in _checked(region.points)])
    for cut in region.exclude:
        hole = _joined(_in_degrees(cut)) if isinstance(cut, str) else box_area(cut)
        for degrees in (-360.0, 0.0, 360.0):
            area = area.difference(_turned(hole, degrees))
    if area.is_empty or area.area == 0:
        said = region.bbox or region.file or f"{len(region.points)} points"
        left = " once exclude is cut out" if region.exclude else ""
        raise RegionError(f"region {said} is empty{left}; give one with an area")
    return area


def intersection(area: BaseGeometry, other: BaseGeometry) -> BaseGeometry:
    """Return the ground that two areas share; either may run past ±180°."""
    return shapely.union_all([area.intersection(_turned(other, degrees)) for degrees in (-360.0, 0.0, 360.0)])


def _turned(area: BaseGeometry, degrees: float) -> BaseGeometry:
    return shapely.transform(area, lambda points: points + np.array([degrees, 0.0]))


def unwrap(lon: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Make a ring's longitudes continuous: jumps of more than 180° are steps across the antimeridian."""
    return np.unwrap(lon, period=360.0)


def tiles_touching(area: BaseGeometry, level: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the columns and rows of all tiles of a level that share ground with an area, in pieces.

    The grid is descended eight-fold: cells inside the area are expanded without further tests, cells outside are
    left, so the work grows with the outline and memory with one piece (at most 65,536 tiles).

    Args:
        area: Polygon(s) in degrees; longitudes may exceed ±180°.
        level: Level of the tiles.
    """
    flat = shapely.transform(shapely.segmentize(area, _STRAIGHT_DEG), _to_unit_square)
    if flat.is_empty or flat.area == 0:
        return
    shapely.prepare(flat)
    west, _, east, _ = flat.bounds
    columns = np.arange(int(np.floor(west)), int(np.ceil(east)))  # copies of the world, side by side
    for x, y in _descend(flat, 0, columns, np.zeros_like(columns), level):
        yield x % (1 << level), y


def _descend(flat: Any, at: int, x: IntArray, y: IntArray, level: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the tiles of ``level`` below the given cells of level ``at`` that touch the area."""
    side = float(1 << at)
    near, far = _ROUNDING, 1.0 / side - _ROUNDING
    cells = shapely.box(x / side + near, y / side + near, x / side + far, y / side + far)
    touching = shapely.intersects(flat, cells)
    if at == level:
        if touching.any():
            yield x[touching], y[touching]
        return
    inside = shapely.contains_properly(flat, cells)
    step = min(_DESCENT_LEVELS, level - at)
    for cell_x, cell_y, whole in zip(x[touching], y[touching], inside[touching], strict=True):
        if whole:
            yield from _expand(at, int(cell_x), int(cell_y), level)
        else:
            below_x, below_y = _below(int(cell_x), int(cell_y), step)
            yield from _descend(flat, at + step, below_x, below_y, level)


def _expand(at: int, x: int, y: int, level: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield all tiles of ``level`` below one cell, at most 65,536 at a time."""
    down = level - at
    if down <= 8:
        yield _below(x, y, down)
        return
    for below_x, below_y in zip(*_below(x, y, down - 8), strict=True):
        yield _below(int(below_x), int(below_y), 8)


def _below(x: int, y: int, down: int) -> tuple[IntArray, IntArray]:
    side = 1 << down
    grid_x, grid_y = np.meshgrid(np.arange(x * side, (x + 1) * side), np.arange(y * side, (y + 1) * side))
    return grid_x.ravel(), grid_y.ravel()


def _to_unit_square(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack(lonlat_to_xy(points[:, 0], points[:, 1]))


def box_area(bbox: tuple[float, float, float, float]) -> BaseGeometry:
    """Return the area of (west, south, east, north) in degrees; west > east crosses the antimeridian.

    Raises:
        RegionError: If it is empty or outside the globe.
    """
    west, south, east, north = bbox
    if not (-90 <= south <= 90 and -90 <= north <= 90 and -180 <= west <= 180 and -180 <= east <= 180):
        raise RegionError(f"bbox {list(bbox)} must be [west, south, east, north] in degrees")
    if south >= north:
        raise RegionError(f"bbox {list(bbox)} is empty: south {south} is not below north {north}")
    return shapely.box(west, south, east + 360.0 if east < west else east, north)


def _from_file(region: Region) -> BaseGeometry:
    path = str(region.file)
    frame = _in_degrees(path, layer=region.layer)
    for column, wanted in region.where.items():
        frame = _having(frame, column, wanted, path)
    kinds = frame.geometry.geom_type
    if region.buffer_km is None:
        if len(frame) and not kinds.isin(["Polygon", "MultiPolygon"]).any():
            raise RegionError(f"{shown(path)}: holds no polygons but {kinds.iloc[0]}s; say buffer_km = 10 around them")
        return _joined(frame)
    parts = [_widened(geometry, region.buffer_km) for geometry in frame.geometry if geometry is not None]
    return shapely.union_all(parts)


def _in_degrees(path: str, *, layer: str | None = None) -> Any:
    return read_vectors(path, layer=layer).to_crs("OGC:CRS84")


def _having(frame: Any, column: str, wanted: Any, path: str) -> Any:
    """Return the features that have one of the wanted values in a column."""
    if column not in frame.columns:
        known = [str(name) for name in frame.columns if name != frame.geometry.name]
        raise RegionError(f"{shown(path)}: no column {column!r}; {_nearest(column, known)}")
    values = frame[column].astype(str)
    texts = [str(value) for value in (wanted if isinstance(wanted, tuple) else (wanted,))]
    for text in texts:
        if not (values == text).any():
            raise RegionError(
                f"{shown(path)}: no feature has {column} = {text!r}; {_nearest(text, sorted(set(values)))}"
            )
    return frame[values.isin(texts)]


def _nearest(given: str, known: list[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(known[:12])}{' …' if len(known) > 12 else ''}" if known else "there are none"


def _joined(frame: Any) -> BaseGeometry:
    """Join the polygons of a layer; rings that step across the antimeridian or turn about a pole are opened out."""
    polygons = frame.geometry[frame.geometry.geom_type.isin(["Polygon", "MultiPolygon"])]
    parts = shapely.get_parts(polygons.to_numpy())
    return shapely.union_all(shapely.make_valid(np.array([_opened_out(part) for part in parts], dtype=object)))


def _opened_out(polygon: Any) -> Any:
    """Return a polygon whose rings have no step of more than 180°."""
    rings = [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)]
    if all(np.abs(np.diff(ring[:, 0])).max(initial=0.0) <= 180.0 for ring in rings):
        return polygon
    outer, *inner = [_continuous(ring) for ring in rings]
    return shapely.Polygon(outer).difference(shapely.union_all([shapely.Polygon(ring) for ring in inner]))


def _continuous(ring: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a ring with continuous longitudes; one that goes round the globe is closed over its pole."""
    lon, lat = unwrap(ring[:, 0]), ring[:, 1]
    if abs(lon[-1] - lon[0]) > 180.0:
        pole = 90.0 if lat.mean() > 0 else -90.0
        lon, lat = np.concatenate([lon, lon[[-1, 0]]]), np.concatenate([lat, [pole, pole]])
    return np.column_stack([lon, lat])


def _checked(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    for lon, lat in points:
        if not (-180 <= lon <= 180 and -90 <= lat <= 90):
            raise RegionError(f"points: [{lon}, {lat}] is not [longitude, latitude] in degrees")
    return points


def _around(lon: float, lat: float, radius_km: float) -> Any:
    """Return the disc of a radius on the ellipsoid."""
    azimuths = np.linspace(0.0, 360.0, _CIRCLE_POINTS + 1)
    start = np.ones_like(azimuths)
    x, y, _ = pyproj.Geod(ellps="WGS84").fwd(lon * start, lat * start, azimuths, 1000.0 * radius_km * start)
    ring = _continuous(np.column_stack([x, y]))
    # Discs of one line are joined, so all must be told in the same turn of the globe.
    ring[:, 0] += 360.0 * round((lon - float(ring[:, 0].mean())) / 360.0)
    return shapely.make_valid(shapely.Polygon(ring))


def _widened(geometry: Any, radius_km: float) -> Any:
    """Return all ground within a distance of points and lines (taken as points a quarter of it apart)."""
    if "Polygon" in geometry.geom_type:
        raise RegionError("buffer_km is for points and lines; the file holds polygons, too: leave it out")
    step_deg = radius_km / 4.0 / _KM_PER_DEGREE
    points = shapely.get_coordinates(shapely.segmentize(geometry, step_deg))
    return shapely.union_all([_around(lon, lat, radius_km) for lon, lat in points.tolist()])
