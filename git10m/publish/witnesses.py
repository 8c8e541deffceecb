"""Rows that show of which type every column is: readers that guess types from the first samples must see these first.

``datasets`` looks at five samples of a tar, takes a column that is null in all of them for one that is always null, and
fails at the first row where it is not. So the tars of a split begin with at most five rows that have, between them, as
many columns as five rows can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from git10m.publish.survey import batches

__all__ = ["MOST", "Witness", "witnesses"]

MOST = 5
"""Samples that ``datasets`` looks at."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Witness:
    """One row: its shard and position in it."""

    shard: str
    row: int


def witnesses(
    index: Path, *, without: frozenset[str], kinds: dict[str, npt.NDArray[np.uint8]]
) -> dict[tuple[str, int], list[Witness]]:
    """Choose the rows for each split and kind of image.

    Args:
        index: ``index.parquet``.
        without: Names of licences whose rows are not published.
        kinds: Kind of the image of each row, by shard.

    Returns:
        By (split, kind), at most `MOST` rows, the most telling first; the same each time.
    """
    seen: dict[tuple[str, int], dict[bytes, Witness]] = {}
    names = [name for name in pq.read_schema(index).names if name not in {"geometry", "bbox"}]
    for table in batches(index, names, without=without):
        said = [*_leaves([table[name].combine_chunks() for name in names if name not in {"file", "row"}])]
        packed = np.packbits(np.stack(said, axis=1), axis=1)
        splits, files, rows = (table[name].to_pylist() for name in ("split", "file", "row"))
        # Rows that say the same can be of several splits and kinds: each pair keeps its own first one.
        pairs = np.array([kinds[shard][row] for shard, row in zip(files, rows, strict=True)], dtype=np.uint8)
        whole = np.concatenate([packed, pairs[:, None], _coded(splits)[:, None]], axis=1)
        _, first = np.unique(whole, axis=0, return_index=True)
        for at in sorted(first.tolist()):
            found = seen.setdefault((splits[at], int(pairs[at])), {})
            found.setdefault(packed[at].tobytes(), Witness(files[at], rows[at]))
    return {pair: _cover(found) for pair, found in seen.items()}


def _coded(splits: list[str | None]) -> npt.NDArray[np.uint8]:
    names = sorted({str(split) for split in splits})
    return np.array([names.index(str(split)) for split in splits], dtype=np.uint8)


def _cover(found: dict[bytes, Witness]) -> list[Witness]:
    """Choose greedily: each next row is the one that adds most."""
    left = {said: int.from_bytes(said, "big") for said in found}
    covered, chosen = 0, list[Witness]()
    while left and len(chosen) < MOST:
        best = max(left, key=lambda said: ((left[said] & ~covered).bit_count(), said))
        if chosen and not left[best] & ~covered:
            break
        covered |= left.pop(best)
        chosen.append(found[best])
    return chosen


def _leaves(columns: list[pa.Array]) -> Iterator[Flags]:
    """Tell of each column, and of each part of a nested one, in which rows it has a value."""
    for column in columns:
        yield from _has_value(column, np.arange(len(column)), len(column))


def _has_value(values: pa.Array, rows: npt.NDArray[np.int64], count: int) -> Iterator[Flags]:
    """Yield flags for the rows that values belong to; ``rows`` gives the row of each value."""
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_list(values.type):
        parents = pc.list_parent_indices(values).to_numpy().astype(np.int64)
        yield from _has_value(pc.list_flatten(values), rows[parents], count)
    elif pa.types.is_struct(values.type):
        for part in range(values.type.num_fields):
            yield from _has_value(pc.struct_field(values, [part]), rows, count)
    else:
        flags = np.zeros(count, dtype=bool)
        flags[rows[valid]] = True
        yield flags
