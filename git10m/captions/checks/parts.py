"""Where in the image a caption says that something lies, and whether that can be where the facts have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from git10m.captions.checks.claims import Claim
from git10m.captions.checks.reading import Text

__all__ = ["Placed", "apart", "part_at", "placed"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A claim with the part of the image in which it is said to lie; ``mostly``: most of it, no mere bit."""

    claim: Claim
    part: str
    mostly: bool


_UP = {"north": "north", "northern": "north", "upper": "north", "top": "north"}
_DOWN = {"south": "south", "southern": "south", "lower": "south", "bottom": "south"}
_LEFT = {"west": "west", "western": "west", "left": "west"}
_RIGHT = {"east": "east", "eastern": "east", "right": "east"}
_WORDS = _UP | _DOWN | _LEFT | _RIGHT
_WHOLE = {
    first + second + ending: f"{first}-{second}"
    for first in ("north", "south")
    for second in ("west", "east")
    for ending in ("", "ern")
}
_MIDDLE = frozenset({"centre", "center", "middle", "central"})
_NOUNS = frozenset(
    {"corner", "half", "part", "quarter", "quadrant", "side", "edge", "section", "third", "portion", "region", "area"}
    | {"sector", "margin", "zone", "end", "block", "blocks", "corners", "edges", "reaches"}
)
_OWN_SIDES = frozenset({"top", "bottom", "left", "right", "upper", "lower"})
_INTO = frozenset(
    {
        "in",
        "at",
        "across",
        "within",
        "along",
        "through",
        "on",
        "near",
        "toward",
        "towards",
        "occupies",
        "occupy",
        "fills",
    }
)
_IMAGE = frozenset(
    {
        "image",
        "scene",
        "tile",
        "frame",
        "picture",
        "photo",
        "photograph",
        "view",
        "it",
        "area",
        "imagery",
        "map",
        "landscape",
    }
)
_MOSTLY = frozenset(
    {"mostly", "mainly", "primarily", "chiefly", "largely", "concentrated", "predominantly", "principally"}
)
_STOPS = frozenset({".", ";", "!", "?"})


def part_at(text: Text, i: int) -> tuple[str, int] | None:
    """Return the part that is named at a word ("north-west", "upper left corner") and the word after it.

    Only parts of the image count: "in the north", "the southern half", "the left side"; not "north of the river".
    """
    words = text.words
    part, end = _direction(words, i)
    if part is None:
        return None
    noun = end < len(words) and words[end] in _NOUNS
    end += noun
    before = words[i - 1] if i else ""
    if before in {"the", "its", "far", "extreme", "very"} and i > 1:
        before = words[i - 2] if words[i - 2] != "the" or i < 3 else words[i - 3]
    if not noun and before not in _INTO:
        return None
    if (noun and before == "of") or (not noun and words[i] in _MIDDLE and before not in {"in", "at", "near"}):
        return None
    if (
        not noun
        and words[i] in {"upper", "lower", "top", "bottom"}
        and part in {"north", "south"}
        and words[i] in {"upper", "lower"}
    ):
        return None
    if words[end : end + 1] == ["of"] and not any(word in _IMAGE for word in words[end + 1 : end + 4]):
        return None
    return part, end


def _direction(words: Sequence[str], i: int) -> tuple[str | None, int]:
    word = words[i]
    if word in _WHOLE:
        return _WHOLE[word], i + 1
    if word in _MIDDLE:
        return "centre", i + 1
    if word not in _WORDS:
        return None, i
    after = words[i + 1] if i + 1 < len(words) else ""
    if word in _UP or word in _DOWN:
        vertical = _UP.get(word) or _DOWN[word]
        side = _LEFT.get(after) or _RIGHT.get(after)
        return (f"{vertical}-{side}", i + 2) if side else (vertical, i + 1)
    return _LEFT.get(word) or _RIGHT[word], i + 1


def placed(text: Text, claims: Sequence[Claim]) -> list[Placed]:
    """Pair parts with what is said to lie in them: the claim before in the clause, or else the one after."""
    found: list[Placed] = []
    i, words = 0, text.words
    while i < len(words):
        named = part_at(text, i) if words[i] in _WORDS or words[i] in _WHOLE or words[i] in _MIDDLE else None
        if named is None:
            i += 1
            continue
        part, end = named
        claim = _claim_of(text, claims, i, end)
        if claim is not None and claim.said and not claim.absent:
            mostly = any(word in _MOSTLY for word in words[max(0, i - 4) : i])
            found.append(Placed(claim, part, mostly))
        i = end
    return found


def _claim_of(text: Text, claims: Sequence[Claim], start: int, end: int) -> Claim | None:
    words = text.words
    for claim in (
        ()
        if _is_fronted(text, start, end)
        else reversed([claim for claim in claims if claim.end <= start and claim.said])
    ):
        between = words[claim.end : start]
        if len(between) > 14 or any(word in _STOPS for word in between) or _another_part(text, claim.end, start):
            break
        if words[claim.start] in _OWN_SIDES:
            break
        return claim
    if (
        start
        and not _is_fronted(text, start, end)
        and text.sentence[start - 1] == text.sentence[start]
        and any(claim.end <= start and text.sentence[claim.start] == text.sentence[start] for claim in claims)
    ):
        return None
    for claim in (claim for claim in claims if claim.start >= end and claim.said):
        between = words[end : claim.start]
        if len(between) > 8 or any(word in _STOPS for word in between) or _another_part(text, end, claim.start):
            return None
        return claim
    return None


def _is_fronted(text: Text, start: int, end: int) -> bool:
    """Tell whether a part opens its clause: ", and toward the right edge, a wood can be seen"."""
    words, i = text.words, start
    if words[end : end + 1] != [","]:
        return False
    while i and (words[i - 1] in _INTO or words[i - 1] in {"the", "its", "far"}):
        i -= 1
    return i < start and words[i - 1 : i] in ([","], ["and"], [";"], ["while"])


def _another_part(text: Text, start: int, end: int) -> bool:
    return any(
        part_at(text, j) is not None for j in range(start, end) if text.words[j] in _WORDS or text.words[j] in _WHOLE
    )


def apart(told: str, known: str, *, mostly: bool) -> bool:
    """Tell whether most of a thing being in one part leaves no room for it in another.

    Args:
        told: Where a caption puts it: a side, a quarter, or the centre.
        known: The quarter, or the centre, that holds most of it.
        mostly: Whether the caption puts most of it there.
    """
    if told == known:
        return False
    if "centre" in (told, known):
        return mostly
    return not set(told.split("-")) <= set(known.split("-"))
