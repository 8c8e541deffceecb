import csv
import io
import json
import signal
import subprocess
import sys
import time

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import git10m
from git10m.publish.publishing import publish
from git10m.publish.release import Publication
from git10m.publish.targets.folder import FolderTarget
from git10m.report import summarise, write_report
from git10m.verify import verify
from text2earth.conditioning import Condition
from text2earth.errors import ConditionError, RequestError
from text2earth.sampling.prompt_table import read_prompts

ROWS = [
    {"prompt": "a view of water", "level": 14, "seed": 7},
    {"prompt": "fields, and a town", "level": 15, "seed": 8},
    {"prompt": "15_GOOGLE_LEVEL_forest", "level": "", "seed": ""},
    {"prompt": "a view of\nwater", "level": 14, "seed": 9},
    {"prompt": "", "level": "", "seed": 7},
]


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def table(tmp_path):
    return write_csv(tmp_path / "prompts.csv", ROWS)


@pytest.fixture
def sample(run, model_folder):
    """Paint a table with the command, in this process; returns (exit status, report or None, stderr)."""

    def call(table, out, *arguments):
        words = ["sample", model_folder, table, "--out", out, "--steps", 2, "--batch-size", 3, *arguments, "--json"]
        status, out, err = run(*words)
        return status, json.loads(out.splitlines()[-1]) if out else None, err

    return call


def shards(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "data").iterdir())}


def rows_of(folder):
    return [row for path in sorted((folder / "data").iterdir()) for row in pq.read_table(path).to_pylist()]


def test_a_table_becomes_a_dataset_of_marked_images(sample, table, tmp_path, model_folder):
    status, report, err = sample(table, tmp_path / "set", "--shard-rows", 2, "--seed", 100)
    assert status == 0, err
    assert (report["rows"], report["painted"], report["shards"]) == (5, 5, 3)
    rows = {row["img_name"]: row for row in rows_of(tmp_path / "set")}
    assert [row["level"] for row in rows_of(tmp_path / "set")] == [0, 14, 14, 15, 15]
    first = rows["00000000.png"]
    assert (first["caption"], first["level"], first["resolution"]) == ("a view of water", 14, 8.0)
    assert first["synthetic"] and first["source_id"] == model_folder.name and first["lon"] is None
    made = json.loads(first["source_item"])
    assert (made["seed"], made["steps"], made["guidance_scale"], len(made["model_sha256"])) == (7, 2, 4.0, 64)
    assert json.loads(rows["00000002.png"]["source_item"])["seed"] == 102
    assert (rows["00000002.png"]["caption"], rows["00000002.png"]["level"]) == ("forest", 15)
    with Image.open(io.BytesIO(first["image"]["bytes"])) as image:
        assert image.text["SYNTHETIC"] == "YES" and image.text["SEED"] == "7" and image.size == (16, 16)


def test_libraries_read_the_dataset(sample, table, tmp_path):
    folder = tmp_path / "set"
    sample(table, folder, "--shard-rows", 2)
    opened = git10m.open_dataset(folder)
    assert len(opened) == 5 and opened[0]["image"].size == (16, 16)
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded.num_rows == 5 and loaded[0]["image"].size == (16, 16)


def test_the_toolkits_own_commands_take_the_folder(sample, table, tmp_path):
    folder = tmp_path / "set"
    assert sample(table, folder, "--shard-rows", 2)[0] == 0
    assert verify(folder) == []
    found = summarise(folder)["accounting"]
    assert (found["planned"], found["kept"], found["balanced"]) == (5, 5, True)
    assert write_report(folder).stat().st_size > 10_000
    release = publish(
        folder, FolderTarget(tmp_path / "published", dataset=folder), wanted=Publication(allowed=("unstated",))
    )
    assert release.rows == 5 and verify(tmp_path / "published") == []
    card = (tmp_path / "published/README.md").read_text()
    assert "painted each image from its caption and level" in card
    assert "warped" not in card and "lossy" not in card
    shard = next((folder / "data").iterdir())
    pq.write_table(pq.read_table(shard).slice(0, 1), shard)
    assert any("the manifest says" in str(finding) for finding in verify(folder))


def test_each_image_depends_on_its_row_alone(sample, table, tmp_path):
    sample(table, tmp_path / "all")
    alone = write_csv(tmp_path / "one.csv", [ROWS[1]])
    sample(alone, tmp_path / "one")
    (one,) = rows_of(tmp_path / "one")
    assert (
        one["sha256"] == next(row for row in rows_of(tmp_path / "all") if row["img_name"] == "00000001.png")["sha256"]
    )


def test_the_same_seed_is_the_image_that_the_command_paints_alone(sample, table, tmp_path, model_folder, run):
    sample(table, tmp_path / "set")
    single = tmp_path / "one.png"
    words = ["sample", model_folder, "a view of water", "--level", 14, "--seed", 7, "--steps", 2, "--out", single]
    assert run(*words)[0] == 0
    row = next(row for row in rows_of(tmp_path / "set") if row["img_name"] == "00000000.png")
    with Image.open(single) as one, Image.open(io.BytesIO(row["image"]["bytes"])) as other:
        # Sums over another batch size differ in their last bits.
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max() <= 1


