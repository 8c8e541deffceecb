"""Vector layers at paths and addresses, and what is said of those that cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.warp import transform_bounds
from rude_server import Answer, RudeServer
from small_imagery import command, write_scene

from git10m.errors import RecipeError, SourceError
from git10m.vectors import read_vectors


@pytest.fixture
def outlines(tmp_path: Path) -> Path:
    """A folder with the same two polygons in several forms."""
    folder = tmp_path / "outlines"
    folder.mkdir()
    frame = geopandas.GeoDataFrame(
        {"NAME": ["West", "East"]}, geometry=[shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)], crs="EPSG:4326"
    )
    frame.to_file(folder / "areas.geojson")
    frame.to_crs("EPSG:3857").to_file(folder / "areas.gpkg", layer="outlines")
    frame.to_file(tmp_path / "shapes")
    shutil.make_archive(str(folder / "areas"), "zip", tmp_path / "shapes")
    return folder


@pytest.mark.parametrize("name", ["areas.geojson", "areas.gpkg", "areas.zip"])
@pytest.mark.parametrize("place", ["path", "http", "s3"])
def test_a_layer_is_the_same_wherever_it_is(
    name: str, place: str, outlines: Path, range_server: Any, request: pytest.FixtureRequest
) -> None:
    where = {
        "path": lambda: outlines,
        "http": lambda: range_server(outlines).url,
        "s3": lambda: request.getfixturevalue("s3_server").fill(outlines),
    }[place]()
    found = read_vectors(f"{where}/{name}", columns=["NAME"])
    assert found["NAME"].tolist() == ["West", "East"]
    assert found.crs.to_epsg() == (3857 if name == "areas.gpkg" else 4326)
    assert found.to_crs("OGC:CRS84").total_bounds == pytest.approx([0, 0, 3, 1])


def test_a_layer_of_a_file_is_chosen_by_name(outlines: Path) -> None:
    assert len(read_vectors(str(outlines / "areas.gpkg"), layer="outlines")) == 2
    with pytest.raises(SourceError, match=r"areas\.gpkg: layer 'roads' of it cannot be read"):
        read_vectors(str(outlines / "areas.gpkg"), layer="roads")


def test_who_asks_is_said_and_secrets_are_not() -> None:
    with RudeServer(lambda *_: Answer(403, b"no")) as server:
        with pytest.raises(SourceError) as refused:
            read_vectors(f"{server.url}/areas.geojson?sig=SECRET")
        assert all(asked.headers["User-Agent"].startswith("git10m/") for asked in server.log)
    assert str(refused.value) == "areas.geojson: the server answers 403: access is denied"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(404), "there is no such file"),
        (Answer(200, b"<html>please log in</html>"), "cannot be read as a vector file"),
        (Answer(200, b'{"type": "FeatureCollection", "features": [', fault="truncate"), r"areas\.geojson: "),
    ],
)
def test_what_a_server_gives_instead_is_told(answer: Answer, said: str) -> None:
    with RudeServer(lambda *_: answer) as server, pytest.raises(SourceError, match=said):
        read_vectors(f"{server.url}/areas.geojson")


def test_a_dead_host_is_told() -> None:
    with RudeServer(lambda *_: Answer()) as server:
        url = server.url
    with pytest.raises(SourceError, match=r"areas\.geojson: 127\.0\.0\.1 cannot be reached"):
        read_vectors(f"{url}/areas.geojson")


def test_tables_without_places_and_columns_that_are_not_there_are_refused(outlines: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("NAME,people\nWest,3\n")
    with pytest.raises(SourceError, match=r"table\.csv: the layer has no geometry"):
        read_vectors(str(tmp_path / "table.csv"))
    with pytest.raises(RecipeError, match=r"areas\.gpkg: no column 'name'; the layer has NAME"):
        read_vectors(str(outlines / "areas.gpkg"), columns=["name"])


def test_a_recipe_takes_addresses_wherever_it_takes_paths(
    outlines: Path, tmp_path: Path, range_server: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Region, exclusion, class raster, land cover and imagery, all at addresses."""
    served = tmp_path / "served"
    scene = write_scene(served / "scene.tif", size=900)
    with_classes = write_scene(served / "classes.tif", pixels=classes(900))
    bounds = scene_bounds(scene)
    geopandas.GeoDataFrame(geometry=[shapely.box(*bounds)], crs="EPSG:4326").to_file(served / "region.geojson")
    west, south, east, north = bounds
    cut = shapely.box(west, south, (west + east) / 2, north)
    geopandas.GeoDataFrame(geometry=[cut], crs="EPSG:4326").to_file(served / "cut.geojson")
    url = range_server(served).url

    def build(where: str, folder: Path) -> dict[str, Any]:
        recipe = tmp_path / f"{folder.name}.toml"
        recipe.write_text(
            f"""
            name = "everywhere"
            [region]
            file = "{where}/region.geojson"
            exclude = ["{where}/cut.geojson"]
            [tiles]
            levels = [15]
            min_valid = 0
            [sampling]
            method = "stratified"
            strata = {{ path = "{where}/classes.tif", most = 100 }}
            [captions.land_cover]
            path = "{where}/classes.tif"
            classes = {{ 10 = "forest", 80 = "water" }}
            [[source]]
            id = "scene"
            path = "{where}/scene.tif"
            licence = "CC0-1.0"
            """,
            encoding="utf-8",
        )
        done = command(capfd, "build", recipe, "-o", folder, "--workers", 1, "--json")
        assert done.code == 0, done.err
        checked = command(capfd, "verify", folder, "--workers", 1)
        assert checked.code == 0, checked.err
        return dict(done.json["counts"])

    assert with_classes.exists()
    here = build(str(served), tmp_path / "here")
    there = build(url, tmp_path / "there")
    assert here == there
    assert there["kept"] > 4


def classes(side: int) -> Any:
    codes = np.full((1, side, side), 10, np.uint8)
    codes[:, side // 2 :] = 80
    return codes


def scene_bounds(path: Path) -> tuple[float, float, float, float]:
    with rasterio.open(path) as file:
        west, south, east, north = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    return west, south, east, north
