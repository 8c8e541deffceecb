"""From a sample to its row."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import shapely
from PIL import Image

from git10m.curation.quality import measure
from git10m.grid import Tile
from git10m.metadata import THUMBNAIL_PX, encode, image_name, place_columns, rejection, row_of, thumbnail
from git10m.recipe import ImageFormat
from git10m.records import columns
from git10m.sources import Contribution, Moment, Request, Sample

TILE = Tile(14, 8848, 5550)
PIXELS = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
MAIN = Contribution(
    source_id="survey",
    source_item="a/b.tif",
    share=0.75,
    native_gsd_m=5.0,
    moment=Moment(datetime(2020, 8, 31, tzinfo=UTC), "day"),
    licence="CC0-1.0",
    attribution="The survey",
    platform="aerial",
    sensor="camera",
    synthetic=False,
)
OTHER = replace(MAIN, source_id="older", share=0.25, moment=None, licence="CC-BY-4.0", synthetic=True)
SAMPLE = Sample(Request(TILE, 0), PIXELS, np.ones((256, 256), dtype=bool), (MAIN, OTHER))


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(("name", "signature"), [("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF"), ("png", b"\x89PNG")])
def test_images_are_encoded_as_asked_and_always_alike(name: str, signature: bytes):
    data = encode(PIXELS, ImageFormat(format=name))
    assert data.startswith(signature)
    assert data == encode(PIXELS.copy(), ImageFormat(format=name))
    assert decoded(data).shape == (256, 256, 3)


def test_png_is_lossless_and_jpeg_keeps_colours_at_full_resolution():
    np.testing.assert_array_equal(decoded(encode(PIXELS, ImageFormat(format="png"))), PIXELS)
    with Image.open(io.BytesIO(encode(PIXELS, ImageFormat(format="jpeg")))) as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


def test_more_quality_is_closer_and_larger():
    rough, fine = (encode(PIXELS, ImageFormat(quality=quality)) for quality in (40, 95))
    assert len(fine) > len(rough)
    errors = [np.abs(decoded(data).astype(int) - PIXELS).mean() for data in (rough, fine)]
    assert errors[1] < errors[0]


def test_a_thumbnail_is_the_image_made_small():
    small = decoded(thumbnail(np.full((512, 512, 3), 120, dtype=np.uint8)))
    assert small.shape == (THUMBNAIL_PX, THUMBNAIL_PX, 3)
    assert np.abs(small.astype(int) - 120).max() <= 2


def test_the_place_of_a_row_is_its_tiles():
    place = place_columns(TILE)
    assert (place["Google_location"], place["level"], place["x"], place["y"]) == ("14_8848_5550", 14, 8848, 5550)
    assert place["resolution"] == 8.0
    assert place["quadkey"] == TILE.quadkey
    outline = shapely.from_wkb(place["geometry"])
    assert outline.bounds == TILE.bounds == tuple(place["bbox"].values())
    assert shapely.is_ccw(outline.exterior)
    assert (place["lon"], place["lat"]) == TILE.centre


def test_a_row_tells_all_sources_and_the_columns_those_of_the_largest():
    row = row_of(SAMPLE, measure(PIXELS, SAMPLE.valid), layer="imagery", image=ImageFormat())
    assert (row.source_id, row.source_item, row.licence, row.attribution) == (
        "survey",
        "a/b.tif",
        "CC0-1.0",
        "The survey",
    )
    assert (row.acquired_at, row.acquired_precision) == (datetime(2020, 8, 31, tzinfo=UTC), "day")
    assert row.sources is not None
    assert [(part["source_id"], part["share"]) for part in row.sources] == [("survey", 0.75), ("older", 0.25)]
    assert row.sources[1]["acquired_at"] is None
    assert row.synthetic  # one computed part is enough to say so
    assert row.gsd_m == TILE.gsd_m()
    assert row.native_gsd_m == 5.0
    assert row.sha256 == hashlib.sha256(row.image["bytes"]).hexdigest()
    assert row.image["path"] == row.img_name == "survey_20200831_14_8848_5550.jpg"
    assert (row.width, row.height, row.valid_fraction) == (256, 256, 1.0)
    assert row.phash is not None
    assert len(row.phash) == 16


def test_the_gsd_of_a_larger_tile_is_finer():
    large = replace(SAMPLE, pixels=PIXELS.repeat(2, 0).repeat(2, 1), valid=np.ones((512, 512), dtype=bool))
    row = row_of(large, measure(large.pixels, large.valid), layer="imagery", image=ImageFormat())
    assert row.gsd_m == pytest.approx(TILE.gsd_m() / 2)


@pytest.mark.parametrize(
    ("layer", "moment", "name"),
    [
        ("imagery", None, "survey_14_8848_5550.jpg"),
        ("survey", None, "survey_14_8848_5550.jpg"),
        ("winter", None, "survey_winter_14_8848_5550.jpg"),
        ("imagery", Moment(datetime(1985, 1, 1, tzinfo=UTC), "year"), "survey_1985_14_8848_5550.jpg"),
        ("imagery", Moment(datetime(2021, 7, 1, tzinfo=UTC), "month"), "survey_202107_14_8848_5550.jpg"),
        (
            "imagery",
            Moment(datetime(2020, 8, 31, 10, 0, 31, tzinfo=UTC), "second"),
            "survey_20200831T100031_14_8848_5550.jpg",
        ),
    ],
)
def test_names_tell_source_layer_date_and_tile(layer: str, moment: Moment | None, name: str):
    assert image_name(SAMPLE.request, layer=layer, main=replace(MAIN, moment=moment)) == name.removesuffix(".jpg")


def test_a_rejection_tells_place_verdict_and_reason():
    found = rejection(
        SAMPLE.request, verdict="dropped", reason="entropy", detail="too flat", source_id="survey", layer="imagery"
    )
    assert (found.Google_location, found.lon, found.lat) == (TILE.name, *TILE.centre)
    assert (found.verdict, found.reason, found.detail) == ("dropped", "entropy", "too flat")
    assert found.thumbnail is None
    assert set(columns(type(found))) >= {"source_id", "layer", "acquired_at"}