def test_run_again_nothing_is_painted_and_other_settings_are_refused(sample, table, tmp_path):
    folder = tmp_path / "set"
    sample(table, folder)
    before = shards(folder)
    status, report, _ = sample(table, folder)
    assert (status, report["painted"], shards(folder)) == (0, 0, before)
    status, _, err = sample(table, folder, "--guidance", 2.0, "--width", 32)
    assert status == 2 and "begun with other settings (guidance 4.0 → 2.0; width 16 → 32)" in err
    write_csv(table, [{**ROWS[0], "seed": 1}])
    status, _, err = sample(table, folder)
    assert status == 2 and "prompts '" in err


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_bytes(sample, tmp_path, model_folder):
    rows = [{"prompt": f"a view of water {number}", "level": 14, "seed": number} for number in range(36)]
    table, folder = write_csv(tmp_path / "many.csv", rows), tmp_path / "killed"
    call = [sys.executable, "-c", "from text2earth.cli import main; main()", "sample", model_folder, table,
            "--out", folder, "--steps", 2, "--batch-size", 3, "--shard-rows", 3]  # fmt: skip
    child = subprocess.Popen([*map(str, call)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len([*folder.glob("data/train-*")]) < 3 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not (folder / "manifest.json").exists()
    kept = len([*folder.glob("data/train-*")])
    assert 3 <= kept < 12
    (folder / "data" / ".train-00011-of-00012.parquet.host-1.part").write_bytes(b"torn")
    status, report, _ = sample(table, folder, "--shard-rows", 3)
    assert status == 0 and report["painted"] == 36 - 3 * kept
    sample(table, tmp_path / "whole", "--shard-rows", 3)
    assert shards(folder) == shards(tmp_path / "whole")
    fingerprints = [
        json.loads((each / "manifest.json").read_text())["fingerprint"] for each in (folder, tmp_path / "whole")
    ]
    assert fingerprints[0] == fingerprints[1]


def test_further_conditions_are_columns(tmp_path):
    rows = [{"prompt": "sea", "gsd_m": "0.5", "lon": "11.5", "lat": "48.1", "month": "7", "source": "naip"}]
    (row,) = read_prompts(write_csv(tmp_path / "a.csv", rows))
    assert row.condition == Condition("sea", 0, 0.5, 11.5, 48.1, 7, "naip")


def test_a_parquet_of_prompts_and_a_shard_of_ours(tmp_path, small_tiles):
    pq.write_table(
        pa.table({"prompt": ["sea", None], "level": pa.array([12, None], pa.int32())}), tmp_path / "a.parquet"
    )
    rows = read_prompts(tmp_path / "a.parquet", level=9, seed=4)
    assert [row.condition for row in rows] == [Condition("sea", 12), Condition("", 9)]
    assert [row.seed for row in rows] == [4, 5]
    (shard,) = (small_tiles / "data").iterdir()
    rows = read_prompts(shard)
    assert len(rows) == 24 and rows[0].condition == Condition("Satellite view of water, synthetic.", 14)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([{"text": "sea"}], RequestError, r"has the columns text; it needs one 'prompt'"),
        ([{"prompt": "sea", "levels": 3}], RequestError, r"has a column 'levels'; did you mean 'level'\?"),
        ([{"prompt": "sea", "level": "high"}], RequestError, r"cannot be read as a table of prompts: .*high"),
        ([{"prompt": "sea", "level": 3}, {"prompt": "sea", "level": 40}], ConditionError, r"row 2: level 40 was given"),
        ([{"prompt": "9_GOOGLE_LEVEL_sea", "level": 3}], ConditionError, r"row 1: the prompt's prefix says level 9"),
        ([{"prompt": "sea", "seed": -1}], RequestError, r"row 1: seed -1"),
    ],
)
def test_a_table_that_asks_for_what_cannot_be_is_refused(tmp_path, rows, error, message):
    with pytest.raises(error, match=message):
        read_prompts(write_csv(tmp_path / "a.csv", rows))


def test_wrong_requests_are_refused_before_a_model_is_loaded(sample, table, tmp_path):
    for arguments, message in (
        ((table, tmp_path / "a.png"), "is painted into a folder of shards"),
        ((tmp_path / "none.csv", tmp_path / "set"), "cannot be read as a table of prompts"),
        ((table, tmp_path / "set", "--lon", 1, "--lat", 2), "a place is a column of the table"),
        ((table, tmp_path / "set", "--shard-rows", 0), "--shard-rows is 0; at least 1"),
        ((table, tmp_path), "holds something else"),
    ):
        status, _, err = sample(*arguments)
        assert status == 2 and message in err
    (tmp_path / "empty.csv").write_text("prompt,level\n")
    status, _, err = sample(tmp_path / "empty.csv", tmp_path / "set")
    assert status == 2 and "has no rows" in err
