"""Builds that restore poor tiles: which, how their rows say so, and that the bytes are always the same."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_imagery import built, command, promised, small_units, texture, write_recipe, write_scene
from small_restorers import write_random, write_smoothing

from git10m.curation.duplicates import perceptual_hashes
from git10m.curation.quality import MEASURED, measure
from git10m.curation.rrdb import RRDBShape
from git10m.engine import Engine
from git10m.errors import DatasetError, RecipeError, WeightsError
from git10m.grid import Tile
from git10m.verify import verify

TABLE = '[curation.enhancement]\nweights = "../{weights}"\n{more}\n[output]\nshard_rows = 12\nrow_group_rows = 5\n'
SAID = re.compile(r"rrdb-x2:[0-9a-f]{8}")


def noisy_scene(path: Path, *, size: int = 2300, hole: bool = False) -> Path:
    """A scene whose eastern half is noisy; with a hole in it on request."""
    pixels = texture(size, size, seed=4).astype(np.float32)
    pixels = (pixels[:, ::1] + np.roll(pixels, 1, axis=1) + np.roll(pixels, 1, axis=2)) / 3
    noise = np.repeat(np.random.default_rng(2).normal(0, 90, (1, size, size)), 3, axis=0)  # warping takes most of it
    noise[:, :, : size // 2] = 0
    pixels = np.clip(np.rint(pixels + noise), 1, 255).astype(np.uint8)
    if hole:
        pixels[:, 1000:1150, 1500:1650] = 0
    return write_scene(path, pixels=pixels, nodata=0 if hole else None)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smoothing(tmp_path_factory.mktemp("weights") / "smooth.safetensors")


def survey_of(folder: Path, weights: Path, *, more: str = "", hole: bool = False, tiles: str = "") -> Path:
    """A survey with a recipe that enhances by these weights."""
    noisy_scene(folder / "survey/imagery/a_20200701.tif", hole=hole)
    (folder / weights.name).write_bytes(weights.read_bytes())
    write_recipe(
        folder / "survey/recipe.toml",
        tiles=tiles,
        source="levels = [14]",
        more=TABLE.format(weights=weights.name, more=more),
    )
    return folder / "survey"


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    return survey_of(tmp_path_factory.mktemp("noisy"), weights)


@pytest.fixture(scope="module")
def enhanced(noisy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("enhanced") / "dataset"
    with small_units():
        built(noisy, folder)
    return folder


@pytest.fixture(scope="module")
def observed(noisy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same survey without enhancement."""
    folder = tmp_path_factory.mktemp("observed")
    plain = folder / "survey"
    plain.mkdir()
    (plain / "imagery").symlink_to(noisy / "imagery")
    write_recipe(plain / "recipe.toml", source="levels = [14]")
    built(plain, folder / "dataset")
    return folder / "dataset"


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        row["img_name"]: row
        for path in sorted((folder / "data").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    }


def picture(row: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))


def test_poor_tiles_are_restored_and_say_so_and_others_are_as_observed(enhanced: Path, observed: Path):
    before, after = rows_of(observed), rows_of(enhanced)
    assert before.keys() == after.keys()
    changed = [name for name, row in after.items() if row["enhanced"] is not None]
    assert 3 <= len(changed) < len(after)
    for name, row in after.items():
        old = before[name]
        if name in changed:
            assert SAID.fullmatch(row["enhanced"])
            assert old["img_quality_score"] < 4.8
            assert row["img_quality_score"] > old["img_quality_score"]
            assert row["noise"] < old["noise"] / 2
        else:
            assert {key: value for key, value in row.items() if key != "split"} == {
                key: value for key, value in old.items() if key != "split"
            }


def test_the_columns_are_those_of_the_stored_picture(enhanced: Path, observed: Path):
    for name, row in rows_of(enhanced).items():
        if row["enhanced"] is None:
            continue
        pixels, old = picture(row), rows_of(observed)[name]
        measures = measure(pixels, np.ones(pixels.shape[:2], dtype=bool))
        assert row["sha256"] == hashlib.sha256(row["image"]["bytes"]).hexdigest()
        assert (row["phash"], row["phash256"]) == perceptual_hashes(pixels)
        assert row["img_quality_score"] == measures.score
        assert {each: row[each] for each in MEASURED} == pytest.approx(
            {each: getattr(measures, each) for each in MEASURED}
        )
        assert pixels.shape == (row["height"], row["width"], 3) == (256, 256, 3)
        # No resolution is added, and none is claimed.
        same = ("gsd_m", "native_gsd_m", "resolution", "Google_location", "valid_fraction", "caption", "acquired_at")
        assert {each: row[each] for each in same} == {each: old[each] for each in same}


