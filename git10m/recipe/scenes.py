"""Sources of scenes, rasters that tiles are cut from, and what all sources have in common."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from git10m.recipe.values import DatePattern, Interval, Levels, Moment, Paths, Resampling, Slug, Table

__all__ = ["ClassMask", "Modality", "Origin", "Percentiles", "RasterSource", "SceneSource", "StacSource"]


class Origin(Table):
    """What a recipe says of imagery of any kind.

    Attributes:
        id: Name of the source in rows.
        catalog: Entry of ``catalogs/`` that says what this source leaves unsaid.
        levels: Levels for this source instead of those of ``[tiles]``.
        layer: Sources of one layer fill each other; each layer gives rows of its own.
        acquired_at: Date or time of all of it (ISO 8601).
        licence: SPDX name or sentence.
        attribution: Credit line that users of the imagery must show; ``{year}`` stands for the year of acquisition.
        platform: ``"satellite"`` or ``"aerial"``, for captions.
        sensor: Name of the sensor, for captions.
    """

    places: ClassVar[tuple[str, ...]] = ("path",)
    """Keys that hold paths or addresses."""
    manners: ClassVar[tuple[str, ...]] = ()
    """Keys that say how to fetch, not what: they may change between two runs of a build."""

    id: Slug
    catalog: str | None = None
    levels: Levels | None = None
    layer: Slug = "imagery"
    acquired_at: Moment | None = None
    licence: str | None = None
    attribution: str | None = None
    platform: Literal["satellite", "aerial"] | None = None
    sensor: str | None = None


class Percentiles(Table):
    """A stretch from percentiles of the scene, taken once and stored (never of a tile)."""

    percentiles: Interval = (2.0, 98.0)

    @field_validator("percentiles")
    @classmethod
    def _rising(cls, value: Interval) -> Interval:
        if not 0 <= value[0] < value[1] <= 100:
            raise ValueError(f"percentiles {list(value)} must rise within 0–100, e.g. [2, 98]")
        return value


class SceneSource(Origin):
    """Imagery in scenes: sources of one layer are mosaicked in the order of the recipe.

    Attributes:
        bands: Three (or one, for greyscale imagery); see the kinds.
        scale: Values that become 0 and 255: ``[low, high]``, a pair a band, or ``{percentiles = [2, 98]}``.
        decibels: Values are powers (radar backscatter): ``scale`` is meant of 10·log10 of them.
        nodata: Value without data, where the imagery does not state it.
        resampling: ``"auto"``: average when shrinking ≥ 1.5×, else bilinear.
        overviews: Read from overviews where they are fine enough.
        dates: ``"separate"``: each acquisition date gives rows of its own. ``"mosaic"``: all dates fill each other.
        rows: Whether it gives rows; false: only a ``[[modality]]`` reads it.
    """

    bands: tuple[int, ...] | tuple[str, ...] | None = None
    scale: Interval | tuple[Interval, ...] | Percentiles | None = None
    decibels: bool = False
    nodata: float | None = None
    resampling: Resampling = "auto"
    overviews: bool = True
    dates: Literal["separate", "mosaic"] = "separate"
    rows: bool = True

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


class Modality(Table):
    """A second image of every tile, on the same grid and mask, in a column of its own.

    Attributes:
        name: The column is ``image_NAME``.
        source: Id of a ``[[source]]`` of scenes that it is read from.
        bands: Three, or one, which gives a greyscale image; None: as the source says.
        scale: As for a source; None: as the source says, where it has the same bands.
        decibels: As for a source; None: as the source says.
        required: Drop tiles that it does not cover (``tiles.min_valid``); else the column is null there.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=40)]
    source: Slug
    bands: tuple[int, ...] | tuple[str, ...] | None = None
    scale: Interval | tuple[Interval, ...] | Percentiles | None = None
    decibels: bool | None = None
    required: bool = True


