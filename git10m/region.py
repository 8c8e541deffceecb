"""Areas on the globe and the tiles that they touch.

Areas are shapely polygons in degrees. Longitudes may run past ±180° where an area crosses the antimeridian; tiles
are wrapped back into the grid. Latitudes beyond ±85.0511° lie outside the grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from git10m.errors import RegionError
from git10m.grid import IntArray, lonlat_to_xy
from git10m.recipe import Region

__all__ = ["area_of", "box_area", "intersection", "tiles_touching", "unwrap"]

_DESCENT_LEVELS = 3
"""Levels between two tests of the descent: one cell becomes 64."""
_ROUNDING = 1e-13
"""Part of the grid's width (4 µm) below which an overlap is the rounding of coordinates on the grid's own lines."""
_STRAIGHT_DEG = 0.1
"""Edges are straight in degrees and curved on the grid; pieces of this length stray by less than 10 m."""


def area_of(region: Region) -> BaseGeometry:
    """Return the area of interest of a recipe, in degrees.

    Raises:
        RegionError: If the file cannot be read, or the area is empty or malformed.
    """
    area = box_area(region.bbox) if region.bbox is not None else _from_file(Path(str(region.file)))
    if area.is_empty or area.area == 0:
        raise RegionError(f"region {region.bbox or region.file} is empty; give one with an area")
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


def _from_file(path: Path) -> BaseGeometry:
    import geopandas  # noqa: PLC0415 - half a second that only recipes with a file need

    try:
        frame = geopandas.read_file(path)
    except Exception as error:
        raise RegionError(f"{path}: cannot be read as a vector file ({error}); give GeoJSON or GeoPackage") from error
    if frame.crs is not None:
        frame = frame.to_crs("OGC:CRS84")
    polygons = frame.geometry[frame.geometry.geom_type.isin(["Polygon", "MultiPolygon"])]
    return shapely.union_all(shapely.make_valid(polygons.to_numpy()))
