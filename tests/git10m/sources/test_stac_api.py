"""Searches: a real API (stac-fastapi on pgstac), and APIs that are not as they say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from canned_server import Asked, Canned, Reply, canned
from hypothesis import given
from hypothesis import strategies as st
from made_items import item, scenes, source
from made_rasters import PRAGUE, noise, on_the_grid, write

from git10m.errors import RecipeError, SourceError
from git10m.grid import Tile
from git10m.sources.stac import stac_scenes
from git10m.sources.stac.searching import search_places

TILE = Tile.from_lonlat(*PRAGUE, 14)
HERE = shapely.box(*TILE.bounds)
RGB = ("image:1", "image:2", "image:3")


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return write(tmp_path / "rasters/a.tif", noise(256, 256), transform=on_the_grid(TILE))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def names(address: str, store: Path, area: Any = HERE, **said: Any) -> list[str]:
    return [scene.name for scene in scenes(address, store, area=area, bands=RGB, **said)]


# A real API


def collection(name: str, **said: Any) -> dict[str, Any]:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    return {
        "type": "Collection", "stac_version": "1.1.0", "id": name, "description": name, "license": "CC-BY-4.0",
        "extent": extent, "links": [], **said,
    }  # fmt: skip


@pytest.fixture(scope="module")
def filled(stac_api: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """260 items of one place: cloud 0, 1, … 99, none for each fourth; a day each from 2020-01-01; and one far away."""
    path = write(tmp_path_factory.mktemp("api") / "a.tif", noise(256, 256), transform=on_the_grid(TILE))
    days = np.datetime64("2020-01-01") + np.arange(260)
    made = []
    for number, day in enumerate(days):
        said = {"datetime": f"{day}T10:00:00Z"} | ({} if number % 4 == 3 else {"eo:cloud_cover": number % 100})
        made.append(item(path, f"i{number:03}", **said))
    far = shapely.box(-100, -40, -99, -39)
    made.append(item(path, "far") | {"geometry": shapely.geometry.mapping(far), "bbox": list(far.bounds)})
    stac_api.load(collection("searched"), made)
    stac_api.load(collection("other"), [item(path, "other")])
    return stac_api


def test_all_pages_of_a_region_are_read(filled: Any, store: Path):
    found = scenes(filled.url, store, area=HERE, bands=RGB, collection="searched")
    assert sorted(scene.name for scene in found) == [f"i{number:03}" for number in range(260)]
    assert {scene.licence for scene in found} == {"CC-BY-4.0"}


def test_an_api_is_asked_by_date_and_cloud(filled: Any, store: Path):
    said = {"collection": ["searched"], "between": ("2020-01-01", "2020-01-12"), "max_cloud": 5}
    assert sorted(names(filled.url, store, **said)) == ["i000", "i001", "i002", "i003", "i004", "i005", "i007", "i011"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"choose": "least_cloud"}, ["i000", "i100", "i200"]),
        ({"choose": "newest"}, ["i259", "i258", "i257"]),
        ({"choose": "oldest"}, ["i000", "i001", "i002"]),
        ({"choose": "nearest", "date": "2020-02-01T10:00:00Z"}, ["i031", "i030", "i032"]),
    ],
)
def test_the_best_are_taken_where_few_are_wanted(filled: Any, store: Path, said: dict[str, Any], expected: list[str]):
    assert names(filled.url, store, collection="searched", most_items=3, **said) == expected


def test_the_address_of_a_collection_searches_that_collection(filled: Any, store: Path):
    assert names(f"{filled.url}/collections/other", store) == ["other"]


def test_all_collections_where_none_is_named(filled: Any, store: Path):
    found = names(filled.url, store, between=("2021-06-01", "2021-06-01"))
    assert "other" in found


def test_a_collection_that_is_not_there_names_the_nearest(filled: Any, store: Path):
    with pytest.raises(RecipeError, match="has no collection 'serched'; did you mean 'searched'"):
        names(filled.url, store, collection="serched")


def test_a_search_without_a_region_is_refused(filled: Any, store: Path):
    with pytest.raises(RecipeError, match="names no region"):
        names(filled.url, store, None, collection="searched")


def test_a_region_without_items_says_so(filled: Any, store: Path):
    with pytest.raises(RecipeError, match="has no item that is wanted; it lists none there"):
        names(filled.url, store, shapely.box(50, 50, 51, 51), collection="searched")


def test_an_intricate_region_is_searched_and_kept_to(filled: Any, store: Path):
    """A ring around the place, of 5,000 points: what is inside it does not meet it."""
    lon, lat = PRAGUE
    turns = np.linspace(0, 2 * np.pi, 5000)
    wide, narrow = (np.column_stack([lon + r * np.cos(turns), lat + r * np.sin(turns)]) for r in (1.0, 0.5))
    ring = shapely.Polygon(wide, [narrow])
    with pytest.raises(RecipeError, match="has no item that is wanted"):
        names(filled.url, store, ring, collection="searched")
    assert len(names(filled.url, store, shapely.Polygon(wide), collection="searched")) == 260


def test_the_real_items_by_region(stac_catalog: Any, store: Path):
    area = shapely.box(14.0, 37.0, 15.0, 37.9)
    said = {"collection": "sentinel-2-l2a", "bands": ("red", "green", "blue"), "scale": (0, 0.3)}
    (scene,) = scenes(stac_catalog.url, store, area=area, **said)
    assert (scene.name, scene.crs_name) == ("S2B_33SVB_20210221_0_L2A", "EPSG:32633")
    antimeridian = shapely.box(170.0, -46.0, 190.0, 60.0)
    found = stac_scenes(source(stac_catalog.url, collection="hls", bands=("B99",)), area=antimeridian, store=store)
    assert {each.name[:9] for each in found} == {
        "G19945128",
        "G19948735",
        "G19948738",
        "G19948770",
        "G19948773",
        "G19960140",
    }
    assert all("has no asset or band 'B99'; it has B01" in str(each.error) for each in found)


# APIs that are not as they say


@pytest.fixture
def server() -> Iterator[Canned]:
    with canned() as running:
        yield running


def landing(server: Canned, *classes: str, methods: tuple[str, ...] = ("GET", "POST")) -> dict[str, Any]:
    base = "https://api.stacspec.org/v1.0.0"
    return {
        "type": "Catalog", "stac_version": "1.0.0", "id": "api", "description": "api",
        "conformsTo": [f"{base}/core", f"{base}/item-search", *(f"{base}/item-search#{name}" for name in classes)],
        "links": [
            {"rel": "root", "href": server.url},
            *({"rel": "search", "href": f"{server.url}/search", "method": method} for method in methods),
        ],
    }  # fmt: skip


def page(*items: Any, following: str | None = None) -> dict[str, Any]:
    links = [] if following is None else [{"rel": "next", "href": following}]
    return {"type": "FeatureCollection", "features": list(items), "links": links}


def searches(server: Canned) -> list[Asked]:
    return [asked for asked in server.asked if asked.path.startswith("/search")]


def test_cloud_is_asked_for_with_items_that_state_none_and_judged_again(raster: Path, store: Path, server: Canned):
    clear, cloudy = item(raster, "clear", **{"eo:cloud_cover": 3}), item(raster, "cloudy", **{"eo:cloud_cover": 90})
    server.replies = {"/": landing(server, "filter"), "/search": page(clear, cloudy, item(raster, "unknown"))}
    assert names(f"{server.url}/", store, max_cloud=10) == ["clear", "unknown"]
    (asked,) = searches(server)
    assert asked.body["filter"] == {
        "op": "or",
        "args": [
            {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 10]},
            {"op": "isNull", "args": [{"property": "eo:cloud_cover"}]},
        ],
    }
    assert asked.body["bbox"] == pytest.approx(list(HERE.bounds))


@pytest.mark.parametrize("filtered", [Reply(b"what is a filter?", 400), page()])
def test_an_api_that_only_says_that_it_filters_is_asked_plainly(
    raster: Path, store: Path, server: Canned, filtered: Any
):
    def search(asked: Asked) -> Any:
        return filtered if "filter" in asked.body else page(item(raster, "a"))

    server.replies = {"/": landing(server, "filter"), "/search": search}
    assert names(f"{server.url}/", store, max_cloud=10) == ["a"]


def test_no_more_pages_are_read_than_are_needed_where_the_api_sorts(raster: Path, store: Path, server: Canned):
    def search(asked: Asked) -> Any:
        number = int(asked.path.partition("page=")[2] or 0)
        day = f"2021-05-{28 - number:02}T00:00:00Z"
        return page(item(raster, f"p{number}", datetime=day), following=f"{server.url}/search?page={number + 1}")

    server.replies = {"/": landing(server, "sort"), "/search": search}
    assert names(f"{server.url}/", store, choose="newest", most_items=3) == ["p0", "p1", "p2"]
    assert len(searches(server)) == 3
    assert searches(server)[0].body["sortby"][0] == {"field": "properties.datetime", "direction": "desc"}


def test_pages_that_repeat_end_the_search(raster: Path, store: Path, server: Canned):
    server.replies = {"/": landing(server), "/search": page(item(raster, "a"), following=f"{server.url}/search")}
    with pytest.raises(SourceError, match="its pages repeat after 1 items, without end"):
        names(f"{server.url}/", store)


def test_a_search_that_breaks_off_keeps_nothing(raster: Path, store: Path, server: Canned):
    def search(asked: Asked) -> Any:
        if "page" in asked.path:
            return Reply(b"expired", 401)
        return page(item(raster, "a"), following=f"{server.url}/search?page=1&token=s3cret")

    server.replies = {"/": landing(server), "/search": search}
    with pytest.raises(SourceError, match="the server answers 401: access is denied") as raised:
        names(f"{server.url}/", store)
    assert "s3cret" not in str(raised.value)
    assert list(store.iterdir()) == []


def test_an_api_that_knows_only_get(raster: Path, store: Path, server: Canned):
    server.replies = {"/": landing(server, "filter", methods=("GET",)), "/search": page(item(raster, "a"))}
    assert names(f"{server.url}/", store, max_cloud=50) == ["a"]
    (asked,) = searches(server)
    assert (asked.method, asked.body) == ("GET", None)
    assert "bbox=" in asked.path


def test_a_region_across_the_antimeridian_is_two_searches(raster: Path, store: Path, server: Canned):
    across = shapely.box(179, -10, 181, 10)
    middle = item(raster, "a") | {"geometry": shapely.geometry.mapping(shapely.box(-180, 0, -179, 1)), "bbox": None}
    server.replies = {"/": landing(server), "/search": page(middle)}
    assert names(f"{server.url}/", store, across) == ["a"]
    assert sorted(asked.body["bbox"] for asked in searches(server)) == [[-180, -10, -179, 10], [179, -10, 180, 10]]


# What is asked


@given(
    st.tuples(st.floats(-180, 180), st.floats(-80, 80), st.floats(0.01, 90), st.floats(0.01, 5)),
    st.integers(3, 2000),
    st.booleans(),
)
def test_what_is_asked_holds_the_area(place: tuple[float, float, float, float], points: int, boxed: bool):
    lon, lat, wide, high = place
    turns = np.linspace(0, 2 * math.pi, points, endpoint=False)
    rough = 1 + 0.3 * np.sin(turns * 17)
    area = shapely.make_valid(
        shapely.box(lon, lat, lon + wide, lat + high)
        if boxed
        else shapely.Polygon(np.column_stack([lon + wide * rough * np.cos(turns), lat + high * rough * np.sin(turns)]))
    )
    asked = search_places(area)
    shapes = [
        shapely.box(*said["bbox"]) if "bbox" in said else shapely.geometry.shape(said["intersects"]) for said in asked
    ]
    around = shapely.union_all(shapes)
    assert shapely.get_num_coordinates(around) <= 1000
    west, _, east, _ = around.bounds
    assert west >= -180
    assert east <= 180
    world = shapely.box(-180, -90, 180, 90)
    for turn in (-360, 0, 360):
        part = shapely.affinity.translate(area, xoff=turn).intersection(world)
        assert part.difference(around.buffer(1e-9)).area <= 1e-9 * max(1.0, part.area)
