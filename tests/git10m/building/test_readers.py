"""A dataset folder opens as it is in the tools that scientists have."""

import io
import math
from pathlib import Path

import duckdb
import geopandas
import pyarrow.parquet as pq
import pytest
import shapely
from PIL import Image
from small_imagery import built, write_recipe, write_scene

from git10m.records import GIT10M_COLUMNS
from git10m.shards import data_files


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("read")
    write_scene(folder / "imagery/a.tif", size=1300)
    write_recipe(folder / "recipe.toml", more="[splits]\nvalidation = 0.3\ntest = 0.2\nseed = 3")
    built(folder, folder / "dataset")
    return folder / "dataset"


def rows(dataset: Path) -> list[dict]:
    return pq.read_table(dataset / "index.parquet").to_pylist()


def test_hugging_face_datasets_shows_pictures_and_the_seven_columns(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    files: dict[str, list[str]] = {}
    for file in data_files(dataset):
        files.setdefault(file.name.split("-")[0], []).append(str(file))
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path))
    assert set(loaded) == set(files)
    assert sum(len(part) for part in loaded.values()) == len(rows(dataset))
    for part in loaded.values():
        assert part.column_names[:7] == list(GIT10M_COLUMNS)
        first = part[0]
        assert isinstance(first["image"], Image.Image)
        assert first["image"].size == (256, 256)
        assert len(first["caption"].split()) == first["caption_length"]
        assert first["resolution"] == 2.0 ** (17 - first["level"])


def test_the_whole_folder_loads_by_its_card(dataset: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(dataset), cache_dir=str(tmp_path))
    assert {name: len(part) for name, part in loaded.items()} == {
        split: sum(row["split"] == split for row in rows(dataset)) for split in loaded
    }


def test_geopandas_filters_the_index_and_the_shards_by_a_box(dataset: Path) -> None:
    every = geopandas.read_parquet(dataset / "index.parquet")
    assert every.crs == "OGC:CRS84"
    middle = every[every.level == 15].geometry.iloc[4].centroid
    box = (middle.x - 1e-6, middle.y - 1e-6, middle.x + 1e-6, middle.y + 1e-6)
    found = geopandas.read_parquet(dataset / "index.parquet", bbox=box)
    assert 1 <= len(found) < len(every)
    assert sorted(found.img_name) == sorted(every[every.intersects(shapely.box(*box))].img_name)
    in_shards = [geopandas.read_parquet(file, bbox=box) for file in data_files(dataset)]
    assert sorted(name for part in in_shards for name in part.img_name) == sorted(found.img_name)


def test_duckdb_counts_by_level(dataset: Path) -> None:
    counts = duckdb.sql(f"select level, count(*) from '{dataset}/data/*.parquet' group by level").fetchall()
    expected = {level: sum(row["level"] == level for row in rows(dataset)) for level in (14, 15)}
    assert dict(counts) == expected


def test_the_cards_formula_gives_the_north_west_corner_and_lon_lat_the_centre(dataset: Path) -> None:
    for row in rows(dataset):
        z, x, y = (int(part) for part in row["Google_location"].split("_"))
        n = 2**z
        lon = x / n * 360.0 - 180.0
        lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / n))))
        west, south, east, north = shapely.from_wkb(row["geometry"]).bounds
        assert (lon, lat) == pytest.approx((west, north), abs=1e-9)
        assert row["lon"] == pytest.approx((west + east) / 2, abs=1e-9)
        middle = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * (y + 0.5) / n))))
        assert row["lat"] == pytest.approx(middle, abs=1e-9)
        assert row["bbox"] == {"xmin": west, "ymin": south, "xmax": east, "ymax": north}


def test_the_index_leads_to_the_image(dataset: Path) -> None:
    row = rows(dataset)[-1]
    found = pq.read_table(dataset / row["file"]).slice(row["row"], 1).to_pylist()[0]
    assert found["img_name"] == row["img_name"]
    assert Image.open(io.BytesIO(found["image"]["bytes"])).size == (row["width"], row["height"])
