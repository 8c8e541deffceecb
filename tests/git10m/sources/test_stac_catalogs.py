"""Catalogs of every form and in every place, kept answers, and what goes wrong with them."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely
import stac_geoparquet.arrow
from canned_server import Asked, Canned, Reply, canned
from made_items import asset, catalog, item, scenes, source, write_json
from made_rasters import PRAGUE, noise, on_the_grid, write

from git10m.errors import RecipeError, SourceError
from git10m.grid import Tile
from git10m.sources.stac import stac_scenes

TILE = Tile.from_lonlat(*PRAGUE, 14)
HERE = shapely.box(*TILE.bounds)
RGB = ("image:1", "image:2", "image:3")


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return write(tmp_path / "rasters/a.tif", noise(256, 256), transform=on_the_grid(TILE))


@pytest.fixture
def server() -> Iterator[Canned]:
    with canned() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def names(address: Path | str, store: Path, **said: Any) -> list[str]:
    return [scene.name for scene in scenes(address, store, bands=RGB, **said)]


def elsewhere(raster: Path, name: str) -> dict[str, Any]:
    """An item on the other side of the Earth."""
    ring = [[-100.0, -40.0], [-99.0, -40.0], [-99.0, -39.0], [-100.0, -40.0]]
    return item(raster, name) | {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [-100, -40, -99, -39]}


# Forms


def static(folder: Path, raster: Path) -> Path:
    """Two catalogs below each other, three items, one of them elsewhere; links and assets are relative."""
    relative = {"image": asset(raster, href="../../rasters/a.tif")}
    write_json(folder / "catalog.json", catalog("root", "./sub/catalog.json", rel="child"))
    write_json(folder / "sub/catalog.json", catalog("sub", "one.json", "./two.json", "far.json"))
    for name in ("one", "two"):
        write_json(folder / f"sub/{name}.json", item(raster, name, assets=relative))
    write_json(folder / "sub/far.json", elsewhere(raster, "far"))
    return folder / "catalog.json"


def test_a_static_catalog_is_followed_to_its_items(tmp_path: Path, raster: Path, store: Path):
    address = static(tmp_path / "catalog", raster)
    assert names(address, store, area=HERE) == ["one", "two"]
    assert names(address.parent, store, area=HERE) == ["one", "two"]
    (first, _) = scenes(address, store, area=HERE, bands=RGB)
    assert Path(first.bands[0].path).resolve() == raster.resolve()


def test_a_static_catalog_on_a_web_server(tmp_path: Path, raster: Path, store: Path, range_server: Any):
    static(tmp_path / "catalog", raster)
    served = range_server(tmp_path)
    found = scenes(f"{served.url}/catalog/catalog.json", store, area=HERE, bands=RGB)
    assert [scene.name for scene in found] == ["one", "two"]
    assert found[0].bands[0].path == f"{served.url}/rasters/a.tif"
    assert {asked.headers["User-Agent"].partition("/")[0] for asked in served.requests()} == {"git10m"}


def test_a_static_catalog_in_a_bucket(tmp_path: Path, raster: Path, store: Path, s3_server: Any):
    static(tmp_path / "bucket/catalog", raster)
    address = f"{s3_server.fill(tmp_path / 'bucket')}/catalog/catalog.json"
    found = scenes(address, store, area=HERE, bands=RGB)
    assert [scene.name for scene in found] == ["one", "two"]
    assert found[0].bands[0].path == "s3://imagery/rasters/a.tif"
    (kept,) = store.iterdir()
    kept.unlink()
    with s3_server.locked(), pytest.raises(SourceError, match=r"catalog\.json: cannot be read .*credentials"):
        names(address, store, area=HERE)


def test_the_real_static_catalog(imagery: Path, store: Path):
    found = scenes(imagery / "stac/static/jaca_dataset_stac", store, bands=("Jaca_*:4", "Jaca_*:3", "Jaca_*:2"))
    assert [scene.name for scene in found] == ["Jaca_1", "Jaca_2", "Jaca_3", "Jaca_4"]
    assert {scene.sensor for scene in found} == {"Sentinel-2"}
    assert all(Path(scene.bands[0].path).is_file() for scene in found)


def test_collections_of_other_regions_and_names_are_not_entered(
    tmp_path: Path, raster: Path, store: Path, server: Canned
):
    def collection(name: str, bbox: list[float]) -> dict[str, Any]:
        extent = {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [[None, None]]}}
        return catalog(name, f"/{name}/item.json", type="Collection", license="CC0-1.0", extent=extent)

    server.replies = {
        "/c.json": catalog("root", "/here.json", "/far.json", "/other.json", rel="child"),
        "/here.json": collection("here", list(TILE.bounds)),
        "/far.json": collection("far", [-100, -40, -99, -39]),
        "/other.json": collection("other", list(TILE.bounds)),
        "/here/item.json": item(raster, "wanted", collection="here"),
    }
    found = scenes(f"{server.url}/c.json", store, area=HERE, bands=RGB, collection="here")
    assert [(scene.name, scene.licence) for scene in found] == [("wanted", "CC0-1.0")]
    assert {asked.path for asked in server.asked} == set(server.replies)


@pytest.mark.parametrize("form", ["item", "list", "collection of items"])
def test_items_in_one_file(tmp_path: Path, raster: Path, store: Path, form: str):
    made = [item(raster, "a", assets={"image": asset(raster, href="rasters/a.tif")})]
    document = {"item": made[0], "list": made, "collection of items": {"type": "FeatureCollection", "features": made}}[
        form
    ]
    (scene,) = scenes(write_json(tmp_path / "items.json", document), store, bands=RGB)
    assert Path(scene.bands[0].path) == raster


def test_the_pages_of_an_item_collection_are_followed(raster: Path, store: Path, server: Canned):
    def page(asked: Asked) -> Any:
        number = int(asked.path.partition("page=")[2] or 0)
        links = [{"rel": "next", "href": f"{server.url}/items?page={number + 1}"}] if number < 3 else []
        return {"type": "FeatureCollection", "features": [item(raster, f"p{number}")], "links": links}

    server.replies = {"/items": page}
    assert names(f"{server.url}/items", store) == ["p0", "p1", "p2", "p3"]


@pytest.mark.parametrize("place", ["path", "folder", "http", "s3"])
def test_stac_geoparquet(tmp_path: Path, raster: Path, store: Path, place: str, request: pytest.FixtureRequest):
    made = [item(raster, "a"), elsewhere(raster, "far"), item(raster, "b", **{"eo:cloud_cover": 5})]
    folder = tmp_path / "tables"
    folder.mkdir()
    table = stac_geoparquet.arrow.parse_stac_items_to_arrow(made).read_all()
    stac_geoparquet.arrow.to_parquet(table, folder / "items.parquet")
    if place == "http":
        address = f"{request.getfixturevalue('range_server')(folder).url}/items.parquet"
    elif place == "s3":
        address = f"{request.getfixturevalue('s3_server').fill(folder)}/items.parquet"
    else:
        address = str(folder / "items.parquet" if place == "path" else folder)
    found = scenes(address, store, area=HERE, bands=RGB)
    assert [scene.name for scene in found] == ["b", "a"]
    assert Path(found[0].bands[0].path) == raster
    assert found[0].moment is not None
    assert found[0].moment.at.isoformat() == "2021-06-01T10:30:00+00:00"


def test_a_table_of_something_else_is_refused(tmp_path: Path, store: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": [1]}), tmp_path / "t.parquet")
    with pytest.raises(SourceError, match=r"t\.parquet: has no column assets, geometry; expected stac-geoparquet"):
        names(tmp_path / "t.parquet", store)
    (tmp_path / "u.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(SourceError, match=r"u\.parquet: cannot be read as stac-geoparquet"):
        names(tmp_path / "u.parquet", store)


# The antimeridian


def test_an_area_across_the_antimeridian_meets_items_on_both_sides(tmp_path: Path, raster: Path, store: Path):
    def at(name: str, west: float, east: float) -> dict[str, Any]:
        ring = shapely.box(west, -20, east, -19)
        return item(raster, name) | {"geometry": shapely.geometry.mapping(ring), "bbox": [west, -20, east, -19]}

    made = [at("east", 179, 179.9), at("west", -179.9, -179), at("across", 179.5, 180.5), at("far", 10, 11)]
    address = write_json(tmp_path / "items.json", made)
    assert sorted(names(address, store, area=shapely.box(179, -21, 181, -18))) == ["across", "east", "west"]


# Kept answers


def test_a_remote_answer_is_kept_and_a_resumed_build_sees_the_same(raster: Path, store: Path, server: Canned):
    server.replies = {"/items": {"type": "FeatureCollection", "features": [item(raster, "first")]}}
    said = {"bands": RGB, "headers": {"Authorization": "Bearer {env:STAC_TEST_TOKEN}"}}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STAC_TEST_TOKEN", "s3cret")
        before = stac_scenes(source(f"{server.url}/items?key=s3cret", **said), area=HERE, store=store)
        server.replies = {"/items": {"type": "FeatureCollection", "features": [item(raster, "second")]}}
        after = stac_scenes(source(f"{server.url}/items?key=s3cret", **said), area=HERE, store=store)
        other_bands = said | {"bands": ("image:2",)}
        again = stac_scenes(source(f"{server.url}/items?key=other", **other_bands), area=HERE, store=store)
        wider = stac_scenes(source(f"{server.url}/items", **said), area=HERE.buffer(1), store=store)
    assert [found[0].name for found in (before, after, again, wider)] == ["first", "first", "first", "second"]
    assert before[0].digest == after[0].digest
    assert [asked.headers.get("Authorization") for asked in server.asked] == ["Bearer s3cret"] * 2
    assert not any(b"s3cret" in kept.read_bytes() for kept in store.iterdir())
    assert sorted(kept.suffix for kept in store.iterdir()) == [".json", ".json"]


def test_a_local_catalog_is_read_each_time(tmp_path: Path, raster: Path, store: Path):
    address = write_json(tmp_path / "items.json", [item(raster, "first")])
    assert names(address, store) == ["first"]
    write_json(address, [item(raster, "second")])
    assert names(address, store) == ["second"]
    assert list(store.iterdir()) == []


def ask(address: str, store: Path, answers: Any) -> None:
    found = stac_scenes(source(address, bands=RGB), area=HERE, store=store)
    answers.put([each.name for each in found])


def test_processes_that_ask_at_once_see_one_answer(raster: Path, store: Path, server: Canned):
    """The server answers each with something else; the first to be kept holds for all."""
    served = iter(range(100))
    server.replies = {"/items": lambda _: {"type": "FeatureCollection", "features": [item(raster, f"n{next(served)}")]}}
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    asking = [context.Process(target=ask, args=(f"{server.url}/items", store, answers)) for _ in range(3)]
    for process in asking:
        process.start()
    seen = [answers.get(timeout=60) for _ in asking]
    for process in asking:
        process.join()
    assert seen[0] == seen[1] == seen[2]
    assert len(list(store.iterdir())) == 1


def test_signatures_in_addresses_are_not_kept(raster: Path, store: Path, server: Canned):
    signed = asset(raster, href="https://store.example/a.tif?se=2026-01-01&sp=r&sig=abcdef")
    plain = asset(raster, href="https://store.example/a.tif?versionId=7")
    made = [item(raster, "signed", assets={"image": signed}), item(raster, "plain", assets={"image": plain})]
    server.replies = {"/items": {"type": "FeatureCollection", "features": made}}
    found = {each.name: each for each in stac_scenes(source(f"{server.url}/items", bands=RGB), area=HERE, store=store)}
    (kept,) = store.iterdir()
    assert b"abcdef" not in kept.read_bytes()
    assert found["plain"].scene is not None
    assert found["plain"].scene.bands[0].path.endswith("a.tif?versionId=7")
    assert "is signed for a time, and signatures are not kept" in str(found["signed"].error)
    resigned = stac_scenes(source(f"{server.url}/items", bands=RGB, sign="planetary-computer"), area=HERE, store=store)
    assert {each.scene.bands[0].path for each in resigned if each.scene and each.name == "signed"} == {
        "https://store.example/a.tif"
    }


def test_another_address_of_an_asset_is_read_where_it_states_one(raster: Path, store: Path, server: Canned):
    other = asset(raster, href="https://login.example/a.tif") | {"alternate": {"s3": {"href": "s3://bucket/a.tif"}}}
    made = [item(raster, "both", assets={"image": other}), item(raster, "one", assets={"image": asset(raster)})]
    server.replies = {"/items": {"type": "FeatureCollection", "features": made}}

    def files(**said: Any) -> dict[str, str]:
        found = stac_scenes(source(f"{server.url}/items", bands=RGB, **said), area=HERE, store=store)
        return {each.name: each.scene.bands[0].path for each in found if each.scene}

    assert files()["both"] == "https://login.example/a.tif"
    assert files(alternate="s3") == {"both": "s3://bucket/a.tif", "one": str(raster)}


# What goes wrong


def test_a_catalog_in_a_circle_is_named_link_by_link(tmp_path: Path, store: Path):
    write_json(tmp_path / "c/catalog.json", catalog("a", "b/catalog.json", rel="child"))
    write_json(tmp_path / "c/b/catalog.json", catalog("b", "deep/catalog.json", rel="child"))
    write_json(tmp_path / "c/b/deep/catalog.json", catalog("d", "../catalog.json", rel="child"))
    with pytest.raises(
        SourceError,
        match=r"goes in a circle: catalog\.json → b/catalog\.json → b/deep/catalog\.json → b/catalog\.json; correct",
    ):
        names(tmp_path / "c/catalog.json", store)


def test_a_catalog_without_end_is_left(store: Path, server: Canned):
    server.replies = {"/0": lambda asked: catalog("c", f"{asked.path}?", rel="child")}

    class Endless(dict[str, Any]):
        def get(self, path: str, default: Any = None) -> Any:
            return catalog(path, f"{path}x", rel="child")

    server.replies = Endless()
    with pytest.raises(SourceError, match="is more than 32 catalogs deep"):
        names(f"{server.url}/c", store)


def test_an_item_that_two_catalogs_list_is_taken_once(tmp_path: Path, raster: Path, store: Path):
    write_json(tmp_path / "catalog.json", catalog("r", "a/catalog.json", "b/catalog.json", rel="child"))
    for name in "ab":
        write_json(tmp_path / name / "catalog.json", catalog(name, "../item.json"))
    write_json(tmp_path / "item.json", item(raster, "once"))
    assert names(tmp_path / "catalog.json", store) == ["once"]


def test_a_link_to_nothing_is_reported_and_the_rest_is_read(tmp_path: Path, raster: Path, store: Path):
    write_json(tmp_path / "catalog.json", catalog("r", "gone/item.json", "text.json", "item.json"))
    write_json(tmp_path / "item.json", item(raster, "there"))
    write_json(tmp_path / "text.json", {"hello": "there"})
    found = stac_scenes(source(tmp_path / "catalog.json", bands=RGB), area=None, store=store)
    assert [(each.name, each.error) for each in found] == [
        ("there", None),
        ("gone/item.json", "gone/item.json: a link of the catalog leads here, and there is nothing"),
        ("text.json", "text.json: a link of the catalog leads here, and it is no STAC document"),
    ]


def test_passing_faults_are_overcome(raster: Path, store: Path, server: Canned):
    made = {"type": "FeatureCollection", "features": [item(raster, "a")]}
    whole = json.dumps(made).encode()
    busy = Reply(b"busy", 503, {"Retry-After": "0"})
    server.replies = {"/items": [busy, Reply(b"slow down", 429), Reply(whole[:300], promise=len(whole)), Reply(whole)]}
    assert names(f"{server.url}/items", store) == ["a"]
    assert len(server.asked) == 4


def test_a_pause_of_hours_is_told_and_not_waited_for(store: Path, server: Canned):
    server.replies = {"/items": Reply(b"slow down", 429, {"Retry-After": "7200"})}
    with pytest.raises(SourceError, match=r"/items: cannot be reached \(the server asks for a pause of 2.0 hours\)"):
        names(f"{server.url}/items?token=abcdef", store)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(b"no", 401), "the server answers 401: access is denied; a token is missing, wrong or expired"),
        (Reply(b"no", 403), "the server answers 403: access is denied"),
        (Reply(b"<html><body>Sign in</body></html>"), "is a web page (HTML), expected a JSON document of STAC"),
        (Reply(b"PK\x03\x04"), "is no JSON, expected a JSON document of STAC"),
        (Reply(b""), "is nothing, expected a JSON document of STAC"),
        (Reply(b'{"type": "Topology"}'), "is JSON, but no STAC (its type is 'Topology')"),
        (Reply(b"[1, 2]"), "has no item that is wanted"),
        (Reply(b"broken", 400), "the server answers 400; is it the root of a STAC API?"),
    ],
)
def test_an_answer_that_is_no_catalog_is_explained_without_secrets(
    store: Path, server: Canned, reply: Reply, expected: str
):
    server.replies = {"/items": reply}
    with pytest.raises((SourceError, RecipeError)) as raised:
        names(f"{server.url}/items?token=s3cret", store)
    assert expected in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert list(store.iterdir()) == []


def test_a_dead_host_is_named_without_the_token(store: Path):
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/stac: cannot be reached \(no connection\)") as raised:
        names("http://127.0.0.1:9/stac?token=s3cret", store)
    assert "s3cret" not in str(raised.value)


def test_a_path_to_nothing_is_the_recipes_fault(tmp_path: Path, store: Path):
    with pytest.raises(RecipeError, match=r"no\.json: there is no such file; check address"):
        names(tmp_path / "no.json", store)


def test_a_variable_that_is_not_set_is_named(store: Path, server: Canned):
    with pytest.raises(RecipeError, match="STAC_TEST_NOWHERE"):
        names(f"{server.url}/items", store, headers={"X-Key": "{env:STAC_TEST_NOWHERE}"})


def test_headers_are_kept_from_other_hosts(raster: Path, store: Path, server: Canned, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAC_TEST_TOKEN", "s3cret")
    with canned() as other:
        other.replies = {"/item.json": item(raster, "a"), "/moved.json": item(raster, "b")}
        server.replies = {
            "/c.json": catalog("c", f"{other.url}/item.json", "/away.json"),
            "/away.json": Reply(b"", 302, {"Location": f"{other.url}/moved.json"}),
        }
        said = {"headers": {"X-Api-Key": "{env:STAC_TEST_TOKEN}"}}
        assert names(f"{server.url}/c.json", store, **said) == ["a", "b"]
        assert {asked.headers.get("X-Api-Key") for asked in server.asked} == {"s3cret"}
        assert {asked.headers.get("X-Api-Key") for asked in other.asked} == {None}


def test_a_token_of_the_address_is_sent_on_to_its_own_server(raster: Path, store: Path, server: Canned):
    with canned() as other:
        other.replies = {"/b.json": item(raster, "b")}
        server.replies = {"/c.json": catalog("c", "a.json?token=own", "d.json", f"{other.url}/b.json")}
        server.replies |= {f"/{name}.json": item(raster, name) for name in "ad"}
        assert names(f"{server.url}/c.json?token=s3cret&page=1", store) == ["a", "b", "d"]
        assert sorted(asked.path for asked in server.asked) == [
            "/a.json?token=own", "/c.json?token=s3cret&page=1", "/d.json?token=s3cret",
        ]  # fmt: skip
        assert [asked.path for asked in other.asked] == ["/b.json"]


def test_items_of_one_name_in_two_collections_are_told_apart(tmp_path: Path, raster: Path, store: Path):
    made = [
        item(raster, "same", collection="a"),
        item(raster, "same", collection="b"),
        item(raster, "own", collection="b"),
    ]
    assert names(write_json(tmp_path / "items.json", made), store) == ["own", "a/same", "b/same"]


def test_of_two_versions_of_an_item_the_newer_is_taken(tmp_path: Path, raster: Path, store: Path):
    made = [item(raster, updated=f"202{year}-01-01T00:00:00Z", **{"eo:cloud_cover": year}) for year in (1, 3, 2)]
    (scene,) = scenes(write_json(tmp_path / "items.json", made), store, bands=RGB)
    assert scene.rank == 3


@pytest.mark.parametrize(
    "document",
    [
        {"type": "FeatureCollection", "features": None},
        {"type": "FeatureCollection", "features": [None, 3], "links": "none"},
        {"type": "Catalog", "links": [None, {"rel": "item"}, {"rel": "item", "href": 3}]},
        {"type": "Collection", "id": "c", "extent": {"spatial": [-180, -90, 180, 90]}, "links": []},
        {"type": "Feature", "id": "a", "properties": None},
        {"type": "Feature", "id": "a", "properties": {"datetime": "yesterday"}, "assets": {}, "links": []},
    ],
)
def test_documents_that_are_not_as_stac_prescribes_are_no_traceback(tmp_path: Path, store: Path, document: Any):
    try:
        found = stac_scenes(source(write_json(tmp_path / "d.json", document), bands=RGB), area=HERE, store=store)
    except RecipeError as error:
        assert "has no item that is wanted" in str(error)
    else:
        assert [each.error is not None for each in found] == [True]
