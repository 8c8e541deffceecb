"""What is wrong with a caption: words that hedge, a text that is none, and claims that the facts do not hold.

A flag names a check and a detail. Text alone is judged by ``hedge``, ``length``, ``language``, ``repetition`` and
``form``; ``contradiction`` holds the caption against what is known of its tile. What is not known denies nothing:

- A thing is denied when no class of the land cover and no object bears it out, and either the land cover is known
  whole (listed shares of 94 % or more, every class understood) and has no class in which the thing may be, or the
  thing is one that is counted (roads, buildings, ponds, airports …) and the objects are known.
- At the 10 m of common land cover a road, a pond or a few houses do not show: only objects deny them.
- Small things ("a few houses", "a patch of woods") are not denied by land cover, but where all is water or snow.
- What lies outside the image, was there once or may be there at times is no claim.
- "No water", "treeless", "without buildings" claim nothing to be there; they are denied where the facts hold it (a
  share of 5 % or more, or an object).
- Shares ("80 percent water", "mostly forest", "half of the scene") may be wrong by 10 points; parts ("in the
  north-west") must not exclude the part that holds most of it.
- Dates, seasons, countries, platform, sensor, resolution, level, relief and counts are compared where known.

Everything is a function of the text and the facts: no model, no draw, the same flags on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from git10m import recipe
from git10m.captions.checks.claims import claims_of, named_words
from git10m.captions.checks.contradictions import ground_contradictions
from git10m.captions.checks.counts import count_contradictions
from git10m.captions.checks.form import form_faults, length_fault, repetitions
from git10m.captions.checks.hedges import hedges
from git10m.captions.checks.knowledge import Known, known_of, looked_for
from git10m.captions.checks.language import language_faults
from git10m.captions.checks.particulars import Ground, particular_contradictions
from git10m.captions.checks.reading import Text, read

__all__ = ["VERSION", "Flag", "Ground", "check", "looked_for"]

VERSION = "3"
"""Changes when the same caption and facts would get other flags."""

_MOST_CHARACTERS = 200_000
"""What comes after is not read; such a caption is flagged by its length."""
_MOST_COMPARED = 10_000
"""Characters that are held against facts: a hundred words are wanted, a thousand are read."""
_MOST_FLAGS = 20


@dataclass(frozen=True, slots=True)
class Flag:
    """Something that is wrong with a caption.

    Attributes:
        check: ``"hedge"``, ``"length"``, ``"language"``, ``"repetition"``, ``"form"`` or ``"contradiction"``.
        detail: What it is, in a few words.
    """

    check: str
    detail: str

    def __str__(self) -> str:
        return f"{self.check}: {self.detail}"


def check(
    caption: str,
    *,
    facts: Mapping[str, Any] | None,
    rules: recipe.CaptionChecks,
    ground: Ground | None = None,
    kind: Literal["long", "short", "given"] = "long",
) -> tuple[Flag, ...]:
    """Return what is wrong with a caption, each fault once, in a fixed order; any text will do, in linear time.

    Args:
        caption: Text to judge.
        facts: What is known of the tile, with keys of ``records.FACTS``; None: text is judged alone.
        rules: Checks to make, and their bounds.
        ground: Level and resolution of the tile, where known, for claims about them.
        kind: Bounds of length that hold: of a long or short caption, or of one that was given with its image.
    """
    text = read(caption[:_MOST_CHARACTERS])
    known = None if facts is None else known_of(facts, kinds=None if ground is None else ground.kinds)
    flags = dict.fromkeys(
        Flag(name, detail)
        for name in rules.use
        for detail in _details(name, caption, text, known=known, rules=rules, ground=ground, kind=kind)
    )
    return tuple(flags)[:_MOST_FLAGS]


def _details(
    name: str,
    caption: str,
    text: Text,
    *,
    known: Known | None,
    rules: recipe.CaptionChecks,
    ground: Ground | None,
    kind: str,
) -> list[str]:
    if name == "hedge":
        return hedges(text, banned=rules.banned, allowed=rules.allowed, masked=named_words(text, known))
    if name == "length":
        least = rules.min_words if kind == "long" else rules.short_min_words
        most = rules.short_max_words if kind == "short" else rules.max_words
        fault = length_fault(caption, least=least, most=most)
        return [] if fault is None else [fault]
    if name == "contradiction":
        return [] if known is None else list(_contradictions(text, known, ground=ground))
    judge = {"language": language_faults, "repetition": repetitions, "form": form_faults}[name]
    return judge(text)


def _contradictions(text: Text, known: Known, *, ground: Ground | None) -> Iterator[str]:
    text = text if len(text.raw) <= _MOST_COMPARED else read(text.raw[:_MOST_COMPARED])
    masked = named_words(text, known)
    claims = claims_of(text, known, masked=masked)
    yield from ground_contradictions(text, claims, known)
    yield from count_contradictions(text, claims, known)
    yield from particular_contradictions(text, known.facts, ground=ground, masked=masked)
