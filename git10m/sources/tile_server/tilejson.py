"""TileJSON: a tile server that describes itself in JSON (version 2 or 3 of its specification)."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from git10m.errors import SourceError
from git10m.grid import MAX_LEVEL
from git10m.recipe import XyzSource
from git10m.sources.served import plain_credit
from git10m.sources.tile_server.documents import kept_document, name_of, with_own_query

__all__ = ["TileJson", "read_tilejson"]


@dataclass(frozen=True)
class TileJson:
    """What a server says of its tiles.

    Attributes:
        url: Address template.
        zooms: First and last zoom.
        bounds: (west, south, east, north) in degrees, where it is stated.
        attribution: Credit line, as plain text.
    """

    url: str
    zooms: tuple[int, int]
    bounds: tuple[float, float, float, float] | None
    attribution: str | None


def read_tilejson(source: XyzSource, *, store: Path) -> TileJson:
    """Read the document at a source's ``url``; it is kept, so that an interrupted build goes on with the same.

    Raises:
        SourceError: If it cannot be had, is no TileJSON, or describes vector tiles.
    """
    document = kept_document(source, source.url, kept=store / "tilejson.json", what="its TileJSON")
    try:
        said = json.loads(document)
    except ValueError:
        said = None
    tiles = said.get("tiles") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(tiles, list) or not tiles or not isinstance(tiles[0], str):
        raise SourceError(
            f"{name_of(source.url)}: is no TileJSON; url is the address of one, or a template with {{z}}, {{x}} and "
            "{y} (or {-y}), or {q}"
        )
    # Several addresses are mirrors; one of them, at the pace that the recipe allows a host, is enough.
    url = with_own_query(urljoin(source.url, tiles[0]), source.url)
    if said.get("vector_layers") or re.search(r"\.(pbf|mvt)\b", url):
        raise SourceError(f"{name_of(source.url)}: describes vector tiles; give a server of PNG, JPEG or WebP tiles")
    if str(said.get("scheme", "xyz")).lower() == "tms":
        url = url.replace("{y}", "{-y}")
    credit = plain_credit(said.get("attribution"))
    zooms = (_zoom(said, "minzoom", 0), _zoom(said, "maxzoom", MAX_LEVEL + 1))
    return TileJson(url, zooms, _bounds(said.get("bounds")), credit)


def _zoom(said: dict[str, Any], key: str, otherwise: int) -> int:
    value = said.get(key)
    return int(value) if isinstance(value, int | float) and 0 <= value <= MAX_LEVEL + 1 else otherwise


def _bounds(value: Any) -> tuple[float, float, float, float] | None:
    if not isinstance(value, list) or len(value) != 4 or not all(isinstance(edge, int | float) for edge in value):
        return None
    west, south, east, north = (float(edge) for edge in value)
    if not all(map(math.isfinite, (west, south, east, north))) or south >= north or west == east:
        return None
    return west, max(-90.0, south), east, min(90.0, north)
