"""The embedded default: scenes of an invented landscape."""

from __future__ import annotations

import hashlib
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.warp
import rasterio.windows
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT

from git10m.grid import gsd_m
from git10m.synthetic import DATES, LAND_COVER, write_scenes
from git10m.synthetic.parcels import area, cut, subdivide
from git10m.synthetic.surfaces import fractal_noise, hill_shade

SIZE_PX = 768

# rasterio 1.4 still composes transforms with the operator that affine 3.1 is retiring
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return {path.stem.removeprefix("synthetic_"): path for path in write_scenes(folder, seed=1, size_px=SIZE_PX)}


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.moveaxis(file.read(), 0, -1).squeeze()


def digests(paths: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_two_sensors_two_dates_and_their_land_cover(scenes):
    views = ("coast", "region")
    assert list(scenes) == [f"{view}_{what}" for view in views for what in (*DATES, "landcover")]
    assert {path.name for path in scenes["coast_landcover"].parent.iterdir()} == {p.name for p in scenes.values()}


def test_same_seed_same_bytes_and_another_seed_another_landscape(tmp_path):
    first = write_scenes(tmp_path / "first", seed=3, size_px=512)
    again = write_scenes(tmp_path / "again", seed=3, size_px=512)
    other = write_scenes(tmp_path / "other", seed=4, size_px=512)
    assert digests(first) == digests(again)
    assert not set(digests(first)) & set(digests(other))
    assert (pixels(first[2]) != pixels(other[2])).mean() > 0.3


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 1, "size_px": 100}])
def test_numbers_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected a seed of 0 or more and at least 512 pixels"):
        write_scenes(tmp_path / "never", **wrong)
    assert not (tmp_path / "never").exists()


def test_the_sensors_differ_in_crs_and_in_resolution(scenes):
    with rasterio.open(scenes[f"coast_{DATES[0]}"]) as file:
        assert file.crs.to_epsg() == 32623
        assert file.res == (2.4, 2.4)
    with rasterio.open(scenes[f"region_{DATES[0]}"]) as file:
        assert file.crs.to_epsg() == 4326
        lon, lat = file.lnglat()
        east, south = file.res
    assert east != south
    geodesic = pyproj.Geod(ellps="WGS84")
    assert geodesic.inv(lon, lat, lon + east, lat)[2] == pytest.approx(9.43, abs=0.05)
    assert geodesic.inv(lon, lat, lon, lat + south)[2] == pytest.approx(9.49, abs=0.05)


@pytest.mark.parametrize(("view", "native_m", "level"), [("coast", 2.4, 16), ("region", 9.49, 14)])
def test_each_sensor_supports_the_level_it_was_made_for(scenes, view, native_m, level):
    with rasterio.open(scenes[f"{view}_landcover"]) as file:
        _, lat = file.lnglat()
        assert gsd_m(level, lat) >= 0.8 * native_m > gsd_m(level + 1, lat)


