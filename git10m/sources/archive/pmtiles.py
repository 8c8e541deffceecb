"""PMTiles version 3: one file whose directories list its tiles along a Hilbert curve."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pmtiles.tile import Compression, MagicNumberNotFound, SpecVersionUnsupported, TileType, deserialize_header

from git10m.errors import SourceError
from git10m.grid import IntArray
from git10m.recipe import shown
from git10m.sources.archive.container import Facts, broken
from git10m.sources.archive.ranges import merged, open_ranges
from git10m.sources.served import Address, plain_credit, unpacked

__all__ = ["PMTiles", "hilbert_ids", "hilbert_xy"]

_HEADER_BYTES = 127
_PIECE = 65_536
_DEPTH = 4
_KNOWN = {TileType.PNG, TileType.JPEG, TileType.WEBP, TileType.UNKNOWN}


@dataclass(frozen=True, slots=True)
class _Directory:
    """Entries of one directory, rising; a run length of 0 points to a directory further down."""

    ids: IntArray
    runs: IntArray
    lengths: IntArray
    offsets: IntArray


class PMTiles:
    """A PMTiles archive.

    Args:
        path: Path or address (http, https, s3).

    Raises:
        SourceError: If it is no PMTiles of version 3, is damaged, or holds vector tiles.
    """

    def __init__(self, path: str) -> None:
        self.name = shown(path)
        self._bytes = open_ranges(path)
        start = self._bytes.read(0, _HEADER_BYTES)
        if start[:4] in {b"PM\x01\x00", b"PM\x02\x00"}:
            raise SourceError(
                f"{self.name}: is a PMTiles archive of version {start[2]}; version 3 is read: rewrite it with "
                "`pmtiles convert`"
            )
        try:
            self._header: Mapping[str, Any] = deserialize_header(start)
        except (MagicNumberNotFound, UnicodeDecodeError) as error:
            raise SourceError(f"{self.name}: is no PMTiles archive; it does not begin like one") from error
        except SpecVersionUnsupported as error:
            raise SourceError(f"{self.name}: is a PMTiles archive of version {start[7]}; version 3 is read") from error
        except (IndexError, ValueError) as error:
            raise broken(self.name, f"its header is not whole: {error}") from error
        if self._header["tile_type"] not in _KNOWN:
            kind = self._header["tile_type"].name
            raise SourceError(f"{self.name}: holds {kind} tiles; give an archive of PNG, JPEG or WebP tiles")
        # Opened once for all processes, so what each reads again and again is kept.
        self._directory = lru_cache(maxsize=256)(self._read_directory)

    @cached_property
    def facts(self) -> Facts:
        """Zooms as in the header, credit as in the metadata."""
        found = self._metadata()
        credit = plain_credit(found.get("attribution"))
        licence = str(found.get("license") or "").strip()
        return Facts((self._header["min_zoom"], self._header["max_zoom"]), credit, licence or None)

    def addresses(self, z: int) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield (columns, rows from the north) of all tiles of a zoom, in pieces."""
        first, after = _first_id(z), _first_id(z + 1)
        for ids, runs in self._entries(self._root, first, after, _DEPTH):
            begin, end = np.maximum(ids, first), np.minimum(ids + runs, after)
            kept = end > begin
            begin, count = begin[kept], (end - begin)[kept]
            # Runs may be long (one sea tile for half the world), so pieces are cut by tiles, not by entries.
            ends = np.cumsum(count)
            for start in range(0, int(ends[-1]) if len(ends) else 0, _PIECE):
                at = np.arange(start, min(start + _PIECE, int(ends[-1])))
                run = np.searchsorted(ends, at, side="right")
                yield hilbert_xy(begin[run] + at - (ends[run] - count[run]) - first, z)

    def read(self, wanted: Sequence[Address]) -> Mapping[Address, bytes]:
        """Return the bytes of the tiles that there are; ranges that lie together are read at once."""
        places: dict[Address, tuple[int, int]] = {}
        for z, x, y in wanted:
            number = _first_id(z) + int(hilbert_ids(np.array([x]), np.array([y]), z)[0])
            if (place := self._place(number)) is not None:
                places[z, x, y] = place
        found: dict[tuple[int, int], bytes] = {}
        for (offset, length), inside in merged(list(places.values())):
            data = self._bytes.read(offset, length)
            for start, size in inside:
                found[start, size] = unpacked(data[start - offset : start - offset + size])
        return {address: found[place] for address, place in places.items() if found[place]}

    def _place(self, number: int) -> tuple[int, int] | None:
        """Return (offset, length) of a tile in the file."""
        directory = self._root
        for _ in range(_DEPTH):
            i = int(np.searchsorted(directory.ids, number, side="right")) - 1
            if i < 0:
                return None
            if directory.runs[i] > 0:
                if number - int(directory.ids[i]) >= int(directory.runs[i]):
                    return None
                return int(self._header["tile_data_offset"]) + int(directory.offsets[i]), int(directory.lengths[i])
            directory = self._leaf(directory, i)
        raise broken(self.name, "its directories are nested too deep")

    def _entries(
        self, directory: _Directory, first: int, after: int, depth: int
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield (ids, run lengths) of all tiles with first ≤ id < after, directory by directory."""
        if depth == 0:
            raise broken(self.name, "its directories are nested too deep")
        tiles = directory.runs > 0
        near = tiles & (directory.ids < after) & (directory.ids + directory.runs > first)
        if near.any():
            yield directory.ids[near], directory.runs[near]
        following = np.append(directory.ids[1:], np.iinfo(np.int64).max)
        for i in np.flatnonzero(~tiles & (directory.ids < after) & (following > first)).tolist():
            yield from self._entries(self._leaf(directory, i), first, after, depth - 1)

    @cached_property
    def _root(self) -> _Directory:
        root: _Directory = self._directory(self._header["root_offset"], self._header["root_length"])
        return root

    def _leaf(self, directory: _Directory, i: int) -> _Directory:
        offset = self._header["leaf_directory_offset"] + int(directory.offsets[i])
        leaf: _Directory = self._directory(offset, int(directory.lengths[i]))
        return leaf

    def _read_directory(self, offset: int, length: int) -> _Directory:
        data = self._inner(self._bytes.read(offset, length), length)
        numbers = _varints(data)
        count = int(numbers[0]) if len(numbers) else -1
        if count < 0 or len(numbers) < 1 + 4 * count:
            raise broken(self.name, "one of its directories is not whole")
        steps, runs, lengths, places = numbers[1 : 1 + 4 * count].reshape(4, count)
        return _Directory(np.cumsum(steps), runs, lengths, _offsets(places, lengths))

    def _metadata(self) -> Mapping[str, Any]:
        length = self._header["metadata_length"]
        data = self._inner(self._bytes.read(self._header["metadata_offset"], length), length)
        try:
            found = json.loads(data or b"{}")
        except ValueError as error:
            raise broken(self.name, f"its metadata are no JSON: {error}") from error
        return found if isinstance(found, dict) else {}

    def _inner(self, data: bytes, length: int) -> bytes:
        """Unpack what the archive says of itself."""
        if len(data) < length:
            raise broken(self.name, f"it ends within its directories, {length - len(data)} bytes too early")
        packing = self._header["internal_compression"]
        if packing is Compression.NONE or not data:
            return data
        if packing is not Compression.GZIP:
            raise SourceError(f"{self.name}: its directories are packed by {packing.name}; gzip and none are read")
        try:
            return gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise broken(self.name, error) from error


def _first_id(z: int) -> int:
    """Return the number of the first tile of a zoom: all tiles of the zooms above come before it."""
    return ((1 << 2 * z) - 1) // 3


def _varints(data: bytes) -> IntArray:
    """Decode little-endian base-128 numbers, all at once."""
    raw = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(raw < 0x80)
    if not len(ends):
        return np.empty(0, dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    raw = raw[: ends[-1] + 1]
    shift = 7 * (np.arange(len(raw)) - np.repeat(starts, ends - starts + 1))
    return np.add.reduceat((raw & 0x7F).astype(np.int64) << shift, starts)


def _offsets(places: IntArray, lengths: IntArray) -> IntArray:
    """Resolve offsets: 0 means "right behind the entry before", else one more than the offset."""
    stated = np.flatnonzero((places > 0) | (np.arange(len(places)) == 0))
    before = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(lengths) else lengths
    anchor = stated[np.searchsorted(stated, np.arange(len(places)), side="right") - 1] if len(places) else stated
    found: IntArray = places[anchor] - 1 + before - before[anchor]
    return found


def hilbert_xy(number: IntArray, z: int) -> tuple[IntArray, IntArray]:
    """Return (columns, rows) of positions along the Hilbert curve of a zoom, as PMTiles counts them."""
    position = np.asarray(number, dtype=np.int64).copy()
    x, y = np.zeros_like(position), np.zeros_like(position)
    for step in range(z):
        side = 1 << step
        right = (position >> 1) & 1
        down = (position ^ right) & 1
        x, y = _rotated(side, x, y, right, down)
        x, y = x + side * right, y + side * down
        position >>= 2
    return x, y


def hilbert_ids(x: IntArray, y: IntArray, z: int) -> IntArray:
    """Return positions along the Hilbert curve; undoes `hilbert_xy`."""
    x, y = np.asarray(x, dtype=np.int64), np.asarray(y, dtype=np.int64)
    number = np.zeros_like(x)
    for step in reversed(range(z)):
        side = 1 << step
        right, down = (x >> step) & 1, (y >> step) & 1
        number += side * side * ((3 * right) ^ down)
        x, y = _rotated(side, x & (side - 1), y & (side - 1), right, down)
    return number


def _rotated(
    side: int, x: IntArray, y: IntArray, right: npt.NDArray[np.int64], down: npt.NDArray[np.int64]
) -> tuple[IntArray, IntArray]:
    """Turn a quadrant of the curve as its place in the one above asks for."""
    flip = (down == 0) & (right == 1)
    x, y = np.where(flip, side - 1 - x, x), np.where(flip, side - 1 - y, y)
    swap = down == 0
    return np.where(swap, y, x), np.where(swap, x, y)
