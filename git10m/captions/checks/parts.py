"""Where in the image a caption says that something lies, and whether that can be where the facts have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from git10m.captions.checks.claims import Claim
from git10m.captions.checks.reading import Text

__all__ = ["DIRECTIONS", "Placed", "apart", "first_before_comma", "in_part", "part_at", "placed"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A claim with the part of the image in which it is said to lie.

    Attributes:
        claim: What is said to lie there.
        part: A side, a quarter, or the centre.
        mostly: Whether most of it is said to lie there, no mere bit.
        within: Whether it is "in" or "at" the part, and does not run through it, nor lie near it.
    """

    claim: Claim
    part: str
    mostly: bool
    within: bool


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
DIRECTIONS = frozenset(_WORDS.keys() | _WHOLE.keys())
"""Words that may begin a part of the image."""
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
_BESIDE = frozenset({"beside", "adjoin", "adjoins", "adjoining", "next", "adjacent", "abuts", "abut", "alongside"})
_STANDS = frozenset({"occupies", "occupy", "lies", "lie", "stands", "stand", "sits", "sit", "fills", "fill"})
_CROSSES = frozenset({"crosses", "cross", "crossing", "traverses", "dominates", "dominate"})
_ENDS = frozenset({".", ",", ";", "and", "while"})
_MOTION_LISTED = (
    "from leads leading runs running flows flowing heads heading stretches stretching extends extending next"
)
_MOTION = frozenset(_MOTION_LISTED.split())
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
        "sheet",
        "quadrangle",
        "map",
        "landscape",
    }
)
_MOSTLY = frozenset(
    {"mostly", "mainly", "primarily", "chiefly", "largely", "concentrated", "predominantly", "principally"}
)
_NEW_SUBJECT = frozenset({"a", "an", "there", "some", "several", "the"})
_STOPS = frozenset({".", ";", "!", "?", "while", "whereas", "but"})
_OF_PART_LISTED = "is are was holds hold contains contain shows show has have features includes consists comprises lies"
_OF_PART = frozenset(_OF_PART_LISTED.split())
"""Verbs of which a part is the subject: "the left side holds the houses"."""


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
    of_image = words[end : end + 1] == ["of"] and any(word in _IMAGE for word in words[end + 1 : end + 4])
    crossed = before in _CROSSES and (end == len(words) or words[end] in _ENDS)
    if not (noun or before in _INTO or of_image or crossed or (before == "to" and _lies_to(words, i))):
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


def _lies_to(words: Sequence[str], i: int) -> bool:
    """Tell "a lake lies to the north" from "a road leads to the north" and "from west to east"."""
    return _MOTION.isdisjoint(words[max(0, i - 5) : i])


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
            before = words[max(0, i - 3) : i]
            within = not {"in", "at"}.isdisjoint(before) and "its" not in before
            found.append(Placed(claim, part, mostly, within))
        i = end
    return found


def in_part(text: Text, claim: Claim) -> bool:
    """Tell whether a clause speaks of a part of the image: "the upper part shows peaks with no vegetation"."""
    words, number = text.words, text.sentence[claim.start]
    for i in range(max(0, claim.start - 14), min(len(words), claim.end + 8)):
        if text.sentence[i] != number or words[i] not in DIRECTIONS or (named := part_at(text, i)) is None:
            continue
        fronted = words[named[1] : named[1] + 1] == [","]
        between = words[named[1] + fronted : claim.start] if i < claim.start else words[claim.end : i]
        if not {",", ";", "and", "but"} & set(between):
            return True
    return False


def _claim_of(text: Text, claims: Sequence[Claim], start: int, end: int) -> Claim | None:
    words = text.words
    verb = next((j for j in range(start - 1, max(0, start - 4), -1) if words[j] in _STANDS), 0)
    if verb and words[verb - 1] == "," and (outer := first_before_comma(text, claims, verb)) is not None:
        return outer
    if words[end : end + 2] == [",", "where"]:  # "in the north, where two tracks meet, stands a farm"
        end = next((j for j in range(end + 2, min(end + 10, len(words))) if words[j] == ","), end)
    leads = _is_fronted(text, start, end) or (_is_subject(words, end) and not _belongs(text, start))
    before = [] if leads else [claim for claim in claims if claim.end <= start and claim.said]
    for n in range(len(before) - 1, -1, -1):
        claim = before[n]
        between = words[claim.end : start]
        if len(between) > 14 or any(word in _STOPS for word in between) or _another_part(text, claim.end, start):
            break
        if words[claim.start] in _OWN_SIDES:
            break
        return _bearer(words, before, n)
    if (
        start
        and not leads
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


def first_before_comma(text: Text, claims: Sequence[Claim], start: int) -> Claim | None:
    """Return the first claim of a sentence where a comma follows it: "A lake, its shore lined by reeds, occupies"."""
    first = next((claim for claim in claims if text.sentence[claim.start] == text.sentence[start] and claim.said), None)
    return first if first is not None and first.end < start and text.words[first.end] == "," else None


def _bearer(words: Sequence[str], claims: Sequence[Claim], n: int) -> Claim:
    """Return what bears a thing that a place is told of: the creek of "a creek with a fringe of trees"."""
    if n and "with" in words[claims[n - 1].end : claims[n - 1].end + 2] and claims[n].start - claims[n - 1].end <= 6:
        between = words[claims[n - 1].end : claims[n].start]
        return claims[n] if {",", "and", "."} & set(between) else claims[n - 1]
    between = words[claims[n - 1].end : claims[n].start] if n else ["."]
    if (
        len(between) <= 4
        and not _BESIDE.isdisjoint(between)
        and {",", "and", ".", ";", "which", "that"}.isdisjoint(between)
    ):
        return claims[n - 1]  # "stables adjoin the paddocks to the north-east"
    return claims[n]


def _is_subject(words: Sequence[str], end: int) -> bool:
    """Tell whether a part is the subject of a verb: "the right side of the image is dominated by water"."""
    if words[end : end + 1] == ["of"]:
        end = next((j for j in range(end + 1, min(end + 4, len(words))) if words[j] in _IMAGE), end) + 1
    return words[end : end + 1] != [] and words[end] in _OF_PART


def _belongs(text: Text, start: int) -> bool:
    """Tell a part within its subject from one that is the subject: "a church in the north is white"."""
    words, i = text.words, start
    while i and words[i - 1] in {"the", "its", "far", "very", "extreme"}:
        i -= 1
    if not i or words[i - 1] not in _INTO | {"to"}:
        return False
    clause = words[i - 2 : i - 1]
    return not text.first[i - 1] and clause not in ([","], [";"], ["and"], ["while"], ["whereas"], ["but"], ["."])


def _is_fronted(text: Text, start: int, end: int) -> bool:
    """Tell whether a part opens its clause: ", and toward the right edge, a wood can be seen"."""
    words, i = text.words, start
    if words[end : end + 1] != [","] and not (words[end : end + 1] != [] and words[end] in _NEW_SUBJECT):
        return False
    while i and (words[i - 1] in _INTO or words[i - 1] in {"the", "its", "far", "to"}):
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
        mostly: Whether the caption puts most of it there, or all of a single thing.
    """
    if told == known:
        return False
    if "centre" in (told, known):
        return mostly
    return not set(told.split("-")) <= set(known.split("-"))
