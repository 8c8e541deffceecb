"""Objects out of extracts and layers: what they are, whether they can be seen, how many, and where.

Extracts are written by pyosmium in the real format, for none is at hand; layers are the real OSM-tagged ones where
they are.
"""

from __future__ import annotations

import itertools
import resource
import time
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from made_layers import LAT, LON, Extract, away, box_ring

from git10m.captions.object_text import plural
from git10m.captions.objects import Objects, View, prepare_objects
from git10m.captions.vocabulary import KINDS, kinds_of, stated_width_m, visible_on_the_ground
from git10m.errors import RecipeError, SourceError
from git10m.grid import Tile
from git10m.recipe import Objects as Layer

TILE = Tile.from_lonlat(LON, LAT, 16)
"""417 m of ground a side; 1.63 m a pixel."""
MIDDLE = TILE.centre


def seen(path: Path | str, *views: View, **layer: Any) -> Any:
    """Objects of the views, of TILE where none is given."""
    found = Objects([Layer(path=str(path), **layer)]).of(views or [View(TILE, 256)])
    return found if views else found[0]


def made(folder: Path, *boxes: dict[str, Any], **more: Any) -> Path:
    extract = Extract()
    for box in boxes:
        at = away(box.pop("east", 0.0), box.pop("north", 0.0), MIDDLE)
        extract.box(at, box.pop("width", 30.0), box.pop("height", None), **box)
    return extract.write(folder / "made.osm.pbf", **more)


# --- the vocabulary --------------------------------------------------------------------------------------------------


def test_the_table_is_sound() -> None:
    for kind in KINDS.values():
        assert kind.name == kind.name.lower() and "," not in kind.name and "(" not in kind.name
        assert kind.plural is not None or kind.spoken
        assert kind.plural != kind.name or kind.name == "waterworks"
    assert {plural(kind) for kind in ("oil well", "ditch", "quarry", "body of water")} == {
        *("oil wells", "ditches", "quarries", "bodies of water"),
    }


@pytest.mark.parametrize(
    ("tags", "shape", "expected"),
    [
        ({"building": "yes"}, "ring", ["building"]),
        ({"building": "detached"}, "area", ["house"]),
        ({"building": "yes"}, "line", []),
        ({"building": "no"}, "ring", []),
        ({"building": "yes", "amenity": "place_of_worship", "religion": "muslim"}, "ring", ["mosque"]),
        ({"building": "yes", "amenity": "hospital"}, "area", ["hospital"]),
        ({"highway": "residential"}, "line", ["residential road"]),
        ({"highway": "primary", "bridge": "yes"}, "line", ["primary road", "bridge"]),
        ({"highway": "footway", "bridge": "yes"}, "line", ["path"]),
        ({"highway": "residential", "junction": "roundabout"}, "ring", ["roundabout"]),
        ({"highway": "motorway_link"}, "line", ["motorway"]),
        ({"highway": "construction", "construction": "motorway"}, "line", []),
        ({"highway": "bus_stop"}, "point", []),
        ({"railway": "rail"}, "line", ["railway"]),
        ({"railway": "abandoned"}, "line", []),
        ({"disused:railway": "rail"}, "line", []),
        ({"waterway": "river"}, "line", ["river"]),
        ({"waterway": "stream", "tunnel": "culvert"}, "line", []),
        ({"waterway": "stream", "intermittent": "yes"}, "line", []),
        ({"waterway": "stream", "layer": "-1"}, "line", ["stream"]),
        ({"natural": "water", "water": "river"}, "area", ["river"]),
        ({"natural": "water"}, "ring", ["body of water"]),
        ({"natural": "coastline"}, "line", ["coastline"]),
        ({"landuse": "forest"}, "ring", ["forest"]),
        ({"landuse": "forest", "area": "no"}, "ring", []),
        ({"man_made": "pier"}, "ring", []),
        ({"man_made": "pier", "area": "yes"}, "ring", ["pier"]),
        ({"man_made": "pier"}, "line", ["pier"]),
        ({"man_made": "storage_tank"}, "ring", ["storage tank"]),
        ({"man_made": "storage_tank", "location": "underground"}, "ring", []),
        ({"leisure": "pitch", "sport": "tennis"}, "ring", ["tennis court"]),
        ({"leisure": "pitch", "sport": "soccer;cricket"}, "ring", ["sports pitch"]),
        ({"power": "generator", "generator:source": "wind"}, "point", ["wind turbine"]),
        ({"power": "plant", "plant:source": "solar"}, "area", ["solar farm"]),
        ({"power": "plant", "plant:source": "wind"}, "area", []),
        ({"amenity": "parking", "parking": "underground"}, "ring", []),
        ({"amenity": "parking"}, "ring", ["parking lot"]),
        ({"amenity": "cafe", "shop": "bakery"}, "point", []),
        ({"building": "house", "layer": "-1"}, "ring", []),
        ({"building": "house", "demolished": "yes"}, "ring", []),
    ],
)
def test_tags_make_kinds(tags: dict[str, str], shape: Any, expected: list[str]) -> None:
    assert kinds_of(tags, shape) == expected


