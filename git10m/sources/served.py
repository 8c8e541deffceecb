"""Ready-made tiles, of a server or an archive: decoded, and cut or joined to the tiles of a recipe.

The tile z/x/y of a server covers the ground of our tile of that level, whatever its size in pixels. Where the sizes
differ, ours is a quarter of one tile of the level above, or is joined of four tiles of the level below; no pixel is
resampled.
"""

from __future__ import annotations

import contextlib
import html
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps

from git10m.grid import IntArray, Tile
from git10m.sources import Encoded

__all__ = ["Address", "Served", "ServedGrid", "decode", "magic", "plain_credit", "unpacked"]

Address = tuple[int, int, int]
"""(z, x, y) of a served tile, rows from the north."""

_MOST_PX = 8192
"""Sides of a tile beyond this are a fault, or an attack."""
_MOST_UNPACKED_BYTES = 2**26
_MAGIC = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"))


@dataclass(frozen=True, slots=True)
class Served:
    """A decoded tile.

    Attributes:
        pixels: uint8 (H, W, 3), RGB; transparent pixels hold the fill colour.
        valid: bool (H, W), true where the tile is opaque.
        kept: Its very bytes, where they show just these pixels and are JPEG or WebP.
    """

    pixels: npt.NDArray[np.uint8]
    valid: npt.NDArray[np.bool_]
    kept: Encoded | None


def magic(data: bytes) -> str | None:
    """Return the format that an image begins as: ``"jpeg"``, ``"png"``, ``"webp"``; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((name for start, name in _MAGIC if data.startswith(start)), None)


def decode(data: bytes, *, fill: tuple[int, int, int]) -> Served:
    """Decode a JPEG, PNG or WebP image.

    Args:
        data: The whole file.
        fill: RGB of transparent pixels.

    Raises:
        ValueError: If it is no such image, or not whole; says why in a few words.
    """
    name = magic(data)
    if name is None:
        raise ValueError(f"no JPEG, PNG or WebP image: it {_beginning(data)}")
    try:
        with Image.open(io.BytesIO(data), formats=[name.upper()]) as image:
            if max(image.size) > _MOST_PX:
                raise ValueError(f"{image.width}×{image.height} pixels are too many for a tile")
            frames = getattr(image, "n_frames", 1)
            image.load()
            mode = image.mode
            # Some readers heed a tag that turns the picture, others do not: upright and without it all see the same.
            turned = "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) != 1
            shown = ImageOps.exif_transpose(image) if turned else image
            transparent = "A" in mode or "transparency" in image.info
            rgba = np.asarray(shown.convert("RGBA")) if transparent else None
            pixels = rgba[..., :3] if rgba is not None else _rgb(shown)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"a {name.upper()} image that is not whole ({error})") from error
    valid = np.ones(pixels.shape[:2], dtype=bool) if rgba is None else rgba[..., 3] >= 128
    if not valid.all():
        pixels = np.where(valid[..., None], pixels, np.array(fill, dtype=np.uint8))
    plain = mode == "RGB" and name != "png" and frames == 1 and not turned
    return Served(np.ascontiguousarray(pixels), valid, Encoded(data, name) if plain else None)


def unpacked(data: bytes) -> bytes:
    """Return an image without the gzip around it that some archives and buckets give every file."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    packing = zlib.decompressobj(wbits=31)
    with contextlib.suppress(zlib.error):
        image = packing.decompress(data, _MOST_UNPACKED_BYTES)
        if packing.eof:
            return image
    return data  # what it is not, the decoder will say


def plain_credit(said: object) -> str | None:
    """Return a credit line, which tile formats state in HTML, as plain text; None where there is none."""
    text = html.unescape(re.sub(r"<[^>]*>", "", str(said or "")))
    return " ".join(text.split()) or None


def _rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return RGB uint8 of an opaque image; 16-bit grey keeps its upper byte."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def _beginning(data: bytes) -> str:
    if not data:
        return "is empty"
    text = data[:200].lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page"
    if text.startswith((b"<", b"{", b"[")):
        return f"begins with {' '.join(data[:60].decode('utf-8', 'replace').split())!r}"
    if data[:2] == b"\x1f\x8b" or data[:1] == b"\x1a":
        return "looks like a vector tile"
    return f"begins with the bytes {data[:8].hex(' ')}"


@dataclass(frozen=True, slots=True)
class ServedGrid:
    """How served tiles make the tiles of a recipe.

    Attributes:
        tile_size: Pixels a side of a recipe's tile.
        served_px: Pixels a side of a served tile.
    """

    tile_size: int
    served_px: int

    @property
    def finer(self) -> int:
        """Levels by which a recipe's tile lies below the served tile that holds it; −1 where it is joined of four."""
        return self.served_px.bit_length() - self.tile_size.bit_length()

    def z_of(self, level: int) -> int:
        """Return the zoom of the served tiles that make a level."""
        return level - self.finer

    def level_of(self, z: int) -> int:
        """Return the level that served tiles of a zoom make."""
        return z + self.finer

    def addresses(self, tile: Tile) -> list[Address]:
        """List the served tiles that make a tile."""
        z = self.z_of(tile.level)
        if self.finer >= 0:
            return [(z, tile.x >> self.finer, tile.y >> self.finer)]
        return [(z, 2 * tile.x + column, 2 * tile.y + row) for row in (0, 1) for column in (0, 1)]

    def tiles(self, x: IntArray, y: IntArray) -> tuple[IntArray, IntArray]:
        """Return the columns and rows of the tiles that some served tiles make or have a part in, each once."""
        if self.finer == 0:
            return x, y
        if self.finer < 0:
            both = np.unique(np.stack([x >> 1, y >> 1]), axis=1)
            return both[0], both[1]
        side = 1 << self.finer
        column, row = np.meshgrid(np.arange(side), np.arange(side))
        return (
            (x[:, None] * side + column.ravel()).ravel(),
            (y[:, None] * side + row.ravel()).ravel(),
        )

    def assemble(self, tile: Tile, found: Mapping[Address, Served], *, fill: tuple[int, int, int]) -> Served | None:
        """Cut or join a tile; None where none of its parts is there.

        Args:
            tile: Of the recipe.
            found: Served tiles that there are, by address.
            fill: RGB where a part is missing.

        Raises:
            ValueError: If a served tile has another size than ``served_px``.
        """
        parts = [(at, found[at]) for at in self.addresses(tile) if at in found]
        for _, served in parts:
            height, width = served.valid.shape
            if (height, width) != (self.served_px, self.served_px):
                raise ValueError(f"the tile is {width}×{height} pixels, expected {self.served_px}×{self.served_px}")
        if not parts:
            return None
        if self.finer == 0:
            return parts[0][1]
        if self.finer > 0:
            side = 1 << self.finer
            row, column = tile.y % side * self.tile_size, tile.x % side * self.tile_size
            part = (slice(row, row + self.tile_size), slice(column, column + self.tile_size))
            whole = parts[0][1]
            return Served(np.ascontiguousarray(whole.pixels[part]), whole.valid[part].copy(), None)
        pixels = np.empty((self.tile_size, self.tile_size, 3), dtype=np.uint8)
        pixels[:] = fill
        valid = np.zeros((self.tile_size, self.tile_size), dtype=bool)
        for (_, x, y), served in parts:
            row, column = y % 2 * self.served_px, x % 2 * self.served_px
            part = (slice(row, row + self.served_px), slice(column, column + self.served_px))
            pixels[part], valid[part] = served.pixels, served.valid
        return Served(pixels, valid, None)
