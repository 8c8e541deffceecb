"""Parquet shards: written atomically, read by row group.

A shard is written under a temporary name, flushed to the disk and renamed, so a file with its final name is whole.
Image bytes are stored as they are (they are compressed already), all other columns with zstd; row groups are small
enough for random access.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["ShardWriter", "atomic_file", "data_files", "file_sha256", "read_tables", "write_table"]

ROW_GROUP_ROWS = 500
"""Rows a group where nothing else is asked: about 9 MB of 256-px tiles."""


class ShardWriter:
    """Writes one parquet file, atomically; use it as a context manager.

    An error inside the ``with`` block leaves no file behind.

    Args:
        path: Final name; its folder exists.
        schema: Of every table that is written, with its metadata.
        row_group_rows: Rows a group; groups are exactly so long, but for the last.
    """

    def __init__(self, path: Path, *, schema: pa.Schema, row_group_rows: int = ROW_GROUP_ROWS) -> None:
        self.path, self.schema, self.row_group_rows = path, schema, row_group_rows
        self.rows = 0
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0

    def __enter__(self) -> Self:
        self._file = atomic_file(self.path)
        self._writer = _parquet_writer(self._file.__enter__(), self.schema)
        return self

    @property
    def waiting_rows(self) -> int:
        """Rows that were given and wait for their group to be whole."""
        return self._waiting_rows

    def write(self, table: pa.Table) -> None:
        """Append rows; they reach the file group by group."""
        self._waiting.append(table.cast(self.schema) if table.schema != self.schema else table)
        self._waiting_rows += table.num_rows
        if self._waiting_rows >= self.row_group_rows:
            self._flush(keep_rest=True)

    def _flush(self, *, keep_rest: bool) -> None:
        whole = pa.concat_tables(self._waiting) if self._waiting else self.schema.empty_table()
        end = whole.num_rows - whole.num_rows % self.row_group_rows if keep_rest else whole.num_rows
        for start in range(0, end, self.row_group_rows):
            group = whole.slice(start, min(self.row_group_rows, end - start)).combine_chunks()
            self._writer.write_table(group, row_group_size=self.row_group_rows)
            self.rows += group.num_rows
        rest = whole.slice(end)
        self._waiting, self._waiting_rows = ([rest] if rest.num_rows else []), rest.num_rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is None:
            try:
                self._flush(keep_rest=False)
                self._writer.close()
            except BaseException as failure:
                self._abandon()
                self._file.__exit__(type(failure), failure, failure.__traceback__)
                raise
        else:
            self._abandon()
        return self._file.__exit__(kind, error, trace)

    def _abandon(self) -> None:
        """Close the writer of a file that is given up; a full disk refuses even the footer."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of ``path`` for writing; rename it on success, remove it on error."""
    # Machines of one job may share the folder, and process numbers.
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_table(table: pa.Table, path: Path, *, row_group_rows: int = ROW_GROUP_ROWS) -> None:
    """Write a table that fits into memory as one shard."""
    with ShardWriter(path, schema=table.schema, row_group_rows=row_group_rows) as writer:
        writer.write(table)


def read_tables(path: Path, *, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the row groups of a shard, optionally only some columns."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=list(columns) if columns is not None else None)


def data_files(folder: Path) -> list[Path]:
    """List the shards of a dataset folder: train, then validation, then test, each in order."""
    order = {"train": 0, "validation": 1, "test": 2}
    files = [file for file in (folder / "data").glob("*-of-*.parquet") if file.name.split("-")[0] in order]
    return sorted(files, key=lambda file: (order[file.name.split("-")[0]], file.name))


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parquet_writer(file: IO[bytes], schema: pa.Schema) -> Any:
    leaves = _leaf_paths(schema)
    images = {path for path in leaves if path.endswith(".bytes")}
    plain = images | {path for path in leaves if path.startswith("embedding.")}  # no two of these numbers are equal
    return pq.ParquetWriter(
        file,
        schema,
        compression={path: "NONE" if path in images else "ZSTD" for path in leaves},
        use_dictionary=[path for path in leaves if path not in plain],
        write_statistics=[path for path in leaves if path not in plain],
        write_page_checksum=True,
    )


def _leaf_paths(schema: pa.Schema) -> list[str]:
    """List the dotted paths of a schema's leaf columns, as parquet names them."""

    def below(prefix: str, type_: pa.DataType) -> Iterator[str]:
        if pa.types.is_struct(type_):
            for field in type_:
                yield from below(f"{prefix}.{field.name}", field.type)
        elif pa.types.is_list(type_):
            yield from below(f"{prefix}.list.element", type_.value_type)
        else:
            yield prefix

    return [path for field in schema for path in below(field.name, field.type)]
