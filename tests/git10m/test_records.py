"""The row type, and its schema as Arrow, Hugging Face and GeoParquet read it."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import datasets
import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from PIL import Image

from git10m import records
from git10m.grid import Tile
from git10m.metadata import encode, place_columns
from git10m.recipe import ImageFormat
from git10m.records import GIT10M_COLUMNS, PLACE_COLUMNS, Rejection, Row
from git10m.shards import write_table

TILES = [Tile(14, 8848 + i, 5550) for i in range(6)]


def row(tile: Tile, *, value: int = 90, **said: Any) -> Row:
    pixels = np.full((256, 256, 3), value, dtype=np.uint8)
    place = place_columns(tile)
    content: dict[str, Any] = {
        "image": {"bytes": encode(pixels, ImageFormat(format="png")), "path": f"{tile.name}.png"},
        "img_name": f"{tile.name}.png",
        "caption": "A field.",
        "caption_length": 2,
        "width": 256,
        "height": 256,
        "gsd_m": tile.gsd_m(),
        "native_gsd_m": 6.0,
        "source_id": "survey",
        "acquired_at": datetime(2020, 8, 31, 10, 0, 31, tzinfo=UTC),
        "acquired_precision": "second",
        "sources": [{"source_id": "survey", "source_item": "a.tif", "share": 1.0}],
        "sha256": "0" * 64,
        "caption_facts": {
            "platform": "satellite",
            "date": date(2020, 8, 31),
            "land_cover": [{"name": "water", "share": 0.5, "part": None}],
        },
        "split": "train",
    }
    return Row(**(place | content | said))


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "train-00000-of-00001.parquet"
    write_table(records.table([row(tile, value=40 * i) for i, tile in enumerate(TILES)]), path)
    return path


def test_the_seven_columns_of_git_10m_come_first():
    assert tuple(records.columns())[:7] == GIT10M_COLUMNS
    assert GIT10M_COLUMNS == (
        "image",
        "img_name",
        "img_quality_score",
        "caption",
        "caption_length",
        "resolution",
        "Google_location",
    )


CONTRACT = {
    *("quadkey", "level", "x", "y", "lon", "lat", "gsd_m", "native_gsd_m", "width", "height", "geometry", "bbox"),
    *("source_id", "source_item", "licence", "attribution", "acquired_at", "sources", "sha256", "phash"),
    *("valid_fraction", "caption_source", "caption_version", "caption_facts", "split"),
}


def test_the_columns_that_the_contract_names_are_there():
    assert set(records.columns()) >= CONTRACT
    assert {"source_id", "source_item", "licence", "attribution", "acquired_at", "share"} == {
        field.name for field in records.SOURCE
    }


@pytest.mark.parametrize("record", [Row, Rejection])
def test_fields_and_columns_are_the_same_and_each_is_explained(record: Any):
    columns = records.columns(record)
    assert list(columns) == [field.name for field in dataclasses.fields(record)] == records.schema(record).names
    assert all(column.meaning for column in columns.values())


def test_the_image_column_is_the_one_struct_that_hugging_face_recognises():
    field = records.schema().field("image")
    assert field.nullable
    assert [(child.name, child.type, child.nullable) for child in field.type] == [
        ("bytes", pa.binary(), True),
        ("path", pa.string(), True),
    ]
    assert json.loads(records.schema().metadata[b"huggingface"])["info"]["features"]["image"] == {"_type": "Image"}


@pytest.mark.parametrize("record", [Row, Rejection])
def test_the_stated_features_are_those_of_the_columns(record: Any):
    """``datasets`` itself translates them, both ways."""
    schema = records.schema(record)
    features = datasets.Features.from_arrow_schema(schema)
    assert list(features) == schema.names
    assert features.arrow_schema.types == schema.types


def test_hugging_face_shows_images_and_all_values(shard: Path, tmp_path: Path):
    loaded = datasets.load_dataset(
        "parquet", data_files=str(shard), split="train", cache_dir=str(tmp_path / "cache"), keep_in_memory=True
    )
    assert len(loaded) == 6
    assert loaded.column_names == list(records.columns())
    first = loaded[1]
    assert isinstance(first["image"], Image.Image)
    assert first["image"].size == (256, 256)
    assert first["image"].getpixel((0, 0)) == (40, 40, 40)
    assert first["caption"] == "A field."
    assert first["Google_location"] == TILES[1].name
    assert first["sources"][0]["source_item"] == "a.tif"
    assert first["caption_facts"]["land_cover"][0]["name"] == "water"


def test_geopandas_filters_by_the_bounding_box(shard: Path):
    lon, lat = TILES[3].centre
    frame = geopandas.read_parquet(shard, bbox=(lon - 1e-6, lat - 1e-6, lon + 1e-6, lat + 1e-6))
    assert frame["Google_location"].tolist() == [TILES[3].name]
    assert frame.crs.to_epsg() in {4326, None}
    assert frame.geometry.iloc[0].bounds == pytest.approx(TILES[3].bounds)
    whole = geopandas.read_parquet(shard, columns=["geometry", "level"])
    assert len(whole) == 6
    assert shapely.is_ccw(whole.geometry.iloc[0].exterior)


def test_the_geo_key_is_geoparquet_1_1():
    geo = json.loads(records.schema(bounds=(1.0, 2.0, 3.0, 4.0)).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    column = geo["columns"][geo["primary_column"]]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon"]
    assert column["bbox"] == [1.0, 2.0, 3.0, 4.0]
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    assert "crs" not in column  # which means OGC:CRS84: degrees, longitude first


def test_without_images_it_is_an_index_that_is_still_a_map():
    index = records.schema(without=["image"])
    assert "image" not in index.names
    assert b"geo" in index.metadata
    assert "image" not in json.loads(index.metadata[b"huggingface"])["info"]["features"]


def test_rejections_have_no_geometry():
    assert b"geo" not in records.schema(Rejection).metadata


def test_a_row_of_unknown_resolution_has_no_place(tmp_path: Path):
    nowhere = row(TILES[0], level=0, **dict.fromkeys(PLACE_COLUMNS))
    path = tmp_path / "a.parquet"
    write_table(records.table([nowhere]), path)
    (read,) = pq.read_table(path).to_pylist()
    assert read["level"] == 0
    assert all(read[name] is None for name in PLACE_COLUMNS)


def test_what_is_written_is_read_again(shard: Path):
    table = pq.read_table(shard)
    assert table.schema.equals(records.schema())
    assert table.schema.metadata == records.schema().metadata
    assert table.to_pylist() == records.table([row(tile, value=40 * i) for i, tile in enumerate(TILES)]).to_pylist()


def test_an_empty_table_has_the_schema():
    assert records.table([]).schema.equals(records.schema(), check_metadata=True)


def test_rows_of_an_older_version_are_read_as_those_of_this_one():
    """What they lack is null, also within the facts; what is no column any more is left out."""
    old = records.table([row(TILES[0], caption_facts={"platform": "aerial"})]).drop_columns(["caption_flags"])
    facts = old.schema.get_field_index("caption_facts")
    fewer = pa.struct([field for field in records.FACTS if field.name not in {"objects", "relief"}])
    old = old.set_column(facts, "caption_facts", old["caption_facts"].cast(fewer)).append_column("odd", pa.array([1]))
    (read,) = records.conformed(old, records.schema()).to_pylist()
    (expected,) = records.table([row(TILES[0], caption_facts={"platform": "aerial"})]).to_pylist()
    assert read == expected
