"""Claims about the image itself against its facts: when, where, by what and how finely it was taken."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from git10m.captions.checks.amounts import number_of
from git10m.captions.checks.countries import countries_in
from git10m.captions.checks.heights import height_contradictions
from git10m.captions.checks.reading import Text

__all__ = ["Ground", "particular_contradictions"]


@dataclass(frozen=True, slots=True)
class Ground:
    """What is known of a tile beside its facts.

    Attributes:
        level: Zoom level; None when unknown.
        gsd_m: True ground metres a pixel at the centre.
        size_px: Pixels a side.
        kinds: Kinds of object that were looked for, as of `looked_for`; None: all.
    """

    level: int | None = None
    gsd_m: float | None = None
    size_px: int | None = None
    kinds: frozenset[str] | None = None


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            *("january jan", "february feb", "march", "april apr", "may", "june jun", "july jul", "august aug"),
            *("september sept sep", "october oct", "november nov", "december dec"),
        ),
        start=1,
    )
    for name in names.split()
}
_SEASONS = {"winter": "winter", "spring": "spring", "summer": "summer", "autumn": "autumn", "fall": "autumn"}
_SEASON_ADJECTIVES = {"wintry": "winter", "wintertime": "winter", "summertime": "summer", "springtime": "spring"} | {
    "autumnal": "autumn",
    "summery": "summer",
    "midsummer": "summer",
    "midwinter": "winter",
}
_ORDER = ("winter", "spring", "summer", "autumn")
_OF_TIME = frozenset({"in", "during", "of", "early", "late", "mid", "this", "its", "from", "throughout", "at"})
_TIMED_LISTED = """
    image scene day days month months season seasons landscape view capture photo snapshot light sun conditions
    afternoon morning colors colours foliage weather pass imagery satellite period time of
