"""The second pass: facts, captions and final rows of a shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
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

_CHUNK_ROWS = 500

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One final shard.

    Attributes:
        name: File name without its ending, e.g. ``"train-00000-of-00012"``.
        bounds: (west, south, east, north) in degrees around its rows; None where none has a place.
        digest: Of the rows of the first pass that it is made of; a shard that was made of others is made again.
        rows: How many.
    """

    name: str
    bounds: Bounds | None
    digest: str
    rows: int


@dataclass(frozen=True)
class RowPass:
    """Captions and writes one final shard; picklable work for `engine.map_shards`.

    Attributes:
        workspace: Where files go.
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
        schema = records.schema(bounds=shard.bounds, modalities=self.modalities)
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
        """Yield the rows (unit, position) of the first pass in the order asked, a chunk at a time.

        Of each unit only the row groups that a chunk needs are read, once: rows of a list may come from anywhere.
        """
        for start in range(0, len(where), _CHUNK_ROWS):
            chunk = where[start : start + _CHUNK_ROWS]
            order = np.argsort(chunk[:, 0], kind="stable")
            units, starts = np.unique(chunk[order, 0], return_index=True)
            found = [
                _rows_at(self.workspace.unit(int(unit), "rows.parquet"), positions)
                for unit, positions in zip(units, np.split(chunk[order, 1], starts[1:]), strict=True)
            ]
            back = np.empty(len(chunk), dtype=np.int64)
            back[order] = np.arange(len(chunk))
            yield pa.concat_tables(found).drop_columns(["group"]).take(pa.array(back))

    def _captioned(self, table: pa.Table, *, split: str) -> pa.Table:
        columns: dict[str, list[Any]] = {"split": [split] * table.num_rows}
        images = [field.name for field in table.schema if field.type == records.IMAGE]
        rows = table.drop_columns([*images, "geometry"]).to_pylist()
        subjects = {i: self._subject(row) for i, row in enumerate(rows) if row["x"] is not None}
        found = self._finder.find(list(subjects.values()))
        facts = dict(zip(subjects, found, strict=True))
        columns["caption_facts"] = [facts.get(i, row["caption_facts"]) for i, row in enumerate(rows)]
        if self.recipe.captions.writer == "template":
            # What a set says of its images stays; the rest is told from the facts.
            for i, fact in facts.items():
                if rows[i]["caption"] is None:
                    rows[i].update(self._told(fact, subjects[i], key=rows[i]["img_name"]))
            for name in ("caption", "caption_length", "caption_source", "caption_version"):
                columns[name] = [row[name] for row in rows]
        for name, values in columns.items():
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), pa.array(values, type=table.schema.field(at).type))
        return table

    def _told(self, facts: Mapping[str, Any], subject: Subject, *, key: str) -> dict[str, Any]:
        text = caption(
            facts,
            tile=subject.tile,
            tile_size=subject.tile_size,
            synthetic=subject.synthetic,
            key=key,
            captions=self.recipe.captions,
        )
        return {
            "caption": text,
            "caption_length": len(text.split()),
            "caption_source": "template",
            "caption_version": VERSION,
        }

    def _subject(self, row: dict[str, Any]) -> Subject:
        # A year or a month is no date: it gives neither a day nor a season.
        exact = row["acquired_precision"] in {"day", "second"}
        return Subject(
            tile=Tile(row["level"], row["x"], row["y"]),
            tile_size=row["width"],
            acquired_at=row["acquired_at"] if exact else None,
            platform=row["caption_facts"]["platform"],
            sensor=row["caption_facts"]["sensor"],
            synthetic=row["synthetic"],
        )

    @cached_property
    def _finder(self) -> FactFinder:
        return FactFinder(self.recipe.captions)


def _rows_at(path: Path, positions: npt.NDArray[np.int32]) -> pa.Table:
    """Return the rows at some positions of a file."""
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        groups = np.searchsorted(ends, positions, side="right")
        needed, own = np.unique(groups, return_inverse=True)
        table = file.read_row_groups(needed.tolist())
    # Where each needed group begins in what was read, less where it begins in the file.
    kept = np.asarray(sizes)[needed]
    shift = (np.cumsum(kept) - kept) - (ends[needed] - kept)
    return table.take(pa.array(positions + shift[own]))
