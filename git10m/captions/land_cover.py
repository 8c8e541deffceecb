"""Which classes cover a tile, from class rasters or polygons."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import rasterio.features
import shapely

from git10m import recipe
from git10m.captions.wording import tidy
from git10m.errors import RecipeError, SourceError
from git10m.grid import MAX_LATITUDE, Tile
from git10m.sources.files import RASTER_SUFFIXES, date_in, expand
from git10m.sources.raster import footprint, turned_boxes
from git10m.sources.reading import Block, read_classes
from git10m.vectors import read_vectors

__all__ = ["MIN_CLASS_SHARE", "MIN_KNOWN_SHARE", "MIN_PART_SHARE", "LandCover", "open_land_cover"]

MIN_KNOWN_SHARE = 0.5
"""Least share of a tile's pixels with a named class; below it nothing is said of its land cover."""
MIN_CLASS_SHARE = 0.01
"""A class below this share of the tile is not listed."""
MIN_PART_SHARE = 0.6
"""A class lies in a quarter, or in the centre, when that holds at least this share of its pixels."""

Labels = npt.NDArray[np.uint16]

_PARTS = ("north-west", "north-east", "south-west", "south-east", "centre")
_VECTOR_SUFFIXES = frozenset({".geojson", ".json", ".gpkg", ".shp", ".fgb", ".gml", ".kml"})
_MERCATOR = "EPSG:3857"


def open_land_cover(land_cover: recipe.LandCover) -> LandCover:
    """Open the class rasters or polygons that a recipe names; its paths are absolute.

    Raises:
        RecipeError: If a path matches no file, a class code is no number, or a column is not in its layer.
        SourceError: If a file cannot be read or states no coordinate reference system.
    """
    if land_cover.attribute is not None:
        paths = _files(land_cover.path, suffixes=_VECTOR_SUFFIXES)
        return LandCover(
            ClassPolygons(paths, attribute=land_cover.attribute, classes=land_cover.classes), parts=land_cover.parts
        )
    paths, classes = _files(land_cover.path, suffixes=RASTER_SUFFIXES), land_cover.classes or {}
    if land_cover.date_pattern is None:
        return LandCover(ClassRasters(paths, classes=classes), parts=land_cover.parts)
    by_day: dict[date | None, list[str]] = {}
    for path in paths:
        by_day.setdefault(_day_of(path, land_cover.date_pattern), []).append(path)
    rasters = {day: ClassRasters(found, classes=classes) for day, found in by_day.items()}
    return LandCover(rasters.get(None), by_day=rasters, parts=land_cover.parts)


class ClassRasters:
    """Rasters of class codes; where they overlap, the first that knows the ground is believed."""

    def __init__(self, paths: Sequence[str], *, classes: Mapping[str, str]) -> None:
        codes = {_code(code): tidy(name) for code, name in classes.items()}
        self.names = sorted({name for name in codes.values() if name is not None})
        self._labels = {code: self.names.index(name) + 1 for code, name in codes.items() if name is not None}
        self._paths = list(paths)
        self._tree = shapely.STRtree([footprint(path) for path in self._paths])

    def read(self, block: Block) -> Labels:
        """Return the class at each pixel's centre: 0 unknown, i + 1 for ``names[i]``; shape (height, width)."""
        labels = np.zeros(block.shape, dtype=np.uint16)
        for index in np.unique(self._tree.query(turned_boxes(block.bounds))[1]):
            codes, known = read_classes(self._paths[index], block)
            known &= labels == 0
            for code, label in self._labels.items():
                labels[known & (codes == code)] = label
        return labels


