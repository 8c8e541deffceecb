"""Which tiles a build asks for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from made_rasters import PRAGUE, around, mosaic, noise, on_the_grid, smooth, source, write

from git10m.grid import Tile, quadkey_number
from git10m.recipe import RasterSource, Tiles
from git10m.sampling import Plan, plan_tiles
from git10m.sources.mosaic import Mosaic

TILE = Tile.from_lonlat(*PRAGUE, 14)


def utm(path: Path, *, pixel: float = 6.0, size: int = 700) -> RasterSource:
    transform = around(*PRAGUE, crs="EPSG:32633", pixel=pixel, size=size)
    return source(write(path, smooth(size, size), crs="EPSG:32633", transform=transform, photometric="RGB"))


def planned(made: Mosaic, *levels: int, oversample: bool = False, area: object = None) -> list[tuple[int, int, int]]:
    plan = plan_tiles(replace(made, oversample=oversample), Tiles(levels=levels), area=area)
    return list(zip(plan.level.tolist(), plan.x.tolist(), plan.y.tolist(), strict=True))


def test_every_tile_that_the_scene_touches_is_planned_once_and_no_other(tmp_path: Path):
    made = mosaic(utm(tmp_path / "a.tif"))
    (outline,) = made.outlines
    for level in (10, 12, 14):
        found = planned(made, level)
        assert len(found) == len(set(found))
        centre = Tile.from_lonlat(*PRAGUE, level)
        around_it = [Tile(level, centre.x + i, centre.y + j) for i in range(-6, 7) for j in range(-6, 7)]
        expected = {
            (level, tile.x, tile.y)
            for tile in around_it
            if shapely.box(*tile.bounds).intersection(outline).area > 1e-12
        }
        assert set(found) == expected


def test_levels_that_are_too_fine_are_left_out_unless_oversampling_is_asked(tmp_path: Path):
    made = mosaic(utm(tmp_path / "a.tif", pixel=20.0))
    assert {level for level, _, _ in planned(made, 11, 12, 13, 14)} == {11, 12}
    assert {level for level, _, _ in planned(made, 11, 12, 13, 14, oversample=True)} == {11, 12, 13, 14}


def test_support_is_judged_tile_by_tile(tmp_path: Path):
    """A mercator raster of one pixel size is coarser on the ground at the equator than in the north."""
    transform = on_the_grid(Tile(4, 8, 4))
    file = write(tmp_path / "a.tif", noise(1024, 256, bands=3), transform=transform, photometric="RGB")
    made = mosaic(source(file))
    found = planned(made, 4, 5)
    assert {level for level, _, _ in found} == {4}
    assert {y for _, _, y in found} == {4, 5, 6, 7}


def test_an_area_of_interest_limits_the_plan(tmp_path: Path):
    made = mosaic(utm(tmp_path / "a.tif"))
    inner = shapely.box(*TILE.bounds)
    assert planned(made, 14, area=inner) == [(14, TILE.x, TILE.y)]
    assert planned(made, 14, area=shapely.box(0, 0, 1, 1)) == []


def test_an_area_across_the_antimeridian_meets_scenes_on_both_sides(tmp_path: Path):
    sources = []
    for name, lon in (("west", 179.9), ("east", -179.9)):
        transform = around(lon, -17.0, crs="EPSG:4326", pixel=0.0005, size=200)
        file = write(
            tmp_path / f"{name}.tif", smooth(200, 200), crs="EPSG:4326", transform=transform, photometric="RGB"
        )
        sources.append(source(file).model_copy(update={"id": name}))
    found = planned(mosaic(*sources), 9, area=shapely.box(179.0, -18.0, 181.0, -16.0))
    assert {x for _, x, _ in found} == {511, 0}


def test_a_source_may_have_levels_of_its_own(tmp_path: Path):
    first = utm(tmp_path / "a.tif").model_copy(update={"levels": (12,)})
    assert {level for level, _, _ in planned(mosaic(first), 10, 11)} == {12}


def test_overlapping_scenes_of_a_group_are_one_plan_and_dates_are_several(tmp_path: Path):
    for year in (2019, 2020):
        utm(tmp_path / f"a_{year}.tif")
    together = mosaic(source(tmp_path, date_pattern=r"_(\d{4})", dates="mosaic"))
    apart = mosaic(source(tmp_path, date_pattern=r"_(\d{4})"))
    once, twice = planned(together, 14), planned(apart, 14)
    assert len(once) == len(set(once))
    assert sorted(twice) == sorted(once * 2)


def test_the_plan_is_sorted_by_level_quadkey_and_group(tmp_path: Path):
    for year in (2019, 2020):
        utm(tmp_path / f"a_{year}.tif")
    plan = plan_tiles(mosaic(source(tmp_path, date_pattern=r"_(\d{4})")), Tiles(levels=(12, 13, 14)))
    keys = [(request.tile.level, request.tile.quadkey, request.group) for request in plan.requests(0, len(plan))]
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys))


def test_nothing_to_plan_is_an_empty_plan(tmp_path: Path):
    plan = plan_tiles(mosaic(utm(tmp_path / "a.tif")), Tiles(levels=(20,)))
    assert len(plan) == 0
    assert plan.unit_bounds(10) == [0]
    assert list(plan.requests(0, 0)) == []


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    cells = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=200, unique=True))
    x, y = np.array(cells).T
    order = np.argsort(quadkey_number(x, y))
    x, y = x[order].astype(np.int32), y[order].astype(np.int32)
    nothing = np.zeros(len(x), dtype=np.int32)
    return Plan(np.full(len(x), 10, dtype=np.int8), x, y, nothing, nothing - 1)


@given(plans(), st.integers(1, 100))
def test_units_cover_the_plan_and_never_divide_a_block(plan: Plan, rows: int):
    bounds = plan.unit_bounds(rows)
    assert bounds[0] == 0
    assert bounds[-1] == len(plan)
    assert all(after > before for before, after in pairwise(bounds))
    assert all(after - before >= rows for before, after in pairwise(bounds[:-1]))
    for bound in bounds[1:-1]:
        assert (plan.x[bound] // 8, plan.y[bound] // 8) != (plan.x[bound - 1] // 8, plan.y[bound - 1] // 8)


@given(plans(), st.integers(1, 300))
def test_a_thinned_plan_is_a_spread_part_of_it(plan: Plan, most: int):
    few = plan.thinned(most)
    assert len(few) == min(most, len(plan))
    whole = list(plan.requests(0, len(plan)))
    kept = list(few.requests(0, len(few)))
    positions = [whole.index(request) for request in kept]
    assert positions == sorted(set(positions))
    if len(kept) > 1:
        steps = np.diff(positions)
        assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize("turn", [-360.0, 0.0, 360.0])
def test_an_area_may_be_told_in_any_turn(turn: float, tmp_path: Path):
    made = mosaic(utm(tmp_path / "a.tif"))
    west, south, east, north = TILE.bounds
    assert planned(made, 14, area=shapely.box(west + turn, south, east + turn, north)) == [(14, TILE.x, TILE.y)]
