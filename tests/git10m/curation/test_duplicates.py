"""Perceptual hashes, and which of equal images stays."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from made_rasters import read_tile
from PIL import Image

from git10m.curation.duplicates import later_copies, perceptual_hashes, placeholders
from git10m.grid import Tile


def scenery(seed: int) -> np.ndarray:
    """Blobs of several sizes, (256, 256, 3)."""
    draws = np.random.default_rng(seed)
    layers = [Image.fromarray(draws.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize((256, 256)) for n in (4, 9, 40)]
    return np.mean([np.asarray(layer, dtype=float) for layer in layers], axis=0).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "jpeg", quality=quality)
    return np.asarray(Image.open(stream))


def distance(one: np.ndarray, other: np.ndarray, *, which: int = 0) -> int:
    """Bits in which the 64-bit hashes (``which=1``: the 256-bit ones) differ."""
    first, second = (int(perceptual_hashes(pixels)[which], 16) for pixels in (one, other))
    return (first ^ second).bit_count()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("quality", [90, 70, 40])
def test_the_hash_is_stable_under_jpeg(seed: int, quality: int):
    assert distance(scenery(seed), jpeg(scenery(seed), quality)) <= 4


@pytest.mark.parametrize("seed", range(3))
def test_the_hash_is_stable_under_resizing_and_brightness(seed: int):
    pixels = scenery(seed)
    half = np.asarray(Image.fromarray(pixels).resize((128, 128), Image.Resampling.BOX))
    assert distance(pixels, half) <= 4
    assert distance(pixels, (pixels * 0.85 + 10).astype(np.uint8)) <= 6


def test_different_images_have_different_hashes():
    pixels = [scenery(seed) for seed in range(20)]
    distances = [distance(a, b) for i, a in enumerate(pixels) for b in pixels[:i]]
    assert min(distances) > 10


@pytest.mark.parametrize("grey", [0, 7, 128, 255])
def test_flat_images_have_one_hash(grey: int):
    """Open water must not look like anything by the rounding of cosines."""
    flat = np.full((256, 256, 3), grey, dtype=np.uint8)
    assert distance(flat, np.full((256, 256, 3), 100, dtype=np.uint8)) <= 1


def test_hashes_are_16_and_64_hexadecimal_digits():
    assert perceptual_hashes(scenery(0)) == perceptual_hashes(scenery(0))
    assert [len(bytes.fromhex(text)) for text in perceptual_hashes(scenery(0))] == [8, 32]


def test_the_wider_hash_is_as_stable_and_tells_more_apart():
    one = scenery(0)
    assert distance(one, jpeg(one, 40), which=1) <= 16
    assert min(distance(one, scenery(seed), which=1) for seed in range(1, 20)) > 80


def test_real_tiles_keep_their_hash_under_jpeg(imagery):
    path = imagery / "rasters/naip__m_4709963_se_14_1_20200831.tif"
    with rasterio.open(path) as dataset:
        lon, lat = dataset.lnglat()
    tile = Tile.from_lonlat(lon, lat, 14)
    pixels, valid = read_tile(path, tile, bands=[1, 2, 3])
    assert valid.mean() > 0.5
    assert distance(pixels, jpeg(pixels, 40)) <= 10


@given(st.lists(st.integers(0, 5)))
def test_later_copies_point_to_the_first(numbers: list[int]):
    digests = [hashlib.sha256(bytes([number])).digest() for number in numbers]
    expected = [-1 if numbers.index(n) == i else numbers.index(n) for i, n in enumerate(numbers)]
    if digests:
        assert later_copies(digests).tolist() == expected


def test_digests_that_end_in_zeros_are_told_apart():
    digests = [b"\1\0\0\0", b"\1\0\0\1", b"\0\0\0\0", b"\1\0\0\0"]
    assert later_copies(digests).tolist() == [-1, -1, -1, 0]
    assert later_copies(np.array(digests, dtype="V4")).tolist() == [-1, -1, -1, 0]


def told(*tiles: tuple[str, int, int, int, int]) -> list[bool]:
    """Which of some (digest, level, x, y, source) are placeholders."""
    digests = np.array([digest.encode() for digest, *_ in tiles], dtype="S8")
    level, x, y, source = (np.array([tile[i] for tile in tiles], dtype=np.int64) for i in range(1, 5))
    return [bool(found) for found in placeholders(digests, level, x, y, source)]


def test_the_same_bytes_at_distant_places_stand_for_missing_imagery():
    assert told(("none", 14, 0, 0, 0), ("none", 14, 900, 3, 0), ("farm", 14, 5, 5, 0)) == [True, True, False]
    assert told(("none", 14, 7, 0, 0), ("none", 14, 7, 9, 0)) == [True, True]
    assert told(("none", 14, 7, 0, 0), ("none", 15, 14, 0, 0)) == [True, True]


def test_neighbours_and_other_sources_prove_nothing():
    assert told(("sea", 14, 0, 0, 0), ("sea", 14, 8, 8, 0)) == [False, False]
    assert told(("same", 14, 0, 0, 0), ("same", 14, 900, 3, 1)) == [False, False]
    assert told() == []
