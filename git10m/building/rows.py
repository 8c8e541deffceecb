"""The second pass, its second step: final rows of a shard, from the first pass and the captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from git10m import records
from git10m.building.captioning import CAPTION_COLUMNS
from git10m.building.first_pass import CHUNK_ROWS, ShardPlan, first_pass_rows, rows_at
from git10m.building.workspace import Workspace, read_json, write_json
from git10m.recipe import Recipe
from git10m.shards import ShardWriter, file_sha256

__all__ = ["RowPass"]


@dataclass(frozen=True)
class RowPass:
    """Writes one final shard; picklable work for `engine.map_shards`.

    Attributes:
        workspace: Where files go; the captions of every shard stand there.
        recipe: With absolute paths.
        shards: All final shards.
        modalities: Notes on the further images of every row.
    """

    workspace: Workspace
    recipe: Recipe
    shards: tuple[ShardPlan, ...]
    modalities: Mapping[str, Any]

    def __call__(self, number: int) -> dict[str, Any]:
        """Write the shard's parquet file, then its file of counts, which means done."""
        if (finished := self.done(number)) is not None:
            return finished  # by another rank, meanwhile
        shard = self.shards[number]
        path = self.workspace.data / f"{shard.name}.parquet"
        where = np.load(self.workspace.shard(shard.name, "rows.npy"))
        captions = self.workspace.captions(shard.captions, "parquet")
        schema = records.schema(bounds=shard.bounds, modalities=self.modalities)
        with ShardWriter(path, schema=schema, row_group_rows=self.recipe.output.row_group_rows) as writer:
            for i, table in enumerate(first_pass_rows(self.workspace, where[:, :2])):
                told = rows_at(captions, where[i * CHUNK_ROWS : (i + 1) * CHUNK_ROWS, 2])
                writer.write(_joined(table, told, split=shard.name.split("-")[0]).cast(schema))
        done = {
            "digest": shard.digest,
            "rows": writer.rows,
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
        }
        write_json(self.workspace.shard(shard.name, "done.json"), done)
        return done

    def done(self, number: int) -> dict[str, Any] | None:
        """Return the counts of a shard that is there, whole and made of these rows and captions; else None."""
        shard = self.shards[number]
        done = read_json(self.workspace.shard(shard.name, "done.json"))
        path = self.workspace.data / f"{shard.name}.parquet"
        if done is None or done["digest"] != shard.digest or not path.exists():
            return None
        return done if path.stat().st_size == done["bytes"] else None


def _joined(table: pa.Table, captions: pa.Table, *, split: str) -> pa.Table:
    """Return rows of the first pass with their captions and split."""
    found = {name: captions[name] for name in CAPTION_COLUMNS}
    found["split"] = pa.array([split] * table.num_rows, type=pa.string())
    for name, values in found.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), values)
    return table
