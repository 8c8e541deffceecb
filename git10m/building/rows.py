"""The second pass: facts, captions and final rows of a shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from git10m import records
from git10m.building.workspace import Workspace, read_json, write_json
from git10m.captions.facts import FactFinder, Subject
from git10m.captions.template import VERSION, caption
from git10m.grid import Tile
from git10m.recipe import Recipe
from git10m.shards import ShardWriter, file_sha256

__all__ = ["RowPass", "ShardPlan"]

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One final shard.

    Attributes:
        name: File name without its ending, e.g. ``"train-00000-of-00012"``.
        bounds: (west, south, east, north) in degrees around its rows.
        digest: Of the rows of the first pass that it is made of; a shard that was made of others is made again.
        rows: How many.
    """

    name: str
    bounds: Bounds
    digest: str
    rows: int


@dataclass(frozen=True)
class RowPass:
    """Captions and writes one final shard; picklable work for `engine.map_shards`.

    Attributes:
        workspace: Where files go.
        recipe: With absolute paths.
        shards: All final shards.
    """

    workspace: Workspace
    recipe: Recipe
    shards: tuple[ShardPlan, ...]

    def __call__(self, number: int) -> dict[str, Any]:
        """Write the shard's parquet file, then its file of counts, which means done."""
        if (finished := self.done(number)) is not None:
            return finished  # by another rank, meanwhile
        shard = self.shards[number]
        path = self.workspace.data / f"{shard.name}.parquet"
        where = np.load(self.workspace.shard(shard.name, "rows.npy"))
        schema = records.schema(bounds=shard.bounds)
        with ShardWriter(path, schema=schema, row_group_rows=self.recipe.output.row_group_rows) as writer:
            for table in self._tables(where):
                writer.write(self._captioned(table, split=shard.name.split("-")[0]).cast(schema))
        done = {
            "digest": shard.digest,
            "rows": writer.rows,
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
        }
        write_json(self.workspace.shard(shard.name, "done.json"), done)
        return done

    def done(self, number: int) -> dict[str, Any] | None:
        """Return the counts of a shard that is there, whole and made of these rows; else None."""
        shard = self.shards[number]
        done = read_json(self.workspace.shard(shard.name, "done.json"))
        path = self.workspace.data / f"{shard.name}.parquet"
        if done is None or done["digest"] != shard.digest or not path.exists():
            return None
        return done if path.stat().st_size == done["bytes"] else None

    def _tables(self, where: npt.NDArray[np.int32]) -> Iterator[pa.Table]:
        """Yield the rows (unit, position) of the first pass, unit by unit, in the order asked."""
        starts = np.flatnonzero(np.diff(where[:, 0], prepend=-1))
        for part in np.split(where, starts[1:]):
            table = pq.read_table(self.workspace.unit(int(part[0, 0]), "rows.parquet"))
            yield table.drop_columns(["group"]).take(pa.array(part[:, 1]))

    def _captioned(self, table: pa.Table, *, split: str) -> pa.Table:
        columns: dict[str, list[Any]] = {"split": [split] * table.num_rows}
        subjects = [self._subject(row) for row in table.drop_columns(["image", "geometry"]).to_pylist()]
        facts = self._finder.find(subjects)
        columns["caption_facts"] = facts
        if self.recipe.captions.writer == "template":
            names = table["img_name"].to_pylist()
            texts = [
                caption(
                    found,
                    tile=subject.tile,
                    tile_size=subject.tile_size,
                    synthetic=subject.synthetic,
                    key=name,
                    captions=self.recipe.captions,
                )
                for found, subject, name in zip(facts, subjects, names, strict=True)
            ]
            columns["caption"] = texts
            columns["caption_length"] = [len(text.split()) for text in texts]
            columns["caption_source"] = ["template"] * table.num_rows
            columns["caption_version"] = [VERSION] * table.num_rows
        for name, values in columns.items():
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), pa.array(values, type=table.schema.field(at).type))
        return table

    def _subject(self, row: dict[str, Any]) -> Subject:
        source = self._sources[row["source_id"]]
        # A year or a month is no date: it gives neither a day nor a season.
        exact = row["acquired_precision"] in {"day", "second"}
        return Subject(
            tile=Tile(row["level"], row["x"], row["y"]),
            tile_size=row["width"],
            acquired_at=row["acquired_at"] if exact else None,
            platform=source.platform,
            sensor=source.sensor,
            synthetic=row["synthetic"],
        )

    @cached_property
    def _finder(self) -> FactFinder:
        return FactFinder(self.recipe.captions)

    @cached_property
    def _sources(self) -> dict[str, Any]:
        return {source.id: source for source in self.recipe.source}