def test_every_promise_is_kept_and_the_manifest_and_the_card_count_them(enhanced: Path, weights: Path):
    assert verify(enhanced) == []
    manifest = json.loads((enhanced / "manifest.json").read_text())
    rows = sum(row["enhanced"] is not None for row in rows_of(enhanced).values())
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    note = manifest["enhancement"]
    assert (note["restorer"], note["rows"]) == (f"rrdb-x2:{sha256[:8]}", rows)
    assert note["weights_sha256"] == manifest["inputs"]["enhancement"]["weights_sha256"] == sha256
    low, high = note["mean_score"]
    assert low < 4.8 < high
    assert f"{rows} rows were made by `{note['restorer']}`" in (enhanced / "README.md").read_text()
    for path in enhanced.rglob("*"):
        assert path.is_dir() or str(weights.parent).encode() not in path.read_bytes(), "no folder of this machine"


def test_verify_finds_a_row_that_claims_another_picture(enhanced: Path, tmp_path: Path):
    import shutil

    folder = tmp_path / "dataset"
    shutil.copytree(enhanced, folder)
    path = next(path for path in sorted((folder / "data").glob("*.parquet")) if any(
        value is not None for value in pq.read_table(path, columns=["enhanced"])["enhanced"].to_pylist()
    ))  # fmt: skip
    table = pq.read_table(path)
    at = table.schema.get_field_index("img_quality_score")
    table = table.set_column(at, table.schema.field(at), [[9.9] * table.num_rows])
    pq.write_table(table, path)
    found = [str(finding) for finding in verify(folder)]
    assert any("is enhanced, and its picture scores" in each for each in found)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_and_other_folders_give_the_same_bytes(workers: int, noisy: Path, enhanced: Path, tmp_path: Path):
    with small_units():
        built(noisy, tmp_path / "dataset", engine=Engine("processes", workers))
    assert promised(tmp_path / "dataset") == promised(enhanced)


@pytest.mark.slow
def test_ranks_share_the_work(noisy: Path, enhanced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for rank in (1, 0):
        monkeypatch.setenv("GIT10M_RANK", str(rank))
        monkeypatch.setenv("GIT10M_RANKS", "2")
        with small_units():
            last = built(noisy, tmp_path / "dataset", engine=Engine("rank"))
    assert last is not None
    assert promised(tmp_path / "dataset") == promised(enhanced)


def test_whatever_file_is_missing_the_build_goes_on(noisy: Path, enhanced: Path, tmp_path: Path):
    import shutil

    folder = tmp_path / "dataset"
    shutil.copytree(enhanced, folder)
    for pattern in ("work/enhanced/*.done.json", "work/enhanced/*.parquet", "work/captions/*.done.json"):
        (folder / "manifest.json").unlink()
        sorted(folder.glob(pattern))[-1].unlink()
        (folder / "work/enhanced/.00000.parquet.1.part").write_bytes(b"half")
        for path in folder.glob("work/rows/*.done.json"):
            path.unlink()
        with small_units():
            built(noisy, folder)
        assert promised(folder) == promised(enhanced), pattern
    assert not list(folder.rglob("*.part"))


def test_other_weights_are_another_build(noisy: Path, enhanced: Path, tmp_path: Path):
    weights = noisy.parent / "smooth.safetensors"
    whole = weights.read_bytes()
    try:
        write_random(weights, RRDBShape(scale=2, blocks=1, features=4, growth=2))
        with pytest.raises(DatasetError, match=r"changed: enhancement\.weights_sha256"):
            built(noisy, enhanced)
    finally:
        weights.write_bytes(whole)


def test_double_stores_what_the_network_gives_and_the_pixel_of_it(tmp_path: Path, weights: Path, observed: Path):
    survey = survey_of(tmp_path, weights, more='size = "double"')
    built(survey, tmp_path / "dataset")
    assert verify(tmp_path / "dataset") == []
    found = [row for row in rows_of(tmp_path / "dataset").values() if row["enhanced"] is not None]
    assert found
    for row in found:
        old = rows_of(observed)[row["img_name"]]
        assert picture(row).shape == (row["height"], row["width"], 3) == (512, 512, 3)
        assert row["gsd_m"] == pytest.approx(old["gsd_m"] / 2) == pytest.approx(
            Tile(row["level"], row["x"], row["y"]).gsd_m(512)
        )  # fmt: skip
        assert (row["native_gsd_m"], row["resolution"]) == (old["native_gsd_m"], old["resolution"])
        small = picture(row).reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
        assert np.abs(small - picture(old)).mean() < 30, "it shows the same ground"


@pytest.mark.slow
@pytest.mark.parametrize("size", ["tile", "double"])
def test_pixels_without_data_stay_without(size: str, tmp_path: Path, weights: Path):
    survey = survey_of(
        tmp_path,
        weights,
        hole=True,
        tiles="min_valid = 0.5",
        more=f'size = "{size}"\n[image]\nformat = "png"\nfill = [255, 0, 255]',
    )
    built(survey, tmp_path / "dataset")
    assert verify(tmp_path / "dataset") == []
    holed = [row for row in rows_of(tmp_path / "dataset").values() if row["enhanced"] and row["valid_fraction"] < 1]
    assert holed
    for row in holed:
        pixels = picture(row)
        empty = (pixels == (255, 0, 255)).all(axis=-1)
        assert 1 - empty.mean() == pytest.approx(row["valid_fraction"], abs=1e-4)
        # Nothing of the fill has run into its neighbours: the ground is grey here.
        near = np.zeros_like(empty)
        near[1:-1, 1:-1] = empty[:-2, 1:-1] | empty[2:, 1:-1] | empty[1:-1, :-2] | empty[1:-1, 2:]
        ring = pixels[near & ~empty].astype(int)
        assert np.abs(ring[:, 0] - ring[:, 1]).mean() < 25


@pytest.mark.slow
def test_modalities_are_left_alone(tmp_path: Path, weights: Path):
    modality = '[[modality]]\nname = "red"\nsource = "survey"\nbands = [1]'
    survey = survey_of(tmp_path, weights, more=modality)
    built(survey, tmp_path / "dataset")
    assert verify(tmp_path / "dataset") == []
    rows = [row for row in rows_of(tmp_path / "dataset").values() if row["enhanced"] is not None]
    assert rows
    for row in rows:
        red = np.asarray(Image.open(io.BytesIO(row["image_red"]["bytes"])))
        assert measure(np.repeat(red[..., None], 3, axis=2), np.ones(red.shape, dtype=bool)).noise > 2 * row["noise"]


def test_a_restorer_that_makes_pictures_worse_changes_nothing(tmp_path: Path, observed: Path):
    write_random(tmp_path / "bad.safetensors", RRDBShape(scale=1, blocks=1, features=4, growth=2))
    survey = survey_of(tmp_path, tmp_path / "bad.safetensors", more="below = 10")
    manifest = built(survey, tmp_path / "dataset")
    assert manifest is not None
    assert manifest["enhancement"]["rows"] == 0
    assert manifest["enhancement"]["no_better"] == manifest["counts"]["kept"]
    shards = [rows_of(folder) for folder in (observed, tmp_path / "dataset")]
    assert {name: row["sha256"] for name, row in shards[0].items()} == {
        n: row["sha256"] for n, row in shards[1].items()
    }


def test_further_measures_may_ask_for_it(tmp_path: Path, weights: Path, observed: Path):
    survey = survey_of(tmp_path, weights, more="below = 0\nmax_noise = 20.0")
    built(survey, tmp_path / "dataset")
    for name, row in rows_of(tmp_path / "dataset").items():
        assert (row["enhanced"] is not None) == (rows_of(observed)[name]["noise"] > 20), name


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("scale = 1", "scale = 1 is asked for, smooth.safetensors is for a scale of 2"),
        ("below = 0", "enhances nothing"),
        ("below = 11", "less than or equal to 10"),
        ("belw = 4", "below"),
        ('device = "cuda"', "torch finds no GPU"),
        ("[curation.verdicts]\nmin_quality = 5", "drops every tile"),
        ('size = "double"\n[[modality]]\nname = "red"\nsource = "survey"\nbands = [1]', "share one grid"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(more: str, message: str, tmp_path: Path, weights: Path):
    import torch

    if "cuda" in more and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    survey = survey_of(tmp_path, weights, more=more)
    with pytest.raises(RecipeError, match=message):
        built(survey, tmp_path / "dataset")


def test_weights_that_are_none_are_told_before_any_tile_is_cut(tmp_path: Path, weights: Path):
    survey = survey_of(tmp_path, weights)
    (tmp_path / "smooth.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"smooth\.safetensors: there is no such file"):
        built(survey, tmp_path / "dataset")
    write_random(tmp_path / "smooth.safetensors", RRDBShape(scale=4, blocks=1, features=4, growth=2))
    with pytest.raises(WeightsError, match="with a scale of 1 or 2"):
        built(survey, tmp_path / "dataset")
    assert not list((tmp_path / "dataset").rglob("*.parquet"))


def test_without_torch_the_extra_is_named(tmp_path: Path, weights: Path):
    """In an interpreter that has none."""
    survey = survey_of(tmp_path, weights)
    code = (
        "import sys; sys.modules['torch'] = None; from git10m.cli import main; "
        f"sys.argv = ['git10m', 'build', {str(survey / 'recipe.toml')!r}, '-o', {str(tmp_path / 'd')!r}, "
        f"'--var', {'imagery=' + str(survey / 'imagery')!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 2, done.stderr
    assert "pip install 'git10m[restorer]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_plan_preview_and_judge_take_the_table(noisy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    for name, out in (("plan", "dataset"), ("preview", "a.png"), ("judge", "a.html")):
        option = "--output" if name == "plan" else "--out"
        said = command(
            capfd, name, noisy / "recipe.toml", option, tmp_path / out, "--var", f"imagery={noisy / 'imagery'}"
        )
        assert said.code == 0, said.err
