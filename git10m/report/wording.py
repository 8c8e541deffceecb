"""What captions are like as texts: how many differ, how they begin, how many words they know."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

__all__ = ["DISTINCT_EXACT", "Wording", "WordingTally"]

DISTINCT_EXACT = 1 << 18
"""Different captions that are counted one by one; beyond, their number is estimated to about 0.2 %."""
_OPENING_WORDS, _OPENING_CHARACTERS = 3, 60
_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_LARGEST = float(2**64)


class _Distinct:
    """Counts different texts by their hashes; of many it keeps the smallest, whose spacing tells the number."""

    def __init__(self) -> None:
        self._hashes = np.empty(0, np.uint64)
        self._waiting: list[npt.NDArray[np.uint64]] = []
        self._full = False

    def add(self, hashes: npt.NDArray[np.uint64]) -> None:
        self._waiting.append(hashes[hashes < self._hashes[-1]] if self._full else hashes)
        if sum(map(len, self._waiting)) > DISTINCT_EXACT // 2:
            self._merge()

    def _merge(self) -> None:
        found = np.unique(np.concatenate([self._hashes, *self._waiting]))
        self._waiting.clear()
        self._full = self._full or len(found) > DISTINCT_EXACT
        self._hashes = found[:DISTINCT_EXACT]

    @property
    def number(self) -> int:
        self._merge()
        if not self._full:
            return len(self._hashes)
        # The k-th smallest of n uniform numbers lies at about k / n (Bar-Yossef et al. 2002).
        return round((len(self._hashes) - 1) / (float(self._hashes[-1]) / _LARGEST))

    @property
    def exact(self) -> bool:
        self._merge()
        return not self._full


class Wording:
    """Of one writer's or one source's captions."""

    def __init__(self) -> None:
        self.captions = 0
        self.read = 0
        self.words = 0
        self._distinct = _Distinct()
        self._vocabulary: set[str] = set()
        self._openings: Counter[str] = Counter()

    def add(self, texts: list[str], hashes: npt.NDArray[np.uint64], *, read: npt.NDArray[np.bool_]) -> None:
        """Count captions; the words of those that are to be read are looked at."""
        self.captions += len(texts)
        self._distinct.add(hashes)
        for at in np.flatnonzero(read).tolist():
            words = _WORD.findall(texts[at].lower())
            self.read += 1
            self.words += len(texts[at].split())
            self._vocabulary.update(words)
            if words:
                self._openings[" ".join(words[:_OPENING_WORDS])[:_OPENING_CHARACTERS]] += 1
        if len(self._openings) > 50_000:
            self._openings = Counter(dict(self._openings.most_common(10_000)))

    def as_json(self) -> dict[str, Any]:
        """Return the figures.

        ``captions``; ``distinct`` (``distinct_exact``: counted, not estimated); ``repeated``: share of captions whose
        text another row has had before; ``read``: captions of which words were looked at; of these ``words_mean``,
        ``vocabulary`` (different words) and ``openings``: the most frequent first three words with their share.
        """
        distinct = min(self._distinct.number, self.captions)
        most = sorted(self._openings.items(), key=lambda entry: (-entry[1], entry[0]))[:5]
        return {
            "captions": self.captions,
            "distinct": distinct,
            "distinct_exact": self._distinct.exact,
            "repeated": 1 - distinct / self.captions if self.captions else 0.0,
            "read": self.read,
            "words_mean": self.words / self.read if self.read else 0.0,
            "vocabulary": len(self._vocabulary),
            "openings": {words: count / self.read for words, count in most},
        }


class WordingTally:
    """Figures of captions by who wrote them and by source of the image, batch by batch.

    Args:
        stride: Of so many captions one is read word by word; all are compared with each other.
    """

    def __init__(self, stride: int) -> None:
        self._stride, self._seen = stride, 0
        self.groups: dict[tuple[str, str], Wording] = {}

    def add(self, captions: pa.Array, *, by: dict[str, pa.Array]) -> None:
        """Look at a batch of captions (null: none) with the columns that group them."""
        given = captions.is_valid().to_numpy(zero_copy_only=False)
        texts = captions.drop_null().to_numpy(zero_copy_only=False)
        if not len(texts):
            return
        hashes = pd.util.hash_array(texts, categorize=True)
        read = (self._seen + np.arange(len(texts))) % self._stride == 0
        self._seen += len(texts)
        for name, column in by.items():
            of = column.fill_null("not stated").to_numpy(zero_copy_only=False)[given]
            for value in sorted(set(of)):
                mine = of == value
                wording = self.groups.setdefault((name, value), Wording())
                wording.add(texts[mine].tolist(), hashes[mine], read=read[mine])

    def of(self, name: str) -> dict[str, Wording]:
        """Return the groups by one column, the one with most captions first."""
        found = {value: each for (given, value), each in self.groups.items() if given == name}
        return dict(sorted(found.items(), key=lambda entry: (-entry[1].captions, entry[0])))
