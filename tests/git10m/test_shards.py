"""Shards: atomic, exact row groups, images as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git10m.records import IMAGE
from git10m.shards import ShardWriter, atomic_file, data_files, file_sha256, read_tables, write_table

SCHEMA = pa.schema(
    [("image", IMAGE), ("number", pa.int64()), ("words", pa.list_(pa.string()))], metadata={"note": "kept"}
)


def rows(start: int, count: int) -> pa.Table:
    numbers = range(start, start + count)
    images = [{"bytes": bytes([i % 251]) * 300, "path": f"{i}.jpg"} for i in numbers]
    return pa.table([images, list(numbers), [[str(i)] for i in numbers]], schema=SCHEMA)


def groups(path: Path) -> list[int]:
    with pq.ParquetFile(path) as file:
        return [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 25), max_size=8), st.integers(1, 20))
def test_row_groups_are_exact_however_the_rows_arrive(tmp_path_factory, sizes: list[int], group: int):
    path = tmp_path_factory.mktemp("shard") / "a.parquet"
    with ShardWriter(path, schema=SCHEMA, row_group_rows=group) as writer:
        done = 0
        for size in sizes:
            writer.write(rows(done, size))
            done += size
    assert writer.rows == done
    whole, rest = divmod(done, group)
    assert groups(path) in ([group] * whole + [rest] * (rest > 0), [0])
    assert pq.read_table(path)["number"].to_pylist() == list(range(done))
    assert sum(groups(path)) == done


def test_the_bytes_do_not_depend_on_how_the_rows_arrive(tmp_path: Path):
    with ShardWriter(tmp_path / "a.parquet", schema=SCHEMA, row_group_rows=7) as writer:
        writer.write(rows(0, 30))
    with ShardWriter(tmp_path / "b.parquet", schema=SCHEMA, row_group_rows=7) as writer:
        for i in range(30):
            writer.write(rows(i, 1))
    assert file_sha256(tmp_path / "a.parquet") == file_sha256(tmp_path / "b.parquet")


def test_image_bytes_are_stored_as_they_are_and_the_rest_is_compressed(tmp_path: Path):
    write_table(rows(0, 50), tmp_path / "a.parquet")
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        group = file.metadata.row_group(0)
        columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert columns["image.bytes"].compression == "UNCOMPRESSED"
    assert not columns["image.bytes"].is_stats_set
    assert {column.compression for path, column in columns.items() if path != "image.bytes"} == {"ZSTD"}
    assert columns["number"].is_stats_set
    assert (bytes([42]) * 300) in (tmp_path / "a.parquet").read_bytes()


def test_the_schemas_metadata_is_kept(tmp_path: Path):
    write_table(rows(0, 5), tmp_path / "a.parquet")
    assert pq.read_schema(tmp_path / "a.parquet").metadata[b"note"] == b"kept"


@pytest.mark.parametrize("written", [0, 3, 12])
def test_an_error_leaves_nothing_behind(written: int, tmp_path: Path):
    def interrupted() -> None:
        with ShardWriter(tmp_path / "a.parquet", schema=SCHEMA, row_group_rows=5) as writer:
            writer.write(rows(0, written))
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_the_file_that_was_there(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_bytes(b"before")

    def interrupted() -> None:
        with atomic_file(path) as file:
            file.write(b"half of what")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_has_the_final_name_before_it_is_whole(tmp_path: Path):
    path = tmp_path / "a.parquet"
    with ShardWriter(path, schema=SCHEMA, row_group_rows=5) as writer:
        writer.write(rows(0, 12))
        assert not path.exists()
    assert list(tmp_path.iterdir()) == [path]


def test_rows_of_another_schema_are_refused_and_leave_nothing(tmp_path: Path):
    def wrong() -> None:
        with ShardWriter(tmp_path / "a.parquet", schema=SCHEMA) as writer:
            writer.write(pa.table({"number": [1]}))

    with pytest.raises(ValueError, match="number"):
        wrong()
    assert list(tmp_path.iterdir()) == []


def test_groups_are_read_one_at_a_time_and_by_column(tmp_path: Path):
    write_table(rows(0, 12), tmp_path / "a.parquet", row_group_rows=5)
    assert [table.num_rows for table in read_tables(tmp_path / "a.parquet")] == [5, 5, 2]
    (first, *_) = read_tables(tmp_path / "a.parquet", columns=["number"])
    assert first.column_names == ["number"]


def test_the_shards_of_a_folder_come_in_order(tmp_path: Path):
    names = [f"{split}-0000{i}-of-00002.parquet" for split in ("train", "validation", "test") for i in range(2)]
    (tmp_path / "data").mkdir()
    for name in [*reversed(names), "other-00000-of-00001.parquet", ".train-00000-of-00002.parquet.7.part", "notes.txt"]:
        (tmp_path / "data" / name).touch()
    assert [file.name for file in data_files(tmp_path)] == names


def test_the_hash_of_a_file_is_its_sha256(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
