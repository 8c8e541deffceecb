"""Images that stand in parquet files or in files of their own, read one at a time where two are to be compared."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from PIL import Image

from git10m.curation.near_duplicates import Detail, detail

__all__ = ["Pictures", "decoded"]

_DETAILS, _ROW_GROUPS = 128, 4
"""Kept at a time: 256 KiB each, and a few MB each."""

_Value = TypeVar("_Value")


def decoded(encoded: bytes) -> npt.NDArray[np.uint8]:
    """Decode an image as uint8 (H, W, 3), RGB."""
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"))


class Pictures:
    """Reads what `curation.near_duplicates.likeness` compares; the last few hundred are kept.

    An image is named by its file, and by its row where the file is a parquet file with a column ``image``.
    """

    def __init__(self) -> None:
        self._details: OrderedDict[Hashable, Detail | None] = OrderedDict()
        self._groups: OrderedDict[Hashable, list[bytes]] = OrderedDict()

    def detail(self, file: Path, row: int = -1) -> Detail | None:
        """Return the detail of an image; None where it has none."""
        return _kept(self._details, (file, row), _DETAILS, lambda: detail(decoded(self._encoded(file, row))))

    def _encoded(self, file: Path, row: int) -> bytes:
        if row < 0:
            return file.read_bytes()
        with pq.ParquetFile(file) as parquet:
            group, first = 0, 0
            while row >= first + parquet.metadata.row_group(group).num_rows:
                first += parquet.metadata.row_group(group).num_rows
                group += 1

            def read() -> list[bytes]:
                return [
                    image["bytes"] for image in parquet.read_row_group(group, columns=["image"])["image"].to_pylist()
                ]

            return _kept(self._groups, (file, group), _ROW_GROUPS, read)[row - first]


def _kept(store: OrderedDict[Hashable, _Value], key: Hashable, most: int, make: Callable[[], _Value]) -> _Value:
    """Return what the store has under a key, made where it has nothing; the longest unused is let go."""
    if key not in store:
        store[key] = make()
        if len(store) > most:
            store.popitem(last=False)
    store.move_to_end(key)
    return store[key]
