"""Tiles of an export under way, in one SQLite file beside its target.

A batch of tiles is a transaction: whatever kills the process, a tile is there whole or not at all. The file knows of
which export it is, and one process at a time holds it.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from pmtiles.tile import tileid_to_zxy, zxy_to_tileid

from text2earth.errors import ExportError
from text2earth.exporting.area import TILE, Address, columns_and_rows
from text2earth.world.box import Box

__all__ = ["Parts", "lossless", "part_path"]

Pixels = npt.NDArray[np.uint8]

_PIECE = 64


def part_path(target: Path) -> Path:
    """Return the name of the file that keeps an export under way."""
    return target.with_name(f"{target.name}.part")


def lossless(pixels: Pixels) -> bytes:
    """Return a tile as it is kept for formats that are made of pixels: a PNG, quick to write."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


class Parts:
    """Encoded tiles, ordered by zoom and along PMTiles' Hilbert curve. A context manager.

    Args:
        target: Final name of the export.
        identity: All that its tiles depend on; values of JSON.

    Raises:
        ExportError: If the file is another export's, or another process writes it.
    """

    def __init__(self, target: Path, *, identity: Mapping[str, Any]) -> None:
        self.path = part_path(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(self.path, isolation_level=None, timeout=1.0)
        try:
            self._open(json.dumps(identity, sort_keys=True))
        except sqlite3.OperationalError as error:
            self._database.close()
            raise ExportError(
                f"{self.path} cannot be used ({error}); if another export writes {target.name} now, wait for it"
            ) from error
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise ExportError(f"{self.path} is no export under way ({error}); remove it, and run again") from error
        except BaseException:
            self._database.close()
            raise

    def _open(self, identity: str) -> None:
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")  # until the process ends, however it does
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("PRAGMA cache_size = -8192")
        self._database.execute("BEGIN EXCLUSIVE")
        self._database.execute("CREATE TABLE IF NOT EXISTS identity (said TEXT NOT NULL)")
        self._database.execute("CREATE TABLE IF NOT EXISTS tiles (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        found = self._database.execute("SELECT said FROM identity").fetchone()
        if found is None:
            self._database.execute("INSERT INTO identity VALUES (?)", (identity,))
        self._database.execute("COMMIT")
        if found is not None and found[0] != identity:
            raise ExportError(
                f"{self.path} is of another export, which differs in {_difference(found[0], identity)}; "
                "go on with that one, remove the file, or choose another --out"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def __len__(self) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM tiles").fetchone()
        return int(count)

    def missing(self, tiles: Sequence[Address]) -> list[Address]:
        """Return those tiles that are not there yet."""
        question = "SELECT 1 FROM tiles WHERE id = ?"
        return [tile for tile in tiles if self._database.execute(question, (zxy_to_tileid(*tile),)).fetchone() is None]

    def put(self, tiles: Iterable[tuple[Address, bytes]]) -> None:
        """Keep tiles: all of them, or none if the process dies."""
        self._database.execute("BEGIN")
        rows = ((zxy_to_tileid(*tile), data) for tile, data in tiles)
        self._database.executemany("INSERT OR REPLACE INTO tiles VALUES (?, ?)", rows)
        self._database.execute("COMMIT")

    def tiles(self) -> Iterator[tuple[Address, bytes]]:
        """Yield all tiles by zoom, each zoom along the Hilbert curve."""
        found = self._database.execute("SELECT id, data FROM tiles ORDER BY id")
        while rows := found.fetchmany(_PIECE):
            for number, data in rows:
                yield tileid_to_zxy(number), data

    def region(self, zoom: int, box: Box) -> Pixels:
        """Return pixels of a zoom out of its tiles, uint8 (height, width, 3); all of them are there, losslessly."""
        side = 1 << zoom
        pixels = np.empty((box.height, box.width, 3), np.uint8)
        columns, rows = columns_and_rows(box)
        for y in rows:
            for x in columns:
                tile = Box(x * TILE, y * TILE, TILE, TILE)
                shared = tile.overlap(box)
                assert shared is not None
                pixels[shared.slices(box)] = self._pixels((zoom, x % side, y))[shared.slices(tile)]
        return pixels

    def _pixels(self, tile: Address) -> Pixels:
        (data,) = self._database.execute("SELECT data FROM tiles WHERE id = ?", (zxy_to_tileid(*tile),)).fetchone()
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture)

    def remove(self) -> None:
        """Delete the file: the target is there."""
        self._database.close()
        for ending in ("-wal", "-shm", ""):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)


def _difference(one: str, other: str) -> str:
    """Name what differs, with both values where they are short."""
    found, asked = json.loads(one), json.loads(other)
    said = []
    for key in sorted(found.keys() | asked.keys()):
        if found.get(key) != asked.get(key):
            values = json.dumps(found.get(key)), json.dumps(asked.get(key))
            said.append(f"{key} ({values[0]} there, {values[1]} here)" if max(map(len, values)) <= 60 else key)
    return ", ".join(said)
