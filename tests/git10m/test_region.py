"""Areas and the tiles that they touch, against mercantile and against brute force."""

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import mercantile
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from git10m.errors import RegionError, SourceError
from git10m.grid import MAX_LATITUDE, Tile
from git10m.recipe import Region
from git10m.region import area_of, tiles_touching, unwrap


def touched(area: Any, level: int) -> list[tuple[int, int]]:
    """All (x, y) in the order they come."""
    return [pair for x, y in tiles_touching(area, level) for pair in zip(x.tolist(), y.tolist(), strict=True)]


def brute_force(area: Any, level: int) -> set[tuple[int, int]]:
    """Every tile of a level whose box in degrees shares ground with the area."""
    side = 2**level
    return {
        (x, y)
        for x in range(side)
        for y in range(side)
        if shapely.box(*Tile(level, x, y).bounds).intersection(area).area > 1e-9
    }


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    west, south = draw(st.floats(-179.9, 179.0)), draw(st.floats(-84.9, 84.0))
    width, height = draw(st.floats(0.001, 3.0)), draw(st.floats(0.001, 3.0))
    return west, south, min(179.9, west + width), min(84.9, south + height)


def off_the_lines(bbox: tuple[float, float, float, float], level: int) -> bool:
    """Whether no side of a box lies on a line of the grid, where the last bit decides what touches."""
    corners = [mercantile.tile(bbox[0], bbox[3], 26), mercantile.tile(bbox[2], bbox[1], 26)]
    inner = 2 ** (26 - level)
    return all(4 < number % inner < inner - 4 for corner in corners for number in (corner.x, corner.y))


@given(boxes(), st.integers(0, 11))
def test_a_box_touches_the_tiles_that_mercantile_lists(bbox: tuple[float, float, float, float], level: int):
    assume(off_the_lines(bbox, level))
    found = touched(shapely.box(*bbox), level)
    assert len(found) == len(set(found))
    assert set(found) == {(tile.x, tile.y) for tile in mercantile.tiles(*bbox, zooms=level)}


@pytest.mark.parametrize("level", range(7, 19))
def test_every_level_down_to_18_agrees(level: int):
    width = 4.0 * 360.0 / 2**level
    bbox = (14.4137, 50.0211, 14.4137 + width, 50.0211 + width)
    assert set(touched(shapely.box(*bbox), level)) == {(t.x, t.y) for t in mercantile.tiles(*bbox, zooms=level)}


@given(st.integers(0, 22), st.integers(0, 2**22 - 1), st.integers(0, 2**22 - 1))
def test_a_tiles_own_outline_touches_that_tile_alone(level: int, x: int, y: int):
    tile = Tile(level, x % 2**level, y % 2**level)
    assert touched(shapely.box(*tile.bounds), level) == [(tile.x, tile.y)]


def test_a_box_across_the_antimeridian_has_tiles_on_both_sides():
    area = area_of(Region(bbox=(179.0, -1.0, -179.0, 1.0)))
    theirs = {(tile.x, tile.y) for tile in mercantile.tiles(179.0, -1.0, -179.0, 1.0, zooms=10)}
    found = touched(area, 10)
    assert set(found) == theirs
    assert len(found) == len(theirs)
    assert {x for x, _ in found} == {0, 1, 2, 1021, 1022, 1023}


def test_longitudes_may_run_on_either_side_of_the_antimeridian():
    east, west = shapely.box(179.0, -1.0, 181.0, 1.0), shapely.box(-181.0, -1.0, -179.0, 1.0)
    assert set(touched(east, 9)) == set(touched(west, 9))


@pytest.mark.parametrize("level", range(7))
def test_holes_and_several_parts_agree_with_brute_force(level: int):
    ring = shapely.box(-60, -50, 60, 50).difference(shapely.box(-40, -35, 42, 37))
    island = shapely.Polygon([(120, 10), (150, 25), (130, 40)])
    area = shapely.MultiPolygon([ring, island])
    assert set(touched(area, level)) == brute_force(area, level)


def test_the_whole_globe_is_every_tile_once():
    for level in range(6):
        assert sorted(touched(shapely.box(-180, -90, 180, 90), level)) == sorted(
            (x, y) for x in range(2**level) for y in range(2**level)
        )


@pytest.mark.parametrize("bbox", [(10, 85.5, 20, 89), (10, -90, 20, -85.2)])
def test_ground_beyond_the_grid_has_no_tiles(bbox: tuple[float, float, float, float]):
    assert touched(shapely.box(*bbox), 8) == []


