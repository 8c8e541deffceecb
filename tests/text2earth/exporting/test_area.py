import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git10m.grid import MAX_LATITUDE, Tile
from text2earth.errors import ExportError
from text2earth.exporting.area import Area, count_of, tiles_of
from text2earth.world.box import Box


@settings(max_examples=30)
@given(st.integers(1, 22), st.data())
def test_the_bounds_of_a_tile_are_its_pixels(zoom, data):
    side = 1 << zoom
    tile = Tile(zoom, data.draw(st.integers(0, side - 1)), data.draw(st.integers(0, side - 1)))
    bounds = [float(f"{degrees:.9f}") for degrees in tile.bounds]  # as they are written into files
    assert Area(*bounds).box(zoom) == Box(tile.x * 256, tile.y * 256, 256, 256)


def test_an_area_is_covered_by_whole_pixels():
    area = Area(10.0, 47.0, 10.1, 47.1)
    box = area.box(12)
    west, _, east, _ = Tile(12, box.x // 256, box.y // 256).bounds
    assert west <= 10.0 < east
    one_px = 360.0 / (256 << 12)
    assert (box.width - 2) * one_px < 0.1 <= box.width * one_px


def test_the_smallest_area_has_a_pixel():
    assert Area(10.0, 47.0, 10.0 + 1e-12, 47.0 + 1e-12).box(5).width == 1


def test_the_whole_world_is_one_tile_at_zoom_0():
    assert Area(-180.0, -90.0, 180.0, 90.0).box(0) == Box(0, 0, 256, 256)


@settings(max_examples=30)
@given(
    st.integers(0, 5),
    st.floats(-180, 180),
    st.floats(-180, 180),
    st.floats(-85, 84),
    st.floats(0.01, 80),
)
def test_tiles_are_those_that_the_pixels_touch(zoom, west, east, south, height):
    if west == east:
        return
    box = Area(west, south, east, min(south + height, 90.0)).box(zoom)
    side = 1 << zoom
    expected = {
        (zoom, (px // 256) % side, py // 256)
        for px in [*range(box.x, box.right, 256), box.right - 1]
        for py in [*range(box.y, box.bottom, 256), box.bottom - 1]
    }
    found = list(tiles_of(zoom, box))
    assert len(found) == len(set(found)) == count_of(zoom, box)
    assert set(found) == expected


def test_across_the_antimeridian_it_goes_on():
    area = Area(179.0, -1.0, -179.0, 1.0)
    assert area.box(8).right > 256 << 8
    assert {x for _, x, _ in tiles_of(8, area.box(8))} == {255, 0}
    assert area.centre == (180.0, 0.0)
    assert area.unwrapped == (-180.0, -1.0, 180.0, 1.0)


def test_neighbours_come_together():
    tiles = list(tiles_of(8, Area(-180.0, -90.0, 180.0, 90.0).box(8)))
    for start in range(0, len(tiles), 16):
        batch = tiles[start : start + 16]
        assert len({x for _, x, _ in batch}) == len({y for _, _, y in batch}) == 4


def test_tiles_are_not_listed_beforehand():
    box = Area(-180.0, -90.0, 180.0, 90.0).box(22)
    assert next(tiles_of(22, box)) == (22, 0, 0)
    assert count_of(22, box) == 4**22


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((5, 1, 5, 2), "it is empty"),
        ((5, 2, 6, 2), "it is empty"),
        ((5, 3, 6, 2), "it is empty"),
        ((-181, 1, 5, 2), "west and east are −180…180"),
        ((5, -91, 6, 2), "in the order west, south, east, north"),
        ((47.0, 180.0, 48.0, 181.0), "in the order west, south, east, north"),
        ((5, 86, 6, 89), "the world ends at ±85.0511"),
        ((5, -89, 6, -MAX_LATITUDE), "the world ends at ±85.0511"),
        ((float("nan"), 1, 5, 2), "four numbers are needed"),
    ],
)
def test_areas_that_cannot_be_are_refused(bounds, message):
    with pytest.raises(ExportError, match=message):
        Area(*bounds)
