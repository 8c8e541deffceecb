"""Tables of a recipe that say what is known of a tile, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import model_validator

from git10m.recipe.values import Table

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
        writer: ``"template"``, or ``"none"`` to leave captions empty.
        seed: Varies the wording.
        mention: Kinds of fact that a caption may speak of; facts are stored whatever it mentions.
        land_cover: Class raster or polygons.
        areas: Vector layers of named areas and places.
    """

    writer: Literal["template", "none"] = "template"
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
