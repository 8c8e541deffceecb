"""Tables of a recipe that say what is known of a tile, and how that is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from git10m.recipe.values import DatePattern, Paths, Table
from git10m.recipe.writers import OpenAIWriter, TransformersWriter

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
        date_pattern: Of class rasters, as for a source: finds the date in a file's path. A tile is then told only
            from rasters of its own day; water, snow and fields are not the same on two dates.
        parts: Also say in which part of the tile a class mostly lies. False for images that are mirrored or turned in
            training, which would make north of south.
    """

    path: str | tuple[str, ...]
    classes: Mapping[str, str] | None = None
    attribute: str | None = None
    licence: str | None = None
    attribution: str | None = None
    date_pattern: DatePattern | None = None
    parts: bool = True

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.attribute is None and not self.classes:
            raise ValueError('a class raster needs classes, e.g. classes = {10 = "forest", 80 = "water"}')
        if self.attribute is not None and self.date_pattern is not None:
            raise ValueError("date_pattern is of class rasters; polygons (attribute) have no dates")
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
        checks: What captions are checked for.
        objects: Vector layers of things that may be seen.
        relief: Elevation model.
        similarity: Models that tell how well captions fit.
    """

    writer: Literal["template", "openai", "transformers", "none"] = "template"
    lengths: tuple[Literal["long", "short"], ...] = Field(default=("long",), min_length=1)
    fallback: Literal["template", "none"] = "template"
    openai: OpenAIWriter | None = None
    transformers: TransformersWriter | None = None
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
    def layers(self) -> tuple[LandCover | Areas | Objects | Relief, ...]:
        """All tables of files that tell facts."""
        single = [layer for layer in (self.land_cover, self.relief) if layer is not None]
        return (*single, *self.areas, *self.objects)

    @property
    def drops_rows(self) -> bool:
        """Whether rows may go for their caption."""
        return self.similarity is not None and self.similarity.drop_lowest > 0

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
                "objects": tuple(moved(layer, "path") for layer in self.objects),
                "relief": moved(self.relief, "path"),
                "similarity": moved(moved(self.similarity, "clip"), "siglip"),
                "openai": moved(self.openai, "cache"),
                "transformers": moved(self.transformers, "path"),
            }
        )

    def canonical(self) -> dict[str, Any]:
        """Return what is asked for, but not where files and servers are; equal tables, equal JSON."""
        said = self.model_dump(mode="json")
        for layer in (said["land_cover"], said["relief"], *said["areas"], *said["objects"]):
            if layer is not None:
                del layer["path"]
        if said["similarity"] is not None:  # what the models come to is told apart by their content
            del said["similarity"]["clip"], said["similarity"]["siglip"]
        for name in ("openai", "transformers"):
            model = getattr(self, name)
            if name != self.writer:
                del said[name]  # a table that is not used
            else:
                said[name] = {key: value for key, value in said[name].items() if key not in model.manners}
        return said