def test_a_box_that_reaches_the_pole_stops_at_the_rim():
    assert {y for _, y in touched(shapely.box(10, 84.5, 12, 90), 9)} == set(range(mercantile.tile(10, 84.5, 9).y + 1))
    assert mercantile.tile(10, MAX_LATITUDE, 9).y == 0


def test_lines_and_points_in_a_collection_share_no_ground():
    square = shapely.box(10, 10, 20, 20)
    mixed = shapely.GeometryCollection([square, shapely.LineString([(40, 0), (50, 0)]), shapely.Point(60, 0)])
    assert set(touched(mixed, 6)) == set(touched(square, 6))
    assert touched(shapely.LineString([(40, 0), (50, 0)]), 6) == []


def test_memory_holds_a_piece_and_not_the_area():
    tracemalloc.start()
    try:
        count, largest = 0, 0
        for x, _ in tiles_touching(shapely.box(0.01, 0.01, 22.4, 21.9), 14):
            count, largest = count + len(x), max(largest, len(x))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 1_000_000
    assert largest <= 65_536
    assert peak < 8 * 2**20  # a million pairs of int64 would be 16 MiB


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        ((10, 50, 11, 50), "is empty: south 50.0 is not below north 50.0"),
        ((10, 51, 11, 50), "is empty: south 51.0"),
        ((10, 50, 10, 51), "is empty; give one with an area"),
        ((200, 50, 210, 51), "must be \\[west, south, east, north\\] in degrees"),
        ((500000, 5500000, 510000, 5510000), "in degrees"),
        ((float("nan"), 0, 1, 1), "in degrees"),
    ],
)
def test_bad_boxes_are_refused(bbox: tuple[float, float, float, float], message: str):
    with pytest.raises(RegionError, match=message):
        area_of(Region(bbox=bbox))


def write_geojson(path: Path, geometries: list[Any]) -> Path:
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(g)} for g in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def test_the_polygons_of_a_file_are_joined(tmp_path: Path):
    one, other = shapely.box(14, 50, 14.5, 50.5), shapely.box(14.4, 50.2, 15, 50.7)
    file = write_geojson(tmp_path / "area.geojson", [one, other, shapely.Point(0, 0)])
    area = area_of(Region(file=str(file)))
    assert area.equals(one.union(other))


def test_a_file_in_another_crs_is_brought_to_degrees(tmp_path: Path):
    import geopandas

    square = shapely.box(14, 50, 15, 51)
    frame = geopandas.GeoDataFrame(geometry=[square], crs="OGC:CRS84").to_crs("EPSG:32633")
    frame.to_file(tmp_path / "area.gpkg", driver="GPKG")
    found = area_of(Region(file=str(tmp_path / "area.gpkg")))
    assert found.symmetric_difference(square).area < 1e-9


def test_points_need_a_distance_around_them(tmp_path: Path):
    file = write_geojson(tmp_path / "points.geojson", [shapely.Point(14, 50)])
    with pytest.raises(RegionError, match=r"points\.geojson: holds no polygons but Points; say buffer_km"):
        area_of(Region(file=str(file)))
    area = area_of(Region(file=str(file), buffer_km=5))
    assert area_km2(area) == pytest.approx(math.pi * 25, rel=2e-3)


def area_km2(area: Any) -> float:
    """Of polygons in degrees, on the ellipsoid."""
    return abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(shapely.geometry.polygon.orient(area))[0]) / 1e6


@pytest.mark.parametrize("lat", [0.0, 47.0, -69.5, 84.0])
@pytest.mark.parametrize("lon", [8.5, 179.99, -179.99])
def test_a_buffer_is_as_large_on_the_ground_everywhere(lon: float, lat: float):
    area = area_of(Region(points=[(lon, lat)], buffer_km=30))
    assert area_km2(area) == pytest.approx(math.pi * 900, rel=2e-3)
    found = {(int(x), int(y)) for xs, ys in tiles_touching(area, 9) for x, y in zip(xs, ys, strict=True)}
    tile = Tile.from_lonlat(lon, lat, 9)
    assert (tile.x, tile.y) in found


def test_a_buffer_around_a_pole_reaches_all_longitudes():
    area = area_of(Region(points=[(30.0, 86.0)], buffer_km=1000))
    assert len({int(x) for xs, _ in tiles_touching(area, 4) for x in xs}) == 16
    assert not area_of(Region(points=[(30.0, -89.0)], buffer_km=300)).intersects(shapely.box(-180, -80, 180, 90))


def test_a_buffer_follows_a_line_across_the_antimeridian(tmp_path: Path):
    file = write_geojson(tmp_path / "line.geojson", [shapely.LineString([(179.5, 10), (180.5, 10)])])
    area = area_of(Region(file=str(file), buffer_km=10))
    length_km = pyproj.Geod(ellps="WGS84").inv(179.5, 10, -179.5, 10)[2] / 1000
    assert area_km2(area) == pytest.approx(length_km * 20 + math.pi * 100, rel=0.02)


