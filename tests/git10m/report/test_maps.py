"""Where tiles are: places, outlines, the antimeridian, poles, and memory that does not grow."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from git10m.grid import MAX_LEVEL, Tile
from git10m.report import footprints
from git10m.report.footprints import Cells, Footprints, places, position, union
from git10m.report.maps import Colours, level_colour, place_map, world_map

NOTHING = Cells.of_tiles(np.empty((0, 3), np.int32))


def tiles_of(*tiles: Tile) -> np.ndarray:
    return np.array([(tile.level, tile.x, tile.y) for tile in tiles], np.int32)


def drawn(*tiles: Tile) -> str:
    cells = Cells.of_tiles(tiles_of(*tiles))
    colours = Colours(sorted({tile.level for tile in tiles}))
    return str(place_map(places(cells)[0], colours=colours, refused=NOTHING, towns=False))


def test_tiles_that_touch_are_one_place() -> None:
    near = [Tile.from_lonlat(14.4 + step / 50, 50.0, 15) for step in range(5)]
    far = [Tile.from_lonlat(-71.3, -33.4, 14)]

    found = places(Cells.of_tiles(tiles_of(*far, *near)))

    assert [place.tiles for place in found] == [5, 1]
    assert [place.number for place in found] == [1, 2]
    assert position(*found[1].centre) == "33.40° S, 71.29° W"


def test_a_place_goes_on_across_the_antimeridian() -> None:
    level = 9
    tiles = [Tile(level, x, 300) for x in (2**level - 2, 2**level - 1, 0, 1)]

    (place,) = places(Cells.of_tiles(tiles_of(*tiles)))

    left, _, right, _ = place.extent
    assert right - left == pytest.approx(4 / 2**level)
    assert abs(place.centre[0]) == pytest.approx(180.0)
    drawing = drawn(*tiles)
    assert ">180°<" in drawing
    outlines = re.search(r'class="tiles"[^>]* d="([^"]*)"', drawing).group(1)
    starts = sorted(float(x) for x in re.findall(r"M([-\d.]+)", outlines))
    widths = {float(w) for w in re.findall(r"h([\d.]+)v", outlines)}
    assert np.diff(starts) == pytest.approx([max(widths)] * 3, abs=0.2)  # side by side


def test_planned_tiles_across_the_antimeridian_are_drawn_beside_the_kept_ones() -> None:
    level = 9
    kept, refused = Tile(level, 2**level - 1, 300), Tile(level, 0, 300)
    (place,) = places(Cells.of_tiles(tiles_of(kept)))
    cells = Cells.of_tiles(tiles_of(refused))
    drawing = str(place_map(place, colours=Colours([level]), refused=cells, towns=False))
    assert re.search(r'class="refused" d="M[\d.]+ [\d.]+h', drawing)


@given(st.integers(1, MAX_LEVEL), st.floats(-179.9, 179.9), st.floats(-85, 85))
def test_a_tile_anywhere_can_be_drawn_within_its_frame(level: int, lon: float, lat: float) -> None:
    drawing = drawn(Tile.from_lonlat(lon, lat, level))
    outline = re.search(r'class="tiles"[^>]* d="M([-\d.]+) ([-\d.]+)h([\d.]+)v([\d.]+)h', drawing)
    assert outline is not None
    x, y, width, height = map(float, outline.groups())
    assert x >= 22 and x + width <= 396 and y >= 4 and y + height <= 270
    assert width == pytest.approx(height, abs=0.2)  # web mercator keeps squares


def test_a_scale_bar_is_as_long_as_it_says() -> None:
    tile = Tile.from_lonlat(10.0, 60.0, 14)
    drawing = drawn(tile)
    side = float(re.search(r'class="tiles"[^>]* d="M[-\d.]+ [-\d.]+h([\d.]+)', drawing).group(1))
    bar = float(re.search(r'class="bar" d="M[-\d.]+ [-\d.]+v4h([\d.]+)', drawing).group(1))
    text = re.search(r'class="scale"[^>]*>([\d.]+) (k?m)<', drawing)
    metres = float(text.group(1)) * (1000 if text.group(2) == "km" else 1)
    assert metres / bar == pytest.approx(256 * tile.gsd_m() / side, rel=0.005)


def test_many_tiles_are_drawn_as_their_parents() -> None:
    columns, rows = np.meshgrid(np.arange(60) + 70_000, np.arange(60) + 45_000)
    tiles = np.stack([np.full(3600, 17), columns.ravel(), rows.ravel()], axis=1)
    (place,) = places(Cells.of_tiles(tiles))
    drawing = str(place_map(place, colours=Colours([17]), refused=NOTHING, towns=True))
    assert 0 < re.search(r'class="tiles"[^>]* d="([^"]*)"', drawing).group(1).count("M") <= 600
    assert "outlines of 3600 tiles" in drawing


@pytest.mark.parametrize("lat", [-84.9, 84.9])
def test_the_world_shows_what_is_near_the_poles(lat: float) -> None:
    tile = Tile.from_lonlat(20.0, lat, 12)
    drawing = str(world_map(places(Cells.of_tiles(tiles_of(tile))), numbered=1))
    top, height = map(float, re.search(r'viewBox="-180 ([-\d.]+) 360 ([\d.]+)"', drawing).groups())
    y = float(re.search(r'class="occupied s1" d="M[-\d.]+ ([-\d.]+)h', drawing).group(1))
    assert top <= y <= top + height
    assert 'href="#place-1"' in drawing


def test_levels_have_colours_of_their_own() -> None:
    levels = list(range(10, 19))
    assert len({level_colour(level, levels) for level in levels}) == len(levels)
    assert level_colour(0, [0, 10]) not in {level_colour(10, [0, 10])}


def test_the_first_ten_sources_have_colours_of_their_own() -> None:
    colours = Colours([14], sources=[f"source {n}" for n in range(14)])
    assert len({colours.of_source(number) for number in range(11)}) == 11
    assert colours.legends()["source"][-1][0] == "4 more"


def test_what_most_of_a_cell_is_gives_its_colour() -> None:
    gathered = Footprints()
    for source, count in ((0, 3), (1, 5)):
        tiles = np.array([(15, 1000 + n % 2, 2000 + n // 2 % 2) for n in range(count)])
        gathered.add(tiles, source=np.full(count, source), split=np.full(count, source + 1))
    (parent,) = {
        (c.source.item(), c.split.item(), c.count.item(), c.x.item()) for c in [union(gathered.cells(), above=1)]
    }
    assert parent == (1, 2, 8, 500)


def test_memory_of_footprints_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprints, "MOST_CELLS", 2_000)
    generator = np.random.default_rng(0)
    gathered = Footprints()
    for _ in range(20):
        x, y = generator.integers(0, 2**16, (2, 1_000))
        gathered.add(
            np.stack([generator.choice([14, 16], 1_000), x >> 2, y >> 2], axis=1), split=generator.integers(0, 3, 1_000)
        )

    cells = gathered.cells()

    assert len(cells) <= 2_000
    assert cells.count.sum() == 20_000 and set(cells.by_level()) == {14, 16}
    left, top, right, bottom = cells.edges()
    assert left.min() >= 0 and right.max() <= 1 and top.min() >= 0 and bottom.max() <= 1
