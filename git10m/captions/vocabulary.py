"""The kinds of thing that a caption may name, how large each is on the ground, and the tags of OpenStreetMap for them.

A kind is one phrase of English. The table is ordered, the most telling kinds first: an airport says more of a tile
than its roads do. Widths are those of the visible strip (carriageways, ballast, water), typical where a way states
none; sizes of points are diameters. Tags are those of the OpenStreetMap wiki; what lies underground, is planned, under
construction, disused or gone has none of them, or is refused by `visible_on_the_ground`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["KINDS", "OSM_KEYS", "TABLE_VERSION", "Kind", "Rule", "kinds_of", "stated_width_m", "visible_on_the_ground"]

TABLE_VERSION = "1"
"""Changes when the same tags would give other kinds or sizes."""

Shape = Literal["area", "line", "either", "point"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing.

    Attributes:
        name: Singular, or the name of a stretch of ground ("forest").
        plural: Of what is counted; None where separate ones are not counted ("farmland", "river").
        spoken: How an uncounted one is spoken of, with its article.
        width_m: Of a line that states none.
        size_m: Diameter of one that is mapped as a point; None: points of it are left out.
        named: A name says something: private houses and pools have none.
    """

    name: str
    plural: str | None = None
    spoken: str = ""
    width_m: float | None = None
    size_m: float | None = None
    named: bool = True


def _counted(name: str, plural: str | None = None, **more: float | bool) -> Kind:
    return Kind(name, plural or f"{name}s", f"a {name}", **more)  # type: ignore[arg-type]


def _ground(name: str, spoken: str | None = None) -> Kind:
    return Kind(name, None, spoken or name)


def _line(name: str, width_m: float, spoken: str) -> Kind:
    return Kind(name, None, spoken, width_m=width_m)


