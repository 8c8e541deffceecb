"""``text2earth world``, as a user calls it, with a cascade of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pmtiles.reader import MmapSource, Reader
from small_cascades import nano_cascade

from git10m.cli import app as git10m
from text2earth.world import Box, World, WorldSettings

ROOT = Path(__file__).parents[3]
THERE = ("--bbox", -1.5, 46.0, 1.0, 47.0)


@pytest.fixture(scope="module")
def cascade(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "nano"
    nano_cascade(image_size=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


ASKED = "--prompt", "a lake", "--seed", 3, "--steps", 2, "--threads", 1


def ask(cascade: Path, cache: Path, *further):
    return "world", cascade, *ASKED, "--cache", cache, *further


def opened(cascade: Path, cache: Path) -> World:
    settings = WorldSettings(steps=2, threads=1)
    return World.open(cascade, seed=3, prompt="a lake", cache=cache, settings=settings)


@pytest.mark.slow
def test_a_geotiff_of_a_real_cascade(run, cascade, cache, tmp_path):
    world = opened(cascade, cache)
    zoom = world.minzoom
    status, out, err = run(*ask(cascade, cache, *THERE, "--zooms", zoom, "--out", tmp_path / "a.tif", "--json"))
    assert status == 0, err
    done = json.loads(out.splitlines()[-1])
    assert (done["format"], done["SEED"], done["PROMPT"]) == ("cog", "3", "a lake")
    assert done["MODEL_HASH"] == world.fingerprint
    with rasterio.open(tmp_path / "a.tif") as found:
        west, north = found.transform.c, found.transform.f
        assert found.tags()["MODEL"] == "nano"
        pixels = np.moveaxis(found.read(), 0, -1)
    size, half = found.res[0], 20037508.342789244
    box = Box(round((west + half) / size), round((half - north) / size), pixels.shape[1], pixels.shape[0])
    assert np.array_equal(pixels, world.region(zoom, box))


@pytest.mark.slow
def test_git10m_builds_a_dataset_from_an_exported_archive(run, cascade, cache, tmp_path):
    zoom = opened(cascade, cache).minzoom
    archive = tmp_path / "a.pmtiles"
    status, out, err = run(*ask(cascade, cache, *THERE, "--zooms", f"{zoom}-{zoom}", "--out", archive))
    assert (status, out) == (0, out), err
    assert "painted now, synthetic)" in out
    with archive.open("rb") as file:
        assert Reader(MmapSource(file)).metadata()["synthetic"] == "true"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'name = "made"\nversion = "1.0"\n[tiles]\nlevels = [{zoom}]\n'
        f'[[source]]\nkind = "archive"\nid = "made"\npath = "{archive}"\n'
    )
    git10m(["build", str(recipe), "--output", str(tmp_path / "made")], standalone_mode=False)
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["counts"]["planned"] > 0
    assert manifest["counts"]["failed"] == {}


@pytest.mark.parametrize(
    ("further", "message"),
    [
        (("--zooms", "8", "--out", "a.tif"), "neither of --bbox W S E N and --place LON LAT was given"),
        ((*THERE, "--place", 0, 0, "--zooms", "8", "--out", "a.tif"), "both of --bbox"),
        ((*THERE, "--zooms", "8-", "--out", "a.tif"), "--zooms 8- was given; write --zooms 4-9"),
        ((*THERE, "--zooms", "8.5-9", "--out", "a.pmtiles"), "--zooms 8.5-9 was given; tiles are of whole zooms"),
        ((*THERE, "--zooms", "8", "--out", "a.jpeg"), "ends in .jpeg; the endings are .tif"),
        (("--bbox", 1, 2, 1, 3, "--zooms", "8", "--out", "a.tif"), "it is empty"),
        (("--place", 0, 89, "--zooms", "8-9", "--out", "a.gif"), "--place 0 89 was given"),
        ((*THERE, "--zooms", "1-2", "--out", "a.pmtiles"), "this world has the zooms"),
        ((*THERE, "--zooms", "22", "--out", "a.tif"), "this world has the zooms"),
    ],
)
def test_wrong_requests_say_what_to_do(run, cascade, cache, tmp_path, monkeypatch, further, message):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*ask(cascade, cache, *further))
    assert status == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []
