"""Builds that leave out what is alike: in one set, at one place, and against sets of others."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from planted import copy_of, resized, shifted
from real_tiles import real_tiles
from small_imagery import DATES, built, command, small_units, texture, write_recipe, write_scene

from git10m.curation.degradations import as_jpeg, blurred
from git10m.shards import data_files
from git10m.verify import verify

Capture = pytest.CaptureFixture[str]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for file in data_files(folder) for row in pq.read_table(file).to_pylist()]


def rejected_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "rejected.parquet").to_pylist()
    return found


def parcels(seed: int) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(texture(256, 256, seed=seed), 0, -1))


def encoded(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "jpeg", quality=95, subsampling=0)
    return stream.getvalue()


def image_folder(folder: Path, pictures: Mapping[str, np.ndarray]) -> Path:
    """JPEG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures.items():
        (folder / f"{name}.jpg").write_bytes(encoded(pixels))
    return folder


def recipe_of(tmp_path: Path, pictures: Mapping[str, np.ndarray], *, more: str = "") -> Path:
    """An image folder with a table of captions, and the recipe over it."""
    image_folder(tmp_path / "images", pictures)
    with (tmp_path / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "caption"])
        table.writerows([f"{name}.jpg", f"Picture {name}."] for name in pictures)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'name = "set"\n[[source]]\nid = "set"\nkind = "pairs"\nformat = "csv"\n'
        f'path = "{tmp_path / "captions.csv"}"\nimages = "{tmp_path / "images"}"\nlicence = "CC0-1.0"\n{more}\n',
        encoding="utf-8",
    )
    return recipe


def outcome(capfd: Capture, recipe: Path, folder: Path) -> tuple[set[str], dict[str, tuple[str, str | None]]]:
    """Build; return the names of what was kept, and of what was dropped the reason and what it is like."""
    said = command(capfd, "build", recipe, "--output", folder)
    assert said.code == 0, said.err
    assert verify(folder) == []
    dropped = {
        Path(row["item"]).stem.removeprefix("set_"): (row["reason"], row["duplicate_of"]) for row in rejected_of(folder)
    }
    return {row["img_name"].removeprefix("set_").removesuffix(".jpg") for row in rows_of(folder)}, dropped


def test_of_alike_images_the_best_stays_wherever_it_stands(tmp_path: Path, capfd: Capture):
    pictures = {
        "a_soft": blurred(parcels(1), 2.0),
        "b_other": parcels(2),
        "c_sharp": blurred(parcels(1), 0.6),  # without its grain
        "d_copy": as_jpeg(shifted(blurred(parcels(1), 1.5), 2, -1), 40),
        "e_turned": np.ascontiguousarray(np.rot90(parcels(2))),
    }
    kept, dropped = outcome(capfd, recipe_of(tmp_path, pictures), tmp_path / "d")
    assert kept == {"b_other", "c_sharp", "e_turned"}
    assert dropped == dict.fromkeys(("a_soft", "d_copy"), ("near_duplicate", "set_c_sharp.jpg"))
    assert all(row["detail"].endswith("to set_c_sharp.jpg") for row in rejected_of(tmp_path / "d"))
    assert (tmp_path / "d/report.html").read_text(encoding="utf-8").count(">stays</span>") == 2


def test_a_small_copy_does_not_win_by_looking_crisp(tmp_path: Path, capfd: Capture, imagery: Path):
    large = [pixels for _, pixels in real_tiles(imagery, each=1)][:12]
    pictures = {f"{i:02d}": picture for i, picture in enumerate(large)}
    pictures |= {f"{name}_half": resized(picture, 0.5) for name, picture in pictures.items()}
    kept, dropped = outcome(capfd, recipe_of(tmp_path, pictures), tmp_path / "d")
    assert not any("half" in name for name in kept)
    assert {f"{i:02d}_half" for i in range(12)} <= dropped.keys()


def test_turned_images_are_alike_on_request_and_nothing_is_where_nothing_is_asked(tmp_path: Path, capfd: Capture):
    pictures = {"a": parcels(1), "b": np.ascontiguousarray(np.rot90(parcels(1))), "c": as_jpeg(parcels(1), 60)}
    turned = recipe_of(tmp_path, pictures, more="[curation.duplicates]\nturned = true")
    kept, dropped = outcome(capfd, turned, tmp_path / "turned")
    assert len(kept) == 1
    assert {reason for reason, _ in dropped.values()} == {"near_duplicate"}
    plain = recipe_of(tmp_path, pictures, more="[curation.duplicates]\nnear = false")
    assert outcome(capfd, plain, tmp_path / "plain") == ({"a", "b", "c"}, {})


# The same place


def dates(tmp_path: Path) -> None:
    """Three dates of one place: the second like the first, the third another landscape."""
    same = texture(700, 700, seed=1)
    write_scene(tmp_path / "imagery/a_20200701.tif", pixels=same)
    write_scene(tmp_path / "imagery/a_20210701.tif", pixels=(same * 0.9 + 6).astype(np.uint8))
    write_scene(tmp_path / "imagery/a_20220701.tif", pixels=texture(700, 700, seed=9))


