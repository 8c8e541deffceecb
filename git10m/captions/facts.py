"""What is known to be true of a tile, offline: time, platform, nearest town, areas, land cover, objects, relief.

Facts have the keys and types of ``records.FACTS``. A fact that is not known is None; nothing is guessed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from git10m import recipe
from git10m.captions.gazetteer import geonames, read_places
from git10m.captions.land_cover import open_land_cover
from git10m.captions.objects import Objects, View
from git10m.captions.relief import ReliefFinder
from git10m.captions.wording import tidy
from git10m.grid import Tile
from git10m.vectors import read_vectors

__all__ = ["TROPIC_DEGREES", "VALID_CELLS", "FactFinder", "Subject", "season", "valid_mask"]

TROPIC_DEGREES = 23.44
"""Latitude of the tropics; between them the year has no four seasons."""

VALID_CELLS = 16
"""Cells a side of the grid that tells where a tile has pixels."""

FloatArray = npt.NDArray[np.float64]

_SEASONS = ("winter", "spring", "summer", "autumn")
_BLOCK_SHIFT = 3
"""Layers are read for blocks of 8 × 8 tiles."""


@dataclass(frozen=True)
class Subject:
    """A tile of which facts are wanted.

    Args:
        tile: Its place.
        tile_size: Pixels a side.
        acquired_at: When most of it was taken; None when unknown.
        platform: ``"satellite"`` or ``"aerial"``; None when unknown.
        sensor: Name of the sensor; None when unknown.
        synthetic: True when the pixels were computed, not observed.
        native_gsd_m: Ground metres a pixel of the source, where the tile may be finer; None when unknown.
        valid: Where the tile has pixels, as a square grid of any size, north-west first; None: everywhere. What lies
            elsewhere is not seen.
    """

    tile: Tile
    tile_size: int
    acquired_at: datetime | None
    platform: str | None
    sensor: str | None
    synthetic: bool
    native_gsd_m: float | None = None
    valid: npt.NDArray[np.bool_] | None = None


class FactFinder:
    """Finds the facts of many tiles; opened once a process and shard.

    Args:
        captions: What the recipe says of its layers; its paths are absolute.
        store: Folder where objects are kept, as `objects.prepare_objects` wrote them; None: a temporary one.

    Raises:
        RecipeError: If a path matches no file, or a column is not in its layer.
        SourceError: If a file cannot be read or states no coordinate reference system.
    """

    def __init__(self, captions: recipe.Captions, *, store: Path | None = None) -> None:
        layers = captions.areas
        places = [layer for layer in layers if layer.kind == "place"]
        self._gazetteer = read_places(places) if places else geonames()
        self._areas = [_AreaLayer(layer) for layer in layers if layer.kind == "area"]
        self._land_cover = None if captions.land_cover is None else open_land_cover(captions.land_cover)
        self._relief = None if captions.relief is None else ReliefFinder(captions.relief)
        self._layers, self._store = captions.objects, store

    def find(self, subjects: Sequence[Subject]) -> list[dict[str, Any]]:
        """Return the facts of each subject, with the keys of ``records.FACTS``.

        Args:
            subjects: Tiles in the order (level, quadkey): neighbours share the work of reading layers.

        Raises:
            SourceError: If a layer cannot be read.
        """
        centres = np.array([subject.tile.centre for subject in subjects], dtype=np.float64).reshape(-1, 2)
        lon, lat = centres[:, 0], centres[:, 1]
        places = self._gazetteer.nearest(lon, lat)
        areas = self._find_areas(lon, lat)
        land_cover = self.land_cover(subjects)
        objects, relief = self._find_objects(subjects), self._find_relief(subjects)
        return [
            {
                "platform": subject.platform,
                "sensor": subject.sensor,
                "date": None if subject.acquired_at is None else _utc(subject.acquired_at).date(),
                "season": None if subject.acquired_at is None else season(_utc(subject.acquired_at), lat=float(lat[i])),
                "place": places[i],
                "areas": areas[i],
                "land_cover": land_cover[i],
                "objects": objects[i],
                "relief": relief[i],
            }
            for i, subject in enumerate(subjects)
        ]

    def _find_areas(self, lon: FloatArray, lat: FloatArray) -> list[list[dict[str, str]] | None]:
        if not self._areas:
            return [None] * len(lon)
        found: list[list[dict[str, str]]] = [[] for _ in lon]
        for layer in self._areas:
            for index, name in layer.holding(lon, lat):
                entry = {"layer": layer.name, "name": name}
                if entry not in found[index]:
                    found[index].append(entry)
        return list(found)

    def land_cover(self, subjects: Sequence[Subject]) -> list[list[dict[str, Any]] | None]:
        """Return what covers the ground of each subject, as `find` does; None where nothing tells."""
        if self._land_cover is None:
            return [None] * len(subjects)
        found: list[list[dict[str, Any]] | None] = []
        for block in _blocks(subjects):
            days = [None if each.acquired_at is None else _utc(each.acquired_at).date() for each in block]
            covers = {
                day: self._land_cover.of(
                    {each.tile for each, its in zip(block, days, strict=True) if its == day},
                    tile_size=block[0].tile_size,
                    day=day,
                )
                for day in dict.fromkeys(days)
            }
            found.extend(covers[day][each.tile] for each, day in zip(block, days, strict=True))
        return found

    @cached_property
    def _objects(self) -> Objects:
        # Opened when objects are first asked for: quotas by land cover never do.
        return Objects(self._layers, store=self._store)

    def _find_objects(self, subjects: Sequence[Subject]) -> list[list[dict[str, Any]] | None]:
        if not self._layers:
            return [None] * len(subjects)
        return [found for block in _blocks(subjects) for found in self._objects.of([_view(each) for each in block])]

    def _find_relief(self, subjects: Sequence[Subject]) -> list[dict[str, float] | None]:
        if self._relief is None:
            return [None] * len(subjects)
        found: list[dict[str, float] | None] = []
        for block in _blocks(subjects):
            relief = self._relief.of({subject.tile for subject in block}, tile_size=block[0].tile_size)
            found.extend(relief[subject.tile] for subject in block)
        return found


def season(moment: datetime, *, lat: float) -> str | None:
    """Return the meteorological season (March–May is the northern spring); None between the tropics.

    Args:
        moment: Date or time.
        lat: Latitude in degrees.
    """
    if abs(lat) < TROPIC_DEGREES:
        return None
    northern = moment.month % 12 // 3
    return _SEASONS[northern if lat > 0 else (northern + 2) % 4]


def valid_mask(cells: bytes | None) -> npt.NDArray[np.bool_] | None:
    """Return the grid that a tile's bits stand for, (16, 16); None where all of it has pixels."""
    if cells is None:
        return None
    bits = np.unpackbits(np.frombuffer(cells, dtype=np.uint8))
    return bits.reshape(VALID_CELLS, VALID_CELLS).astype(bool)


