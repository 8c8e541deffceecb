"""What captions claim of the ground, in words, and which facts can bear a claim out or deny it.

A claim is denied when nothing bears it out and something that would show it is known:

- no object that is evidence of it, and no class of land cover that shows it (``shown_by``), and
- the land cover is known whole and holds no class in which it may be (``room``), or
- it is a thing that is counted (``counted``), and the objects are known.

At the 10 m of common land cover a road, a pond or a few houses do not show: their ``room`` is all land, so that only
objects deny them. What is extensive by nature (a forest, a city, a lake) is denied by land cover alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from git10m.captions.checks.reading import plain_words
from git10m.captions.checks.senses import FIGURATIVE, WITHOUT
from git10m.captions.checks.words import TERMS

__all__ = ["CONCEPTS", "COVER_KINDS", "Concept", "cases_of", "evidence_of", "terms"]

COVER_KINDS = frozenset(
    {"water", "trees", "crops", "grass", "shrub", "built", "bare", "snow", "wetland", "mangrove", "moss"}
)
"""The eleven classes of ESA WorldCover, to which the classes of any legend are led back by their words."""

_K = COVER_KINDS
_LAND = _K - {"water", "snow"}
_GREEN = frozenset({"trees", "crops", "grass", "shrub", "wetland", "mangrove", "moss"})
_WET = frozenset({"water", "wetland", "mangrove"})
_TREES = frozenset({"trees", "mangrove"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """Something that a caption claims.

    Attributes:
        kinds: Kinds of land cover that it is, for shares; empty of what has no share.
        room: Kinds of land cover in which it may be.
        shown_by: Kinds of land cover that bear it out, even where known objects lack it.
        counted: Whether known objects would hold it.
        broader: Concepts that it is a case of.
        also: Further concepts that are evidence of it when they, or cases of them, are objects.
        may_be: Vaguer things that may be it: "building", of which some are churches. No other cases of them are it:
            houses bear out no church.
    """

    kinds: frozenset[str] = frozenset()
    room: frozenset[str] = _K
    shown_by: frozenset[str] = frozenset()
    counted: bool = False
    broader: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    may_be: tuple[str, ...] = ()


def _cover(*kinds: str, room: frozenset[str] | None = None, also: tuple[str, ...] = ()) -> Concept:
    own = frozenset(kinds)
    return Concept(kinds=own, room=own if room is None else room, shown_by=own, also=also)


def _water(*, room: frozenset[str] = _WET, small: bool = False, also: tuple[str, ...] = ()) -> Concept:
    """Make a kind of water that is mapped; where objects are known a wetland shows only what is small."""
    own = frozenset({"water"})
    return Concept(kinds=own, room=room, shown_by=_WET if small else own, counted=True, broader=("water",), also=also)


def _thing(
    *broader: str, room: frozenset[str] = _LAND, also: tuple[str, ...] = (), may_be: tuple[str, ...] = ()
) -> Concept:
    return Concept(room=room, counted=True, broader=broader, also=also, may_be=may_be)


def _built(*broader: str, also: tuple[str, ...] = (), may_be: tuple[str, ...] = ()) -> Concept:
    """Make what built-up land is of, where no building is mapped."""
    own = frozenset({"built"})
    return Concept(kinds=own, room=_LAND, shown_by=own, counted=True, broader=broader, also=also, may_be=may_be)


def _kind_of_building(*broader: str, also: tuple[str, ...] = (), may_be: tuple[str, ...] = ()) -> Concept:
    return _thing("building", *broader, also=also, may_be=("building", *may_be))


def _place(*broader: str, also: tuple[str, ...] = (), may_be: tuple[str, ...] = ()) -> Concept:
    """Make a building that maps hold as a place of its own: mere buildings bear out no church, no hospital."""
    return _thing("building", *broader, also=also, may_be=may_be)


_OF_AIRPORTS = frozenset({"built", "bare", "grass", "crops"})

CONCEPTS: Mapping[str, Concept] = {
    # Water
    "water": Concept(kinds=frozenset({"water"}), room=_WET, shown_by=_WET),
    "waterside": Concept(room=_WET, shown_by=_WET, also=("water", "harbour")),
    "sea": Concept(kinds=frozenset({"water"}), room=_WET, shown_by=_WET, broader=("water",)),
    "beach": Concept(kinds=frozenset({"bare"}), room=_WET, counted=True, may_be=("sand",)),
    "island": Concept(room=_WET, counted=True, broader=("waterside",)),
    "river": _water(also=("canal", "stream", "waterway")),
    "stream": _water(room=_K, small=True, also=("canal", "river", "waterway", "ditch")),
    "canal": _water(room=_WET | {"crops", "built"}, also=("river", "stream", "waterway", "ditch")),
    "ditch": _water(room=_LAND, also=("canal", "stream", "waterway")),
    "waterway": _water(also=("river", "canal", "stream", "ditch")),
    "lake": _water(also=("pond", "basin")),
    "pond": _water(room=_K, small=True, also=("lake", "basin", "any pool")),
    "any pool": _water(room=_K, small=True, also=("lake", "pond", "basin", "pool")),
    "basin": _water(room=_K, also=("lake", "pond", "water plant")),
    "salt pond": _thing("water", room=_WET | {"bare"}, may_be=("basin",)),
    "pool": Concept(kinds=frozenset({"water"}), room=_LAND, counted=True, broader=("water",)),
    "harbour": Concept(room=_WET, counted=True, broader=("waterside",), also=("boat", "pier")),
    "marina": Concept(room=_WET, counted=True, broader=("harbour",), may_be=("harbour",)),
    "pier": Concept(room=_WET, counted=True, broader=("waterside",), also=("marina",), may_be=("harbour", "dock")),
    "dock": Concept(room=_WET, counted=True, broader=("harbour",), also=("pier", "marina"), may_be=("harbour",)),
    "breakwater": Concept(room=_WET, counted=True, broader=("waterside",)),
    "boat": Concept(room=_WET, also=("water", "harbour")),
    "dam": Concept(room=_WET, counted=True),
    # What grows
    "forest": _cover("trees", "mangrove", also=("forest",)),
    "tree": Concept(
        kinds=_TREES, room=_GREEN | {"built", "bare"}, shown_by=_TREES, also=("forest", "orchard", "settlement")
    ),
    "crops": _cover("crops", also=("farmland", "farm")),
    "orchard": Concept(
        kinds=frozenset({"crops", "trees"}),
        room=frozenset({"crops", "trees", "shrub"}),
        broader=("crops",),
        also=("farmland",),
    ),
    "nursery": _thing(may_be=("greenhouse",)),
    "vineyard": Concept(
        kinds=frozenset({"crops"}), room=frozenset({"crops", "shrub"}), broader=("crops",), also=("farmland", "orchard")
    ),
    "farmland": Concept(
        kinds=frozenset({"crops"}),
        room=frozenset({"crops", "grass"}),
        shown_by=frozenset({"crops", "grass"}),
        also=("crops", "orchard", "farm", "grassland"),
    ),
    "field": Concept(
        kinds=frozenset({"crops"}),
        room=frozenset({"crops", "grass"}),
        shown_by=frozenset({"crops", "grass"}),
        also=("crops", "farmland", "grassland", "pitch", "airport", "golf"),
    ),
    "grassland": Concept(
        kinds=frozenset({"grass"}),
        room=frozenset({"grass", "wetland", "moss"}),
        shown_by=frozenset({"grass", "wetland"}),
        also=("grass",),
    ),
    "pasture": _cover("grass", room=frozenset({"grass", "crops", "wetland"}), also=("grassland", "farmland")),
    "savanna": _cover("grass", room=frozenset({"grass", "shrub", "trees"})),
    "grass": _cover("grass", room=_GREEN | {"built"}, also=("park", "pitch", "golf", "grassland")),
    "shrubland": _cover("shrub"),
    "heath": _cover("shrub", room=frozenset({"shrub", "grass", "wetland", "moss"})),
    "bush": _cover("shrub", room=_GREEN | {"built", "bare"}),
    "vegetation": Concept(kinds=_GREEN, room=_LAND, shown_by=_GREEN),
    "wetland": _cover("wetland", "mangrove"),
    "mangrove": _cover("mangrove"),
    "mudflat": Concept(
        kinds=frozenset({"wetland"}),
        room=_WET | {"bare"},
        shown_by=frozenset({"wetland"}),
        counted=True,
        also=("wetland", "beach"),
    ),
    "moss": _cover("moss"),
    "tundra": _cover("moss", room=frozenset({"moss", "grass", "shrub", "bare", "snow"})),
    # Bare ground and ice
    "desert": _cover("bare"),
    "arid": _cover("bare", room=frozenset({"bare", "shrub", "grass"})),
    "bare land": _cover("bare", also=("quarry",)),
    "soil": _cover("bare", room=_K),
    "sand": _cover("bare", room=_K),
    "rock": _cover("bare", room=_K),
    "snow": _cover("snow"),
    "ice": _cover("snow"),
    "glacier": Concept(
        kinds=frozenset({"snow"}), room=frozenset({"snow"}), shown_by=frozenset({"snow"}), broader=("ice",)
    ),
    # What people built
    "people": Concept(kinds=frozenset({"built"})),
    "settlement": Concept(
        kinds=frozenset({"built"}),
        room=frozenset({"built"}),
        shown_by=frozenset({"built"}),
        counted=True,
        broader=("people",),
        also=("building", "residential"),
    ),
    "quarter": Concept(
        room=frozenset({"built"}), shown_by=frozenset({"built"}), counted=True, also=("settlement", "building")
    ),
    "residential": Concept(
        kinds=frozenset({"built"}),
        room=frozenset({"built"}),
        shown_by=frozenset({"built"}),
        counted=True,
        broader=("settlement", "building"),
        also=("house",),
        may_be=("building",),
    ),
    "building": _built("people", also=("settlement", "stadium", "station", "farm"), may_be=("airport",)),
    "house": _built("building", may_be=("building", "residential", "apartment", "barn")),
    "apartment": _built("residential", may_be=("building", "residential")),
    "farm": Concept(
        room=_LAND,
        shown_by=frozenset({"crops"}),
        counted=True,
        also=("barn", "crops", "farmland", "pasture"),
        may_be=("building", "house", "grassland", "orchard"),
    ),
    "barn": _kind_of_building(may_be=("farm", "house")),
    "industry": _kind_of_building(may_be=("tank",)),
    "factory": _kind_of_building("industry", may_be=("industry", "warehouse")),
    "warehouse": _kind_of_building("industry", may_be=("factory",)),
    "power plant": _kind_of_building("industry", may_be=("solar", "wind")),
    "commerce": _kind_of_building(),
    "shopping": _kind_of_building("commerce", may_be=("commerce",)),
    "petrol": _thing("commerce"),
    "school": _place(also=("university",)),
    "university": _place(),
    "hospital": _place(),
    "prison": _place(),
    "worship": _place(),
    "church": _place("worship", may_be=("worship",)),
    "mosque": _place("worship", may_be=("worship",)),
    "temple": _place("worship", may_be=("worship",)),
    "synagogue": _place("worship", may_be=("worship",)),
    "greenhouse": _thing("building", room=frozenset({"built", "crops", "grass", "bare"})),
    "castle": _thing("building"),
    "road": _thing("people", also=("bridge", "track")),
    "main road": _thing("road", may_be=("road", "by-road")),
    "highway": _thing("main road", may_be=("road",)),
    "motorway": _thing("highway", may_be=("road",)),
    "by-road": _thing("road", also=("road",)),
    "street": Concept(
        room=_LAND, shown_by=frozenset({"built"}), counted=True, broader=("road",), also=("road", "residential")
    ),
    "intersection": _thing("road", also=("road",)),
    "roundabout": _thing("intersection"),
    "interchange": _thing("intersection", also=("highway", "overpass")),
    "track": _thing(also=("road", "path")),
    "path": Concept(),
    "footpath": _thing(also=("track", "road", "park", "golf", "cemetery", "campsite"), may_be=("path",)),
    "paved": Concept(),
    "overpass": Concept(room=_K, counted=True, broader=("bridge",), also=("bridge", "motorway")),
    "bridge": Concept(room=_K, counted=True, broader=("people",)),
    "railway": _thing("people"),
    "station": _thing("railway"),
    "tram": _thing("railway"),
    "tunnel": _thing(also=("road", "railway", "track")),
    "airport": _thing(room=_OF_AIRPORTS, also=("aircraft", "helipad")),
    "runway": _thing("airport", room=_OF_AIRPORTS),
    "taxiway": _thing("airport", room=_OF_AIRPORTS),
    "apron": _thing("airport", room=_OF_AIRPORTS, may_be=("airport",)),
    "terminal": _thing("airport", "building", may_be=("building", "harbour")),
    "hangar": _thing("airport", "building", may_be=("building",)),
    "aircraft": _thing(room=_OF_AIRPORTS, also=("airport",)),
    "helipad": _thing(),
    "parking": _thing(),
    "stadium": _thing(room=_LAND - {"mangrove"}, also=("racetrack",)),
    "racetrack": _thing(also=("stadium",), may_be=("running track",)),
    "pitch": _thing(also=("stadium",)),
    "baseball": _thing("pitch", may_be=("pitch",)),
    "football": _thing("pitch", may_be=("pitch", "stadium")),
    "tennis": _thing("pitch", may_be=("pitch",)),
    "basketball": _thing("pitch", may_be=("pitch",)),
    "running track": _thing("pitch", may_be=("racetrack",)),
    "ice rink": _thing("pitch"),
    "golf": _thing(room=_GREEN | {"built", "bare"}),
    "park": _thing(
        room=_GREEN | {"built"}, also=("garden", "playground", "campsite"), may_be=("amusement", "zoo", "water park")
    ),
    "allotment": _thing(may_be=("garden", "crops")),
    "garden": Concept(),
    "playground": _thing(may_be=("pitch", "football", "running track")),
    "campsite": _thing(),
    "cemetery": _thing(),
    "amusement": _thing(),
    "water park": _thing(),
    "zoo": _thing(),
    "tank": _thing(also=("water plant",), may_be=("water tower",)),
    "silo": _thing("tank", may_be=("tank",)),
    "water tower": _thing(may_be=("tower", "tank")),
    "water plant": _thing("building", also=("basin",)),
    "solar": _thing(),
    "wind": Concept(counted=True),
    "power line": _thing(also=("substation",)),
    "substation": _thing(also=("power line",)),
    "tower": Concept(counted=True, room=_K, also=("building",)),
    "quarry": _thing(room=frozenset({"bare", "built"})),
    "landfill": _thing(room=frozenset({"bare", "built", "grass"})),
    "construction": Concept(room=_LAND),
    "military": Concept(room=_LAND),
    # Judged elsewhere: relief, clouds
    "mountain": Concept(),
    "flat": Concept(),
    "cloud": Concept(),
}
"""Every concept, by name."""


@functools.cache
def cases_of(*names: str) -> frozenset[str]:
    """Return concepts with all that are cases of them: a mosque is a building."""
    found = set(names)
    grown = True
    while grown:
        narrower = {each for each, other in CONCEPTS.items() if set(other.broader) & found}
        grown = not narrower <= found
        found |= narrower
    return frozenset(found)


@functools.cache
def evidence_of(name: str) -> frozenset[str]:
    """Return the concepts that bear a claim out when an object, or a class by its name, is one of them."""
    return cases_of(name, *CONCEPTS[name].also) | frozenset(CONCEPTS[name].may_be)


def terms() -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the words of every term, in singular and plural, with what it claims.

    ``""`` stands for words that claim nothing, ``"-NAME"`` for words that claim the absence of a concept.
    """
    for name, listed in TERMS.items():
        for term in _listed(listed):
            words = plain_words(term)
            yield words, name
            for plural in _plurals(words[-1]):
                yield (*words[:-1], plural), name
    for name, listed in WITHOUT.items():
        for term in _listed(listed):
            yield plain_words(term), f"-{name}"
    for term in _listed(FIGURATIVE):
        words = plain_words(term)
        yield words, ""
        for plural in _plurals(words[-1]):
            yield (*words[:-1], plural), ""


def _listed(listed: str) -> list[str]:
    return [term.strip() for term in listed.replace("\n", "|").split("|") if term.strip()]


def _plurals(word: str) -> tuple[str, ...]:
    if word == "cover":
        return ()  # "forest covers" has a verb
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return (f"{word[:-1]}ies",)
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return (f"{word}es",)
    return (f"{word}s",)
