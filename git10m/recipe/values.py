"""What the tables of a recipe share: the strict model, and kinds of value that check themselves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from git10m.grid import MAX_LEVEL

__all__ = [
    "Byte",
    "DatePattern",
    "Fraction",
    "Interval",
    "Level",
    "Levels",
    "Moment",
    "Paths",
    "Resampling",
    "Slug",
    "Table",
    "is_address",
    "shown",
]


class Table(BaseModel):
    """A table of a recipe: knows its keys, and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _moment(value: Any) -> datetime | None:
    """Read a TOML date, time or ISO string as a moment in UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is no ISO 8601 date, e.g. 2020-08-31") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _date_pattern(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"date_pattern {pattern!r} is no regular expression: {error}") from error
    if not groups:
        raise ValueError(f"date_pattern {pattern!r} needs a group, e.g. '_(\\d{{8}})\\.tif$'")
    return pattern


Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
Level = Annotated[int, Field(ge=1, le=MAX_LEVEL)]
Levels = Annotated[tuple[Level, ...], Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Byte = Annotated[int, Field(ge=0, le=255)]
Interval = tuple[float, float]
Moment = Annotated[datetime, BeforeValidator(_moment)]
DatePattern = Annotated[str, AfterValidator(_date_pattern)]
Paths = str | Annotated[tuple[str, ...], Field(min_length=1)]
Resampling = Literal["auto", "nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode"]


def is_address(path: str) -> bool:
    """Tell an address (http, https, s3, a virtual file of GDAL) from a path."""
    return path.startswith("/vsi") or "://" in path


def shown(path: str) -> str:
    """Return the last part of a path or address, without what follows a ``?``: that may be a secret."""
    return path.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