_ALL = (
    # Landmarks.
    *(_counted("airport"), _counted("stadium"), _counted("golf course"), _counted("theme park"), _counted("zoo")),
    *(_counted("castle"), _counted("shopping centre"), _counted("power station"), _counted("solar farm")),
    _counted("wind turbine", size_m=12.0, named=False),
    *(_counted("harbour"), _counted("marina"), _counted("dam", width_m=10.0)),
    *(_line("runway", 30.0, "a runway"), _line("race track", 10.0, "a race track")),
    *(_counted("airport terminal"), _counted("airport apron"), _counted("helipad", size_m=15.0), _counted("hangar")),
    _line("taxiway", 15.0, "taxiways"),
    *(_counted("hospital"), _counted("prison"), _counted("university campus", "university campuses")),
    *(_counted("railway station"), _counted("school"), _counted("cathedral"), _counted("church", "churches")),
    *(_counted("mosque"), _counted("temple"), _counted("synagogue"), _counted("water park")),
    *(_counted("quarry", "quarries"), _counted("landfill site"), _counted("wastewater treatment plant")),
    *(_counted("waterworks", "waterworks"), _counted("electrical substation")),
    _counted("storage tank", size_m=8.0, named=False),
    *(_counted("silo", size_m=6.0, named=False), _counted("water tower", size_m=8.0)),
    # Water and coast.
    *(_line("river", 20.0, "a river"), _counted("lake"), _counted("reservoir"), _counted("lagoon")),
    *(_line("canal", 12.0, "a canal"), _counted("pond"), _counted("body of water", "bodies of water")),
    *(_line("coastline", 1e4, "a stretch of coastline"), _counted("beach", "beaches"), _counted("island")),
    *(_counted("glacier"), _ground("wetland"), _counted("water basin"), _counted("salt pond"), _counted("dock")),
    *(_counted("pier", width_m=4.0), _counted("breakwater", width_m=8.0), _counted("weir", width_m=5.0)),
    _line("stream", 2.0, "a stream"),
    # Ways.
    *(_line("motorway", 12.0, "a motorway"), _line("bridge", 8.0, "a bridge"), _line("railway", 5.0, "a railway")),
    *(_line("trunk road", 10.0, "a trunk road"), _line("primary road", 9.0, "a primary road")),
    *(_line("tram line", 3.0, "a tram line"), _counted("roundabout", named=False)),
    *(_line("secondary road", 8.0, "a secondary road"), _line("tertiary road", 7.0, "a tertiary road")),
    # Sport and leisure.
    *(_counted("baseball field"), _counted("football field"), _counted("tennis court", named=False)),
    *(_counted("basketball court", named=False), _counted("sports pitch", "sports pitches")),
    *(_counted("running track", named=False), _counted("ice rink")),
    *(_counted("swimming pool", named=False), _counted("playground"), _counted("campsite"), _counted("park")),
    _counted("cemetery", "cemeteries"),
    # Buildings.
    *(_counted("greenhouse", named=False), _counted("warehouse"), _counted("industrial building")),
    *(_counted("apartment building"), _counted("farm building", named=False), _counted("house", named=False)),
    *(_counted("garage", named=False), _counted("building"), _counted("parking lot"), _counted("petrol station")),
    # Use and cover of the ground.
    *(_ground("industrial area", "an industrial area"), _ground("commercial area", "a commercial area")),
    *(_ground("residential area", "a residential area"), _ground("vineyard", "vineyards")),
    *(_ground("orchard", "orchards"), _ground("plant nursery", "a plant nursery")),
    *(_ground("allotments"), _counted("farmyard"), _ground("farmland"), _ground("meadow", "meadows")),
    *(_ground("forest"), _ground("scrub"), _ground("heath"), _ground("grassland"), _ground("bare rock")),
    *(_ground("scree"), _ground("sand"), _ground("solar panels"), _ground("mudflat", "mudflats")),
    # Small ways.
    *(_line("minor road", 5.0, "minor roads"), _line("residential road", 6.0, "residential roads")),
    *(_line("service road", 4.0, "service roads"), _line("track", 3.0, "tracks"), _line("path", 1.5, "paths")),
    _line("row of trees", 6.0, "rows of trees"),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
"""Every kind by name, the most telling first."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Tags that make a kind.

    Attributes:
        key: Tag.
        values: Its values, by the kind that each makes.
        shape: What the tag is drawn as: a closed way is an area under ``"area"`` unless it says ``area=no``, and a
            line under the others unless it says ``area=yes``.
    """

    key: str
    values: Mapping[str, str]
    shape: Shape = "area"


def _same(kind: str, *values: str) -> dict[str, str]:
    return dict.fromkeys(values, kind)


_WATER = {
    **_same("lake", "lake", "oxbow"),
    **{kind: kind for kind in ("pond", "reservoir", "river", "canal", "lagoon")},
    **_same("water basin", "basin", "wastewater"),
    **_same("harbour", "harbour"),
}
_SPORTS = {
    **_same("tennis court", "tennis", "padel"),
    **_same("basketball court", "basketball"),
    **_same("baseball field", "baseball", "softball"),
    **_same("football field", "soccer", "american_football"),
}
_HOUSES = ("house", "detached", "semidetached_house", "terrace", "bungalow", "cabin", "farm", "villa", "static_caravan")
_BUILDINGS = {
    **_same("house", *_HOUSES),
    **_same("apartment building", "apartments", "dormitory"),
    **_same("warehouse", "warehouse"),
    **_same("industrial building", "industrial", "factory", "manufacture", "works"),
    **_same("greenhouse", "greenhouse", "glasshouse"),
    **_same("farm building", "barn", "farm_auxiliary", "cowshed", "stable", "sty"),
    **_same("garage", "garage", "garages", "carport"),
    **_same("church", "church", "chapel"),
    **{kind: kind for kind in ("cathedral", "mosque", "temple", "synagogue", "stadium", "hangar", "silo", "castle")},
    **_same("railway station", "train_station"),
    **_same("storage tank", "storage_tank", "tank"),
}
_NO_BUILDING = frozenset({"no", "roof", "construction", "proposed", "planned", "demolished", "collapsed", "ruins"})
_LINKS = ("motorway", "trunk", "primary", "secondary", "tertiary")
_ROADS = {
    "motorway": "motorway",
    **{name: f"{name} road" for name in _LINKS[1:]},
    "motorway_link": "motorway",
    **{f"{name}_link": f"{name} road" for name in _LINKS[1:]},
    **_same("residential road", "residential", "living_street"),
    **_same("minor road", "unclassified", "road"),
    **_same("service road", "service"),
    **_same("track", "track"),
    **_same("path", "path", "footway", "cycleway", "bridleway", "pedestrian"),
    **_same("race track", "raceway"),
}

_RULES = (
    Rule("aeroway", {**_same("airport", "aerodrome"), **_same("airport terminal", "terminal")}),
    Rule("aeroway", {**_same("airport apron", "apron"), **_same("hangar", "hangar"), **_same("helipad", "helipad")}),
    Rule("aeroway", {**_same("runway", "runway"), **_same("taxiway", "taxiway")}, "either"),
    Rule("leisure", {"stadium": "stadium", "golf_course": "golf course", "marina": "marina", "track": "running track"}),
    Rule("leisure", {"water_park": "water park", "swimming_pool": "swimming pool", "playground": "playground"}),
    Rule("leisure", {"ice_rink": "ice rink", "park": "park"}),
    Rule("tourism", {"zoo": "zoo", "theme_park": "theme park", **_same("campsite", "camp_site", "caravan_site")}),
    Rule("historic", _same("castle", "castle", "fort", "fortress")),
    Rule("shop", _same("shopping centre", "mall")),
    Rule("power", {"substation": "electrical substation"}),
    Rule("man_made", {"storage_tank": "storage tank", "silo": "silo", "water_tower": "water tower"}),
    Rule("man_made", {"gasometer": "storage tank", "wastewater_plant": "wastewater treatment plant"}),
    Rule("man_made", {"water_works": "waterworks", "bridge": "bridge"}),
    Rule("man_made", {"pier": "pier", "breakwater": "breakwater"}, "either"),
    Rule("amenity", {"hospital": "hospital", "prison": "prison", "school": "school", "fuel": "petrol station"}),
    Rule("amenity", {**_same("university campus", "university", "college"), "grave_yard": "cemetery"}),
    Rule("amenity", {"parking": "parking lot"}),
    Rule("waterway", {"dam": "dam", "weir": "weir"}, "either"),
    Rule("waterway", {"riverbank": "river", "dock": "dock"}),
    Rule("waterway", {"river": "river", "canal": "canal", "stream": "stream"}, "line"),
    Rule("natural", {name: name for name in ("beach", "glacier", "wetland", "scrub", "heath", "sand", "scree")}),
    Rule("natural", {"wood": "forest", "grassland": "grassland", "bare_rock": "bare rock", "mud": "mudflat"}),
    Rule("natural", {"coastline": "coastline", "tree_row": "row of trees"}, "line"),
    Rule("place", _same("island", "island", "islet")),
    Rule("landuse", {"quarry": "quarry", "landfill": "landfill site", "cemetery": "cemetery", "harbour": "harbour"}),
    Rule("landuse", {"reservoir": "reservoir", "basin": "water basin", "salt_pond": "salt pond", "port": "harbour"}),
    Rule("landuse", {"industrial": "industrial area", **_same("commercial area", "commercial", "retail")}),
    Rule("landuse", {"residential": "residential area", "forest": "forest", "farmland": "farmland"}),
    Rule("landuse", {"farmyard": "farmyard", "vineyard": "vineyard", "orchard": "orchard", "meadow": "meadow"}),
    Rule("landuse", {"plant_nursery": "plant nursery", "allotments": "allotments", "grass": "grassland"}),
    Rule("highway", _ROADS, "line"),
    Rule("railway", {**_same("railway", "rail", "narrow_gauge"), **_same("tram line", "tram", "light_rail")}, "line"),
)

OSM_KEYS = tuple(dict.fromkeys([*(rule.key for rule in _RULES), "building", "junction", "bridge"]))
"""Tags that can make a kind."""

_BY_KEY: Mapping[str, tuple[Rule, ...]] = {key: tuple(rule for rule in _RULES if rule.key == key) for key in OSM_KEYS}
_GONE = ("disused", "abandoned", "demolished", "razed", "removed", "dismantled", "proposed", "planned", "construction")
_SAYS_NO = frozenset({"", "no", "false", "0", "none"})


def visible_on_the_ground(tags: Mapping[str, str]) -> bool:
    """Tell whether tags of OpenStreetMap are of something that is there, and under the sky.

    Tunnels, culverts, covered and indoor ways, what lies underground or under water, and what is planned, under
    construction or gone is not.
    """
    if any(tags.get(key, "no") not in _SAYS_NO for key in (*_GONE, "tunnel", "covered", "indoor")):
        return False
    if tags.get("location") in {"underground", "underwater", "indoor"} or tags.get("parking") == "underground":
        return False
    if tags.get("intermittent") == "yes" or tags.get("seasonal", "no") not in _SAYS_NO:
        return False
    below = re.match(r"-\d", tags.get("layer", ""))
    return not below or "cutting" in tags or tags.get("bridge", "no") not in _SAYS_NO or _open_water(tags)


def kinds_of(tags: Mapping[str, str], shape: Literal["area", "ring", "line", "point"]) -> list[str]:
    """Return the kinds that tags of OpenStreetMap make, at most one but for bridges, which are roads too.

    Args:
        tags: Of one object.
        shape: ``"area"`` is a multipolygon, ``"ring"`` a closed way read as an area, ``"line"`` any way read as a line.
    """
    present = [key for key in OSM_KEYS if key in tags]
    if not present or not visible_on_the_ground(tags):
        return []
    found = next((kind for key in present if (kind := _kind_by(key, tags, shape)) is not None), None)
    if shape == "point":
        return [found] if found is not None and KINDS[found].size_m is not None else []
    if found is None:
        return []
    crossing = shape == "line" and tags.get("bridge", "no") not in _SAYS_NO
    return [found, "bridge"] if crossing and ("highway" in tags or "railway" in tags) and found != "path" else [found]


def stated_width_m(tags: Mapping[str, str]) -> float | None:
    """Return the width that a way states, by ``width`` or by its lanes (3.5 m each); None where it states none."""
    for key in ("width", "est_width"):
        match = re.fullmatch(r"\s*(\d+(?:[.,]\d+)?)\s*(m|metres?|meters?|ft|')?\s*", tags.get(key, ""))
        if match:
            metres = float(match[1].replace(",", ".")) * (0.3048 if match[2] in {"ft", "'"} else 1.0)
            return metres if 0.3 <= metres <= 2000.0 else None
    lanes = tags.get("lanes", "")
    return 3.5 * int(lanes) if re.fullmatch(r"[1-9]|1\d", lanes) else None


def _kind_by(key: str, tags: Mapping[str, str], shape: str) -> str | None:
    if (special := _SPECIAL.get(key)) is not None and (found := special(tags, shape)) is not None:
        return found
    for rule in _BY_KEY[key]:
        if (kind := rule.values.get(tags[key])) is not None and _drawn_as(rule.shape, tags, shape):
            return kind
    return None


def _drawn_as(wanted: Shape, tags: Mapping[str, str], shape: str) -> bool:
    if shape == "point":
        return True
    if shape == "area":
        return wanted != "line"
    if shape == "ring":
        return tags.get("area") == "yes" if wanted == "either" else wanted == "area" and tags.get("area") != "no"
    return wanted == "line" or (wanted == "either" and tags.get("area") != "yes")


def _building(tags: Mapping[str, str], shape: str) -> str | None:
    value = tags["building"]
    if value in _NO_BUILDING or shape in {"line", "point"}:
        return None
    return _BUILDINGS.get(value, "building")


def _worship(tags: Mapping[str, str], shape: str) -> str | None:
    names = {"christian": "church", "muslim": "mosque", "jewish": "synagogue"}
    names |= dict.fromkeys(("buddhist", "hindu", "shinto", "taoist", "jain", "sikh"), "temple")
    if tags["amenity"] != "place_of_worship" or shape not in {"area", "ring"} or "building" not in tags:
        return None
    by_building = _BUILDINGS.get(tags["building"])
    return by_building if by_building not in {None, "house"} else names.get(tags.get("religion", ""))


def _water(tags: Mapping[str, str], shape: str) -> str | None:
    if tags["natural"] != "water" or shape not in {"area", "ring"}:
        return None
    return _WATER.get(tags.get("water", ""), "body of water")


def _pitch(tags: Mapping[str, str], shape: str) -> str | None:
    if tags["leisure"] != "pitch" or shape not in {"area", "ring"}:
        return None
    # A pitch for several sports is lined for none that can be told.
    return _SPORTS.get(tags.get("sport", ""), "sports pitch")


def _power(tags: Mapping[str, str], shape: str) -> str | None:
    value, areal = tags["power"], shape in {"area", "ring"}
    if value == "plant" and areal:
        source = tags.get("plant:source", tags.get("generator:source", ""))
        # The outline of a wind farm holds mostly fields.
        return "solar farm" if source == "solar" else None if source == "wind" else "power station"
    if value == "generator" and tags.get("generator:source") == "wind":
        return "wind turbine" if shape == "point" else None
    if value == "generator" and tags.get("generator:source") == "solar" and areal:
        return "solar panels" if tags.get("location") != "roof" and "building" not in tags else None
    return None


def _roundabout(tags: Mapping[str, str], shape: str) -> str | None:
    return "roundabout" if tags["junction"] == "roundabout" and shape == "ring" and "highway" in tags else None


def _open_water(tags: Mapping[str, str]) -> bool:
    """Tell what mappers put on layer −1 so that bridges cross it: it lies open all the same."""
    return "waterway" in tags or tags.get("natural") in {"water", "wetland"}


_SPECIAL = {
    "building": _building,
    "amenity": _worship,
    "natural": _water,
    "leisure": _pitch,
    "power": _power,
    "junction": _roundabout,
}
