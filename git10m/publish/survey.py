"""What an index says of a whole dataset, read in one pass with flat memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from git10m.errors import DatasetError
from git10m.publish.index import Bounds
from git10m.publish.licences import refusal, understand

__all__ = ["Survey", "batches", "refused_rows", "survey"]

BATCH_ROWS = 50_000

_COLUMNS = (
    *("img_name", "level", "split", "licence", "attribution", "sources", "source_id", "synthetic", "bbox"),
    *("gsd_m", "acquired_at", "caption", "caption_length", "caption_source", "caption_version", "caption_flags"),
    "enhanced",
)


@dataclass(slots=True)
class Survey:
    """Counts and ranges over all rows.

    Attributes:
        rows: How many there are.
        licences: Rows that hold something of a licence, by its name (``licences.understand``).
        wordings: How each licence is worded where it is stated, by its name.
        credits: (licence name, attribution) of every contribution, with the number of rows.
        splits: Rows by split.
        levels: Rows by level.
        sources: Rows by source of the largest share.
        writers: Rows by (who wrote the caption, its version).
        enhanced: Rows by restorer.
        endings: Rows by ending of the file name (``".jpg"``).
        captions: Rows with a caption.
        words: Words of all captions together.
        checked: Rows whose caption was checked.
        flagged: Those of them that have a flag.
        synthetic: Rows with computed pixels.
        bounds: (west, south, east, north) in degrees of all rows with a place; None without one.
        gsd_m: Finest and coarsest true ground resolution.
        period: First and last moment of acquisition that is known.
        undated: Rows without one.
    """

    rows: int = 0
    licences: Counter[str] = field(default_factory=Counter)
    wordings: dict[str, set[str]] = field(default_factory=dict)
    credits: Counter[tuple[str, str]] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    levels: Counter[int] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    writers: Counter[tuple[str, str]] = field(default_factory=Counter)
    enhanced: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    captions: int = 0
    words: int = 0
    checked: int = 0
    flagged: int = 0
    synthetic: int = 0
    bounds: Bounds | None = None
    gsd_m: tuple[float, float] | None = None
    period: tuple[datetime, datetime] | None = None
    undated: int = 0

    @property
    def refused(self) -> dict[str, str]:
        """Why, by name, for the licences whose rows are published only when asked for."""
        return {name: why for name in sorted(self.licences) if (why := refusal(name)) is not None}


def survey(index: Path, *, without: Collection[str] = ()) -> Survey:
    """Read ``index.parquet`` once; columns that an older version did not have count as null.

    Args:
        index: The file.
        without: Names of licences whose rows are passed over.

    Raises:
        DatasetError: If it cannot be read.
    """
    found = Survey()
    for batch in batches(index, _COLUMNS, without=without):
        _count(found, batch)
        _measure(found, batch)
    return found


def batches(index: Path, columns: Collection[str], *, without: Collection[str] = ()) -> Iterator[pa.Table]:
    """Yield the rows of an index, some columns of them, `BATCH_ROWS` at a time; what it lacks is null.

    Args:
        index: The file.
        columns: Columns to read; ``licence`` and ``sources`` come with them where rows are passed over.
        without: Names of licences whose rows are passed over.

    Raises:
        DatasetError: If it cannot be read.
    """
    columns = dict.fromkeys([*columns, *(("licence", "sources") if without else ())])
    try:
        with pq.ParquetFile(index) as file:
            there = [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=there, batch_size=BATCH_ROWS):
                table = pa.Table.from_batches([batch])
                for name in columns:
                    if name not in there:
                        table = table.append_column(name, pa.nulls(table.num_rows))
                yield table.filter(pa.array(~refused_rows(table, without))) if without else table
    except (OSError, pa.ArrowException) as error:
        said = str(error).splitlines()[0]
        raise DatasetError(f"{index}: cannot be read ({said}); build the dataset again") from error


def refused_rows(table: pa.Table, refused: Collection[str]) -> npt.NDArray[np.bool_]:
    """Tell which rows hold anything of some licences, in any of their contributions.

    Args:
        table: Rows, with ``licence`` and ``sources``.
        refused: Names of licences.
    """
    rows, codes, texts = _stated(table)
    bad = np.array([understand(text).name in refused for text in texts], dtype=bool)
    mask = np.zeros(table.num_rows, dtype=bool)
    if len(texts):
        mask[rows[bad[codes]]] = True
    return mask


def _stated(table: pa.Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[str | None]]:
    """Return every (row, code of a licence text) of the contributions, and the texts."""
    own = table["licence"].combine_chunks().cast(pa.string())
    rows, parts = [np.arange(table.num_rows)], [own]
    if not pa.types.is_null(table["sources"].type):
        lists = table["sources"].combine_chunks()
        # What a row says of itself is what its largest contribution says; without contributions it stands alone.
        rows.append(pc.list_parent_indices(lists).to_numpy().astype(np.int64))
        parts.append(pc.struct_field(pc.list_flatten(lists), "licence").cast(pa.string()))
    coded = pa.chunked_array(parts).combine_chunks().dictionary_encode(null_encoding="encode")
    return np.concatenate(rows), coded.indices.to_numpy().astype(np.int64), coded.dictionary.to_pylist()


def _count(found: Survey, table: pa.Table) -> None:
    found.rows += table.num_rows
    rows, codes, texts = _stated(table)
    names = [understand(text).name for text in texts]
    distinct = sorted(set(names))
    place = {name: i for i, name in enumerate(distinct)}
    named = np.array([place[name] for name in names], dtype=np.int64)[codes]
    pairs = np.unique(rows * max(len(distinct), 1) + named)
    for name, count in zip(distinct, np.bincount(pairs % max(len(distinct), 1), minlength=len(distinct)), strict=True):
        found.licences[name] += int(count)
    for text, name in zip(texts, names, strict=True):
        if text:
            found.wordings.setdefault(name, set()).add(text)
    _count_credits(found, table)
    for column, into in (("split", found.splits), ("level", found.levels), ("source_id", found.sources)):
        into.update(_values(table[column]))
    found.enhanced.update(_values(table["enhanced"].drop_null()))
    writers = pa.table({"source": table["caption_source"].cast(pa.string()), "version": table["caption_version"]})
    writers = writers.set_column(1, "version", writers["version"].cast(pa.string()))
    for entry in writers.group_by(["source", "version"]).aggregate([([], "count_all")]).to_pylist():
        if entry["source"] is not None:
            found.writers[entry["source"], entry["version"] or ""] += entry["count_all"]
    endings = pc.extract_regex(table["img_name"].cast(pa.string()), r"(?P<ending>\.[A-Za-z0-9]+)$")
    found.endings.update(_values(pc.utf8_lower(pc.struct_field(endings, "ending")).drop_null()))


def _count_credits(found: Survey, table: pa.Table) -> None:
    """Count (licence, credit line) of all contributions; a row without contributions counts with its own."""
    own = pa.table({name: table[name].cast(pa.string()) for name in ("licence", "attribution")})
    if not pa.types.is_null(table["sources"].type):
        lists = table["sources"].combine_chunks()
        alone = pc.fill_null(pc.equal(pc.list_value_length(lists), 0), True)
        flat = pc.list_flatten(lists)
        parts = pa.table({name: pc.struct_field(flat, name).cast(pa.string()) for name in own.column_names})
        own = pa.concat_tables([own.filter(alone), parts])
    for entry in own.group_by(["licence", "attribution"]).aggregate([([], "count_all")]).to_pylist():
        found.credits[understand(entry["licence"]).name, entry["attribution"] or ""] += entry["count_all"]


def _measure(found: Survey, table: pa.Table) -> None:
    found.captions += table.num_rows - table["caption"].null_count
    found.words += int(pc.sum(table["caption_length"].cast(pa.int64())).as_py() or 0)
    found.synthetic += int(pc.sum(table["synthetic"].cast(pa.bool_())).as_py() or 0)
    flags = table["caption_flags"].drop_null()
    found.checked += len(flags)
    if len(flags):
        found.flagged += int(pc.sum(pc.greater(pc.list_value_length(flags), 0)).as_py() or 0)
    boxes = table["bbox"].drop_null()
    if len(boxes):
        sides = {side: pc.struct_field(boxes.combine_chunks(), side) for side in ("xmin", "ymin", "xmax", "ymax")}
        low = (pc.min(sides["xmin"]).as_py(), pc.min(sides["ymin"]).as_py())
        high = (pc.max(sides["xmax"]).as_py(), pc.max(sides["ymax"]).as_py())
        old = found.bounds or (*low, *high)
        found.bounds = (min(old[0], low[0]), min(old[1], low[1]), max(old[2], high[0]), max(old[3], high[1]))
    found.gsd_m = _widened(found.gsd_m, table["gsd_m"])
    found.period = _widened(found.period, table["acquired_at"])
    found.undated += table["acquired_at"].null_count


def _widened(old: tuple[Any, Any] | None, column: pa.ChunkedArray) -> tuple[Any, Any] | None:
    least = pc.min_max(column).as_py() if not pa.types.is_null(column.type) else {"min": None}
    if least["min"] is None:
        return old
    return (least["min"], least["max"]) if old is None else (min(old[0], least["min"]), max(old[1], least["max"]))


def _values(column: pa.ChunkedArray) -> Mapping[Any, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}