class _AreaLayer:
    """Named polygons, asked for those that hold a point."""

    def __init__(self, layer: recipe.Areas) -> None:
        frame = read_vectors(layer.path, columns=[layer.attribute])
        self.name = Path(layer.path).stem
        self._names = [tidy(value) for value in frame[layer.attribute]]
        # Points go to the layer's own CRS, in which the polygons' edges are straight as their makers drew them.
        self._project = pyproj.Transformer.from_crs("EPSG:4326", frame.crs, always_xy=True)
        self._tree = shapely.STRtree(frame.geometry.to_numpy())

    def holding(self, lon: FloatArray, lat: FloatArray) -> list[tuple[int, str]]:
        """Return (index of the point, name) for every named polygon that holds a point, in the layer's order."""
        x, y = self._project.transform(lon, lat)
        inside = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        points, polygons = self._tree.query(
            shapely.points(np.asarray(x)[inside], np.asarray(y)[inside]), predicate="intersects"
        )
        pairs = sorted(zip(inside[points].tolist(), polygons.tolist(), strict=True))
        return [(point, name) for point, polygon in pairs if (name := self._names[polygon]) is not None]


def _blocks(subjects: Sequence[Subject]) -> Iterator[list[Subject]]:
    """Yield neighbouring subjects together."""
    for _, group in itertools.groupby(subjects, key=_block_of):
        yield list(group)


def _view(subject: Subject) -> View:
    native, own = subject.native_gsd_m, subject.tile.gsd_m(subject.tile_size)
    coarser = 1.0 if native is None else max(1.0, native / own)
    return View(subject.tile, subject.tile_size, coarser=coarser, valid=subject.valid)


def _block_of(subject: Subject) -> tuple[int, int, int, int]:
    tile = subject.tile
    return tile.level, tile.x >> _BLOCK_SHIFT, tile.y >> _BLOCK_SHIFT, subject.tile_size


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC)
