"""Georeferenced rasters made for a test, and how a test reads one tile out of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import rasterio.errors
from rasterio import Affine
from rasterio.control import GroundControlPoint

from git10m.grid import HALF_WORLD_M, Tile, pixel_size_m
from git10m.recipe import RasterSource
from git10m.sources import Failure, Request, Sample
from git10m.sources.files import find_scenes
from git10m.sources.mosaic import Mosaic, group_scenes
from git10m.sources.raster import Scene, describe, read_block
from git10m.sources.reading import Block

PRAGUE = (14.42, 50.08)


def write(
    path: Path,
    bands: np.ndarray,
    *,
    crs: str | None = "EPSG:3857",
    transform: Affine | None = None,
    gcps: Sequence[GroundControlPoint] | None = None,
    mask: np.ndarray | None = None,
    interpretation: Sequence[Any] | None = None,
    tags: Mapping[str, str] | None = None,
    overviews: Sequence[int] = (),
    **options: Any,
) -> Path:
    """Write bands (C, H, W) as a GeoTIFF, or as another driver's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype.name}
    place = {"gcps": list(gcps), "crs": crs} if gcps else {"crs": crs, "transform": transform}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        given = {key: value for key, value in (profile | place | options).items() if value is not None}
        with rasterio.open(path, "w", **given) as file:
            if interpretation is not None:
                file.colorinterp = interpretation
            file.write(bands)
            if mask is not None:
                file.write_mask(mask)
            file.update_tags(**(tags or {}))
    if overviews:
        with rasterio.open(path, "r+") as file:
            file.build_overviews(list(overviews), rasterio.enums.Resampling.average)
    return path


def on_the_grid(tile: Tile, *, tile_size: int = 256) -> Affine:
    """Transform of an EPSG:3857 raster whose pixels are those of a level, beginning at a tile's corner."""
    west, _, _, north = tile.bounds_m
    pixel = pixel_size_m(tile.level, tile_size=tile_size)
    return Affine(pixel, 0, west, 0, -pixel, north)


def around(
    lon: float,
    lat: float,
    *,
    crs: str,
    pixel: float,
    size: int,
    turn: float = 0.0,
    flip: bool = False,
    pixel_there: tuple[float, float] | None = None,
) -> Affine:
    """Transform of a raster that has its middle, or a given (column, row), at a point.

    ``turn`` is anti-clockwise, in degrees; ``flip`` makes it south-up.
    """
    x, y = pyproj.Transformer.from_crs("OGC:CRS84", crs, always_xy=True).transform(lon, lat)
    column, row = pixel_there or (size / 2, size / 2)
    down = Affine.scale(pixel, pixel if flip else -pixel)
    return Affine.translation(x, y) @ Affine.rotation(turn) @ down @ Affine.translation(-column, -row)


def noise(height: int, width: int, *, bands: int = 3, seed: int = 0, dtype: str = "uint8") -> np.ndarray:
    """Grain without structure, 1–254: every pixel tells where it is."""
    return np.random.default_rng(seed).integers(1, 255, (bands, height, width)).astype(dtype)


def smooth(height: int, width: int, *, bands: int = 3) -> np.ndarray:
    """Waves of some 50 pixels, uint8."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([127 + 60 * np.sin(x / (8 + band)) + 50 * np.cos(y / (9 - band)) for band in range(bands)]).astype(
        np.uint8
    )


def source(path: Path | str | tuple[str, ...], **said: Any) -> RasterSource:
    """Source of a recipe, checked as a recipe's would be."""
    where = path if isinstance(path, tuple) else str(path)
    return RasterSource.model_validate({"id": "made", "path": where, **said})


def scene(path: Path | str, **said: Any) -> Scene:
    """The one scene of a path, described."""
    found = source(path, **said)
    (files,) = find_scenes(found)
    return describe(found, files)


def read_tile(path: Path, tile: Tile, **said: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (H, W, 3) and validity (H, W) of one tile of one file."""
    return read_block(scene(path, **said), Block(tile.level, tile.x, tile.y, 1, 1, 256))


def mosaic(*sources: RasterSource, oversample: bool = False, fill: tuple[int, int, int] = (0, 0, 0)) -> Mosaic:
    """All scenes of some sources, the first source first."""
    scenes = [describe(each, files) for each in sources for files in find_scenes(each)]
    groups = group_scenes(scenes, source_order=[each.id for each in sources])
    return Mosaic(tuple(scenes), tuple(groups), tile_size=256, oversample=oversample, fill=fill)


def read(made: Mosaic, *tiles: Tile, group: int = 0) -> list[Sample | Failure]:
    """Samples or failures of tiles in one group."""
    return list(made.read([Request(tile, group) for tile in tiles]))


def pixel_of(lon: float, lat: float, level: int) -> tuple[Tile, float, float]:
    """Tile of a point, and its column and row there, counted from the tile's corner."""
    tile = Tile.from_lonlat(lon, lat, level)
    x, y = pyproj.Transformer.from_crs("OGC:CRS84", "EPSG:3857", always_xy=True).transform(lon, lat)
    pixel = pixel_size_m(level)
    column = (x + HALF_WORLD_M) / pixel - tile.x * 256
    row = (HALF_WORLD_M - y) / pixel - tile.y * 256
    return tile, column, row
