import io
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_models import row, texture, write_dataset

from git10m import records
from git10m.grid import Tile
from text2earth.conditioning import Condition
from text2earth.data import Credit, Examples, RowFilter, View, batches, scan
from text2earth.errors import ShardError, UnreadableRowsError


def jpeg(pixels):
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return {"bytes": encoded.getvalue(), "path": "x.png"}


def write(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def test_scan_tells_what_the_card_needs(dataset):
    identity = scan(str(dataset), rows=RowFilter()).identity
    assert (identity.name, identity.version, identity.rows) == ("textures", "1", 48)
    assert identity.levels == ((14, 24), (15, 24))
    assert identity.credits == (Credit("textures", "CC0-1.0", "Nobody's imagery"),)
    assert identity.synthetic


@pytest.mark.parametrize("seed", [0, 7])
def test_every_row_once_an_epoch_in_an_order_of_its_own(dataset, seed):
    examples = Examples(scan(str(dataset), rows=RowFilter()), view=View(64), seed=seed)
    epochs = [[examples[counter].name for counter in range(48 * e, 48 * e + 48)] for e in range(3)]
    assert all(Counter(names).most_common(1)[0][1] == 1 and len(names) == 48 for names in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_many_row_groups_are_covered_exactly(tmp_path):
    index = scan(str(write_dataset(tmp_path / "d", rows=90, tile_px=16, shards=3, group_rows=1)), rows=RowFilter())
    assert index.groups == 90
    examples = Examples(index, view=View(16), seed=0)
    positions = [tuple(place) for place in examples.places(range(90)).tolist()]
    assert len(set(positions)) == 90
    # Shuffled over the whole set, not within the files alone.
    assert len({index.group_file[group] for group, _ in positions[:16]}) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_do_not_alter_the_batches(dataset, workers):
    index = scan(str(dataset), rows=RowFilter())
    positions = [[0, 1, 2], [50, 51, 52], [7, 8, 9]]
    here = list(batches(Examples(index, view=View(64), seed=1), positions=positions))
    there = list(batches(Examples(index, view=View(64), seed=1), positions=positions, workers=workers))
    assert [batch.names for batch in here] == [batch.names for batch in there]
    for one, other in zip(here, there, strict=True):
        assert one.conditions == other.conditions
        assert one.pixels.equal(other.pixels)


def test_batch_is_in_minus_one_to_one(dataset):
    examples = Examples(scan(str(dataset), rows=RowFilter()), view=View(64), seed=0)
    batch = next(batches(examples, positions=[[0, 1, 2, 3]]))
    assert batch.pixels.shape == (4, 3, 64, 64)
    assert -1.0 <= float(batch.pixels.min()) < float(batch.pixels.max()) <= 1.0
    back = ((batch.pixels[0].permute(1, 2, 0) + 1) * 127.5).round().numpy().astype(np.uint8)
    assert np.array_equal(back, examples[0].pixels)


def test_crop_is_a_piece_of_the_tile_and_keeps_the_level(tmp_path):
    tile = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3).astype(np.uint8)
    tile[..., 0], tile[..., 1] = np.mgrid[0:64, 0:64]
    table = pa.table({"image": [jpeg(tile)], "caption": ["a"], "level": [15]})
    index = scan(str(write(tmp_path / "a.parquet", table)), rows=RowFilter())
    examples = Examples(index, view=View(16), seed=0)
    places = set()
    for counter in range(20):
        found = examples[counter]
        top, left = (int(part) for part in found.pixels[0, 0, :2])
        assert np.array_equal(found.pixels, tile[top : top + 16, left : left + 16])
        assert found.condition == Condition("a", 15)
        places.add((top, left))
    assert len(places) > 15


def test_resize_is_the_area_mean_and_lowers_the_level(tmp_path):
    tile = texture("fields", level=14, seed=3, size=64)
    table = pa.table({"image": [jpeg(tile)], "caption": ["a"], "level": [15]})
    index = scan(str(write(tmp_path / "a.parquet", table)), rows=RowFilter())
    found = Examples(index, view=View(16, "resize"), seed=0)[0]
    assert found.condition == Condition("a", 13)
    mean = tile.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(found.pixels - mean).max() <= 0.5 + 1e-6


def test_flips_are_keyed_and_off_unless_asked(tmp_path):
    tile = texture("town", level=14, seed=3, size=16)
    table = pa.table({"image": [jpeg(tile)], "caption": ["a"], "level": [15]})
    index = scan(str(write(tmp_path / "a.parquet", table)), rows=RowFilter())
    plain = Examples(index, view=View(16), seed=0)
    assert all(np.array_equal(plain[counter].pixels, tile) for counter in range(8))
    flipped = Examples(index, view=View(16, flips=True), seed=0)
    forms = [tile, tile[::-1], tile[:, ::-1], tile[::-1, ::-1]]
    met = [next(i for i, form in enumerate(forms) if np.array_equal(flipped[c].pixels, form)) for c in range(40)]
    assert set(met) == {0, 1, 2, 3}


def test_git10ms_own_columns_tell_the_level(tmp_path):
    """Seven columns, no level: it stands in ``Google_location``; public sets have none."""
    rows = [(jpeg(texture("water", level=14, seed=n, size=16)), f"{n}.jpg") for n in range(3)]
    table = pa.table(
        {
            "image": [image for image, _ in rows],
            "img_name": [name for _, name in rows],
            "img_quality_score": [5.0, None, 4.0],
            "caption": ["a", "b", "c"],
            "caption_length": [1, 1, 1],
            "resolution": [2.0, None, 4.0],
            "Google_location": ["16_5_7", None, "15_5_7"],
        }
    )
    path = str(write(tmp_path / "a.parquet", table))
    found = Examples(scan(path, rows=RowFilter()), view=View(16), seed=0)
    conditions = {found[c].condition.prompt: found[c].condition for c in range(3)}
    assert {prompt: said.level for prompt, said in conditions.items()} == {"a": 16, "b": 0, "c": 15}
    # Place and true GSD follow from the location: the centre of the tile, not the corner of the card's formula.
    tile = Tile(16, 5, 7)
    assert (conditions["a"].lon, conditions["a"].lat) == tile.centre
    assert conditions["a"].gsd_m == pytest.approx(tile.gsd_m())
    assert conditions["b"].lon is None and conditions["b"].gsd_m is None
    assert scan(path, rows=RowFilter(min_quality=4.8)).rows == 1
    assert scan(path, rows=RowFilter(levels=(0, 15))).rows == 2


def test_git10ms_older_text_column(tmp_path):
    image = jpeg(texture("water", level=14, seed=0, size=16))
    table = pa.table({"image": [image, image], "text": ["16_GOOGLE_LEVEL_A harbour", "0_GOOGLE_LEVEL_A field"]})
    found = Examples(scan(str(write(tmp_path / "a.parquet", table)), rows=RowFilter()), view=View(16), seed=0)
    assert {found[c].condition for c in range(2)} == {Condition("A harbour", 16), Condition("A field", 0)}


def test_splits_of_a_bare_file(tmp_path):
    table = records.table([row(0, tile_px=16), row(1, tile_px=16, split="test")])
    path = str(write(tmp_path / "a.parquet", table))
    assert scan(path, rows=RowFilter()).rows == 1
    assert scan(path, rows=RowFilter(split="test")).rows == 1


def test_unreadable_rows_are_replaced_counted_and_named(tmp_path):
    rows = [row(number, tile_px=16) for number in range(12)]
    table = records.table(rows)
    images = table["image"].to_pylist()
    images[3] = {"bytes": b"not an image", "path": "x"}
    images[5] = {"bytes": images[5]["bytes"][:200], "path": "x"}
    images[7] = None
    broken = table.set_column(0, table.schema.field("image"), pa.array(images, type=records.IMAGE))
    index = scan(str(write(tmp_path / "data.parquet", broken)), rows=RowFilter())
    batch = next(batches(Examples(index, view=View(16), seed=0), positions=[list(range(12))]))
    assert len(batch.names) == 12
    assert set(batch.names) == {rows[n].img_name for n in range(12) if n not in (3, 5, 7)}
    assert {name for name, _ in batch.skipped} == {f"data.parquet, row group 0, row {n}" for n in (3, 5, 7)}


def test_tiles_smaller_than_the_image_are_an_error(tmp_path):
    index = scan(str(write_dataset(tmp_path / "d", rows=4, tile_px=16)), rows=RowFilter())
    with pytest.raises(UnreadableRowsError, match=r"16×16 px is smaller than the image size 64"):
        Examples(index, view=View(64), seed=0)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file"),
        (b"no parquet", "is not a readable parquet or Arrow file"),
        (pa.table({"a": [1]}), r"has the columns \['a'\]; 'image' and 'caption'"),
    ],
)
def test_what_is_no_dataset_is_refused(tmp_path, content, message):
    if isinstance(content, bytes):
        (tmp_path / "a.parquet").write_bytes(content)
    elif content is not None:
        pq.write_table(content, tmp_path / "a.parquet")
    with pytest.raises(ShardError, match=message):
        scan(str(tmp_path), rows=RowFilter())


def test_a_filter_that_nothing_passes_is_refused(dataset):
    with pytest.raises(ShardError, match=r"no row of .* passes the filter"):
        scan(str(dataset), rows=RowFilter(levels=(3,)))


def test_turns_are_by_quarters_and_drawn_by_the_counter(dataset):
    index = scan(str(dataset), rows=RowFilter())
    straight = Examples(index, view=View(64, "resize"), seed=0)
    turned = Examples(index, view=View(64, "resize", turns=True), seed=0)
    quarters = Counter()
    for counter in range(48):
        before, after = straight[counter].pixels, turned[counter].pixels
        quarters[next(k for k in range(4) if np.array_equal(np.rot90(before, k), after))] += 1
    assert set(quarters) == {0, 1, 2, 3}
    assert np.array_equal(turned[5].pixels, turned[5].pixels)
