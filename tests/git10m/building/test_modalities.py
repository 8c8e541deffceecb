"""A second image of every tile: the pairs that cross-modal training needs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_imagery import command, texture, write_scene

from git10m import open_dataset, records
from git10m.errors import RecipeError
from git10m.recipe import parse_recipe

SURVEY = """
[[source]]
id = "survey"
path = "${imagery}/colour*.tif"
bands = [1, 2, 3]
date_pattern = '_(\\d{8})'
"""
NIR = """
[[modality]]
name = "nir"
source = "survey"
bands = [4]
"""
RADAR = """
[[source]]
id = "radar"
path = "${imagery}/radar.tif"
bands = [1]
rows = false

[[modality]]
name = "sar"
source = "radar"
scale = [-25, 0]
decibels = true
"""


def recipe(folder: Path, text: str, *, more: str = "") -> Path:
    path = folder / "recipe.toml"
    path.write_text(f'name = "pairs"\n{more}\n[tiles]\nlevels = [15]\nmin_valid = 0.9\n{text}', encoding="utf-8")
    return path


Capture = pytest.CaptureFixture[str]


def build(capfd: Capture, folder: Path, text: str, *, name: str = "dataset", more: str = "") -> Path:
    """Build and verify a dataset of the imagery in a folder."""
    out = folder / name
    order = ["build", recipe(folder, text, more=more), "--output", out, "--var", f"imagery={folder}", "--workers", 1]
    done = command(capfd, *order)
    assert done.code == 0, done.err
    checked = command(capfd, "verify", out, "--workers", 1)
    assert checked.code == 0, checked.err
    return out


def table(out: Path) -> list[dict]:
    return [row for file in sorted((out / "data").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def opened(image: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image["bytes"]))).astype(int)


def test_a_fourth_band_becomes_a_grey_image_on_the_same_grid(capfd: Capture, tmp_path: Path):
    pixels = texture(1400, 1400, seed=1, bands=4)
    pixels[3] = 255 - pixels[0]  # near infrared is the negative of red here, so that the grid can be checked
    write_scene(tmp_path / "colour_20200701.tif", pixels=pixels)
    out = build(capfd, tmp_path, SURVEY + NIR, more='image.format = "png"')
    rows = table(out)
    assert rows
    for row in rows:
        red, nir = opened(row["image"])[..., 0], opened(row["image_nir"])
        assert nir.shape == (256, 256)
        seen = (red > 0) & (nir > 0)  # outside the scene both are 0
        assert np.abs(255 - red - nir)[seen].max() <= 1
        assert np.array_equal(red == 0, nir == 0)
        assert row["image_nir"]["path"] == row["img_name"].replace(".png", "_nir.png")
    (file, *_) = sorted((out / "data").glob("*.parquet"))
    noted = records.modalities_of(pq.read_schema(file))
    assert noted == {"nir": {"source": "survey", "bands": [4], "scale": None, "decibels": False}}
    first = open_dataset(out)[0]
    assert first["image"].mode == "RGB"
    assert first["image_nir"].mode == "L"


def test_each_date_is_paired_with_its_own(capfd: Capture, tmp_path: Path):
    for day, seed in (("20200701", 1), ("20210701", 2)):
        pixels = texture(1000, 1000, seed=seed, bands=4)
        pixels[3] = 255 - pixels[0]
        write_scene(tmp_path / f"colour_{day}.tif", pixels=pixels)
    rows = table(build(capfd, tmp_path, SURVEY + NIR, more='image.format = "png"'))
    assert {row["acquired_at"].year for row in rows} == {2020, 2021}
    for row in rows:
        red, nir = opened(row["image"])[..., 0], opened(row["image_nir"])
        assert np.abs(255 - red - nir)[(red > 0) & (nir > 0)].max() <= 1


def test_radar_is_shown_in_decibels_and_gives_no_rows_of_its_own(capfd: Capture, tmp_path: Path):
    write_scene(tmp_path / "colour_20200701.tif", size=1400, seed=1)
    power = np.full((1, 500, 500), 10 ** (-12.5 / 10), dtype=np.float32)  # −12.5 dB: the middle of the scale
    write_scene(tmp_path / "radar.tif", pixels=power, gsd_m=10.0, photometric="MINISBLACK")
    rows = table(build(capfd, tmp_path, SURVEY + RADAR, more='image.format = "png"'))
    assert {row["source_id"] for row in rows} == {"survey"}
    for row in rows:
        radar = opened(row["image_sar"])
        assert set(np.unique(radar[radar > 0])) <= {127, 128}


def test_tiles_without_it_are_dropped_with_a_reason_or_stay_without(capfd: Capture, tmp_path: Path):
    write_scene(tmp_path / "colour_20200701.tif", size=1600, seed=1)
    power = np.full((1, 100, 1000), 0.1, dtype=np.float32)  # only the northern 1,000 m
    write_scene(tmp_path / "radar.tif", pixels=power, gsd_m=10.0, photometric="MINISBLACK")
    strict = build(capfd, tmp_path, SURVEY + RADAR)
    rejected = pq.read_table(strict / "rejected.parquet").to_pylist()
    without = [row for row in rejected if row["reason"] == "modality_sar"]
    assert without
    assert all("no sar: " in row["detail"] and row["thumbnail"] for row in without)

    loose = build(capfd, tmp_path, SURVEY + RADAR + "required = false\n", name="loose")
    rows = table(loose)
    shown = {row["Google_location"] for row in rows if row["image_sar"] is not None}
    assert {row["Google_location"] for row in rows} - shown == {row["Google_location"] for row in without}
    assert shown == {row["Google_location"] for row in table(strict)}


def refusal(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe('name = "x"\n' + text, variables={"imagery": "x"})
    return str(caught.value)


def test_a_modality_needs_a_source_of_scenes():
    assert "source = 'none' is no raster or stac source of the recipe; there are survey" in refusal(
        SURVEY + NIR.replace('"survey"', '"none"')
    )
    assert "two modalities are called 'nir'" in refusal(SURVEY + NIR + NIR)
    assert "modality.0.name" in refusal(SURVEY + NIR.replace('"nir"', '"near infrared"'))
    assert "every source says rows = false" in refusal(SURVEY + "rows = false\n")
