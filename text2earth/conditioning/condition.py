"""What an image is asked to show, and the null condition."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from git10m.grid import MAX_LEVEL
from text2earth.errors import ConditionError

__all__ = ["NULL", "Condition", "parse"]

_PREFIX = re.compile(r"^\s*(\d+)_GOOGLE_LEVEL_(.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Condition:
    """What an image is asked to show.

    Args:
        prompt: Text without prefix; ``""`` says nothing.
        level: Zoom level, 0…22; 0 says that the resolution is unknown.
        gsd_m: True ground sampling distance, metres a pixel; None says that it is unknown, as for all that follow.
        lon: Longitude of the centre, −180…180 degrees; given together with ``lat``.
        lat: Latitude of the centre, −90…90 degrees.
        month: Month of the acquisition, 1…12.
        source: Name of the imagery's source, as the rows' ``source_id``.

    Raises:
        ConditionError: If a value is outside its range, or only one of ``lon`` and ``lat`` is given.
    """

    prompt: str = ""
    level: int = 0
    gsd_m: float | None = None
    lon: float | None = None
    lat: float | None = None
    month: int | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if self.level not in range(MAX_LEVEL + 1):
            raise ConditionError(
                f"level {self.level!r} was given; levels are 1–{MAX_LEVEL}, or 0 where the resolution is unknown"
            )
        if self.gsd_m is not None and not (math.isfinite(self.gsd_m) and self.gsd_m > 0.0):
            raise ConditionError(
                f"gsd_m {self.gsd_m} was given; it is metres a pixel, above 0; leave it out if unknown"
            )
        if (self.lon is None) != (self.lat is None):
            raise ConditionError(f"lon {self.lon} and lat {self.lat} were given; a place has both, or neither")
        for name, value, limit in (("lon", self.lon, 180.0), ("lat", self.lat, 90.0)):
            if value is not None and not abs(value) <= limit:
                raise ConditionError(f"{name} {value} was given; it is −{limit:g}…{limit:g} degrees")
        if self.month is not None and self.month not in range(1, 13):
            raise ConditionError(f"month {self.month} was given; months are 1–12; leave it out if unknown")
        if self.source == "":
            raise ConditionError("source '' was given; name the source, or leave it out if unknown")

    def coarsened(self, halvings: int) -> Condition:
        """Return the condition of the same image averaged down by ``2 ** halvings``.

        The level falls by as many, to 0 (unknown) where it would leave its range; the GSD grows.
        """
        return replace(
            self,
            level=max(self.level - halvings, 0),
            gsd_m=None if self.gsd_m is None else self.gsd_m * 2.0**halvings,
        )


NULL = Condition()
"""The null condition: nothing is said, in training and in sampling."""


def parse(prompt: str, *, level: int | None = None) -> Condition:
    """Read a prompt that may carry the published prefix ``"{level}_GOOGLE_LEVEL_"``.

    Args:
        prompt: Text, with or without the prefix.
        level: Zoom level 0…22 if it is given beside the prompt.

    Returns:
        The condition, its prompt without prefix. Level 0 if none is given anywhere.

    Raises:
        ConditionError: If the prefix and the argument name different levels, or a level is outside its range.
    """
    found = _PREFIX.match(prompt)
    if found is None:
        return Condition(prompt.strip(), 0 if level is None else level)
    named = int(found.group(1))
    if level is not None and level != named:
        raise ConditionError(
            f"the prompt's prefix says level {named} and the argument says level {level}; "
            "drop the prefix or give the same level"
        )
    return Condition(found.group(2).strip(), named)
