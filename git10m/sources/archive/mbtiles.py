"""MBTiles: an SQLite database whose rows are counted from the south."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from git10m.errors import SourceError
from git10m.grid import IntArray
from git10m.sources.archive.container import Facts, broken
from git10m.sources.served import Address, plain_credit, unpacked

__all__ = ["MBTiles"]

_PIECE = 65_536


class MBTiles:
    """An MBTiles archive, opened for reading only.

    Args:
        path: The file.

    Raises:
        SourceError: If it is no MBTiles, is damaged, or holds vector tiles.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        for journal in (path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-journal")):
            if journal.exists() and journal.stat().st_size:
                raise SourceError(
                    f"{self.name}: part of it is still in {journal.name}; close the program that writes it, or write "
                    f'it back: sqlite3 {self.name} "PRAGMA wal_checkpoint(TRUNCATE)"'
                )
        # Immutable: nothing is locked, and no journal is written beside an archive that others may share.
        self._database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master")}
            if "tiles" not in tables:
                raise SourceError(f"{self.name}: is no MBTiles archive: it has no table 'tiles'")
            self._metadata = (
                dict(self._database.execute("SELECT name, value FROM metadata")) if "metadata" in tables else {}
            )
        except sqlite3.DatabaseError as error:
            raise broken(self.name, error) from error
        if str(self._metadata.get("format", "")).lower() in {"pbf", "mvt"}:
            raise SourceError(
                f"{self.name}: holds vector tiles (format pbf); give an archive of PNG, JPEG or WebP tiles"
            )

    @cached_property
    def facts(self) -> Facts:
        """Zooms as they are in the table, credit as in the metadata."""
        try:
            first, last = self._database.execute("SELECT min(zoom_level), max(zoom_level) FROM tiles").fetchone()
        except sqlite3.DatabaseError as error:
            raise broken(self.name, error) from error
        if first is None:
            raise SourceError(f"{self.name}: holds no tiles")
        credit = plain_credit(self._metadata.get("attribution"))
        licence = str(self._metadata.get("license") or "").strip()
        return Facts((int(first), int(last)), credit, licence or None)

    def addresses(self, z: int) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield (columns, rows from the north) of all tiles of a zoom, in pieces."""
        try:
            found = self._database.execute("SELECT tile_column, tile_row FROM tiles WHERE zoom_level = ?", (z,))
            while rows := found.fetchmany(_PIECE):
                x, y = np.array(rows, dtype=np.int64).T
                yield x, (1 << z) - 1 - y
        except sqlite3.DatabaseError as error:
            raise broken(self.name, error) from error

    def read(self, wanted: Sequence[Address]) -> Mapping[Address, bytes]:
        """Return the bytes of the tiles that there are."""
        question = "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
        found = {}
        try:
            for z, x, y in wanted:
                row = self._database.execute(question, (z, x, (1 << z) - 1 - y)).fetchone()
                if row is not None and row[0]:
                    found[z, x, y] = unpacked(bytes(row[0]))
        except sqlite3.DatabaseError as error:
            raise broken(self.name, error) from error
        return found
