"""Static catalogs, followed from link to link."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from git10m.errors import SourceError
from git10m.recipe import is_address
from git10m.sources.stac.transport import AbsentError, Transport, absolute, links_of, without_query
from git10m.sources.stac.wanted import Wanted

__all__ = ["Crawl", "Located", "Problem"]

_DEEPEST = 32
"""Catalogs within catalogs; what is deeper is made up as it is asked for."""
_CONNECTIONS = 8

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Located:
    """An item as it was read, and the path or address that its links start from."""

    item: Document
    base: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of a catalog that is not as it should be: its name, and what is wrong."""

    name: str
    error: str


@dataclass
class Crawl:
    """One walk through a static catalog.

    Attributes:
        transport: Reads its documents.
        root: Where the walk begins; names are relative to its folder.
        wanted: What is looked for; collections that lie elsewhere are not entered.
        collections: Those that were met, by id.
    """

    transport: Transport
    root: str
    wanted: Wanted
    collections: dict[str, Document] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def items(self, document: Document) -> Iterator[Located | Problem]:
        """Yield the items below a catalog or collection, in the order of its links.

        A link that leads to nothing, or to no STAC, is a problem; the rest of the catalog is still read.

        Raises:
            SourceError: If the catalog goes in a circle or without end, or its server cannot be reached.
        """
        yield from self._below(document, self.root, (_plain(self.root),))

    def _below(self, document: Document, base: str, chain: tuple[str, ...]) -> Iterator[Located | Problem]:
        if len(chain) > _DEEPEST:
            raise SourceError(f"the catalog {self._names(chain[:3])} → … is more than {_DEEPEST} catalogs deep")
        if document.get("type") == "Collection":
            self.collections[str(document.get("id"))] = document
            if not self.wanted.may_hold(document):
                return
        links = [link for link in links_of(document) if link.get("rel") in {"item", "child"}]
        places = [absolute(link["href"], base) for link in links]
        for place, found in zip(places, self._read(places, chain), strict=True):
            if isinstance(found, Problem):
                yield found
            elif found is not None and found.get("type") == "Feature":
                yield Located(found, place)
            elif found is not None:
                yield from self._below(found, place, (*chain, _plain(place)))

    def _read(self, places: Sequence[str], chain: tuple[str, ...]) -> Iterator[Document | Problem | None]:
        """Yield the document at each place; None for one that was read before."""
        for place in places:
            if _plain(place) in chain:
                raise SourceError(
                    f"the catalog goes in a circle: {self._names((*chain, _plain(place)))}; correct the links of "
                    f"{self._name(chain[-1])}, or give the address of a collection below it"
                )
        fresh = [not (_plain(place) in self._seen or self._seen.add(_plain(place))) for place in places]  # type: ignore[func-returns-value]
        with ThreadPoolExecutor(_CONNECTIONS if any(map(is_address, places)) else 1) as pool:
            yield from pool.map(self._read_one, places, fresh)

    def _read_one(self, place: str, fresh: bool) -> Document | Problem | None:
        if not fresh:
            return None
        name = self._name(_plain(place))
        try:
            document = self.transport.read_json(place)
        except AbsentError:
            return Problem(name, f"{name}: a link of the catalog leads here, and there is nothing")
        if not isinstance(document, dict) or document.get("type") not in {"Feature", "Catalog", "Collection"}:
            if isinstance(document, dict) and "links" in document and "type" not in document:
                return {**document, "type": "Collection" if "extent" in document else "Catalog"}  # before STAC 1.0
            return Problem(name, f"{name}: a link of the catalog leads here, and it is no STAC document")
        return document

    def _name(self, place: str) -> str:
        """Name a document by its path from the folder of the root."""
        folder = posixpath.dirname(_plain(self.root))
        if place.startswith(f"{folder}/"):
            return place.removeprefix(f"{folder}/")
        return place if is_address(place) else posixpath.basename(place)

    def _names(self, chain: Sequence[str]) -> str:
        return " → ".join(self._name(place) for place in chain)


def _plain(place: str) -> str:
    """Return a path or address as it is compared with others."""
    return without_query(place).partition("#")[0].rstrip("/")
