"""A reader of our captions: what a caption claims, from its text alone, and whether facts hold it.

It shares no code and no table with the writer. Every sentence must be one that it knows, or it says `UnreadError`: a
lie in words that the grammar does not have is found, too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WAYS = ["north-east", "north-west", "south-east", "south-west", "north", "east", "south", "west"]
PART = r"(?:north-west|north-east|south-west|south-east|centre)"
METRES = r"(\d+(?:\.\d+)?) (metres?|km)"
LENGTH = r"\d+(?:\.\d+)? (?:metres?|km)"
THING = r"(?P<noun>(?:[\w.-]+ ){1,6}?(?:image|picture|view))"
THIS = rf"this {THING}"
GROUND = rf"(?:the scene|the image|the tile|{THIS})"
DAY = rf"(\d{{1,2}}) ({'|'.join(MONTHS)}) (\d{{4}})"
SEASON = r"(winter|spring|summer|autumn)"
_A_DAY, _A_SEASON = DAY.replace("(", "(?:"), SEASON.replace("(", "(?:")
WHEN = rf"(?P<when>(?:on )?{_A_DAY}(?:, in {_A_SEASON})?|in \w+, on {_A_DAY})"
PLACE = r"(?P<place>(?:in .+|within about a kilometre of .+|about \d+(?:\.\d+)? km [a-z-]+ of .+))"


class UnreadError(AssertionError):
    """A sentence that the grammar does not have."""


@dataclass(frozen=True)
class Claim:
    """One claim: what it is about, and its particulars."""

    about: str
    what: tuple[Any, ...]


def sentences(text: str) -> list[str]:
    """Split a caption into sentences without their full stops; "St." and initials end none."""
    return re.split(r"(?<!\bSt)(?<!\bFt)(?<!\bMt)(?<!\b[A-Z])\. (?=[A-Z])", text.removesuffix("."))


def claims(text: str) -> list[Claim]:
    """Return all that a caption claims; raises `UnreadError` for a sentence that is not ours."""
    return [claim for each in sentences(text) for claim in _read(each[:1].lower() + each[1:], each)]


def _read(said: str, original: str) -> list[Claim]:
    for pattern, reader in _GRAMMAR:
        match = re.fullmatch(pattern, said)
        if match is not None and (found := _collected(reader, match)) is not None:
            return found
    raise UnreadError(original)


def _collected(reader: Any, match: re.Match[str]) -> list[Claim] | None:
    try:
        return [*reader(match), *_named(match)]
    except ValueError:
        return None


def _named(match: re.Match[str]) -> Iterator[Claim]:
    """Yield the claims of groups that several sentences have."""
    found: list[Claim] = []
    groups = match.groupdict()
    if groups.get("noun"):
        found.append(Claim("noun", (groups["noun"],)))
    if groups.get("when"):
        found.extend(_when(groups["when"]))
    if groups.get("place"):
        found.extend(_place(groups["place"]))
    if groups.get("gsd"):
        found.append(Claim("gsd", (_metres(groups["gsd"]),)))
    if groups.get("side"):
        found.append(Claim("side", (_metres(groups["side"]),)))
    if groups.get("level"):
        found.append(Claim("level", (int(groups["level"]),)))
    if groups.get("objects"):
        found.extend(_objects(groups["objects"]))
    yield from found


def _nothing(_: re.Match[str]) -> Iterator[Claim]:
    return iter(())


def _metres(text: str) -> float:
    match = re.fullmatch(METRES, text)
    assert match is not None
    return float(match[1]) * (1000.0 if match[2] == "km" else 1.0)


def _when(text: str) -> Iterator[Claim]:
    day = re.search(DAY, text)
    assert day is not None
    yield Claim("date", (date(int(day[3]), MONTHS.index(day[2]) + 1, int(day[1])),))
    if (season := re.search(SEASON, text)) is not None:
        yield Claim("season", (season[1],))


def _place(text: str) -> Iterator[Claim]:
    town = re.search(
        rf"(?:^|, )(?:about (\d+(?:\.\d+)?) km ({'|'.join(WAYS)}) of|within about a kilometre of) (.+)$", text
    )
    if town is not None:
        text = text[: town.start()]
        yield Claim("town", (None if town[1] is None else float(town[1]), town[2], town[3]))
    if text:
        for name in re.split(r"(?:, | and )(?=in )", text):
            yield Claim("area", (name.removeprefix("in "),))


# --- land cover ------------------------------------------------------------------------------------------------------

NAME = r"(?P<name>[^.,()]+?)"
ABOUT = r"about (?P<percent>\d+) percent"
WHERE = rf"(?:, mostly in the (?P<part>{PART}))?"
COVERS = r"(?:covers?|takes? up)"
UNDER = r"(?:covered by|under)"


def _top(least: float, most: float = 1.0) -> Any:
    """Return a reader of the first class: shares between two limits are what its words allow.

    Words go by the percent that is told beside them, which is rounded to fives.
    """

    def read(match: re.Match[str]) -> Iterator[Claim]:
        found = match.groupdict()
        percent = found.get("percent")
        share = (least, most) if percent is None else (max(least, _low(percent)), min(most, _high(percent)))
        yield Claim("class", (_spoken(found["name"]), *share, found.get("part"), "first"))
        if found.get("rest"):
            yield from _classes(found["rest"])

    return read


def _classes(text: str) -> Iterator[Claim]:
    for item in _split(text):
        match = re.fullmatch(rf"{NAME} \({ABOUT}{WHERE}\)", item)
        sized = re.fullmatch(
            rf"{NAME} (?:makes? up )?a (?P<size>very small|small|moderate|large) part \({ABOUT}{WHERE}\)", item
        )
        found = (sized or match).groupdict() if sized or match else None
        if found is None:
            raise ValueError(item)
        sizes = {"very small": (0.0, 0.105), "small": (0.095, 0.205), "moderate": (0.195, 0.505), "large": (0.495, 1.0)}
        low, high = sizes[found["size"]] if "size" in found else (0.0, 1.0)
        share = max(low, _low(found["percent"])), min(high, _high(found["percent"]))
        yield Claim("class", (_spoken(found["name"]), *share, found["part"], "further"))


def _further(match: re.Match[str]) -> Iterator[Claim]:
    return _classes(match["rest"])


def _one_further(match: re.Match[str]) -> Iterator[Claim]:
    low, high = _low(match["percent"]), _high(match["percent"])
    yield Claim("class", (_spoken(match["name"]), low, high, match["part"], "further"))


def _low(percent: str) -> float:
    return (int(percent) - (2.51 if int(percent) >= 10 else 1.01)) / 100.0


def _high(percent: str) -> float:
    return (int(percent) + (2.51 if int(percent) >= 10 else 1.01)) / 100.0


def _spoken(name: str) -> str:
    return name.strip().lower()


# --- objects ---------------------------------------------------------------------------------------------------------


def _split(text: str) -> list[str]:
    """Split a list at its commas and its last "and", outside of brackets."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"\(|\)|, | and ", text):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0 and match[0] in {", ", " and "}:
            parts.append(text[start : match.start()])
            start = match.end()
    return [*parts, text[start:]]


