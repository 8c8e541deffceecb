"""Contract 5: the same recipe and inputs give the same bytes, whatever the workers, the engine, the folder."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_imagery import built, promised, total

from git10m.building import build_status
from git10m.engine import Engine
from git10m.errors import DatasetError, RequestError
from git10m.verify import verify


def test_the_build_has_several_units_and_shards_and_every_promise_is_kept(undisturbed: Path) -> None:
    status = build_status(undisturbed)
    assert status["units"]["done"] == status["units"]["planned"] >= 2
    assert status["shards"]["done"] == status["shards"]["planned"] >= 3
    assert verify(undisturbed) == []


def test_planned_is_kept_and_dropped_and_failed_in_the_manifest_and_in_every_unit(undisturbed: Path) -> None:
    units = [json.loads(path.read_text()) for path in sorted((undisturbed / "work/tiles").glob("*.done.json"))]
    counts = json.loads((undisturbed / "manifest.json").read_text())["counts"]
    assert all(unit["planned"] == total(unit) for unit in units)
    assert counts["planned"] == total(counts) == sum(unit["planned"] for unit in units)
    assert counts["failed"]["unreadable"] > 0


def test_every_planned_tile_is_in_data_or_among_the_rejected_exactly_once(undisturbed: Path) -> None:
    tiles = [
        (row["acquired_at"], row["Google_location"])
        for name in ("index.parquet", "rejected.parquet")
        for row in pq.read_table(undisturbed / name, columns=["acquired_at", "Google_location"]).to_pylist()
    ]
    assert len(set(tiles)) == len(tiles)
    assert len(tiles) == json.loads((undisturbed / "manifest.json").read_text())["counts"]["planned"]


def test_two_workers_give_the_bytes_of_one(survey: Path, undisturbed: Path, tmp_path: Path) -> None:
    built(survey, tmp_path / "dataset", engine=Engine("processes", 2))
    assert promised(tmp_path / "dataset") == promised(undisturbed)


def test_imagery_and_dataset_in_other_folders_give_the_same_bytes(
    survey: Path, undisturbed: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "another place" / "survey"
    shutil.copytree(survey, moved)
    built(moved, tmp_path / "elsewhere")
    assert promised(tmp_path / "elsewhere") == promised(undisturbed)


def test_no_file_names_a_folder_of_this_machine(survey: Path, undisturbed: Path) -> None:
    for path in undisturbed.rglob("*"):
        if path.is_file():
            assert str(survey).encode() not in path.read_bytes(), path.name


def as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, ranks: int) -> None:
    monkeypatch.setenv("GIT10M_RANK", str(rank))
    monkeypatch.setenv("GIT10M_RANKS", str(ranks))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_ranks_one_after_the_other_share_the_work_and_the_last_finishes_the_dataset(
    order: tuple[int, ...], survey: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = []
    for rank in order:
        as_rank(monkeypatch, rank, 3)
        answers.append(built(survey, tmp_path / "dataset", engine=Engine("rank")))
    assert answers[0] is None
    assert answers[-1] is not None
    assert promised(tmp_path / "dataset") == promised(undisturbed)


def test_ranks_at_once_finish_the_dataset(
    survey: Path, undisturbed: Path, tmp_path: Path, git10m: Callable[..., list[str]]
) -> None:
    order = git10m(survey, tmp_path / "dataset", "--engine", "rank")
    ranks = [
        subprocess.Popen(
            order,
            env={**os.environ, "GIT10M_RANK": str(rank), "GIT10M_RANKS": "3"},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for rank in range(3)
    ]
    said = [rank.communicate(timeout=120) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0, 0], said
    assert promised(tmp_path / "dataset") == promised(undisturbed)
    assert verify(tmp_path / "dataset") == []


def test_a_rank_that_is_late_finds_the_dataset_finished(
    survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_rank(monkeypatch, 0, 1)
    first = built(survey, tmp_path / "dataset", engine=Engine("rank"))
    as_rank(monkeypatch, 1, 2)
    assert built(survey, tmp_path / "dataset", engine=Engine("rank")) == first


def test_a_rank_without_its_number_is_refused_before_anything_is_written(
    survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT10M_RANK", raising=False)
    with pytest.raises(RequestError, match="GIT10M_RANK"):
        built(survey, tmp_path / "dataset", engine=Engine("rank"))
    assert not (tmp_path / "dataset").exists()


def test_ranks_keep_other_builds_out_and_the_other_way_round(survey: Path, tmp_path: Path) -> None:
    from git10m.building.workspace import Workspace

    with Workspace(tmp_path / "dataset").locked(shared=True), pytest.raises(DatasetError, match="another build"):
        built(survey, tmp_path / "dataset")


@pytest.mark.slow
def test_ray_gives_the_same_bytes(survey: Path, undisturbed: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    try:
        built(survey, tmp_path / "dataset", engine=Engine("ray", 2))
    finally:
        ray.shutdown()
    assert promised(tmp_path / "dataset") == promised(undisturbed)
