"""Condition dropout: what makes one network predict with and without each condition."""

from __future__ import annotations

from dataclasses import dataclass, fields

from text2earth.conditioning.condition import NULL, Condition
from text2earth.errors import ConditionError
from text2earth.noise import Stream, generator

__all__ = ["DropRates", "drop"]


@dataclass(frozen=True, slots=True)
class DropRates:
    """Probabilities of condition dropout, each 0…1 (Text2Earth's own are not published).

    Conditions are dropped independently, which alone would make the joint null rare (1 % at 10 % each for two)
    though it is the base of classifier-free guidance (Ho & Salimans, arXiv 2207.12598): ``both`` is drawn first and
    gives the joint null its own share. The text is null with probability ``both + (1 − both)·text``, the level and
    the further conditions likewise.

    Args:
        text: Of the prompt.
        level: Of the level.
        both: Of text and level together, and with them of every further condition: the joint null.
        gsd: Of the true ground sampling distance.
        place: Of longitude and latitude, which go together.
        month: Of the month.
        source: Of the source.

    Raises:
        ConditionError: If a probability is outside 0…1.
    """

    text: float = 0.05
    level: float = 0.10
    both: float = 0.10
    gsd: float = 0.10
    place: float = 0.10
    month: float = 0.10
    source: float = 0.10

    def __post_init__(self) -> None:
        for each in fields(self):
            rate = getattr(self, each.name)
            if not 0.0 <= rate <= 1.0:
                raise ConditionError(f"drop rate {each.name} = {rate}; a probability is 0–1")


def drop(condition: Condition, *, rates: DropRates, seed: int, counter: int) -> Condition:
    """Return the condition with some of its parts, or all, replaced by their nulls, keyed by (seed, counter)."""
    draws = generator(seed, counter, stream=Stream.DROPOUT).random(7)
    both, text, level, gsd, place, month, source = (float(draw) for draw in draws)
    if both < rates.both:
        return NULL
    return Condition(
        prompt=NULL.prompt if text < rates.text else condition.prompt,
        level=NULL.level if level < rates.level else condition.level,
        gsd_m=NULL.gsd_m if gsd < rates.gsd else condition.gsd_m,
        lon=NULL.lon if place < rates.place else condition.lon,
        lat=NULL.lat if place < rates.place else condition.lat,
        month=NULL.month if month < rates.month else condition.month,
        source=NULL.source if source < rates.source else condition.source,
    )