def test_every_kind_is_one_of_the_table() -> None:
    from git10m.captions import vocabulary

    listed = {kind for rule in vocabulary._RULES for kind in rule.values.values()}
    assert listed <= set(KINDS)
    assert set(vocabulary._BUILDINGS.values()) | set(vocabulary._WATER.values()) <= set(KINDS)


@pytest.mark.parametrize(
    ("tags", "metres"),
    [
        ({"width": "12"}, 12.0),
        ({"width": "3,5 m"}, 3.5),
        ({"width": "10 ft"}, 3.048),
        ({"lanes": "2"}, 7.0),
        ({"width": "wide"}, None),
        ({"width": "99999"}, None),
        ({"lanes": "2;3"}, None),
        ({}, None),
    ],
)
def test_widths_are_those_that_are_stated(tags: dict[str, str], metres: float | None) -> None:
    assert stated_width_m(tags) == (None if metres is None else pytest.approx(metres))


def test_what_lies_below_is_not_seen() -> None:
    assert visible_on_the_ground({"highway": "primary", "tunnel": "no"})
    assert not visible_on_the_ground({"railway": "rail", "layer": "-2"})
    assert visible_on_the_ground({"railway": "rail", "layer": "-1", "cutting": "yes"})


# --- an extract ------------------------------------------------------------------------------------------------------


def test_things_of_an_extract(tmp_path: Path) -> None:
    extract = Extract()
    for i in range(4):
        extract.box(away(-150 + 30 * i, 150, MIDDLE), 15, building="house")
    extract.box(
        away(120, -120, MIDDLE), 100, 60, natural="water", water="lake", **{"name": "Lac", "name:en": "Lake Blue"}
    )
    extract.way([away(-400, 0, MIDDLE), away(400, 10, MIDDLE)], highway="primary", name="Grande Rue")
    extract.way([away(-400, 40, MIDDLE), away(400, 40, MIDDLE)], railway="rail", tunnel="yes")
    extract.node(away(-100, -100, MIDDLE), power="generator", generator__source="wind")
    found = seen(extract.write(tmp_path / "a.osm.pbf"))
    assert found == [
        {"kind": "wind turbine", "count": 1, "name": None, "part": "south-west"},
        {"kind": "lake", "count": 1, "name": "Lake Blue", "part": "south-east"},
        {"kind": "primary road", "count": None, "name": "Grande Rue", "part": None},
        {"kind": "house", "count": 4, "name": None, "part": "north-west"},
    ]


def test_relations_are_put_together(tmp_path: Path) -> None:
    """A lake whose rim is two ways without tags, with an island; and a wood of two outer rings, which is one thing."""
    extract = Extract()
    ring = box_ring(MIDDLE, 300, 200)
    halves = [extract.way(ring[:3]), extract.way([*ring[2:], ring[0]])]
    hole = extract.ring(box_ring(MIDDLE, 100, 80))
    extract.relation(halves, [hole], natural="water", water="lake", name="Ring Lake")
    extract.box(MIDDLE, 40, building="yes")
    found = seen(extract.write(tmp_path / "a.osm.pbf"))
    assert [entry["kind"] for entry in found] == ["lake", "building"]
    assert found[0]["name"] == "Ring Lake"
    # Of the lake's 60,000 m² the island takes 8,000: the middle half of the tile holds less of it than of a full one.
    assert found[0]["part"] is None or found[0]["part"] == "centre"


