"""``index.parquet``: every row of every shard without its image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from git10m import records
from git10m.errors import VerificationError
from git10m.shards import ShardWriter

__all__ = ["INDEX_COLUMNS", "SPLITS", "Bounds", "index_schema", "write_index"]

SPLITS = ("train", "validation", "test")
"""Splits in the order in which they are listed."""

INDEX_COLUMNS = {
    "file": records.Column(pa.string(), "shard that holds the row, relative to the dataset's folder"),
    "row": records.Column(pa.int32(), "position of the row in that shard, from 0"),
}
"""Columns that the index has beside those of ``records.Row`` (which it has without ``image``)."""

INDEX_GROUP_ROWS = 20_000
"""Rows of a row group of the index: some MB, and few enough for a bounding box to skip most of the file."""

Bounds = tuple[float, float, float, float]


def index_schema(*, bounds: Bounds | None = None) -> pa.Schema:
    """Return the Arrow schema of ``index.parquet``: every column of a row but the image, then ``INDEX_COLUMNS``.

    Args:
        bounds: (west, south, east, north) of the rows in degrees, noted in the GeoParquet metadata.
    """
    rows = records.schema(bounds=bounds, without=("image",))
    fields = [*rows, *(pa.field(name, column.type) for name, column in INDEX_COLUMNS.items())]
    features = records.huggingface_metadata({field.name: field.type for field in fields})
    return pa.schema(fields, metadata={**rows.metadata, b"huggingface": json.dumps(features).encode()})


def write_index(data_files: Sequence[Path], path: Path) -> None:
    """Write ``index.parquet``: the rows of all shards without their images, as GeoParquet 1.1.

    Rows come in the order of the files. Only small columns are read, one batch at a time, so memory does not grow
    with the number of rows; the bytes depend on the shards and the version of pyarrow alone.

    Args:
        data_files: Shards, in order.
        path: File to write, in the dataset's folder; an older one is replaced in one step.

    Raises:
        VerificationError: If a shard is no parquet file, or lacks a column of ``records.Row``.
    """
    names = [field.name for field in records.schema(without=("image",))]
    arrow = index_schema(bounds=_bounds(data_files, names))
    with ShardWriter(path, schema=arrow, row_group_rows=INDEX_GROUP_ROWS) as writer:
        for table in _indexed(data_files, names):
            writer.write(table.cast(arrow))


def _opened(path: Path, names: Sequence[str]) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise VerificationError(f"{path}: not a readable parquet file ({error}); build the dataset again") from error
    if missing := [name for name in names if name not in file.schema_arrow.names]:
        file.close()
        raise VerificationError(f"{path}: has no column {', '.join(missing)}; write it with this version's build")
    return file


def _bounds(data_files: Sequence[Path], names: Sequence[str]) -> Bounds | None:
    """Return (west, south, east, north) over all rows with a place; refuses shards that lack one of the columns."""
    lows: list[tuple[float, float]] = []
    highs: list[tuple[float, float]] = []
    for path in data_files:
        with _opened(path, names) as file:
            for batch in file.iter_batches(columns=["bbox"]):
                box = batch.column("bbox").drop_null()
                if len(box):
                    lows.append((pc.min(box.field("xmin")).as_py(), pc.min(box.field("ymin")).as_py()))
                    highs.append((pc.max(box.field("xmax")).as_py(), pc.max(box.field("ymax")).as_py()))
    if not lows:
        return None
    west, south = (min(values) for values in zip(*lows, strict=True))
    east, north = (max(values) for values in zip(*highs, strict=True))
    return west, south, east, north


def _indexed(data_files: Sequence[Path], names: list[str]) -> Iterator[pa.Table]:
    """Yield the rows of the shards without images, each with its file and position."""
    for path in data_files:
        position = 0
        with _opened(path, names) as file:
            for batch in file.iter_batches(columns=names, batch_size=INDEX_GROUP_ROWS):
                # `iter_batches` keeps the file's order of columns, which need not be ours.
                table = pa.Table.from_batches([batch]).select(names)
                where = pa.array([f"{path.parent.name}/{path.name}"] * len(batch), pa.string())
                rows = pa.array(range(position, position + len(batch)), pa.int32())
                yield table.append_column("file", where).append_column("row", rows)
                position += len(batch)
