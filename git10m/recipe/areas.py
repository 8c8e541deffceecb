"""Where: the region of a recipe, and which of its tiles are taken."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from git10m.recipe.values import Fraction, Level, Paths, Table

__all__ = ["Cities", "Region", "Sampling", "Strata"]

Box = tuple[float, float, float, float]


class Region(Table):
    """Area of interest; tiles that do not touch it are not planned.

    Attributes:
        bbox: (west, south, east, north) in degrees; west > east crosses the antimeridian.
        file: A vector file (GeoJSON, GeoPackage, …) whose polygons are joined; any CRS that it states.
        layer: Of a file with several.
        where: Values of columns that the features of the file must have, e.g. ``{NAME = "Switzerland"}``; a list
            means any of them.
        points: (lon, lat) of each point, instead of a file.
        buffer_km: Distance around points and lines, on the ground.
        exclude: Areas that are cut out: files, or boxes like ``bbox``.
    """

    bbox: Box | None = None
    file: str | None = None
    layer: str | None = None
    where: dict[str, str | int | tuple[str | int, ...]] = Field(default_factory=dict)
    points: tuple[tuple[float, float], ...] = ()
    buffer_km: Annotated[float, Field(gt=0, le=2000)] | None = None
    exclude: tuple[str | Box, ...] = ()

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.bbox is not None) + (self.file is not None) + bool(self.points) != 1:
            raise ValueError(
                "say one of bbox = [west, south, east, north], file = 'area.geojson', or points = [[lon, lat], …]"
            )
        if self.points and self.buffer_km is None:
            raise ValueError("points have no area; say buffer_km = 10")
        if self.file is None and (self.layer is not None or self.where):
            raise ValueError("layer and where belong to a file")
        if self.bbox is not None and self.buffer_km is not None:
            raise ValueError("buffer_km is for points and lines; make the bbox larger instead")
        return self


class Strata(Table):
    """Classes of ground, each of which gives as many tiles.

    Attributes:
        path: Class raster(s): a tile has the class that most of it shows. Or a vector file, with ``attribute``: a
            tile has the value of the polygon that holds its centre.
        attribute: Column of the vector file.
        classes: Codes (or values) that are taken, e.g. ``["10", "80"]``; empty: all. Tiles without a class are left.
        most: Most tiles of a class on each level; None: as many as the rarest class has.
    """

    path: Paths
    attribute: str | None = None
    classes: tuple[str, ...] = ()
    most: Annotated[int, Field(ge=1)] | None = None


class Cities(Table):
    """Towns around which tiles are taken, the fewer the farther away.

    Attributes:
        path: Points of a vector file; None: GeoNames' towns.
        sigma_km: A tile whose centre lies d km from the nearest town is taken with probability exp(−d² / 2σ²).
        min_population: Of GeoNames' towns.
    """

    path: str | None = None
    sigma_km: Annotated[float, Field(gt=0, le=500)] = 20.0
    min_population: Annotated[int, Field(ge=5000)] = 15_000


class Sampling(Table):
    """Which tiles of a region are taken. Every draw depends on the seed and the tile alone.

    Attributes:
        method: ``"all"``; ``"random"`` (``share`` or ``count``); ``"stratified"`` (by ``strata``); ``"cities"``
            (around ``cities``); ``"major_tom"``: the tile next to the centre of each cell of the Major TOM grid.
        seed: Another one gives another sample.
        share: Part of the tiles that is taken; a larger share holds the smaller.
        count: Most tiles altogether.
        most_per_level: Most tiles of a level.
        level_shares: Parts of the sample by level, e.g. ``{14 = 0.25, 16 = 0.75}``; they add up to 1.
        no_overlap: Of a tile and those above or below it at other levels take one only.
        strata: Classes, for ``"stratified"``.
        cities: Towns, for ``"cities"``.
        cell_km: Size of the cells, for ``"major_tom"``.
    """

    method: Literal["all", "random", "stratified", "cities", "major_tom"] = "all"
    seed: int = Field(default=0, ge=0)
    share: Fraction | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    most_per_level: Annotated[int, Field(ge=1)] | None = None
    level_shares: dict[Level, Fraction] = Field(default_factory=dict)
    no_overlap: bool = False
    strata: Strata | None = None
    cities: Cities | None = None
    cell_km: Annotated[float, Field(ge=1, le=1000)] = 10.0

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.method == "random" and self.share is None and self.count is None:
            raise ValueError("method = 'random' needs share = 0.1 or count = 10000")
        if (self.method == "stratified") != (self.strata is not None):
            raise ValueError("method = 'stratified' and [sampling.strata] go together")
        if self.cities is not None and self.method != "cities":
            raise ValueError("[sampling.cities] needs method = 'cities'")
        if self.level_shares and abs(sum(self.level_shares.values()) - 1.0) > 1e-6:
            raise ValueError(f"level_shares add up to {sum(self.level_shares.values()):g}, not to 1")
        return self
