"""Captions with known truth: facts drawn from several legends, sentences that they hold, and some that they do not.

What makes a sentence true or false is told here by hand, class by class and kind by kind; nothing is taken from the
vocabulary of the checks. Between true and false lies what the facts cannot tell: such sentences are not used.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from caption_prose import ALSO, NEUTRAL

__all__ = ["Case", "cases", "facts_of", "holds", "lacks"]

LEGENDS: tuple[Mapping[str, str], ...] = (
    {
        "Tree cover": "trees",
        "Shrubland": "shrub",
        "Grassland": "grass",
        "Cropland": "crops",
        "Built-up": "built",
        "Bare / sparse vegetation": "bare",
        "Snow and ice": "snow",
        "Permanent water bodies": "water",
        "Herbaceous wetland": "wetland",
        "Mangroves": "mangrove",
        "Moss and lichen": "moss",
    },
    {
        "Discontinuous urban fabric": "built",
        "Continuous urban fabric": "built",
        "Non-irrigated arable land": "crops",
        "Complex cultivation patterns": "crops",
        "Broad-leaved forest": "trees",
        "Coniferous forest": "trees",
        "Natural grasslands": "grass",
        "Sclerophyllous vegetation": "shrub",
        "Bare rocks": "bare",
        "Water courses": "water",
        "Sea and ocean": "water",
        "Inland marshes": "wetland",
        "Glaciers and perpetual snow": "snow",
    },
    {
        "Open Water": "water",
        "Developed, Medium Intensity": "built",
        "Deciduous Forest": "trees",
        "Evergreen Forest": "trees",
        "Shrub/Scrub": "shrub",
        "Grassland/Herbaceous": "grass",
        "Cultivated Crops": "crops",
        "Barren Land (Rock/Sand/Clay)": "bare",
        "Emergent Herbaceous Wetlands": "wetland",
        "Perennial Ice/Snow": "snow",
    },
    {
        "forest": "trees",
        "fields": "crops",
        "meadow": "grass",
        "water": "water",
        "built-up": "built",
        "bare": "bare",
        "scrub": "shrub",
    },
)
"""Classes of ESA WorldCover, CORINE and NLCD, and a home-made legend, with what each is."""

OBJECTS: Mapping[str, str] = {
    "river": "river",
    "stream": "stream",
    "lake": "lake",
    "reservoir": "lake",
    "pond": "pond",
    "coastline": "sea",
    "harbour": "harbour",
    "marina": "harbour",
    "motorway": "road",
    "primary road": "road",
    "residential road": "road",
    "track": "path",
    "railway": "railway",
    "railway station": "railway station",
    "bridge": "bridge",
    "airport": "airport",
    "runway": "airport",
    "house": "building",
    "building": "building",
    "apartment building": "building",
    "farm building": "building",
    "industrial building": "building industry",
    "warehouse": "building industry",
    "industrial area": "industry",
    "residential area": "city",
    "parking lot": "parking",
    "baseball field": "sports",
    "tennis court": "sports",
    "football field": "sports",
    "stadium": "stadium sports",
    "golf course": "golf",
    "swimming pool": "pool",
    "solar farm": "solar",
    "storage tank": "tanks",
    "quarry": "quarry",
    "school": "school",
    "university campus": "school campus",
    "wind turbine": "wind",
    "cemetery": "cemetery",
    "park": "park",
    "farmland": "crops",
    "forest": "forest",
}
"""Kinds of object, with the things that each is."""

WET = frozenset({"water", "wetland", "mangrove"})
WET_OBJECTS = frozenset({"river", "stream", "lake", "pond", "sea", "harbour"})
ROADS = frozenset({"road", "path", "parking", "bridge"})
HOUSES = frozenset(
    {"building", "industry", "city", "school", "stadium", "airport", "railway station", "parking", "sports"}
)


@dataclass(frozen=True)
class Truth:
    """When a thing is there for sure, and when it is not.

    Attributes:
        cover: Covers that make it true.
        objects: Objects that make it true.
        not_in: It is false where the land cover has none of these, and no object of ``not_with`` is known.
        not_with: It is false where objects are known and none is of these, if ``counted``.
        counted: Whether known objects alone make it false.
        also_cover: Whether land cover must rule it out too where it is known.
    """

    cover: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    not_in: frozenset[str] | None = None
    not_with: frozenset[str] = frozenset()
    counted: bool = False
    also_cover: frozenset[str] = frozenset()


def _grown(cover: str, *, not_in: str = "", objects: str = "") -> Truth:
    kinds = frozenset(cover.split())
    things = frozenset(objects.split())
    return Truth(cover=kinds, objects=things, not_in=kinds | frozenset(not_in.split()), not_with=things)


def _thing(*objects: str, beside: frozenset[str] = frozenset(), also_cover: frozenset[str] = frozenset()) -> Truth:
    kinds = frozenset(objects)
    return Truth(objects=kinds, not_with=kinds | beside, counted=True, also_cover=also_cover)


TRUTHS: Mapping[str, Truth] = {
    "river": Truth(objects=frozenset({"river"}), not_in=WET, not_with=WET_OBJECTS),
    "lake": Truth(objects=frozenset({"lake"}), not_in=WET, not_with=WET_OBJECTS),
    "sea": Truth(objects=frozenset({"sea"}), not_in=WET, not_with=WET_OBJECTS),
    "water": Truth(
        cover=frozenset({"water"}), objects=frozenset({"river", "lake", "sea"}), not_in=WET, not_with=WET_OBJECTS
    ),
    "harbour": Truth(objects=frozenset({"harbour"}), not_in=WET, not_with=WET_OBJECTS),
    "forest": _grown("trees", not_in="mangrove shrub", objects="forest"),
    "trees": _grown("trees"),
    "crops": _grown("crops", not_in="grass", objects="crops"),
    "vines": _grown("crops", not_in="grass shrub trees", objects="crops"),
    "grassland": _grown("grass", not_in="crops wetland moss shrub"),
    "shrubland": _grown("shrub", not_in="grass bare moss trees wetland"),
    "bare": _grown("bare", not_in="shrub grass snow"),
    "snow": _grown("snow"),
    "wetland": _grown("wetland", not_in="mangrove water"),
    "city": Truth(
        cover=frozenset({"built"}), objects=frozenset({"city"}), not_in=frozenset({"built"}), not_with=HOUSES
    ),
    "building": _thing("building", beside=HOUSES, also_cover=frozenset({"built"})),
    "industry": _thing("industry", beside=HOUSES, also_cover=frozenset({"built"})),
    "road": _thing("road", beside=ROADS),
    "railway": _thing("railway", "railway station"),
    "station": _thing("railway station"),
    "bridge": _thing("bridge"),
    "airport": _thing("airport"),
    "parking": _thing("parking"),
    "sports": _thing("sports"),
    "stadium": _thing("stadium"),
    "golf": _thing("golf"),
    "pool": _thing("pool", beside=frozenset({"pond", "lake"})),
    "pond": _thing("pond", beside=WET_OBJECTS, also_cover=WET),
    "solar": _thing("solar"),
    "tanks": _thing("tanks", beside=frozenset({"industry"})),
    "quarry": _thing("quarry"),
    "school": _thing("school", beside=HOUSES, also_cover=frozenset({"built"})),
    "campus": _thing("campus"),
    "wind": _thing("wind"),
    "cemetery": _thing("cemetery"),
    "park": _thing("park"),
}


@dataclass(frozen=True)
class Drawn:
    """Facts, with what they are by hand."""

    facts: dict[str, Any]
    shares: Mapping[str, float]
    things: frozenset[str]
    named: Mapping[str, float] = field(default_factory=dict)


def facts_of(rng: random.Random) -> Drawn:
    """Draw facts of a tile: land cover by one of the legends, objects, or both."""
    shares: dict[str, float] = {}
    cover, objects, things = None, None, frozenset[str]()
    named: dict[str, float] = {}
    which = rng.random()
    if which < 0.85:
        legend = rng.choice(LEGENDS)
        names = rng.sample(sorted(legend), rng.randint(1, 4))
        weights = [rng.uniform(0.1, 1.0) for _ in names]
        cover = []
        for name, weight in zip(names, weights, strict=True):
            share = round(weight / sum(weights), 4)
            part = rng.choice(["north-west", "north-east", "south-west", "south-east", None, None])
            cover.append({"name": name, "share": share, "part": part})
            shares[legend[name]] = shares.get(legend[name], 0.0) + share
            named[name] = share
        cover.sort(key=lambda entry: -entry["share"])
    if which > 0.4:
        kinds = rng.sample(sorted(OBJECTS), rng.randint(0, 5))
        objects = [{"kind": kind, "count": None, "name": None, "part": None} for kind in kinds]
        things = frozenset(thing for kind in kinds for thing in _things(kind))
    facts = {
        **{"platform": "satellite", "sensor": None, "date": None, "season": None, "areas": None, "relief": None},
        "place": None,
        "land_cover": cover,
        "objects": objects,
    }
    return Drawn(facts, shares, things, named)


def _things(kind: str) -> set[str]:
    told = OBJECTS[kind]
    return {told} if told == "railway station" else {told, *told.split()}


def holds(topic: str, drawn: Drawn) -> bool:
    """Tell whether facts hold a thing for sure."""
    if topic.startswith("no "):
        return _none_of(topic, drawn)
    if topic.startswith("most "):
        return drawn.shares.get(topic.removeprefix("most "), 0) >= 0.5
    truth = TRUTHS[topic]
    return bool(truth.objects & drawn.things) or any(drawn.shares.get(kind, 0) >= 0.03 for kind in truth.cover)


NAMED = {
    r"tennis": "tennis court",
    r"baseball": "baseball field",
    r"soccer|football": "football field",
    r"basketball|athletics|running track|roundabout|hangars|taxiway|breakwater|beach|stony beach|hedge": "",
    r"church|terminal|apron": "building",
    r"runway": "runway",
    r"motorway|freeway|expressway|six-lane|four-lane": "motorway",
    r"highway|main road": "motorway,primary road",
    r"street|alley|lanes?\b|boulevard|avenue|promenade": "motorway,primary road,residential road,residential area",
    r"houses?\b|homes?\b|villa|cottage|dwelling|housing": "house,residential area,building",
    r"apartment|flats": "apartment building,residential area,building",
    r"farmhouse|barns?\b|hamlet of a few farms": "farm building,building",
    r"power station|power plant|smokestack": "industrial area,building",
    r"warehouse": "warehouse,industrial building,building",
    r"factory|refinery": "industrial area,industrial building,building",
}
"""What a sentence names of its topic, and the kinds of object that bear it out where objects are known."""


def bears(sentence: str, drawn: Drawn) -> bool:
    """Tell whether objects, where they are known, hold each kind of building, way or court that a sentence names."""
    if drawn.facts["objects"] is None:
        return True
    kinds = {thing["kind"] for thing in drawn.facts["objects"]}
    return all(
        not kinds.isdisjoint(told.split(","))
        for words, told in NAMED.items()
        if re.search(rf"\b(?:{words})", sentence.lower())
    )


def lacks(topic: str, drawn: Drawn) -> bool:
    """Tell whether facts rule a thing out for sure."""
    if topic.startswith("no "):
        sure = {"no water": "water", "no trees": "trees", "no buildings": "built"}[topic]
        return drawn.shares.get(sure, 0) >= 0.1
    truth = TRUTHS[topic]
    known = drawn.facts["objects"] is not None
    if truth.not_with & drawn.things:
        return False
    if truth.counted:
        return known and not any(drawn.shares.get(kind) for kind in truth.also_cover)
    return bool(drawn.shares) and not any(drawn.shares.get(kind) for kind in truth.not_in or ())


def _none_of(topic: str, drawn: Drawn) -> bool:
    covers, things = {
        "no water": (WET, WET_OBJECTS | {"pool", "bridge"}),
        "no trees": (frozenset({"trees", "mangrove"}), frozenset({"forest", "park"})),
        "no buildings": (frozenset({"built"}), HOUSES),
    }[topic]
    return bool(drawn.shares) and not covers & drawn.shares.keys() and not things & drawn.things


@dataclass(frozen=True)
class Case:
    """A caption that facts hold, and the same with a sentence that they do not."""

    facts: Mapping[str, Any]
    true: str
    planted: str
    topic: str
    sentence: str


def cases(prose: Mapping[str, Sequence[str]], *, count: int, seed: int) -> list[Case]:
    """Draw captions of true sentences among neutral ones, each with a false sentence to plant.

    Every sentence is planted about equally often.
    """
    rng = random.Random(seed)
    flat = [(topic, sentence) for topic in sorted(prose) for sentence in prose[topic]]
    found: list[Case] = []
    while len(found) < count:
        topic, sentence = flat[len(found) % len(flat)]
        drawn = facts_of(rng)
        if not lacks(topic, drawn):
            continue
        told = [
            text
            for each, text in flat
            if holds(each, drawn) and all(holds(other, drawn) for other in ALSO.get(text, ())) and bears(text, drawn)
        ]
        sentences = [*rng.sample(told, min(len(told), rng.randint(1, 4))), *rng.sample(NEUTRAL, rng.randint(1, 2))]
        rng.shuffle(sentences)
        planted = [*sentences]
        planted.insert(rng.randint(0, len(planted)), sentence)
        found.append(Case(drawn.facts, " ".join(sentences), " ".join(planted), topic, sentence))
    return found


def date_of(rng: random.Random) -> date:
    """Draw a day."""
    return date(rng.randint(2015, 2025), rng.randint(1, 12), rng.randint(1, 28))
