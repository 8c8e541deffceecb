"""Training examples of a restorer, by counter: good tiles of a dataset, and degraded copies of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from git10m.curation.degradation_chain import degraded
from git10m.curation.pictures import decoded
from git10m.errors import DatasetError, SourceError
from git10m.shards import data_files

__all__ = ["Example", "Examples", "GoodTiles", "find_good_tiles"]

_COLUMNS = ("img_quality_score", "width", "height", "valid_fraction", "enhanced")
_GROUPS_MIXED = 4
"""Row groups whose tiles are drawn from at a time: reading a group for every single tile would take all the time."""
_GROUPS_KEPT = 2 * _GROUPS_MIXED

Pixels = npt.NDArray[np.uint8]
Example = tuple[Pixels, Pixels]
"""A degraded picture and the good one: uint8 (h, w, 3) and (scale · h, scale · w, 3)."""


@dataclass(frozen=True)
class GoodTiles:
    """Tiles of one split that a restorer may learn from, a row group at a time.

    Attributes:
        folder: The dataset.
        groups: (file within the folder, row group, positions of the good tiles in it), without empty ones.
        left_out: How many tiles were not taken, by reason.
    """

    folder: Path
    groups: tuple[tuple[str, int, npt.NDArray[np.int64]], ...]
    left_out: Counter[str]

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Good tiles of each group."""
        return np.array([len(rows) for _, _, rows in self.groups], dtype=np.int64)

    @property
    def digest(self) -> str:
        """SHA-256 of which tiles they are."""
        listed = [(file, group, rows.tolist()) for file, group, rows in self.groups]
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

    def pictures(self, number: int) -> list[Pixels | str]:
        """Decode the good tiles of a group; where one is damaged, its name and the fault."""
        file, group, rows = self.groups[number]
        table = _read(self.folder / file, group, ["image", "img_name"]).take(pa.array(rows))
        return [_decoded(row, file) for row in table.to_pylist()]


def find_good_tiles(folder: Path, *, split: str = "train", min_quality: float, side: int) -> GoodTiles:
    """Look for the good tiles of a dataset; no image is read.

    Args:
        folder: Dataset as ``git10m build`` makes it.
        split: ``"train"`` (or ``"validation"``).
        min_quality: Least ``img_quality_score``.
        side: Least pixels a side.

    Raises:
        DatasetError: If the folder holds no dataset.
        SourceError: If one of its files cannot be read.
    """
    files = data_files(folder)
    if not files:
        raise DatasetError(f"{folder}: holds no dataset (no data/*-of-*.parquet); give a folder that git10m build made")
    groups: list[tuple[str, int, npt.NDArray[np.int64]]] = []
    left_out: Counter[str] = Counter()
    for path in files:
        if path.name.split("-")[0] != split:
            continue
        for group in range(_group_count(path)):
            rows = _good(_read(path, group, list(_COLUMNS)), min_quality, side, left_out)
            if len(rows):
                groups.append((path.relative_to(folder).as_posix(), group, rows))
    return GoodTiles(folder, tuple(groups), left_out)


def _good(table: pa.Table, min_quality: float, side: int, left_out: Counter[str]) -> npt.NDArray[np.int64]:
    """Return the positions of good rows; each other one is counted under the first reason that it gives."""
    count = table.num_rows
    score, width, height, valid = (
        table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in _COLUMNS[:4]
    )
    reasons = {
        f"score below {min_quality:g}, or none": ~(score >= min_quality),
        f"smaller than {side} px": np.minimum(width, height) < side,
        "pixels without data": valid < 1.0,  # not known: taken
        "enhanced already": table["enhanced"].is_valid().to_numpy(zero_copy_only=False),
    }
    good = np.ones(count, dtype=bool)
    for reason, bad in reasons.items():
        left_out[reason] += int((bad & good).sum())
        good &= ~bad
    return np.flatnonzero(good)


def _group_count(path: Path) -> int:
    try:
        with pq.ParquetFile(path) as file:
            if missing := [name for name in (*_COLUMNS, "image", "img_name") if name not in file.schema_arrow.names]:
                raise DatasetError(f"{path.name}: has no column {', '.join(missing)}; build the dataset again")
            return int(file.num_row_groups)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path.name}: cannot be read ({error}); git10m verify names what is broken") from error