class RasterSource(SceneSource):
    """Files that GDAL reads, on a disk or at an address.

    Attributes:
        path: File, folder, glob or address (http, https, s3), or several; relative to the recipe's folder.
        exclude: Globs of file names to leave out.
        bands: Band numbers from 1, or as many file patterns for imagery that has one file a band:
            ``["*_B4.TIF", "*_B3.TIF", "*_B2.TIF"]``; what ``*`` stands for must be the same.
            None: 8-bit RGB as it is, or by the colour interpretation that the file states.
        date_pattern: Regular expression for a file's path; its group (or groups year, month, day) is the date.
    """

    kind: Literal["raster"] = "raster"
    path: Paths
    exclude: tuple[str, ...] = ()
    date_pattern: DatePattern | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """``path`` as a tuple."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @model_validator(mode="after")
    def _one_date(self) -> Self:
        if self.acquired_at is not None and self.date_pattern is not None:
            raise ValueError("give acquired_at or date_pattern, not both")
        return self


class ClassMask(Table):
    """Pixels that a classification or a set of quality flags declares unusable.

    Attributes:
        asset: Asset of the item that holds it.
        classes: Codes that are unusable (Sentinel-2's SCL: 0, 1, 3, 8, 9, 10).
        bits: Bits (0 is the lowest) of which any makes a pixel unusable (Landsat's QA_PIXEL: 0, 1, 2, 3, 4).
    """

    asset: str
    classes: tuple[int, ...] = ()
    bits: tuple[Annotated[int, Field(ge=0, le=31)], ...] = ()

    @model_validator(mode="after")
    def _something(self) -> Self:
        if bool(self.classes) == bool(self.bits):
            raise ValueError("give either classes = [3, 8, 9] or bits = [3, 4]")
        return self


class StacSource(SceneSource):
    """Scenes that a SpatioTemporal Asset Catalog lists.

    Attributes:
        address: Root of an API, a static catalog or collection, an ItemCollection (GeoJSON), an item, or a
            stac-geoparquet file; a path or an address. ``{env:NAME}`` stands for a variable of the environment.
        headers: Of each request to the catalog's own host; ``{env:NAME}`` stands for a variable of the environment.
        collection: Of an API or catalog: one or several.
        between: First and last date that are taken, inclusive.
        max_cloud: Most ``eo:cloud_cover`` of an item, percent; items that state none are taken.
        most_items: Most items that are taken, the best by ``choose`` first.
        choose: Which item a tile is filled from first: ``"least_cloud"``, ``"newest"``, ``"oldest"``, or
            ``"nearest"`` to ``date``.
        date: What ``choose = "nearest"`` is near to.
        bands: Keys of assets (``*`` stands for anything), or names or common names of bands; ``"KEY:2"`` is the
            second band of an asset; numbers are bands of the only asset with pixels. None: the asset ``visual``, else
            red, green and blue.
        scale: In the units that the asset's own scale and offset give (reflectance, for example), where it states
            them, else in stored values.
        mask: Pixels that the scene classification makes unusable.
        alternate: Name of another address of each asset (alternate-assets extension), ``"s3"`` say, that is read
            where an asset states one.
        sign: ``"planetary-computer"``: have the addresses of assets signed by that service.
    """

    places: ClassVar[tuple[str, ...]] = ("address",)
    manners: ClassVar[tuple[str, ...]] = ("headers", "sign")

    kind: Literal["stac"] = "stac"
    address: str
    headers: dict[str, str] = Field(default_factory=dict)
    collection: Paths | None = None
    between: tuple[Moment, Moment] | None = None
    max_cloud: Annotated[float, Field(ge=0, le=100)] | None = None
    most_items: Annotated[int, Field(ge=1)] | None = None
    choose: Literal["least_cloud", "newest", "oldest", "nearest"] = "least_cloud"
    date: Moment | None = None
    dates: Literal["separate", "mosaic"] = "mosaic"
    mask: ClassMask | None = None
    alternate: Annotated[str, Field(min_length=1)] | None = None
    sign: Literal["planetary-computer"] | None = None

    @model_validator(mode="after")
    def _dated(self) -> Self:
        if (self.choose == "nearest") != (self.date is not None):
            raise ValueError("choose = 'nearest' and date = 2021-07-01 go together")
        if self.between is not None and self.between[0] > self.between[1]:
            raise ValueError("between = [first, last] runs backwards")
        return self
