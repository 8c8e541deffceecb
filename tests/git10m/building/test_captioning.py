"""The second pass in two steps: captions, a look at all of them, rows."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_imagery import built, promised, small_units, total, write_recipe, write_scene

from git10m.building import captioning
from git10m.recipe import Captions
from git10m.shards import data_files
from git10m.verify import verify

Rule = Callable[[pa.Table, Captions], dict[int, str]]


@pytest.fixture
def dropping(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rule], None]:
    """Has the barrier between captions and rows drop what a rule of the test names; no scorer is needed for that."""

    def set_rule(rule: Rule) -> None:
        monkeypatch.setattr(captioning, "dropped_for_captions", rule)

    return set_rule


def names_of(folder: Path) -> list[str]:
    found: list[str] = pq.read_table(folder / "index.parquet", columns=["img_name"])["img_name"].to_pylist()
    return found


def test_captions_stand_beside_the_shards_that_they_are_for(undisturbed: Path) -> None:
    sidecars = sorted((undisturbed / "work/captions").glob("*.parquet"))
    assert [path.name for path in sidecars] == sorted(path.name for path in data_files(undisturbed))
    for path in sidecars:
        told = pq.read_table(path)
        assert tuple(told.column_names) == captioning.CAPTION_COLUMNS
        assert told == pq.read_table(undisturbed / "data" / path.name, columns=list(captioning.CAPTION_COLUMNS))


def test_rows_that_go_for_their_caption_are_rejected_counted_and_shown(
    survey: Path, undisturbed: Path, tmp_path: Path, dropping: Callable[[Rule], None]
) -> None:
    before = names_of(undisturbed)
    gone = {2, 5, len(before) - 1}
    dropping(lambda captions, rules: {row: f"similarity 0.0{row}" for row in gone})
    built(survey, tmp_path / "dataset")
    assert names_of(tmp_path / "dataset") == [name for row, name in enumerate(before) if row not in gone]
    counts = json.loads((tmp_path / "dataset/manifest.json").read_text())["counts"]
    assert counts["dropped"]["low_similarity"] == 3
    assert counts["planned"] == total(counts)
    rejected = pq.read_table(tmp_path / "dataset/rejected.parquet").to_pylist()
    shown = [row for row in rejected if row["reason"] == "low_similarity"]
    assert {row["detail"] for row in shown} == {f"similarity 0.0{row}" for row in gone}
    assert all(row["thumbnail"]["bytes"] for row in shown)
    assert verify(tmp_path / "dataset") == []


def test_a_shard_that_loses_all_its_rows_is_left_out(
    survey: Path, undisturbed: Path, tmp_path: Path, dropping: Callable[[Rule], None]
) -> None:
    shards = data_files(undisturbed)
    rows = pq.read_metadata(shards[0]).num_rows
    dropping(lambda captions, rules: dict.fromkeys(range(rows), "not alike"))
    built(survey, tmp_path / "dataset")
    assert len(data_files(tmp_path / "dataset")) == len(shards) - 1
    assert names_of(tmp_path / "dataset") == names_of(undisturbed)[rows:]
    assert verify(tmp_path / "dataset") == []


def test_another_cut_makes_the_rows_anew_and_the_captions_not(
    survey: Path, undisturbed: Path, tmp_path: Path, dropping: Callable[[Rule], None]
) -> None:
    folder = tmp_path / "dataset"
    dropping(lambda captions, rules: {0: "not alike"})
    built(survey, folder)
    sidecars = {path: path.stat().st_mtime_ns for path in (folder / "work/captions").glob("*.parquet")}
    (folder / "manifest.json").unlink()
    dropping(lambda captions, rules: {})
    built(survey, folder)
    assert promised(folder) == promised(undisturbed)
    assert sidecars == {path: path.stat().st_mtime_ns for path in (folder / "work/captions").glob("*.parquet")}


def test_a_family_goes_with_a_member_that_goes_for_its_caption(
    tmp_path: Path, dropping: Callable[[Rule], None]
) -> None:
    write_scene(tmp_path / "imagery/a.tif", size=1200)
    write_recipe(tmp_path / "recipe.toml", tiles="levels_paired = true")
    with small_units():
        built(tmp_path, tmp_path / "whole")
        dropping(lambda captions, rules: {captions.num_rows - 1: "not alike"})
        built(tmp_path, tmp_path / "torn")
    lost = len(names_of(tmp_path / "whole")) - len(names_of(tmp_path / "torn"))
    counts = json.loads((tmp_path / "torn/manifest.json").read_text())["counts"]
    assert counts["dropped"]["low_similarity"] == 1
    assert lost == 5, "a parent and its four children"
    assert verify(tmp_path / "torn") == []