def _objects(text: str) -> Iterator[Claim]:
    for item in _split(text):
        match = re.fullmatch(rf"([^()]+?)(?: \(([^()]*)\))?(?: in the ({PART}))?", item)
        if match is None:
            raise ValueError(item)
        name, part = None, match[3]
        for detail in (match[2] or "").split(", ") if match[2] else ():
            if (where := re.fullmatch(rf"mostly in the ({PART})", detail)) is not None:
                part = where[1]
            else:
                name = detail.removeprefix("among them ")
        yield Claim("object", (*_amount(match[1]), name, part))


def _amount(text: str) -> tuple[str, tuple[float, float] | None]:
    """Return what is named, and the least and most of it that the words allow."""
    first, _, rest = text.partition(" ")
    if first in {"a", "an"}:
        return rest, (1, 1)
    if first in NUMBERS[1:]:
        return rest, (NUMBERS.index(first) + 1,) * 2
    if first == "about":
        number, _, rest = rest.partition(" ")
        count = int(number.replace(",", ""))
        step = 5 if count <= 100 else 10 if count <= 1000 else 100
        return rest, (count - 0.5 * step, count + 0.5 * step)
    if first.isdigit():
        return rest, (int(first),) * 2
    return text, None


# --- relief ----------------------------------------------------------------------------------------------------------

