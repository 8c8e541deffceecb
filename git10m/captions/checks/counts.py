"""Numbers of things that a caption tells, against how many the facts hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from git10m.captions.checks.amounts import number_of
from git10m.captions.checks.claims import Claim
from git10m.captions.checks.concepts import CONCEPTS, cases_of
from git10m.captions.checks.knowledge import Known
from git10m.captions.checks.parts import part_at
from git10m.captions.checks.reading import Text

__all__ = ["count_contradictions"]

_UP_TO_TWENTY = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
"""
_NUMBERS = {word: number for number, word in enumerate(_UP_TO_TWENTY.split())} | {
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
    "hundred": 100,
    "dozen": 12,
    "pair": 2,
}
_MANY = {"dozens": 24, "hundreds": 150, "thousands": 1500, "numerous": 4, "many": 4, "several": 3, "countless": 20}
_ENDS = frozenset(
    {
        "of",
        "and",
        "or",
        "with",
        "the",
        "a",
        "by",
        "in",
        "at",
        "per",
        "percent",
        "level",
        "lane",
        "storey",
        "year",
        "years",
    }
    | {"m", "km", "metre", "metres", "meter", "meters", "kilometres", "kilometers", "pixel", "pixels", "hectares"}
)
_EXACT_UP_TO = 3
_PARTS_OF_THINGS = frozenset({"fairway", "fairways", "green", "greens", "platform", "platforms", "graves"})
"""A golf course has several fairways."""
_MORE = 1.25
"""A number may be above the count by so much: things are cut by the tile's edge."""


def count_contradictions(text: Text, claims: Sequence[Claim], known: Known) -> Iterator[str]:
    """Yield numbers of things that the facts do not bear out.

    More than there are is a contradiction. Fewer is one only where the number stands right before the thing and the
    sentence speaks of no part of the image: "two large houses in the north" may be two of many.
    """
    if known.objects is None:
        return
    for claim in claims:
        if text.words[claim.end - 1] in _PARTS_OF_THINGS:
            continue
        if not claim.said or claim.absent or not (claim.kind or (claim.concept and CONCEPTS[claim.concept].counted)):
            continue
        counts, told = _counts_of(claim, known), _told(text, claim)
        if not counts or told is None:
            continue
        count = max(counts)
        number, vague, plain = told
        shown = text.surface(claim.start, claim.end)
        if number > count and (number > _MORE * count + (0 if count <= _EXACT_UP_TO else 1)):
            yield f"{'several' if vague else f'{number:g}'} {shown} ({count} among the objects)"
        elif not vague and plain and number < min(counts) / _MORE - 1 and not _of_part(text, claim):
            yield f"{number:g} {shown} ({min(counts)} among the objects)"


def _counts_of(claim: Claim, known: Known) -> list[int]:
    """Return how many there may be said to be: of the kind that is named, and of all that are cases of the concept."""
    found = [thing.count for thing in known.objects or () if claim.kind and thing.kind == claim.kind and thing.count]
    if claim.concept and CONCEPTS[claim.concept].counted:
        vague = frozenset(CONCEPTS[claim.concept].may_be)
        wanted = cases_of(claim.concept)
        cases = [thing for thing in known.objects or () if thing.concepts & wanted]
        if cases and all(thing.count is not None for thing in cases):
            others = [thing for thing in known.objects or () if thing.concepts & vague and not thing.concepts & wanted]
            found.append(sum(thing.count or 0 for thing in cases + others))
    return found


def _told(text: Text, claim: Claim) -> tuple[float, bool, bool] | None:
    """Return (number, whether it is vague, whether it stands right before the thing)."""
    words = text.words
    if (number := _of_them(words, claim.end)) is not None:
        return number, False, False
    for j in range(claim.start - 1, max(-1, claim.start - 4), -1):
        word = words[j]
        if word in _MANY:
            return _MANY[word], True, False
        number = _NUMBERS.get(word, number_of(word))
        if number is not None:
            return _number_at(text, j, float(number), claim.start)
        of_many = word == "of" and words[j - 1 : j] in (["dozens"], ["hundreds"], ["thousands"], ["pair"])
        if (not word.isalpha() or word in _ENDS) and not of_many:
            return None
    return None


def _number_at(text: Text, j: int, number: float, start: int) -> tuple[float, bool, bool] | None:
    """Return what a number before a thing tells, as `_told` does: "twenty-five houses", "only one small house"."""
    words = text.words
    tens = _NUMBERS.get(words[j - 1], 0) if j and number < 10 and not words[j].isdecimal() else 0
    if 20 <= tens <= 90:
        return tens + number, False, j == start - 1
    if words[j] == "one":
        return (1.0, False, True) if words[j - 1 : j] == ["only"] else None
    plain = number >= 1 and not text.joined[j + 1] and words[j - 1 : j] != ["level"]
    return (number, False, j == start - 1) if plain else None


def _of_them(words: Sequence[str], end: int) -> float | None:
    """Read "pools, more than twenty of them", "farms, of which there are three"."""
    for j in range(end, min(end + 6, len(words) - 1)):
        if words[j] == "of" and words[j + 1] in {"them", "these", "which"}:
            told = words[j - 1] if words[j + 1] != "which" or j > end + 1 else ""
            return _NUMBERS.get(told, number_of(told))
    return None


def _of_part(text: Text, claim: Claim) -> bool:
    number = text.sentence[claim.start]
    return any(part_at(text, i) is not None for i in range(len(text.words)) if text.sentence[i] == number)
