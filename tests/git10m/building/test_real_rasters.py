"""The recipe of real rasters, on the real rasters: what a regional rebuilder gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import git10m
from git10m.dataset import Dataset
from git10m.verify import verify

RECIPE = Path(__file__).parents[3] / "pipelines" / "real-rasters.toml"


@pytest.fixture(scope="module")
def dataset(imagery: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("real") / "dataset"
    return git10m.build(RECIPE, output=folder, variables={"imagery": str(imagery / "rasters")})


def test_enough_whole_tiles_of_enough_places_and_levels(dataset: Dataset) -> None:
    index = dataset.index
    places = {(round(lon), round(lat)) for lon, lat in zip(index["lon"], index["lat"], strict=True)}
    assert len(index) >= 120
    assert (index["valid_fraction"] >= 0.95).all()
    assert len(places) >= 5
    assert index["level"].nunique() >= 4


def test_nothing_is_finer_than_its_source(dataset: Dataset) -> None:
    assert (dataset.index["gsd_m"] >= 0.8 * dataset.index["native_gsd_m"] * (1 - 1e-9)).all()


def test_every_planned_tile_is_accounted_for(dataset: Dataset) -> None:
    counts = dataset.manifest["counts"]
    assert counts["planned"] == counts["kept"] + sum(counts["dropped"].values()) + sum(counts["failed"].values())
    assert not any(item["error"] for item in dataset.manifest["items"])
    assert verify(dataset.folder) == []


def test_several_dates_of_one_place_are_rows_of_their_own(dataset: Dataset) -> None:
    naip = dataset.index[dataset.index["source_id"] == "naip-nd"]
    assert sorted({moment.year for moment in naip["acquired_at"]}) == [2009, 2012, 2015, 2017, 2018, 2020]
    assert naip.groupby("Google_location")["acquired_at"].nunique().max() == 6


def test_colours_are_right(dataset: Dataset) -> None:
    """Prairie pots are greener than blue, forested hills in snow are dark and bluish, grey imagery is grey."""
    means = {row["img_name"]: np.asarray(row["image"], dtype=float).mean(axis=(0, 1)) for row in dataset}
    summer = [mean for name, mean in means.items() if name.startswith("naip-nd_20180716")]
    assert all(green > red and green > blue for red, green, blue in summer)
    virginia = [mean for name, mean in means.items() if name.startswith("naip-va")]
    assert all(green > blue for _, green, blue in virginia)
    grey = [mean for name, mean in means.items() if name.startswith(("worldview", "landsat-grey", "sentinel-2-b01"))]
    assert grey and all(np.ptp(mean) < 1.0 for mean in grey)
    sea = [mean for name, mean in means.items() if name.startswith("landsat-bahamas_9_144_220")]
    assert all(blue > red for red, _, blue in sea)


def test_a_year_alone_is_no_date(dataset: Dataset) -> None:
    peru = dataset.index[dataset.index["source_id"] == "landsat-peru"]
    assert set(peru["acquired_precision"]) == {"year"}
    assert all(facts["date"] is None and facts["season"] is None for facts in peru["caption_facts"])
