"""An API asked by region, date, collection and cloud cover, page by page."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import shapely
import shapely.geometry
from pystac_client import Client, ConformanceClasses
from pystac_client.exceptions import APIError
from pystac_client.warnings import PystacClientWarning
from shapely.geometry.base import BaseGeometry

from git10m.errors import RecipeError, SourceError
from git10m.recipe import StacSource
from git10m.sources.stac.transport import AbsentError, NotUnderstoodError, Transport, links_of, without_query
from git10m.sources.stac.wanted import Wanted, turned

__all__ = ["Search", "is_api", "search_places"]

_PAGE = 100
"""Items a page: some servers' answers may not exceed 6 MB, and an item is some 30 KB."""
_MOST_POINTS = 500
"""Of an outline that is sent; finer ones are replaced by a coarser one around them."""
_MOST_BOXES = 4

Document = Mapping[str, Any]


def is_api(document: Document) -> bool:
    """Tell the landing page of an API from a static catalog."""
    return bool(document.get("conformsTo")) or any(link.get("rel") == "search" for link in links_of(document))


def search_places(area: BaseGeometry) -> list[dict[str, Any]]:
    """Return what to ask an API for so that all items of an area are among the answers, a search each.

    Longitudes are brought within ±180°, boxes are asked for as boxes, and intricate outlines by a coarser one that
    holds them: what lies between is left out when the answers come.

    Args:
        area: Polygon(s) in degrees; longitudes may pass ±180°.
    """
    world = shapely.box(-180.0, -90.0, 180.0, 90.0)
    inside = shapely.union_all([part for each in turned(area) for part in _polygons(each.intersection(world))])
    parts = _polygons(inside)
    if len(parts) <= _MOST_BOXES and all(part.area >= part.envelope.area * (1 - 1e-9) for part in parts):
        return [{"bbox": list(part.bounds)} for part in parts]
    for tolerance in (0.0, 0.001, 0.01, 0.1, 1.0):
        coarse = inside.buffer(tolerance).simplify(tolerance / 2).intersection(world) if tolerance else inside
        if shapely.get_num_coordinates(coarse) <= _MOST_POINTS:
            return [{"intersects": shapely.geometry.mapping(coarse)}]
    return [{"bbox": list(inside.bounds)}]


@dataclass
class Search:
    """One search of an API.

    Attributes:
        transport: Carries requests.
        address: Of the landing page.
        wanted: What is looked for.
    """

    transport: Transport
    address: str
    wanted: Wanted

    def __post_init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.client = Client.open(self.address, stac_io=self.transport)
            except (APIError, ValueError, TypeError, KeyError) as error:
                raise SourceError(
                    f"{without_query(self.address)}: is no STAC API that can be understood ({type(error).__name__}); "
                    "give the address of its landing page"
                ) from error

    def collections(self) -> dict[str, Document]:
        """Return the collections that the recipe names, by id.

        Raises:
            RecipeError: If there is none of that name.
        """
        found = {}
        for name in self.wanted.collections:
            try:
                found[name] = self.transport.read_json(f"{self._root}/collections/{quote(name, safe='')}")
            except (AbsentError, NotUnderstoodError) as error:
                known = self._known_collections()
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known[:20]) or 'none'}"
                raise RecipeError(
                    f"source {self.source.id!r}: {without_query(self.address)} has no collection {name!r}; {hint}"
                ) from error
        return found

    def items(self) -> Iterator[Document]:
        """Yield the items that are wanted, place by place; an item of two places comes twice.

        The cloud cover is asked for only where the API takes "or states none", and judged again here; where most
        items are limited and the API sorts, no more pages are read than are needed.

        Raises:
            RecipeError: If the recipe names no region.
            SourceError: If the API fails or its pages repeat.
        """
        if self.wanted.area is None:
            raise RecipeError(
                f"source {self.source.id!r} searches {without_query(self.address)}, and the recipe names no region; "
                "write e.g. [region] bbox = [west, south, east, north]"
            )
        narrow = self._filter() | self._order()
        for place in search_places(self.wanted.area):
            try:
                found = list(self._pages(place | narrow, sorted_="sortby" in narrow))
            except NotUnderstoodError:
                if not narrow:
                    raise
                found = []
            if not found and narrow:
                # Some servers say that they filter or sort, and do not.
                found = list(self._pages(place, sorted_=False))
            yield from found

    @property
    def source(self) -> StacSource:
        """Source of the recipe."""
        return self.wanted.source

    @property
    def _root(self) -> str:
        return self.address.partition("?")[0].rstrip("/")

    def _pages(self, said: Mapping[str, Any], *, sorted_: bool) -> Iterator[Document]:
        """Yield the wanted items of one search; stop early where the best come first and enough were had."""
        enough = self.source.most_items if sorted_ else None
        seen: set[tuple[Any, Any]] = set()
        taken = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PystacClientWarning)
            search = self.client.search(
                method=self._method(),
                collections=list(self.wanted.collections) or None,
                datetime=list(self.wanted.between) if self.wanted.between else None,
                limit=_PAGE,
                **said,
            )
        for page in search.pages_as_dicts():
            fresh = [item for item in page["features"] if (item.get("collection"), item.get("id")) not in seen]
            if not fresh:
                raise SourceError(
                    f"{without_query(self.address)}: its pages repeat after {len(seen)} items, without end; "
                    "narrow the search with between, or report it to the API's operator"
                )
            seen |= {(item.get("collection"), item.get("id")) for item in fresh}
            for item in fresh:
                if isinstance(item.get("properties"), dict) and self.wanted.takes(item):
                    taken += 1
                    yield item
            if enough is not None and taken >= enough:
                return

    def _filter(self) -> dict[str, Any]:
        """Return the cloud cover as CQL2, with the items that state none; nothing where the API has no CQL2."""
        if self.source.max_cloud is None or not self._conforms(ConformanceClasses.FILTER):
            return {}
        cloud = {"property": "eo:cloud_cover"}
        few, none = {"op": "<=", "args": [cloud, self.source.max_cloud]}, {"op": "isNull", "args": [cloud]}
        return {"filter": {"op": "or", "args": [few, none]}, "filter_lang": "cql2-json"}

    def _order(self) -> dict[str, Any]:
        field = {
            "least_cloud": ("properties.eo:cloud_cover", "asc"),
            "newest": ("properties.datetime", "desc"),
            "oldest": ("properties.datetime", "asc"),
        }.get(self.source.choose)
        if self.source.most_items is None or field is None or not self._conforms(ConformanceClasses.SORT):
            return {}
        return {"sortby": [{"field": field[0], "direction": field[1]}, {"field": "id", "direction": "asc"}]}

    def _conforms(self, what: ConformanceClasses) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PystacClientWarning)
            return bool(self.client.conforms_to(what)) and self._method() == "POST"

    def _method(self) -> str:
        methods = {str(link.extra_fields.get("method", "GET")).upper() for link in self.client.get_links("search")}
        return "POST" if "POST" in methods else "GET"

    def _known_collections(self) -> list[str]:
        try:
            answer = self.transport.read_json(f"{self._root}/collections")
        except SourceError:
            return []
        return sorted(str(each.get("id")) for each in answer.get("collections") or [])


def _polygons(shape: BaseGeometry) -> list[BaseGeometry]:
    return [part for part in shapely.get_parts(shape).tolist() if part.geom_type == "Polygon" and part.area > 0]