HEIGHT = r"([\d,]+) metres?"
BETWEEN = (
    rf"(?P<range>about [\d,]+ and {HEIGHT} (?:above|below) sea level|about {HEIGHT} below and {HEIGHT} above sea level)"
)
AT = rf"(?P<at>about sea level|about {HEIGHT} (?:above|below) sea level)"
SLOPE = r"(?P<slope>nearly level|gently sloping|sloping|steep|very steep)"


def _relief(match: re.Match[str]) -> Iterator[Claim]:
    found = match.groupdict()
    if (text := found.get("range")) is not None:
        low, high = (float(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", text))
        if "below and" in text:
            yield Claim("heights", (-low, high))
        else:
            yield Claim("heights", (low, high) if "above" in text else (-low, -high))
    elif (text := found.get("at")) is not None:
        metres = float((re.findall(r"[\d,]*\d", text) or ["0"])[0].replace(",", ""))
        yield Claim("heights", (-metres if "below" in text else metres,) * 2)
    if found.get("slope"):
        limits = {"nearly level": (0, 1), "gently sloping": (1, 5), "sloping": (5, 15), "steep": (15, 30)}
        yield Claim("slope", limits.get(found["slope"], (30, 91)))
    if found.get("degrees"):
        yield Claim("slope", (float(found["degrees"]) - 0.501, float(found["degrees"]) + 0.501))


# --- the sentences ---------------------------------------------------------------------------------------------------

PER_PIXEL = rf"about (?P<gsd>{LENGTH}) per pixel"
PIXELS = rf"pixels of about (?P<gsd2>{LENGTH})"
SIDE = rf"about (?P<side>{LENGTH})"
LEVEL = r"zoom level (?P<level>\d+)"
PLACED = rf"(?:centred|placed on the map) {PLACE}"
TAKEN = rf"(?:taken|dated) {WHEN}"
LISTED = rf"(?: at {PER_PIXEL}| with {PIXELS})?(?:, {TAKEN})?(?:(?:, and|,) {PLACED})?"
ABOVE = r"(?:seen from above|computed as if seen from above)"


def _listing(match: re.Match[str]) -> Iterator[Claim]:
    if match["gsd2"]:
        yield Claim("gsd", (_metres(match["gsd2"]),))


_GRAMMAR: list[tuple[str, Any]] = [
    (rf"(?:it (?:shows|covers|is a picture of)|what it shows is) one square tile of the map, {ABOVE}", _nothing),
    (rf"{THIS} shows ground from above, one tile of the map", _nothing),
    (rf"{THIS} is {PLACED}", _nothing),
    (rf"{THIS} (?:is|was) {TAKEN}", _nothing),
    (rf"{THIS} covers an area {SIDE} on a side at {PER_PIXEL} \({LEVEL}\)", _nothing),
    (rf"{THIS}, {TAKEN}, covers an area {SIDE} on a side at {PER_PIXEL} \({LEVEL}\)", _nothing),
    (rf"at {LEVEL}, {THIS} shows an area {SIDE} on a side, {PLACED}", _nothing),
    (
        rf"the (?:centre lies|centre of the image is|tile is centred|(?:image|tile) is placed on the map) {PLACE}",
        _nothing,
    ),
    (rf"the (?:image|picture) (?:is|was) {TAKEN}", _nothing),
    (
        rf"(?:at {LEVEL}, )?each pixel spans about (?P<gsd>{LENGTH}) of ground(?: and the tile {SIDE} on a side)?",
        _nothing,
    ),
    (rf"at {LEVEL}, the tile is {SIDE} on a side", _nothing),
    (rf"the area on the ground is {SIDE} on a side, at {LEVEL}", _nothing),
    (rf"the tile, cut at {LEVEL}, measures {SIDE} on each side", _nothing),
    (rf"the tile is {SIDE} on a side, with {PER_PIXEL}", _nothing),
    (rf"the tile is {SIDE} on a side, at {LEVEL} with {PER_PIXEL}", _nothing),
    (rf"the area is {SIDE} wide and high, at {PER_PIXEL} \({LEVEL}\)", _nothing),
    (rf"the ground lies between {BETWEEN}(?:, with a mean slope of about (?P<degrees>\d+) degrees?)?", _relief),
    (rf"the ground is {SLOPE}, between {BETWEEN}", _relief),
    (rf"heights range between {BETWEEN}", _relief),
    (rf"the ground (?:is {SLOPE} and )?lies at {AT}", _relief),
    (rf"{GROUND} is almost entirely {UNDER} {NAME}", _top(0.99)),
    (rf"{NAME} {COVERS} {GROUND} almost entirely", _top(0.99)),
    (rf"{NAME} dominates? {GROUND}, covering {ABOUT} of it", _top(0.774)),
    (rf"{GROUND} is dominated by {NAME}, {ABOUT} of it", _top(0.774)),
    (rf"{NAME} {COVERS} almost all of {GROUND}, {ABOUT}", _top(0.924)),
    (rf"{NAME} {COVERS} most of {GROUND}, {ABOUT}", _top(0.774)),
    (rf"{NAME} {COVERS} a large part of {GROUND}, {ABOUT}{WHERE}", _top(0.474)),
    (rf"a large part of {GROUND}, {ABOUT}, is {UNDER} {NAME}", _top(0.474)),
    (rf"{NAME} {COVERS} {ABOUT} of {GROUND}{WHERE}", _top(0.0)),
    (rf"{NAME} {COVERS} {ABOUT} of {GROUND}, followed by (?P<rest>.+)", _top(0.0)),
    (rf"{ABOUT} of {GROUND} is {UNDER} {NAME}{WHERE}", _top(0.0)),
    (rf"{ABOUT} of {GROUND} is {UNDER} {NAME}, followed by (?P<rest>.+)", _top(0.0)),
    (rf"{NAME} (?:is|are) the most widespread class, at {ABOUT} of {GROUND}{WHERE}", _top(0.0)),
    (rf"{GROUND} is almost entirely {UNDER} {NAME}, followed by (?P<rest>.+)", _top(0.99)),
    (rf"{NAME} {COVERS} {GROUND} almost entirely, followed by (?P<rest>.+)", _top(0.99)),
    (r"the rest includes (?P<rest>.+ percent.*)", _further),
    (r"there (?:is|are) also (?P<rest>.+ percent.*)", _further),
    (rf"{NAME} takes? up {ABOUT}{WHERE}", _one_further),
    (r"(?P<rest>.+ makes? up a (?:very small|small|moderate|large) part .+)", _further),
    (r"(?:on the ground )?there (?:is|are) (?P<objects>(?!also ).+)", _nothing),
    (rf"(?P<objects>.+) (?:is|are) visible in {GROUND}", _nothing),
    (rf"{GROUND} (?:shows|holds) (?P<objects>.+)", _nothing),
    (rf"(?:this is )?an? {THING}{LISTED}", _listing),
]


# --- what facts hold -------------------------------------------------------------------------------------------------


def lies(
    text: str, facts: Mapping[str, Any], *, gsd_m: float, side_m: float, level: int, synthetic: bool = False
) -> list[str]:
    """Return what a caption claims and its facts do not hold; sentences that cannot be read are among it."""
    try:
        found = claims(text)
    except UnreadError as unread:
        return [f"unread: {unread}"]
    told = {"gsd": gsd_m, "side": side_m, "level": level, "synthetic": synthetic}
    wrong = [f"{claim.about}: {claim.what}" for claim in found if not _holds(claim, facts, told)]
    shares = [claim.what[1] + claim.what[2] for claim in found if claim.about == "class"]
    if any(later > earlier + 0.06 for earlier, later in itertools.pairwise(shares)):
        wrong.append("classes are not told by falling share")
    return wrong


def _holds(claim: Claim, facts: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    what = claim.what
    readers = {
        "gsd": lambda: abs(what[0] / told["gsd"] - 1.0) <= 0.051,
        "side": lambda: abs(what[0] / told["side"] - 1.0) <= 0.051,
        "level": lambda: what[0] == told["level"],
        "date": lambda: facts["date"] == what[0],
        "season": lambda: facts["date"] is not None and facts["season"] == what[0],
        "noun": lambda: _noun_holds(what[0], facts, synthetic=told["synthetic"]),
        "town": lambda: _town_holds(what, facts),
        "area": lambda: _area_holds(what, facts),
        "class": lambda: _class_holds(what, facts),
        "object": lambda: _object_holds(what, facts),
        "slope": lambda: _slope_holds(what, facts["relief"]),
        "heights": lambda: _heights_hold(what, facts["relief"]),
    }
    return bool(readers[claim.about]())


def _slope_holds(what: tuple[Any, ...], relief: Mapping[str, float] | None) -> bool:
    return relief is not None and what[0] - 1e-6 <= relief["slope_deg"] <= what[1] + 1e-6


def _heights_hold(what: tuple[Any, ...], relief: Mapping[str, float] | None) -> bool:
    if relief is None:
        return False
    limits = (relief["lowest_m"], relief["highest_m"])
    near = all(abs(said - true) <= (0.51 if abs(true) < 100 else 2.51) for said, true in zip(what, limits, strict=True))
    flat = what[0] == what[1] and relief["highest_m"] - relief["lowest_m"] <= 8.1
    return near or (flat and relief["lowest_m"] - 2.6 <= what[0] <= relief["highest_m"] + 2.6)


def _noun_holds(noun: str, facts: Mapping[str, Any], *, synthetic: bool) -> bool:
    words = noun.rsplit(" ", 1)[0].lower().split()
    allowed = [*(facts["sensor"] or "").lower().split(), *(facts["platform"] or "overhead").lower().split()]
    return ("synthetic" in words) == synthetic and all(word in {*allowed, "synthetic"} for word in words)


def _town_holds(what: tuple[Any, ...], facts: Mapping[str, Any]) -> bool:
    place = facts["place"]
    if place is None:
        return False
    km, way, name = what
    country = re.sub("^The ", "the ", place["country"] or "")
    if name not in {place["name"], f"{place['name']}, {country}"}:
        return False
    if km is None:
        return bool(place["direction"] is None)
    return bool(abs(km - place["distance_km"]) <= 0.501 and way == place["direction"])


def _area_holds(what: tuple[Any, ...], facts: Mapping[str, Any]) -> bool:
    return what[0] in {area["name"] for area in facts["areas"] or ()}


def _class_holds(what: tuple[Any, ...], facts: Mapping[str, Any]) -> bool:
    name, low, high, part, position = what
    entries = [entry for entry in facts["land_cover"] or () if _class_word(entry["name"]) == name]
    share = sum(entry["share"] for entry in entries)
    largest = max((entry["share"] for entry in facts["land_cover"] or ()), default=0.0)
    first = position != "first" or share >= largest - 1e-6
    return bool(entries) and first and low <= share <= high and (part is None or {e["part"] for e in entries} == {part})


def _class_word(name: str) -> str:
    """Return a class name as it is read in a sentence."""
    text = re.sub(r"\s*/\s*", " or ", name.replace("_", " ").replace("&", " and "))
    text = " ".join(text.lower().split())
    return {"built-up": "built-up land", "built up": "built-up land", "urban": "urban land"}.get(text, text)


def _object_holds(what: tuple[Any, ...], facts: Mapping[str, Any]) -> bool:
    said, amount, name, part = what
    for entry in facts["objects"] or ():
        if not _is_kind(said, entry["kind"]) or entry["part"] != part:
            continue
        count = entry["count"]
        if amount is not None and amount != (1, 1) and not (count is not None and amount[0] <= count <= amount[1]):
            continue
        if amount == (1, 1) and count not in {None, 1}:
            continue
        if name is None or entry["name"] == name:
            return True
    return False


def _is_kind(said: str, kind: str) -> bool:
    if said in {kind, f"stretch of {kind}", f"{kind}s", f"{kind}es"}:
        return True
    head, _, tail = kind.partition(" of ")
    plural = f"{head[:-1]}ies" if head.endswith("y") else f"{head}s"
    return said == (f"{plural} of {tail}" if tail else plural)
