"""Sentences on time, place, shares, parts, counts, resolution: true ones from facts, false ones from altered facts."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from git10m.captions.checks import Ground
from git10m.captions.facts import season

__all__ = ["DetailCase", "detail_cases"]

SEASONS = ("winter", "spring", "summer", "autumn")
MONTHS = tuple(date(2000, month, 1).strftime("%B") for month in range(1, 13))
COUNTRIES = ("France", "Kenya", "India", "United States", "Argentina", "Egypt", "Sweden", "Japan", "Poland", "Brazil")
TOWNS = {
    "France": ("Dole", "Saint-Étienne", "Lille"),
    "Kenya": ("Lake Victoria Town", "Kisumu", "Thika"),
    "India": ("Jaipur", "Forest View", "Kota"),
    "United States": ("Salt Lake City", "Riverside", "Forest Hills", "Ocean City", "Winter Park", "Likely"),
    "Argentina": ("Salta", "Río Cuarto", "Mar del Plata"),
    "Egypt": ("Luxor", "Port Said", "Tanta"),
    "Sweden": ("Lund", "Mora", "Sala"),
    "Japan": ("Sendai", "Nagano", "Kobe"),
    "Poland": ("Łódź", "Zielona Góra", "Sopot"),
    "Brazil": ("Rio de Janeiro", "Natal", "Campo Grande"),
}  # fmt: skip
CLASSES = {
    "Tree cover": ("forest", "woodland", "tree cover"),
    "Cropland": ("cropland", "farmland", "cultivated fields"),
    "Built-up": ("urban land", "built-up land", "residential area"),
    "Permanent water bodies": ("water", "open water"),
    "Grassland": ("grassland", "meadow"),
    "Bare / sparse vegetation": ("bare land", "desert"),
    "Shrubland": ("shrubland",),
}
QUARTERS = ("north-west", "north-east", "south-west", "south-east")
SPOKEN = {
    "north-west": ("north-west", "northwestern corner", "upper left corner", "top-left quarter", "north-western part"),
    "north-east": (
        "north-east",
        "northeastern corner",
        "upper right corner",
        "top-right quarter",
        "north-eastern part",
    ),
    "south-west": (
        "south-west",
        "southwestern corner",
        "lower left corner",
        "bottom-left quarter",
        "south-western part",
    ),
    "south-east": (
        "south-east",
        "southeastern corner",
        "lower right corner",
        "bottom-right quarter",
        "south-eastern part",
    ),
}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

WAYS: Mapping[str, tuple[str, ...]] = {
    "season": (
        "It was captured in {season}.",
        "The colours are those of a {season} day.",
        "During {season}, the light falls low across the ground.",
        "A {season} scene is shown.",
    ),
    "date": (
        "The photograph dates from {month} {year}.",
        "This view was acquired on {day} {month} {year}.",
        "Taken in {month}, it has a wide range of tones.",
        "Captured on {month} {day}, {year}, the image is sharp.",
        "Date of acquisition: {iso}.",
        "It was recorded in the year {year}.",
    ),
    "country": (
        "The scene lies in {country}.",
        "Near {town}, {country}, the ground is gently sloping.",
        "This is a region of {country}.",
    ),
    "platform": ("This {platform} image has a fine texture.", "The {platform} photograph is well exposed."),
    "share": (
        "About {percent} percent of the scene is covered by {name}.",
        "{Name} covers roughly {percent}% of the image.",
        "{percent}% {name} makes up the view.",
        "The composition includes {name} ({percent} percent).",
        "{Name} accounts for around {percent} percent of the tile.",
    ),
    "most": (
        "The scene is dominated by {name}.",
        "{Name} covers most of the image.",
        "Most of the tile is {name}.",
        "It is mostly {name}.",
        "The majority of the area is {name}.",
        "The ground is predominantly {name}.",
    ),
    "part": (
        "{Name} lies in the {part}.",
        "In the {part} of the image, {name} can be seen.",
        "There is {name} in the {part} of the scene.",
        "{Name}, mostly in the {part}, is visible.",
    ),
    "count": (
        "There are {number} {kind} in view.",
        "{Number} {kind} can be counted.",
        "The tile shows {number} {kind}.",
    ),
    "resolution": (
        "The resolution is {gsd} metres per pixel.",
        "At {gsd} m per pixel, much detail is lost.",
        "It has a ground sample distance of {gsd} m.",
        "Each pixel spans about {gsd} metres.",
    ),
    "level": ("It was cut at zoom level {level}.", "The tile belongs to zoom level {level}."),
    "relief": ("The terrain is {relief}.", "A {relief} landscape stretches out."),
}


@dataclass(frozen=True)
class DetailCase:
    """A sentence that facts hold, and one of the same form that they do not."""

    facts: Mapping[str, Any]
    ground: Ground
    true: str
    planted: str
    topic: str


def detail_cases(*, count: int, seed: int) -> list[DetailCase]:
    """Draw cases, every way of saying about equally often."""
    rng = random.Random(seed)
    ways = [(topic, way) for topic in WAYS for way in WAYS[topic]]
    found = []
    for i in range(count):
        topic, way = ways[i % len(ways)]
        facts, ground = _facts(rng)
        true, false = _DETAILS[topic](rng, facts, ground)
        found.append(DetailCase(facts, ground, _filled(way, true), _filled(way, false), topic))
    return found


def _filled(way: str, values: Mapping[str, Any]) -> str:
    names = {"Name": str(values.get("name", "")).capitalize(), "Number": str(values.get("number", "")).capitalize()}
    filled = way.format(**values, **names)
    return f"The picture is calm. {filled} Details are fine."


def _facts(rng: random.Random) -> tuple[dict[str, Any], Ground]:
    day = date(rng.randint(2015, 2025), rng.randint(1, 12), rng.randint(1, 28))
    country = rng.choice(COUNTRIES)
    names = rng.sample(sorted(CLASSES), rng.randint(2, 4))
    weights = [rng.uniform(0.05, 1.0) for _ in names]
    cover = [
        {"name": name, "share": round(weight / sum(weights), 4), "part": rng.choice(QUARTERS)}
        for name, weight in zip(names, weights, strict=True)
    ]
    level = rng.randint(10, 18)
    built = next((entry["part"] for entry in cover if entry["name"] == "Built-up"), None)
    facts = {
        "platform": rng.choice(["satellite", "aerial"]),
        "sensor": None,
        "date": day,
        "season": season(datetime(day.year, day.month, day.day), lat=rng.choice([48.0, -35.0])),
        "place": {"name": rng.choice(TOWNS[country]), "country": country, "distance_km": 9.0, "direction": "north"},
        "areas": None,
        "land_cover": sorted(cover, key=lambda entry: -entry["share"]),
        "objects": [{"kind": "building", "count": rng.randint(2, 12), "name": None, "part": built}],
        "relief": rng.choice(
            [
                {"lowest_m": 10.0, "highest_m": 40.0, "slope_deg": 1.0},
                {"lowest_m": 600.0, "highest_m": 2100.0, "slope_deg": 24.0},
            ]
        ),
    }
    return facts, Ground(level, 2.0 ** (17 - level) * rng.uniform(0.6, 1.0), 256)


Detail = tuple[dict[str, Any], dict[str, Any]]


def _season(rng: random.Random, facts: dict[str, Any], _: Ground) -> Detail:
    known = SEASONS.index(facts["season"])
    return {"season": SEASONS[known]}, {"season": SEASONS[(known + 2) % 4]}


def _date(rng: random.Random, facts: dict[str, Any], _: Ground) -> Detail:
    day = facts["date"]
    other = date(day.year - rng.randint(1, 5), (day.month + rng.randint(0, 9)) % 12 + 1, day.day)
    while other.month == day.month:
        other = other.replace(month=other.month % 12 + 1)
    return _dated(day), _dated(other)


def _dated(day: date) -> dict[str, Any]:
    return {"month": MONTHS[day.month - 1], "year": day.year, "day": day.day, "iso": day.isoformat()}


def _country(rng: random.Random, facts: dict[str, Any], _: Ground) -> Detail:
    own = facts["place"]["country"]
    other = rng.choice([country for country in COUNTRIES if country != own])
    return {"country": own, "town": facts["place"]["name"]}, {"country": other, "town": rng.choice(TOWNS[other])}


def _platform(_: random.Random, facts: dict[str, Any], __: Ground) -> Detail:
    own = facts["platform"]
    return {"platform": own}, {"platform": "drone" if own == "satellite" else "satellite"}


def _share(rng: random.Random, facts: dict[str, Any], _: Ground) -> Detail:
    entry = rng.choice(facts["land_cover"])
    percent = round(100 * entry["share"])
    wrong = percent + 35 if percent < 55 else percent - 35
    name = _said(rng, entry["name"], facts)
    return {"name": name, "percent": percent}, {"name": name, "percent": wrong}


def _said(rng: random.Random, name: str, facts: Mapping[str, Any]) -> str:
    """Choose words for a class; "farmland" only where no grassland could be meant too."""
    there = {entry["name"] for entry in facts["land_cover"]}
    words = [word for word in CLASSES[name] if word != "farmland" or "Grassland" not in there]
    return rng.choice([word for word in words if "fields" not in word or "Grassland" not in there])


def _most(rng: random.Random, facts: dict[str, Any], _: Ground) -> Detail:
    largest, *_, least = facts["land_cover"]
    if least["share"] > 0.25:
        facts["land_cover"] = [largest | {"share": 0.7}, least | {"share": 0.3}]
        largest, least = facts["land_cover"]
    return {"name": _said(rng, largest["name"], facts)}, {"name": _said(rng, least["name"], facts)}


def _part(rng: random.Random, facts: dict[str, Any], _: Ground) -> Detail:
    entry = rng.choice(facts["land_cover"])
    opposite = {
        "north-west": "south-east",
        "south-east": "north-west",
        "north-east": "south-west",
        "south-west": "north-east",
    }
    name = _said(rng, entry["name"], facts)
    part = rng.randrange(5)
    return {"name": name, "part": SPOKEN[entry["part"]][part]}, {
        "name": name,
        "part": SPOKEN[opposite[entry["part"]]][part],
    }


def _count(rng: random.Random, facts: dict[str, Any], _: Ground) -> Detail:
    count = facts["objects"][0]["count"]
    wrong = count * 2 + rng.randint(2, 9)
    right = NUMBERS[count] if rng.random() < 0.5 else str(count)
    return {"number": right, "kind": "buildings"}, {"number": str(wrong), "kind": "buildings"}


def _resolution(rng: random.Random, _: dict[str, Any], ground: Ground) -> Detail:
    right = float(f"{ground.gsd_m:.2g}")
    return {"gsd": f"{right:g}"}, {"gsd": f"{float(f'{right * rng.choice([0.25, 3.0]):.2g}'):g}"}


def _level(_: random.Random, __: dict[str, Any], ground: Ground) -> Detail:
    return {"level": ground.level}, {"level": ground.level - 1}


def _relief(_: random.Random, facts: dict[str, Any], __: Ground) -> Detail:
    steep = facts["relief"]["slope_deg"] > 10
    return ({"relief": "mountainous"}, {"relief": "flat"}) if steep else ({"relief": "flat"}, {"relief": "mountainous"})


_DETAILS: Mapping[str, Callable[[random.Random, dict[str, Any], Ground], Detail]] = {
    "season": _season,
    "date": _date,
    "country": _country,
    "platform": _platform,
    "share": _share,
    "most": _most,
    "part": _part,
    "count": _count,
    "resolution": _resolution,
    "level": _level,
    "relief": _relief,
}
