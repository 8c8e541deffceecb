"""Named sources of imagery with their licence and terms: the files of ``catalogs/``."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from git10m.errors import RecipeError

__all__ = ["Entry", "Kind", "catalog_folder", "entries", "fill_from_catalog", "load_entry"]

Kind = Literal["raster", "stac", "xyz", "wmts", "archive"]
_LOCATORS = {"path": "raster", "url": "xyz", "address": "stac"}
"""Keys of a source that give away its kind, where it states none."""


class Entry(BaseModel):
    """One source of imagery, as data.

    Attributes:
        title: Full name.
        kind: How it is had when a recipe says nothing but its name.
        levels: Coarsest and finest web-mercator level that it supports at the equator.
        platform: ``"satellite"`` or ``"aerial"``; None where it is no imagery (a map of land cover).
        sensor: Name for captions.
        licence: SPDX name or sentence.
        attribution: Credit line; ``{year}`` stands for the year of acquisition.
        terms: Address of the terms.
        terms_read: When they were read; None: still to be checked.
        bulk: Whether the terms permit bulk download: ``"allowed"``, or ``"ask"`` (a recipe must say who permitted it).
        note: What else a user must know.
        raster: Keys that a ``[[source]]`` of that kind takes where it leaves them unsaid; likewise the other kinds.
        stac: As ``raster``.
        xyz: As ``raster``.
        wmts: As ``raster``.
        archive: As ``raster``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    kind: Kind
    levels: tuple[Annotated[int, Field(ge=0, le=22)], Annotated[int, Field(ge=0, le=22)]]
    platform: Literal["satellite", "aerial"] | None = None
    sensor: str | None = None
    licence: str
    attribution: str
    terms: str
    terms_read: date | None = None
    bulk: Literal["allowed", "ask"] = "allowed"
    note: str = ""
    raster: Mapping[str, Any] | None = None
    stac: Mapping[str, Any] | None = None
    xyz: Mapping[str, Any] | None = None
    wmts: Mapping[str, Any] | None = None
    archive: Mapping[str, Any] | None = None


def catalog_folder() -> Path:
    """Return the folder of catalog files: in the installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "catalogs"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "catalogs"


def entries() -> list[str]:
    """List the names of all entries."""
    return sorted(file.stem for file in catalog_folder().glob("*.toml"))


def load_entry(name: str) -> Entry:
    """Read one entry.

    Raises:
        RecipeError: If there is none of that name (the nearest is named), or it is malformed.
    """
    path = catalog_folder() / f"{name}.toml"
    if not path.is_file():
        known = entries()
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise RecipeError(f"catalog = {name!r}: no such entry; {hint}")
    try:
        return Entry.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise RecipeError(f"catalogs/{path.name}: {error}") from error


def fill_from_catalog(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``[[source]]`` table with what it leaves unsaid taken from its catalog entry.

    The kind is the one that the table states, or that its keys give away (``path``: files of one's own), or else the
    entry's.

    Raises:
        RecipeError: If the entry is not there, or cannot be had in the way that the table asks for.
    """
    name = source.get("catalog")
    if not isinstance(name, str):
        return dict(source)
    entry = load_entry(name)
    kind = source.get("kind") or next((kind for key, kind in _LOCATORS.items() if key in source), entry.kind)
    offered = {key: getattr(entry, key) for key in ("platform", "sensor", "licence", "attribution")}
    of_kind = getattr(entry, kind, None) if kind in Kind.__args__ else None  # type: ignore[attr-defined]
    if of_kind is None and kind != "raster" and kind in Kind.__args__:  # type: ignore[attr-defined]
        ways = [way for way in Kind.__args__ if getattr(entry, way) is not None]  # type: ignore[attr-defined]
        raise RecipeError(f"catalog = {name!r} says nothing of kind = {kind!r}; it knows {', '.join(ways)}")
    offered |= of_kind or {}
    unsaid = {key: value for key, value in offered.items() if value is not None and key not in source}
    return {"kind": kind, **source, **unsaid}