def named_areas(path: Path) -> Path:
    import geopandas

    frame = geopandas.GeoDataFrame(
        {"NAME": ["West", "East"], "code": [1, 2]},
        geometry=[shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)],
        crs="EPSG:4326",
    )
    frame.to_file(path, layer="outlines")
    return path


def test_an_outline_is_found_by_its_name(tmp_path: Path):
    file = str(named_areas(tmp_path / "admin.gpkg"))
    assert area_of(Region(file=file, where={"NAME": "East"})).bounds == (2, 0, 3, 1)
    assert area_of(Region(file=file, layer="outlines", where={"code": 1})).bounds == (0, 0, 1, 1)
    assert area_of(Region(file=file, where={"NAME": ("West", "East")})).area == pytest.approx(2.0)
    with pytest.raises(RegionError, match=r"admin\.gpkg: no column 'NAM'; did you mean 'NAME'\?"):
        area_of(Region(file=file, where={"NAM": "East"}))
    with pytest.raises(RegionError, match=r"no feature has NAME = 'Easst'; did you mean 'East'\?"):
        area_of(Region(file=file, where={"NAME": "Easst"}))
    with pytest.raises(SourceError, match=r"layer 'roads' of it cannot be read"):
        area_of(Region(file=file, layer="roads"))


def test_a_country_of_the_real_outlines(imagery: Path):
    import geopandas

    file = next((imagery / "vectors").glob("*countr*"), None) or pytest.skip("no country outlines")
    frame = geopandas.read_file(file)
    column = next(name for name in ("NAME", "name", "ADMIN", "admin") if name in frame.columns)
    name = frame[column].iloc[0]
    area = area_of(Region(file=str(file), where={column: str(name)}))
    assert area.area == pytest.approx(frame[frame[column] == name].union_all().area, rel=1e-6)


def test_what_is_excluded_is_cut_out(tmp_path: Path):
    lake = write_geojson(tmp_path / "lake.geojson", [shapely.box(0.2, 0.2, 0.4, 0.4)])
    area = area_of(Region(bbox=(0, 0, 1, 1), exclude=(str(lake), (0.5, 0.5, 1, 1))))
    assert area.area == pytest.approx(1 - 0.04 - 0.25)
    across = area_of(Region(bbox=(170, 0, -170, 10), exclude=((-180, 0, -175, 10),)))
    assert across.area == pytest.approx(150)
    with pytest.raises(RegionError, match="is empty once exclude is cut out"):
        area_of(Region(bbox=(0, 0, 1, 1), exclude=((-1, -1, 2, 2),)))


def test_holes_stay_holes(tmp_path: Path):
    ring = shapely.box(0, 0, 3, 3).difference(shapely.box(1, 1, 2, 2))
    area = area_of(Region(file=str(write_geojson(tmp_path / "ring.geojson", [ring]))))
    assert area.area == pytest.approx(8)
    assert not area.intersects(shapely.Point(1.5, 1.5))


def test_a_ring_that_steps_across_the_antimeridian_is_opened_out(tmp_path: Path):
    ring = shapely.Polygon([(178, 0), (-178, 0), (-178, 4), (178, 4)])
    area = area_of(Region(file=str(write_geojson(tmp_path / "fiji.geojson", [ring]))))
    assert area.area == pytest.approx(16)
    found = {int(x) for xs, _ in tiles_touching(area, 8) for x in xs}
    assert found == {254, 255, 0, 1}


def test_a_ring_around_a_pole_is_closed_over_it(tmp_path: Path):
    ring = shapely.Polygon([(lon, -70.0) for lon in (-150, -90, -30, 30, 90, 150)])
    area = area_of(Region(file=str(write_geojson(tmp_path / "south.geojson", [ring]))))
    assert area.bounds[1] == -90.0
    assert len({int(x) for xs, _ in tiles_touching(area, 4) for x in xs}) == 16


def test_a_file_that_is_no_vector_file_is_named(tmp_path: Path):
    (tmp_path / "area.geojson").write_text("not a map", encoding="utf-8")
    with pytest.raises(SourceError, match=r"area\.geojson: cannot be read as a vector file"):
        area_of(Region(file=str(tmp_path / "area.geojson")))


def test_unwrapped_longitudes_have_no_jumps():
    ring = np.array([179.0, -179.0, -178.0, 179.5])
    assert unwrap(ring).tolist() == [179.0, 181.0, 182.0, 179.5]
