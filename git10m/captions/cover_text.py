"""How the land cover of a tile is told: shares as numbers and in words, quarters by compass.

The words for shares follow the bins of ChatEarthNet (arXiv 2402.11325): under 10 % very small, under 20 % small, under
50 % moderate, under 80 % large, then dominant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from git10m.captions.wording import Draw, is_plural, joined, sentence

__all__ = ["cover_sentences", "percentages", "spoken_class"]

_LAND = {
    "agricultural",
    "bare",
    "barren",
    "built",
    "built up",
    "built-up",
    "commercial",
    "cultivated",
    "developed",
    "forested",
    "industrial",
    "residential",
    "rural",
    "urban",
}
"""Class names that are adjectives: "land" is added to them."""


@dataclass(frozen=True)
class _Class:
    """A class as it is spoken of: its name, whole percent of the tile, and where most of it lies."""

    name: str
    percent: int
    part: str | None

    @property
    def about(self) -> str:
        return f"about {self.percent} percent"

    @property
    def where(self) -> str:
        return "" if self.part is None else f"mostly in the {self.part}"

    @property
    def listed(self) -> str:
        details = ", ".join(filter(None, (self.about, self.where)))
        return f"{self.name} ({details})"

    @property
    def size(self) -> str:
        sizes = ((10, "very small"), (20, "small"), (50, "moderate"))
        return next((word for limit, word in sizes if self.percent < limit), "large")

    def verb(self, singular: str, plural: str) -> str:
        return plural if is_plural(self.name) else singular


def cover_sentences(cover: Sequence[Mapping[str, Any]], draw: Draw, *, ground: str, most: int) -> list[str]:
    """Return one or two sentences about the classes of a tile.

    Args:
        cover: Entries of ``land_cover`` of ``records.FACTS``, by falling share, at least one.
        draw: Chooses the wording.
        ground: What the shares are of: "the scene", "this aerial image".
        most: Most classes to speak of, at least one.
    """
    merged = _by_spoken_name(cover)[:most]
    numbers = percentages([share for _, share, _ in merged])
    first, *rest = (_Class(name, number, part) for (name, _, part), number in zip(merged, numbers, strict=True))
    top = draw.pick("top class", _top_class(first, ground, more_than_others=_is_largest(first, rest)))
    if not rest:
        return [sentence(top)]
    # A clause after "followed by" would run on where the top class has a clause of its own.
    ways = [(top, text) for text in _other_classes(rest)]
    if "," not in top:
        ways.append((f"{top}, followed by {joined([other.listed for other in rest])}", ""))
    return [sentence(text) for text in draw.pick("other classes", ways) if text]


def _by_spoken_name(cover: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, str | None]]:
    """Return (name, share, part) by falling share; "Built-up" and "built-up land" are spoken of as one."""
    shares: dict[str, float] = {}
    parts: dict[str, set[str | None]] = {}
    for entry in cover:
        name = spoken_class(entry["name"])
        shares[name] = shares.get(name, 0.0) + entry["share"]
        parts.setdefault(name, set()).add(entry["part"])
    ordered = sorted(shares, key=lambda name: -shares[name])
    return [(name, shares[name], parts[name].pop() if len(parts[name]) == 1 else None) for name in ordered]


def percentages(shares: Sequence[float]) -> list[int]:
    """Round shares (0–1) to percent, to fives where that contradicts nothing, so that their sum stays ≤ 100.

    Args:
        shares: Parts of one whole.
    """
    coarse = [5 * round(20.0 * share) if share >= 0.1 else max(1, round(100.0 * share)) for share in shares]
    if sum(coarse) <= 100 and all(number < 100 or share >= 0.995 for number, share in zip(coarse, shares, strict=True)):
        return coarse
    fine = [max(1, round(100.0 * share)) for share in shares]
    while sum(fine) > 100:
        surplus = [round(number - 100.0 * share, 9) for number, share in zip(fine, shares, strict=True)]
        # Of equal ones the last gives way, so that the numbers never rise.
        fine[max(range(len(fine)), key=lambda i: (surplus[i], i))] -= 1
    return fine


def spoken_class(name: str) -> str:
    """Return a class name as it stands within a sentence: "Bare / sparse_vegetation" → "bare or sparse vegetation"."""
    text = re.sub(r"\s*/\s*", " or ", name.replace("_", " ").replace("&", " and ").strip())
    words = [word if len(word) > 1 and word.isupper() else word.lower() for word in text.split()]
    spoken = " ".join(words)
    if spoken in _LAND:
        return f"{'built-up' if spoken.startswith('built') else spoken} land"
    return spoken


def _is_largest(first: _Class, rest: Sequence[_Class]) -> bool:
    return bool(rest) and first.percent > rest[0].percent


def _top_class(top: _Class, ground: str, *, more_than_others: bool) -> list[str]:
    """Return wordings for the most widespread class, without the full stop."""
    name, where = top.name, f", {top.where}" if top.part else ""
    covers, covered_by = top.verb("covers", "cover"), "covered by"
    if name.endswith("cover"):
        covers, covered_by = top.verb("takes up", "take up"), "under"
    if top.percent >= 100:
        return [f"{name} {covers} {ground} almost entirely", f"{ground} is almost entirely {covered_by} {name}"]
    if top.percent >= 80:
        dominates = top.verb("dominates", "dominate")
        return [
            f"{name} {dominates} {ground}, covering {top.about} of it",
            f"{ground} is dominated by {name}, {top.about} of it",
            f"{name} {covers} almost all of {ground}, {top.about}"
            if top.percent >= 95
            else f"{name} {covers} most of {ground}, {top.about}",
        ]
    if top.percent >= 50:
        return [
            f"{name} {covers} a large part of {ground}, {top.about}{where}",
            f"a large part of {ground}, {top.about}, is {covered_by} {name}",
            f"{name} {covers} {top.about} of {ground}{where}",
        ]
    wordings = [
        f"{name} {covers} {top.about} of {ground}{where}",
        f"{top.about} of {ground} is {covered_by} {name}{where}",
    ]
    if more_than_others:
        wordings.append(f"{name} {top.verb('is', 'are')} the most widespread class, at {top.about} of {ground}{where}")
    return wordings


def _other_classes(rest: Sequence[_Class]) -> list[str]:
    """Return wordings for the classes after the first, without the full stop."""
    make = rest[0].verb("makes", "make")
    parts = [f"{rest[0].name} {make} up {_sized(rest[0])}", *(f"{other.name} {_sized(other)}" for other in rest[1:])]
    wordings = [
        f"the rest includes {joined([other.listed for other in rest])}",
        f"there {rest[0].verb('is', 'are')} also {joined([other.listed for other in rest])}",
    ]
    if len({other.size for other in rest}) == len(rest):
        wordings.append(joined(parts))
    if len(rest) == 1:
        where = f", {rest[0].where}" if rest[0].part else ""
        wordings.append(f"{rest[0].name} {rest[0].verb('takes', 'take')} up {rest[0].about}{where}")
    return wordings


def _sized(other: _Class) -> str:
    details = ", ".join(filter(None, (other.about, other.where)))
    return f"a {other.size} part ({details})"
