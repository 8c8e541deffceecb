"""The tile grid against mercantile and morecantile."""

import math

import mercantile
import morecantile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from git10m import grid
from git10m.grid import MAX_LEVEL, Tile

lons = st.floats(-179.999, 179.999)
lats = st.floats(-85.0, 85.0)
levels = st.integers(0, MAX_LEVEL)


@st.composite
def tiles(draw: st.DrawFn, *, coarsest: int = 0, finest: int = MAX_LEVEL) -> Tile:
    level = draw(st.integers(coarsest, finest))
    number = st.integers(0, 2**level - 1)
    return Tile(level, draw(number), draw(number))


def oracle(tile: Tile) -> mercantile.Tile:
    return mercantile.Tile(tile.x, tile.y, tile.level)


@given(tiles())
def test_bounds_in_degrees_are_mercantiles(tile: Tile):
    theirs = mercantile.bounds(oracle(tile))
    assert tile.bounds == pytest.approx((theirs.west, theirs.south, theirs.east, theirs.north), abs=1e-9)


@given(tiles())
def test_bounds_in_metres_are_mercantiles(tile: Tile):
    theirs = mercantile.xy_bounds(oracle(tile))
    assert tile.bounds_m == pytest.approx((theirs.left, theirs.bottom, theirs.right, theirs.top), abs=1e-6)


@given(tiles(finest=20))
def test_bounds_in_metres_are_morecantiles(tile: Tile):
    theirs = morecantile.tms.get("WebMercatorQuad").xy_bounds(morecantile.Tile(tile.x, tile.y, tile.level))
    assert tile.bounds_m == pytest.approx((theirs.left, theirs.bottom, theirs.right, theirs.top), abs=1e-6)


@given(tiles())
def test_the_centre_is_where_the_diagonals_cross_in_mercator(tile: Tile):
    west, south, east, north = tile.bounds_m
    lon, lat = mercantile.lnglat((west + east) / 2, (south + north) / 2)
    assert tile.centre == pytest.approx((lon, lat), abs=1e-9)


@given(tiles())
def test_quadkeys_are_mercantiles_and_lead_back(tile: Tile):
    assert tile.quadkey == mercantile.quadkey(oracle(tile))
    assert Tile.from_quadkey(tile.quadkey) == tile


@given(tiles())
def test_the_quadkey_number_is_the_quadkey_read_in_base_4(tile: Tile):
    number = grid.quadkey_number(np.array([tile.x]), np.array([tile.y]))[0]
    assert number == int(tile.quadkey or "0", 4)


@given(tiles(coarsest=1))
def test_parents_and_children_are_mercantiles(tile: Tile):
    parent = mercantile.parent(oracle(tile))
    assert tile.parent() == Tile(parent.z, parent.x, parent.y)
    siblings = {Tile(child.z, child.x, child.y) for child in mercantile.children(parent)}
    assert set(tile.parent().children()) == siblings
    assert tile in siblings
    assert tile.quadkey.startswith(tile.parent().quadkey)


@given(tiles(finest=19), st.integers(0, 3))
def test_descendants_tile_their_ancestor(tile: Tile, down: int):
    below = list(tile.children(down))
    assert len(set(below)) == 4**down
    assert {each.parent(down) for each in below} == {tile}


@given(lons, lats, levels)
def test_the_tile_of_a_point_is_mercantiles(lon: float, lat: float, level: int):
    ours = Tile.from_lonlat(lon, lat, level)
    theirs = mercantile.tile(lon, lat, level)
    # On the very edge between two tiles the last bit of a logarithm decides; both answers are then right.
    x, y = (float(value) * 2**level for value in grid.lonlat_to_xy(lon, lat))
    on_edge = min(abs(x - round(x)), abs(y - round(y))) < 1e-6
    assert on_edge or (ours.x, ours.y, ours.level) == (theirs.x, theirs.y, theirs.z)


@given(tiles())
def test_the_centre_lies_in_its_tile(tile: Tile):
    assert Tile.from_lonlat(*tile.centre, tile.level) == tile


@pytest.mark.parametrize(("lon", "lat"), [(-180.0, 90.0), (180.0, -90.0), (180.0, 0.0)])
def test_points_on_the_rim_of_the_grid_belong_to_its_last_tile(lon: float, lat: float):
    tile = Tile.from_lonlat(lon, lat, 5)
    assert tile == Tile(5, 31 if lon > 0 else 0, {90.0: 0, -90.0: 31, 0.0: 16}[lat])


@given(tiles())
def test_the_cards_location_formula_gives_the_north_west_corner(tile: Tile):
    # As the published card has it: z, x, y out of "z_x_y".
    z, x, y = (int(number) for number in tile.name.split("_"))
    n = 2**z
    lon = x / n * 360 - 180
    lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / n))))
    west, _, _, north = tile.bounds
    assert (lon, lat) == pytest.approx((west, north), abs=1e-9)


def test_a_pixel_of_level_17_at_the_equator_is_1_194_metres():
    assert grid.gsd_m(17, 0.0) == 1.194328566955879
    assert grid.gsd_m(17, 0.0, tile_size=512) == 1.194328566955879 / 2


@pytest.mark.parametrize("level", range(10, 19))
def test_the_nominal_resolution_is_true_at_33_degrees_only(level: int):
    nominal = grid.nominal_resolution_m(level)
    assert nominal == 2.0 ** (17 - level)
    assert grid.gsd_m(level, 33.145) == pytest.approx(nominal, rel=1e-5)
    assert grid.gsd_m(level, -33.145) == pytest.approx(nominal, rel=1e-5)
    assert nominal / grid.gsd_m(level, 60.0) == pytest.approx(1.67, abs=0.01)


@given(tiles())
def test_the_gsd_of_a_tile_is_that_of_its_centre(tile: Tile):
    metres = 2 * math.pi * grid.EARTH_RADIUS_M / (256 * 2**tile.level)
    assert tile.gsd_m() == pytest.approx(metres * math.cos(math.radians(tile.centre[1])))
    assert grid.pixel_size_m(tile.level) == pytest.approx(metres)


@given(tiles())
def test_many_centres_at_once_are_the_same(tile: Tile):
    lon, lat = grid.tile_centres(tile.level, np.array([tile.x]), np.array([tile.y]))
    assert (lon[0], lat[0]) == pytest.approx(tile.centre, abs=1e-12)


@pytest.mark.parametrize(
    ("level", "x", "y", "message"),
    [
        (23, 0, 0, "level 23 is outside 0–22"),
        (-1, 0, 0, "level -1"),
        (3, 8, 0, "x=8, y=0 is outside 0–7 at level 3"),
        (3, 0, -1, "y=-1"),
    ],
)
def test_a_tile_outside_the_grid_is_refused(level: int, x: int, y: int, message: str):
    with pytest.raises(ValueError, match=message):
        Tile(level, x, y)


def test_a_wrong_quadkey_is_refused():
    with pytest.raises(ValueError, match="holds '4'"):
        Tile.from_quadkey("0124")


def test_the_world_has_no_parent():
    with pytest.raises(ValueError, match="no parent"):
        Tile(0, 0, 0).parent()


def test_tiles_sort_by_level_column_row():
    assert sorted([Tile(2, 1, 0), Tile(1, 1, 1), Tile(2, 0, 3)]) == [Tile(1, 1, 1), Tile(2, 0, 3), Tile(2, 1, 0)]