def test_a_ring_that_does_not_close_and_nodes_that_are_missing_are_left_out(tmp_path: Path) -> None:
    import osmium
    from osmium.osm.mutable import Node, Way

    path = tmp_path / "broken.osm.pbf"
    with osmium.SimpleWriter(str(path)) as writer:
        for number, point in enumerate(box_ring(MIDDLE, 100), start=1):
            writer.add_node(Node(id=number, location=point))
        writer.add_way(Way(id=1, nodes=[1, 2, 3, 4, 1], tags={"building": "yes"}))
        writer.add_way(Way(id=2, nodes=[1, 2, 77, 4, 1], tags={"building": "yes"}))
        writer.add_way(Way(id=3, nodes=[1, 2, 3], tags={"building": "yes"}))
        writer.add_way(Way(id=4, nodes=[88, 99], tags={"highway": "primary"}))
    assert [(entry["kind"], entry["count"]) for entry in seen(path)] == [("building", 1)]


@pytest.mark.parametrize("ending", ["osm.pbf", "osm", "osm.bz2"])
def test_forms_of_an_extract(tmp_path: Path, ending: str) -> None:
    extract = Extract()
    extract.box(MIDDLE, 50, building="yes")
    assert seen(extract.write(tmp_path / f"a.{ending}"))[0]["kind"] == "building"


# --- what can be seen ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "size", "expected"), [(19, 2, True), (17, 2, False), (17, 3, True), (15, 12, True)])
def test_a_building_is_seen_from_three_pixels_a_side(tmp_path: Path, level: int, size: float, expected: bool) -> None:
    tile = Tile.from_lonlat(LON, LAT, level)
    extract = Extract()
    extract.box(tile.centre, size, building="yes")
    found = seen(extract.write(tmp_path / "a.osm.pbf"), View(tile, 256))[0]
    assert bool(found) is expected
    assert expected is (size >= 2.99 * tile.gsd_m(256))


def test_an_enlarged_picture_shows_no_more_than_its_source(tmp_path: Path) -> None:
    path = made(tmp_path, {"width": 12.0, "building": "yes"})
    assert seen(path, View(TILE, 256))[0]
    assert not seen(path, View(TILE, 256, coarser=10.0 / TILE.gsd_m(256)))[0]


@pytest.mark.parametrize(("tags", "coarsest_m"), [({}, 12.0), ({"lanes": "2"}, 14.0), ({"width": "5"}, 10.0)])
def test_a_road_is_seen_from_half_a_pixel_of_its_width(tmp_path: Path, tags: dict[str, str], coarsest_m: float) -> None:
    extract = Extract()
    extract.way([away(-90_000, 0), away(90_000, 3000)], highway="residential", **tags)
    path = extract.write(tmp_path / "a.osm.pbf")
    for level in range(11, 18):
        tile = Tile.from_lonlat(LON, LAT + 0.01, level)
        for near in (tile, Tile(level, tile.x, tile.y + 1), Tile.from_lonlat(*away(0, 1500), level)):
            if found := seen(path, View(near, 256))[0]:
                assert found[0]["kind"] == "residential road"
                assert near.gsd_m(256) <= coarsest_m * 1.001
        if tile.gsd_m(256) > coarsest_m * 1.001:
            assert not seen(path, View(Tile.from_lonlat(*away(0, 1500), level), 256))[0]
    assert seen(path, View(Tile.from_lonlat(*away(0, 1500), 16), 256))[0]


def test_what_touches_the_rim_alone_is_not_in_the_tile(tmp_path: Path) -> None:
    west, south, east, north = TILE.bounds
    pixel = (east - west) / 256
    middle = (south + north) / 2
    for inside, expected in ((2, False), (20, True)):
        extract = Extract()
        edge = west + inside * pixel
        ring = [(edge - 0.001, middle), (edge, middle), (edge, middle + 0.0003), (edge - 0.001, middle + 0.0003)]
        extract.ring(ring, building="yes")
        assert bool(seen(extract.write(tmp_path / f"{inside}.osm.pbf"))) is expected


