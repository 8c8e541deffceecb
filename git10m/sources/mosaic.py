"""Overlapping scenes as one picture: tiles filled in order of priority.

Scenes of one layer form a *group*, one a date where the recipe keeps dates apart. A tile is filled from the first
scene of its group; what that leaves without data is filled from the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from git10m.errors import SourceError
from git10m.grid import FloatArray, IntArray, gsd_m, tile_centres
from git10m.sources import Contribution, Failure, Moment, Request, Sample
from git10m.sources.raster import TURNS, Block, Scene, read_block, supported, turned_boxes

__all__ = ["BLOCK_TILES", "Group", "Mosaic", "group_scenes"]

BLOCK_TILES = 8
"""Tiles a side of the blocks that are warped at once; blocks are aligned to the grid."""
_DENSE = 0.4
"""Share of a rectangle that must be asked for to warp it whole rather than tile by tile."""


@dataclass(frozen=True, slots=True)
class Group:
    """Scenes that fill each other.

    Attributes:
        layer: Layer of the recipe.
        acquired_at: Earliest time of its scenes where dates are kept apart, else None.
        scenes: Indices of scenes, in order of priority.
    """

    layer: str
    acquired_at: datetime | None
    scenes: tuple[int, ...]


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
        newest_first = -scene.moment.at.timestamp() if scene.moment is not None else 0.0
        return rank[scene.source.id], newest_first, scene.name

    groups = []
    for (layer, day), found in sorted(members.items(), key=lambda item: (item[0][0], item[0][1] or date.min)):
        moments = [scenes[i].moment for i in found]
        first = min((moment.at for moment in moments if moment is not None), default=None) if day else None
        groups.append(Group(layer, first, tuple(sorted(found, key=priority))))
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
    """

    scenes: tuple[Scene, ...]
    groups: tuple[Group, ...]
    tile_size: int
    oversample: bool
    fill: tuple[int, int, int]

    def read(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure a request, in order; memory holds one block.

        Requests that follow each other within an aligned block of 8×8 tiles of one group are warped together.
        """
        for _, together in groupby(requests, key=_block_of):
            asked = list(together)
            xs, ys = [r.tile.x for r in asked], [r.tile.y for r in asked]
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
    tile = request.tile
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
        self.tx = np.array([request.tile.x for request in requests], dtype=np.int64)
        self.ty = np.array([request.tile.y for request in requests], dtype=np.int64)
        self.level = requests[0].tile.level
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
                self.failures[int(wanted[0])] = str(error)
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
            licence=source.licence,
            attribution=_credit(source.attribution, scene.moment),
            platform=source.platform,
            sensor=source.sensor,
            synthetic=scene.synthetic,
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


def _credit(attribution: str | None, moment: Moment | None) -> str | None:
    """Fill the year of acquisition into a credit line, or leave it out where it is unknown."""
    if attribution is None:
        return None
    return re.sub(r"\s*\{year\}", "" if moment is None else f" {moment.at.year}", attribution).strip()
