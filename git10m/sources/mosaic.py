"""Overlapping scenes as one picture: tiles filled in order of priority.

Scenes of one layer form a *group*, one a date where the recipe keeps dates apart. A tile is filled from the first
scene of its group; what that leaves without data is filled from the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from git10m.errors import SourceError
from git10m.grid import FloatArray, IntArray, gsd_m, tile_centres
from git10m.region import intersection, tiles_touching
from git10m.sources import Contribution, Entries, Failure, Group, Request, Sample, credit, without_folders
from git10m.sources.raster import TURNS, Scene, read_block, supported, turned_boxes
from git10m.sources.reading import Block

__all__ = ["BLOCK_TILES", "Mosaic", "group_scenes"]

BLOCK_TILES = 8
"""Tiles a side of the blocks that are warped at once; blocks are aligned to the grid."""
_DENSE = 0.4
"""Share of a rectangle that must be asked for to warp it whole rather than tile by tile."""


def group_scenes(scenes: Sequence[Scene], *, source_order: Sequence[str]) -> list[Group]:
    """Group scenes by layer and date, sorted by (layer, date), undated first.

    Args:
        scenes: All scenes of a build.
        source_order: Ids of the recipe's sources, by falling priority.
    """
    rank = {source_id: i for i, source_id in enumerate(source_order)}
    members: dict[tuple[str, date | None], list[int]] = {}
    for index, scene in enumerate(scenes):
        apart = scene.moment is not None and scene.source.dates == "separate"
        day = scene.moment.at.date() if scene.moment is not None and apart else None
        members.setdefault((scene.source.layer, day), []).append(index)

    def priority(index: int) -> tuple[int, float, str]:
        scene = scenes[index]
        return rank[scene.source.id], scene.rank, scene.name

    groups = []
    for (layer, day), found in sorted(members.items(), key=lambda item: (item[0][0], item[0][1] or date.min)):
        moments = [scenes[i].moment for i in found]
        first = min((moment.at for moment in moments if moment is not None), default=None) if day else None
        ordered = sorted(found, key=priority)
        groups.append(Group(layer, first, scenes[ordered[0]].source.id, tuple(ordered)))
    return groups


@dataclass(frozen=True)
class Mosaic:
    """Scenes in groups, ready to be read by tile.

    Attributes:
        scenes: All scenes.
        groups: What ``Request.group`` counts.
        tile_size: Pixels a side of a tile.
        oversample: Also use scenes at levels finer than they support.
        fill: RGB of pixels without data.
        digests: Of each scene's content; empty where none is needed.
    """

    scenes: tuple[Scene, ...]
    groups: tuple[Group, ...]
    tile_size: int
    oversample: bool
    fill: tuple[int, int, int]
    digests: tuple[str, ...] = ()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Digest of each scene by the name of its source and its own."""
        named = zip(self.scenes, self.digests, strict=True)
        return {f"{scene.source.id}/{scene.name}": digest for scene, digest in named}

    def levels(self, group: int, wanted: Sequence[int]) -> list[int]:
        """Return the levels that any scene of a group may have, rising."""
        return sorted({level for i in self.groups[group].scenes for level in self.scenes[i].source.levels or wanted})

    def cover(self, group: int, level: int, area: Any) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield (columns, rows) of the tiles of a level that scenes of a group touch and support, scene by scene."""
        for index in self.groups[group].scenes:
            scene = self.scenes[index]
            if scene.source.levels is not None and level not in scene.source.levels:
                continue
            if not (self.oversample or scene.ever_supported(level, tile_size=self.tile_size)):
                continue
            footprint = self.outlines[index]
            if area is not None:
                footprint = intersection(area, footprint)
            for x, y in tiles_touching(footprint, level):
                if not self.oversample:
                    lon, lat = tile_centres(level, x, y)
                    fine = scene.supported(level, lon, lat, tile_size=self.tile_size)
                    x, y = x[fine], y[fine]  # noqa: PLW2901 - the pieces shrink, nothing else is meant
                yield x, y

    def entries(self, group: int) -> Entries | None:
        """Return None: scenes are cut into tiles."""
        return None

    def digest(self, group: int, level: int, bounds: tuple[float, float, float, float]) -> str:
        """Return a digest of the scenes around a box in degrees."""
        around = hashlib.sha256()
        for index in sorted(self.near(group, bounds)):
            around.update(f"{index}/{self.digests[index]}".encode())
        return around.hexdigest()

    def read(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure a request, in order; memory holds one block.

        Requests that follow each other within an aligned block of 8×8 tiles of one group are warped together.
        """
        for _, together in groupby(requests, key=_block_of):
            asked = list(together)
            xs, ys = [r.placed.x for r in asked], [r.placed.y for r in asked]
            area = (max(xs) - min(xs) + 1) * (max(ys) - min(ys) + 1)
            for part in [asked] if len(asked) >= _DENSE * area else [[request] for request in asked]:
                yield from _Canvas(self, part).samples()

    @cached_property
    def outlines(self) -> tuple[Any, ...]:
        """Outline of each scene, prepared, in degrees; longitudes may pass ±180°."""
        outlines = tuple(shapely.from_wkb(scene.outline_wkb) for scene in self.scenes)
        for outline in outlines:
            shapely.prepare(outline)
        return outlines

    def near(self, group: int, bounds: tuple[float, float, float, float]) -> list[int]:
        """List the scenes of a group whose outline may touch a box in degrees, in order of priority."""
        ranks = np.unique(self._trees[group].query(turned_boxes(bounds))[1])
        return [self.groups[group].scenes[rank] for rank in ranks.tolist()]

    @cached_property
    def _trees(self) -> tuple[shapely.STRtree, ...]:
        return tuple(shapely.STRtree([self.outlines[i] for i in group.scenes]) for group in self.groups)