"""
_TIMED = frozenset(_TIMED_LISTED.split())
_NO_SEASON = frozenset(
    {"wheat", "house", "houses", "resort", "camp", "barley", "crop", "crops", "road", "sports", "olympics"}
) | {
    "palace",
    "pasture",
    "pastures",
    "water",
    "line",
}
_NEAR_A_BOUNDARY_DAYS = 24
"""Days by which the astronomical seasons begin after the meteorological ones, and a little."""
_ISO = re.compile(r"\b((?:19|20)\d\d)-(0[1-9]|1[0-2])(?:-([0-2]\d|3[01]))?\b")
_NOT_TAKEN = frozenset(
    {"built", "constructed", "founded", "established", "since", "completed", "opened", "until", "census", "erected"}
)
_FROM_THE_AIR = re.compile(
    r"\b(?:drone|uav)[ -](?:image|imagery|photo|photograph|shot|footage|view|survey)s?\b"
    r"|\b(?:taken|captured|shot|photographed|acquired|recorded|imaged)\b(?: \w{1,12}){0,4}? (?:from|by|with) (?:an? )?"
    r"(?:low[- ]flying )?(?:drone|uav|aircraft|airplane|aeroplane|plane|helicopter|balloon)\b",
    re.IGNORECASE,
)
"""Where a caption insists: "aerial view" and "aerial image" are said of any view from above."""
_SENSORS = {
    "sentinel": "sentinel",
    "landsat": "landsat",
    "naip": "naip",
    "worldview": "worldview",
    "planetscope": "planetscope",
    "pleiades": "pleiades",
    "quickbird": "quickbird",
    "ikonos": "ikonos",
    "geoeye": "geoeye",
    "rapideye": "rapideye",
    "modis": "modis",
    "skysat": "skysat",
    "aster": "aster",
    "gaofen": "gaofen",
}
_PER_PIXEL = re.compile(
    r"(?<![\d.,])(\d{1,7}(?:[.,]\d{1,6})?)\s{0,3}-?\s{0,3}(cm|centimet(?:re|er)s?|m|met(?:re|er)s?|km|kilomet(?:re|er)s?)\s{0,3}"
    r"(?:/|-|\s)\s{0,3}(?:per|a|each|/)?\s{0,3}-?\s{0,3}(?:pixel|px|resolution|gsd|spatial resolution|ground sampl)",
    re.IGNORECASE,
)
_RESOLUTION_OF = re.compile(
    r"(?:resolution|sampl(?:e|ing) distance|gsd|pixel size|pixels?(?: spans?| of| measures?| covers?)?)"
    r"(?: is| of| at| stands at| spans| with| about| approximately| around| roughly| benchmarked| by| its| =|:|\s){0,8}"
    r"(\d{1,7}(?:\.\d{1,6})?)\s{0,3}-?\s{0,3}(cm|centimet(?:re|er)s?|m|met(?:re|er)s?|km|kilomet(?:re|er)s?)\b",
    re.IGNORECASE,
)
_SIDE = re.compile(
    r"(?<![\d.,])(\d{1,7}(?:[.,]\d{1,6})?)\s{0,3}(m|met(?:re|er)s?|km|kilomet(?:re|er)s?)\s{1,3}"
    r"(?:on (?:a|each) side|on each side|wide and high|a side|across|wide)\b",
    re.IGNORECASE,
)
_LEVEL = re.compile(r"\b(?:zoom[ -]level|level of zoom|zoom|level)\s+(\d{1,2})\b", re.IGNORECASE)
_OF_PIXELS = frozenset({"pixel", "pixels", "px", "resolution", "gsd", "sampling", "sample"})
_SAME_LENGTH = 0.16
"""Lengths are told with two digits, and once for the equator, once for the place: ``resolution`` and ``gsd_m``."""


def particular_contradictions(
    text: Text, facts: Mapping[str, Any], *, ground: Ground | None, masked: set[int]
) -> Iterator[str]:
    """Yield what a caption says of time, place, platform, resolution and relief against the facts."""
    yield from _platform(text, facts)
    yield from _dates(text, facts, masked)
    yield from _season(text, facts, masked)
    yield from _places(text, facts, masked)
    yield from height_contradictions(text, facts)
    if ground is not None:
        yield from _lengths(text, ground)


def _platform(text: Text, facts: Mapping[str, Any]) -> Iterator[str]:
    words = text.words
    platform, sensor = (facts.get("platform") or "").lower(), (facts.get("sensor") or "").lower()
    there = set(words)
    if platform in {"aerial", "airborne", "drone", "uav"} and "satellite" in there:
        i = words.index("satellite")
        if words[i + 1 : i + 2] not in (["dish"], ["dishes"], ["town"], ["antenna"]) and "satellite" not in sensor:
            yield f"satellite (platform is {platform})"
    if platform == "satellite" and "drone" not in sensor and (match := _FROM_THE_AIR.search(text.raw)):
        yield f"{match.group().lower()} (platform is satellite)"
    if sensor:
        for name in sorted(there & _SENSORS.keys()):
            if _SENSORS[name] not in sensor.replace("-", " ") and (name != "aster" or "terra" not in sensor):
                yield f"{name} (sensor is {facts['sensor']})"
        if {"night", "nighttime"} & there and any(name in sensor for name in ("landsat", "sentinel-2", "naip")):
            yield f"night (sensor is {facts['sensor']})"


def _dates(text: Text, facts: Mapping[str, Any], masked: set[int]) -> Iterator[str]:
    taken = facts.get("date")
    if not isinstance(taken, date | datetime):
        return
    words = text.words
    for match in _ISO.finditer(text.raw):
        year, month, day = (int(part) if part else None for part in match.groups())
        if year != taken.year or month != taken.month or (day is not None and day != taken.day):
            yield f"{match.group()} (date is {taken:%Y-%m-%d})"
    for i, word in enumerate(words):
        if i in masked:
            continue
        month = _MONTHS.get(word)
        if month is not None and _is_month(text, i):
            near = _day_of(words, i)
            if month != taken.month or (near is not None and near != taken.day):
                yield f"{'' if near is None else f'{near} '}{word} (date is {taken:%Y-%m-%d})"
        elif _is_year(words, i) and int(word) != taken.year:
            yield f"{word} (date is {taken:%Y-%m-%d})"


def _is_month(text: Text, i: int) -> bool:
    """Tell a month from "march", "may" and names: by a number or a word of time beside it."""
    words = text.words
    before, after = (words[i - 1] if i else ""), (words[i + 1] if i + 1 < len(words) else "")
    dated = (
        before[:1].isdigit()
        or (after[:1].isdigit() and len(after) <= 4)
        or before in _OF_TIME | {"dated", "mid", "since"}
    )
    if words[i] in {"may", "march", "august", "jan", "jun", "dec", "mar", "sep"}:
        return dated and not (words[i] == "march" and after == "of") and (text.capital[i] or not any(text.capital))
    named = text.capital[i] and i + 1 < len(words) and text.capital[i + 1] and after not in _MONTHS
    return dated or not named


def _day_of(words: list[str], i: int) -> int | None:
    """Return the day beside a month: "31 August", "August 31st, 2020", "the 3rd of August"."""
    before = words[i - 1] if i else ""
    if before == "of" and i > 1:
        before = words[i - 2]
    if before in {"st", "nd", "rd", "th"} and i > 1:
        before = words[i - 3] if words[i - 1] == "of" else words[i - 2]
    after = words[i + 1] if i + 1 < len(words) else ""
    for word in (before, after):
        if word.isdecimal() and word.isascii() and len(word) <= 2 and 1 <= int(word) <= 31:
            return int(word)
    return None


def _is_year(words: list[str], i: int) -> bool:
    """Tell a year of acquisition from lengths, counts and years of building."""
    word = words[i]
    if not (len(word) == 4 and word.isdecimal() and word.isascii() and "1950" <= word <= "2099"):
        return False
    before, after = words[max(0, i - 4) : i], words[i + 1 : i + 3]
    if any(each in _NOT_TAKEN for each in before) or (
        after[:1] and after[0] in {"m", "metres", "meters", "km", "px", "pixels", "%"}
    ):
        return False
    return bool(before) and (
        before[-1] in {"in", "of", "year", ",", "dated", "from", "during"} | _SEASONS.keys()
        or before[-1] in _MONTHS
        or any(each in _MONTHS for each in before)
    )


def _season(text: Text, facts: Mapping[str, Any], masked: set[int]) -> Iterator[str]:
    known, taken = facts.get("season"), facts.get("date")
    if known not in _ORDER:
        return
    words = text.words
    for i, word in enumerate(words):
        if i in masked:
            continue
        season = _SEASON_ADJECTIVES.get(word) or (_SEASONS.get(word) if _is_season(text, i) else None)
        if season is None or season == known:
            continue
        if isinstance(taken, date | datetime) and _at_boundary(taken, season, known):
            continue
        yield f"{word} (season is {known})"


def _is_season(text: Text, i: int) -> bool:
    """Tell a season from a spring of water, a fall, winter wheat and Palm Springs."""
    words, word = text.words, text.words[i]
    if word not in _SEASONS:
        return False
    before = words[i - 1] if i else ""
    after = words[i + 1] if i + 1 < len(words) else ""
    if before in {"the", "a", "an"} and i > 1 and words[i - 2] in _OF_TIME:
        before = words[i - 2]
    if after in _NO_SEASON or (text.capital[i] and not text.first[i] and i + 1 < len(words) and text.capital[i + 1]):
        return False
    told = before in {"is", "was"} and i > 1 and words[i - 2] in {"season", "it", "year"}
    return told or before in _OF_TIME or after in _TIMED


def _at_boundary(taken: date, told: str, known: str) -> bool:
    """Tell whether a day is so near to where two seasons meet that either name will do."""
    into = (taken.day - 1) if taken.month % 3 == 0 else None
    if into is not None and into <= _NEAR_A_BOUNDARY_DAYS:
        return _ORDER[(_ORDER.index(known) - 1) % 4] == told
    return taken.month % 3 == 2 and taken.day >= 22 and _ORDER[(_ORDER.index(known) + 1) % 4] == told


def _places(text: Text, facts: Mapping[str, Any], masked: set[int]) -> Iterator[str]:
    """Find countries that are not the one of the facts; near a border either may be told."""
    place = facts.get("place") or {}
    country = place.get("country")
    if not country:
        return
    allowed = {country, place.get("name"), *(area.get("name") for area in facts.get("areas") or ())}
    for told, name in countries_in(text, masked=masked, own=country):
        if name not in allowed and not {"border", "borders", "frontier", "bordering"} & set(text.words):
            yield f"{told} (the nearest town is in {country})"


def _lengths(text: Text, ground: Ground) -> Iterator[str]:
    if not any(word[0].isdigit() for word in text.words):
        return
    nominal = None if ground.level is None else 2.0 ** (17 - ground.level)
    if ground.size_px and nominal:
        nominal *= 256 / ground.size_px
    of_pixels = not _OF_PIXELS.isdisjoint(text.words)
    for pattern in (_PER_PIXEL, _RESOLUTION_OF) if of_pixels else ():
        for match in pattern.finditer(text.raw):
            if ground.gsd_m and not _same(_metres(match), ground.gsd_m, nominal):
                yield f"{match[1]} {match[2]} per pixel (it is {ground.gsd_m:.2g} m)"
    if ground.gsd_m and ground.size_px:
        side = ground.gsd_m * ground.size_px
        for match in _SIDE.finditer(text.raw):
            context = text.raw[max(0, match.start() - 60) : match.start()].lower()
            if any(word in context for word in ("tile", "image", "area", "scene")) and not _same(
                _metres(match), side, None if nominal is None else nominal * ground.size_px
            ):
                yield f"{match[1]} {match[2]} a side (it is {side:.2g} m)"
    if ground.level:
        for match in _LEVEL.finditer(text.raw):
            if int(match[1]) != ground.level:
                yield f"level {int(match[1])} (it is {ground.level})"


def _metres(match: re.Match[str]) -> float:
    unit = match[2].lower()
    factor = 0.01 if unit.startswith("c") else 1000.0 if unit.startswith("k") else 1.0
    return (number_of(match[1]) or 0.0) * factor


def _same(told: float, true: float, nominal: float | None) -> bool:
    return any(
        abs(told - each) <= _SAME_LENGTH * each or (told >= 1 and round(told) == round(each))
        for each in (true, nominal)
        if each is not None
    )
