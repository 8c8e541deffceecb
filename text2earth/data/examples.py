"""Shards → training examples, with an exact position.

The position in the data is a seed and one sample counter. ``Examples[counter]`` is a pure function of both: epoch
``counter // rows`` visits every row once, in an order that is drawn from (seed, epoch), and every other draw of an
example (crop, flip, replacement of an unreadable row) is keyed by (seed, counter). Neither the number of loader
workers nor that of processes enters, so a run resumes in the middle of an epoch exactly, also on another machine.

Files are read with ``pyarrow.parquet`` a row group at a time. Rows are shuffled in two stages, row groups over the
whole set and then rows within pools of a few groups, which keeps reading sequential and memory flat.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from PIL import Image

from text2earth.conditioning import Condition, parse
from text2earth.data.index import ShardIndex
from text2earth.errors import ConditionError, UnreadableRowsError
from text2earth.noise import Stream, generator

__all__ = ["Batch", "Example", "Examples", "View", "ViewKind", "batches"]

ViewKind = Literal["crop", "resize"]
Pixels = npt.NDArray[np.uint8]

_POOL_GROUPS = 16
"""Row groups that are shuffled together and kept in memory, about 150 MB at 500 rows of 20 kB."""
_CACHE_BYTES = 512 << 20
"""Decoded images that are kept, so that a small dataset is decoded once."""
_REPLACEMENTS = 64
"""Rows tried in place of an unreadable one before giving up."""


@dataclass(frozen=True, slots=True)
class View:
    """How a tile becomes an image of the model's size.

    Args:
        image_size: Pixels a side of the result.
        kind: ``"crop"`` cuts a square at a drawn place and keeps the level. ``"resize"`` averages the whole tile
            down by a power of two and lowers the level by its logarithm, as the pixels grew; a level that would
            fall below 1 becomes 0, unknown.
        flips: Mirror at random in both axes. Off by default: captions may name a direction, and shadows have one.
        turns: Turn by a random number of quarters, for captions that name no direction.
    """

    image_size: int
    kind: ViewKind = "crop"
    flips: bool = False
    turns: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One image with its condition.

    Args:
        counter: Position that it was drawn at.
        name: The row's ``img_name``.
        pixels: uint8 (H, W, 3).
        condition: Caption and level of the view.
        skipped: (row, reason) of every unreadable row that this one stands in for.
    """

    counter: int
    name: str
    pixels: Pixels
    condition: Condition
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of consecutive counters.

    Args:
        counters: Their positions.
        names: Their rows.
        pixels: float32 (B, 3, H, W) in −1…1.
        conditions: Captions and levels, nothing dropped yet.
        skipped: (row, reason) of unreadable rows met.
    """

    counters: tuple[int, ...]
    names: tuple[str, ...]
    pixels: torch.Tensor
    conditions: tuple[Condition, ...]
    skipped: tuple[tuple[str, str], ...]


class _UnusableRowError(Exception):
    """A row that cannot be an example; carries the reason."""


class Examples:
    """Training examples by sample counter.

    Args:
        index: The rows.
        view: What to cut from each tile.
        seed: Of order and draws.
    """

    def __init__(self, index: ShardIndex, *, view: View, seed: int) -> None:
        self._index = index
        self._view = view
        self._seed = seed
        self._tables: OrderedDict[int, pa.Table] = OrderedDict()
        self._decoded: dict[tuple[int, int], tuple[str, Pixels, Condition]] = {}
        self._decoded_bytes = 0
        self._pools = lru_cache(maxsize=4)(self._draw_pools)
        self._pool_rows = lru_cache(maxsize=4)(self._draw_pool_rows)

    def __getstate__(self) -> tuple[ShardIndex, View, int]:
        return self._index, self._view, self._seed

    def __setstate__(self, state: tuple[ShardIndex, View, int]) -> None:
        index, view, seed = state
        self.__init__(index, view=view, seed=seed)  # type: ignore[misc]  # loader workers start with empty caches

    def __len__(self) -> int:
        """Return the rows of an epoch; counters go on beyond it."""
        return self._index.rows

    def __getitem__(self, counter: int) -> Example:
        """Return the example of a position.

        Raises:
            UnreadableRowsError: If no readable row is found in place of unreadable ones.
        """
        draws = generator(self._seed, counter, stream=Stream.REPLACEMENT)
        group, row = self.position(counter)
        skipped: list[tuple[str, str]] = []
        for _ in range(_REPLACEMENTS):
            try:
                name, tile, condition = self._row(group, row)
                pixels, condition = self._cut(tile, condition, counter=counter)
                return Example(counter, name, pixels, condition, tuple(skipped))
            except (_UnusableRowError, ConditionError) as error:
                skipped.append((self._index.name_of(group, row), str(error)))
            group = int(draws.integers(len(self._index.groups)))
            row = int(draws.choice(self._index.groups[group].rows))
        raise UnreadableRowsError(
            f"{len(skipped)} rows in a row cannot be used, the last is {skipped[-1][0]} ({skipped[-1][1]}); "
            "run 'git10m verify' on the dataset"
        )

    def position(self, counter: int) -> tuple[int, int]:
        """Return (row group, row in it) that stand at a counter."""
        epoch, place = divmod(counter, self._index.rows)
        _, ends = self._pools(epoch)
        pool = int(np.searchsorted(ends, place, side="right"))
        rows = self._pool_rows(epoch, pool)
        group, row = rows[place - (int(ends[pool - 1]) if pool else 0)]
        return int(group), int(row)

    def _draw_pools(self, epoch: int) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
        """Return the pools of an epoch as arrays of row groups, and the position at which each ends."""
        order = generator(self._seed, epoch << 32, stream=Stream.ORDER).permutation(len(self._index.groups))
        pools = [order[start : start + _POOL_GROUPS] for start in range(0, len(order), _POOL_GROUPS)]
        sizes = [sum(len(self._index.groups[group].rows) for group in pool) for pool in pools]
        return pools, np.cumsum(sizes)

    def _draw_pool_rows(self, epoch: int, pool: int) -> npt.NDArray[np.int64]:
        """Return (row group, row) of one pool in the order of the epoch, int64 (rows, 2)."""
        members = [
            np.stack([np.full(len(rows), group), rows], axis=1)
            for group in self._pools(epoch)[0][pool]
            for rows in (self._index.groups[group].rows,)
        ]
        draws = generator(self._seed, (epoch << 32) | (pool + 1), stream=Stream.ORDER)
        return draws.permutation(np.concatenate(members), axis=0)

    def _row(self, group: int, row: int) -> tuple[str, Pixels, Condition]:
        """Return name, tile and condition of a row; the tile is already averaged down if the view asks for it."""
        cached = self._decoded.get((group, row))
        if cached is not None:
            return cached
        record = self._table(group).slice(row, 1).to_pylist()[0]
        place = self._index.groups[group]
        level = int(place.levels[np.searchsorted(place.rows, row)])
        condition = parse(record[self._index.caption_column] or "", level=level or None)
        tile = _decode(record["image"])
        if self._view.kind == "resize":
            tile, condition = _averaged(tile, condition, size=self._view.image_size)
        found = (self._index.name_in(record, group, row), tile, condition)
        if self._decoded_bytes + tile.nbytes <= _CACHE_BYTES:
            self._decoded[group, row] = found
            self._decoded_bytes += tile.nbytes
        return found

    def _table(self, group: int) -> pa.Table:
        if group not in self._tables:
            self._tables[group] = self._index.read_group(group)
            if len(self._tables) > _POOL_GROUPS:
                self._tables.popitem(last=False)
        return self._tables[group]

    def _cut(self, tile: Pixels, condition: Condition, *, counter: int) -> tuple[Pixels, Condition]:
        size = self._view.image_size
        height, width = tile.shape[:2]
        if height < size or width < size:
            raise _UnusableRowError(f"{width}×{height} px is smaller than the image size {size}")
        draws = generator(self._seed, counter, stream=Stream.VIEW)
        top, left = int(draws.integers(height - size + 1)), int(draws.integers(width - size + 1))
        pixels = tile[top : top + size, left : left + size]
        if self._view.flips:
            down, across = draws.integers(2, size=2) * -2 + 1
            pixels = pixels[::down, ::across]
        if self._view.turns:
            pixels = np.rot90(pixels, k=int(draws.integers(4)))
        return pixels, condition


def batches(
    examples: Examples, *, positions: Sequence[Sequence[int]] | Iterator[Sequence[int]], workers: int = 0
) -> Iterator[Batch]:
    """Yield a batch for each list of counters, in order.

    Args:
        examples: Where they come from.
        positions: Counters of each batch.
        workers: Loader processes; 0 reads in this one. The batches are the same.
    """
    if workers == 0:
        for counters in positions:
            yield _collate([examples[counter] for counter in counters])
        return
    loader: Any = torch.utils.data.DataLoader(
        examples,  # type: ignore[arg-type]  # a map-style dataset by protocol
        batch_sampler=positions,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_collate,
        multiprocessing_context="spawn",
    )
    yield from loader


def _collate(examples: Sequence[Example]) -> Batch:
    stacked = torch.from_numpy(np.stack([example.pixels for example in examples]))
    return Batch(
        counters=tuple(example.counter for example in examples),
        names=tuple(example.name for example in examples),
        pixels=stacked.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1.0,
        conditions=tuple(example.condition for example in examples),
        skipped=tuple(row for example in examples for row in example.skipped),
    )


def _decode(image: Any) -> Pixels:
    """Decode the bytes of an image struct to uint8 (H, W, 3)."""
    if not image or not image.get("bytes"):
        raise _UnusableRowError("the image is null")
    try:
        with Image.open(io.BytesIO(image["bytes"])) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises on damaged files
        raise _UnusableRowError(f"the image does not decode: {error}") from error


def _averaged(tile: Pixels, condition: Condition, *, size: int) -> tuple[Pixels, Condition]:
    """Average a square tile down to ``size`` and lower its level accordingly."""
    height, width = tile.shape[:2]
    ratio = width // size
    if height != width or ratio * size != width or ratio & (ratio - 1):
        raise _UnusableRowError(f"{width}×{height} px is not {size} px times a power of two")
    level = max(condition.level - (ratio.bit_length() - 1), 0)
    shrunk = Image.fromarray(tile).reduce(ratio) if ratio > 1 else Image.fromarray(tile)
    return np.asarray(shrunk), Condition(condition.prompt, level)
