"""Tables of a recipe that say what is known of a tile, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from git10m.recipe.values import Paths, Table

__all__ = ["Areas", "CaptionChecks", "Captions", "LandCover", "Objects", "Relief", "Similarity"]

CheckName = Literal["hedge", "length", "language", "repetition", "form", "contradiction"]


class LandCover(Table):
    """A class raster, or a layer of polygons, that says what covers the ground.

    Attributes:
        path: Raster(s) of class codes, or a vector file; a file, folder or glob.
        classes: Names by code (or by the attribute's value). Codes without a name are unknown ground.
        attribute: Column of a vector file that holds the class; makes the file be read as polygons.
        licence: Of the file, e.g. "CC-BY-4.0"; None: that of ESA WorldCover for its files, else not stated.
        attribution: Credit line that the dataset carries on.
    """

    path: str | tuple[str, ...]
    classes: Mapping[str, str] | None = None
    attribute: str | None = None
    licence: str | None = None
    attribution: str | None = None

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
        licence: Of the file.
        attribution: Credit line that the dataset carries on.
    """

    path: str
    attribute: str = "name"
    kind: Literal["area", "place"] = "area"
    country: str | None = None
    licence: str | None = None
    attribution: str | None = None


class Objects(Table):
    """A layer of things that may be seen: an extract of OpenStreetMap, or any vector file.

    Attributes:
        path: ``.osm.pbf``, ``.osm`` or a vector file; a file, folder, glob or address, or several.
        layer: Layer of a file with several.
        kind: What every feature is, e.g. "building".
        attribute: Column that says what each feature is. Without ``kind`` and ``attribute`` the columns are named like
            tags of OpenStreetMap (``building``, ``highway``, …), as they are in most exports of it.
        kinds: What the attribute's values mean, e.g. ``{BATI = "building"}``; values without a name are left out.
            None: the values are kinds themselves.
        name: Column of proper names; None: ``name``, where there is one.
        size_m: Width of lines, or diameter of points, on the ground; None: what is typical of the kind.
        licence: Of the file; None: ODbL-1.0 where it is OpenStreetMap's, else not stated.
        attribution: Credit line that the dataset carries on; None: OpenStreetMap's where it is.
    """

    path: Paths
    layer: str | None = None
    kind: Annotated[str, Field(min_length=2, max_length=40)] | None = None
    attribute: str | None = None
    kinds: Mapping[str, str] | None = None
    name: str | None = None
    size_m: Annotated[float, Field(gt=0, le=10_000)] | None = None
    licence: str | None = None
    attribution: str | None = None

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.kind is not None and self.attribute is not None:
            raise ValueError('say kind = "building" for all features, or attribute = "COLUMN" for each, not both')
        if self.kinds is not None and self.attribute is None:
            raise ValueError('kinds are of the values of attribute = "COLUMN"')
        if self.kinds is not None and not self.kinds:
            raise ValueError('kinds is empty; say what the values are, e.g. kinds = {BATI = "building"}')
        return self


class Relief(Table):
    """A digital elevation model: metres above sea level.

    Attributes:
        path: Raster(s); a file, folder, glob or address. Where they overlap, the first that knows the ground is
            believed.
        nodata: Value without data, where a file does not state it.
        licence: Of the file.
        attribution: Credit line that the dataset carries on.
    """

    path: Paths
    nodata: float | None = None
    licence: str | None = None
    attribution: str | None = None


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


class Similarity(Table):
    """How well captions and images fit by the models that read both; each fills a column.

    Attributes:
        clip: Folder of a CLIP model; fills ``similarity_clip``.
        siglip: Folder of a SigLIP model; fills ``similarity_siglip``.
        drop_lowest: Share of the captioned images that fit least, which go; of two models the mean of the ranks counts.
        device: Where the models run.
    """

    clip: str | None = None
    siglip: str | None = None
    drop_lowest: float = Field(default=0.0, ge=0, lt=1)
    device: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _some_model(self) -> Self:
        if self.clip is None and self.siglip is None:
            raise ValueError('captions.similarity needs clip = "folder", siglip = "folder", or both')
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
        objects: Vector layers of things that may be seen.
        relief: Elevation model.
        similarity: Models that tell how well captions fit.
    """

    writer: Literal["template", "none"] = "template"
    seed: int = 0
    mention: tuple[Literal["resolution", "platform", "place", "date", "land_cover", "objects", "relief"], ...] = (
        "resolution",
        "platform",
        "place",
        "date",
        "land_cover",
        "objects",
        "relief",
    )
    land_cover: LandCover | None = None
    areas: tuple[Areas, ...] = ()
    checks: CaptionChecks = CaptionChecks()
    objects: tuple[Objects, ...] = ()
    relief: Relief | None = None
    similarity: Similarity | None = None
