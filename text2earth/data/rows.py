"""One group of rows in memory: encoded images, and the condition that each row states."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from git10m.grid import MAX_LEVEL, Tile
from text2earth.conditioning import Condition, parse
from text2earth.data.index import CAPTION_COLUMNS
from text2earth.data.view import Pixels, UnusableRowError

__all__ = ["Rows", "decoded", "row_columns"]

_STATED = ("gsd_m", "lon", "lat", "acquired_at", "acquired_precision", "source_id", "Google_location", "native_gsd_m")
_RESOLVED = 0.8
"""A level is supported by a source up to this share of its native ground resolution."""
_LOCATION = re.compile(r"(\d{1,2})_(\d+)_(\d+)")


def row_columns(*, pixels: bool, images: Sequence[str]) -> list[str]:
    """Return the columns that ``Rows`` wants.

    Args:
        pixels: Whether the column ``image`` is wanted.
        images: Modalities NAME of columns ``image_NAME``.
    """
    encoded = ["image.bytes"] if pixels else []
    return [*encoded, *(f"image_{name}.bytes" for name in images), "img_name", *CAPTION_COLUMNS, *_STATED]


class Rows:
    """Rows of one group.

    Args:
        table: Their columns, those of ``row_columns`` that the file has.
    """

    def __init__(self, table: pa.Table) -> None:
        names = set(table.column_names)
        self._encoded = {name: _bytes_of(table[name]) for name in names if name.split("_")[0] == "image"}
        caption = next((name for name in CAPTION_COLUMNS if name in names), None)
        self._captions = table[caption].to_pylist() if caption else [None] * table.num_rows
        self._names = table["img_name"].to_pylist() if "img_name" in names else None
        self._stated = {name: table[name].to_pylist() for name in _STATED if name in names}

    def name(self, row: int) -> str | None:
        """Return the ``img_name`` of a row, if it has one."""
        return str(self._names[row]) if self._names and self._names[row] else None

    def encoded(self, row: int, *, modality: str | None = None) -> pa.Buffer:
        """Return the bytes of a row's image file, or of its image of another modality.

        Raises:
            UnusableRowError: If there are none.
        """
        column = f"image_{modality}" if modality else "image"
        found = self._encoded[column][row].as_buffer() if column in self._encoded else None
        if found is None or not found.size:
            raise UnusableRowError(f"the {column} is null")
        return found

    def condition(self, row: int, *, level: int) -> Condition:
        """Return what a row states; a value that its columns do not tell, or tell as NaN, is None.

        Args:
            row: Number of the row.
            level: Its level, 0 if unknown.

        Raises:
            ConditionError: If the caption's prefix names another level, or a value is impossible.
        """
        said = parse(self._captions[row] or "", level=level or None)
        if "lon" not in self._stated and "Google_location" in self._stated:
            return _with_place(said, self._stated["Google_location"][row])
        lon, lat = self._number("lon", row), self._number("lat", row)
        return replace(
            said,
            gsd_m=self._number("gsd_m", row),
            lon=None if lat is None else lon,
            lat=None if lon is None else lat,
            month=self._month(row),
            source=self._value("source_id", row) or None,
        )

    def finest_halvings(self, row: int) -> int:
        """Return by how many powers of two a row must be averaged so that its pixels are not finer than its source's.

        A level counts as resolved from 0.8 × the native ground resolution; 0 where a row does not state it.
        """
        gsd_m, native_m = self._number("gsd_m", row), self._number("native_gsd_m", row)
        if not gsd_m or not native_m:
            return 0
        return max(0, math.ceil(math.log2(_RESOLVED * native_m / gsd_m) - 1e-6))

    def _value(self, column: str, row: int) -> Any:
        return self._stated[column][row] if column in self._stated else None

    def _number(self, column: str, row: int) -> float | None:
        value = self._value(column, row)
        return None if value is None or math.isnan(value) else float(value)

    def _month(self, row: int) -> int | None:
        moment = self._value("acquired_at", row)
        known = moment is not None and self._value("acquired_precision", row) != "year"
        return int(moment.month) if known else None


def _with_place(said: Condition, location: str | None) -> Condition:
    """Add the centre and GSD of a tile ``level_x_y`` of 256 px, which Git-10M's own columns leave to be reckoned."""
    found = _LOCATION.fullmatch(location or "")
    if found is None:
        return said
    level, x, y = (int(part) for part in found.groups())
    if not level <= MAX_LEVEL or not max(x, y) < 2**level:
        return said
    tile = Tile(level, x, y)
    lon, lat = tile.centre
    return replace(said, gsd_m=tile.gsd_m(), lon=lon, lat=lat)


def _bytes_of(column: pa.ChunkedArray) -> pa.Array:
    """Return the encoded bytes of a column of images: a struct as ``datasets`` writes it, or plain bytes."""
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    return pc.struct_field(whole, "bytes") if pa.types.is_struct(whole.type) else whole


def decoded(encoded: pa.Buffer, *, grey: bool = False) -> Pixels:
    """Decode an image file.

    Args:
        encoded: Its bytes.
        grey: Keep one band as one: (H, W) rather than (H, W, 3).

    Returns:
        uint8 RGB (H, W, 3), or (H, W).

    Raises:
        UnusableRowError: If it does not decode.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            wanted = "L" if grey and opened.mode in {"1", "L"} else "RGB"
            return np.asarray(opened if opened.mode == wanted else opened.convert(wanted))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:  # Pillow's, on damage
        raise UnusableRowError(f"the image does not decode: {error}") from error
