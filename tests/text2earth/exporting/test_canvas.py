"""Canvases, painted by a network that costs nothing; read back by rasterio, rio-cogeo and rio-tiler."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rio_cogeo import cog_validate
from rio_tiler.io import Reader
from small_networks import AnalyticNetwork

from text2earth.errors import ExportError, RequestError
from text2earth.exporting import canvas as canvas_module
from text2earth.exporting.canvas import Canvas, box_around, write_canvas
from text2earth.provenance import DIGITAL_SOURCE_TYPE
from text2earth.world import Box, World, WorldModel, WorldSettings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def world():
    model = WorldModel(AnalyticNetwork(), "analytic", (8, 10), 2)
    settings = WorldSettings(mode="trimmed", threads=1)
    return World.open(model, seed=3, prompt="fields & <woods>", settings=settings)


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of 128 px, so that a small canvas has several."""
    monkeypatch.setattr(canvas_module, "_PIECE_PX", 128)


CANVAS = Canvas(10, Box(131_000, 90_000, 300, 200))


def test_a_canvas_is_a_valid_cog_of_the_worlds_pixels_in_their_place(world, tmp_path, small_pieces):
    path = tmp_path / "canvas.tif"
    done = write_canvas(world, path, canvas=CANVAS)
    assert (done["pieces"], done["painted"]) == (6, 6)
    with rasterio.open(path) as found:
        assert np.array_equal(np.moveaxis(found.read(), 0, -1), world.region(10, CANVAS.box))
        assert found.crs.to_epsg() == 3857
        assert found.bounds.left == pytest.approx(131_000 * found.res[0] - 20037508.342789244)
        assert [colour.name for colour in found.colorinterp] == ["red", "green", "blue"]
        tags = found.tags()
    assert (tags["SYNTHETIC"], tags["PROMPT"], tags["SEED"], tags["LEVEL"]) == ("YES", "fields & <woods>", "3", "10")
    assert cog_validate(path) == (True, [], [])
    with Image.open(path) as found:
        assert DIGITAL_SOURCE_TYPE.encode() in found.tag_v2[700]
    item = json.loads((tmp_path / "canvas.stac.json").read_text(encoding="utf-8"))
    assert item["properties"]["text2earth:synthetic"] is True
    assert sorted(each.name for each in tmp_path.iterdir()) == ["canvas.stac.json", "canvas.tif"]


def test_rio_tiler_cuts_the_worlds_tile_out_of_a_canvas(world, tmp_path):
    box = box_around(level=10, lon=7.0, lat=46.0, width=512, height=512)
    write_canvas(world, tmp_path / "alps.tif", canvas=Canvas(10, box))
    x, y = -(-box.x // 256), -(-box.y // 256)
    with Reader(str(tmp_path / "alps.tif")) as reader:
        assert np.array_equal(np.moveaxis(reader.tile(x, y, 10).data, 0, -1), world.tile(10, x, y))


def test_a_canvas_that_was_stopped_goes_on_with_the_pieces_that_are_there(world, tmp_path, small_pieces):
    asked = []

    class Stopping:
        def __getattr__(self, name):
            return getattr(world, name)

        def region(self, z, box):
            asked.append(box)
            if len(asked) == 4:
                raise KeyboardInterrupt
            return world.region(z, box)

    path, whole = tmp_path / "canvas.tif", tmp_path / "whole.tif"
    with pytest.raises(KeyboardInterrupt):
        write_canvas(Stopping(), path, canvas=CANVAS)
    assert not path.exists()
    done = write_canvas(Stopping(), path, canvas=CANVAS)
    assert (done["pieces"], done["painted"]) == (6, 3)
    assert len(asked) == 4 + 3
    write_canvas(world, whole, canvas=CANVAS)
    assert path.read_bytes() == whole.read_bytes()


def test_pieces_of_another_canvas_and_files_that_exist_are_refused(world, tmp_path, small_pieces):
    path = tmp_path / "canvas.tif"
    other = World.open(world.model, seed=4, prompt=world.prompt)
    held = canvas_module._held(tmp_path / "canvas.tif.pieces", canvas_module._identity(other, CANVAS))
    with held, pytest.raises(ExportError, match="another process"):
        write_canvas(world, path, canvas=CANVAS)
    with pytest.raises(ExportError, match="pieces of another canvas"):
        write_canvas(world, path, canvas=CANVAS)
    path.write_bytes(b"kept")
    with pytest.raises(ExportError, match="exists"):
        write_canvas(world, path, canvas=CANVAS)
    assert path.read_bytes() == b"kept"


def test_a_box_around_a_place_lies_on_the_levels_grid():
    assert box_around(level=3, lon=0.0, lat=0.0, width=100, height=50) == Box(974, 999, 100, 50)
    with pytest.raises(RequestError, match="leave the EPSG:3857 square"):
        box_around(level=3, lon=0.0, lat=85.0, width=100, height=500)


PAINT = """
import resource, sys
from pathlib import Path
from small_networks import AnalyticNetwork
from text2earth.exporting.canvas import Canvas, write_canvas
from text2earth.world import Box, World, WorldModel, WorldSettings
side, out = int(sys.argv[1]), Path(sys.argv[2])
model = WorldModel(AnalyticNetwork(window=256, texture=0.02), "analytic", (10, 12), 2)
world = World.open(model, settings=WorldSettings(mode="trimmed", threads=1, memory_bytes=4 << 20))
write_canvas(world, out, canvas=Canvas(12, Box(65536, 65536, side, side)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(side, folder):
    """Peak memory of a fresh process that paints a canvas."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PAINT, str(side), str(folder / f"{side}.tif")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


@pytest.mark.slow
def test_memory_hardly_grows_with_a_canvas(tmp_path):
    """Sixteen times the area; larger ones take most of an hour."""
    small, large = peak_kib(1024, tmp_path), peak_kib(4096, tmp_path)
    print(f"peak memory: {small / 1024:.0f} MiB of 1,024² px, {large / 1024:.0f} MiB of 4,096² px")
    assert large <= 1.25 * small
    assert cog_validate(tmp_path / "4096.tif") == (True, [], [])
