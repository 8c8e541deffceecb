"""A folder of tiles, ``z/x/y.png``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from git10m.errors import SourceError
from git10m.grid import IntArray
from git10m.sources.archive.container import Facts
from git10m.sources.served import Address

__all__ = ["TileFolder"]

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG", ".WEBP", "")


class TileFolder:
    """A folder of tiles.

    Args:
        path: The folder that holds the zooms.
        scheme: Rows counted from the north (``"xyz"``) or the south (``"tms"``).

    Raises:
        SourceError: If it holds no tiles.
    """

    def __init__(self, path: Path, *, scheme: str) -> None:
        self.path, self.scheme = path, scheme
        if not self._zooms:
            raise SourceError(
                f"{path.name}: holds no folders of zooms; expected tiles as {path.name}/ZOOM/COLUMN/ROW.png "
                "(or .jpg, .jpeg, .webp)"
            )

    @cached_property
    def facts(self) -> Facts:
        """The zooms that have a folder."""
        return Facts((min(self._zooms), max(self._zooms)))

    def addresses(self, z: int) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield (columns, rows from the north) of all tiles of a zoom, a column at a time."""
        folder = self.path / str(z)
        for column in sorted(_numbers(folder)) if folder.is_dir() else ():
            rows = sorted({row for row, ending in _files(folder / str(column)) if ending in _ENDINGS})
            if rows:
                y = np.array(rows, dtype=np.int64)
                yield np.full(len(y), column), y if self.scheme == "xyz" else (1 << z) - 1 - y

    def read(self, wanted: Sequence[Address]) -> Mapping[Address, bytes]:
        """Return the bytes of the tiles that there are."""
        found = {}
        for z, x, y in wanted:
            row = y if self.scheme == "xyz" else (1 << z) - 1 - y
            for ending in self._endings:
                try:
                    found[z, x, y] = (self.path / str(z) / str(x) / f"{row}{ending}").read_bytes()
                    break
                except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                    continue
        return found

    @cached_property
    def _zooms(self) -> list[int]:
        return [z for z in _numbers(self.path) if z <= 30]

    @cached_property
    def _endings(self) -> list[str]:
        """Endings, the one that the folder uses first: most folders use one."""
        for z in self._zooms:
            for column in _numbers(self.path / str(z)):
                for _, ending in _files(self.path / str(z) / str(column)):
                    return sorted(_ENDINGS, key=lambda known: known != ending)
        return list(_ENDINGS)


def _numbers(folder: Path) -> list[int]:
    """List the folders in a folder that are called by a number."""
    with os.scandir(folder) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdecimal() and entry.is_dir()]


def _files(folder: Path) -> Iterator[tuple[int, str]]:
    """Yield (number, ending) of the files in a folder that are called by a number."""
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, dot, ending = entry.name.partition(".")
            if stem.isdecimal() and entry.is_file():
                yield int(stem), dot + ending
