"""Imagery of any kind as tiles: the contract that every source keeps, and the kinds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from git10m.grid import Tile

__all__ = ["Contribution", "Failure", "Moment", "Request", "Sample"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in UTC and how much of it is known: ``"year"``, ``"month"``, ``"day"`` or ``"second"``."""

    at: datetime
    precision: str


@dataclass(frozen=True, slots=True)
class Request:
    """One tile to be read.

    Attributes:
        tile: Which tile.
        group: Index of the scene group (a layer, and a date where dates are kept apart).
    """

    tile: Tile
    group: int


@dataclass(frozen=True, slots=True)
class Contribution:
    """Where a part of a tile's pixels came from.

    Attributes:
        source_id: Source of the recipe.
        source_item: File or scene, as a name without a machine's folders.
        share: Part of the tile's valid pixels, 0–1.
        native_gsd_m: Ground metres a pixel of the source at the tile's centre, coarser axis.
        moment: When it was taken, and how exactly that is known.
        licence: As the recipe or the catalog states it.
        attribution: Credit line.
        platform: ``"satellite"``, ``"aerial"`` or None.
        sensor: Name of the sensor.
        synthetic: Whether the source says that it was computed.
    """

    source_id: str
    source_item: str
    share: float
    native_gsd_m: float
    moment: Moment | None
    licence: str | None
    attribution: str | None
    platform: str | None
    sensor: str | None
    synthetic: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """Pixels of one tile.

    Attributes:
        request: What was asked.
        pixels: uint8 (H, W, 3), RGB; pixels without data hold the fill colour.
        valid: bool (H, W), true where there is data.
        contributions: By falling share, ties in order of priority; never empty.
    """

    request: Request
    pixels: npt.NDArray[np.uint8]
    valid: npt.NDArray[np.bool_]
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A tile that could not be read, or holds no data at all.

    Attributes:
        request: What was asked.
        reason: ``"no_data"`` or ``"unreadable"``.
        detail: What was tried and what went wrong.
    """

    request: Request
    reason: str
    detail: str