@pytest.mark.parametrize(("rule", "years"), [("all", 3), ("changed", 2), ("best", 1)])
def test_of_the_dates_of_a_place_as_many_stay_as_are_asked_for(tmp_path: Path, rule: str, years: int):
    dates(tmp_path)
    write_recipe(tmp_path / "recipe.toml", source=DATES, more=f'[curation.duplicates]\nsame_place = "{rule}"')
    with small_units():
        built(tmp_path, tmp_path / "d")
    assert verify(tmp_path / "d") == []
    kept: dict[str, set[int]] = {}
    for row in rows_of(tmp_path / "d"):
        kept.setdefault(row["Google_location"], set()).add(row["acquired_at"].year)
    assert {len(found) for found in kept.values()} == {years}
    dropped = rejected_of(tmp_path / "d")
    same_place = [row for row in dropped if row["reason"] == "same_place"]
    assert len(same_place) == (3 - years) * len(kept)
    names = {row["img_name"] for row in rows_of(tmp_path / "d")}
    assert all(row["duplicate_of"] in names for row in same_place)
    if rule == "changed":
        assert all(2022 in found for found in kept.values())


# Sets to stay apart from


def against(path: Path, *, evaluation: bool = True) -> str:
    return f'[[curation.against]]\nname = "held-out"\npath = "{path}"\nevaluation = {str(evaluation).lower()}'


def set_of(kind: str, tmp_path: Path, pictures: Mapping[str, np.ndarray], capfd: Capture) -> Path:
    """The pictures as another set: image files, a parquet file as of the Hugging Face hub, a dataset of ours."""
    folder = tmp_path / "held-out"
    if kind == "images":
        return image_folder(folder / "deep/down", pictures).parents[1]
    if kind == "parquet":
        (folder / "data").mkdir(parents=True)
        images = [{"bytes": encoded(pixels), "path": f"{name}.jpg"} for name, pixels in pictures.items()]
        pq.write_table(pa.table({"image": images, "label": list(range(len(images)))}), folder / "data/test.parquet")
        return folder
    (tmp_path / "other").mkdir()
    said = command(capfd, "build", recipe_of(tmp_path / "other", pictures), "--output", folder)
    assert said.code == 0, said.err
    return folder


@pytest.mark.parametrize("kind", ["images", "parquet", "dataset"])
@pytest.mark.parametrize("evaluation", [True, False])
def test_what_is_in_another_set_goes_for_a_reason_of_its_own(
    tmp_path: Path, capfd: Capture, kind: str, evaluation: bool
):
    draws = np.random.default_rng(5)
    # Of little entropy, so that its bytes alone count: what differs by one level is another sea.
    sea = np.full((256, 256, 3), 77, dtype=np.uint8)
    sea[::2, ::2] = sea[1::2, 1::2] = 74
    sea[1::4, ::2] = 80
    held = set_of(kind, tmp_path, {"one": parcels(1), "two": parcels(2), "sea": sea}, capfd)
    pictures = {"a": parcels(8), "b": copy_of(parcels(2), draws), "c": parcels(1), "d": sea, "e": sea + np.uint8(1)}
    recipe = recipe_of(tmp_path, pictures, more=against(held, evaluation=evaluation))
    kept, dropped = outcome(capfd, recipe, tmp_path / "d")
    assert kept == {"a", "e"}
    assert {reason for reason, _ in dropped.values()} == {"evaluation_set" if evaluation else "other_dataset"}
    told = {name: of for name, (_, of) in dropped.items()}
    assert all(of is not None and of.startswith("held-out: ") for of in told.values())
    if kind == "images":
        assert told == {
            name: f"held-out: deep/down/{of}.jpg" for name, of in (("b", "two"), ("c", "one"), ("d", "sea"))
        }


def test_a_set_that_changed_is_another_build(tmp_path: Path, capfd: Capture):
    held = image_folder(tmp_path / "held-out", {"one": parcels(1)})
    recipe = recipe_of(tmp_path, {"a": parcels(8), "b": parcels(2)}, more=against(held))
    assert outcome(capfd, recipe, tmp_path / "d") == ({"a", "b"}, {})
    again = command(capfd, "build", recipe, "--output", tmp_path / "d", "--json")
    assert again.code == 0
    manifest = json.loads((tmp_path / "d/manifest.json").read_text())
    assert str(held) not in json.dumps(manifest["inputs"])
    image_folder(held, {"two": parcels(2)})
    said = command(capfd, "build", recipe, "--output", tmp_path / "d")
    assert said.code == 2
    assert "against.held-out" in said.err
    assert outcome(capfd, recipe, tmp_path / "new")[0] == {"a"}


