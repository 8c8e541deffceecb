"""Quotas in a build: by what covers the ground, by a measure, and recipes that ask for what cannot be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_imagery import built, command, small_units, texture, total, write_recipe, write_scene

from git10m.shards import data_files
from git10m.verify import verify

SIDE = 1900
COVER = '[captions.land_cover]\npath = "${imagery}/../cover.tif"\nclasses = {1 = "forest", 2 = "water", 3 = "town"}\n'


def scene(folder: Path) -> None:
    """Water in the west half, forest in the east but for a town in its south; and the classes of it."""
    pixels = texture(SIDE, SIDE, seed=2)
    pixels[:, :, : SIDE // 2] = pixels[:, :, : SIDE // 2] // 8 + np.array([5, 20, 35], dtype=np.uint8)[:, None, None]
    write_scene(folder / "imagery/a.tif", pixels=pixels)
    classes = np.ones((1, SIDE, SIDE), dtype=np.uint8)
    classes[:, :, : SIDE // 2] = 2
    classes[:, SIDE * 2 // 3 :, SIDE // 2 :] = 3
    write_scene(folder / "cover.tif", pixels=classes)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for file in data_files(folder) for row in pq.read_table(file).to_pylist()]


def dataset(folder: Path, more: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    write_recipe(folder / "recipe.toml", more=more)
    with small_units():
        manifest = built(folder, folder / "dataset")
    assert verify(folder / "dataset") == []
    assert manifest is not None
    assert manifest["counts"]["planned"] == total(manifest["counts"])
    beyond = [row for row in pq.read_table(folder / "dataset/rejected.parquet").to_pylist() if row["reason"] == "quota"]
    return rows_of(folder / "dataset"), beyond


def share_of(row: dict[str, Any], name: str) -> float:
    return sum(part["share"] for part in row["caption_facts"]["land_cover"] or () if part["name"] == name)


def test_a_class_of_the_land_cover_is_at_most_its_share(tmp_path: Path) -> None:
    scene(tmp_path)
    rows, beyond = dataset(
        tmp_path,
        COVER + '[[curation.quotas]]\ncover = "water"\nabove = 0.9\nmost = 0.25\n'
        '[[curation.quotas]]\ncover = "forest"\nabove = 0.9\nmost = 0.15\n',
    )
    assert rows
    assert {row["detail"].partition(":")[0] for row in beyond} == {"water ≥ 0.9", "forest ≥ 0.9"}
    water = [row for row in rows if share_of(row, "water") >= 0.9]
    forest = [row for row in rows if share_of(row, "forest") >= 0.9]
    town = [row for row in rows if share_of(row, "town") >= 0.5]
    assert town
    assert 0 < len(forest) <= 0.15 * len(rows)
    # The first quota held when it was asked; the second took from what was left.
    assert 0 < len(water) <= 0.25 * (len(rows) + sum("forest" in row["detail"] for row in beyond))


def test_the_best_of_a_kind_stay(tmp_path: Path) -> None:
    scene(tmp_path)
    everything, _ = dataset(tmp_path, "")
    (tmp_path / "dataset").rename(tmp_path / "all")
    rows, beyond = dataset(tmp_path, '[[curation.quotas]]\nmeasure = "brightness"\nbelow = 60\nmost = 0.2')
    scores = {row["Google_location"]: row["img_quality_score"] for row in everything}
    dark = [row["Google_location"] for row in rows if row["brightness"] <= 60]
    assert len(everything) == len(rows) + len(beyond)
    assert min(scores[name] for name in dark) >= max(scores[row["Google_location"]] for row in beyond)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('cover = "water"\nabove = 0.5\nmost = 0.1', "needs captions.land_cover"),
        ("above = 0.5\nmost = 0.1", 'needs cover = "a class of the land cover", measure'),
        ('measure = "entropy"\nmost = 0.1', "needs above = the least value of its kind"),
        ('measure = "entropy"\nabove = 1\nmost = 1.5', "less than 1"),
        ('measure = "colour"\nabove = 1\nmost = 0.5', "colour"),
    ],
)
def test_quotas_that_cannot_be_told(tmp_path: Path, capfd: pytest.CaptureFixture[str], lines: str, words: str) -> None:
    write_recipe(tmp_path / "recipe.toml", more=f"[[curation.quotas]]\n{lines}")
    said = command(capfd, "build", tmp_path / "recipe.toml", "--var", "imagery=x", "-o", tmp_path / "d")
    assert said.code == 2
    assert words in said.err


def test_a_class_that_the_land_cover_does_not_have(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quota = COVER + '[[curation.quotas]]\ncover = "sea"\nabove = 0.5\nmost = 0.1'
    write_recipe(tmp_path / "recipe.toml", more=quota)
    said = command(capfd, "build", tmp_path / "recipe.toml", "--var", "imagery=x", "-o", tmp_path / "d")
    assert said.code == 2
    assert "is no class of captions.land_cover; there are forest, town, water" in said.err
