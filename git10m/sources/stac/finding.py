"""The items that a source wants, out of whatever kind of catalog its address leads to; the answer is kept."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pystac
import shapely
from pystac.link import Link

from git10m.errors import RecipeError, SourceError
from git10m.recipe import StacSource, is_address
from git10m.shards import atomic_file
from git10m.sources.stac.crawling import Crawl, Located, Problem
from git10m.sources.stac.geoparquet import is_table, table_collections, table_items
from git10m.sources.stac.searching import Search, is_api
from git10m.sources.stac.slim import slim_collection, slim_item
from git10m.sources.stac.transport import AbsentError, Transport, absolute, links_of, without_query
from git10m.sources.stac.wanted import Wanted, rank

__all__ = ["Answer", "find_items"]

_FORM = 1
"""Of the kept answers; another number asks again."""
_HEAD = '{"type": "FeatureCollection", "features": ['

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a catalog has for a source.

    Attributes:
        texts: Items as JSON, a tenth of what they take as objects, the best by ``choose`` first; addresses of their
            assets are whole, and hold no signatures.
        collections: Those that the items are of, as far as they are known, by id.
        problems: Parts of the catalog that are not as they should be.
    """

    texts: tuple[str, ...]
    collections: Mapping[str, Document]
    problems: tuple[Problem, ...]

    def items(self) -> Iterator[Document]:
        """Yield the items one by one."""
        for text in self.texts:
            yield json.loads(text)


def find_items(source: StacSource, *, area: Any, store: Path) -> Answer:
    """Find the items of a source.

    What a remote catalog answers is kept in ``store`` and read from there when the same is asked again; a local
    catalog is an input like any file, and read each time.

    Args:
        source: Of the recipe, with an absolute path or an address.
        area: Area of interest in degrees, or None.
        store: Folder for answers; it exists.

    Raises:
        RecipeError: If the recipe asks for what the catalog does not have.
        SourceError: If the catalog cannot be read.
    """
    if not is_address(source.address):
        return _ask(source, area=area, store=store)
    kept = store / f"items-{_question(source, area)}.json"
    if not kept.exists():
        _keep(_ask(source, area=area, store=store), kept)
    return _load(kept)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """An item that is wanted: its place in the order, its version, and itself as JSON."""

    order: tuple[float, str, str]
    updated: str
    text: str


def _ask(source: StacSource, *, area: Any, store: Path) -> Answer:
    wanted = Wanted(source, area)
    finder = _Finder(source, Transport(source), wanted, store)
    chosen: dict[tuple[str, str], _Chosen] = {}
    problems: dict[str, Problem] = {}
    for found in finder.found():
        if (
            isinstance(found, Located)
            and isinstance(found.item.get("properties"), dict)
            and not wanted.takes(found.item)
        ):
            continue
        item = found if isinstance(found, Problem) else _normalised(found, source.alternate)
        if isinstance(item, Problem):
            problems.setdefault(item.name, item)
            continue
        collection, text = str(item.get("collection")), json.dumps(item, sort_keys=True, ensure_ascii=False)
        updated = str(item["properties"].get("updated", ""))
        one = _Chosen((rank(source, item), item["id"], collection), updated, text)
        # Of two versions of an item the newer one; the same one is met twice where two searches overlap.
        known = chosen.get((collection, item["id"]))
        if known is None or (known.updated, known.text) < (one.updated, one.text):
            chosen[collection, item["id"]] = one
    best = sorted(chosen.values(), key=lambda each: each.order)[: source.most_items]
    if not best and not problems:
        raise _nothing(source, wanted)
    of = {each.order[2] for each in best}
    collections = {name: slim_collection(each) for name, each in sorted(finder.collections.items()) if name in of}
    return Answer(tuple(each.text for each in best), collections, tuple(problems[name] for name in sorted(problems)))


@dataclass
class _Finder:
    """Reads the items of a catalog of any kind, wanted or not, and the collections that it meets."""

    source: StacSource
    transport: Transport
    wanted: Wanted
    store: Path

    def __post_init__(self) -> None:
        self.collections: dict[str, Document] = {}

    def found(self) -> Iterator[Located | Problem]:
        address = self._document_of(self.transport.address)
        if is_table(address):
            self.collections |= table_collections(address)
            for item in table_items(address, transport=self.transport, area=self.wanted.area, store=self.store):
                yield Located(item, address)
            return
        try:
            document = self.transport.read_json(address)
        except AbsentError as error:
            raise RecipeError(f"source {self.source.id!r}: {error}; check address") from error
        yield from self._below(document, address)

    def _below(self, document: Any, address: str) -> Iterator[Located | Problem]:
        kind = "list" if isinstance(document, list) else document.get("type") if isinstance(document, dict) else None
        if kind == "list" or kind in {"Feature", "FeatureCollection"}:
            yield from self._listed(document, address)
        elif kind in {"Catalog", "Collection"} or (kind is None and isinstance(document, dict) and "links" in document):
            collection = _collection_of_api(document, address)
            if is_api(document) or collection is not None:
                yield from self._searched(collection or address, document if collection else None)
            else:
                crawl = Crawl(self.transport, address, self.wanted, self.collections)
                yield from crawl.items(document)
        else:
            raise SourceError(
                f"{self._shown(address)}: is JSON, but no STAC (its type is {kind!r}); expected the root of an API, "
                "a catalog, a collection, an item, or an ItemCollection"
            )

    def _searched(self, root: str, collection: Document | None) -> Iterator[Located]:
        wanted = self.wanted
        if collection is not None and not wanted.collections:
            limited = self.source.model_copy(update={"collection": str(collection["id"])})
            wanted = Wanted(limited, self.wanted.area, self.wanted.dropped)
        search = Search(self.transport, root, wanted)
        self.collections |= search.collections()
        for item in search.items():
            yield Located(item, _self_link(item) or root)
            self._meet(item, root)

    def _listed(self, document: Any, address: str) -> Iterator[Located]:
        """Yield items of one document, and of the pages that follow it where it came from a server."""
        while True:
            features = document if isinstance(document, list) else document.get("features", [document]) or []
            for item in features:
                if isinstance(item, dict):
                    base = address if document is item else _self_link(item) or address
                    yield Located(item, base)
                    self._meet(item, address)
            following = next((link for link in links_of(document) if link.get("rel") == "next"), None)
            if following is None or not features or not address.startswith(("http://", "https://")):
                return
            document = self.transport.read_json(Link.from_dict(following))

    def _meet(self, item: Document, address: str) -> None:
        """Read the collection of an item, once, where it stands in the same place as the item."""
        name = str(item.get("collection"))
        link = next((link for link in links_of(item) if link.get("rel") == "collection"), None)
        if name in self.collections or link is None:
            return
        place = absolute(link["href"], _self_link(item) or address)
        self.collections[name] = {}
        if urlsplit(place).netloc == urlsplit(address).netloc and is_address(place) == is_address(address):
            try:
                self.collections[name] = self.transport.read_json(place)
            except SourceError:
                return  # its licence is said by the recipe, or unknown

    def _document_of(self, address: str) -> str:
        """Return the catalog or collection of a folder."""
        folder = Path(address)
        if is_address(address) or not folder.is_dir():
            return address
        names = [name for name in ("catalog.json", "collection.json") if (folder / name).is_file()]
        return str(folder / names[0]) if names else address

    def _shown(self, address: str) -> str:
        return without_query(address) if is_address(address) else Path(address).name


