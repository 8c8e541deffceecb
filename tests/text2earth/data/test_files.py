"""Where shards are found: folders, globs, buckets; and in which formats."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_models import texture, write_dataset

from text2earth.conditioning import Condition
from text2earth.data import Examples, RowFilter, View, batches, scan
from text2earth.errors import ShardError


def png(seed, size=16):
    encoded = io.BytesIO()
    Image.fromarray(texture("water", level=14, seed=seed, size=size)).save(encoded, "PNG")
    return {"bytes": encoded.getvalue(), "path": f"{seed}.png"}


def table(first, count=10):
    """Git-10M's own columns; every third row is of a public set, without a place."""
    numbers = range(first, first + count)
    placed = [number % 3 != 0 for number in numbers]
    return pa.table(
        {
            "image": [png(number) for number in numbers],
            "img_name": [f"{number}.jpg" for number in numbers],
            "img_quality_score": [float(number % 10) for number in numbers],
            "caption": [f"caption {number}" for number in numbers],
            "resolution": [2.0 if here else None for here in placed],
            "Google_location": [
                f"16_{number}_7" if here else None for number, here in zip(numbers, placed, strict=True)
            ],
        }
    )


def names(path, **filters):
    index = scan(str(path), rows=RowFilter(**filters))
    found = Examples(index, view=View(16), seed=0)
    return sorted(found[counter].name for counter in range(index.rows))


def test_a_glob_takes_what_it_says(tmp_path):
    for folder, first in (("a/x", 0), ("a/y", 10), ("b/x", 20)):
        (tmp_path / folder).mkdir(parents=True)
        pq.write_table(table(first), tmp_path / folder / "part.parquet")
    (tmp_path / "a" / "index.parquet").write_bytes(b"never read")
    assert len(names(tmp_path)) == 30
    assert len(names(tmp_path / "a/*/part.parquet")) == 20
    assert len(names(tmp_path / "*/x/*.parquet")) == 20
    assert len(names(tmp_path / "**/part.parquet")) == 30
    assert names(tmp_path / "[!a]/**/*.parquet") == names(tmp_path / "b/x/part.parquet")
    with pytest.raises(ShardError, match=r"c/\*\.parquet was given as dataset, but there is no file"):
        names(tmp_path / "c/*.parquet")


@pytest.mark.parametrize("kind", ["stream", "file"])
@pytest.mark.parametrize("form", ["caption", "text"])
def test_arrow_files_read_as_parquet_does(tmp_path, kind, form):
    """Git-10M is published as Arrow streams, in a form with captions and an older one with prefixed texts."""
    rows = table(0, 25)
    if form == "text":
        levels = [16 if location else 0 for location in rows["Google_location"].to_pylist()]
        texts = [
            f"{level}_GOOGLE_LEVEL_{text}" for level, text in zip(levels, rows["caption"].to_pylist(), strict=True)
        ]
        rows = pa.table({"image": rows["image"], "img_name": rows["img_name"], "text": texts})
    opened = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with pa.OSFile(str(tmp_path / "data-00000-of-00001.arrow"), "wb") as file, opened(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=10)
    index = scan(str(tmp_path), rows=RowFilter())
    assert (index.groups, index.rows) == (3, 25)
    examples = Examples(index, view=View(16), seed=0)
    found = {example.name: example for example in (examples[counter] for counter in range(25))}
    assert len(found) == 25
    for number in (0, 7, 13, 24):
        example = found[f"{number}.jpg"]
        level = 16 if number % 3 else 0
        assert (example.condition.prompt, example.condition.level) == (f"caption {number}", level)
        assert np.array_equal(example.pixels, np.asarray(Image.open(io.BytesIO(png(number)["bytes"]))))
    assert len(names(tmp_path, levels=(0,))) == 9


def test_a_level_is_read_from_the_resolution_where_the_location_is_missing(tmp_path):
    rows = table(0, 3).drop_columns("Google_location").set_column(4, "resolution", pa.array([0.5, None, 3.0]))
    pq.write_table(rows, tmp_path / "a.parquet")
    index = scan(str(tmp_path), rows=RowFilter())
    assert index.level.tolist() == [18, 0, 15]


def test_both_forms_may_stand_side_by_side(tmp_path):
    pq.write_table(table(0), tmp_path / "a.parquet")
    older = pa.table({"image": [png(50)], "text": ["12_GOOGLE_LEVEL_A lake"]})
    pq.write_table(older, tmp_path / "b.parquet")
    examples = Examples(scan(str(tmp_path), rows=RowFilter()), view=View(16), seed=0)
    assert Condition("A lake", 12) in {examples[counter].condition for counter in range(11)}


def test_a_bucket_gives_the_batches_of_the_folder(tmp_path, s3_server):
    write_dataset(tmp_path / "d" / "set", rows=12, tile_px=16, shards=2, group_rows=3)
    bucket = s3_server.fill(tmp_path / "d", bucket="shards")
    here = scan(str(tmp_path / "d" / "set"), rows=RowFilter())
    there = scan(f"{bucket}/set", rows=RowFilter())
    assert there.identity == here.identity
    assert {file.path for file in there.files} == {
        f"{bucket}/set/data/train-{shard:05d}-of-00002.parquet" for shard in range(2)
    }
    positions = [[0, 1, 2, 3], [20, 21]]
    read = [list(batches(Examples(each, view=View(16), seed=3), positions=positions)) for each in (here, there)]
    for one, other in zip(*read, strict=True):
        assert one.names == other.names and one.pixels.equal(other.pixels)
    assert scan(f"{bucket}/set/data/*-00001-of-*.parquet", rows=RowFilter()).rows == 6
    with pytest.raises(ShardError, match=r"s3://shards/none was given as dataset, but there is no file"):
        scan(f"{bucket}/none", rows=RowFilter())


def test_a_bucket_that_refuses_is_named(tmp_path, s3_server, monkeypatch):
    write_dataset(tmp_path / "d" / "set", rows=2, tile_px=16)
    bucket = s3_server.fill(tmp_path / "d", bucket="closed")
    from text2earth.data import files

    files._bucket.cache_clear()
    with s3_server.locked(), pytest.raises(ShardError, match=r"cannot be listed .*; check the address, and the keys"):
        scan(f"{bucket}/set", rows=RowFilter())


def test_an_address_of_an_unknown_kind_is_refused():
    with pytest.raises(ShardError, match=r"ftp://host cannot be opened .*give a path, or an address s3:// or gs://"):
        scan("ftp://host/set", rows=RowFilter())


def test_a_stream_that_breaks_off_is_named(tmp_path):
    rows = table(0, 25)
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=10)
    whole = (tmp_path / "a.arrow").read_bytes()
    (tmp_path / "a.arrow").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ShardError, match=r"a\.arrow is damaged .*build or fetch it again"):
        scan(str(tmp_path), rows=RowFilter())
