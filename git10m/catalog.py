"""Named sources of imagery with their licence and terms: the files of ``catalogs/``."""

from __future__ import annotations

import difflib
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from git10m.errors import RecipeError
from git10m.recipe import Interval, Source

__all__ = ["Entry", "catalog_folder", "entries", "fill_from_catalog", "load_entry"]


class Entry(BaseModel):
    """One source of imagery, as data.

    Attributes:
        title: Full name.
        kind: How it is served.
        address: Where it starts; None where every user has an own copy.
        bands: Numbers of red, green and blue in the usual delivery.
        scale: Values that become 0 and 255.
        levels: Coarsest and finest web-mercator level that it supports at the equator.
        platform: ``"satellite"`` or ``"aerial"``.
        sensor: Name for captions.
        licence: SPDX name or sentence.
        attribution: Credit line; ``{year}`` stands for the year of acquisition.
        terms: Address of the terms.
        terms_read: When they were read; None: still to be checked.
        note: What else a user must know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    kind: Literal["raster", "stac", "xyz", "wmts"]
    address: str | None = None
    bands: tuple[int, ...] | None = None
    scale: Interval | None = None
    levels: tuple[Annotated[int, Field(ge=0, le=22)], Annotated[int, Field(ge=0, le=22)]]
    platform: Literal["satellite", "aerial"]
    sensor: str | None = None
    licence: str
    attribution: str
    terms: str
    terms_read: date | None = None
    note: str = ""


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


def fill_from_catalog(source: Source) -> Source:
    """Return a source with what it leaves unsaid taken from its catalog entry."""
    if source.catalog is None:
        return source
    entry = load_entry(source.catalog)
    offered = {
        name: getattr(entry, name) for name in ("bands", "scale", "platform", "sensor", "licence", "attribution")
    }
    return source.model_copy(
        update={name: value for name, value in offered.items() if value is not None and getattr(source, name) is None}
    )
