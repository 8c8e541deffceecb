"""Tables of a recipe that say what is known of a tile, and how that is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from git10m.recipe.values import Table
from git10m.recipe.writers import OpenAIWriter, TransformersWriter

__all__ = ["Areas", "Captions", "LandCover"]


class LandCover(Table):
    """A class raster, or a layer of polygons, that says what covers the ground.

    Attributes:
        path: Raster(s) of class codes, or a vector file; a file, folder or glob.
        classes: Names by code (or by the attribute's value). Codes without a name are unknown ground.
        attribute: Column of a vector file that holds the class; makes the file be read as polygons.
    """

    path: str | tuple[str, ...]
    classes: Mapping[str, str] | None = None
    attribute: str | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.attribute is None and not self.classes:
            raise ValueError('a class raster needs classes, e.g. classes = {10 = "forest", 80 = "water"}')
        return self


class Areas(Table):
    """A vector layer of named things.

    Attributes:
        path: Vector file.
        attribute: Column that holds the name.
        kind: ``"area"``: polygons that hold the tile's centre ("in NAME"). ``"place"``: points; the nearest one
            replaces the built-in gazetteer's.
        country: Column with the country's name, of a ``"place"`` layer.
    """

    path: str
    attribute: str = "name"
    kind: Literal["area", "place"] = "area"
    country: str | None = None


class Captions(Table):
    """How captions are written.

    Attributes:
        writer: ``"template"``: by rule, from facts. ``"openai"``: a model behind a server. ``"transformers"``: a model
            on this machine. ``"none"``: captions stay empty.
        lengths: Captions of every tile; the first is ``caption``, all are in ``captions`` where there are several.
        fallback: What a tile gets of which a model gives no caption without faults: the template's, or none.
        openai: The server, for ``writer = "openai"``.
        transformers: The model, for ``writer = "transformers"``.
        seed: Varies the wording.
        mention: Kinds of fact that a caption may speak of; facts are stored whatever it mentions.
        land_cover: Class raster or polygons.
        areas: Vector layers of named areas and places.
    """

    writer: Literal["template", "openai", "transformers", "none"] = "template"
    lengths: tuple[Literal["long", "short"], ...] = Field(default=("long",), min_length=1)
    fallback: Literal["template", "none"] = "template"
    openai: OpenAIWriter | None = None
    transformers: TransformersWriter | None = None
    seed: int = 0
    mention: tuple[Literal["resolution", "platform", "place", "date", "land_cover"], ...] = (
        "resolution",
        "platform",
        "place",
        "date",
        "land_cover",
    )
    land_cover: LandCover | None = None
    areas: tuple[Areas, ...] = ()

    @model_validator(mode="after")
    def _has_its_writer(self) -> Self:
        if self.writer in {"openai", "transformers"} and getattr(self, self.writer) is None:
            raise ValueError(
                f'writer = "{self.writer}" needs the table [captions.{self.writer}], which names the model'
            )
        if len(set(self.lengths)) < len(self.lengths):
            raise ValueError(f"lengths = {list(self.lengths)}: each length once")
        return self

    @property
    def layers(self) -> tuple[LandCover | Areas, ...]:
        """All tables of files that tell facts."""
        return (*([self.land_cover] if self.land_cover is not None else []), *self.areas)

    @property
    def drops_rows(self) -> bool:
        """Whether rows may go for their caption."""
        return False

    def located(self, locate: Callable[[Any], Any]) -> Captions:
        """Return the table with the paths that ``locate`` makes of its own."""

        def moved(table: Any, name: str) -> Any:
            if table is None or getattr(table, name) is None:
                return table
            return table.model_copy(update={name: locate(getattr(table, name))})

        return self.model_copy(
            update={
                "land_cover": moved(self.land_cover, "path"),
                "areas": tuple(moved(layer, "path") for layer in self.areas),
                "openai": moved(self.openai, "cache"),
                "transformers": moved(self.transformers, "path"),
            }
        )

    def canonical(self) -> dict[str, Any]:
        """Return what is asked for, but not where files and servers are; equal tables, equal JSON."""
        said = self.model_dump(mode="json")
        for layer in (said["land_cover"], *said["areas"]):
            if layer is not None:
                del layer["path"]
        for name in ("openai", "transformers"):
            model = getattr(self, name)
            if name != self.writer:
                del said[name]  # a table that is not used
            else:
                said[name] = {key: value for key, value in said[name].items() if key not in model.manners}
        return said
