"""In which order rows are seen: a pure function of (seed, sample counter).

An **epoch** is as many counters as there are rows. Without weights and temperature it visits every row exactly once.
With them, rows fall into strata (a dataset, or a level of one): stratum s gets q_s of the epoch's N counters, where
the q_s add up to N and are its share of the draws to the nearest whole number, at least 1. Each stratum goes through
its own rows in passes, every row once a pass, and a pass may begin in one epoch and end in another.

Rows are shuffled in windows, for reading whole groups is what disks and buckets are good at. A window is made of
groups that lie far apart: the groups in their order on disk are cut into as many stretches as a window has places,
and each window takes a random group of every stretch. Shards are sorted by level and place, so that each window is
a fair sample of the whole set; its rows are then permuted. Sets of fewer groups are permuted as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from text2earth.data.index import ShardIndex
from text2earth.noise import Stream, generator

__all__ = ["WINDOW_GROUPS", "Order", "shares_of"]

Integers = npt.NDArray[np.int64]

WINDOW_GROUPS = 64
"""Groups in a window, about 600 MB of images at 500 rows of 18 kB, shared by a process's workers."""
_BLOCK = 4096
"""Counters between two noted states of the strata's interleaving."""


class Order:
    """The rows of an index by sample counter.

    Args:
        index: The rows.
        seed: Of the order.
        window_groups: Groups that are shuffled together.

    ``quotas`` are the strata's counters of an epoch, ``groups_in_use`` the groups to keep in memory.
    """

    def __init__(self, index: ShardIndex, *, seed: int, window_groups: int = WINDOW_GROUPS) -> None:
        self._index, self._seed = index, seed
        members, shares = _strata(index)
        # A window is shared out: the groups in use do not grow with the number of strata.
        window = max(4, window_groups // len(members)) if len(members) > 1 else window_groups
        self._strata = [
            _Stratum(index, rows, seed=seed, number=number, window_groups=window) for number, rows in enumerate(members)
        ]
        self.quotas = _quotas(shares, total=index.rows)
        self.groups_in_use = window * len(members)
        self._interleaved = lru_cache(maxsize=2)(self._interleave)

    def __len__(self) -> int:
        """Return the counters of an epoch, which is the number of rows."""
        return self._index.rows

    def places(self, counters: Sequence[int]) -> Integers:
        """Return (group, row in it) that stand at counters, int64 (n, 2)."""
        flat = np.array([self._flat(counter) for counter in counters], dtype=np.int64)
        groups = np.searchsorted(self._index.ends, flat, side="right")
        return np.stack([groups, self._index.row[flat].astype(np.int64)], axis=1)

    def _flat(self, counter: int) -> int:
        epoch, place = divmod(counter, len(self))
        if len(self._strata) == 1:
            return self._strata[0].row(epoch, place)
        sequence, before = self._interleaved(epoch)
        stratum, start = int(sequence[place]), place - place % _BLOCK
        within = int(before[place // _BLOCK, stratum]) + int(np.count_nonzero(sequence[start:place] == stratum))
        here = self._strata[stratum]
        return here.row(*divmod(epoch * int(self.quotas[stratum]) + within, len(here)))

    def _interleave(self, epoch: int) -> tuple[npt.NDArray[np.uint16], Integers]:
        """Return the stratum of each counter of an epoch, and how often each came before every block."""
        sequence = np.repeat(np.arange(len(self.quotas), dtype=np.uint16), self.quotas)
        generator(self._seed, epoch, stream=Stream.MIXTURE).shuffle(sequence)
        counts = [
            np.bincount(sequence[start : start + _BLOCK], minlength=len(self.quotas))
            for start in range(0, len(sequence), _BLOCK)
        ]
        before = np.cumsum([np.zeros(len(self.quotas), np.int64), *counts], axis=0)
        return sequence, before


class _Stratum:
    """Rows that are shuffled among themselves.

    Args:
        index: All rows.
        flat: Those of the stratum, as numbers into ``index.row``, ascending; None is all.
        seed: Of the order.
        number: Of the stratum.
        window_groups: Groups that are shuffled together.
    """

    def __init__(self, index: ShardIndex, flat: Integers | None, *, seed: int, number: int, window_groups: int) -> None:
        self._rows, self._seed, self._number, self._window = flat, seed, number, window_groups
        ends = index.ends if flat is None else np.searchsorted(flat, index.ends, side="left")
        starts = np.concatenate([[0], ends[:-1]])
        self._starts, self._ends = starts[ends > starts], ends[ends > starts]
        self._windows = lru_cache(maxsize=2)(self._draw_windows)
        self._window_rows = lru_cache(maxsize=2)(self._draw_window_rows)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def row(self, turn: int, place: int) -> int:
        """Return the row at a place of a pass."""
        _, ends = self._windows(turn)
        window = int(np.searchsorted(ends, place, side="right"))
        found = int(self._window_rows(turn, window)[place - (int(ends[window - 1]) if window else 0)])
        return found if self._rows is None else int(self._rows[found])

    def _draw_windows(self, turn: int) -> tuple[list[Integers], Integers]:
        """Return the groups of each window of a pass, and the place at which each window ends."""
        draws = self._generator(turn, 0)
        stretches = np.array_split(np.arange(len(self._ends)), min(self._window, len(self._ends)))
        longest = len(stretches[0])
        table = np.full((longest, len(stretches)), -1, dtype=np.int64)
        for column, stretch in enumerate(stretches):
            table[: len(stretch), column] = draws.permutation(stretch)
        windows = [groups[groups >= 0] for groups in draws.permutation(table, axis=0)]
        sizes = [int((self._ends[groups] - self._starts[groups]).sum()) for groups in windows]
        return windows, np.cumsum(sizes)

    def _draw_window_rows(self, turn: int, window: int) -> Integers:
        """Return the rows of one window in the order of the pass."""
        groups = self._windows(turn)[0][window]
        rows = [np.arange(self._starts[group], self._ends[group], dtype=np.int64) for group in groups]
        return self._generator(turn, window + 1).permutation(np.concatenate(rows))

    def _generator(self, turn: int, window: int) -> np.random.Generator:
        return generator(self._seed, (self._number << 52) | (turn << 26) | window, stream=Stream.ORDER)


def shares_of(index: ShardIndex) -> dict[tuple[int, int], float]:
    """Return the share of the draws of each (dataset, level), which add up to 1.

    A dataset's share is its weight over the sum of weights, or its rows over all rows; in it a level of n rows has
    n^(1/T) over the sum of these.
    """
    ends = [int(index.ends[each.groups - 1]) for each in index.sets]
    starts = [0, *ends[:-1]]
    weights = [
        float(end - start) if each.weight is None else each.weight
        for each, start, end in zip(index.sets, starts, ends, strict=True)
    ]
    shares = {}
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        counts = np.bincount(index.level[start:end])
        tempered = np.where(counts > 0, counts.astype(np.float64) ** (1.0 / index.temperature), 0.0)
        for level in np.flatnonzero(counts):
            shares[number, int(level)] = weights[number] / sum(weights) * float(tempered[level] / tempered.sum())
    return shares


def _strata(index: ShardIndex) -> tuple[list[Integers | None], list[float]]:
    """Return the rows of each stratum, and its share of the draws."""
    weighted = len(index.sets) > 1 and index.sets[0].weight is not None
    if not weighted and index.temperature == 1.0:
        return [None], [1.0]
    shares = shares_of(index)
    of_set = np.repeat(np.arange(len(index.sets)), _rows_of_sets(index))
    if index.temperature == 1.0:
        chosen = [(of_set == number, [key for key in shares if key[0] == number]) for number in range(len(index.sets))]
    else:
        chosen = [((of_set == key[0]) & (index.level == key[1]), [key]) for key in shares]
    return [np.flatnonzero(mask) for mask, _ in chosen], [sum(shares[key] for key in keys) for _, keys in chosen]


def _rows_of_sets(index: ShardIndex) -> Integers:
    ends = np.array([0, *(int(index.ends[each.groups - 1]) for each in index.sets)], dtype=np.int64)
    sizes: Integers = ends[1:] - ends[:-1]
    return sizes


def _quotas(shares: Sequence[float], *, total: int) -> Integers:
    """Return whole numbers that add up to ``total`` and are nearest to the shares of it, each at least 1."""
    wanted = np.array(shares) * total
    quotas: Integers = np.maximum(np.floor(wanted).astype(np.int64), 1)
    missing = total - int(quotas.sum())
    by_rest = np.argsort(-(wanted - quotas), kind="stable")
    if missing > 0:
        quotas[by_rest[:missing]] += 1
    while missing < 0:  # strata that were lifted to 1 take from the largest
        quotas[np.argmax(quotas)] -= 1
        missing += 1
    return quotas
