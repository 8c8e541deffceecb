"""Where the pixels of a raster lie: an affine transform or control points, in any coordinate system."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio.transform
import shapely
from rasterio.control import GroundControlPoint

from git10m.errors import SourceError
from git10m.grid import FloatArray
from git10m.region import unwrap

__all__ = ["Georeference", "crs_name", "georeference", "native_gsd_m", "outline"]


@dataclass(frozen=True)
class Georeference:
    """Where the pixels of a raster lie.

    Attributes:
        crs_wkt: Coordinate system of the georeference.
        affine: Six coefficients a–f of the pixel-to-map transform; None where only control points are known.
        gcps: (row, column, x, y) of each ground control point.
    """

    crs_wkt: str
    affine: tuple[float, float, float, float, float, float] | None
    gcps: tuple[tuple[float, float, float, float], ...] = ()

    def lonlat(self, columns: FloatArray, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return degrees (WGS 84) of pixel coordinates; (0, 0) is the outer corner of the first pixel."""
        if self.affine is not None:
            a, b, c, d, e, f = self.affine
            x, y = a * columns + b * rows + c, d * columns + e * rows + f
        else:
            x, y = (np.asarray(value) for value in _gcp_transformer(self.gcps).xy(rows, columns, offset="ul"))
        lon, lat = _lonlat_transformer(self.crs_wkt).transform(x, y)
        return np.asarray(lon), np.asarray(lat)

    def pixels(self, lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (columns, rows) of points in degrees."""
        x, y = _lonlat_transformer(self.crs_wkt).transform(lon, lat, direction="INVERSE")
        if self.affine is not None:
            a, b, c, d, e, f = self.affine
            east, south = np.asarray(x) - c, np.asarray(y) - f
            return (e * east - b * south) / (a * e - b * d), (a * south - d * east) / (a * e - b * d)
        rows, columns = _gcp_transformer(self.gcps).rowcol(x, y, op=_as_it_is)
        return np.asarray(columns), np.asarray(rows)

    def native_gsd_m(self, lon: FloatArray, lat: FloatArray) -> FloatArray:
        """Return the ground size of a pixel at points in degrees: metres on the ellipsoid, coarser axis."""
        columns, rows = self.pixels(lon, lat)
        sizes = []
        for across, down in ((0.5, 0.0), (0.0, 0.5)):
            ahead = self.lonlat(columns + across, rows + down)
            behind = self.lonlat(columns - across, rows - down)
            sizes.append(_GEOD.inv(*behind, *ahead)[2])
        coarser: FloatArray = np.maximum(*sizes)
        return coarser


def georeference(dataset: Any) -> Georeference:
    """Return where an open raster lies.

    Raises:
        SourceError: If it states no coordinate system, or no position in it.
    """
    name = Path(dataset.name).name
    gcps, gcp_crs = dataset.gcps
    if dataset.crs is not None and not dataset.transform.is_identity:
        return Georeference(dataset.crs.to_wkt(), tuple(dataset.transform)[:6])
    if gcps and gcp_crs is not None:
        points = tuple((gcp.row, gcp.col, gcp.x, gcp.y) for gcp in gcps)
        return Georeference(gcp_crs.to_wkt(), None, points)
    missing = "coordinate system" if dataset.crs is None else "position (geotransform or control points)"
    raise SourceError(
        f"{name}: has no {missing}; expected a georeferenced raster: set it with gdal_edit -a_srs / -a_ullr, "
        "or leave the file out with exclude"
    )


def native_gsd_m(dataset: Any, place: Georeference) -> float:
    """Return the ground size of an open raster's middle pixel in metres, coarser axis."""
    middle = place.lonlat(np.array([dataset.width / 2.0]), np.array([dataset.height / 2.0]))
    return float(place.native_gsd_m(*middle)[0])


def outline(dataset: Any, place: Georeference) -> Any:
    """Return the polygon in degrees around an open raster, with 32 points a side; it may run past ±180°.

    Raises:
        SourceError: If a part of its rim lies nowhere on Earth.
    """
    along = np.linspace(0.0, 1.0, 33)[:-1]
    ones = np.ones_like(along)
    columns = np.concatenate([along, ones, 1.0 - along, 0.0 * ones]) * dataset.width
    rows = np.concatenate([0.0 * ones, along, ones, 1.0 - along]) * dataset.height
    lon, lat = place.lonlat(columns, rows)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise SourceError(
            f"{Path(dataset.name).name}: its rim has no longitude and latitude in {crs_name(dataset)}; "
            "correct its coordinate system or position, or leave the file out with exclude"
        )
    lon, lat = unwrap(np.append(lon, lon[0])), np.append(lat, lat[0])
    if abs(lon[-1] - lon[0]) > 180.0:  # once around the globe: the ring holds a pole
        pole = 90.0 if lat.mean() > 0 else -90.0
        lon, lat = np.append(lon, [lon[-1], lon[0]]), np.append(lat, [pole, pole])
    return shapely.make_valid(shapely.Polygon(np.column_stack([lon, lat])))


def crs_name(dataset: Any) -> str:
    """Return the short name of an open raster's coordinate system, ``"EPSG:32633"`` where it has a code."""
    crs = dataset.crs or dataset.gcps[1]
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(pyproj.CRS.from_wkt(crs.to_wkt()).name)


_GEOD = pyproj.Geod(ellps="WGS84")


@lru_cache(maxsize=64)
def _lonlat_transformer(wkt: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(pyproj.CRS.from_wkt(wkt), "OGC:CRS84", always_xy=True)


@lru_cache(maxsize=64)
def _gcp_transformer(gcps: tuple[tuple[float, float, float, float], ...]) -> Any:
    return rasterio.transform.GCPTransformer([GroundControlPoint(*gcp) for gcp in gcps])


def _as_it_is(value: Any) -> Any:
    """Keep fractional pixel coordinates, which rasterio would round."""
    return value
