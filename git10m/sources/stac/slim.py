"""Items and collections without what a build does not need, and without anything that is secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from git10m.sources.stac.transport import absolute, is_secret, links_of, without_query

__all__ = ["SIGNED", "slim_collection", "slim_item"]

SIGNED = "git10m:signed"
"""Mark of an asset whose address came with a signature, which is not kept."""
_OF_ASSETS = frozenset(
    {"href", "type", "roles", "bands", "nodata", "data_type", "gsd", "scale", "offset", "file:checksum"}
)
_SPACES = ("proj:", "raster:", "eo:")
_BULKY = frozenset(
    {"statistics", "histogram", "classification:bitfields", "classification:classes", "raster:histogram"}
)
_LINKS = frozenset({"license", "collection"})
_OF_COLLECTIONS = frozenset({"id", "type", "title", "license", "providers", "item_assets"})

Document = Mapping[str, Any]


def slim_item(item: Document, base: str, *, alternate: str | None = None) -> dict[str, Any]:
    """Return an item with whole addresses; signatures in them are left out and marked as `SIGNED`.

    Args:
        item: Of any version of STAC.
        base: Path or address that its links start from.
        alternate: Name of another address of each asset, which is taken where it is stated.
    """
    properties = {name: value for name, value in item["properties"].items() if name != "proj:geometry"}
    return {
        "type": "Feature",
        "stac_version": str(item.get("stac_version", "1.0.0")),
        "stac_extensions": list(item.get("stac_extensions") or []),
        "id": str(item["id"]),
        "collection": item.get("collection"),
        "geometry": item.get("geometry"),
        "bbox": item.get("bbox"),
        "properties": {name: _unsigned(value) for name, value in properties.items()},
        "links": [link for link in _links(item) if link["rel"] == "license"],
        "assets": {
            key: _slim_asset({**asset, **_alternate(asset, alternate)}, base)
            for key, asset in sorted((item.get("assets") or {}).items())
        },
    }


def slim_collection(collection: Document) -> dict[str, Any]:
    """Return what the items of a collection share: licence, providers, fields of assets."""
    kept = {name: value for name, value in collection.items() if name in _OF_COLLECTIONS}
    assets = collection.get("item_assets") or {}
    if assets:
        kept["item_assets"] = {key: _fields(asset) for key, asset in sorted(assets.items())}
    return kept | {"links": _links(collection)}


def _slim_asset(asset: Document, base: str) -> dict[str, Any]:
    href = str(asset["href"])
    # Catalogs of one's own list files on a shared disk; to a web server the same means a place on itself.
    if not (href.startswith("/vsi") or (href.startswith("/") and Path(href).is_file())):
        href = absolute(href, base)
    plain = str(_unsigned(href))
    kept = _fields(asset) | {"href": plain}
    return kept | {SIGNED: True} if plain != href else kept


def _alternate(asset: Document, name: str | None) -> Document:
    """Return what an asset says of another address of its file: the address, and what differs there."""
    offered = asset.get("alternate")
    found = offered.get(name) if isinstance(offered, dict) else None
    return found if isinstance(found, dict) and isinstance(found.get("href"), str) else {}


def _fields(asset: Document) -> dict[str, Any]:
    kept = {name: value for name, value in asset.items() if name in _OF_ASSETS or name.startswith(_SPACES)}
    for name in ("bands", "eo:bands", "raster:bands"):
        if isinstance(kept.get(name), list):
            kept[name] = [{key: each[key] for key in each if key not in _BULKY} for each in kept[name]]
    return {name: value for name, value in kept.items() if name not in _BULKY}


def _links(document: Document) -> list[dict[str, Any]]:
    return [
        {"rel": link["rel"], "href": _unsigned(str(link.get("href"))), "title": link.get("title")}
        for link in links_of(document)
        if link.get("rel") in _LINKS
    ]


def _unsigned(value: Any) -> Any:
    """Leave out of an address a query that holds a signature, and a user's name and password."""
    if not isinstance(value, str) or "://" not in value:
        return value
    query = urlsplit(value).query
    secret = any(is_secret(name) for name, _ in parse_qsl(query, keep_blank_values=True))
    plain = without_query(value)
    return plain if secret else f"{plain}?{query}" if query else plain
