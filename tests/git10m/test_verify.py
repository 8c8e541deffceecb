"""Every promise of a dataset, broken on purpose: ``verify`` names what and where.

Files are tampered with and the manifest's hashes mended, so that it is the deeper check that has to find the fault.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_imagery import DATES, built, command, write_recipe, write_scene

from git10m.engine import Engine
from git10m.errors import DatasetError
from git10m.publish import write_index
from git10m.shards import data_files
from git10m.verify import verify

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of some twenty rows in all three splits and two shards of the first."""
    folder = tmp_path_factory.mktemp("verified")
    for number, day in enumerate(("20200701", "20210701")):
        write_scene(folder / f"imagery/a_{day}.tif", size=1300, seed=number)
    splits = "[splits]\nvalidation = 0.3\ntest = 0.2\nseed = 3\n[output]\nshard_rows = 15\nrow_group_rows = 5"
    write_recipe(folder / "recipe.toml", source=DATES, more=splits)
    built(folder, folder / "dataset")
    return folder / "dataset"


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "dataset", ignore=shutil.ignore_patterns("work")))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def mend(folder: Path, *, index: bool = True) -> None:
    """Make the index and the manifest's notes of files agree with the shards again."""
    if index:
        write_index(data_files(folder), folder / "index.parquet")

    def noted(manifest: dict[str, Any]) -> None:
        for name, note in manifest["files"].items():
            data = (folder / name).read_bytes()
            rows = pq.read_metadata(folder / name).num_rows
            note |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "rows": rows}

    edit_manifest(folder, noted)


def edit_rows(path: Path, change: Callable[[Rows], Any]) -> None:
    """Rewrite a parquet file with changed rows and the schema that it had."""
    schema = pq.read_schema(path)
    rows: Rows = pq.read_table(path).to_pylist()
    rows = change(rows) or rows
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=5)


def first_shard(folder: Path) -> Path:
    return data_files(folder)[0]


def findings(folder: Path) -> str:
    return "\n".join(str(finding) for finding in verify(folder))


def test_a_good_dataset_has_no_findings_and_every_split(good: Path) -> None:
    assert {file.name.split("-")[0] for file in data_files(good)} == {"train", "validation", "test"}
    assert len(data_files(good)) >= 4
    assert verify(good) == []


def test_more_workers_find_the_same(copy: Path) -> None:
    edit_rows(first_shard(copy), lambda rows: rows[0].update(caption_length=99))
    assert verify(copy, engine=Engine("processes", 2)) == verify(copy) != []


# Rows


def put(**values: Any) -> Callable[[Rows], None]:
    return lambda rows: rows[1].update(values)


def not_an_image(rows: Rows) -> None:
    rows[1]["image"]["bytes"] = b"\xff\xd8 no picture"
    rows[1]["sha256"] = hashlib.sha256(b"\xff\xd8 no picture").hexdigest()


def half_an_image(rows: Rows) -> None:
    half = rows[1]["image"]["bytes"][:2000]
    rows[1]["image"]["bytes"], rows[1]["sha256"] = half, hashlib.sha256(half).hexdigest()


def another_image(rows: Rows) -> None:
    rows[1]["image"]["bytes"] = rows[0]["image"]["bytes"]


def renamed(rows: Rows) -> None:
    rows[1]["img_name"] = rows[1]["image"]["path"] = rows[0]["img_name"]


def swapped(rows: Rows) -> Rows:
    return [rows[-1], *rows[1:-1], rows[0]]


def shares(rows: Rows) -> None:
    rows[1]["sources"][0]["share"] = 0.5


def moved(rows: Rows) -> None:
    rows[1]["bbox"]["xmin"] -= 0.001


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put(caption_length=3), "caption_length is 3"),
        (put(caption=None), "caption_length"),
        (put(Google_location="15_1_1"), "Google_location is 15_1_1"),
        (put(quadkey="0123"), "quadkey is 0123"),
        (put(x=1), "tile 1"),
        (put(x=-1), "is no tile"),
        (put(resolution=1.0), "resolution is 1.0"),
        (put(gsd_m=1.0), "gsd_m is 1.0"),
        (put(lon=0.0), "lon is 0.0"),
        (put(lat=None), "lat is None"),
        (put(geometry=b""), "geometry is another outline"),
        (moved, "bbox is"),
        (put(width=512), "the row says 512×256"),
        (put(sha256="0" * 64), "sha256 differs"),
        (put(split="test"), "split is 'test' in a file of 'train'"),
        (put(valid_fraction=1.5), "valid_fraction 1.5 is outside"),
        (put(level=0), "level 0 (unknown resolution) but has"),
        (shares, "do not add up to 1"),
        (not_an_image, "does not decode"),
        (half_an_image, "does not decode"),
        (another_image, "sha256 differs from the image's bytes"),
        (renamed, "names are unique"),
        (put(img_name="other.jpg"), "differs from img_name"),
        (swapped, "stands out of order"),
    ],
)
def test_a_tampered_row_is_named(change: Callable[[Rows], Any], named: str, copy: Path) -> None:
    edit_rows(first_shard(copy), change)
    mend(copy)
    found = findings(copy)
    assert named in found
    assert "SHA-256" not in found


def test_a_finding_names_the_file_and_the_row(copy: Path) -> None:
    edit_rows(first_shard(copy), put(caption_length=3))
    mend(copy)
    (finding,) = verify(copy)
    name = pq.read_table(first_shard(copy))["img_name"][1].as_py()
    assert finding.where == f"data/{first_shard(copy).name} row 1 ({name})"


