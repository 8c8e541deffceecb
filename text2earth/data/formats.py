"""Two formats of shards, read a group of rows at a time: parquet, and Arrow's own (stream or file).

Git-10M is published as Arrow streams of record batches; a batch is to a stream what a row group is to parquet. A
group has a number that finds it again without reading those before it: its ordinal, or in a stream its offset.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from text2earth.data.files import is_remote, open_file
from text2earth.errors import ShardError

__all__ = ["Shard", "open_shard"]


class Shard(ABC):
    """An open file of rows; use it as a context manager.

    ``schema`` is that of its columns.
    """

    schema: pa.Schema

    def __init__(self, source: pa.NativeFile) -> None:
        self._source = source

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; tables that were read stay."""
        self._source.close()

    @abstractmethod
    def numbers(self) -> Iterator[int]:
        """Yield the number of each group, in order."""

    @abstractmethod
    def read(self, number: int, *, columns: Sequence[str]) -> pa.Table:
        """Read columns of a group; those that the file lacks are left out.

        A dotted name reads one child of a struct, where the format can.
        """

    def columns(self, wanted: Sequence[str]) -> list[str]:
        """Return those of the names that the file has."""
        return [name for name in wanted if name.split(".", 1)[0] in self.schema.names]


class _Parquet(Shard):
    def __init__(self, path: str) -> None:
        super().__init__(open_file(path))
        # Far away, the pages of a group are asked for at once, not one after the other.
        self._file = pq.ParquetFile(self._source, pre_buffer=is_remote(path), page_checksum_verification=True)
        self.schema = self._file.schema_arrow

    def numbers(self) -> Iterator[int]:
        yield from range(self._file.num_row_groups)

    def read(self, number: int, *, columns: Sequence[str]) -> pa.Table:
        return self._file.read_row_group(number, columns=self.columns(columns))


class _ArrowFile(Shard):
    def __init__(self, source: pa.NativeFile) -> None:
        super().__init__(source)
        self._file = pa.ipc.open_file(source)
        self.schema = self._file.schema

    def numbers(self) -> Iterator[int]:
        yield from range(self._file.num_record_batches)

    def read(self, number: int, *, columns: Sequence[str]) -> pa.Table:
        return _selected(self._file.get_batch(number), self.columns(columns))


class _ArrowStream(Shard):
    def __init__(self, source: pa.NativeFile) -> None:
        super().__init__(source)
        self.schema = pa.ipc.read_schema(source)
        self._first = source.tell()

    def numbers(self) -> Iterator[int]:
        here = self._first
        while True:
            self._source.seek(here)
            try:
                message = pa.ipc.read_message(self._source)
            except EOFError:  # the end is marked, or the file just ends
                return
            if message.type == "record batch":
                yield here
                self._source.seek(here)
                pa.ipc.read_message(self._source)
            here = self._source.tell()

    def read(self, number: int, *, columns: Sequence[str]) -> pa.Table:
        self._source.seek(number)
        message = pa.ipc.read_message(self._source)
        return _selected(pa.ipc.read_record_batch(message, self.schema), self.columns(columns))


def _selected(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.Table:
    names = dict.fromkeys(name.split(".", 1)[0] for name in columns)
    return pa.Table.from_batches([batch]).select(list(names))


def open_shard(path: str) -> Shard:
    """Open a file of rows, whatever its format.

    Raises:
        ShardError: If it is none of the formats, or damaged at the place that says what it holds.
    """
    source: Any = None
    try:
        source = open_file(path)
        start = source.read(6)
        source.seek(0)
        if start[:4] == b"PAR1":
            source.close()
            return _Parquet(path)
        return _ArrowFile(source) if start == b"ARROW1" else _ArrowStream(source)
    except (OSError, pa.ArrowException) as error:
        with suppress(AttributeError, OSError):
            source.close()
        raise ShardError(
            f"{path} is not a readable parquet or Arrow file ({error}); build or fetch it again"
        ) from error
