"""How much of the tile a caption says that something covers: percents, halves, "mostly", "a small part"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from git10m.captions.checks.claims import Claim
from git10m.captions.checks.parts import part_at
from git10m.captions.checks.reading import Text

__all__ = ["Amount", "amounts_of", "number_of"]


@dataclass(frozen=True, slots=True)
class Amount:
    """A share that claims are said to have, together.

    Attributes:
        claims: What it is the share of.
        least: Least share that is meant, 0–1.
        most: Largest.
        said: The words that tell it.
        most_of_all: Whether being the most widespread would do: "mostly", "dominated by".
    """

    claims: tuple[Claim, ...]
    least: float
    most: float
    said: str
    most_of_all: bool = False


_FRACTIONS = {"half": 0.5, "third": 0.33, "quarter": 0.25, "fifth": 0.2}
_BETWEEN_LISTED = """
    fills fill filling blankets carpets
    cover covers covering covered by with make makes making made up take takes taking occupy occupies occupied for
    account accounts at about around roughly approximately nearly almost over some an estimated ( , of the this
    that tile scene image area land ground surface frame view it is are being comprise comprises comprising
    constitute constitutes span spans most widespread class part small large moderate very a total dominate
    dominates dominated landscape as under picture whole entire just more than less remaining rest includes
    consists consist form forms only aerial satellite synthetic overhead photo photograph region remainder
"""
_BETWEEN = frozenset(_BETWEEN_LISTED.split())
_ADJECTIVES_REACH = 3
_PREVAILING = frozenset({"mostly", "mainly", "predominantly", "primarily", "largely", "chiefly", "principally"})
_ENTIRELY = frozenset({"entirely", "completely", "fully", "wholly", "totally", "exclusively", "solely"})
_SCENE_LISTED = """
    scene image tile area frame view landscape picture ground land surface terrain region photo photograph it
"""
_SCENE = frozenset(_SCENE_LISTED.split())
_COVERS = frozenset({"covers", "cover", "occupies", "occupy", "fills", "fill", "blankets", "blanket", "carpets"})


def amounts_of(text: Text, claims: Sequence[Claim]) -> Iterator[Amount]:
    """Yield the shares that a caption tells, with what they are the shares of."""
    words = text.words
    starts = {claim.start: n for n, claim in enumerate(claims)}
    for i, word in enumerate(words):
        if word in {"%", "percent"} or (word == "per" and words[i + 1 : i + 2] == ["cent"]):
            yield from _percent(text, claims, starts, i)
        elif word in _PREVAILING or word in _ENTIRELY:
            yield from _adverb(text, claims, starts, i)
        elif word == "dominated" and words[i + 1 : i + 2] == ["by"]:
            yield from _listed(text, claims, starts, i + 2, Amount((), 0.5, 1.0, "dominated by", most_of_all=True))
        elif word in {"majority", "most"} or word in _FRACTIONS:
            yield from _portion(text, claims, starts, i)
        elif word in {"dominates", "dominate", "predominates", "predominate"}:
            yield from _dominates(text, claims, i)
        elif word == "part" and words[i - 1 : i] == ["small"]:
            yield from _small_part(text, claims, i)


def number_of(word: str) -> float | None:
    """Read digits ("12", "1,200", "2.5"); None of other words."""
    if not word[:1].isdigit():
        return None
    plain = word.replace(",", "") if len(word.rpartition(",")[2]) == 3 or "." in word else word.replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        return None


def _percent(text: Text, claims: Sequence[Claim], starts: dict[int, int], i: int) -> Iterator[Amount]:
    words = text.words
    end = i + 2 if words[i] == "per" else i + 1
    number = number_of(words[i - 1]) if i else None
    if number is None or number > 100:
        return
    start, least = i - 1, number
    if i >= 3 and words[i - 2] in {"-", "–", "to", "and"} and (lower := number_of(words[i - 3])) is not None:
        start, least = i - 3, min(lower, number)
    claim = _adjacent(words, claims, starts, end)
    if claim is None:
        claim = _before(text, claims, start) or _after(text, claims, end)
    if claim is not None and claim.said and not claim.absent:
        yield Amount((claim,), least / 100, number / 100, f"{words[i - 1]} %")


def _adjacent(words: Sequence[str], claims: Sequence[Claim], starts: dict[int, int], end: int) -> Claim | None:
    """Find "60 percent forest", "60 % dense tree cover"."""
    for j in range(end, min(end + _ADJECTIVES_REACH, len(words))):
        if j in starts:
            return claims[starts[j]]
        if not words[j].isalpha() or words[j] in _BETWEEN:
            return None
    return None


def _before(text: Text, claims: Sequence[Claim], start: int) -> Claim | None:
    for claim in reversed(claims):
        if claim.end <= start:
            between = text.words[claim.end : start]
            if text.sentence[claim.start] != text.sentence[start] or any(w not in _BETWEEN for w in between):
                return None
            return claim
    return None


def _after(text: Text, claims: Sequence[Claim], end: int) -> Claim | None:
    words = text.words
    for claim in claims:
        if claim.start < end:
            continue
        between = words[end : claim.start]
        if len(between) > 14 or end >= len(words) or text.sentence[claim.start] != text.sentence[end - 1]:
            return None
        odd = [word for word in between if word not in _BETWEEN]
        if words[end : end + 1] == ["of"] and not any(word in _SCENE for word in between):
            return None  # "60 percent of the forest" is no share of the tile
        return claim if len(odd) <= 2 and "and" not in odd and ")" not in odd else None
    return None


def _adverb(text: Text, claims: Sequence[Claim], starts: dict[int, int], i: int) -> Iterator[Amount]:
    """Read "mostly forest", "almost entirely covered by water", "forest covers the scene almost entirely"."""
    words = text.words
    prevailing = words[i] in _PREVAILING
    amount = Amount((), 0.5 if prevailing else 0.9, 1.0, words[i], most_of_all=prevailing)
    j = i + 1
    while j < len(words) and words[j] in {
        "covered",
        "by",
        "with",
        "of",
        "composed",
        "comprised",
        "made",
        "up",
        "consists",
    } | {
        "occupied",
        "dominated",
        "consisting",
        "a",
        "an",
    }:
        j += 1
    if j < len(words) and words[j] in {"in", "on", "along", "at", "across", "within"}:
        return
    listed = list(_listed(text, claims, starts, j, amount))
    if listed:
        yield from listed
    elif not prevailing and words[i + 1 : i + 2] in ([], ["."], [","]):
        claim = _before(text, claims, i)
        if claim is not None and any(word in _COVERS for word in words[claim.end : i]):
            yield Amount((claim,), amount.least, 1.0, words[i])


def _listed(text: Text, claims: Sequence[Claim], starts: dict[int, int], i: int, amount: Amount) -> Iterator[Amount]:
    """Give an amount to the claims that are listed from a word on: "forest and open fields"."""
    words, j, gap = text.words, i, 0
    listed: list[Claim] = []
    while j < len(words) and gap <= _ADJECTIVES_REACH:
        if j in starts:
            listed.append(claims[starts[j]])
            j, gap = claims[starts[j]].end, 0
            continue
        if words[j] in {".", ";", "(", "in", "on", "along", "at", "which", "that"} or words[j][:1].isdigit():
            break
        if (
            listed
            and words[j] not in {"and", ",", "or", "&"}
            and gap == 0
            and j
            and words[j - 1] not in {"and", ",", "or"}
        ):
            break
        gap += 1
        j += 1
    if listed and all(claim.said and not claim.absent for claim in listed) and not _parted(text, i, j):
        yield Amount(tuple(listed), amount.least, amount.most, amount.said, amount.most_of_all)


def _parted(text: Text, start: int, end: int) -> bool:
    """Tell whether a share is of a part of the image only: "the north is mostly forest"."""
    first, last = start, end
    while first and text.words[first - 1] not in {".", ";"} and text.sentence[first - 1] == text.sentence[start - 1]:
        first -= 1
    last = min(len(text.words), last + 8)
    near = range(first, last)
    return any(part_at(text, j) is not None for j in near if text.sentence[j] == text.sentence[min(start, last - 1)])


def _portion(text: Text, claims: Sequence[Claim], starts: dict[int, int], i: int) -> Iterator[Amount]:
    """Read "most of the scene is forest", "forest covers half of the tile", "a third of it"."""
    words, word = text.words, text.words[i]
    of_scene = words[i + 1 : i + 2] == ["of"] and any(each in _SCENE for each in words[i + 2 : i + 5])
    if not of_scene or (words[i - 1 : i] == ["the"] and word in _FRACTIONS):
        return
    if _parted(text, i, i + 1):
        return
    share = _FRACTIONS.get(word)
    least, most = (0.5, 1.0) if share is None else (share, share)
    if share is not None and words[i - 1 : i] in (["two"], ["three"]):
        least = most = share * (2 if words[i - 1] == "two" else 3)
    if words[i - 1 : i] in (["almost"], ["nearly"], ["least"], ["over"]) or words[max(0, i - 2) : i] == [
        "more",
        "than",
    ]:
        least, most = min(least, 0.4) if share is not None else least, 1.0
    claim = _before(text, claims, i)
    if claim is not None and not any(each in _COVERS | {"covering", "occupying"} for each in words[claim.end : i]):
        claim = None
    claim = claim or _after(text, claims, i + 1)
    if claim is not None and claim.said and not claim.absent:
        yield Amount((claim,), least, most, f"{word} of", most_of_all=share is None)


def _dominates(text: Text, claims: Sequence[Claim], i: int) -> Iterator[Amount]:
    """Read "forest dominates the scene", "forest predominates"; not "a church dominates the square"."""
    claim = _before(text, claims, i)
    if claim is None or claim.end != i or _parted(text, i, i + 1) or not claim.said or claim.absent:
        return
    after = text.words[i + 1 : i + 4]
    if after[:1] not in ([], ["."], [","], [":"], ["here"]) and not any(word in _SCENE for word in after):
        return
    together = [claim]
    for other in reversed([each for each in claims if each.end < claim.start]):
        if text.words[other.end : together[0].start] not in (["and"], [","], ["or"]):
            break
        together.insert(0, other)
    if all(each.said and not each.absent for each in together):
        yield Amount(tuple(together), 0.5, 1.0, "dominant", most_of_all=True)


def _small_part(text: Text, claims: Sequence[Claim], i: int) -> Iterator[Amount]:
    claim = _before(text, claims, i - 1)
    if claim is not None and claim.said and not claim.absent and text.words[i + 1 : i + 2] != ["of"]:
        yield Amount((claim,), 0.0, 0.3, "a small part")
