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
from git10m.captions.checks.words import FIGURATIVE, TERMS, WITHOUT

__all__ = ["CONCEPTS", "COVER_KINDS", "Concept", "evidence_of", "terms"]

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
        also: Further concepts that are evidence of it when they are objects.
    """

    kinds: frozenset[str] = frozenset()
    room: frozenset[str] = _K
    shown_by: frozenset[str] = frozenset()
    counted: bool = False
    broader: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


def _cover(*kinds: str, room: frozenset[str] | None = None, also: tuple[str, ...] = ()) -> Concept:
    own = frozenset(kinds)
    return Concept(kinds=own, room=own if room is None else room, shown_by=own, also=also)


def _water(*, room: frozenset[str] = _WET, counted: bool = False, also: tuple[str, ...] = ()) -> Concept:
    return Concept(kinds=frozenset({"water"}), room=room, shown_by=_WET, counted=counted, broader=("water",), also=also)


def _thing(*broader: str, room: frozenset[str] = _LAND, also: tuple[str, ...] = (), shown: bool = False) -> Concept:
    shown_by = frozenset({"built"}) if shown else frozenset[str]()
    return Concept(room=room, counted=True, broader=broader, also=also, shown_by=shown_by)


_OF_AIRPORTS = frozenset({"built", "bare", "grass", "crops"})

CONCEPTS: Mapping[str, Concept] = {
    # Water
    "water": Concept(kinds=frozenset({"water"}), room=_WET, shown_by=_WET),
    "waterside": Concept(room=_WET, shown_by=_WET, also=("water", "harbour")),
    "sea": _water(),
    "beach": Concept(kinds=frozenset({"bare"}), room=_WET, shown_by=_WET),
    "river": _water(counted=True, also=("canal", "stream", "waterway")),
    "stream": _water(room=_K, counted=True, also=("canal", "river", "waterway", "ditch")),
    "canal": _water(room=_WET | {"crops", "built"}, counted=True, also=("river", "stream", "waterway", "ditch")),
    "ditch": _water(room=_LAND, counted=True, also=("canal", "stream", "waterway")),
    "waterway": _water(counted=True, also=("river", "canal", "stream", "ditch")),
    "lake": _water(counted=True, also=("pond", "basin")),
    "pond": _water(room=_K, counted=True, also=("lake", "basin", "pool")),
    "basin": _water(room=_K, counted=True, also=("lake", "pond", "water plant")),
    "pool": Concept(kinds=frozenset({"water"}), room=_LAND, counted=True, broader=("water",)),
    "harbour": Concept(room=_WET, counted=True, broader=("water",), also=("boat", "pier")),
    "pier": Concept(room=_WET, counted=True, broader=("water",), also=("harbour",)),
    "boat": Concept(room=_WET, also=("water",)),
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
    "mudflat": _cover("wetland", room=_WET | {"bare"}),
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
    # What people built
    "settlement": Concept(
        kinds=frozenset({"built"}),
        room=frozenset({"built"}),
        shown_by=frozenset({"built"}),
        counted=True,
        also=("building", "residential"),
    ),
    "residential": Concept(
        kinds=frozenset({"built"}),
        room=frozenset({"built"}),
        shown_by=frozenset({"built"}),
        counted=True,
        broader=("settlement", "building"),
        also=("building", "house"),
    ),
    "building": Concept(
        kinds=frozenset({"built"}),
        room=_LAND,
        shown_by=frozenset({"built"}),
        counted=True,
        also=("settlement", "airport", "stadium"),
    ),
    "house": Concept(
        kinds=frozenset({"built"}),
        room=_LAND,
        shown_by=frozenset({"built"}),
        counted=True,
        broader=("building",),
        also=("building", "residential"),
    ),
    "farm": Concept(
        room=_LAND,
        shown_by=frozenset({"built", "crops", "grass"}),
        counted=True,
        also=("building", "crops", "farmland"),
    ),
    "barn": _thing("building", also=("building", "farm"), shown=True),
    "industry": _thing("building", also=("building",), room=frozenset({"built", "bare", "crops", "grass"}), shown=True),
    "commerce": _thing("building", also=("building",), shown=True),
    "school": _thing("building", also=("building",), shown=True),
    "hospital": _thing("building", also=("building",), shown=True),
    "worship": _thing("building", also=("building",), shown=True),
    "greenhouse": _thing("building", room=frozenset({"built", "crops", "grass", "bare"})),
    "castle": _thing("building"),
    "road": _thing(also=("street", "intersection", "overpass", "bridge")),
    "motorway": _thing("road", also=("road", "overpass")),
    "street": _thing("road", also=("road", "building", "residential"), shown=True),
    "intersection": _thing("road", also=("road", "street", "overpass")),
    "paved": Concept(),
    "path": Concept(),
    "overpass": Concept(room=_K, counted=True, broader=("bridge",), also=("bridge", "motorway", "intersection")),
    "bridge": Concept(room=_K, counted=True),
    "railway": _thing(),
    "tunnel": _thing(also=("road", "railway")),
    "airport": _thing(room=_OF_AIRPORTS, also=("runway", "aircraft", "helipad")),
    "runway": _thing("airport", room=_OF_AIRPORTS, also=("airport",)),
    "aircraft": _thing(room=_OF_AIRPORTS, also=("airport", "runway")),
    "helipad": _thing(also=("airport", "hospital")),
    "parking": _thing(),
    "stadium": _thing(room=_LAND - {"mangrove"}, also=("racetrack",)),
    "racetrack": _thing(also=("stadium", "pitch")),
    "pitch": _thing(also=("stadium",)),
    "golf": _thing(room=_GREEN | {"built", "bare"}),
    "park": _thing(room=_GREEN | {"built"}, also=("garden", "pitch", "playground", "grass", "forest")),
    "garden": Concept(),
    "playground": _thing(also=("park", "pitch")),
    "cemetery": _thing(),
    "amusement": _thing(),
    "zoo": _thing(),
    "tank": _thing(also=("industry",)),
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
def evidence_of(name: str) -> frozenset[str]:
    """Return the concepts that bear a claim out when an object, or a class by its name, is one of them."""
    concept = CONCEPTS[name]
    found = {name, *concept.also}
    grown = True
    while grown:
        narrower = {each for each, other in CONCEPTS.items() if set(other.broader) & found}
        grown = not narrower <= found
        found |= narrower
    return frozenset(found)


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
