"""How the relief of a tile is told: heights to a few metres, slope in degrees or in a word.

The words for slopes are ours: under 1° nearly level, under 5° gently sloping, under 15° sloping, under 30° steep, then
very steep.
"""

from __future__ import annotations

from collections.abc import Mapping

from git10m.captions.wording import Draw, sentence

__all__ = ["SLOPES", "relief_sentence"]

SLOPES = ((1.0, "nearly level"), (5.0, "gently sloping"), (15.0, "sloping"), (30.0, "steep"), (91.0, "very steep"))
"""Largest mean slope in degrees of each word."""

_FLAT_M = 3.0
"""Ground whose heights differ by no more lies at one height."""


def relief_sentence(relief: Mapping[str, float], draw: Draw) -> str:
    """Return a sentence about the relief of a tile.

    Args:
        relief: ``relief`` of ``records.FACTS``.
        draw: Chooses the wording.
    """
    slope = next(word for limit, word in SLOPES if relief["slope_deg"] < limit)
    degrees = round(relief["slope_deg"])
    steep = f"a mean slope of about {degrees} degree{'' if degrees == 1 else 's'}"
    low, high = _rounded(relief["lowest_m"]), _rounded(relief["highest_m"])
    if high - low <= _FLAT_M:
        at = _at((low + high) // 2 if relief["highest_m"] - relief["lowest_m"] > 1 else low)
        wordings = [f"the ground lies {at}", f"the ground is {slope} and lies {at}"]
    else:
        range_ = _range(low, high)
        wordings = [
            f"the ground lies between {range_}",
            f"the ground is {slope}, between {range_}",
            f"heights range between {range_}",
        ]
        if degrees >= 1:
            wordings.append(f"the ground lies between {range_}, with {steep}")
    return sentence(draw.pick("relief", wordings))


def _rounded(metres: float) -> int:
    """Round to the metre, above 100 m to five."""
    return round(metres) if abs(metres) < 100.0 else 5 * round(metres / 5.0)


def _at(metres: int) -> str:
    if metres == 0:
        return "at about sea level"
    return f"at about {_metres(abs(metres))} {'above' if metres > 0 else 'below'} sea level"


def _range(low: int, high: int) -> str:
    if low >= 0:
        return f"about {low:,} and {_metres(high)} above sea level"
    if high <= 0:
        return f"about {-low:,} and {_metres(-high)} below sea level"
    return f"about {_metres(-low)} below and {_metres(high)} above sea level"


def _metres(number: int) -> str:
    return f"{number:,} metre{'' if number == 1 else 's'}"
