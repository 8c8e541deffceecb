"""Which classes cover a tile, from class rasters or polygons."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.features
import rasterio.transform
import shapely
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from git10m import recipe
from git10m.captions.layers import read_vector, tidy
from git10m.errors import RecipeError, SourceError
from git10m.grid import HALF_WORLD_M, MAX_LATITUDE, Tile, pixel_size_m, tile_size_m

__all__ = ["MIN_CLASS_SHARE", "MIN_KNOWN_SHARE", "MIN_PART_SHARE", "LandCover", "open_land_cover"]

MIN_KNOWN_SHARE = 0.5
"""Least share of a tile's pixels with a named class; below it nothing is said of its land cover."""
MIN_CLASS_SHARE = 0.01
"""A class below this share of the tile is not listed."""
MIN_PART_SHARE = 0.6
"""A class lies in a quarter, or in the centre, when that holds at least this share of its pixels."""

Labels = npt.NDArray[np.uint16]

_PARTS = ("north-west", "north-east", "south-west", "south-east", "centre")
_RASTER_SUFFIXES = {".tif", ".tiff", ".vrt", ".jp2", ".img"}
_VECTOR_SUFFIXES = {".geojson", ".json", ".gpkg", ".shp", ".fgb", ".gml", ".kml"}
_OPEN_RASTERS = 8
_MERCATOR = "EPSG:3857"


def open_land_cover(land_cover: recipe.LandCover) -> LandCover:
    """Open the class rasters or polygons that a recipe names; its paths are absolute.

    Raises:
        RecipeError: If a path matches no file, a class code is no number, or a column is not in its layer.
        SourceError: If a file cannot be read or states no coordinate reference system.
    """
    patterns = (land_cover.path,) if isinstance(land_cover.path, str) else land_cover.path
    if land_cover.attribute is not None:
        paths = _files(patterns, _VECTOR_SUFFIXES)
        return LandCover(ClassPolygons(paths, attribute=land_cover.attribute, classes=land_cover.classes))
    return LandCover(ClassRasters(_files(patterns, _RASTER_SUFFIXES), classes=land_cover.classes or {}))


@dataclass(frozen=True)
class Window:
    """A window of EPSG:3857: its upper left corner, side of a pixel, and shape in pixels."""

    west_m: float
    north_m: float
    pixel_m: float
    height: int
    width: int

    @property
    def transform(self) -> rasterio.Affine:
        return rasterio.Affine(self.pixel_m, 0.0, self.west_m, 0.0, -self.pixel_m, self.north_m)

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        south, east = self.north_m - self.height * self.pixel_m, self.west_m + self.width * self.pixel_m
        return self.west_m, south, east, self.north_m