def test_a_removed_row_breaks_the_accounting(copy: Path) -> None:
    edit_rows(first_shard(copy), lambda rows: rows[:-1])
    mend(copy)
    found = findings(copy)
    assert "kept rows, the index has" in found


def test_rows_that_moved_to_another_split_share_ground_with_it(copy: Path) -> None:
    train, test = first_shard(copy), data_files(copy)[-1]
    row = pq.read_table(train).to_pylist()[0]
    edit_rows(train, lambda rows: rows[1:])
    edit_rows(test, lambda rows: [{**row, "split": "test"}, *rows])
    mend(copy)
    found = findings(copy)
    assert "lies in more than one split" in found
    assert "counts splits" in found


# Files


def test_a_flipped_byte_anywhere_in_a_shard_is_found(copy: Path) -> None:
    path = first_shard(copy)
    data = bytearray(path.read_bytes())
    for at in (10, len(data) // 2, len(data) - 20):
        data[at] ^= 1
        path.write_bytes(data)
        assert f"data/{path.name}: its SHA-256 differs" in findings(copy)
        data[at] ^= 1


def test_a_flipped_byte_of_an_image_is_found_even_when_the_hash_of_the_file_is_mended(copy: Path) -> None:
    path = first_shard(copy)
    data = bytearray(path.read_bytes())
    image = pq.read_table(path)["image"][0]["bytes"].as_py()
    data[bytes(data).index(image) + len(image) // 2] ^= 1
    path.write_bytes(data)
    mend(copy, index=False)
    assert f"data/{path.name}" in findings(copy)


@pytest.mark.parametrize("name", ["index.parquet", "rejected.parquet", "README.md", "data/{first}"])
def test_a_missing_file_is_named(name: str, copy: Path) -> None:
    name = name.format(first=first_shard(copy).name)
    (copy / name).unlink()
    assert f"{name}: is missing" in findings(copy)


@pytest.mark.parametrize("name", ["train-00009-of-00010.parquet", "notes.txt", ".hidden.part"])
def test_a_stray_file_among_the_shards_is_named(name: str, copy: Path) -> None:
    shutil.copy(first_shard(copy), copy / "data" / name)
    assert f"data/{name}: is not in the manifest" in findings(copy)


def test_a_text_in_place_of_a_shard_is_a_finding(copy: Path) -> None:
    first_shard(copy).write_text("no parquet")
    assert "cannot be read" in findings(copy)


@pytest.mark.parametrize(
    "change", [put(caption="Another caption."), put(row=0), put(file="data/x.parquet"), lambda rows: rows[:-1]]
)
def test_an_edited_index_differs_from_the_shards(change: Callable[[Rows], Any], copy: Path) -> None:
    edit_rows(copy / "index.parquet", change)
    mend(copy, index=False)
    assert "index.parquet: " in findings(copy)


def test_lost_metadata_are_named(copy: Path) -> None:
    path = first_shard(copy)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(None), path)
    mend(copy)
    found = findings(copy)
    assert "Hugging Face metadata" in found
    assert "has no GeoParquet metadata" in found


def test_a_column_of_another_type_is_named(copy: Path) -> None:
    path = first_shard(copy)
    table = pq.read_table(path)
    at = table.schema.get_field_index("gsd_m")
    table = table.set_column(at, "gsd_m", table["gsd_m"].cast(pa.float32()))
    pq.write_table(table, path)
    mend(copy, index=False)
    assert "column gsd_m is float, expected double" in findings(copy)


# The manifest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda counts: counts.update(planned=1), "planned 1 ≠ kept"),
        (lambda counts: counts.update(kept=1), "counts 1 kept rows"),
        (lambda counts: counts["dropped"].update(valid_fraction=0), "rejected.parquet: holds"),
        (lambda counts: counts["failed"].update(unreadable=4), "rejected.parquet: holds"),
        (lambda counts: counts["levels"].update({"15": 1}), "counts levels"),
        (lambda counts: counts["splits"].update(train=0), "counts splits"),
        (lambda counts: counts["sources"].update(other=2), "counts sources"),
    ],
)
def test_wrong_counts_are_named(change: Callable[[dict[str, Any]], None], named: str, copy: Path) -> None:
    edit_manifest(copy, lambda manifest: change(manifest["counts"]))
    assert named in findings(copy)


def test_wrong_numbers_of_rows_are_named(copy: Path) -> None:
    edit_manifest(copy, lambda manifest: manifest["files"]["index.parquet"].update(rows=3))
    assert "the manifest says 3" in findings(copy)


def test_a_manifest_without_files_is_a_finding(copy: Path) -> None:
    edit_manifest(copy, lambda manifest: manifest.pop("files"))
    assert "lists no files" in findings(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_manifest_is_no_dataset(text: str, copy: Path) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(DatasetError, match=r"manifest\.json"):
        verify(copy)


# The command


def test_the_command_says_what_is_broken_and_ends_with_1(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good = command(capfd, "verify", copy, "--workers", 1)
    assert (good.code, good.out) == (0, f"{copy}: every promise is kept\n")
    edit_rows(first_shard(copy), put(caption_length=3))
    mend(copy)
    bad = command(capfd, "verify", copy, "--workers", 1)
    assert (bad.code, bad.out) == (1, "")
    assert "caption_length is 3" in bad.err
    answer = command(capfd, "verify", copy, "--workers", 1, "--json")
    assert (answer.code, answer.json["ok"], len(answer.json["findings"])) == (1, False, 1)
