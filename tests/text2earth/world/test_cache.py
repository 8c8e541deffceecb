"""Blocks on disk: whole or not there, and never more than may be."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from small_worlds import cheap_world

from text2earth.errors import RequestError
from text2earth.provenance import Origin
from text2earth.world.cache import BlockCache, BlockKey

ORIGIN = Origin("cheap", "a lake", 6, 0)


def block(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (128, 128, 3)).astype(np.uint8)


def key(number: int) -> BlockKey:
    return BlockKey("level-6", number, 0)


def cache(folder, *, fingerprint: str = "f" * 64, max_bytes: int = 1 << 30, memory_bytes: int = 0) -> BlockCache:
    return BlockCache(fingerprint, origin=ORIGIN, folder=folder, max_bytes=max_bytes, memory_bytes=memory_bytes)


def stored(folder) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.png"))


def test_a_block_comes_back_in_another_process_s_cache_and_says_that_it_is_synthetic(tmp_path):
    cache(tmp_path).put(key(1), block(1))
    other = cache(tmp_path)
    assert np.array_equal(other.get(key(1)), block(1))
    assert other.get(key(2)) is None
    assert other.counts == {"disk hits": 1, "misses": 1}
    (path,) = tmp_path.rglob("*.png")
    with Image.open(path) as image:
        assert image.info["SYNTHETIC"] == "YES"


def test_without_a_folder_memory_alone_keeps_the_newest():
    small = cache(None, memory_bytes=2 * block(0).nbytes)
    for number in range(3):
        small.put(key(number), block(number))
    assert [small.get(key(number)) is not None for number in range(3)] == [False, True, True]


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-2000])


def bit_turned(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def emptied(path):
    path.write_bytes(b"")


def of_another_place(path):
    shutil.copy(path.parents[1] / "2" / path.name, path)


def unmarked(path):
    with Image.open(path) as image:
        pixels = np.array(image)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("harm", [cut_off, bit_turned, emptied, of_another_place, unmarked])
def test_a_damaged_file_is_deleted_and_missed(tmp_path, harm, caplog):
    kept = cache(tmp_path)
    kept.put(key(1), block(1))
    kept.put(key(2), block(2))
    (path,) = tmp_path.rglob("1/0.png")
    harm(path)
    assert kept.get(key(1)) is None
    assert not path.exists()
    assert "is damaged" in caplog.text
    kept.put(key(1), block(1))
    assert np.array_equal(kept.get(key(1)), block(1))


def test_a_world_whose_cache_is_damaged_paints_the_same_pixels(tmp_path):
    before = cheap_world(cache=tmp_path).tile(2, 1, 1)
    for number, path in enumerate(sorted(tmp_path.rglob("*.png"))):
        (cut_off, bit_turned, emptied)[number % 3](path)
    world = cheap_world(cache=tmp_path)
    assert np.array_equal(world.tile(2, 1, 1), before)
    assert world.counts["damaged"] == world.counts["painted"] == 4


def test_what_was_not_asked_for_longest_goes_first(tmp_path):
    cache(tmp_path).put(key(0), block(0))
    one = stored(tmp_path)
    kept = cache(tmp_path, max_bytes=4 * one + one // 2)
    for number in range(1, 4):
        kept.put(key(number), block(number))
    for age, path in enumerate(sorted(tmp_path.rglob("*.png"), key=lambda path: int(path.parent.name))):
        os.utime(path, (1000 + age, 1000 + age))
    assert kept.get(key(0)) is not None  # now it is the newest
    kept.put(key(4), block(4))
    assert [kept.get(key(number)) is not None for number in range(5)] == [True, False, True, True, True]
    assert stored(tmp_path) <= kept._max_bytes


def test_worlds_share_the_bytes_of_a_folder_and_strangers_files_are_left_alone(tmp_path):
    (tmp_path / "holiday.png").write_bytes(bytes(1_000_000))
    old = cache(tmp_path, fingerprint="a" * 64)
    old.put(key(0), block(0))
    cache(tmp_path, fingerprint="b" * 64, max_bytes=stored(tmp_path / f"world-{'a' * 32}") // 2)
    assert old.get(key(0)) is None
    assert (tmp_path / "holiday.png").stat().st_size == 1_000_000


def test_what_a_killed_process_left_is_swept(tmp_path):
    kept = cache(tmp_path)
    kept.put(key(1), block(1))
    (path,) = tmp_path.rglob("*.png")
    fresh, stale = path.with_name(".0.png.1.1.part"), path.with_name(".0.png.2.2.part")
    for part in (fresh, stale):
        part.write_bytes(b"half a block")
    os.utime(stale, (1000, 1000))
    cache(tmp_path)
    assert (fresh.exists(), stale.exists()) == (True, False)


def test_threads_that_write_and_evict_together_leave_only_whole_files(tmp_path):
    one = cache(tmp_path / "one", max_bytes=1 << 30)
    one.put(key(0), block(0))
    kept = cache(tmp_path / "many", max_bytes=6 * stored(tmp_path / "one"))

    def use(number: int) -> bool:
        kept.put(key(number % 10), block(number % 10))
        found = kept.get(key((number * 7) % 10))
        return found is None or np.array_equal(found, block((number * 7) % 10))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, range(60)))
    assert kept.counts["damaged"] == 0
    assert stored(tmp_path / "many") <= kept._max_bytes * 17 // 16


def test_a_full_disk_costs_the_file_and_not_the_block(tmp_path, monkeypatch, caplog):
    kept = cache(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    assert np.array_equal(kept.put(key(1), block(1)), block(1))
    assert "No space left" in caplog.text
    assert [*tmp_path.rglob("*.p*")] == []


def test_a_negative_size_is_refused():
    with pytest.raises(RequestError, match="0 or more"):
        cache(None, max_bytes=-1)
