"""Rows of the first pass, in the order of the final shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from git10m.building.enhancing import with_enhanced
from git10m.building.tiles import MASK
from git10m.building.workspace import Workspace

__all__ = ["CHUNK_ROWS", "ShardPlan", "first_pass_rows", "rows_at"]

CHUNK_ROWS = 500
"""Rows that are held at once, images included."""

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard of the second pass.

    Attributes:
        name: File name without its ending, e.g. ``"train-00000-of-00012"``.
        bounds: (west, south, east, north) in degrees around its rows; None where none has a place.
        digest: Of all that it is made of; a shard that was made of anything else is made again.
        rows: How many.
        captions: Name of the shard that holds the captions of its rows, which may hold those of dropped rows too.
    """

    name: str
    bounds: Bounds | None
    digest: str
    rows: int
    captions: str


def first_pass_rows(
    workspace: Workspace, where: npt.NDArray[np.int32], *, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Yield rows of the first pass in the order asked, at most `CHUNK_ROWS` at a time.

    Of each unit only the row groups that a chunk needs are read, once: rows of a list may come from anywhere.

    Args:
        workspace: The build's folder.
        where: (unit, position) of each row, (N, 2).
        columns: Which columns; None: all of a row's.
    """
    for start in range(0, len(where), CHUNK_ROWS):
        chunk = where[start : start + CHUNK_ROWS]
        order = np.argsort(chunk[:, 0], kind="stable")
        units, starts = np.unique(chunk[order, 0], return_index=True)
        found = [
            _rows_of(workspace, int(unit), positions, columns)
            for unit, positions in zip(units, np.split(chunk[order, 1], starts[1:]), strict=True)
        ]
        back = np.empty(len(chunk), dtype=np.int64)
        back[order] = np.arange(len(chunk))
        table = pa.concat_tables(found).take(pa.array(back))
        yield table if columns is not None else table.drop_columns(["valid_cells", MASK.name, "group"])


def _rows_of(
    workspace: Workspace, unit: int, positions: npt.NDArray[np.int32], columns: Sequence[str] | None
) -> pa.Table:
    """Return rows of one unit; of those that were restored, as they are now."""
    table = rows_at(workspace.unit(unit, "rows.parquet"), positions, columns=columns)
    return with_enhanced(table, positions, workspace.enhanced(unit, "parquet"))


def rows_at(path: Path, positions: npt.NDArray[np.int32], *, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows at some positions of a file; only the row groups that hold them are read."""
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        groups = np.searchsorted(ends, positions, side="right")
        needed, own = np.unique(groups, return_inverse=True)
        table = file.read_row_groups(needed.tolist(), columns=list(columns) if columns is not None else None)
    # Where each needed group begins in what was read, less where it begins in the file.
    kept = np.asarray(sizes)[needed]
    shift = (np.cumsum(kept) - kept) - (ends[needed] - kept)
    return table.take(pa.array(positions + shift[own]))
