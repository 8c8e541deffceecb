"""The tables of a recipe, as strict models that check themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from git10m.grid import MAX_LEVEL

__all__ = [
    "Areas",
    "Captions",
    "Curation",
    "ImageFormat",
    "Interval",
    "LandCover",
    "Output",
    "Percentiles",
    "Recipe",
    "Region",
    "Source",
    "Splits",
    "Synthetic",
    "Table",
    "Tiles",
    "Verdicts",
]

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
Level = Annotated[int, Field(ge=1, le=MAX_LEVEL)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Byte = Annotated[int, Field(ge=0, le=255)]
Interval = tuple[float, float]
Resampling = Literal["auto", "nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode"]


class Table(BaseModel):
    """A table of a recipe: knows its keys, and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Synthetic(Table):
    """The project's own computed scenes, written before the build reads its sources.

    Attributes:
        seed: Everything of the invented landscape follows from it.
        size_px: Pixels a side of each scene.
    """

    seed: int = Field(default=10, ge=0)
    size_px: int = Field(default=1536, ge=512, le=20_000)


class Region(Table):
    """Area of interest; tiles that do not touch it are not planned.

    Attributes:
        bbox: (west, south, east, north) in degrees; west > east crosses the antimeridian.
        file: A vector file (GeoJSON, GeoPackage, …) whose polygons are joined; any CRS that it states.
    """

    bbox: tuple[float, float, float, float] | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.bbox is None) == (self.file is None):
            raise ValueError("say either bbox = [west, south, east, north] or file = 'area.geojson'")
        return self


