import io
import json
import struct
from xml.etree import ElementTree

import numpy as np
import pystac
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.transform import from_origin
from rasterio.warp import transform

from git10m.grid import HALF_WORLD_M, Tile, pixel_size_m
from text2earth import provenance
from text2earth.errors import RequestError
from text2earth.provenance import (
    DIGITAL_SOURCE_TYPE,
    Origin,
    encode,
    footprint_m,
    mark_geotiff,
    stac_item,
    write_geotiff,
    write_geotiff_like,
    write_png,
    xmp_packet,
)

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
OWN = "{urn:text2earth:origin:}"
ORIGIN = Origin(
    model="demo",
    prompt='rivers & "fields" <é>',
    level=15,
    seed=3,
    steps=20,
    guidance_scale=4.0,
    model_hash="ab12",
)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def assert_marked(packet: str | bytes):
    """An XMP packet says what newsrooms look for, and how the picture was made."""
    described = ElementTree.fromstring(packet).find(f".//{RDF}Description")
    assert described.get(f"{IPTC}DigitalSourceType") == DIGITAL_SOURCE_TYPE
    assert described.get(f"{IPTC}AISystemUsed") == "demo"
    assert described.get(f"{IPTC}AISystemVersionUsed") == "ab12"
    assert described.get(f"{IPTC}AIPromptInformation") == ORIGIN.prompt
    assert (described.get(f"{OWN}Level"), described.get(f"{OWN}Seed")) == ("15", "3")
    assert described.find(f".//{RDF}li").text == ORIGIN.prompt


