"""Tables of a recipe that say what is known of a tile, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from git10m.recipe.values import Table

__all__ = ["Areas", "CaptionChecks", "Captions", "LandCover"]

CheckName = Literal["hedge", "length", "language", "repetition", "form", "contradiction"]


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


class CaptionChecks(Table):
    """What a caption is checked for; see ``git10m.captions.checks``.

    Attributes:
        use: Checks that are made; empty: none.
        min_words: Fewest words of a caption, as ``caption_length`` counts them.
        max_words: Most words.
        short_min_words: Fewest words of a short caption, and of one that came with its image.
        short_max_words: Most words of a short caption.
        banned: Words and phrases that no caption may hold, beside the hedges; without regard to capitals.
        allowed: Hedges that are no fault here.
        action: ``"flag"``: flags go into ``caption_flags``. ``"drop_caption"``: a caption with a flag is emptied too;
            its row stays.
    """

    use: tuple[CheckName, ...] = ("hedge", "length", "language", "repetition", "form", "contradiction")
    min_words: int = Field(default=12, ge=0)
    max_words: int = Field(default=105, ge=1)
    short_min_words: int = Field(default=3, ge=0)
    short_max_words: int = Field(default=30, ge=1)
    banned: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    action: Literal["flag", "drop_caption"] = "flag"

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for name in ("", "short_"):
            least, most = getattr(self, f"{name}min_words"), getattr(self, f"{name}max_words")
            if least > most:
                raise ValueError(f"{name}min_words = {least} is above {name}max_words = {most}")
        return self


class Captions(Table):
    """How captions are written.

    Attributes:
        writer: ``"template"``, or ``"none"`` to leave captions empty.
        seed: Varies the wording.
        mention: Kinds of fact that a caption may speak of; facts are stored whatever it mentions.
        land_cover: Class raster or polygons.
        areas: Vector layers of named areas and places.
        checks: What captions are checked for.
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
    checks: CaptionChecks = CaptionChecks()
