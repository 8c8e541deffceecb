"""A finished dataset, read by position."""

from __future__ import annotations

from pathlib import Path

import pytest
import shapely

from git10m import open_dataset
from git10m.errors import DatasetError


def test_rows_come_by_position_with_decoded_images(small_dataset: Path) -> None:
    dataset = open_dataset(small_dataset)
    row = dataset[0]
    assert row["image"].size == (row["width"], row["height"])
    assert row["image"].mode == "RGB"
    assert dataset[-1]["img_name"] == dataset[len(dataset) - 1]["img_name"]


def test_positions_iteration_and_index_agree(small_dataset: Path) -> None:
    dataset = open_dataset(small_dataset)
    names = [row["img_name"] for row in dataset]
    assert names == [dataset[i]["img_name"] for i in range(len(dataset))] == dataset.index["img_name"].tolist()


def test_the_index_is_a_map_layer(small_dataset: Path) -> None:
    index = open_dataset(small_dataset).index
    placed = index[index["level"] > 0]
    centres = shapely.points(placed["lon"], placed["lat"])
    assert placed.crs.to_epsg() == 4326 or placed.crs.to_string() == "OGC:CRS84"
    assert shapely.contains(placed.geometry.to_numpy(), centres).all()


def test_a_position_beyond_the_end_is_an_index_error(small_dataset: Path) -> None:
    dataset = open_dataset(small_dataset)
    with pytest.raises(IndexError, match=f"{len(dataset)} rows"):
        dataset[len(dataset)]


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"manifest\.json"):
        open_dataset(tmp_path)