class Tiles(Table):
    """Which tiles are cut, and which of them count as complete.

    Attributes:
        levels: Zoom levels; a level that a source does not support is left out there.
        size: Pixels a side of a tile.
        levels_paired: Keep a tile only if its ancestors and all its descendants at the recipe's levels are kept.
        oversample: Also cut levels finer than 0.8 × the native GSD (``native_gsd_m`` tells).
        min_valid: Least share of pixels with data.
    """

    levels: tuple[Level, ...] = tuple(range(10, 19))
    size: Literal[256, 512] = 256
    levels_paired: bool = False
    oversample: bool = False
    min_valid: Fraction = 0.95

    @field_validator("levels")
    @classmethod
    def _sorted(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        if not levels:
            raise ValueError("at least one level is needed, e.g. levels = [14, 15]")
        return tuple(sorted(set(levels)))


class ImageFormat(Table):
    """How tiles are encoded.

    Attributes:
        format: JPEG (4:4:4), WebP or PNG (lossless).
        quality: 1–100, of JPEG and WebP.
        fill: RGB of pixels without data.
    """

    format: Literal["jpeg", "webp", "png"] = "jpeg"
    quality: int = Field(default=95, ge=1, le=100)
    fill: tuple[Byte, Byte, Byte] = (0, 0, 0)


class Percentiles(Table):
    """A stretch from percentiles of the scene, taken once and stored (never of a tile)."""

    percentiles: Interval = (2.0, 98.0)

    @field_validator("percentiles")
    @classmethod
    def _rising(cls, value: Interval) -> Interval:
        if not 0 <= value[0] < value[1] <= 100:
            raise ValueError(f"percentiles {list(value)} must rise within 0–100, e.g. [2, 98]")
        return value


class Source(Table):
    """Imagery of one origin.

    Sources that share a ``layer`` are mosaicked in the order of the recipe: a tile is filled from the first, what
    the first leaves empty from the next. Each layer gives rows of its own.

    Attributes:
        id: Name of the source in rows.
        kind: ``"raster"``: files that GDAL reads.
        path: File, folder or glob, or several; relative to the recipe's folder.
        exclude: Globs of file names to leave out.
        catalog: Entry of ``catalogs/`` whose licence, attribution, platform, sensor, bands and scale are taken
            where this source says nothing.
        bands: Three band numbers from 1 (or one, for greyscale imagery), or as many file patterns for imagery that
            has one file a band: ``["*_B4.TIF", "*_B3.TIF", "*_B2.TIF"]``; what ``*`` stands for must be the same.
            None: 8-bit RGB as it is, or by the colour interpretation that the file states.
        scale: Values that become 0 and 255: ``[low, high]``, three such pairs, or ``{percentiles = [2, 98]}``.
        nodata: Value without data, where the file does not state it.
        levels: Levels for this source instead of those of ``[tiles]``.
        layer: Sources of one layer fill each other.
        dates: ``"separate"``: each acquisition date gives rows of its own. ``"mosaic"``: all dates fill each other,
            newest first.
        acquired_at: Date or time of all files (ISO 8601).
        date_pattern: Regular expression for a file's path; its group (or groups year, month, day) is the date.
        resampling: ``"auto"``: average when shrinking ≥ 1.5×, else bilinear.
        overviews: Read from overviews where they are fine enough.
        licence: SPDX name or sentence.
        attribution: Credit line that users of the imagery must show.
        platform: ``"satellite"`` or ``"aerial"``, for captions.
        sensor: Name of the sensor, for captions.
    """

    id: Slug
    kind: Literal["raster"] = "raster"
    path: str | Annotated[tuple[str, ...], Field(min_length=1)]
    exclude: tuple[str, ...] = ()
    catalog: str | None = None
    bands: tuple[int, ...] | tuple[str, ...] | None = None
    scale: Interval | tuple[Interval, ...] | Percentiles | None = None
    nodata: float | None = None
    levels: Annotated[tuple[Level, ...], Field(min_length=1)] | None = None
    layer: Slug = "imagery"
    dates: Literal["separate", "mosaic"] = "separate"
    acquired_at: datetime | None = None
    date_pattern: str | None = None
    resampling: Resampling = "auto"
    overviews: bool = True
    licence: str | None = None
    attribution: str | None = None
    platform: Literal["satellite", "aerial"] | None = None
    sensor: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """``path`` as a tuple."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @field_validator("bands")
    @classmethod
    def _three_or_one(cls, bands: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if bands is not None and len(bands) not in {1, 3}:
            raise ValueError(f"bands = {list(bands)}: give three for red, green, blue, or one for greyscale")
        if bands is not None and any(isinstance(band, int) and band < 1 for band in bands):
            raise ValueError(f"bands = {list(bands)}: band numbers start at 1")
        return bands

    @field_validator("scale")
    @classmethod
    def _rising(cls, scale: Any) -> Any:
        if scale is None or isinstance(scale, Percentiles):
            return scale
        pairs = (scale,) if scale and isinstance(scale[0], float) else scale
        if len(pairs) not in {1, 3} or not all(low < high for low, high in pairs):
            raise ValueError(f"scale = {scale}: give [low, high] with low < high, or three such pairs")
        return scale

    @field_validator("acquired_at", mode="before")
    @classmethod
    def _utc(cls, value: Any) -> datetime | None:
        return None if value is None else _moment(value)

    @field_validator("date_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"date_pattern {pattern!r} is no regular expression: {error}") from error
        if not groups:
            raise ValueError(f"date_pattern {pattern!r} needs a group, e.g. '_(\\d{{8}})\\.tif$'")
        return pattern

    @model_validator(mode="after")
    def _one_date(self) -> Self:
        if self.acquired_at is not None and self.date_pattern is not None:
            raise ValueError("say either acquired_at or date_pattern")
        return self


class Verdicts(Table):
    """Least measures of a tile that is kept; None switches a rule off. Units as in ``records.Row``."""

    min_entropy: float | None = None
    min_sharpness: float | None = None
    min_contrast: float | None = None
    min_brightness: float | None = None
    max_brightness: float | None = None


class Curation(Table):
    """What is dropped.

    Attributes:
        verdicts: Thresholds on a tile's own measures.
        drop_exact_duplicates: Of tiles whose encoded bytes are equal, keep the one that comes first.
    """

    verdicts: Verdicts = Verdicts()
    drop_exact_duplicates: bool = True


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


class Splits(Table):
    """How rows are divided; whole parent cells stay together, so no ground is in two splits.

    Attributes:
        validation: Share of cells.
        test: Share of cells.
        seed: Changes which cells.
        cell_level: Level of the cells, at most the coarsest level of the tiles; None: that level.
    """

    validation: Fraction = 0.05
    test: Fraction = 0.05
    seed: int = 0
    cell_level: int | None = Field(default=None, ge=0, le=MAX_LEVEL)

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} + test {self.test} leave nothing to train on")
        return self


class Output(Table):
    """How rows are stored.

    Attributes:
        shard_rows: Most rows of a parquet file.
        row_group_rows: Rows of a row group.
    """

    shard_rows: int = Field(default=10_000, ge=1)
    row_group_rows: int = Field(default=500, ge=1, le=100_000)


class Recipe(Table):
    """A whole recipe; see the attributes' types for the tables of the TOML file.

    Attributes:
        name: Name of the dataset.
        version: Version of the dataset, as its maker counts.
        description: A sentence for the card.
        on_error: ``"skip"``: go on without what cannot be read, and count it. ``"stop"``: stop at once.
        synthetic: Computed scenes to write first.
        region: Area of interest; None: wherever the sources are.
        tiles: Levels and completeness.
        image: Encoding.
        source: Imagery, in order of priority.
        curation: What is dropped.
        captions: What is said of a tile.
        splits: Train, validation, test.
        output: Shards.
    """

    name: Slug
    version: str = "1.0"
    description: str = ""
    on_error: Literal["skip", "stop"] = "skip"
    synthetic: Synthetic | None = None
    region: Region | None = None
    tiles: Tiles = Tiles()
    image: ImageFormat = ImageFormat()
    source: tuple[Source, ...]
    curation: Curation = Curation()
    captions: Captions = Captions()
    splits: Splits = Splits()
    output: Output = Output()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.source:
            raise ValueError("a recipe needs at least one [[source]]")
        seen: set[str] = set()
        for source in self.source:
            if source.id in seen:
                raise ValueError(f"two sources are called {source.id!r}; give each an id of its own")
            seen.add(source.id)
        coarsest = min(min(source.levels or self.tiles.levels) for source in self.source)
        if self.splits.cell_level is not None and self.splits.cell_level > coarsest:
            raise ValueError(
                f"splits.cell_level = {self.splits.cell_level} is finer than the coarsest level {coarsest}; "
                "a tile of that level would lie in several splits"
            )
        return self

    def located(self, root: Path, *, scenes: Path) -> Recipe:
        """Return the recipe with absolute paths.

        Args:
            root: Folder that relative paths start from.
            scenes: Folder that ``${scenes}`` stands for.
        """

        def locate(path: Any) -> Any:
            if isinstance(path, tuple):
                return tuple(locate(each) for each in path)
            filled = path.replace("${scenes}", str(scenes))
            return filled if "://" in filled else str(root / filled)

        def moved(model: Any, name: str = "path") -> Any:
            return model.model_copy(update={name: locate(getattr(model, name))})

        cover = self.captions.land_cover
        captions = self.captions.model_copy(
            update={
                "land_cover": moved(cover) if cover is not None else None,
                "areas": tuple(moved(layer) for layer in self.captions.areas),
            }
        )
        region = self.region
        return self.model_copy(
            update={
                "source": tuple(moved(source) for source in self.source),
                "captions": captions,
                "region": moved(region, "file") if region is not None and region.file is not None else region,
            }
        )

    def canonical(self) -> dict[str, Any]:
        """Return all that the recipe says but where files are; equal recipes give equal JSON."""
        said = self.model_dump(mode="json")
        for source in said["source"]:
            del source["path"]
        for layer in (said["captions"]["land_cover"], *said["captions"]["areas"]):
            if layer is not None:
                del layer["path"]
        if said["region"] is not None:
            del said["region"]["file"]
        return said

    @property
    def cell_level(self) -> int:
        """Level of the cells that splits are made of."""
        if self.splits.cell_level is not None:
            return self.splits.cell_level
        return min(min(source.levels or self.tiles.levels) for source in self.source)


def _moment(value: Any) -> datetime:
    """Read a TOML date, time or ISO string as a moment in UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise ValueError(f"acquired_at = {value!r} is no ISO 8601 date, e.g. 2020-08-31") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
