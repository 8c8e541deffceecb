"""Which of the planned tiles are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rasters import write

from git10m.errors import RegionError
from git10m.grid import Tile, quadkey_number, tile_centres
from git10m.recipe import Cities, Sampling, Strata
from git10m.sampling import Plan, major_tom_cells, sampled
from git10m.sampling.cities import distances_km
from git10m.sampling.major_tom import cell_centres, cell_indices
from git10m.sampling.rules import draws
from git10m.sampling.strata import classes_of


def plan_of(tiles: list[tuple[int, int, int]], *, groups: int = 1) -> Plan:
    """A plan of tiles (level, x, y), each in so many groups, in the order of plans."""
    level, x, y = np.array(sorted(tiles), dtype=np.int64).reshape(-1, 3).T
    order = np.lexsort((quadkey_number(x, y), level))
    columns = [np.repeat(values[order], groups) for values in (level, x, y)]
    group = np.tile(np.arange(groups, dtype=np.int32), len(level))
    x32, y32 = (values.astype(np.int32) for values in columns[1:])
    return Plan(columns[0].astype(np.int8), x32, y32, group, np.full(len(group), -1, dtype=np.int32))


def square(level: int, x: int, y: int, side: int) -> list[tuple[int, int, int]]:
    return [(level, x + i, y + j) for i in range(side) for j in range(side)]


def keys(plan: Plan) -> set[tuple[int, int, int, int]]:
    return set(zip(*(v.tolist() for v in (plan.level, plan.x, plan.y, plan.group)), strict=True))


def take(plan: Plan, **said: Any) -> Plan:
    return sampled(plan, Sampling.model_validate(said))


FIELD = plan_of(square(14, 8800, 5500, 100))


def test_all_takes_all():
    assert take(FIELD) is FIELD
    assert take(FIELD, seed=7) is FIELD


def test_a_share_is_kept_whatever_the_seed_and_holds_the_smaller_one():
    for seed in (0, 1, 2**40):
        tenth, half = (take(FIELD, method="random", share=share, seed=seed) for share in (0.1, 0.5))
        assert abs(len(tenth) - 1000) < 120  # four standard deviations
        assert abs(len(half) - 5000) < 200
        assert keys(tenth) <= keys(half)
    assert keys(take(FIELD, method="random", share=0.1, seed=0)) != keys(
        take(FIELD, method="random", share=0.1, seed=1)
    )


def test_a_draw_depends_on_the_tile_alone():
    part = plan_of(square(14, 8850, 5550, 10))
    wide = dict(zip(zip(FIELD.x.tolist(), FIELD.y.tolist(), strict=True), draws(FIELD, seed=3).tolist(), strict=True))
    own = dict(zip(zip(part.x.tolist(), part.y.tolist(), strict=True), draws(part, seed=3).tolist(), strict=True))
    assert all(wide[place] == draw for place, draw in own.items())


def test_draws_are_even_and_neighbours_independent():
    number = draws(FIELD, seed=5)
    assert number.min() >= 0.0
    assert number.max() < 1.0
    counts = np.histogram(number, bins=20, range=(0, 1))[0]
    assert ((counts - 500) ** 2 / 500).sum() < 45  # chi-square, 19 degrees of freedom, p < 0.001
    assert abs(np.corrcoef(number[:-1], number[1:])[0, 1]) < 0.04


def test_all_dates_of_a_tile_share_its_fate():
    plan = plan_of(square(14, 0, 0, 40), groups=3)
    taken = take(plan, method="random", share=0.3)
    places = {(x, y) for _, x, y, _ in keys(taken)}
    assert len(taken) == 3 * len(places)


def test_counts_are_exact_and_the_smaller_sample_lies_in_the_larger():
    assert len(take(FIELD, method="random", count=777)) == 777
    assert keys(take(FIELD, method="random", count=100)) <= keys(take(FIELD, method="random", count=777))
    both = plan_of(square(13, 4400, 2750, 30) + square(14, 8800, 5500, 60))
    capped = take(both, most_per_level=500)
    assert {level: int((capped.level == level).sum()) for level in (13, 14)} == {13: 500, 14: 500}


def test_levels_have_their_shares():
    both = plan_of(square(13, 4400, 2750, 30) + square(14, 8800, 5500, 60))
    taken = take(both, level_shares={13: 0.25, 14: 0.75}, count=400)
    assert (int((taken.level == 13).sum()), int((taken.level == 14).sum())) == (100, 300)
    largest = take(both, level_shares={13: 0.5, 14: 0.5})  # the 900 tiles of level 13 set the size
    assert (int((largest.level == 13).sum()), int((largest.level == 14).sum())) == (900, 900)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_without_overlap_no_taken_tile_lies_in_another_and_none_could_be_added(seed: int, down: int):
    tiles = square(10, 500, 300, 3) + square(10 + down, 500 << down, 300 << down, 3 << down) + square(14, 8000, 4800, 9)
    plan = plan_of(sorted(set(tiles)), groups=2)
    taken = {Tile(level, x, y) for level, x, y, _ in keys(take(plan, no_overlap=True, seed=seed))}

    def related(tile: Tile) -> bool:
        return any(
            one.level < other.level and other.parent(other.level - one.level) == one
            for kept in taken
            for one, other in ((tile, kept), (kept, tile))
        )

    assert not any(related(tile) for tile in taken)
    left = {Tile(*tile) for tile in tiles} - taken
    assert all(related(tile) for tile in left)


def test_tiles_gather_around_towns_as_a_gaussian():
    lon, lat = np.array([14.42]), np.array([50.09])
    plan = plan_of(square(15, 17600, 11000, 220))
    x, y = plan.x.astype(np.int64), plan.y.astype(np.int64)
    distance = distances_km(15, x, y, towns=(lon, lat), most_km=1000.0)
    import pyproj

    tile_lon, tile_lat = tile_centres(15, x, y)
    exact = pyproj.Geod(ellps="sphere").inv(np.full(len(x), 14.42), np.full(len(x), 50.09), tile_lon, tile_lat)[2]
    assert np.allclose(distance, np.asarray(exact) / 1000.0, rtol=1e-3)
    assert np.isinf(distances_km(15, x, y, towns=(lon + 90, lat), most_km=50.0)).all()


def test_nearer_tiles_are_taken_more_often(tmp_path: Path):
    import geopandas

    towns = tmp_path / "towns.geojson"
    geopandas.GeoDataFrame(geometry=[shapely.Point(14.42, 50.09)], crs="EPSG:4326").to_file(towns)
    plan = plan_of(square(15, 17600, 11000, 220))
    taken = take(plan, method="cities", cities={"path": str(towns), "sigma_km": 10}, seed=2)
    number = distances_km(
        15,
        plan.x.astype(np.int64),
        plan.y.astype(np.int64),
        towns=(np.array([14.42]), np.array([50.09])),
        most_km=1000.0,
    )
    chosen = np.isin(plan.x.astype(np.int64) << 32 | plan.y, taken.x.astype(np.int64) << 32 | taken.y)
    for near, far in ((0, 5), (5, 10), (10, 15), (15, 20)):
        ring = (number >= near) & (number < far)
        expected = np.exp(-0.5 * (number[ring] / 10.0) ** 2)
        spread = 4.5 * np.sqrt((expected * (1 - expected)).sum())
        assert abs(chosen[ring].sum() - expected.sum()) < spread
    assert Cities().sigma_km == 20.0


def test_the_built_in_towns_are_where_people_live():
    paris, sahara = plan_of(square(12, 2070, 1405, 8)), plan_of(square(12, 2100, 1790, 8))
    assert len(take(paris, method="cities")) > 50
    with pytest.raises(RegionError, match=r"sampling \(method = 'cities'\) leaves none of 64 tiles"):
        take(sahara, method="cities", cities={"sigma_km": 2})


def reference_cell(lon: float, lat: float, cell_km: float) -> str:
    """The grid as its paper builds it: lists of latitudes and longitudes, and the last one below the point."""
    rows = int(np.ceil(np.pi * 6378.137 / cell_km))
    lats = np.sort(np.mod(np.linspace(-90, 90, rows + 1)[:-1], 180) - 90)
    row = int(np.searchsorted(lats, lat, side="right")) - 1
    zero = int(np.searchsorted(lats, -1e-9))
    around = 2 * np.pi * 6378.137 * np.cos(np.radians(lats[row]))
    columns = int(np.ceil(around / cell_km))
    lons = np.sort(np.mod(np.linspace(-180, 180, columns + 1)[:-1], 360) - 180)
    column = int(np.searchsorted(lons, lon, side="right")) - 1
    middle = int(np.searchsorted(lons, -1e-9))
    if column < 0:
        column = len(lons) - 1
    up, right = row - zero, column - middle
    return f"{abs(up)}{'U' if up >= 0 else 'D'}_{abs(right)}{'R' if right >= 0 else 'L'}"


@settings(max_examples=300, deadline=None)
@given(st.floats(-179.999, 179.999), st.floats(-84.9, 84.9), st.sampled_from([5.0, 10.0, 100.0, 320.0]))
def test_cells_are_those_of_the_paper(lon: float, lat: float, cell_km: float):
    (name,) = major_tom_cells(np.array([lon]), np.array([lat]), cell_km=cell_km)
    nudged = {reference_cell(lon + dx, lat + dy, cell_km) for dx in (-1e-7, 0, 1e-7) for dy in (-1e-7, 0, 1e-7)}
    assert name in nudged


def test_cells_are_named_from_the_origin():
    names = major_tom_cells(np.array([0.01, -0.01, 0.01]), np.array([0.01, -0.01, -0.01]), cell_km=10.0)
    assert names == ["0U_0R", "1D_1L", "1D_0R"]


def test_each_cell_and_level_gives_one_tile_next_to_its_centre():
    plan = plan_of(square(15, 17600, 11000, 64) + square(14, 8800, 5500, 32), groups=2)
    taken = take(plan, method="major_tom", cell_km=10)
    for level in (14, 15):
        for group in (0, 1):
            own = taken.taken((taken.level == level) & (taken.group == group))
            lon, lat = tile_centres(level, own.x.astype(np.int64), own.y.astype(np.int64))
            cells = major_tom_cells(lon, lat, cell_km=10)
            assert len(set(cells)) == len(cells)
            everywhere = tile_centres(level, plan.x[plan.level == level].astype(np.int64), plan.y[plan.level == level])
            assert set(cells) == set(major_tom_cells(*everywhere, cell_km=10))
            middle = cell_centres(*cell_indices(lon, lat, cell_km=10), cell_km=10)
            inside = (np.abs(lat - middle[1]) < 0.02) & (np.abs(lon - middle[0]) < 0.03)
            assert inside.mean() > 0.7  # but for cells that the plan holds in part


def class_raster(path: Path) -> Path:
    """Codes 10 in the west, 80 in the east; mercator, 64 tiles of level 14 around (8800, 5500)."""
    from rasterio.transform import from_bounds

    west, south, _, _ = Tile(14, 8800, 5507).bounds_m
    _, _, east, north = Tile(14, 8807, 5500).bounds_m
    codes = np.full((1, 512, 512), 10, dtype=np.uint8)
    codes[:, :, 320:] = 80
    codes[:, 448:, :] = 0
    transform = from_bounds(west, south, east, north, 512, 512)
    return write(path, codes, crs="EPSG:3857", transform=transform, nodata=0)


def test_a_tile_has_the_class_that_most_of_it_shows(tmp_path: Path):
    plan = plan_of(square(14, 8800, 5500, 8))
    strata = Strata(path=str(class_raster(tmp_path / "cover.tif")))
    found = classes_of(14, plan.x.astype(np.int64), plan.y.astype(np.int64), strata=strata)
    for x, y, name in zip((plan.x - 8800).tolist(), (plan.y - 5500).tolist(), found.tolist(), strict=True):
        assert name == ("" if y == 7 else "10" if x < 5 else "80")


def test_strata_give_equal_numbers(tmp_path: Path):
    plan = plan_of(square(14, 8800, 5500, 8))
    path = str(class_raster(tmp_path / "cover.tif"))
    for said, expected in (({}, (21, 21)), ({"most": 5}, (5, 5)), ({"classes": ["80"]}, (0, 21))):
        taken = take(plan, method="stratified", strata={"path": path, **said})
        west = int((taken.x < 8805).sum())
        assert (west, len(taken) - west) == expected
        assert (taken.y < 5507).all()


def test_strata_of_polygons(tmp_path: Path):
    import geopandas

    north = Tile(14, 8800, 5500).bounds
    middle = Tile(14, 8804, 5504).bounds
    frame = geopandas.GeoDataFrame(
        {"use": ["forest", "town"]},
        geometry=[shapely.box(north[0], middle[3], middle[0], north[3]), shapely.box(*middle)],
        crs="EPSG:4326",
    )
    path = tmp_path / "use.gpkg"
    frame.to_file(path)
    plan = plan_of(square(14, 8800, 5500, 8))
    taken = take(plan, method="stratified", strata={"path": str(path), "attribute": "use", "most": 3})
    assert len(taken) == 4
    assert (8804, 5504) in {(x, y) for _, x, y, _ in keys(taken)}


def test_images_without_a_place_are_subject_to_counts_alone():
    nothing = np.zeros(50, dtype=np.int32)
    listed = Plan(nothing.astype(np.int8), nothing, nothing, nothing, np.arange(50, dtype=np.int32))
    assert len(take(listed, method="major_tom")) == 50
    assert len(take(listed, method="random", count=10)) == 10
    assert 10 < len(take(listed, method="random", share=0.5)) < 40


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"method": "random"}, "needs share = 0.1 or count"),
        ({"method": "stratified"}, "go together"),
        ({"strata": {"path": "x"}}, "go together"),
        ({"cities": {}}, "needs method = 'cities'"),
        ({"level_shares": {14: 0.5}}, "add up to 0.5, not to 1"),
    ],
)
def test_rules_that_contradict_each_other_are_told(said: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Sampling.model_validate(said)