def test_sets_that_lead_nowhere_are_told_before_anything_is_built(tmp_path: Path, capfd: Capture):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("no image")
    broken = image_folder(tmp_path / "broken", {"one": parcels(1)})
    (broken / "two.jpg").write_bytes(b"<html>")
    table = tmp_path / "table"
    table.mkdir()
    (table / "x.parquet").write_bytes(b"PAR1 no")
    for path, code, words in (
        (tmp_path / "nowhere", 2, "is no folder on this machine"),
        (tmp_path / "empty", 2, "no image is in"),
        (broken, 1, "two.jpg: cannot be read as an image"),
        (table, 1, "x.parquet: cannot be read as a parquet file"),
    ):
        recipe = recipe_of(tmp_path, {"a": parcels(8)}, more=against(path))
        said = command(capfd, "build", recipe, "--output", tmp_path / "d")
        assert said.code == code
        assert words in said.err
        assert "Traceback" not in said.err
        # A plan looks for the set, and does not read it.
        planned = command(capfd, "plan", recipe, "--output", tmp_path / "d")
        assert planned.code == (0 if path == broken else code), planned.err


# What splits keep apart


def many(count: int) -> dict[str, np.ndarray]:
    """Pictures, each with a copy."""
    draws = np.random.default_rng(6)
    pictures = {f"{i:02d}": parcels(30 + i) for i in range(count)}
    return pictures | {f"{name}_copy": copy_of(picture, draws) for name, picture in pictures.items()}


HALVES = "[splits]\nvalidation = 0.3\ntest = 0.2\n[curation.duplicates]\nnear = false"


def test_copies_that_stay_are_in_one_split(tmp_path: Path, capfd: Capture):
    kept, dropped = outcome(capfd, recipe_of(tmp_path, many(16), more=HALVES), tmp_path / "d")
    assert len(kept) == 32
    assert dropped == {}
    split = {row["img_name"].removeprefix("set_").removesuffix(".jpg"): row["split"] for row in rows_of(tmp_path / "d")}
    assert all(split[f"{i:02d}"] == split[f"{i:02d}_copy"] for i in range(16))
    assert len(set(split.values())) > 1


def test_verify_finds_what_leaks(tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch):
    recipe = recipe_of(tmp_path, many(16), more=HALVES)
    with monkeypatch.context() as careless:
        careless.setattr("git10m.building.barrier._part_copies", lambda *_: {})
        assert command(capfd, "build", recipe, "--output", tmp_path / "d").code == 0
    findings = [str(finding) for finding in verify(tmp_path / "d")]
    assert findings
    assert all("is trained on and nearly set_" in finding for finding in findings)


def test_what_a_set_holds_out_is_not_trained_on_under_another_name(tmp_path: Path, capfd: Capture):
    """The set says which images are for testing; of their copies among the trained ones none stays."""
    recipe = recipe_of(tmp_path, many(6), more=HALVES)
    table = tmp_path / "captions.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    told = [f"{line},{'train' if '_copy' in line else 'test'}" for line in lines[1:]]
    table.write_text("\n".join([f"{lines[0]},split", *told]) + "\n", encoding="utf-8")
    kept, dropped = outcome(capfd, recipe, tmp_path / "d")
    assert kept == {f"{i:02d}" for i in range(6)}
    assert dropped == {f"{i:02d}_copy": ("held_out_copy", f"set_{i:02d}.jpg") for i in range(6)}


def test_a_buffer_keeps_training_away_from_held_out_cells(tmp_path: Path):
    write_scene(tmp_path / "imagery/a.tif", size=2400)
    more = "[splits]\nvalidation = 0.3\ntest = 0.2\nseed = {seed}\ncell_level = 13\nbuffer_m = 700"
    for seed in range(2):
        write_recipe(tmp_path / "recipe.toml", more=more.format(seed=seed))
        folder = tmp_path / f"d{seed}"
        with small_units():
            built(tmp_path, folder)
        assert verify(folder) == []
        rows = rows_of(folder)
        held = [row for row in rows if row["split"] != "train"]
        trained = [row for row in rows if row["split"] == "train"]
        buffered = [row for row in rejected_of(folder) if row["reason"] == "split_buffer"]
        assert bool(held) == bool(buffered)
        for row in trained:
            scale = np.cos(np.radians(row["lat"])) * 2 * np.pi * 6_378_137
            for other in held:
                gaps = [
                    max(row[axis] / 2 ** row["level"] - (other[axis] + 1) / 2 ** other["level"],
                        other[axis] / 2 ** other["level"] - (row[axis] + 1) / 2 ** row["level"])
                    for axis in ("x", "y")
                ]  # fmt: skip
                assert max(gaps) * scale > 699


def test_cells_are_coarser_where_a_buffer_is_asked(tmp_path: Path):
    from git10m.recipe import load_recipe

    plain = load_recipe(write_recipe(tmp_path / "a.toml"), variables={"imagery": "x"})
    buffered = load_recipe(
        write_recipe(tmp_path / "b.toml", more="[splits]\nbuffer_m = 100"), variables={"imagery": "x"}
    )
    assert (plain.cell_level, buffered.cell_level) == (14, 11)
