"""GeoTIFFs, read back by rasterio and rio-tiler."""

import json

import numpy as np
import pytest
import rasterio
from PIL import Image
from rio_cogeo import cog_validate
from rio_tiler.io import Reader

from git10m.grid import Tile, pixel_size_m
from text2earth.exporting import Area, Tiles, export
from text2earth.provenance import DIGITAL_SOURCE_TYPE

ALPS = Area(5.3, 43.1, 29.7, 51.9)


def test_a_cog_holds_the_worlds_pixels_in_their_place(tmp_path, world):
    path = tmp_path / "alps.tif"
    done = export(world, Tiles(ALPS, (6, 6)), path)
    box = ALPS.box(6)
    assert done["tiles"] > 9
    assert box.x % 256 != 0
    assert box.width > 1024
    with rasterio.open(path) as found:
        pixels = np.moveaxis(found.read(), 0, -1)
        assert np.array_equal(pixels, world.region(6, box.x, box.y, box.width, box.height))
        assert found.crs.to_epsg() == 3857
        assert found.res == pytest.approx((pixel_size_m(6),) * 2)
        west, south, east, north = rasterio.warp.transform_bounds(found.crs, "EPSG:4326", *found.bounds)
        assert (west, south, east, north) == pytest.approx(ALPS.bounds, abs=0.03)
        assert found.overviews(1) == [2, 4]
        assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        tags = found.tags()
    assert (tags["SYNTHETIC"], tags["DIGITAL_SOURCE_TYPE"]) == ("YES", DIGITAL_SOURCE_TYPE)
    assert (tags["MODEL"], tags["SEED"], tags["PROMPT"], tags["LEVEL"]) == ("waves", "7", "fields & <woods>", "6")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["alps.stac.json", "alps.tif"]
    with Image.open(path) as found:
        assert DIGITAL_SOURCE_TYPE.encode() in found.tag_v2[700]
    item = json.loads((tmp_path / "alps.stac.json").read_text(encoding="utf-8"))
    assert item["properties"]["text2earth:synthetic"] is True
    assert item["assets"]["image"]["type"].endswith("profile=cloud-optimized")
    valid, errors, warnings = cog_validate(path)
    assert (valid, errors, warnings) == (True, [], [])


def test_rio_tiler_cuts_the_worlds_tiles_out_of_it(tmp_path, world):
    west, _, _, north = Tile(5, 16, 10).bounds
    _, south, east, _ = Tile(5, 17, 10).bounds
    export(world, Tiles(Area(west, south, east, north), (6, 6)), tmp_path / "tiles.tif")
    with Reader(str(tmp_path / "tiles.tif")) as reader:
        cut = np.moveaxis(reader.tile(33, 21, 6).data, 0, -1)
        assert np.array_equal(cut, world.tile(6, 33, 21))
        # Coarser tiles come from the overviews, which are means as the world's own zooms are.
        cut = np.moveaxis(reader.tile(17, 10, 5).data, 0, -1).astype(int)
        assert np.abs(cut - world.tile(5, 17, 10)).max() <= 1


def test_a_cog_goes_round_the_world(tmp_path, world):
    area = Area(170.0, -10.0, -170.0, 10.0)
    export(world, Tiles(area, (6, 6)), tmp_path / "pacific.tif")
    box = area.box(6)
    with rasterio.open(tmp_path / "pacific.tif") as found:
        assert np.array_equal(np.moveaxis(found.read(), 0, -1), world.region(6, box.x, box.y, box.width, box.height))
    item = json.loads((tmp_path / "pacific.stac.json").read_text(encoding="utf-8"))
    assert item["bbox"] == pytest.approx([170.0, -10.0, -170.0, 10.0], abs=0.03)


def test_an_area_of_one_pixel_is_a_cog(tmp_path, world):
    export(world, Tiles(Area(10.0, 47.0, 10.0001, 47.0001), (2, 2)), tmp_path / "dot.tiff")
    with rasterio.open(tmp_path / "dot.tiff") as found:
        assert (found.width, found.height) == (1, 1)
