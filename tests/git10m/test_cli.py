"""The command: exit codes, what goes to stdout and what to stderr, one JSON object for machines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_imagery import Said, command, write_recipe, write_scene

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    write_scene(folder / "imagery/a.tif", size=700)
    write_recipe(folder / "recipe.toml")
    return folder


@pytest.fixture
def dataset(place: Path, tmp_path: Path, capfd: Capture) -> Path:
    assert build(capfd, place, tmp_path / "dataset").code == 0
    return tmp_path / "dataset"


def build(capfd: Capture, place: Path, output: Path, *options: object) -> Said:
    variables = ["--var", f"imagery={place / 'imagery'}"]
    return command(capfd, "build", place / "recipe.toml", "--output", output, "--workers", 1, *variables, *options)


def test_build_tells_a_person_what_came_of_it(place: Path, tmp_path: Path, capfd: Capture) -> None:
    answer = build(capfd, place, tmp_path / "dataset")
    assert answer.code == 0
    first, second = answer.out.splitlines()
    assert first.startswith(f"{tmp_path / 'dataset'}: ")
    assert "rows kept of" in first
    assert second == f"report: {tmp_path / 'dataset/report.html'}"
    assert "tiles: 100%" in answer.err


def test_build_prints_one_json_object_on_stdout_and_progress_on_stderr(
    place: Path, tmp_path: Path, capfd: Capture
) -> None:
    answer = build(capfd, place, tmp_path / "dataset", "--json")
    assert len(answer.out.splitlines()) == 1
    assert set(answer.json) == {"folder", "finished", "counts", "skipped"}
    assert answer.json["finished"] is True
    assert "tiles" in answer.err


def test_a_rank_that_leaves_prints_its_json_object_too(
    place: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT10M_RANK", "1")
    monkeypatch.setenv("GIT10M_RANKS", "2")
    answer = build(capfd, place, tmp_path / "dataset", "--engine", "rank", "--json")
    assert answer.code == 0
    assert answer.json["finished"] is False
    waiting = command(capfd, "status", tmp_path / "dataset", "--json")
    assert waiting.json["finished"] is False
    assert waiting.json["units"] == {"done": 0, "planned": 1}
    assert "not finished" in command(capfd, "status", tmp_path / "dataset").out


@pytest.mark.parametrize("order", ["plan", "build --dry-run"])
def test_a_plan_counts_tiles_and_writes_nothing(order: str, place: Path, tmp_path: Path, capfd: Capture) -> None:
    name, *options = order.split()
    given = ["--var", f"imagery={place / 'imagery'}", "--output", tmp_path / "dataset"]
    answer = command(capfd, name, place / "recipe.toml", *given, *options, "--json")
    assert answer.code == 0
    assert answer.json["tiles"] == sum(answer.json["levels"].values()) == sum(answer.json["layers"].values())
    assert answer.json["scenes"] == 1
    assert not (tmp_path / "dataset").exists()
    told = command(capfd, name, place / "recipe.toml", *given, *options)
    assert told.out.startswith(f"{answer.json['tiles']} tiles from 1 scenes")


def test_a_plan_is_what_the_build_does(place: Path, tmp_path: Path, capfd: Capture) -> None:
    planned = build(capfd, place, tmp_path / "dataset", "--dry-run", "--json").json["tiles"]
    assert build(capfd, place, tmp_path / "dataset", "--json").json["counts"]["planned"] == planned


def test_limit_is_the_most_tiles_that_are_planned(place: Path, tmp_path: Path, capfd: Capture) -> None:
    assert build(capfd, place, tmp_path / "dataset", "--limit", 20, "--dry-run", "--json").json["tiles"] == 20
    assert build(capfd, place, tmp_path / "dataset", "--limit", 20, "--json").json["counts"]["planned"] == 20
    other = build(capfd, place, tmp_path / "dataset", "--limit", 8)
    assert other.code == 2
    assert "changed: limit" in other.err


def test_status_of_a_finished_dataset(dataset: Path, capfd: Capture) -> None:
    assert "finished; " in command(capfd, "status", dataset).out
    answer = command(capfd, "status", dataset, "--json")
    assert answer.json["finished"] is True
    assert answer.json["counts"] == json.loads((dataset / "manifest.json").read_text())["counts"]


@pytest.mark.parametrize("name", ["verify", "stats", "report", "status"])
def test_commands_on_a_dataset_answer_in_json(name: str, dataset: Path, capfd: Capture) -> None:
    answer = command(capfd, name, dataset, "--json")
    assert answer.code == 0
    assert len(answer.out.splitlines()) == 1
    assert isinstance(answer.json, dict)


@pytest.mark.parametrize("name", ["verify", "stats", "report", "status"])
@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_that_is_no_dataset_is_exit_2(name: str, folder: str, tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "empty").mkdir()
    answer = command(capfd, name, tmp_path / folder)
    assert answer.code == 2
    assert folder in answer.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", "0"], "--workers 0"),
        (["--engine", "dask"], "--engine dask"),
        (["--var", "imagery"], "--var imagery"),
        (["--var", "1a=b"], "--var 1a=b"),
        (["--limit", "0"], "--limit"),
        (["--wokers", "2"], "--wokers"),
    ],
)
def test_wrong_options_are_exit_2(options: list[str], said: str, place: Path, tmp_path: Path, capfd: Capture) -> None:
    answer = build(capfd, place, tmp_path / "dataset", *options)
    assert answer.code == 2
    assert said in answer.err


def test_the_installed_command_ends_with_its_exit_codes(place: Path, tmp_path: Path) -> None:
    start = [sys.executable, "-c", "from git10m.cli import main; main()"]
    wrong = subprocess.run([*start, "build", "no.toml", "--output", "x"], check=False, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("git10m: no.toml: cannot read the recipe")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.tif").write_text("text")
    order = [*start, "build", str(place / "recipe.toml"), "--output", str(tmp_path / "dataset")]
    failed = subprocess.run(
        [*order, "--var", f"imagery={tmp_path / 'broken'}"], check=False, capture_output=True, text=True
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("git10m: none of 1 scenes can be used")
