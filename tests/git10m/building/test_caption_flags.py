"""Captions are checked when they are written: flags stand in their rows, and what is flagged may go."""

from pathlib import Path

import pyarrow.parquet as pq
from small_imagery import built, write_recipe, write_scene

from git10m.report import summarise
from git10m.verify import verify


def rows_of(folder: Path, *columns: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(folder / "index.parquet", columns=list(columns)).to_pylist()
    return found


def test_captions_of_the_template_are_checked_and_clean(undisturbed: Path) -> None:
    rows = rows_of(undisturbed, "caption", "caption_flags")
    assert rows
    assert all(row["caption"] and row["caption_flags"] == [] for row in rows)
    # Nothing was told of the ground: there is nothing that a caption could contradict.
    assert all(rate["verifiable"] == 0 for rate in summarise(undisturbed)["checks"]["hallucination"])


def test_a_recipe_decides_what_is_flagged_and_whether_it_goes(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", size=700)
    for action in ("flag", "drop_caption"):
        more = f'[captions.checks]\nbanned = ["metres"]\naction = "{action}"'
        write_recipe(tmp_path / "recipe.toml", more=more)
        folder = tmp_path / action
        built(tmp_path, folder)
        rows = rows_of(folder, "caption", "caption_length", "caption_source", "caption_facts", "caption_flags")
        flagged = [row for row in rows if row["caption_flags"]]
        assert flagged
        assert all(row["caption_flags"] == ["hedge: metres"] for row in flagged)
        told = [row["caption"] is not None for row in flagged]
        assert not any(told) if action == "drop_caption" else all(told)
        assert all((row["caption"] is None) == (row["caption_length"] is None) for row in rows)
        assert verify(folder) == []


def test_checks_may_be_left_out(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery/a.tif", size=700)
    write_recipe(tmp_path / "recipe.toml", more="[captions.checks]\nuse = []")
    built(tmp_path, tmp_path / "dataset")
    assert all(row["caption_flags"] is None for row in rows_of(tmp_path / "dataset", "caption_flags"))
