"""The recipe of a dataset: a TOML file, as strict models.

A recipe says which imagery becomes which tiles, how they are judged, captioned and stored. Unknown keys are errors
that name the nearest known key. ``${NAME}`` stands for a value that is given from outside (``--var NAME=VALUE``);
``${scenes}`` is the folder of the recipe's own ``[synthetic]`` scenes.

    name = "my-region"

    [tiles]
    levels = [14, 15]

    [[source]]
    id = "orthophoto"
    path = "${imagery}/*.tif"
    licence = "CC-BY-4.0"
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from git10m.errors import RecipeError
from git10m.grid import MAX_LEVEL

__all__ = [
    "Areas",
    "Captions",
    "Curation",
    "ImageFormat",
    "LandCover",
    "Output",
    "Percentiles",
    "Recipe",
    "Region",
    "Source",
    "Splits",
    "Synthetic",
    "Tiles",
    "Verdicts",
    "load_recipe",
    "parse_recipe",
]

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
Level = Annotated[int, Field(ge=1, le=MAX_LEVEL)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Byte = Annotated[int, Field(ge=0, le=255)]
Interval = tuple[float, float]
Resampling = Literal["auto", "nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Synthetic(_Model):
    """The project's own computed scenes, written before the build reads its sources.

    Attributes:
        seed: Everything of the invented landscape follows from it.
        size_px: Pixels a side of each scene.
    """

    seed: int = Field(default=10, ge=0)
    size_px: int = Field(default=1536, ge=512, le=20_000)


class Region(_Model):
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


class Tiles(_Model):
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


class ImageFormat(_Model):
    """How tiles are encoded.

    Attributes:
        format: JPEG (4:4:4), WebP or PNG (lossless).
        quality: 1–100, of JPEG and WebP.
        fill: RGB of pixels without data.
    """

    format: Literal["jpeg", "webp", "png"] = "jpeg"
    quality: int = Field(default=95, ge=1, le=100)
    fill: tuple[Byte, Byte, Byte] = (0, 0, 0)


class Percentiles(_Model):
    """A stretch from percentiles of the scene, taken once and stored (never of a tile)."""

    percentiles: Interval = (2.0, 98.0)

    @field_validator("percentiles")
    @classmethod
    def _rising(cls, value: Interval) -> Interval:
        if not 0 <= value[0] < value[1] <= 100:
            raise ValueError(f"percentiles {list(value)} must rise within 0–100, e.g. [2, 98]")
        return value


class Source(_Model):
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


class Verdicts(_Model):
    """Least measures of a tile that is kept; None switches a rule off. Units as in ``records.Row``."""

    min_entropy: float | None = None
    min_sharpness: float | None = None
    min_contrast: float | None = None
    min_brightness: float | None = None
    max_brightness: float | None = None


class Curation(_Model):
    """What is dropped.

    Attributes:
        verdicts: Thresholds on a tile's own measures.
        drop_exact_duplicates: Of tiles whose encoded bytes are equal, keep the one that comes first.
    """

    verdicts: Verdicts = Verdicts()
    drop_exact_duplicates: bool = True


class LandCover(_Model):
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


class Areas(_Model):
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


class Captions(_Model):
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


class Splits(_Model):
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


class Output(_Model):
    """How rows are stored.

    Attributes:
        shard_rows: Most rows of a parquet file.
        row_group_rows: Rows of a row group.
    """

    shard_rows: int = Field(default=10_000, ge=1)
    row_group_rows: int = Field(default=500, ge=1, le=100_000)


class Recipe(_Model):
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


def load_recipe(path: Path, *, variables: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: TOML file. Relative paths in it are taken from the file's folder.
        variables: Values of ``${NAME}``.

    Raises:
        RecipeError: If the file cannot be read, a key is unknown, a value is out of range, or a variable is missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot read the recipe ({_reason(error)}); give the path of a TOML file") from error
    return parse_recipe(text, name=str(path), variables=variables)


def parse_recipe(text: str, *, name: str = "recipe", variables: Mapping[str, str] | None = None) -> Recipe:
    """Check the text of a recipe; see `load_recipe`. ``name`` stands in messages."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name}: not valid TOML: {error}") from error
    filled = _substitute(raw, dict(variables or {}), name)
    try:
        return Recipe.model_validate(filled)
    except ValidationError as error:
        raise RecipeError(_explain(error, name)) from error


_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _substitute(value: Any, variables: dict[str, str], name: str) -> Any:
    """Fill ``${NAME}`` in every string of a nested value; ``${scenes}`` is filled by the build."""
    if isinstance(value, dict):
        return {key: _substitute(item, variables, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, variables, name) for item in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        key = match.group(1)
        if key not in variables and key != "scenes":
            raise RecipeError(f"{name}: ${{{key}}} has no value; add --var {key}=VALUE")
        return variables.get(key, match.group(0))

    return _VARIABLE.sub(fill, value)


def _explain(error: ValidationError, name: str) -> str:
    """Turn pydantic's findings into lines that name the key, what was given and what was expected."""
    return "\n".join(dict.fromkeys(f"{name}: {_explain_one(dict(found))}" for found in error.errors()))


def _explain_one(found: dict[str, Any]) -> str:
    # Union members appear in a location as names of types ("tuple[int, ...]"); they say nothing to a user.
    types = {"str", *(model.__name__ for model in _Model.__subclasses__())}
    parts = [str(part) for part in found["loc"] if re.fullmatch(r"\w+", str(part)) and part not in types]
    where = ".".join(parts) or "recipe"
    if found["type"] == "extra_forbidden":
        known = _known_keys(found["loc"][:-1])
        near = difflib.get_close_matches(parts[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key {where!r}; {hint}"
    if found["type"] == "missing":
        return f"{where} is missing"
    message = found["msg"].removeprefix("Value error, ")
    return (
        f"{where} = {found['input']!r}: {message}"
        if parts and found["type"] != "value_error"
        else f"{where}: {message}"
    )


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """Return the keys of the model at a location such as ``("source", 0)``."""
    model: Any = Recipe
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[_Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, _Model):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _model_in(argument)) is not None:
            return found
    return None


def _moment(value: Any) -> datetime:
    """Read a TOML date, time or ISO string as a moment in UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise ValueError(f"acquired_at = {value!r} is no ISO 8601 date, e.g. 2020-08-31") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
