"""Imagery of any kind as tiles: the contract that every source keeps, and the kinds.

A source of a recipe becomes a part of the build's imagery: scenes of all raster and STAC sources form one `Mosaic`,
every other source is a part of its own. A part keeps the contract of `Imagery`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from git10m.grid import IntArray, Tile

__all__ = [
    "Contribution",
    "Encoded",
    "Entries",
    "Failure",
    "Fetching",
    "Given",
    "Group",
    "Imagery",
    "Moment",
    "Request",
    "Sample",
    "credit",
    "without_folders",
]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in UTC and how much of it is known: ``"year"``, ``"month"``, ``"day"`` or ``"second"``."""

    at: datetime
    precision: str


@dataclass(frozen=True, slots=True)
class Group:
    """What gives rows of its own: a layer (and a date, where dates are kept apart), or a list of images.

    Attributes:
        layer: Layer of the recipe.
        acquired_at: Earliest time of its scenes where dates are kept apart, else None.
        source_id: Source that is asked first.
        scenes: Of a mosaic: indices of scenes, in order of priority.
    """

    layer: str
    acquired_at: datetime | None
    source_id: str
    scenes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One image to be read: a tile, or an entry of a list.

    Attributes:
        tile: Which tile; None where the place or the resolution is unknown (level 0).
        group: Index of the group.
        entry: Position in the list; −1 where the tile says it all.
    """

    tile: Tile | None
    group: int
    entry: int = -1

    @property
    def placed(self) -> Tile:
        """The tile of a request that has one."""
        assert self.tile is not None
        return self.tile


@dataclass(frozen=True, slots=True)
class Contribution:
    """Where a part of a tile's pixels came from.

    Attributes:
        source_id: Source of the recipe.
        source_item: File, scene or address, as a name without a machine's folders and without secrets.
        share: Part of the tile's valid pixels, 0–1.
        native_gsd_m: Ground metres a pixel of the source at the tile's centre, coarser axis; None when unknown.
        moment: When it was taken, and how exactly that is known.
        licence: As the recipe or the catalog states it.
        attribution: Credit line.
        platform: ``"satellite"``, ``"aerial"`` or None.
        sensor: Name of the sensor.
        synthetic: Whether the source says that it was computed.
        scene_cloud: Cloud cover of the whole scene, 0–1, where its catalog states it.
    """

    source_id: str
    source_item: str
    share: float
    native_gsd_m: float | None
    moment: Moment | None
    licence: str | None
    attribution: str | None
    platform: str | None
    sensor: str | None
    synthetic: bool
    scene_cloud: float | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """Bytes of an image as they were received, and their format: ``"jpeg"``, ``"webp"`` or ``"png"``."""

    bytes: bytes
    format: str


@dataclass(frozen=True, slots=True)
class Given:
    """What a list or an existing set says of an image.

    Attributes:
        name: File name that the set gives it; made unique by its source's id.
        captions: As given, the first one first.
        split: ``"train"``, ``"validation"`` or ``"test"``, where the set is divided already.
        columns: Further columns of ``records.Row`` by name, e.g. ``img_quality_score``; ``level`` where that alone
            is known.
    """

    name: str
    captions: tuple[str, ...] = ()
    split: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """Pixels of one tile or image.

    Attributes:
        request: What was asked.
        pixels: uint8 (H, W, 3), RGB; pixels without data hold the fill colour.
        valid: bool (H, W), true where there is data.
        contributions: By falling share, ties in order of priority; never empty.
        encoded: The very bytes that were received, where they show these pixels and can be kept as they are.
        given: What a list says of the image.
        modalities: Further images on the same grid by name, uint8 (H, W) or (H, W, 3).
    """

    request: Request
    pixels: npt.NDArray[np.uint8]
    valid: npt.NDArray[np.bool_]
    contributions: tuple[Contribution, ...]
    encoded: Encoded | None = None
    given: Given | None = None
    modalities: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """A tile or image that could not be read, or holds no data at all.

    Attributes:
        request: What was asked.
        reason: ``"no_data"``; ``"unreadable"``: what came is no image; ``"unreachable"``: nothing came. The last two
            are tried again by ``--retry-failed``.
        detail: What was tried and what went wrong.
    """

    request: Request
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Entries:
    """The images of a list, in its order; arrays of one length.

    Attributes:
        level: int8; 0 where the place is unknown. A level that is known without a place goes into ``Given.columns``.
        x: int32; 0 at level 0.
        y: int32; 0 at level 0.
    """

    level: npt.NDArray[np.int8]
    x: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]


@runtime_checkable
class Fetching(Protocol):
    """A part of the imagery that can bring what is wanted here without reading it."""

    def fetch(self, requests: Sequence[Request]) -> int:
        """Keep what some requests need; return how many answers came new."""


class Imagery(Protocol):
    """A part of a build's imagery; picklable, and cheap to send to a worker process.

    Files and connections are opened where they are needed, never kept in the pickle.
    """

    @property
    def groups(self) -> Sequence[Group]:
        """Its groups; requests count them from 0."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What its pixels depend on, by name, as JSON: digests of files and of catalogs, no machine's folders."""

    def levels(self, group: int, wanted: Sequence[int]) -> Sequence[int]:
        """Return the levels at which a group has tiles, of those that the recipe wants."""

    def cover(self, group: int, level: int, area: Any) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield (columns, rows) of the tiles of a level that the group can fill, in pieces, each tile at least once.

        Args:
            group: Which group.
            level: One of `levels`.
            area: Polygons in degrees; None: wherever there is imagery.
        """

    def entries(self, group: int) -> Entries | None:
        """Return the images of a list; None where the group is made of tiles."""

    def digest(self, group: int, level: int, bounds: tuple[float, float, float, float]) -> str:
        """Return a digest of what the group's pixels in a box (west, south, east, north; degrees) depend on."""

    def read(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure a request, in order; memory stays flat."""


def credit(attribution: str | None, moment: Moment | None) -> str | None:
    """Fill the year of acquisition into a credit line, or leave it out where it is unknown."""
    if attribution is None:
        return None
    return re.sub(r"\s*\{year\}", "" if moment is None else f" {moment.at.year}", attribution).strip()


def without_folders(message: str, files: Iterable[str]) -> str:
    """Cut this machine's folders out of a message about files, so that it reads the same on any."""
    for folder in {file.rpartition("/")[0] for file in files}:
        message = message.replace(f"{folder}/", "") if folder else message
    return message
