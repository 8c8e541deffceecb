"""Tiles → images: cuts, turns, other modalities, and the condition of the view."""

import datetime
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_models import row, texture

from git10m import records
from git10m.grid import Tile
from text2earth.data import Examples, RowFilter, View, batches, scan
from text2earth.errors import ShardError


def image(pixels):
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return {"bytes": encoded.getvalue(), "path": "x.png"}


def examples(path, table, view, *, images=()):
    pq.write_table(table, path / "a.parquet")
    return Examples(scan(str(path), rows=RowFilter(images=images)), view=view, seed=0, images=images)


def test_turns_and_flips_make_all_eight_forms(tmp_path):
    tile = texture("town", level=14, seed=3, size=16)
    found = examples(tmp_path, pa.table({"image": [image(tile)], "caption": ["a"]}), View(16, flips=True, turns=True))
    turned = [np.rot90(each, turns) for each in (tile, tile[::-1]) for turns in range(4)]
    met = [next(i for i, form in enumerate(turned) if np.array_equal(found[c].pixels, form)) for c in range(200)]
    assert set(met) == set(range(8))
    assert np.bincount(met).min() > 10


def test_turns_alone_mirror_nothing(tmp_path):
    tile = texture("town", level=14, seed=3, size=16)
    found = examples(tmp_path, pa.table({"image": [image(tile)], "caption": ["a"]}), View(16, turns=True))
    turned = {np.rot90(tile, turns).tobytes() for turns in range(4)}
    assert {found[counter].pixels.tobytes() for counter in range(60)} == turned


def test_other_modalities_are_cut_as_the_colour_image_is(tmp_path):
    """The near infrared is the green band here, the radar three bands: they must stay aligned through any view."""
    tile = texture("town", level=14, seed=3, size=64)
    table = pa.table(
        {
            "image": [image(tile)],
            "image_nir": [image(tile[..., 1])],
            "image_sar": [image(tile[..., ::-1])],
            "caption": ["a"],
            "level": [15],
        }
    )
    view = View(16, flips=True, turns=True)
    batch = next(batches(examples(tmp_path, table, view, images=("nir", "sar")), positions=[list(range(12))]))
    assert batch.images["nir"].shape == (12, 1, 16, 16) and batch.images["sar"].shape == (12, 3, 16, 16)
    assert batch.images["nir"].equal(batch.pixels[:, 1:2])
    assert batch.images["sar"].equal(batch.pixels.flip(1))
    small = next(batches(examples(tmp_path, table, View(16, "resize"), images=("nir",)), positions=[[0]]))
    assert small.images["nir"].equal(small.pixels[:, 1:2])


def test_rows_without_the_modality_are_left_out(tmp_path):
    tile = texture("water", level=14, seed=0, size=16)
    table = pa.table(
        {"image": [image(tile)] * 3, "image_nir": [image(tile[..., 0]), None, None], "caption": ["a", "b", "c"]}
    )
    assert len(examples(tmp_path, table, View(16), images=("nir",))) == 1
    with pytest.raises(ShardError, match=r"images 'sar' was given, but the rows have no image_sar; they have"):
        scan(str(tmp_path), rows=RowFilter(images=("sar",)))


def test_a_modality_of_another_size_is_named(tmp_path):
    tile = texture("water", level=14, seed=0, size=32)
    table = pa.table({"image": [image(tile)] * 2, "image_nir": [image(tile[..., 0]), image(tile[:16, :16, 0])]})
    found = examples(tmp_path, table.append_column("caption", [["a", "b"]]), View(16), images=("nir",))
    batch = next(batches(found, positions=[[0, 1]]))
    assert {reason for _, reason in batch.skipped} == {"image_nir is 16×16 px, not 32×32"}
    assert {name for name, _ in batch.skipped} == {"a.parquet, row group 0, row 1"}


def stated(**columns):
    tile = Tile(14, 8800, 5400)
    lon, lat = tile.centre
    values = {
        "lon": lon,
        "lat": lat,
        "gsd_m": tile.gsd_m(),
        "acquired_at": datetime.datetime(2021, 7, 9, tzinfo=datetime.UTC),
        "acquired_precision": "day",
        **columns,
    }
    return records.table([replace(row(0, tile_px=256), **values)])


def test_the_condition_is_what_the_row_states(tmp_path):
    said = examples(tmp_path, stated(), View(256))[0].condition
    tile = Tile(14, 8800, 5400)
    assert (said.level, said.month, said.source) == (14, 7, "textures")
    assert (said.lon, said.lat) == pytest.approx(tile.centre)
    assert said.gsd_m == pytest.approx(tile.gsd_m())


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"acquired_at": None}, "month"),
        ({"acquired_precision": "year"}, "month"),
        ({"gsd_m": None}, "gsd_m"),
        ({"gsd_m": float("nan")}, "gsd_m"),
        ({"lon": None, "lat": None}, "lat"),
        ({"source_id": ""}, "source"),
    ],
)
def test_what_a_row_does_not_tell_is_unknown(tmp_path, columns, field):
    assert getattr(examples(tmp_path, stated(**columns), View(256))[0].condition, field) is None


def test_averaging_down_grows_the_gsd_and_keeps_the_place(tmp_path):
    said = examples(tmp_path, stated(), View(64, "resize"))[0].condition
    tile = Tile(14, 8800, 5400)
    assert (said.level, said.gsd_m) == (12, pytest.approx(4 * tile.gsd_m()))
    assert (said.lon, said.lat) == pytest.approx(tile.centre)


def test_a_crop_has_its_own_place(tmp_path):
    """A quarter of a tile has its centre where the grid has the child tile's."""
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.mgrid[0:256, 0:256]
    encoded = image(picture)
    table = stated()
    table = table.set_column(0, table.schema.field("image"), pa.array([encoded], type=records.IMAGE))
    found = examples(tmp_path, table, View(128))
    tile = Tile(14, 8800, 5400)
    for counter in range(5):
        example = found[counter]
        top, left = (int(part) for part in example.pixels[0, 0, :2])
        # Bounds of the tile: west, south, east, north.
        west, south, east, north = tile.bounds
        assert example.condition.lon == pytest.approx(west + (east - west) * (left + 64) / 256, abs=1e-9)
        assert example.condition.lat == pytest.approx(north + (south - north) * (top + 64) / 256, abs=2e-6)
