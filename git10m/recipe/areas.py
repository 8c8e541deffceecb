"""Where: the region of a recipe, and which of its tiles are taken."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from git10m.recipe.values import Fraction, Level, Table

__all__ = ["Region", "Sampling"]


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


class Sampling(Table):
    """Which tiles of a region are taken.

    Attributes:
        method: ``"all"``, or ``"random"``.
        seed: Everything random follows from it.
        share: Part of the tiles that is taken, for ``"random"``.
        most_per_level: Most tiles of a level.
        level_shares: Parts of the sample by level, e.g. ``{14 = 0.25, 16 = 0.75}``.
    """

    method: Literal["all", "random"] = "all"
    seed: int = 0
    share: Fraction | None = None
    most_per_level: Annotated[int, Field(ge=1)] | None = None
    level_shares: dict[Level, Fraction] = Field(default_factory=dict)
