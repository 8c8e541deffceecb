"""Running counts over the rows of a file that may be any length: memory follows what is different, not how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["OTHERS", "Facets", "Sampler", "Spread", "scattered"]

OTHERS = "(others)"
"""Stands for what a facet has beyond ``MOST_VALUES`` values."""
MOST_VALUES = 250
"""Values of a facet that are told apart where facets are crossed; counts of one facet alone know no limit."""
MOST_KEPT = 200_000
"""Rows that a sampler remembers at most, over all strata."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Facets:
    """Counts rows by the values of several columns, of each alone and of all together.

    Args:
        names: Of the columns.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.counts: dict[str, Counter[Any]] = {name: Counter() for name in names}
        self._codes: dict[str, dict[Any, int]] = {name: {} for name in names}
        self._crossed: Counter[int] = Counter()

    def add(self, columns: Mapping[str, pa.Array]) -> IntArray:
        """Count a batch.

        Returns:
            (rows,) a number for each combination of values, which `values_of` explains.
        """
        combined = np.zeros(len(next(iter(columns.values()))), np.int64)
        for name in self.names:
            combined = combined << 8 | self._coded(name, columns[name])
        keys, counts = np.unique(combined, return_counts=True)
        self._crossed.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))
        return combined

    def values_of(self, combination: int) -> tuple[Any, ...]:
        """Return the value of each column in a combination."""
        found = []
        for place, name in enumerate(reversed(self.names)):
            code = combination >> 8 * place & 0xFF
            values = list(self._codes[name])
            found.append(values[code] if code < len(values) else OTHERS)
        return tuple(reversed(found))

    def code(self, name: str, combined: IntArray) -> IntArray:
        """Return the position of a column's value among `values`, for each of some combinations."""
        shift = 8 * (len(self.names) - 1 - self.names.index(name))
        coded: IntArray = combined >> shift & 0xFF
        return coded

    def values(self, name: str) -> list[Any]:
        """Return the values of a column that are told apart, in the order in which they came."""
        return list(self._codes[name])

    def crossed(self) -> dict[tuple[Any, ...], int]:
        """Return rows by combination of values."""
        found: Counter[tuple[Any, ...]] = Counter()
        for combination, count in self._crossed.items():
            found[self.values_of(combination)] += count
        return dict(found)

    def _coded(self, name: str, column: pa.Array) -> IntArray:
        encoded = column.dictionary_encode("encode")
        values = encoded.dictionary.to_pylist()
        at = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        counts = np.bincount(at, minlength=len(values))
        self.counts[name].update({v: int(n) for v, n in zip(values, counts.tolist(), strict=True) if n})
        known = self._codes[name]
        for value in values:
            if value not in known and len(known) < MOST_VALUES:
                known[value] = len(known)
        numbers = np.array([known.get(value, MOST_VALUES) for value in values] or [0], np.int64)
        coded: IntArray = numbers[at]
        return coded


def scattered(rows: IntArray, *, seed: int) -> npt.NDArray[np.uint64]:
    """Return a number for each row that looks random and depends on the row and the seed alone (splitmix64)."""
    return _mixed(rows.astype(np.uint64) ^ _mixed(np.array([seed], np.uint64)))


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class Sampler:
    """Draws rows at random, as many from each stratum as from any other that has them; the same seed draws the same.

    Args:
        at_most: Rows to draw in the end.
        seed: Of the draw.
    """

    def __init__(self, at_most: int, *, seed: int = 0) -> None:
        self._at_most, self._seed = at_most, seed
        self._sizes: Counter[int] = Counter()
        self._strata, self._rows = np.empty(0, np.int64), np.empty(0, np.int64)
        self._seen = 0

    def add(self, strata: IntArray) -> None:
        """Look at the next rows, of which the strata are given as any numbers."""
        keys, counts = np.unique(strata, return_counts=True)
        self._sizes.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))
        rows = np.arange(self._seen, self._seen + len(strata))
        self._seen += len(strata)
        each = max(1, min(self._at_most, MOST_KEPT // max(len(self._sizes), 1)))
        together = (np.concatenate([self._strata, strata]), np.concatenate([self._rows, rows]))
        self._strata, self._rows = _first_of_each(*together, each=each, seed=self._seed)

    def chosen(self) -> list[int]:
        """Return the rows that are drawn, rising."""
        present = np.array(sorted(self._sizes), np.int64)
        if len(present) > self._at_most:
            present = present[np.arange(self._at_most) * len(present) // self._at_most]
        shares = dict.fromkeys(present.tolist(), 0)
        left = self._at_most
        while left and (short := [key for key, share in shares.items() if share < self._sizes[key]]):
            for key in short[:left]:
                shares[key] += 1
            left -= len(short[:left])
        drawn = [self._rows[self._strata == key][:share] for key, share in shares.items()]
        return sorted(np.concatenate(drawn).tolist()) if drawn else []


def _first_of_each(strata: IntArray, rows: IntArray, *, each: int, seed: int) -> tuple[IntArray, IntArray]:
    """Return the rows of each stratum with the smallest scattered numbers, at most ``each``, in their order."""
    order = np.lexsort((scattered(rows, seed=seed), strata))
    strata, rows = strata[order], rows[order]
    starts = np.flatnonzero(np.r_[True, strata[1:] != strata[:-1]]) if len(strata) else np.empty(0, np.int64)
    lengths = np.diff(np.r_[starts, len(strata)])
    rank = np.arange(len(strata)) - np.repeat(starts, lengths)
    return strata[rank < each], rows[rank < each]


class Spread:
    """How the values of one column are spread: count, mean and extremes of all, the rest from every so-many-th.

    Args:
        stride: Values from one that is remembered to the next.
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.count, self._total = 0, 0.0
        self.least, self.largest = np.inf, -np.inf
        self._parts: list[npt.NDArray[np.float32]] = []

    def add(self, values: FloatArray) -> None:
        """Look at a batch of values; what is no number is left out."""
        known = values[np.isfinite(values)]
        if not len(known):
            return
        self._parts.append(known[-self.count % self.stride :: self.stride].astype(np.float32))
        self.count += len(known)
        self._total += float(known.sum())
        self.least, self.largest = min(self.least, float(known.min())), max(self.largest, float(known.max()))

    @property
    def mean(self) -> float:
        """Mean of all values."""
        return self._total / self.count

    def values(self) -> npt.NDArray[np.float32]:
        """Return the values that are remembered: all of them where the stride is 1."""
        found: npt.NDArray[np.float32] = np.concatenate(self._parts) if self._parts else np.empty(0, np.float32)
        return found
