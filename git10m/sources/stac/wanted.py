"""Which items of a catalog are wanted: by region, date, collection and cloud cover; and which of them first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import shapely
import shapely.affinity
import shapely.geometry
from shapely.geometry.base import BaseGeometry

from git10m.recipe import StacSource

__all__ = ["Wanted", "cloud_cover", "footprint_of", "period", "rank", "turned"]

_UNKNOWN_CLOUD = 101.0
"""Rank by cloud cover of items that state none: after all that do."""

Document = Mapping[str, Any]


def cloud_cover(item: Document) -> float | None:
    """Return the cloud cover that an item states, percent."""
    value = item["properties"].get("eo:cloud_cover")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def period(item: Document) -> tuple[datetime, datetime] | None:
    """Return when an item was taken, in UTC: its moment twice, or the ends of its range; None if undated."""
    said = item["properties"]
    texts = (
        [said.get("datetime")] * 2 if said.get("datetime") else [said.get("start_datetime"), said.get("end_datetime")]
    )
    try:
        found = [_moment(text) for text in texts if text]
    except ValueError:
        return None
    return (found[0], found[-1]) if found else None


def rank(source: StacSource, item: Document) -> float:
    """Return the place of an item in the order of ``choose``, lower first."""
    if source.choose == "least_cloud":
        cloud = cloud_cover(item)
        return _UNKNOWN_CLOUD if cloud is None else cloud
    taken = period(item)
    if taken is None:
        return math.inf
    if source.choose == "nearest":
        assert source.date is not None
        return abs((taken[0] - source.date).total_seconds())
    return taken[0].timestamp() * (1.0 if source.choose == "oldest" else -1.0)


def footprint_of(item: Document) -> BaseGeometry | None:
    """Return an item's outline in degrees, or the box around it; None if it states neither."""
    if item.get("geometry"):
        try:
            shape = shapely.geometry.shape(item["geometry"])
        except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError, AttributeError):
            return None
        valid: BaseGeometry = shape if shape.is_valid else shapely.make_valid(shape)
        return valid
    return _box(item.get("bbox"))


def turned(shape: BaseGeometry) -> list[BaseGeometry]:
    """Return a shape a turn to the west, as it is, and a turn to the east: outlines may pass ±180°."""
    return [shapely.affinity.translate(shape, xoff=turn) for turn in (-360.0, 0.0, 360.0)]


@dataclass
class Wanted:
    """What a source takes of a catalog.

    Attributes:
        source: Of the recipe.
        area: Area of interest in degrees; longitudes may pass ±180°; None: everywhere.
        dropped: How many items and collections were left out, by reason.
    """

    source: StacSource
    area: BaseGeometry | None
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.area is not None:
            shapely.prepare(self.area)

    @property
    def collections(self) -> tuple[str, ...]:
        """Ids of the collections that are taken; empty: all."""
        given = self.source.collection
        return (given,) if isinstance(given, str) else given or ()

    @property
    def between(self) -> tuple[datetime, datetime] | None:
        """First and last moment that is taken; a day lasts until its end."""
        if self.source.between is None:
            return None
        first, last = self.source.between
        return first, last + timedelta(days=1, microseconds=-1) if last.time() == datetime.min.time() else last

    def takes(self, item: Document) -> bool:
        """Tell whether an item is wanted, and count it if not."""
        reason = self._against(item)
        if reason is not None:
            self.dropped[reason] += 1
        return reason is None

    def may_hold(self, collection: Document) -> bool:
        """Tell whether a collection, or one below it, may hold what is wanted."""
        below = any(link.get("rel") == "child" for link in collection.get("links") or [])
        if self.collections and collection.get("id") not in self.collections and not below:
            self.dropped["collections of other names"] += 1
            return False
        extent = collection.get("extent")
        spatial = extent.get("spatial") if isinstance(extent, dict) else None
        stated = spatial.get("bbox") if isinstance(spatial, dict) else [spatial]  # a box alone, before STAC 0.8
        boxes = [_box(bbox) for bbox in stated or []]
        if boxes and None not in boxes and not any(self._meets(box) for box in boxes if box is not None):
            self.dropped["collections of other regions"] += 1
            return False
        return True

    def _against(self, item: Document) -> str | None:
        if self.collections and item.get("collection") not in {None, *self.collections}:
            return "items of other collections"
        if self.between is not None:
            taken = period(item)
            if taken is None or taken[1] < self.between[0] or taken[0] > self.between[1]:
                return "items of other dates"
        cloud = cloud_cover(item)
        if self.source.max_cloud is not None and cloud is not None and cloud > self.source.max_cloud:
            return "items with more cloud"
        outline = footprint_of(item)
        return "items of other regions" if outline is not None and not self._meets(outline) else None

    def _meets(self, shape: BaseGeometry) -> bool:
        """Tell whether a shape shares ground with the area; both may pass ±180°."""
        if self.area is None:
            return True
        return any(self.area.intersects(each) for each in turned(shape))


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(str(text))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _box(bbox: Any) -> BaseGeometry | None:
    if (
        not isinstance(bbox, list | tuple)
        or len(bbox) not in {4, 6}
        or not all(isinstance(v, int | float) for v in bbox)
    ):
        return None
    west, south, east, north = bbox if len(bbox) == 4 else (bbox[0], bbox[1], bbox[3], bbox[4])
    box: BaseGeometry = shapely.box(west, south, east + 360.0 if east < west else east, north)
    return box
