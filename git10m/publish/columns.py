"""Export to the columns of Git-10M: the seven that it was published with, or its older single ``text``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from git10m import records
from git10m.publish.selection import Selection
from git10m.records import GIT10M_COLUMNS
from git10m.shards import ShardWriter

__all__ = ["column_schema", "write_columns"]


def column_schema(*, text_column: bool = False, synthetic: bool = False) -> pa.Schema:
    """Return the Arrow schema of the export.

    Args:
        text_column: ``image`` and ``text`` alone, ``"{level}_GOOGLE_LEVEL_{caption}"``.
        synthetic: Noted in the metadata, for none of the columns can say it.
    """
    every = records.columns()
    types: dict[str, pa.DataType] = {name: every[name].type for name in GIT10M_COLUMNS}
    if text_column:
        types = {"image": records.IMAGE, "text": pa.string()}
    metadata = {"huggingface": json.dumps(records.huggingface_metadata(types))}
    if synthetic:
        metadata["git10m"] = json.dumps({"synthetic": True})
    return pa.schema(list(types.items()), metadata=metadata)


def write_columns(selection: Selection, shard: str, path: Path, *, schema: pa.Schema) -> int:
    """Write the published rows of a shard with the columns of a schema, a row group at a time; returns the rows."""
    wanted = ["image", "level", "caption"] if "text" in schema.names else list(schema.names)
    with ShardWriter(path, schema=schema) as writer:
        for table in selection.tables(shard, columns=wanted):
            writer.write(_texts(table, schema) if "text" in schema.names else table.select(wanted).cast(schema))
    return int(writer.rows)


def _texts(table: pa.Table, schema: pa.Schema) -> pa.Table:
    pairs = zip(table["level"].to_pylist(), table["caption"].to_pylist(), strict=True)
    texts: list[Any] = [f"{level}_GOOGLE_LEVEL_{caption or ''}" for level, caption in pairs]
    return pa.table([table["image"], pa.array(texts, pa.string())], schema=schema)