class ClassRasters:
    """Rasters of class codes; where they overlap, the first that knows the ground is believed."""

    def __init__(self, paths: Sequence[str], *, classes: Mapping[str, str]) -> None:
        codes = {_code(code): tidy(name) for code, name in classes.items()}
        self.names = sorted({name for name in codes.values() if name is not None})
        self._labels = {code: self.names.index(name) + 1 for code, name in codes.items() if name is not None}
        self._paths = list(paths)
        self._open: OrderedDict[str, rasterio.DatasetReader] = OrderedDict()
        self._tree = shapely.STRtree([shapely.box(*_raster_bounds_m(path)) for path in self._paths])

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def read(self, window: Window) -> Labels:
        """Return the class at each pixel's centre: 0 unknown, i + 1 for ``names[i]``; shape (height, width)."""
        labels = np.zeros((window.height, window.width), dtype=np.uint16)
        for index in np.sort(self._tree.query(shapely.box(*window.bounds_m))):
            codes, known = self._warp(self._paths[index], window)
            known &= labels == 0
            for code, label in self._labels.items():
                labels[known & (codes == code)] = label
        return labels

    def _warp(self, path: str, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        source = self._opened(path)
        try:
            with WarpedVRT(
                source,
                crs=_MERCATOR,
                transform=window.transform,
                width=window.width,
                height=window.height,
                resampling=Resampling.nearest,
                # Without alpha, ground outside a raster that states no nodata value would read as code 0.
                add_alpha=MaskFlags.alpha not in source.mask_flag_enums[0],
            ) as warped:
                return warped.read(1), warped.dataset_mask() > 0
        except RasterioError as error:
            raise SourceError(f"{path}: the land-cover raster cannot be warped ({error}); replace the file") from error

    def _opened(self, path: str) -> rasterio.DatasetReader:
        if path not in self._open:
            if len(self._open) >= _OPEN_RASTERS:
                self._open.popitem(last=False)[1].close()
            self._open[path] = _open_raster(path)
        self._open.move_to_end(path)
        return self._open[path]


class ClassPolygons:
    """Polygons with a class each; where they overlap, the first is believed."""

    def __init__(self, paths: Sequence[str], *, attribute: str, classes: Mapping[str, str] | None) -> None:
        geometries: list[Any] = []
        names: list[str] = []
        for path in paths:
            frame = read_vector(path, columns=[attribute])
            values = [_class_name(value, classes) for value in frame[attribute]]
            for geometry, name in zip(_to_mercator(frame), values, strict=True):
                if name is not None and geometry is not None and not geometry.is_empty:
                    geometries.append(geometry)
                    names.append(name)
        self.names = sorted(set(names))
        numbers = {name: number for number, name in enumerate(self.names, start=1)}
        self._shapes = [(geometry, numbers[name]) for geometry, name in zip(geometries, names, strict=True)]
        self._tree = shapely.STRtree(geometries)

    def close(self) -> None:
        """Nothing stays open."""

    def read(self, window: Window) -> Labels:
        """Return the class at each pixel's centre, as `ClassRasters.read` does."""
        labels = np.zeros((window.height, window.width), dtype=np.uint16)
        touching = np.sort(self._tree.query(shapely.box(*window.bounds_m)))
        if touching.size:
            # What is burnt later lies on top.
            rasterio.features.rasterize(
                [self._shapes[index] for index in touching[::-1]], out=labels, transform=window.transform
            )
        return labels


class LandCover:
    """Land cover of tiles, from class rasters or polygons.

    Args:
        source: Where classes are read.
    """

    def __init__(self, source: ClassRasters | ClassPolygons) -> None:
        self._source = source

    def close(self) -> None:
        """Close the rasters that are open."""
        self._source.close()

    def of(self, tiles: Collection[Tile], *, tile_size: int) -> dict[Tile, list[dict[str, Any]] | None]:
        """Return ``land_cover`` of ``records.FACTS`` for each tile, reading the box around all of them once.

        Args:
            tiles: Neighbouring tiles of one level, at least one.
            tile_size: Pixels a side of a tile.

        Raises:
            SourceError: If a raster cannot be read.
        """
        level = next(iter(tiles)).level
        left, top = min(tile.x for tile in tiles), min(tile.y for tile in tiles)
        window = Window(
            west_m=left * tile_size_m(level) - HALF_WORLD_M,
            north_m=HALF_WORLD_M - top * tile_size_m(level),
            pixel_m=pixel_size_m(level, tile_size=tile_size),
            height=(max(tile.y for tile in tiles) - top + 1) * tile_size,
            width=(max(tile.x for tile in tiles) - left + 1) * tile_size,
        )
        labels = self._source.read(window)
        found = {}
        for tile in tiles:
            row, column = (tile.y - top) * tile_size, (tile.x - left) * tile_size
            found[tile] = _shares(labels[row : row + tile_size, column : column + tile_size], self._source.names)
        return found


def _shares(labels: Labels, names: Sequence[str]) -> list[dict[str, Any]] | None:
    """Describe the classes of a tile, by falling share of all its pixels; None where too little is known.

    Shares are of the whole tile, so that "about 60 percent of the scene" holds where some ground is unknown too.
    """
    half, quarter = labels.shape[0] // 2, labels.shape[0] // 4
    boxes = (
        labels[:half, :half],
        labels[:half, half:],
        labels[half:, :half],
        labels[half:, half:],
        labels[quarter : quarter + half, quarter : quarter + half],
    )
    counts = np.stack([np.bincount(box.ravel(), minlength=len(names) + 1) for box in boxes])
    totals = counts[:4].sum(axis=0)
    if totals[0] > (1.0 - MIN_KNOWN_SHARE) * labels.size:
        return None
    listed = []
    for number in (np.flatnonzero(totals[1:] >= MIN_CLASS_SHARE * labels.size) + 1).tolist():
        best = int(np.argmax(counts[:, number]))
        part = _PARTS[best] if counts[best, number] >= MIN_PART_SHARE * totals[number] else None
        share = float(totals[number] / labels.size)
        listed.append({"name": names[number - 1], "share": round(share, 4), "part": part})
    return sorted(listed, key=lambda entry: (-entry["share"], entry["name"])) or None


def _files(patterns: Iterable[str], suffixes: set[str]) -> list[str]:
    """Return the files that files, folders and globs stand for, each once, in the order of the recipe."""
    found: dict[str, None] = {}
    for pattern in patterns:
        if Path(pattern).is_dir():
            matches = sorted(str(path) for path in Path(pattern).rglob("*") if path.suffix.lower() in suffixes)
        elif any(mark in pattern for mark in "*?["):
            root = Path(Path(pattern).anchor)
            matches = sorted(str(path) for path in root.glob(str(Path(pattern).relative_to(root))))
        else:
            matches = [pattern]
        if not matches:
            raise RecipeError(
                f"captions.land_cover.path = {pattern!r} matches no file; expected {', '.join(sorted(suffixes))}"
            )
        found.update(dict.fromkeys(matches))
    return list(found)


def _open_raster(path: str) -> rasterio.DatasetReader:
    try:
        source = rasterio.open(path)
    except RasterioError as error:
        raise SourceError(
            f"{path}: the land-cover raster cannot be opened ({error}); name a raster that GDAL reads"
        ) from error
    if source.crs is None:
        source.close()
        raise SourceError(f"{path}: the land-cover raster states no coordinate reference system; add one to it")
    return source


def _raster_bounds_m(path: str) -> tuple[float, float, float, float]:
    """Return (west, south, east, north) of a raster in EPSG:3857, within the square of the grid."""
    with _open_raster(path) as source:
        box = rasterio.transform.array_bounds(source.height, source.width, source.transform)
        bounds = transform_bounds(source.crs, _MERCATOR, *box)
    world = (-HALF_WORLD_M, -HALF_WORLD_M, HALF_WORLD_M, HALF_WORLD_M)
    # A raster over a pole or across the antimeridian has no box there: look into it for every tile.
    if not np.isfinite(bounds).all() or bounds[0] > bounds[2]:
        return world
    return tuple(np.clip(bounds, -HALF_WORLD_M, HALF_WORLD_M).tolist())


def _to_mercator(frame: geopandas.GeoDataFrame) -> list[Any]:
    """Project polygons to EPSG:3857; long edges get vertices, for a straight edge bends under projection."""
    geometries = frame.geometry
    step = 5000.0 / frame.crs.axis_info[0].unit_conversion_factor
    if frame.crs.is_geographic:
        step = 0.05
        geometries = geometries.clip_by_rect(-180.0, -MAX_LATITUDE, 180.0, MAX_LATITUDE)
    projected = geometries.segmentize(step).to_crs(_MERCATOR)
    return list(projected)


def _class_name(value: Any, classes: Mapping[str, str] | None) -> str | None:
    text = tidy(value)
    return text if classes is None or text is None else tidy(classes.get(text))


def _code(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise RecipeError(
            f"captions.land_cover.classes: {text!r} is no class code; a raster needs numbers, "
            'e.g. classes = {10 = "forest"}, and a vector file needs attribute = "COLUMN"'
        ) from error