class ClassPolygons:
    """Polygons with a class each; where they overlap, the first is believed."""

    def __init__(self, paths: Sequence[str], *, attribute: str, classes: Mapping[str, str] | None) -> None:
        geometries: list[Any] = []
        names: list[str] = []
        for path in paths:
            frame = read_vectors(path, columns=[attribute])
            values = [_class_name(value, classes) for value in frame[attribute]]
            for geometry, name in zip(_to_mercator(frame), values, strict=True):
                if name is not None and geometry is not None and not geometry.is_empty:
                    geometries.append(geometry)
                    names.append(name)
        self.names = sorted(set(names))
        numbers = {name: number for number, name in enumerate(self.names, start=1)}
        self._shapes = [(geometry, numbers[name]) for geometry, name in zip(geometries, names, strict=True)]
        self._tree = shapely.STRtree(geometries)

    def read(self, block: Block) -> Labels:
        """Return the class at each pixel's centre, as `ClassRasters.read` does."""
        labels = np.zeros(block.shape, dtype=np.uint16)
        touching = np.sort(self._tree.query(shapely.box(*block.bounds_m)))
        if touching.size:
            # What is burnt later lies on top.
            rasterio.features.rasterize(
                [self._shapes[index] for index in touching[::-1]], out=labels, transform=block.transform
            )
        return labels


class LandCover:
    """Land cover of tiles, from class rasters or polygons.

    Args:
        source: Where classes are read; None: only what has a day.
        by_day: Where the classes of tiles of a day are read; None: all days are told from ``source``.
        parts: Whether it is told in which part of a tile a class lies.
    """

    def __init__(
        self,
        source: ClassRasters | ClassPolygons | None,
        *,
        by_day: Mapping[date | None, ClassRasters] | None = None,
        parts: bool = True,
    ) -> None:
        self._source, self._by_day, self._parts = source, by_day, parts

    def of(
        self, tiles: Collection[Tile], *, tile_size: int, day: date | None = None
    ) -> dict[Tile, list[dict[str, Any]] | None]:
        """Return ``land_cover`` of ``records.FACTS`` for each tile, reading the box around all of them once.

        Args:
            tiles: Neighbouring tiles of one level, at least one.
            tile_size: Pixels a side of a tile.
            day: When they were taken; matters where class rasters have dates.

        Raises:
            SourceError: If a raster cannot be read.
        """
        source = self._source if self._by_day is None else self._by_day.get(day)
        if source is None:
            return dict.fromkeys(tiles)
        left, top = min(tile.x for tile in tiles), min(tile.y for tile in tiles)
        block = Block(
            level=next(iter(tiles)).level,
            x=left,
            y=top,
            columns=max(tile.x for tile in tiles) - left + 1,
            rows=max(tile.y for tile in tiles) - top + 1,
            tile_size=tile_size,
        )
        labels = source.read(block)
        found = {}
        for tile in tiles:
            row, column = (tile.y - top) * tile_size, (tile.x - left) * tile_size
            own = labels[row : row + tile_size, column : column + tile_size]
            found[tile] = _shares(own, source.names, parts=self._parts)
        return found


def _shares(labels: Labels, names: Sequence[str], *, parts: bool) -> list[dict[str, Any]] | None:
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
        part = _PARTS[best] if parts and counts[best, number] >= MIN_PART_SHARE * totals[number] else None
        share = float(totals[number] / labels.size)
        listed.append({"name": names[number - 1], "share": round(share, 4), "part": part})
    return sorted(listed, key=lambda entry: (-entry["share"], entry["name"])) or None


def _day_of(path: str, pattern: str) -> date | None:
    """Return the day that a file's name states; None where it states none, which then serves tiles without a date."""
    try:
        return date_in(path, pattern=pattern, of="captions.land_cover").at.date()
    except SourceError:
        return None


def _files(path: str | tuple[str, ...], *, suffixes: frozenset[str]) -> list[str]:
    """Return the files that files, folders and globs stand for, each once, in the order of the recipe."""
    found = [file for _, file in expand(path, suffixes=suffixes)]
    if not found:
        raise RecipeError(
            f"captions.land_cover.path = {path!r} matches no file; expected {', '.join(sorted(suffixes))}"
        )
    return list(dict.fromkeys(found))


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