def test_pictures_are_ordinary_rgb_geotiffs(scenes):
    for view in ("coast", "region"):
        for date in DATES:
            with rasterio.open(scenes[f"{view}_{date}"]) as file:
                assert file.count == 3
                assert file.dtypes == ("uint8",) * 3
                assert file.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
                assert file.shape == (SIZE_PX, SIZE_PX)
                assert file.block_shapes == [(256, 256)] * 3
                assert file.compression.name == "deflate"
                assert file.overviews(1) == [2, 4]
                assert file.tags()["TIFFTAG_DATETIME"] == date.replace("-", ":") + " 10:30:00"
                full = file.read(out_shape=(3, SIZE_PX // 2, SIZE_PX // 2), resampling=Resampling.average)
            with rasterio.open(scenes[f"{view}_{date}"], OVERVIEW_LEVEL=0) as overview:
                assert np.abs(overview.read().astype(int) - full).max() <= 1


def test_every_file_says_that_it_is_synthetic(scenes):
    for path in scenes.values():
        assert path.name.startswith("synthetic_")
        with rasterio.open(path) as file:
            tags = file.tags()
        assert tags["SYNTHETIC"] == "YES"
        assert "invented landscape" in tags["TIFFTAG_IMAGEDESCRIPTION"]
        assert tags["TIFFTAG_SOFTWARE"].startswith("git10m ")
        assert tags["SEED"] == "1"
        assert tags["DigitalSourceType"].endswith("/algorithmicMedia")


@pytest.mark.parametrize("view", ["coast", "region"])
def test_land_cover_lies_on_the_grid_of_its_pictures_and_names_its_classes(scenes, view):
    with (
        rasterio.open(scenes[f"{view}_landcover"]) as cover,
        rasterio.open(scenes[f"{view}_{DATES[1]}"]) as rgb,
    ):
        assert (cover.transform, cover.crs, cover.shape) == (rgb.transform, rgb.crs, rgb.shape)
        assert cover.nodata == 0
        assert {int(key.removeprefix("CLASS_")): name for key, name in cover.tags(1).items() if "CLASS_" in key} == (
            LAND_COVER
        )
        colours = cover.colormap(1)
    assert len({colours[number] for number in LAND_COVER}) == len(LAND_COVER)


@pytest.mark.parametrize("view", ["coast", "region"])
def test_every_class_is_there_and_none_takes_over(scenes, view):
    classes = pixels(scenes[f"{view}_landcover"])
    shares = {name: (classes == number).mean() for number, name in LAND_COVER.items()}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) > 0.0005, shares
    assert max(shares.values()) < 0.55, shares
    assert 0.05 < shares["water"] < 0.35, shares


@pytest.mark.parametrize("date", DATES)
@pytest.mark.parametrize("view", ["coast", "region"])
def test_land_cover_agrees_with_the_picture(scenes, view, date):
    rgb, classes = pixels(scenes[f"{view}_{date}"]).astype(float), pixels(scenes[f"{view}_landcover"])
    mean = {name: rgb[classes == number].mean(axis=0) for number, name in LAND_COVER.items()}
    red, _, blue = mean["water"]
    assert blue > red
    assert mean["water"].sum() < min(colour.sum() for name, colour in mean.items() if name not in ("water", "forest"))
    assert mean["forest"].sum() < mean["grassland"].sum()
    assert mean["forest"].argmax() == mean["grassland"].argmax() == 1 or date == DATES[1]
    assert mean["sand"].sum() > mean["farmland"].sum()
    assert np.ptp(mean["road"]) < np.ptp(mean["grassland"])


@pytest.mark.parametrize("view", ["coast", "region"])
def test_the_dates_show_one_landscape_in_two_seasons(scenes, view):
    spring, autumn = (pixels(scenes[f"{view}_{date}"]).astype(float) for date in DATES)
    classes = pixels(scenes[f"{view}_landcover"])
    change = np.abs(spring - autumn).mean(axis=-1)
    farmland, water = (change[classes == number].mean() for number in (3, 1))
    assert farmland > 3.0 * water


def on_the_coarse_grid(scenes, what: str, resampling: Resampling) -> tuple[np.ndarray, np.ndarray]:
    """Return the coast scene warped to the region's pixels, and the region there: (bands, h, w) each."""
    with rasterio.open(scenes[f"region_{what}"]) as region, rasterio.open(scenes[f"coast_{what}"]) as coast:
        inner = rasterio.warp.transform_bounds(coast.crs, region.crs, *coast.bounds)
        around = region.window(*inner)
        column, row = math.ceil(around.col_off) + 3, math.ceil(around.row_off) + 3
        window = rasterio.windows.Window(column, row, int(around.width) - 7, int(around.height) - 7)
        with WarpedVRT(
            coast,
            crs=region.crs,
            transform=region.window_transform(window),
            width=window.width,
            height=window.height,
            resampling=resampling,
        ) as warped:
            return warped.read().astype(float), region.read(window=window).astype(float)


def test_both_sensors_see_the_same_classes_where_they_overlap(scenes):
    fine, coarse = on_the_coarse_grid(scenes, "landcover", Resampling.mode)
    assert fine.shape[1] > 150
    assert (fine == coarse).mean() > 0.8
    water_agrees = ((fine == 1) & (coarse == 1)).sum() / ((fine == 1) | (coarse == 1)).sum()
    assert water_agrees > 0.95


def test_both_sensors_put_every_feature_at_the_same_place(scenes):
    fine, coarse = on_the_coarse_grid(scenes, DATES[0], Resampling.average)
    spectrum = np.fft.fft2(fine[1] - fine[1].mean()) * np.conj(np.fft.fft2(coarse[1] - coarse[1].mean()))
    correlation = np.fft.ifft2(spectrum).real
    peak = np.array(np.unravel_index(correlation.argmax(), correlation.shape))
    assert tuple(peak) == (0, 0)
    # sub-pixel: a parabola through the peak and its neighbours on each axis
    for axis in (0, 1):
        before, after = (np.roll(correlation, shift, axis=axis)[0, 0] for shift in (1, -1))
        shift_px = 0.5 * (before - after) / (before - 2.0 * correlation[0, 0] + after)
        assert abs(shift_px) < 0.1


@pytest.mark.parametrize("view", ["coast", "region"])
def test_most_tiles_are_not_featureless(scenes, view):
    luma = pixels(scenes[f"{view}_{DATES[0]}"]).astype(float) @ (0.299, 0.587, 0.114)
    classes = pixels(scenes[f"{view}_landcover"])
    windows = [
        np.s_[row : row + 192, column : column + 192] for row in range(0, 768, 192) for column in range(0, 768, 192)
    ]
    land = [window for window in windows if (classes[window] != 1).mean() > 0.5]
    assert len(land) >= 10
    assert all(luma[window].std() > 8.0 for window in land)


@given(st.integers(0, 2**32), st.floats(0.0, 3.2), st.floats(2.0, 40.0))
def test_cutting_keeps_the_whole_area(seed, angle, area_m2):
    rng = np.random.default_rng(seed)
    turns = np.sort(rng.uniform(0.0, 2.0 * np.pi, 7))
    outline = 10.0 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    normal = np.array([np.cos(angle), np.sin(angle)])
    below, above = cut(outline, float(rng.uniform(-9.0, 9.0)), normal)
    assert sum(area(part) for part in (below, above) if len(part)) == pytest.approx(area(outline))
    pieces = subdivide(outline, angle=angle, area_m2=area_m2, rng=rng)
    assert sum(area(piece) for piece in pieces) == pytest.approx(area(outline))


def test_fractal_noise_has_the_spectrum_it_was_asked_for():
    noise = fractal_noise(
        (512, 512), spacing_m=10.0, wavelengths_m=(40.0, 2000.0), hurst=0.6, rng=np.random.default_rng(0)
    )
    assert noise.std() == pytest.approx(1.0, abs=1e-4)
    power = np.abs(np.fft.fft2(noise)) ** 2
    frequency = np.hypot(np.fft.fftfreq(512, 10.0)[:, None], np.fft.fftfreq(512, 10.0)[None, :])
    edges = np.geomspace(1 / 1500.0, 1 / 45.0, 9)
    rings = [(frequency >= low) & (frequency < high) for low, high in pairwise(edges)]
    slope = np.polyfit(
        [np.log(frequency[ring]).mean() for ring in rings], [np.log(power[ring]).mean() for ring in rings], 1
    )[0]
    assert slope == pytest.approx(-(2 * 0.6 + 2), abs=0.15)
    assert power[(frequency > 1 / 39.0)].max() < 1e-4 * power.max()


def test_hill_shade_follows_horn():
    east, south = 0.3, -0.1
    columns, rows = np.meshgrid(np.arange(9) * 12.0, np.arange(9) * 12.0)
    plane = (100.0 + east * columns + south * rows).astype(np.float32)
    shade = hill_shade(plane, sun=(135.0, 40.0))[4, 4]
    sun = np.array([np.sin(2.356194) * np.cos(0.698132), np.cos(2.356194) * np.cos(0.698132), np.sin(0.698132)])
    normal = np.array([-east, south, 1.0]) / np.sqrt(1.0 + east**2 + south**2)
    assert shade == pytest.approx(sun @ normal / sun[2], abs=1e-4)
    assert hill_shade(np.zeros((5, 5), dtype=np.float32), sun=(10.0, 30.0)) == pytest.approx(1.0)