def _read(path: Path, group: int, columns: list[str]) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            return file.read_row_group(group, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"{path.name}, row group {group}: cannot be read ({error}); git10m verify names what is broken"
        ) from error


def _decoded(row: dict[str, Any], file: str) -> Pixels | str:
    try:
        return decoded((row["image"] or {}).get("bytes") or b"")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"{file}, {row['img_name']}: its image is damaged ({error}); git10m verify names all that are"


@dataclass
class Examples:
    """Examples by counter: which tile, which part of it, how degraded, all follow from (seed, counter).

    Row groups come in an order of each epoch's own, four at a time, whose tiles are mixed: an epoch shows each tile
    once, and reads each group once.

    Attributes:
        tiles: To learn from; at least one.
        scale: Of the restorer.
        patch: Pixels a side of the good pictures: a multiple of 4, at most the tiles' sides.
        seed: Of all draws.
    """

    tiles: GoodTiles
    scale: int
    patch: int
    seed: int
    _kept: OrderedDict[int, list[Pixels | str]] = field(default_factory=OrderedDict, repr=False)

    def __getitem__(self, counter: int) -> Example:
        """Return the example of a counter.

        Raises:
            SourceError: If the tile's image is damaged.
        """
        group, position = self.place(counter)
        picture = self._group(group)[position]
        if isinstance(picture, str):
            raise SourceError(picture)
        good = self._part(picture, counter)
        return degraded(good, scale=self.scale, seed=self.seed, counter=counter), good

    def place(self, counter: int) -> tuple[int, int]:
        """Return the group of the tile that a counter shows, and its position there."""
        epoch, position = divmod(counter, int(self.tiles.sizes.sum()))
        order, starts = _order(tuple(self.tiles.sizes.tolist()), self.seed, epoch)
        block = int(np.searchsorted(starts, position, side="right")) - 1
        groups = order[block * _GROUPS_MIXED : (block + 1) * _GROUPS_MIXED]
        sizes = self.tiles.sizes[groups]
        mixed = _mixed(self.seed, epoch, block, int(sizes.sum()))
        at = int(mixed[position - int(starts[block])])
        ends = np.cumsum(sizes)
        within = int(np.searchsorted(ends, at, side="right"))
        return int(groups[within]), at - int(ends[within] - sizes[within])

    def _group(self, number: int) -> list[Pixels | str]:
        if number not in self._kept:
            self._kept[number] = self.tiles.pictures(number)
            if len(self._kept) > _GROUPS_KEPT:
                self._kept.popitem(last=False)
        return self._kept[number]

    def _part(self, picture: Pixels, counter: int) -> Pixels:
        """Cut a part at a random place, turned and mirrored at random."""
        draws = np.random.default_rng([self.seed, counter, 1])
        top, left = (int(draws.integers(0, side - self.patch + 1)) for side in picture.shape[:2])
        part = np.rot90(picture[top : top + self.patch, left : left + self.patch], int(draws.integers(4)))
        return np.ascontiguousarray(part[:, ::-1] if draws.random() < 0.5 else part)

    def whole(self, most: int) -> Iterator[Example]:
        """Yield up to so many of the tiles, evenly chosen, cut to multiples of 4 but whole else, for a figure."""
        every = np.cumsum(self.tiles.sizes)
        for counter, at in enumerate(np.unique(np.linspace(0, every[-1] - 1, most).astype(np.int64)).tolist()):
            group = int(np.searchsorted(every, at, side="right"))
            picture = self._group(group)[at - int(every[group] - self.tiles.sizes[group])]
            if not isinstance(picture, str):
                height, width = (side // 4 * 4 for side in picture.shape[:2])
                good = picture[:height, :width]
                yield degraded(good, scale=self.scale, seed=self.seed, counter=counter), good


@lru_cache(maxsize=4)
def _order(sizes: tuple[int, ...], seed: int, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the order of row groups in an epoch, and where each block of mixed groups starts."""
    order = np.random.default_rng([seed, epoch, 2]).permutation(len(sizes))
    ends = np.cumsum(np.array(sizes, dtype=np.int64)[order])
    starts = np.concatenate([[0], ends[_GROUPS_MIXED - 1 : -1 : _GROUPS_MIXED]]).astype(np.int64)
    return order, starts


@lru_cache(maxsize=4)
def _mixed(seed: int, epoch: int, block: int, size: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, block, 3]).permutation(size)
