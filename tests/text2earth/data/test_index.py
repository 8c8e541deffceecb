"""Scans, and what is kept of them."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_models import row, write_dataset

from git10m import records
from text2earth.data import Examples, RowFilter, View, batches, index_cache, mixture, scan
from text2earth.data import index as of_index
from text2earth.errors import ShardError


@pytest.fixture
def reads(monkeypatch, tmp_path):
    """Shards that scans have opened, with a cache of the test's own."""
    monkeypatch.setenv("TEXT2EARTH_CACHE", str(tmp_path / "cache"))
    opened, scanned = [], of_index._scanned

    def counted(file, *, rows):
        opened.append(file.name)
        return scanned(file, rows=rows)

    monkeypatch.setattr(of_index, "_scanned", counted)
    return opened


def test_a_second_scan_reads_no_shard(reads, tmp_path):
    path = str(write_dataset(tmp_path / "d", rows=40, tile_px=16, shards=4, group_rows=3))
    first = scan(path, rows=RowFilter(where="level > 14"))
    assert len(reads) == 4
    second = scan(path, rows=RowFilter(where="level > 14"))
    assert len(reads) == 4
    assert second.identity == first.identity and second.files == first.files
    for name in ("group_file", "group_number", "ends", "row", "level"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype and one.tolist() == other.tolist()
    view = View(16)
    both = [[each.names for each in batches(Examples(index, view=view, seed=0), positions=[[0, 9, 19]])]
            for index in (first, second)]  # fmt: skip
    assert both[0] == both[1]


def test_another_filter_a_new_shard_or_a_changed_one_is_scanned_anew(reads, tmp_path):
    folder = write_dataset(tmp_path / "d", rows=40, tile_px=16, shards=4)
    scan(str(folder), rows=RowFilter())
    scan(str(folder), rows=RowFilter(where="level > 14"))
    assert len(reads) == 8
    extra = folder / "data" / "train-00004-of-00005.parquet"
    pq.write_table(records.table([row(99, tile_px=16)]), extra)
    assert scan(str(folder), rows=RowFilter()).rows == 41
    pq.write_table(records.table([row(99, tile_px=16), row(100, tile_px=16)]), extra)
    assert scan(str(folder), rows=RowFilter()).rows == 42
    same_size = extra.stat()
    os.utime(extra, ns=(same_size.st_atime_ns, same_size.st_mtime_ns + 1))
    before = len(reads)
    scan(str(folder), rows=RowFilter())
    assert len(reads) == before + 5


def test_a_damaged_entry_and_a_folder_that_cannot_be_written_do_no_harm(reads, tmp_path, monkeypatch):
    path = str(write_dataset(tmp_path / "d", rows=4, tile_px=16))
    scan(path, rows=RowFilter())
    (entry,) = (tmp_path / "cache" / "indexes").glob("*.arrow")
    entry.write_bytes(entry.read_bytes()[:100])
    assert scan(path, rows=RowFilter()).rows == 4 and len(reads) == 2
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TEXT2EARTH_CACHE", str(tmp_path / "file"))
    assert scan(path, rows=RowFilter()).rows == 4 and len(reads) == 3


def test_old_entries_go(reads, tmp_path, monkeypatch):
    monkeypatch.setattr(index_cache, "_MOST_ENTRIES", 3)
    path = str(write_dataset(tmp_path / "d", rows=40, tile_px=16))
    for least in range(6):
        scan(path, rows=RowFilter(min_quality=float(least)))
    assert len(list((tmp_path / "cache" / "indexes").glob("*.arrow"))) == 3


def test_a_mixture_names_all_its_parts(tmp_path):
    one = scan(str(write_dataset(tmp_path / "a", rows=10, tile_px=16)), rows=RowFilter())
    other = scan(str(write_dataset(tmp_path / "b", rows=6, tile_px=24, group_rows=2)), rows=RowFilter(levels=(15,)))
    both = mixture([one, other], weights=[1.0, 3.0])
    assert both.rows == 12 and both.identity.levels == ((14, 6), (15, 6))
    assert both.identity.fingerprint not in (one.identity.fingerprint, other.identity.fingerprint)
    assert mixture([one, other], weights=[1.0, 2.0]).identity.fingerprint != both.identity.fingerprint
    found = Examples(both, view=View(16), seed=0)
    sizes = [found._tile(*place).pixels.shape[0] for place in found.places(range(12)).tolist()]
    assert sorted(sizes) == [16] * 3 + [24] * 9
    assert sorted(both.captions()) == sorted([*one.captions(), *other.captions()])


def test_bits_that_rot_are_found_counted_and_named(tmp_path):
    """Shards carry checksums of their pages: a page that fails one costs its row group, not the run."""
    folder = write_dataset(tmp_path / "d", rows=40, tile_px=16)
    (shard,) = (folder / "data").glob("*.parquet")
    from git10m.shards import write_table

    table = pq.read_table(shard)
    write_table(table, shard, row_group_rows=10)
    index = scan(str(folder), rows=RowFilter())
    image = table["image"][25].as_py()["bytes"]
    content = bytearray(shard.read_bytes())
    content[content.index(image) + 300] ^= 0x10
    shard.write_bytes(content)
    batch = next(batches(Examples(index, view=View(16), seed=0), positions=[list(range(40))]))
    assert len(batch.names) == 40
    rotten = {name for name, reason in batch.skipped if "its row group cannot be read" in reason}
    assert rotten == {f"{shard.name}, row group 2, row {row}" for row in range(10)}


def test_a_column_that_a_filter_wants_must_be_there(tmp_path):
    table = records.table([row(0, tile_px=16)]).select(["image", "caption"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ShardError, match=r"min_quality was given, but the rows have no img_quality_score"):
        scan(str(tmp_path), rows=RowFilter(min_quality=4.8))
    with pytest.raises(ShardError, match=r"reads 'licence', which the rows have not"):
        scan(str(tmp_path), rows=RowFilter(where="licence == 'CC0-1.0'"))


def test_levels_of_large_tables_stay_small(tmp_path):
    table = pa.table({"image": [{"bytes": b"", "path": ""}] * 3, "caption": ["a"] * 3, "level": [300, -4, 17]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert scan(str(tmp_path), rows=RowFilter()).level.tolist() == [0, 0, 17]
