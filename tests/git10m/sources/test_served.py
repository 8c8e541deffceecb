"""Ready-made tiles: decoded, cut and joined."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from git10m.grid import Tile
from git10m.sources.served import Served, ServedGrid, decode, magic

FILL = (9, 8, 7)


def encoded(mode: str, kind: str, *, side: int = 64, **how: object) -> bytes:
    draws = np.random.default_rng(5)
    image = Image.fromarray(draws.integers(0, 256, (8, 8, 4), dtype=np.uint8), "RGBA").resize((side, side))
    image = image.convert("RGB").convert(mode) if mode != "RGBA" else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "kept"), [("jpeg", True), ("webp", True), ("png", False)])
def test_colour_images_are_decoded_and_lossy_bytes_kept(kind: str, kept: bool):
    data = encoded("RGB", kind)
    found = decode(data, fill=FILL)
    assert magic(data) == kind
    assert found.valid.all()
    assert np.array_equal(found.pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert (found.kept is not None) == kept
    if found.kept is not None:
        assert (found.kept.bytes, found.kept.format) == (data, kind)


@pytest.mark.parametrize(("mode", "kind"), [("L", "jpeg"), ("CMYK", "jpeg"), ("P", "png"), ("L", "png"), ("1", "png")])
def test_other_modes_become_rgb_and_are_encoded_anew(mode: str, kind: str):
    data = encoded(mode, kind)
    found = decode(data, fill=FILL)
    assert found.pixels.shape == (64, 64, 3)
    assert found.kept is None
    assert np.array_equal(found.pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_a_picture_that_a_tag_turns_is_stored_upright():
    """Hugging Face's datasets and browsers heed the tag, Pillow and most training code do not."""
    turned = Image.Exif()
    turned[0x0112] = 6
    image = Image.fromarray(
        np.repeat(np.arange(0, 240, 3, dtype=np.uint8)[:, None, None], 40, axis=1).repeat(3, axis=2)
    )
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=95, exif=turned)
    found = decode(buffer.getvalue(), fill=FILL)
    assert found.kept is None
    assert found.pixels.shape == (40, 80, 3)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(buffer.getvalue())))
    assert np.array_equal(found.pixels, np.asarray(upright))


def test_sixteen_bits_keep_the_upper_byte():
    values = (np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "png")
    assert np.array_equal(decode(buffer.getvalue(), fill=FILL).pixels[..., 1], (values >> 8).astype(np.uint8))


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_transparent_pixels_are_invalid_and_filled(kind: str):
    pixels = np.full((32, 32, 4), 200, dtype=np.uint8)
    pixels[:, :16, 3] = 0
    pixels[:, 16:, 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, kind, lossless=True)
    found = decode(buffer.getvalue(), fill=FILL)
    assert not found.valid[:, :16].any()
    assert found.valid[:, 16:].all()
    assert (found.pixels[:, :16] == FILL).all()
    assert found.kept is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>", "it is an HTML page"),
        (b'{"error": "no such layer"}', 'it begins with \'{"error": "no such layer"}\''),
        (b"\x1f\x8b\x08\x00aaaa", "it looks like a vector tile"),
        (b"\x00\x01\x02\x03", "it begins with the bytes 00 01 02 03"),
        (encoded("RGB", "jpeg")[:300], "a JPEG image that is not whole"),
        (encoded("RGB", "png")[:300], "a PNG image that is not whole"),
        (encoded("RGB", "webp")[:100], "a WEBP image that is not whole"),
        (encoded("L", "png", side=9000), "9000×9000 pixels are too many for a tile"),
    ],
    ids=["empty", "html", "json", "vector", "bytes", "jpeg", "png", "webp", "huge"],
)
def test_what_is_no_whole_image_is_told(data: bytes, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        decode(data, fill=FILL)


def served(pixels: np.ndarray) -> Served:
    return Served(pixels, np.ones(pixels.shape[:2], dtype=bool), None)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([(256, 256), (256, 512), (512, 256), (512, 512)]), st.integers(0, 3), st.integers(0, 3))
def test_assembled_tiles_are_parts_of_one_picture(sizes: tuple[int, int], x: int, y: int):
    """The same ground as one picture, served in tiles of one size and asked for in tiles of another."""
    tile_size, served_px = sizes
    grid = ServedGrid(tile_size, served_px)
    level = 3

    def ground(side: int, column: int, row: int) -> np.ndarray:
        rows, columns = np.mgrid[row * side : (row + 1) * side, column * side : (column + 1) * side]
        return np.stack([rows % 251, columns % 241, (rows // 64 + columns // 32) % 256], axis=-1).astype(np.uint8)

    tile = Tile(level, x, y)
    parts = {}
    for z, sx, sy in grid.addresses(tile):
        assert z == grid.z_of(level)
        assert grid.level_of(z) == level
        parts[z, sx, sy] = served(ground(served_px, sx, sy))
    found = grid.assemble(tile, parts, fill=FILL)
    assert found is not None
    assert np.array_equal(found.pixels, ground(tile_size, x, y))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([(256, 512), (512, 256), (256, 256)]), st.integers(0, 200), st.integers(0, 200))
def test_tiles_of_a_served_tile_are_those_that_need_it(sizes: tuple[int, int], x: int, y: int):
    grid = ServedGrid(*sizes)
    z = 9
    level = grid.level_of(z)
    xs, ys = grid.tiles(np.array([x]), np.array([y]))
    for tile_x, tile_y in zip(xs.tolist(), ys.tolist(), strict=True):
        assert (z, x, y) in grid.addresses(Tile(level, tile_x, tile_y))
    assert len(xs) == {(256, 512): 4, (512, 256): 1, (256, 256): 1}[sizes]


def test_missing_parts_are_invalid_and_wrong_sizes_are_told():
    grid = ServedGrid(512, 256)
    tile = Tile(5, 3, 4)
    first, *_ = grid.addresses(tile)
    found = grid.assemble(tile, {first: served(np.full((256, 256, 3), 50, dtype=np.uint8))}, fill=FILL)
    assert found is not None
    assert found.valid.mean() == 0.25
    assert (found.pixels[~found.valid] == FILL).all()
    assert grid.assemble(tile, {}, fill=FILL) is None
    with pytest.raises(ValueError, match="the tile is 512×512 pixels, expected 256×256"):
        grid.assemble(tile, {first: served(np.zeros((512, 512, 3), dtype=np.uint8))}, fill=FILL)
