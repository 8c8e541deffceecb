"""What a request may say: its parameters, checked; and what it is told when it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from text2earth.errors import (
    OutsideWorldError,
    PaintingTimeoutError,
    QueueFullError,
    RequestError,
    ServerStoppedError,
)
from text2earth.serving.worlds import LARGEST_SEED, Area, Chosen

__all__ = ["ImageQuery", "WmtsQuery", "WorldQuery", "complaint", "parameters_of", "status_of"]


class WorldQuery(BaseModel):
    """Which world; what is left out is that of the server's first world."""

    model_config = ConfigDict(extra="forbid")

    prompt: str | None = Field(None, description="What is to be seen.")
    seed: int | None = Field(None, ge=0, le=LARGEST_SEED, description="Of the noise.")
    area: list[str] = Field(
        [], description="WEST,SOUTH,EAST,NORTH,PROMPT: a box with a prompt of its own; may be repeated."
    )
    v: str | None = Field(None, description="Version of the world, as its TileJSON has it.")

    def chosen(self, first: Chosen, *, fixed: bool) -> Chosen:
        """Return the world.

        Args:
            first: The server's first world.
            fixed: Whether it is the only one.

        Raises:
            RequestError: If another one was asked for where there is only one, or an area is none.
        """
        found = Chosen(
            first.prompt if self.prompt is None else self.prompt,
            first.seed if self.seed is None else self.seed,
            tuple(Area.parse(text) for text in self.area),
        )
        if fixed and found != first:
            raise RequestError("this server paints one world only; leave prompt, seed and area out")
        return found


class ImageQuery(WorldQuery):
    """A box as one picture."""

    bbox: str = Field(description="WEST,SOUTH,EAST,NORTH in degrees.")
    width: int | None = Field(None, ge=1, description="Pixels.")
    height: int | None = Field(None, ge=1, description="Pixels.")
    level: int | None = Field(None, description="Whose pixels the picture is made from.")
    format: str = Field("png", description="png, tif, webp or jpg.")


class WmtsQuery(WorldQuery):
    """Capabilities, with the parameters that clients add by habit."""

    service: str | None = Field(None, alias="SERVICE")
    request: str | None = Field(None, alias="REQUEST")
    version: str | None = Field(None, alias="VERSION")
    accept_versions: str | None = Field(None, alias="ACCEPTVERSIONS")


def parameters_of(path: str) -> Sequence[str]:
    """Return the names of the parameters that a path takes."""
    kinds: dict[str, type[BaseModel]] = {"/image": ImageQuery, "/wmts": WmtsQuery, "/WMTSCapabilities.xml": WmtsQuery}
    if path.startswith("/tiles/") or path in {"/tilejson.json", *kinds}:
        fields = kinds.get(path, WorldQuery).model_fields
        return [field.alias or name for name, field in fields.items()]
    return []


def complaint(errors: Sequence[Any], *, path: str) -> str:
    """Return what pydantic found wrong with a request as one sentence: given, expected, what to do."""
    told = []
    for error in errors:
        place, *rest = error["loc"]
        name = ".".join(str(part) for part in rest)
        if error["type"] == "extra_forbidden":
            known = ", ".join(parameters_of(path)) or "none"
            told.append(f"there is no parameter {name!r}; those of {path} are: {known}")
        elif error["type"] == "missing":
            told.append(f"the parameter {name!r} is missing; add it")
        else:
            what = f"{name} in the path" if place == "path" else name
            told.append(f"{what} is {error['input']!r}: {error['msg'][:1].lower()}{error['msg'][1:]}")
    return "; ".join(told)


def status_of(error: Exception) -> int:
    """Return the HTTP status that tells of an error."""
    match error:
        case OutsideWorldError():
            return 404
        case RequestError():
            return 400
        case QueueFullError():
            return 429
        case PaintingTimeoutError():
            return 504 if error.begun else 503
        case ServerStoppedError():
            return 503
        case _:
            return 500
