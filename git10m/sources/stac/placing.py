"""Where the pixels of an asset lie: by the projection extension, or by opening it where an item says too little."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyproj
import rasterio.errors
import shapely
from pyproj.exceptions import ProjError
from rasterio import Affine
from rasterio.crs import CRS

from git10m.errors import SourceError
from git10m.sources.georeference import Georeference, crs_name, georeference, native_gsd_m, outline
from git10m.sources.raster import Band
from git10m.sources.reading import open_raster
from git10m.sources.stac.assets import AssetBand
from git10m.sources.stac.wanted import footprint_of, turned

__all__ = ["Placed", "place_of"]

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Placed:
    """Where the pixels of an asset's file lie.

    Attributes:
        place: Its georeference.
        outline: Polygon in degrees around all pixels.
        width: In pixels.
        height: In pixels.
        crs_name: Short name of the coordinate system.
        native_gsd_m: At the centre, coarser axis.
        synthetic: The file says that it was computed; false where it was not opened.
    """

    place: Georeference
    outline: Any
    width: int
    height: int
    crs_name: str
    native_gsd_m: float
    synthetic: bool = False


def place_of(item: Document, chosen: AssetBand, band: Band) -> Placed:
    """Return where an asset lies.

    Args:
        item: As it was found.
        chosen: What the item says of the asset.
        band: How the asset is opened, where the item says too little or contradicts itself.

    Raises:
        SourceError: If it must be opened and cannot, or has no place on Earth.
    """
    stated = _stated(item, chosen)
    if stated is not None and _agrees(stated, item):
        return stated
    dataset = open_raster(band.path, sign=band.sign)
    return _placed(dataset, synthetic=dataset.tags().get("SYNTHETIC", "").upper() == "YES")


@dataclass(frozen=True)
class _Stated:
    """What an item states of an asset's file, under the names that an open raster has for it."""

    crs: CRS
    transform: Affine
    width: int
    height: int
    name: str = "asset"

    @property
    def gcps(self) -> tuple[list[Any], None]:
        """No control points."""
        return [], None


def _stated(item: Document, chosen: AssetBand) -> Placed | None:
    """Read the projection extension of an asset, or of the item; None where it says too little."""
    own = {key: value for key, value in chosen.asset.items() if value is not None}
    said = {**item["properties"], **own}
    # Shape and position belong together: an asset of another resolution has both of its own.
    grid = own if "proj:shape" in own or "proj:transform" in own else said
    shape, transform = _numbers(grid.get("proj:shape")), _numbers(grid.get("proj:transform"))
    if len(shape) != 2 or min(shape) < 1:
        return None
    height, width = (int(side) for side in shape)
    box = _numbers(said.get("proj:bbox"))
    if len(transform) < 6 and len(box) == 4:
        transform = [(box[2] - box[0]) / width, 0.0, box[0], 0.0, (box[1] - box[3]) / height, box[3]]
    if len(transform) < 6:
        return None
    crs = json.dumps([said.get(f"proj:{key}") for key in ("code", "epsg", "wkt2", "projjson")])
    return _on_grid(crs, tuple(transform[:6]), width, height)


@lru_cache(maxsize=1024)
def _on_grid(crs: str, transform: tuple[float, ...], width: int, height: int) -> Placed | None:
    """Place a grid; most items of a mission share theirs with others."""
    known, affine = _crs(crs), Affine(*transform)
    if known is None or affine.is_degenerate or affine.is_identity:
        return None
    try:
        return _placed(_Stated(known, affine, width, height))
    except (SourceError, ProjError):
        return None


def _placed(file: Any, *, synthetic: bool = False) -> Placed:
    """Place an open raster, or what is stated of one."""
    place = georeference(file)
    rim = outline(file, place)
    return Placed(place, rim, file.width, file.height, crs_name(file), native_gsd_m(file, place), synthetic)


def _agrees(stated: Placed, item: Document) -> bool:
    """Tell whether the stated pixels lie where the item says that it is: some transforms are in another order."""
    around = footprint_of(item)
    return around is None or any(shapely.intersects(stated.outline, each) for each in turned(around))


@lru_cache(maxsize=512)
def _crs(said: str) -> CRS | None:
    """Return the first coordinate system that can be understood of code, EPSG number, WKT2 and PROJJSON."""
    for given in json.loads(said):
        try:
            if given is not None:
                return CRS.from_wkt(pyproj.CRS.from_user_input(given).to_wkt())
        except (ProjError, rasterio.errors.CRSError):
            continue
    return None


def _numbers(value: Any) -> list[float]:
    """Return a list of finite numbers, or an empty one."""
    listed = value if isinstance(value, list | tuple) else []
    known = all(isinstance(each, int | float) and math.isfinite(each) for each in listed)
    return [float(each) for each in listed] if known else []