def test_a_sliver_of_wood_is_no_wood(tmp_path: Path) -> None:
    side = TILE.gsd_m(256) * 256
    for share, expected in ((0.005, False), (0.02, True)):
        path = made(tmp_path, {"width": side * share**0.5, "natural": "wood"})
        assert bool(seen(path)) is expected


def test_what_lies_where_the_tile_has_no_pixels_is_not_seen(tmp_path: Path) -> None:
    places = ({"east": -100.0}, {"east": 100.0}, {"east": 100.0, "north": 90.0})
    path = made(tmp_path, *({**place, "building": "yes"} for place in places))
    valid = np.ones((16, 16), dtype=bool)
    valid[:, 8:] = False
    assert seen(path)[0]["count"] == 3
    assert seen(path, View(TILE, 256, valid=valid))[0] == [
        {"kind": "building", "count": 1, "name": None, "part": seen(path, View(TILE, 256, valid=valid))[0][0]["part"]}
    ]
    assert seen(path, View(TILE, 256, valid=~valid))[0][0]["count"] == 2


def test_parts_are_the_quarters_and_the_centre(tmp_path: Path) -> None:
    quarters = {
        **{"north-west": (-140, 140), "north-east": (140, 140)},
        **{"south-west": (-140, -140), "south-east": (140, -140)},
    }
    for part, (east, north) in {**quarters, "centre": (0, 0)}.items():
        for size in (10.0, 100.0):
            path = made(tmp_path, {"east": east, "north": north, "width": size, "building": "yes"})
            assert seen(path)[0]["part"] == part
    spread = [{"east": east, "north": north, "building": "yes"} for east, north in quarters.values()]
    assert seen(made(tmp_path, *spread))[0] == {"kind": "building", "count": 4, "name": None, "part": None}


def test_the_name_is_that_of_the_largest(tmp_path: Path) -> None:
    lakes = [
        {"east": -100.0, "width": 30.0, "natural": "water", "name": "Small"},
        {"east": 0.0, "width": 60.0, "natural": "water", "name": "Large"},
    ]
    assert seen(made(tmp_path, *(dict(lake) for lake in lakes)))[0]["name"] == "Large"
    unnamed = {"east": 100.0, "width": 90.0, "natural": "water"}
    assert seen(made(tmp_path, *lakes, unnamed))[0] == {
        "kind": "body of water",
        "count": 3,
        "name": None,
        "part": "centre",
    }


def test_a_street_of_many_ways_has_its_name(tmp_path: Path) -> None:
    extract = Extract()
    for i in range(-5, 5):
        extract.way([away(60 * i, 0, MIDDLE), away(60 * i + 60, 0, MIDDLE)], highway="residential", name="Rue Longue")
    extract.way([away(-200, 100, MIDDLE), away(0, 100, MIDDLE)], highway="residential", name="Rue Courte")
    found = seen(extract.write(tmp_path / "a.osm.pbf"))
    assert found == [{"kind": "residential road", "count": None, "name": "Rue Longue", "part": None}]


def test_hostile_names_are_harmless(tmp_path: Path) -> None:
    names = ["A\nB\t\u202eC\u0000".replace("\u0000", ""), "x" * 500, "<script>alert(1)</script>", "   "]
    lakes = [
        {"east": 60.0 * i - 100, "width": 20.0, "leisure": "golf_course", "name": name} for i, name in enumerate(names)
    ]
    for lake, expected in zip(lakes, ["A B C", None, "<script>alert(1)</script>", None], strict=True):
        assert seen(made(tmp_path, dict(lake)))[0]["name"] == expected


