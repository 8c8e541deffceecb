"""Every example that a reader of the README sees is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from git10m.cli import app as git10m_app
from git10m.recipe import parse_recipe
from git10m.synthetic import write_scenes

REPOSITORY = Path(__file__).parent.parent
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```", (REPOSITORY / "README.md").read_text(), re.M | re.S)
MAKES_ITS_OWN_SETUP = ("make ",)


def test_the_readme_shows_each_kind_of_example() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "toml", "python"}


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = [line.split()[1] for _, text in BLOCKS for line in text.splitlines() if line.startswith("make ")]
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


def test_every_git10m_command_of_the_readme_exists() -> None:
    known = get_command(git10m_app).commands  # type: ignore[attr-defined]
    used = {line.split()[1] for _, text in BLOCKS for line in text.splitlines() if line.startswith("git10m ")}
    assert used <= known.keys()


def test_the_recipe_of_the_readme_is_six_lines_and_valid() -> None:
    (text,) = [text for language, text in BLOCKS if language == "toml"]
    assert len(text.splitlines()) == 6
    assert parse_recipe(text).source[0].licence == "CC-BY-4.0"


@pytest.mark.slow
def test_every_example_runs_in_the_order_of_the_readme(tmp_path: Path) -> None:
    _lay_out(tmp_path)
    _run(["git10m", "build", "pipelines/demo.toml", "--output", "demo/dataset"], tmp_path)  # as make demo does
    for language, text in BLOCKS:
        if language == "toml":
            (tmp_path / "my-region.toml").write_text(text)
        elif language == "python":
            _run([sys.executable, "-c", text], tmp_path)
        else:
            for line in text.splitlines():
                if not line.startswith(MAKES_ITS_OWN_SETUP):
                    _run(shlex.split(line), tmp_path)
    assert (tmp_path / "my-region/report.html").exists()
    assert (tmp_path / "farmland.png").exists()


def _lay_out(folder: Path) -> None:
    """Make the files that the README speaks of: the repository's recipes, and a folder of GeoTIFFs."""
    for name in ("pipelines", "catalogs"):
        (folder / name).symlink_to(REPOSITORY / name)
    scene = next(path for path in write_scenes(folder / "scenes", seed=3, size_px=768) if "landcover" not in path.name)
    (folder / "orthophotos").mkdir()
    scene.rename(folder / "orthophotos" / "sheet.tif")


def _run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
