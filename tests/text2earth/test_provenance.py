from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.warp import transform

from git10m.grid import Tile, pixel_size_m
from text2earth.errors import RequestError
from text2earth.provenance import DIGITAL_SOURCE_TYPE, Origin, footprint_m, write_geotiff, write_png

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
ORIGIN = Origin(model="demo", prompt='rivers & "fields" <é>', level=15, seed=3, steps=20, guidance_scale=4.0)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_png_says_that_it_is_synthetic(tmp_path, pixels):
    write_png(pixels, tmp_path / "new" / "a.png", origin=ORIGIN)
    with Image.open(tmp_path / "new" / "a.png") as found:
        assert np.array_equal(np.asarray(found), pixels)
        text = dict(found.text)
    assert text["SYNTHETIC"] == "YES"
    assert (text["MODEL"], text["PROMPT"], text["LEVEL"], text["SEED"]) == ("demo", ORIGIN.prompt, "15", "3")
    described = ElementTree.fromstring(text["XML:com.adobe.xmp"]).find(f".//{RDF}Description")
    source_type = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    assert described.get(source_type) == DIGITAL_SOURCE_TYPE
    assert described.find(f".//{RDF}li").text == ORIGIN.prompt


def test_geotiff_says_that_it_is_synthetic_and_lies_on_the_levels_grid(tmp_path, pixels):
    lon, lat = 11.5761, 48.1374
    write_geotiff(pixels, tmp_path / "a.tif", origin=ORIGIN, lon=lon, lat=lat)
    with rasterio.open(tmp_path / "a.tif") as found:
        assert np.array_equal(np.moveaxis(found.read(), 0, -1), pixels)
        tags, size = found.tags(), pixel_size_m(15)
        assert tags["SYNTHETIC"] == "YES"
        assert tags["DIGITAL_SOURCE_TYPE"] == DIGITAL_SOURCE_TYPE
        assert (tags["PROMPT"], tags["SEED"], tags["LEVEL"]) == (ORIGIN.prompt, "3", "15")
        assert found.crs.to_epsg() == 3857
        assert found.res == pytest.approx((size, size))
        (x,), (y,) = transform("EPSG:4326", "EPSG:3857", [lon], [lat])
        centre = found.transform @ (found.width / 2, found.height / 2)
        assert np.abs(np.subtract(centre, (x, y))).max() <= size / 2 + 1e-6
        west, _, _, north = Tile.from_lonlat(lon, lat, 15).bounds_m
        offset = np.array([found.bounds.left - west, north - found.bounds.top]) / size
        assert np.abs(offset - offset.round()).max() < 1e-6


def test_a_tiles_centre_gives_the_tile():
    tile = Tile(15, 17438, 11371)
    lon, lat = tile.centre
    assert footprint_m(15, lon=lon, lat=lat, width=256, height=256) == pytest.approx(tile.bounds_m)


@given(st.integers(2, 22), st.floats(-170, 170), st.floats(-80, 80), st.integers(1, 64), st.integers(1, 64))
def test_footprint_has_the_asked_size(level, lon, lat, width, height):
    size = pixel_size_m(level)
    try:
        west, south, east, north = footprint_m(level, lon=lon, lat=lat, width=width, height=height)
    except RequestError:
        assert level < 5  # only there are 32 px a matter of degrees
        return
    assert (east - west) / size == pytest.approx(width, abs=1e-4)
    assert (north - south) / size == pytest.approx(height, abs=1e-4)


@pytest.mark.parametrize(
    ("level", "lon", "lat", "message"),
    [
        (0, 0.0, 0.0, "needs a level of 1–22"),
        (12, 181.0, 0.0, "lon is −180…180"),
        (12, 0.0, 86.0, "lat −85.0511…85.0511"),
        (12, 179.9999, 0.0, "leave the EPSG:3857 square"),
    ],
)
def test_impossible_places_are_refused(level, lon, lat, message):
    with pytest.raises(RequestError, match=message):
        footprint_m(level, lon=lon, lat=lat, width=256, height=256)
