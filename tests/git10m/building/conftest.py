"""A survey with several units and shards, and the dataset that an undisturbed build makes of it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_imagery import DATES, built, write_recipe, write_scene


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dates of one place, a truncated file and a text among them, and the recipe."""
    folder = tmp_path_factory.mktemp("survey")
    write_scene(folder / "imagery/a_20200701.tif", size=1600, seed=1)
    write_scene(folder / "imagery/b_20210701.tif", size=1600, seed=2)
    cut = write_scene(folder / "imagery/cut_20220701.tif", size=700, seed=3)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 3])
    (folder / "imagery/text_20220701.tif").write_text("404 not found")
    write_recipe(folder / "recipe.toml", source=DATES, more="[output]\nshard_rows = 20\nrow_group_rows = 7")
    return folder


@pytest.fixture(scope="session")
def undisturbed(survey: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "dataset"
    built(survey, folder)
    return folder


@pytest.fixture(scope="session")
def git10m() -> Callable[..., list[str]]:
    """The installed command, as arguments for a process of its own."""
    script = Path(sys.executable).with_name("git10m")
    start = [str(script)] if script.exists() else [sys.executable, "-c", "from git10m.cli import main; main()"]

    def order(survey: Path, folder: Path, *options: str) -> list[str]:
        variables = ["--var", f"imagery={survey / 'imagery'}"]
        return [*start, "build", str(survey / "recipe.toml"), "--output", str(folder), *variables, *options]

    return order
