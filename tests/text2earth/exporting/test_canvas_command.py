"""``text2earth canvas``, with a cascade of random weights."""

import json

import numpy as np
import pytest
import rasterio
from small_cascades import nano_cascade

from text2earth.world import Box, World, WorldSettings

BOX = Box(32768 - 20, 32768 - 12, 40, 24)
"""Of level 8, around longitude and latitude 0."""


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "nano-cascade"
    nano_cascade(base_level=6, stages=2, steps=2).save_pretrained(folder)
    return folder


def test_the_command_writes_a_piece_of_the_world(cascade, tmp_path, run):
    out = tmp_path / "canvas.tif"
    size = ("--width", 40, "--height", 24, "--level", 8)
    asked = ("canvas", cascade, "fields", *size, "--seed", 5, "--mode", "tent", "--threads", 1, "--out", out, "--json")
    status, printed, said = run(*asked)
    assert status == 0, said
    report = json.loads(printed.splitlines()[-1])
    assert (report["width"], report["height"], report["painted"]) == (40, 24, 1)
    world = World.open(cascade, seed=5, prompt="fields", settings=WorldSettings(mode="tent", threads=1))
    with rasterio.open(out) as found:
        assert np.array_equal(np.moveaxis(found.read(), 0, -1), world.region(8, BOX))
        assert found.tags()["SYNTHETIC"] == "YES"
    status, _, said = run(*asked)
    assert (status, "exists" in said) == (2, True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--out", "canvas.png"), "a canvas is written as .tif"),
        (("--width", 0), "--width is 0"),
        (("--lat", 89), "lat 89.0 were given"),
        (("--width", 100_000), "leave the EPSG:3857 square"),
        (("--mode", "mosaic"), "mosaic"),
        (("--level", 12), "--level 12 was given; this world has 6–8"),
    ],
)
def test_what_cannot_be_painted_is_refused(cascade, tmp_path, run, wrong, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, said = run("canvas", cascade, "fields", "--level", 8, "--width", 16, "--height", 16, *wrong)
    assert status == 2
    assert message in said
    assert not [*tmp_path.iterdir()]