def _has_properties(item: Document) -> bool:
    return isinstance(item.get("properties"), dict)


def _normalised(found: Located, alternate: str | None) -> Document | Problem:
    """Bring an item to today's STAC, its assets' addresses whole, without what is not needed."""
    name = str(found.item.get("id") or without_query(found.base).rsplit("/", 1)[-1])
    try:
        slim = slim_item(_without_none(found.item), found.base, alternate=alternate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            item = pystac.Item.from_dict(slim, preserve_dict=False, migrate=True)
        said = item.to_dict(include_self_link=False, transform_hrefs=False)
        return {key: value for key, value in said.items() if key not in {"stac_version", "stac_extensions"}}
    except (pystac.STACError, pystac.STACTypeError, LookupError, TypeError, ValueError, AttributeError) as error:
        return Problem(name, f"{name}: is no valid STAC item ({type(error).__name__}: {str(error)[:200]})")


def _without_none(item: Document) -> dict[str, Any]:
    """Drop the assets and fields of assets that a table holds as empty."""
    assets = {key: asset for key, asset in (item.get("assets") or {}).items() if asset is not None}
    clean = {key: {name: value for name, value in asset.items() if value is not None} for key, asset in assets.items()}
    return {**item, "assets": clean}


def _collection_of_api(document: Document, address: str) -> str | None:
    """Return the landing page of the API that a collection belongs to; None for a static one."""
    links = links_of(document)
    kinds = {link.get("rel") for link in links}
    if document.get("type") != "Collection" or "items" not in kinds or kinds & {"item", "child"}:
        return None
    root = next((link for link in links if link.get("rel") == "root"), None)
    return absolute(root["href"], address) if root is not None else None


def _self_link(item: Document) -> str | None:
    href = next((str(link["href"]) for link in links_of(item) if link.get("rel") == "self"), "")
    return href if is_address(href) else None


def _nothing(source: StacSource, wanted: Wanted) -> RecipeError:
    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(wanted.dropped.items()))
    seen = f"left out: {dropped}" if dropped else "it lists none there"
    where = without_query(source.address) if is_address(source.address) else Path(source.address).name
    return RecipeError(
        f"source {source.id!r}: {where} has no item that is wanted; {seen}; widen region, between, max_cloud or "
        "collection"
    )


def _question(source: StacSource, area: Any) -> str:
    """Return a digest of all that decides what is asked for, without secrets."""
    names = {"collection", "between", "max_cloud", "most_items", "choose", "date", "alternate"}
    said = source.model_dump(mode="json", include=names) | {"address": without_query(source.address), "form": _FORM}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    digest.update(b"" if area is None else shapely.to_wkb(area))
    return digest.hexdigest()[:16]


def _keep(answer: Answer, path: Path) -> None:
    """Write an answer, unless another process of the same build was first: all must see the same.

    It is an ItemCollection with an item a line, so that it can be read without holding all items as objects.
    """
    rest = {
        "collections": list(answer.collections.values()),
        "problems": [{"name": each.name, "error": each.error} for each in answer.problems],
    }
    own = path.with_name(f"{path.name}.{os.getpid()}")
    with atomic_file(own) as file:
        file.write(f"{_HEAD}\n".encode())
        file.write(",\n".join(answer.texts).encode())
        file.write(f"\n], {json.dumps(rest, sort_keys=True, ensure_ascii=False)[1:]}\n".encode())
    try:
        os.link(own, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        own.replace(path)
    finally:
        own.unlink(missing_ok=True)


def _load(path: Path) -> Answer:
    _, *texts, rest = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    said = json.loads(f"{{{rest.removeprefix('], ')}")
    problems = tuple(Problem(**problem) for problem in said["problems"])
    found = tuple(text.removesuffix(",") for text in texts if text)
    return Answer(found, {each["id"]: each for each in said["collections"]}, problems)
