"""Tiles as others keep them: PMTiles 3, MBTiles 1.3, a folder z/x/y."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

from text2earth.exporting.area import Address, Area
from text2earth.provenance import Origin, PictureKind

__all__ = ["TileSet", "write_folder", "write_mbtiles", "write_pmtiles"]

_MBTILES_ID = 0x4D504258
_TILE_TYPES = {"png": TileType.PNG, "webp": TileType.WEBP, "jpg": TileType.JPEG}


@dataclass(frozen=True, slots=True)
class TileSet:
    """What an archive says of itself.

    Args:
        name: Shown by viewers.
        area: Where its tiles lie.
        zooms: First and last.
        kind: Of its pictures.
        origin: How they were made.
    """

    name: str
    area: Area
    zooms: tuple[int, int]
    kind: PictureKind
    origin: Origin

    @property
    def centre(self) -> tuple[float, float, int]:
        """(lon, lat, zoom) where a viewer starts."""
        return *self.area.centre, self.zooms[0]

    def notes(self) -> dict[str, str]:
        """Return what all kinds of archive say as text: a credit first, then how the tiles were made."""
        tags = self.origin.tags()
        del tags["LEVEL"]  # each tile has its own
        credit = f"Synthetic imagery by the generative model {self.origin.model}; it shows no real place"
        description = tags.pop("DESCRIPTION")
        return {
            "name": self.name,
            "description": description,
            "attribution": credit,
            "type": "baselayer",
            "version": "1.0.0",
            "synthetic": "true",
            **{name.lower(): value for name, value in tags.items() if name != "SYNTHETIC"},
        }


def write_pmtiles(tiles: Iterator[tuple[Address, bytes]], path: Path, *, tile_set: TileSet) -> None:
    """Write a PMTiles archive of version 3; tiles come by zoom and along the Hilbert curve, as it keeps them.

    The directory of all tiles is made in memory, about 300 bytes a tile.
    """
    west, south, east, north = (round(each * 1e7) for each in tile_set.area.unwrapped)
    lon, lat, zoom = tile_set.centre
    header = {
        "tile_type": _TILE_TYPES[tile_set.kind],
        "tile_compression": Compression.NONE,
        "min_lon_e7": west,
        "min_lat_e7": south,
        "max_lon_e7": east,
        "max_lat_e7": north,
        "center_zoom": zoom,
        "center_lon_e7": round(lon * 1e7),
        "center_lat_e7": round(lat * 1e7),
    }
    with path.open("wb") as file, tempfile.TemporaryFile(dir=path.parent) as data_file:
        writer: Any = Writer(file)  # type: ignore[no-untyped-call]
        writer.tile_f.close()  # it lies in the system's folder of temporary files, which may be small
        writer.tile_f = data_file
        for tile, data in tiles:
            writer.write_tile(zxy_to_tileid(*tile), data)
        writer.finalize(header, tile_set.notes())


def write_mbtiles(tiles: Iterator[tuple[Address, bytes]], path: Path, *, tile_set: TileSet) -> None:
    """Write an MBTiles archive of version 1.3, whose rows are counted from the south."""
    notes = tile_set.notes() | {
        "format": tile_set.kind,
        "bounds": ",".join(f"{each:.7f}" for each in tile_set.area.unwrapped),
        "center": "{:.7f},{:.7f},{}".format(*tile_set.centre),
        "minzoom": str(tile_set.zooms[0]),
        "maxzoom": str(tile_set.zooms[1]),
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA application_id = {_MBTILES_ID}")
        database.execute("PRAGMA journal_mode = OFF")  # nobody sees the file before it is whole
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -8192")
        database.execute("BEGIN")
        database.execute("CREATE TABLE metadata (name text, value text)")
        database.execute(
            "CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)"
        )
        database.executemany("INSERT INTO metadata VALUES (?, ?)", notes.items())
        rows = ((z, x, (1 << z) - 1 - y, data) for (z, x, y), data in tiles)
        database.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
        database.execute("CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row)")
        database.execute("COMMIT")


def write_folder(tiles: Iterator[tuple[Address, bytes]], path: Path, *, tile_set: TileSet) -> None:
    """Write a folder ``z/x/y.png`` (or webp, jpg) with a ``tilejson.json``, the last file written (TileJSON 3)."""
    for (z, x, y), data in tiles:
        column = path / str(z) / str(x)
        column.mkdir(parents=True, exist_ok=True)
        (column / f"{y}.{tile_set.kind}").write_bytes(data)
    (path / "tilejson.json").write_text(json.dumps(tilejson(tile_set), indent=2, ensure_ascii=False), encoding="utf-8")


def tilejson(tile_set: TileSet) -> Mapping[str, Any]:
    """Return a TileJSON whose tiles lie beside it."""
    notes = tile_set.notes()
    del notes["type"]
    return {
        "tilejson": "3.0.0",
        "scheme": "xyz",
        "tiles": [f"{{z}}/{{x}}/{{y}}.{tile_set.kind}"],
        "minzoom": tile_set.zooms[0],
        "maxzoom": tile_set.zooms[1],
        "bounds": list(tile_set.area.unwrapped),
        "center": list(tile_set.centre),
        **notes,
        "synthetic": True,
    }