def test_a_tile_has_the_same_objects_alone_and_among_neighbours(tmp_path: Path) -> None:
    from made_layers import town

    store = tmp_path / "store"
    objects = Objects([Layer(path=str(town(tmp_path / "town.osm.pbf")))], store=store)
    for level in (17, 15, 13):
        tile = Tile.from_lonlat(LON, LAT, level)
        views = [View(Tile(level, (tile.x & ~7) + i % 8, (tile.y & ~7) + i // 8), 256) for i in range(64)]
        together = objects.of(views)
        assert sum(bool(found) for found in together) >= 3
        assert together == [objects.of([view])[0] for view in views]


# --- nothing there, and nothing known --------------------------------------------------------------------------------


def test_no_objects_and_nothing_known_are_two_things(tmp_path: Path) -> None:
    box = (LON - 0.1, LAT - 0.1, LON + 0.1, LAT + 0.1)
    path = made(tmp_path, {"building": "yes"}, box=box)
    near, far = Tile(16, TILE.x + 3, TILE.y), Tile(16, TILE.x + 60, TILE.y)
    assert seen(path, View(TILE, 256), View(near, 256), View(far, 256))[1:] == [[], None]
    empty = Extract().write(tmp_path / "empty.osm.pbf")
    assert seen(empty) == []


# --- any other layer -------------------------------------------------------------------------------------------------


@pytest.fixture
def buildings() -> geopandas.GeoDataFrame:
    rings = [shapely.Polygon(box_ring(away(60 * i - 60, 0, MIDDLE), 30)) for i in range(3)]
    return geopandas.GeoDataFrame(
        {"use": ["BATI", "EAU", "BATI"], "building": ["yes", None, "house"], "name": ["Mill", None, None]},
        geometry=rings,
        crs=4326,
    )


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "fgb", "shp", "parquet"])
@pytest.mark.parametrize("crs", [4326, 2154])
def test_layers_of_every_form(tmp_path: Path, buildings: geopandas.GeoDataFrame, ending: str, crs: int) -> None:
    path = tmp_path / f"layer.{ending}"
    frame = buildings.to_crs(4326 if ending == "geojson" else crs)
    frame.to_parquet(path) if ending == "parquet" else frame.to_file(path)
    counted = [{"kind": "building", "count": 3, "name": "Mill", "part": "centre"}]
    assert seen(path, kind="building") == counted
    mapped = seen(path, attribute="use", kinds={"BATI": "building", "EAU": "pond"})
    assert [(each["kind"], each["count"]) for each in mapped] == [("pond", 1), ("building", 2)]
    tagged = seen(path)
    assert [(each["kind"], each["count"]) for each in tagged] == [("house", 1), ("building", 1)]


def test_a_kind_of_ones_own(tmp_path: Path, buildings: geopandas.GeoDataFrame) -> None:
    buildings.to_file(tmp_path / "a.gpkg")
    assert seen(tmp_path / "a.gpkg", kind="oil well")[0]["kind"] == "oil well"
    points = buildings.set_geometry(buildings.geometry.representative_point())
    points.to_file(tmp_path / "points.gpkg")
    assert seen(tmp_path / "points.gpkg", kind="oil well") == []  # no size is known
    assert seen(tmp_path / "points.gpkg", kind="oil well", size_m=10.0)[0]["count"] == 3


def test_tags_in_one_column(tmp_path: Path, buildings: geopandas.GeoDataFrame) -> None:
    frame = buildings.drop(columns=["building", "use"])
    frame["other_tags"] = ['"building"=>"yes","name:fr"=>"a \\"b\\""', '"natural"=>"water","water"=>"pond"', None]
    frame.to_file(tmp_path / "a.gpkg")
    assert [each["kind"] for each in seen(tmp_path / "a.gpkg")] == ["pond", "building"]


def test_two_extracts_that_share_a_border_tell_it_once(tmp_path: Path) -> None:
    first = made(tmp_path, {"building": "yes"}).rename(tmp_path / "first.osm.pbf")
    second = made(tmp_path, {"building": "yes"}, {"east": 100.0, "building": "yes"})
    (found,) = Objects([Layer(path=(str(first), str(second)))]).of([View(TILE, 256)])
    assert found is not None
    assert found[0]["count"] == 2


# --- what is wrong is said -------------------------------------------------------------------------------------------


def test_a_truncated_extract_is_an_error(tmp_path: Path) -> None:
    whole = made(tmp_path, *({"east": 3.0 * i, "building": "yes", "name": f"{i}"} for i in range(500))).read_bytes()
    for size in (0, 40, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.osm.pbf").write_bytes(whole[:size])
        with pytest.raises(SourceError, match=r"cut\.osm\.pbf: cannot be read as an extract of OpenStreetMap"):
            seen(tmp_path / "cut.osm.pbf")
    (tmp_path / "page.osm.pbf").write_text("<html>404</html>")
    with pytest.raises(SourceError, match=r"page\.osm\.pbf: cannot be read"):
        prepare_objects([Layer(path=str(tmp_path / "page.osm.pbf"))], store=tmp_path, looking=True)


def test_an_editors_unsaved_file_is_an_error(tmp_path: Path) -> None:
    nodes = "".join(
        f'<node id="-{i}" lat="{lat}" lon="{lon}"/>' for i, (lon, lat) in enumerate(box_ring(MIDDLE, 50), 1)
    )
    refs = "".join(f'<nd ref="-{i}"/>' for i in (1, 2, 3, 4, 1))
    way = f'<way id="-9">{refs}<tag k="building" v="yes"/></way>'
    (tmp_path / "josm.osm").write_text(f'<?xml version="1.0"?><osm version="0.6">{nodes}{way}</osm>')
    with pytest.raises(SourceError, match="negative numbers"):
        seen(tmp_path / "josm.osm")


def test_an_extract_at_an_address(tmp_path: Path, range_server: Any) -> None:
    made(tmp_path, {"building": "yes"})
    assert seen(f"{range_server(tmp_path).url}/made.osm.pbf")[0]["kind"] == "building"
    with pytest.raises(SourceError, match=r"none\.osm\.pbf: the server answers 404"):
        seen(f"{range_server(tmp_path).url}/none.osm.pbf")


def test_wrong_layers_are_said_before_they_are_read(tmp_path: Path, buildings: geopandas.GeoDataFrame) -> None:
    path = tmp_path / "a.gpkg"
    buildings.to_file(path)
    buildings.drop(columns="building").to_file(tmp_path / "untagged.gpkg")
    nowhere = buildings.set_crs(None, allow_override=True)
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        nowhere.to_file(tmp_path / "nowhere.fgb")
    (tmp_path / "text.gpkg").write_text("no layer")
    for error, layer, said in (
        (RecipeError, Layer(path=str(tmp_path / "none*.gpkg")), "matches no file"),
        (RecipeError, Layer(path=str(path), attribute="height"), "no column 'height'; the layer has use"),
        (RecipeError, Layer(path=str(path), kind="house", name="title"), "no column 'title'"),
        (RecipeError, Layer(path=str(tmp_path / "untagged.gpkg")), "nothing says what its features are"),
        (SourceError, Layer(path=str(tmp_path / "nowhere.fgb"), kind="house"), "no coordinate reference system"),
        (SourceError, Layer(path=str(tmp_path / "text.gpkg"), kind="house"), "cannot be read as a vector file"),
        (SourceError, Layer(path=str(path), layer="roads", kind="house"), "cannot be read as a vector file"),
    ):
        with pytest.raises(error, match=said):
            prepare_objects([layer], store=tmp_path / "store", looking=True)
    with pytest.raises(RecipeError, match=r"no value of 'use' is a known kind \(there are BATI, EAU\)"):
        seen(path, attribute="use")


# --- the store -------------------------------------------------------------------------------------------------------


def test_a_store_is_written_once_and_anew_for_another_file(tmp_path: Path) -> None:
    path, store = made(tmp_path, {"building": "yes"}), tmp_path / "store"
    layers = [Layer(path=str(path))]
    first = prepare_objects(layers, store=store, bounds=(5.0, 47.0, 6.0, 48.0))
    (folder,) = store.glob("objects-*")
    stamp = (folder / "note.json").stat().st_mtime_ns
    assert prepare_objects(layers, store=store, bounds=(5.2, 47.0, 5.9, 47.5)) == first
    assert (folder / "note.json").stat().st_mtime_ns == stamp
    prepare_objects(layers, store=store)  # all of it
    assert (folder / "note.json").stat().st_mtime_ns > stamp
    made(tmp_path, {"building": "yes"}, {"east": 90.0, "building": "yes"})
    assert prepare_objects(layers, store=store) != first
    assert len(list(store.glob("objects-*"))) == 2
    assert not list(store.glob(".*"))


def test_a_large_wood_is_cut_and_stays_one(tmp_path: Path) -> None:
    """A ring of 5,000 vertices; its share of a tile and its count are those of one thing."""
    around = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    extract = Extract()
    extract.ring([away(3000 * np.cos(a), 3000 * np.sin(a), MIDDLE) for a in around], natural="water", name="Round Lake")
    path = extract.write(tmp_path / "a.osm.pbf")
    assert seen(path)[0] == {"kind": "body of water", "count": 1, "name": "Round Lake", "part": None}
    rim = Tile.from_lonlat(*away(3000, 0, MIDDLE), 14)
    found = seen(path, View(rim, 256))[0]
    assert (found[0]["kind"], found[0]["count"]) == ("body of water", 1)


@pytest.mark.slow
def test_memory_does_not_grow_with_an_extract_and_tiles_come_fast(tmp_path: Path) -> None:
    """A made city of 90,000 houses; a country has more, and the same batches."""
    extract = Extract()
    for i, j in itertools.product(range(300), range(300)):
        extract.box(away(25 * i - 3750, 25 * j - 3750), 12, 9, building="house")
    path = extract.write(tmp_path / "city.osm.pbf")
    del extract
    store = tmp_path / "store"
    prepare_objects([Layer(path=str(path))], store=store)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    objects = Objects([Layer(path=str(path))], store=store)
    middle = Tile.from_lonlat(LON, LAT, 17)
    views = [View(Tile(17, (middle.x & ~7) + i % 8, (middle.y & ~7) + i // 8), 256) for i in range(64)]
    objects.of(views)
    start = time.process_time()
    for _ in range(5):
        found = objects.of(views)
    rate = 320 / (time.process_time() - start)
    assert sum(entry["count"] for entries in found for entry in entries or ()) > 4000
    print(f"\n{rate:.0f} tiles/s of a dense city at level 17")
    assert rate > 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


# --- real layers -----------------------------------------------------------------------------------------------------


def test_real_buildings_of_openstreetmap_over_their_scene(imagery: Path) -> None:
    """Counts of whole tiles are those that a spatial join gives, of footprints large enough to be seen."""
    path = imagery / "vectors/solaris__geotiff_labels.geojson"
    frame = geopandas.read_file(path).to_crs(3857)
    west, south, east, north = frame.to_crs(4326).total_bounds
    tiles = []
    for level in (19, 18, 17):
        first, last = Tile.from_lonlat(west, north, level), Tile.from_lonlat(east, south, level)
        tiles += [Tile(level, x, y) for x in range(first.x, last.x + 1) for y in range(first.y, last.y + 1)]
    objects = Objects([Layer(path=str(path), kind="building")])
    for level, group in itertools.groupby(tiles, key=lambda tile: tile.level):
        views = [View(tile, 256) for tile in group]
        for view, found in zip(views, objects.of(views), strict=True):
            box = shapely.box(*view.tile.bounds_m)
            pixel = view.pixel_m
            parts = frame.geometry.intersection(box)
            deep = frame.geometry.intersects(box.buffer(-8 * pixel, join_style="mitre"))
            expected = int((deep & (parts.area >= 9 * pixel**2)).sum())
            assert (found[0]["count"] if found else 0) == expected, (level, view.tile)


def test_real_roads_are_lines_of_a_kind(imagery: Path) -> None:
    path = imagery / "vectors/solaris__sample_roads_for_masking.geojson"
    bounds = geopandas.read_file(path).total_bounds
    tile = Tile.from_lonlat((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2, 16)
    assert seen(path, View(tile, 256), kind="residential road")[0][0]["kind"] == "residential road"
    with pytest.raises(RecipeError, match="nothing says what its features are"):
        seen(path)