def _block_of(request: Request) -> tuple[int, int, int, int]:
    tile = request.placed
    return request.group, tile.level, tile.x // BLOCK_TILES, tile.y // BLOCK_TILES


@dataclass(slots=True)
class _Filling:
    """A tile on its way: the pixels, and which scene each is from (−1: none yet; None: all from ``whole``)."""

    pixels: npt.NDArray[np.uint8]
    owner: npt.NDArray[np.int32] | None
    whole: int = -1

    def add(self, pixels: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_], index: int) -> None:
        """Take a scene's valid pixels where there are none yet."""
        assert self.owner is not None
        take = valid & (self.owner < 0)
        self.pixels[take] = pixels[take]
        self.owner[take] = index


class _Canvas:
    """The rectangle around a few requests, filled scene by scene."""

    def __init__(self, mosaic: Mosaic, requests: Sequence[Request]) -> None:
        self.mosaic, self.requests = mosaic, requests
        self.tx = np.array([request.placed.x for request in requests], dtype=np.int64)
        self.ty = np.array([request.placed.y for request in requests], dtype=np.int64)
        self.level = requests[0].placed.level
        self.block = self._block(np.arange(len(requests)))
        self.lon, self.lat = tile_centres(self.level, self.tx, self.ty)
        self.tiles: dict[int, _Filling] = {}
        self.failures: dict[int, str] = {}
        self.native_gsd_m: dict[int, FloatArray] = {}
        """Of every scene that was asked, at the tiles' centres, in order of priority."""

    def samples(self) -> Iterator[Sample | Failure]:
        for index in self.mosaic.near(self.requests[0].group, self.block.bounds):
            wanted = self._wanted(index)
            if wanted.size:
                self._fill(index, wanted)
        for i, request in enumerate(self.requests):
            yield self._result(i, request)

    def _wanted(self, index: int) -> IntArray:
        """Return which requests a scene can add to: it lies there, supports the level, and something is missing."""
        outline = self.mosaic.outlines[index]
        side = float(1 << self.level)
        west, east = 360.0 * self.tx / side - 180.0, 360.0 * (self.tx + 1) / side - 180.0
        south, north = self._latitudes(side)
        touched = np.zeros(len(self.requests), dtype=bool)
        for turn in TURNS:
            touched |= shapely.intersects(outline, shapely.box(west + turn, south, east + turn, north))
        for i in np.flatnonzero(touched).tolist():
            touched[i] = i not in self.failures and self._lacks_pixels(i)
        if not touched.any():
            return np.flatnonzero(touched)
        native = self.mosaic.scenes[index].place.native_gsd_m(self.lon, self.lat)
        self.native_gsd_m[index] = native
        if not self.mosaic.oversample:
            touched &= supported(gsd_m(self.level, self.lat, tile_size=self.mosaic.tile_size), native)
        return np.flatnonzero(touched)

    def _fill(self, index: int, wanted: IntArray) -> None:
        """Add a scene's valid pixels where nothing is yet; on a fault, find the tiles that it concerns."""
        block = self._block(wanted)
        try:
            pixels, valid = read_block(self.mosaic.scenes[index], block)
        except SourceError as error:
            if wanted.size == 1:
                files = (band.path for band in self.mosaic.scenes[index].bands)
                self.failures[int(wanted[0])] = without_folders(str(error), files)
                return
            for alone in wanted:
                self._fill(index, np.array([alone]))
            return
        size = self.mosaic.tile_size
        for i in wanted.tolist():
            row, column = int(self.ty[i] - block.y) * size, int(self.tx[i] - block.x) * size
            part = (slice(row, row + size), slice(column, column + size))
            self._take(i, pixels[part], valid[part], index)

    def _take(self, i: int, pixels: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_], index: int) -> None:
        if i not in self.tiles and valid.all():
            # Nearly every tile: one scene, no gap.
            self.tiles[i] = _Filling(_interleaved(pixels), None, index)
            return
        if i not in self.tiles:
            empty = np.empty(pixels.shape, dtype=np.uint8)
            empty[:] = self.mosaic.fill
            self.tiles[i] = _Filling(empty, np.full(valid.shape, -1, dtype=np.int32))
        self.tiles[i].add(pixels, valid, index)

    def _lacks_pixels(self, i: int) -> bool:
        tile = self.tiles.get(i)
        return tile is None or (tile.owner is not None and bool((tile.owner < 0).any()))

    def _result(self, i: int, request: Request) -> Sample | Failure:
        if i in self.failures:
            return Failure(request, "unreadable", self.failures[i])
        tile = self.tiles.get(i)
        if tile is None or (tile.owner is not None and not (tile.owner >= 0).any()):
            return Failure(request, "no_data", "no scene has data there at a level that it supports")
        if tile.owner is None:
            valid = np.ones(tile.pixels.shape[:2], dtype=bool)
            return Sample(request, tile.pixels, valid, (self._contribution(i, tile.whole, 1.0),))
        valid = tile.owner >= 0
        total = int(valid.sum())
        counts = [(index, int((tile.owner == index).sum())) for index in self.native_gsd_m]
        shares = [(index, count / total) for index, count in counts if count]
        shares.sort(key=lambda found: -found[1])
        parts = tuple(self._contribution(i, index, share) for index, share in shares)
        return Sample(request, tile.pixels, valid, parts)

    def _contribution(self, i: int, index: int, share: float) -> Contribution:
        scene = self.mosaic.scenes[index]
        source = scene.source
        return Contribution(
            source_id=source.id,
            source_item=scene.name,
            share=share,
            native_gsd_m=float(self.native_gsd_m[index][i]),
            moment=scene.moment,
            licence=scene.licence,
            attribution=credit(scene.attribution, scene.moment),
            platform=scene.platform,
            sensor=scene.sensor,
            synthetic=scene.synthetic,
            scene_cloud=scene.cloud,
        )

    def _block(self, which: IntArray) -> Block:
        x, y = self.tx[which], self.ty[which]
        return Block(
            level=self.level,
            x=int(x.min()),
            y=int(y.min()),
            columns=int(x.max() - x.min()) + 1,
            rows=int(y.max() - y.min()) + 1,
            tile_size=self.mosaic.tile_size,
        )

    def _latitudes(self, side: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        south, north = (
            np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * (self.ty + edge) / side)))) for edge in (1, 0)
        )
        return south, north


def _interleaved(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Copy a view of separate bands to contiguous pixels (H, W, 3); by channel, four times as fast as at once."""
    out = np.empty(pixels.shape, dtype=np.uint8)
    for channel in range(3):
        out[..., channel] = pixels[..., channel]
    return out
