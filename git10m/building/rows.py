"""The second pass, its second step: final rows of a shard, from the first pass and the captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from git10m import records
from git10m.building.captioning import CAPTION_COLUMNS
from git10m.building.encoding import Encoding
from git10m.building.first_pass import CHUNK_ROWS, ShardPlan, first_pass_rows, rows_at
from git10m.building.workspace import Workspace, read_json, write_json
from git10m.curation.vectors import VectorFiles
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
        encoding: Models whose vectors rows have; None: none.
    """

    workspace: Workspace
    recipe: Recipe
    shards: tuple[ShardPlan, ...]
    modalities: Mapping[str, Any]
    encoding: Encoding | None = None

    def __call__(self, number: int) -> dict[str, Any]:
        """Write the shard's parquet file, then its file of counts, which means done."""
        if (finished := self.done(number)) is not None:
            return finished  # by another rank, meanwhile
        shard = self.shards[number]
        path = self.workspace.data / f"{shard.name}.parquet"
        where = np.load(self.workspace.shard(shard.name, "rows.npy"))
        captions = self.workspace.captions(shard.captions, "parquet")
        embedding = self.encoding.note if self.encoding is not None else None
        schema = records.schema(bounds=shard.bounds, modalities=self.modalities, embedding=embedding)
        with ShardWriter(path, schema=schema, row_group_rows=self.recipe.output.row_group_rows) as writer:
            for i, table in enumerate(first_pass_rows(self.workspace, where[:, :2])):
                origin = where[i * CHUNK_ROWS : (i + 1) * CHUNK_ROWS]
                rows = _joined(table, rows_at(captions, origin[:, 2]), split=shard.name.split("-")[0])
                if embedding is not None:
                    rows = rows.append_column("embedding", self._embeddings(origin, embedding["dtype"]))
                writer.write(rows.cast(schema))
        done = {
            "digest": shard.digest,
            "rows": writer.rows,
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
        }
        write_json(self.workspace.shard(shard.name, "done.json"), done)
        return done

    def _embeddings(self, origin: npt.NDArray[np.int32], dtype: str) -> pa.Array:
        """Return the vectors of some rows as lists; null where there is none."""
        assert self.encoding is not None
        units, own = np.unique(origin[:, 0], return_inverse=True)
        files = [self.encoding.path(self.workspace, unit) for unit in units.tolist()]
        vectors = VectorFiles(files, own, origin[:, 1]).take(np.arange(len(origin))).astype(dtype)
        offsets = pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1])
        lacking = pa.array(~np.isfinite(vectors).all(axis=1))
        return pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)), mask=lacking)

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