def test_png_says_that_it_is_synthetic(tmp_path, pixels):
    write_png(pixels, tmp_path / "new" / "a.png", origin=ORIGIN)
    with Image.open(tmp_path / "new" / "a.png") as found:
        assert np.array_equal(np.asarray(found), pixels)
        text = dict(found.text)
    assert text["SYNTHETIC"] == "YES"
    assert (text["MODEL"], text["PROMPT"], text["LEVEL"], text["SEED"]) == ("demo", ORIGIN.prompt, "15", "3")
    assert_marked(text["XML:com.adobe.xmp"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


@pytest.mark.parametrize(("kind", "quality"), [("png", None), ("webp", None), ("webp", 80), ("jpg", None), ("jpg", 70)])
def test_every_kind_of_picture_carries_the_packet(pixels, kind, quality):
    encoded = encode(pixels, kind, origin=ORIGIN, quality=quality)
    assert encoded == encode(pixels.copy(), kind, origin=ORIGIN, quality=quality)
    with Image.open(io.BytesIO(encoded)) as found:
        assert_marked(found.info["xmp"])
        lossless = kind != "jpg" and quality is None
        assert np.array_equal(np.asarray(found.convert("RGB")), pixels) == lossless


@pytest.mark.parametrize(
    ("kind", "quality", "message"),
    [
        ("bmp", None, "kind 'bmp' were asked for; there are png, webp, jpg"),
        ("png", 80, "quality 80 was given for PNG"),
        ("jpg", 0, "quality 0 was given; it is 1–100"),
        ("webp", 101, "quality 101 was given; it is 1–100"),
    ],
)
def test_pictures_that_cannot_be_are_refused(pixels, kind, quality, message):
    with pytest.raises(RequestError, match=message):
        encode(pixels, kind, origin=ORIGIN, quality=quality)


@pytest.mark.parametrize("prompt", ["a\x00b\x1f", "half \ud83d of a pair", "x" * 100_000, '"]]>&<'])
def test_a_prompt_may_be_anything(pixels, prompt):
    for kind in ("png", "webp", "jpg"):
        with Image.open(io.BytesIO(encode(pixels, kind, origin=Origin("m", prompt, 1, 0)))) as found:
            described = ElementTree.fromstring(found.info["xmp"]).find(f".//{RDF}Description")
            assert described.get(f"{IPTC}DigitalSourceType") == DIGITAL_SOURCE_TYPE
            assert described.get(f"{IPTC}AIPromptInformation")[0] == prompt[0]


def test_what_is_not_known_is_not_said():
    assert not {"STEPS", "GUIDANCE_SCALE", "MODEL_HASH"} & Origin("m", "p", 0, 0).tags().keys()
    assert "AISystemVersionUsed" not in xmp_packet(Origin("m", "p", 0, 0))


def test_an_mp4_takes_the_packet_as_a_box():
    box = provenance.mp4_box(ORIGIN)
    assert struct.unpack(">I4s", box[:8]) == (len(box), b"uuid")
    assert_marked(box[24:])


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
    with Image.open(tmp_path / "a.tif") as found:  # the tags that every reader of TIFF knows
        assert found.tag_v2[270].startswith("Synthetic image made by a generative model")
        assert found.tag_v2[305].startswith("text2earth")
        assert_marked(found.tag_v2[700])


def test_beside_a_geotiff_stands_a_stac_item(tmp_path, pixels):
    lon, lat = 11.5761, 48.1374
    write_geotiff(pixels, tmp_path / "a.tif", origin=ORIGIN, lon=lon, lat=lat)
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "a.stac.json"}
    item = json.loads((tmp_path / "a.stac.json").read_text(encoding="utf-8"))
    said = {key.removeprefix("text2earth:"): value for key, value in item["properties"].items()}
    assert said["synthetic"] is True
    assert said["digital_source_type"] == DIGITAL_SOURCE_TYPE
    assert (said["model"], said["model_hash"], said["prompt"], said["seed"]) == ("demo", "ab12", ORIGIN.prompt, 3)
    west, south, east, north = item["bbox"]
    assert west < lon < east
    assert south < lat < north
    assert item["assets"]["image"]["href"] == "./a.tif"
    assert said["proj:code"] == "EPSG:3857"


def test_the_item_is_what_stac_asks_for(tmp_path, pixels):
    write_geotiff(pixels, tmp_path / "a.tif", origin=ORIGIN, lon=8.0, lat=47.0)
    item = json.loads((tmp_path / "a.stac.json").read_text(encoding="utf-8"))
    pystac.Item.from_dict(item | {"stac_extensions": []}).validate()  # an extension's schema lies on the network


def test_an_item_goes_round_the_world(tmp_path, pixels):
    size = pixel_size_m(10)
    with rasterio.open(
        tmp_path / "a.tif",
        "w",
        driver="GTiff",
        dtype="uint8",
        count=3,
        width=64,
        height=48,
        crs="EPSG:3857",
        transform=from_origin(HALF_WORLD_M - 32 * size, 0.0, size, size),
    ) as target:
        target.write(np.moveaxis(pixels, -1, 0))
        mark_geotiff(target, origin=ORIGIN)
    item = stac_item(tmp_path / "a.tif", origin=ORIGIN)
    west, _, east, _ = item["bbox"]
    assert 179.9 < west < 180.0
    assert -180.0 < east < -179.9
    assert item["geometry"]["type"] == "MultiPolygon"


def test_a_geotiff_like_another_keeps_its_place_and_is_marked(tmp_path, pixels):
    place = {"crs": "EPSG:32632", "transform": from_origin(600_000.0, 5_300_000.0, 10.0, 10.0)}
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "width": 64, "height": 48, **place}
    with rasterio.open(tmp_path / "given.tif", "w", **profile) as target:
        target.write(np.moveaxis(pixels, -1, 0))
    write_geotiff_like(pixels, tmp_path / "made.tif", origin=ORIGIN, like=tmp_path / "given.tif")
    with rasterio.open(tmp_path / "made.tif") as found:
        assert found.transform == place["transform"]
        assert found.tags()["SYNTHETIC"] == "YES"
    item = json.loads((tmp_path / "made.stac.json").read_text(encoding="utf-8"))
    assert item["properties"]["proj:code"] == "EPSG:32632"
    assert 10.0 < item["bbox"][0] < 10.5


def test_a_write_that_fails_leaves_nothing(tmp_path, pixels):
    with pytest.raises(RequestError):
        write_geotiff(pixels, tmp_path / "a.tif", origin=ORIGIN, lon=0.0, lat=86.0)
    with pytest.raises(ValueError, match="shape"):
        write_geotiff_like(pixels[..., :2], tmp_path / "b.tif", origin=ORIGIN, like=_placed(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"given.tif"}


def _placed(folder):
    place = {"crs": "EPSG:3857", "transform": from_origin(0.0, 0.0, 2.0, 2.0)}
    with rasterio.open(
        folder / "given.tif", "w", driver="GTiff", dtype="uint8", count=1, width=4, height=4, **place
    ) as target:
        target.write(np.zeros((1, 4, 4), np.uint8))
    return folder / "given.tif"


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
