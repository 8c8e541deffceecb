"""What a plan says before anything is fetched: tiles, requests, bytes, time, disk, licences."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mercantile
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.windows import Window
from small_imagery import built, command, write_recipe, write_scene

from git10m.planning import look_ahead
from git10m.planning.outlook import bytes_per_pixel
from git10m.recipe import ImageFormat, load_recipe

Look = Callable[..., Any]
NOWHERE = "https://tiles.example.org"
"""Nothing answers there: a plan asks no tile server."""


def server(more: str = "", *, path: str = "{z}/{x}/{y}.jpg", name: str = "served") -> str:
    return f'[[source]]\nid = "{name}"\nkind = "xyz"\nurl = "{NOWHERE}/{path}"\ncontact = "me@example.org"\n{more}\n'


def region(west: float, south: float, east: float, north: float, levels: str) -> str:
    return f"[region]\nbbox = [{west}, {south}, {east}, {north}]\n[tiles]\nlevels = {levels}\n"


def test_tiles_of_a_box_are_those_of_mercantile(looked: Look) -> None:
    box = (7.01, 46.01, 7.4, 46.3)
    outlook, _, plan = looked(region(*box, "[10, 11, 12, 13]") + server())
    expected = {level: len(list(mercantile.tiles(*box, level))) for level in (10, 11, 12, 13)}
    assert outlook.levels == {str(level): count for level, count in expected.items()}
    assert outlook.tiles == len(plan) == sum(expected.values())
    (source,) = outlook.sources
    assert (source.kind, source.tiles, source.scenes) == ("xyz", outlook.tiles, None)
    assert source.levels == outlook.levels


@pytest.mark.parametrize(
    ("said", "requests"),
    [
        ("", 256),
        ("tile_px = 512", 64),  # a tile of 512 px holds four of ours
    ],
)
def test_requests_are_the_served_tiles(said: str, requests: int, looked: Look) -> None:
    corner = mercantile.bounds(mercantile.Tile(544, 360, 10))
    inside = (corner.west + 1e-6, corner.south + 1e-6, corner.east - 1e-6, corner.north - 1e-6)
    outlook, *_ = looked(region(*inside, "[14]") + server(said + "\nrate = 8"))
    (source,) = outlook.sources
    assert outlook.tiles == 256
    assert source.requests == requests
    assert source.hours == pytest.approx(requests / 8 / 3600)
    # What is fetched has as many pixels, however it is cut.
    assert source.download_bytes == pytest.approx(256 * 256**2 * 0.25)
    assert outlook.disk_bytes["cache"] == source.download_bytes


def test_hosts_that_share_the_load_share_the_time(looked: Look) -> None:
    place = region(7.0, 46.0, 8.0, 47.0, "[13]")
    one, *_ = looked(place + server("rate = 5"))
    more, *_ = looked(place + server('rate = 5\nsubdomains = ["a", "b", "c"]').replace("//tiles", "//{s}.tiles"))
    assert more.sources[0].hours == pytest.approx(one.sources[0].hours / 3)


def test_no_limit_of_the_rate_is_no_time(looked: Look) -> None:
    outlook, *_ = looked(region(7.0, 46.0, 7.1, 46.1, "[13]") + server("rate = 0"))
    assert outlook.sources[0].requests > 0
    assert outlook.sources[0].hours is None


def test_files_here_cost_no_request(tmp_path: Path, looked: Look) -> None:
    write_scene(tmp_path / "a.tif")
    outlook, *_ = looked('tiles.levels = [14, 15]\n[[source]]\nid = "here"\npath = "a.tif"\nlicence = "CC0-1.0"\n')
    (source,) = outlook.sources
    assert (source.requests, source.download_bytes, source.hours, source.scenes) == (0, 0, None, 1)
    assert outlook.scenes == 1
    assert outlook.disk_bytes["cache"] == 0
    assert not (tmp_path / "dataset/data").exists()


def test_requests_of_a_remote_file_cannot_be_told(tmp_path: Path, looked: Look, range_server: Any) -> None:
    write_scene(tmp_path / "served/a.tif")
    serving = range_server(tmp_path / "served")
    outlook, *_ = looked(f'tiles.levels = [14]\n[[source]]\nid = "far"\npath = "{serving.url}/a.tif"\n')
    (source,) = outlook.sources
    assert source.requests is None
    assert source.download_bytes > 0
    read = sum(asked.bytes for asked in serving.requests())
    assert read <= 200_000  # the header, not the pixels


def test_a_tile_that_two_sources_share_counts_for_both(tmp_path: Path, looked: Look) -> None:
    write_scene(tmp_path / "a/a.tif", size=600)
    write_scene(tmp_path / "b/b.tif", size=600, east_px=300)
    one = '[[source]]\nid = "{0}"\npath = "{0}"\n'
    text = "tiles.levels = [14, 15]\ntiles.min_valid = 0\n"
    both, *_ = looked(text + one.format("a") + one.format("b"))
    alone = [looked(text + one.format(name))[0].tiles for name in "ab"]
    assert [source.tiles for source in both.sources] == alone
    assert max(alone) < both.tiles < sum(alone)


def test_every_date_is_a_layer_of_its_own(tmp_path: Path, looked: Look) -> None:
    for year in (2019, 2021):
        write_scene(tmp_path / f"imagery/a_{year}0701.tif", seed=year)
    dated = r"date_pattern = '(\d{8})\.tif$'"
    outlook, *_ = looked(f'tiles.levels = [15]\n[[source]]\nid = "a"\npath = "imagery"\nlayer = "place"\n{dated}\n')
    assert set(outlook.layers) == {"place 2019-07-01", "place 2021-07-01"}
    assert sum(outlook.layers.values()) == outlook.tiles


def test_licences_are_those_that_will_be_in_the_dataset(tmp_path: Path, looked: Look) -> None:
    write_scene(tmp_path / "a_20200701.tif")
    terms = 'licence = "CC-BY-4.0"\nattribution = "Survey {year}"\n'
    outlook, *_ = looked(
        region(15.0, 47.9, 15.1, 48.0, "[14]")
        + f"[[source]]\nid = 'a'\npath = 'a_20200701.tif'\n{terms}date_pattern = '(\\d{{8}})\\.tif$'\n"
        + server(terms + 'layer = "other"')
    )
    # The year of what is served is not known before it is.
    assert outlook.licences == (("CC-BY-4.0", "Survey"), ("CC-BY-4.0", "Survey 2020"))


def test_what_cannot_be_used_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_scene(tmp_path / "imagery/a.tif")
    (tmp_path / "imagery/text.tif").write_text("404 not found")
    recipe = write_recipe(tmp_path / "recipe.toml")
    said = command(capfd, "plan", recipe, "--var", f"imagery={tmp_path / 'imagery'}", "-o", tmp_path / "d", "--json")
    assert said.code == 0, said.err
    assert [reason.partition(":")[0] for reason in said.json["skipped"]] == ["text.tif"]
    assert "skipped: text.tif" in said.err


def test_the_estimate_of_disk_is_near_the_truth(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", size=1600)
    path = write_recipe(tmp_path / "recipe.toml")
    recipe = load_recipe(path, variables={"imagery": str(tmp_path / "imagery")})
    outlook, *_ = look_ahead(recipe, root=tmp_path, folder=tmp_path / "planned")
    built(tmp_path, tmp_path / "dataset")
    held = sum(file.stat().st_size for file in (tmp_path / "dataset/data").iterdir())
    assert 0.3 * held < outlook.disk_bytes["data"] < 3 * held


@pytest.mark.parametrize("form", ["jpeg", "webp", "png"])
def test_estimates_of_tiles_are_means_over_imagery(form: Any, imagery: Path) -> None:
    sizes = []
    for pattern in ("naip__*2020*", "landsat_peru__2020*", "titiler__TCI*", "deepforest__OSBS*"):
        (path,) = (imagery / "rasters").glob(pattern)
        with rasterio.open(path) as file:
            middle = Window(file.width // 2 - 128, file.height // 2 - 128, 256, 256)
            pixels = np.moveaxis(file.read([1, 2, 3], window=middle), 0, -1)
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, form, **({} if form == "png" else {"quality": 85}))
        sizes.append(len(data.getvalue()) / pixels[..., 0].size)
    assert 0.4 < bytes_per_pixel(ImageFormat.model_validate({"format": form, "quality": 85})) / np.mean(sizes) < 2.5


def test_a_limit_is_of_the_whole_plan(looked: Look) -> None:
    outlook, *_ = looked(region(7.0, 46.0, 8.0, 47.0, "[12, 13]") + server(), limit=50)
    assert outlook.tiles == outlook.sources[0].requests == 50
