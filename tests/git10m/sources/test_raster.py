"""Rasters as tiles: positions, masks, bands, stretch, resolution, and pixels against rio-tiler."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import rio_tiler.io
from made_rasters import (
    PRAGUE,
    around,
    mosaic,
    noise,
    on_the_grid,
    pixel_of,
    read,
    read_tile,
    scene,
    smooth,
    source,
    write,
)
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling
from rasterio.shutil import copy as copy_raster

from git10m.errors import BandsUnknownError, SourceError
from git10m.grid import Tile, gsd_m
from git10m.recipe import Tiles
from git10m.sampling import plan_tiles
from git10m.sources.raster import read_block
from git10m.sources.reading import Block, read_classes

LEVEL = 14
"""6.13 m a pixel over Prague."""
TILE = Tile.from_lonlat(*PRAGUE, LEVEL)
GREY, RED, GREEN, BLUE, NIR = (
    ColorInterp.gray,
    ColorInterp.red,
    ColorInterp.green,
    ColorInterp.blue,
    ColorInterp.undefined,
)


def difference(ours: np.ndarray, theirs: np.ndarray, where: np.ndarray) -> float:
    """Mean absolute difference in steps of 1/255."""
    return float(np.abs(ours.astype(float) - theirs.astype(float))[where].mean())


# --- position ------------------------------------------------------------------------------------------------------


def test_a_raster_on_the_grid_is_copied_pixel_for_pixel(tmp_path: Path):
    bands = noise(512, 768)
    file = write(tmp_path / "a.tif", bands, transform=on_the_grid(TILE), photometric="RGB")
    for column, row in ((0, 0), (1, 0), (2, 1)):
        pixels, valid = read_tile(file, Tile(LEVEL, TILE.x + column, TILE.y + row))
        assert valid.all()
        expected = bands[:, row * 256 : row * 256 + 256, column * 256 : column * 256 + 256]
        np.testing.assert_array_equal(pixels, np.moveaxis(expected, 0, -1))


@pytest.mark.parametrize(
    ("driver", "options"),
    [("COG", {}), ("VRT", {}), ("JP2OpenJPEG", {"QUALITY": "100", "REVERSIBLE": "YES"})],
)
def test_other_formats_give_the_pixels_of_a_geotiff(driver: str, options: dict[str, str], tmp_path: Path):
    transform = around(*PRAGUE, crs="EPSG:32633", pixel=6.0, size=600)
    plain = write(tmp_path / "a.tif", noise(600, 600), crs="EPSG:32633", transform=transform, photometric="RGB")
    copy_raster(plain, tmp_path / "other", driver=driver, **options)
    expected, valid = read_tile(plain, TILE)
    pixels, seen = read_tile(tmp_path / "other", TILE, bands=[1, 2, 3])
    assert valid.any()
    np.testing.assert_array_equal(seen, valid)
    np.testing.assert_array_equal(pixels, expected)


def test_a_block_of_tiles_is_its_tiles_side_by_side(tmp_path: Path):
    transform = around(*PRAGUE, crs="EPSG:32633", pixel=6.0, size=1500)
    file = write(tmp_path / "a.tif", smooth(1500, 1500), crs="EPSG:32633", transform=transform, photometric="RGB")
    made = scene(file)
    block, _ = read_block(made, Block(LEVEL, TILE.x - 1, TILE.y - 1, 3, 3, 256))
    for column in range(3):
        for row in range(3):
            alone, valid = read_block(made, Block(LEVEL, TILE.x - 1 + column, TILE.y - 1 + row, 1, 1, 256))
            part = block[row * 256 : row * 256 + 256, column * 256 : column * 256 + 256]
            assert difference(part, alone, valid) < 0.5


def marked(size: int, column: int, row: int) -> np.ndarray:
    """Dark but for a bright spot of 5×5 pixels, its middle at the pixel named."""
    bands = np.full((3, size, size), 20, dtype=np.uint8)
    bands[:, row - 2 : row + 3, column - 2 : column + 3] = 250
    return bands


PLACEMENTS: dict[str, dict[str, Any]] = {
    "UTM": {"crs": "EPSG:32633", "pixel": 6.0},
    "UTM rotated": {"crs": "EPSG:32633", "pixel": 6.0, "turn": 33.0},
    "UTM rotated past a right angle": {"crs": "EPSG:32633", "pixel": 6.0, "turn": 130.0},
    "UTM south-up": {"crs": "EPSG:32633", "pixel": 6.0, "flip": True},
    "degrees": {"crs": "EPSG:4326", "pixel": 6.0 / 111_320},
    "mercator": {"crs": "EPSG:3857", "pixel": 9.5},
    "a national grid (S-JTSK)": {"crs": "EPSG:5514", "pixel": 6.0},
    "equal area": {"crs": "EPSG:3035", "pixel": 6.0},
}


SIZE, SPOT = 900, (610, 222)
"""Side of the marked rasters, and the column and row of the mark."""
SPOT_LONLAT = Tile(LEVEL, TILE.x, TILE.y).centre
MIDDLE = (SPOT[0] + 0.5, SPOT[1] + 0.5)


@pytest.mark.parametrize("name", PLACEMENTS)
def test_a_marked_pixel_lands_in_the_right_pixel_of_the_right_tile(name: str, tmp_path: Path):
    transform = around(*SPOT_LONLAT, size=SIZE, pixel_there=MIDDLE, **PLACEMENTS[name])
    crs = PLACEMENTS[name]["crs"]
    file = write(tmp_path / "a.tif", marked(SIZE, *SPOT), crs=crs, transform=transform, photometric="RGB")
    lon, lat = scene(file).place.lonlat(np.array([MIDDLE[0]]), np.array([MIDDLE[1]]))
    assert (lon[0], lat[0]) == pytest.approx(SPOT_LONLAT, abs=1e-7)  # a centimetre
    assert_bright_at(file, *SPOT_LONLAT)


def assert_bright_at(file: Path, lon: float, lat: float) -> None:
    """The middle of mass of what is bright is within half a pixel of the point."""
    tile, column, row = pixel_of(lon, lat, LEVEL)
    pixels, valid = read_tile(file, tile, resampling="bilinear")
    weight = np.where(valid, pixels[..., 0].astype(float) - 20.0, 0.0).clip(0)
    ys, xs = np.mgrid[0:256, 0:256] + 0.5
    middle = float((weight * xs).sum() / weight.sum()), float((weight * ys).sum() / weight.sum())
    assert middle == pytest.approx((column, row), abs=0.5)
    assert pixels[int(row), int(column), 0] > 200


def control_points(transform: Affine, size: int) -> list[GroundControlPoint]:
    corners = [(0, 0), (0, size), (size, 0), (size, size), (size / 2, size / 3)]
    return [GroundControlPoint(row, column, *(transform @ (column, row))) for column, row in corners]


@pytest.mark.parametrize("turn", [0.0, 21.0])
def test_a_raster_with_control_points_alone_is_placed_by_them(turn: float, tmp_path: Path):
    transform = around(*SPOT_LONLAT, crs="EPSG:32633", pixel=6.0, size=SIZE, turn=turn, pixel_there=MIDDLE)
    points = control_points(transform, SIZE)
    file = write(tmp_path / "a.tif", marked(SIZE, *SPOT), crs="EPSG:32633", gcps=points, photometric="RGB")
    with rasterio.open(file) as dataset:
        assert dataset.crs is None
    assert_bright_at(file, *SPOT_LONLAT)


def test_what_is_north_stays_north(tmp_path: Path):
    """Whatever way the file runs, the red half of this picture lies in the north and its bright half in the east."""
    picture = np.full((3, 600, 600), 40, dtype=np.uint8)
    picture[0, :300] = 220
    picture[1, :, 300:] = 200
    upright = around(*PRAGUE, crs="EPSG:32633", pixel=9.0, size=600)
    turned = upright @ Affine.translation(300, 300) @ Affine.rotation(90) @ Affine.translation(-300, -300)
    files = [
        write(tmp_path / "up.tif", picture, crs="EPSG:32633", transform=upright, photometric="RGB"),
        write(
            tmp_path / "down.tif",
            np.ascontiguousarray(picture[:, ::-1]),
            crs="EPSG:32633",
            transform=around(*PRAGUE, crs="EPSG:32633", pixel=9.0, size=600, flip=True),
            photometric="RGB",
        ),
        write(
            tmp_path / "turned.tif",
            np.ascontiguousarray(np.rot90(picture, 1, axes=(1, 2))),
            crs="EPSG:32633",
            transform=turned,
            photometric="RGB",
        ),
    ]
    first, *others = (read_tile(file, Tile.from_lonlat(*PRAGUE, 13), resampling="nearest") for file in files)
    assert first[1].mean() > 0.3
    for pixels, valid in others:
        assert difference(pixels, first[0], valid & first[1]) < 1.0
        assert (valid != first[1]).mean() < 0.01


# --- the antimeridian ----------------------------------------------------------------------------------------------

ACROSS: dict[str, tuple[str, Affine]] = {
    "degrees, past 180": ("EPSG:4326", Affine(0.0005, 0, 179.75, 0, -0.0005, -16.75)),
    "degrees, past -180": ("EPSG:4326", Affine(0.0005, 0, -180.25, 0, -0.0005, -16.75)),
    "UTM zone 60": ("EPSG:32760", around(180.0, -17.0, crs="EPSG:32760", pixel=55.0, size=1000)),
    "UTM zone 1": ("EPSG:32701", around(180.0, -17.0, crs="EPSG:32701", pixel=55.0, size=1000)),
    "mercator of the Pacific": ("EPSG:3832", around(180.0, -17.0, crs="EPSG:3832", pixel=55.0, size=1000)),
    "web mercator, past the edge": ("EPSG:3857", Affine(55, 0, 20037508.342789244 - 27500, 0, -55, -1893000)),
}


@pytest.mark.parametrize("name", ACROSS)
def test_a_raster_across_the_antimeridian_gives_tiles_on_both_sides(name: str, tmp_path: Path):
    crs, transform = ACROSS[name]
    bands = smooth(1000, 1000)
    file = write(tmp_path / "a.tif", bands, crs=crs, transform=transform, photometric="RGB")
    made = mosaic(source(file))
    plan = plan_tiles(made, Tiles(levels=(11,)))
    xs = sorted(set(plan.x.tolist()))
    assert xs[0] == 0
    assert xs[-1] == 2047
    assert len(xs) <= 8
    for x in (0, 2047):
        rows = sorted(plan.y[plan.x == x].tolist())
        sample = read(made, Tile(11, x, rows[len(rows) // 2]))[0]
        assert getattr(sample, "valid", np.zeros(1)).mean() > 0.95, f"nothing at x = {x}"


@pytest.mark.parametrize(("crs", "sign"), [("EPSG:3413", 1), ("EPSG:3031", -1)])
def test_a_raster_around_a_pole_gives_tiles_all_around_it(crs: str, sign: int, tmp_path: Path):
    transform = Affine(3000, 0, -2_700_000, 0, -3000, 2_700_000)
    file = write(tmp_path / "a.tif", smooth(1800, 1800), crs=crs, transform=transform, photometric="RGB")
    made = mosaic(source(file))
    plan = plan_tiles(made, Tiles(levels=(3,)))
    nearest = 0 if sign > 0 else 7
    assert set(plan.x[plan.y == nearest].tolist()) == set(range(8))
    assert set(plan.y.tolist()) == {abs(nearest - row) for row in range(3)}
    for tile in (Tile(3, x, nearest) for x in range(8)):
        (sample,) = read(made, tile)
        assert getattr(sample, "valid", np.zeros(1)).all()


# --- masks ---------------------------------------------------------------------------------------------------------


def left_half_missing(bands: np.ndarray, value: float) -> np.ndarray:
    bands = bands.copy()
    bands[:, :, :128] = value
    return bands


def halves(valid: np.ndarray) -> tuple[float, float]:
    """Valid share of the left and right half, without the two columns where they meet."""
    return float(valid[:, :127].mean()), float(valid[:, 129:].mean())


NODATA: dict[str, tuple[str, float]] = {
    "uint8, 0": ("uint8", 0),
    "uint8, 255": ("uint8", 255),
    "uint16, 0": ("uint16", 0),
    "uint16, 65535": ("uint16", 65535),
    "int16, -32768": ("int16", -32768),
    "int16, -9999": ("int16", -9999),
    "float32, NaN": ("float32", float("nan")),
    "float32, -9999": ("float32", -9999.0),
    "float64, 0": ("float64", 0.0),
}


@pytest.mark.parametrize("level", [LEVEL, LEVEL - 1])
@pytest.mark.parametrize("name", NODATA)
def test_nodata_values_are_holes(name: str, level: int, tmp_path: Path):
    dtype, value = NODATA[name]
    tile = Tile.from_lonlat(*PRAGUE, level)
    factor = 2 ** (LEVEL - level)
    bands = left_half_missing(noise(256, 256, dtype=dtype), value).repeat(factor, axis=1).repeat(factor, axis=2)
    first = next(tile.children(LEVEL - level))
    file = write(tmp_path / "a.tif", bands, transform=on_the_grid(first), photometric="RGB", nodata=value)
    said = {} if dtype == "uint8" else {"scale": [0, 255]}
    pixels, valid = read_tile(file, tile, **said)
    assert halves(valid) == (0.0, 1.0)
    known = np.moveaxis(bands, 0, -1)[::factor, ::factor][:, 129:]
    assert difference(pixels[:, 129:], np.nan_to_num(known), valid[:, 129:]) <= 0.51


@pytest.mark.parametrize("value", [0, 255])
def test_a_pixel_with_one_band_of_the_nodata_value_stays_valid(value: int, tmp_path: Path):
    bands = noise(256, 256)
    bands[1] = value
    bands[:, 100:110, 100:110] = value
    file = write(tmp_path / "a.tif", bands, transform=on_the_grid(TILE), photometric="RGB", nodata=value)
    pixels, valid = read_tile(file, TILE)
    expected = np.ones((256, 256), dtype=bool)
    expected[100:110, 100:110] = False
    np.testing.assert_array_equal(valid, expected)
    assert (pixels[..., 1][valid] == value).all()


def test_bands_that_are_not_asked_for_make_no_holes(tmp_path: Path):
    """Near infrared is 0 over water; the picture is not without data there."""
    bands = noise(256, 256, bands=4)
    bands[3] = 0
    file = write(
        tmp_path / "a.tif", bands, transform=on_the_grid(TILE), photometric="RGB", alpha="unspecified", nodata=0
    )
    assert read_tile(file, TILE, bands=[1, 2, 3])[1].all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_alpha_band_is_honoured(dtype: str, tmp_path: Path):
    bands = noise(256, 256, bands=4, dtype=dtype)
    bands[3] = np.iinfo(dtype).max
    bands[3, :, :128] = 0
    order = (RED, GREEN, BLUE, ColorInterp.alpha)
    file = write(tmp_path / "a.tif", bands, transform=on_the_grid(TILE), interpretation=order, photometric="RGB")
    said = {} if dtype == "uint8" else {"scale": [0, 255]}
    pixels, valid = read_tile(file, TILE, **said)
    assert halves(valid) == (0.0, 1.0)
    np.testing.assert_array_equal(pixels[:, 128:], np.moveaxis(bands[:3, :, 128:], 0, -1))


@pytest.mark.parametrize("internal", [True, False], ids=["internal", "side-car"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_mask_is_honoured(internal: bool, dtype: str, tmp_path: Path):
    mask = np.full((256, 256), 255, dtype=np.uint8)
    mask[:, :128] = 0
    bands = noise(256, 256, dtype=dtype)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        file = write(tmp_path / "a.tif", bands, transform=on_the_grid(TILE), photometric="RGB", mask=mask)
    assert (tmp_path / "a.tif.msk").exists() is not internal
    pixels, valid = read_tile(file, TILE, **({} if dtype == "uint8" else {"scale": [0, 255]}))
    assert halves(valid) == (0.0, 1.0)
    np.testing.assert_array_equal(pixels[:, 128:], np.moveaxis(bands[:, :, 128:], 0, -1))


def test_a_mask_is_honoured_when_shrinking_over_overviews(tmp_path: Path):
    mask = np.full((1024, 1024), 255, dtype=np.uint8)
    mask[:, :512] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        file = write(
            tmp_path / "a.tif",
            smooth(1024, 1024),
            transform=on_the_grid(next(Tile(12, TILE.x >> 2, TILE.y >> 2).children(2))),
            photometric="RGB",
            mask=mask,
            overviews=(2, 4),
        )
    _, valid = read_tile(file, Tile(12, TILE.x >> 2, TILE.y >> 2))
    assert halves(valid) == (0.0, 1.0)


def test_the_recipe_may_say_what_nodata_is(tmp_path: Path):
    bands = left_half_missing(noise(256, 256), 7)
    file = write(tmp_path / "a.tif", bands, transform=on_the_grid(TILE), photometric="RGB")
    assert read_tile(file, TILE)[1].all()
    assert halves(read_tile(file, TILE, nodata=7)[1]) == (0.0, 1.0)


@pytest.mark.parametrize("value", [-9999.0, float("nan"), 7.5])
def test_a_nodata_value_that_the_type_cannot_hold_is_no_hole(value: float, tmp_path: Path):
    file = write(tmp_path / "a.tif", noise(256, 256), transform=on_the_grid(TILE), photometric="RGB")
    pixels, valid = read_tile(file, TILE, nodata=value)
    assert valid.all()
    assert pixels.std() > 10


def test_what_lies_outside_a_raster_is_invalid(tmp_path: Path):
    file = write(tmp_path / "a.tif", noise(100, 120), transform=on_the_grid(TILE), photometric="RGB")
    expected = np.zeros((256, 256), dtype=bool)
    expected[:100, :120] = True
    np.testing.assert_array_equal(read_tile(file, TILE)[1], expected)


# --- bands and stretch ---------------------------------------------------------------------------------------------


def grey_steps(*values: int, dtype: str = "uint8") -> np.ndarray:
    """Bands of one value each."""
    return np.stack([np.full((256, 256), value, dtype=dtype) for value in values])


def colour_of(path: Path, **said: Any) -> tuple[int, ...]:
    pixels, valid = read_tile(path, TILE, **said)
    assert valid.all()
    assert np.ptp(pixels, axis=(0, 1)).tolist() == [0, 0, 0]
    return tuple(pixels[0, 0].tolist())


def test_colours_are_told_by_interpretation(tmp_path: Path):
    file = write(
        tmp_path / "a.tif",
        grey_steps(30, 20, 10, 99),
        transform=on_the_grid(TILE),
        interpretation=(BLUE, GREEN, RED, NIR),
        photometric="MINISBLACK",
    )
    assert colour_of(file) == (10, 20, 30)


def test_the_recipe_chooses_bands_in_any_order_and_more_than_once(tmp_path: Path):
    file = write(tmp_path / "a.tif", grey_steps(1, 2, 3, 4, 5), transform=on_the_grid(TILE), photometric="MINISBLACK")
    assert colour_of(file, bands=[4, 3, 2]) == (4, 3, 2)
    assert colour_of(file, bands=[5, 1, 5]) == (5, 1, 5)
    assert colour_of(file, bands=[2]) == (2, 2, 2)


def test_bands_in_any_order_stay_so_beside_an_alpha_band(tmp_path: Path):
    bands = grey_steps(1, 2, 3, 255)
    order = (RED, GREEN, BLUE, ColorInterp.alpha)
    file = write(tmp_path / "a.tif", bands, transform=on_the_grid(TILE), interpretation=order, photometric="RGB")
    assert colour_of(file, bands=[3, 1, 2]) == (3, 1, 2)


def test_three_bands_that_state_no_colour_are_refused_with_what_to_write(tmp_path: Path):
    file = write(tmp_path / "a.tif", noise(256, 256), transform=on_the_grid(TILE), photometric="MINISBLACK")
    with pytest.raises(BandsUnknownError) as caught:
        scene(file)
    message = str(caught.value)
    assert message.startswith("a.tif: 3 bands of uint8 whose colour interpretation does not name red, green and blue")
    assert "write in source 'made': bands = [1, 2, 3]" in message
    assert "scale" not in message
    assert colour_of(write(tmp_path / "b.tif", grey_steps(1, 2, 3), transform=on_the_grid(TILE)), bands=[1, 2, 3])


def test_the_question_for_many_bands_of_16_bits_names_them_and_asks_for_a_stretch(tmp_path: Path):
    file = write(
        tmp_path / "a.tif",
        noise(64, 64, bands=4, dtype="uint16"),
        transform=on_the_grid(TILE),
        photometric="MINISBLACK",
    )
    with rasterio.open(file, "r+") as dataset:
        dataset.descriptions = ("B02", "B03", "B04", None)
    with pytest.raises(BandsUnknownError, match=r"scale = \[0, 3000\] .* \(1: B02; 2: B03; 3: B04\)"):
        scene(file)


def test_a_single_band_is_imagery_only_where_the_recipe_says_so(tmp_path: Path):
    file = write(tmp_path / "a.tif", grey_steps(77), transform=on_the_grid(TILE))
    with pytest.raises(
        BandsUnknownError, match=r"bands = \[1\] to use it as greyscale imagery, or exclude = \['a.tif'\]"
    ):
        scene(file)
    assert colour_of(file, bands=[1]) == (77, 77, 77)


def test_a_band_that_is_not_there_is_named(tmp_path: Path):
    file = write(tmp_path / "a.tif", noise(64, 64), transform=on_the_grid(TILE))
    with pytest.raises(
        SourceError, match=r"a\.tif: has 3 bands, the recipe asks for bands = \[4, 3, 2\] in source 'made'"
    ):
        scene(file, bands=[4, 3, 2])


def test_complex_values_are_refused(tmp_path: Path):
    file = write(tmp_path / "a.tif", noise(64, 64, dtype="complex64"), transform=on_the_grid(TILE))
    with pytest.raises(SourceError, match=r"a\.tif: holds complex values"):
        scene(file, bands=[1, 2, 3])


def test_a_paletted_image_is_refused_with_the_way_out(tmp_path: Path):
    file = write(tmp_path / "a.tif", noise(64, 64, bands=1), transform=on_the_grid(TILE), photometric="PALETTE")
    with rasterio.open(file, "r+") as dataset:
        dataset.write_colormap(1, {value: (value, 0, 0, 255) for value in range(256)})
    with pytest.raises(BandsUnknownError, match="gdal_translate -expand rgb"):
        scene(file)


def ramp(dtype: str = "uint16") -> np.ndarray:
    """0, 20, 40 … in each of three bands, (3, 256, 256)."""
    return np.broadcast_to(np.arange(256 * 256).reshape(256, 256) // 256 * 20, (3, 256, 256)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32", "float64"])
def test_an_interval_becomes_0_to_255_and_rounds_half_up(dtype: str, tmp_path: Path):
    file = write(tmp_path / "a.tif", ramp(dtype), transform=on_the_grid(TILE), photometric="RGB")
    pixels, _ = read_tile(file, TILE, scale=[100, 3000])
    expected = np.floor((ramp()[0].astype(float) - 100) * 255 / 2900 + 0.5).clip(0, 255)
    np.testing.assert_array_equal(pixels[..., 0], expected)


def test_each_band_may_have_its_own_interval(tmp_path: Path):
    file = write(
        tmp_path / "a.tif", grey_steps(500, 500, 500, dtype="uint16"), transform=on_the_grid(TILE), photometric="RGB"
    )
    assert colour_of(file, scale=[[0, 1000], [0, 500], [500, 1000]]) == (128, 255, 0)


def test_8_bit_imagery_is_left_as_it_is_unless_a_stretch_is_given(tmp_path: Path):
    file = write(tmp_path / "a.tif", grey_steps(100, 100, 100), transform=on_the_grid(TILE), photometric="RGB")
    assert colour_of(file) == (100, 100, 100)
    assert colour_of(file, scale=[0, 200]) == (128, 128, 128)


def test_percentiles_are_taken_once_a_scene_and_not_a_tile(tmp_path: Path):
    bands = noise(1024, 1024, dtype="uint16") * 16
    bands[:, :, 512:] //= 8
    file = write(tmp_path / "a.tif", bands, transform=on_the_grid(TILE), photometric="RGB")
    made = scene(file, scale={"percentiles": [2, 98]})
    assert made.scale == tuple(tuple(np.percentile(band, [2, 98])) for band in bands)
    bright = read_block(made, Block(LEVEL, TILE.x, TILE.y, 1, 1, 256))[0]
    dark = read_block(made, Block(LEVEL, TILE.x + 3, TILE.y, 1, 1, 256))[0]
    assert bright.mean() > 4 * dark.mean()


def test_percentiles_leave_out_what_is_without_data(tmp_path: Path):
    bands = noise(512, 512, dtype="uint16") + np.uint16(1000)
    bands[:, :, :300] = 0
    known = [tuple(np.percentile(band[:, 300:], [2, 98])) for band in bands]
    stated = write(tmp_path / "stated.tif", bands, transform=on_the_grid(TILE), photometric="RGB", nodata=0)
    unstated = write(tmp_path / "collar.tif", bands, transform=on_the_grid(TILE), photometric="RGB")
    for file, said in ((stated, {}), (unstated, {}), (unstated, {"nodata": 0})):
        assert scene(file, **said).scale == tuple(known)


def test_a_scene_without_any_value_has_no_percentiles(tmp_path: Path):
    empty = np.zeros((3, 64, 64), dtype=np.uint16)
    file = write(tmp_path / "a.tif", empty, transform=on_the_grid(TILE), photometric="RGB", nodata=0)
    with pytest.raises(SourceError, match=r"a\.tif: band 1 holds no valid value"):
        scene(file)


# --- one file a band -----------------------------------------------------------------------------------------------

RGB_FILES = ["*_B4.TIF", "*_B3.TIF", "*_B2.TIF"]


def write_band(path: Path, value: int, *, size: int = 256, level: int = LEVEL) -> Path:
    corner = TILE.bounds_m
    pixel = (corner[2] - corner[0]) / size
    transform = Affine(pixel, 0, corner[0], 0, -pixel, corner[3])
    return write(path, np.full((1, size, size), value, dtype=np.uint16), transform=transform)


def test_bands_from_sibling_files(tmp_path: Path):
    for band, value in ((2, 300), (3, 2000), (4, 1000), (5, 9)):
        write_band(tmp_path / f"LC08_L1TP_013032_20180405_B{band}.TIF", value)
    assert colour_of(tmp_path, bands=RGB_FILES, scale=[0, 3000]) == (85, 170, 26)


def test_bands_of_different_resolution_share_the_tile(tmp_path: Path):
    for band, value, size in ((2, 300, 128), (3, 2000, 256), (4, 1000, 64)):
        write_band(tmp_path / f"LC08_B{band}.TIF", value, size=size)
    assert colour_of(tmp_path, bands=RGB_FILES, scale=[0, 3000]) == (85, 170, 26)


def test_the_native_gsd_of_bands_of_different_resolution_is_the_coarsest(tmp_path: Path):
    """A picture is no finer than its blurriest colour."""
    for band, size in ((2, 64), (3, 256), (4, 256)):
        write_band(tmp_path / f"LC08_B{band}.TIF", 100, size=size)
    made = scene(tmp_path, bands=RGB_FILES, scale=[0, 3000])
    assert made.native_gsd_m == pytest.approx(4 * TILE.gsd_m(), rel=0.01)


@pytest.mark.parametrize("suffix", ["tif", "jp2"])
def test_a_safe_folder(suffix: str, tmp_path: Path):
    below = tmp_path / "S2A_MSIL2A_20200831T100031.SAFE/GRANULE/L2A_T33UVR_A027/IMG_DATA/R10m"
    driver = {"driver": "JP2OpenJPEG", "quality": 100, "reversible": True} if suffix == "jp2" else {}
    for band, value in (("B02", 300), ("B03", 2000), ("B04", 1000)):
        path = below / f"T33UVR_20200831T100031_{band}_10m.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, grey_steps(value, dtype="uint16"), crs="EPSG:3857", transform=on_the_grid(TILE), **driver)
    said = [f"GRANULE/*/IMG_DATA/R10m/*_{band}_10m.{suffix}" for band in ("B04", "B03", "B02")]
    made = scene(tmp_path / "S2A_MSIL2A_20200831T100031.SAFE", bands=said, scale=[0, 3000])
    assert "S2A_MSIL2A_20200831T100031.SAFE" in made.name
    pixels, valid = read_block(made, Block(LEVEL, TILE.x, TILE.y, 1, 1, 256))
    assert valid.all()
    assert pixels[0, 0].tolist() == [85, 170, 26]


# --- resolution ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pixel", "finest"), [(6.0, 14), (7.6, 14), (7.8, 13), (12.2, 13), (3.83, 15), (3.85, 14)])
def test_a_level_is_supported_down_to_0_8_of_the_native_gsd(pixel: float, finest: int, tmp_path: Path):
    transform = around(*PRAGUE, crs="EPSG:32633", pixel=pixel, size=600)
    made = scene(write(tmp_path / "a.tif", smooth(600, 600), crs="EPSG:32633", transform=transform, photometric="RGB"))
    lon, lat = np.array([PRAGUE[0]]), np.array([PRAGUE[1]])
    native = float(made.place.native_gsd_m(lon, lat)[0])
    assert native == pytest.approx(pixel, rel=1e-3)
    supported = [level for level in range(10, 19) if made.supported(level, lon, lat, tile_size=256)[0]]
    assert supported == list(range(10, finest + 1))
    assert all((level in supported) == (gsd_m(level, PRAGUE[1]) >= 0.8 * native) for level in range(10, 19))
    assert all(made.ever_supported(level, tile_size=256) for level in supported)


def test_tiles_of_512_pixels_are_supported_one_level_less(tmp_path: Path):
    transform = around(*PRAGUE, crs="EPSG:32633", pixel=6.0, size=600)
    made = scene(write(tmp_path / "a.tif", smooth(600, 600), crs="EPSG:32633", transform=transform, photometric="RGB"))
    lon, lat = np.array([PRAGUE[0]]), np.array([PRAGUE[1]])
    assert made.supported(14, lon, lat, tile_size=256)[0]
    assert not made.supported(14, lon, lat, tile_size=512)[0]
    assert made.supported(13, lon, lat, tile_size=512)[0]


def test_the_native_gsd_is_that_of_the_coarser_axis_in_ground_metres(tmp_path: Path):
    """Square degrees are not square on the ground: at 60° north a degree eastward is half a degree northward."""
    step = 0.0001
    transform = around(25.0, 60.0, crs="EPSG:4326", pixel=step, size=400)
    made = scene(write(tmp_path / "a.tif", smooth(400, 400), crs="EPSG:4326", transform=transform, photometric="RGB"))
    assert made.native_gsd_m == pytest.approx(111_412 * step, rel=0.001)


def test_the_native_gsd_of_a_mercator_raster_follows_the_latitude(tmp_path: Path):
    transform = Affine(1000, 0, 0, 0, -1000, 10_000_000)
    file = write(tmp_path / "a.tif", smooth(9000, 100, bands=3), transform=transform, photometric="RGB")
    made = scene(file)
    lats = np.array([0.0, 30.0, 60.0])
    found = made.place.native_gsd_m(np.full(3, 0.4), lats)
    # within the flattening of the ellipsoid, which EPSG:3857 leaves out
    assert found == pytest.approx(1000 * np.cos(np.radians(lats)), rel=0.007)


def test_shrinking_is_judged_where_the_block_lies_and_not_at_the_middle_of_the_scene(tmp_path: Path):
    """Far from its middle a mercator scene's pixels are of another size, but its levels are the same everywhere."""
    tile = Tile(7, 64, 32)
    fine = tile.level + 1
    bands = noise(512 * 8, 512)
    file = write(
        tmp_path / "a.tif", bands, transform=on_the_grid(Tile(fine, tile.x * 2, tile.y * 2)), photometric="RGB"
    )
    pixels, valid = read_tile(file, tile)
    mean = bands[:, :512].reshape(3, 256, 2, 256, 2).mean(axis=(2, 4))
    assert valid.all()
    assert difference(pixels, np.moveaxis(mean, 0, -1), valid) < 1.0


# --- shrinking and overviews ---------------------------------------------------------------------------------------


def fine_scene(path: Path, *, tile: Tile, down: int, bands: np.ndarray | None = None, **options: Any) -> np.ndarray:
    """Write a raster with the pixels of ``down`` levels below a tile; returns the tile's area mean (256, 256, 3)."""
    side = 256 << down
    values = noise(side, side) if bands is None else bands
    write(path, values, transform=on_the_grid(next(tile.children(down))), photometric="RGB", **options)
    return np.moveaxis(values.reshape(3, 256, 1 << down, 256, 1 << down).mean(axis=(2, 4)), 0, -1)


@pytest.mark.parametrize("down", [1, 2, 3])
def test_coarser_levels_are_area_means(down: int, tmp_path: Path):
    mean = fine_scene(tmp_path / "a.tif", tile=Tile(12, 2212, 1387), down=down)
    pixels, valid = read_tile(tmp_path / "a.tif", Tile(12, 2212, 1387), overviews=False)
    assert valid.all()
    assert np.abs(pixels - mean).max() <= 1.0


def test_overviews_are_used_and_stay_close_to_the_area_mean(tmp_path: Path):
    tile = Tile(11, 1106, 693)
    mean = fine_scene(tmp_path / "a.tif", tile=tile, down=3, bands=smooth(2048, 2048), overviews=(2, 4, 8))
    plain, _ = read_tile(tmp_path / "a.tif", tile, overviews=False)
    over, valid = read_tile(tmp_path / "a.tif", tile)
    assert valid.all()
    assert difference(over, mean, valid) <= 1.0
    assert difference(plain, mean, valid) <= 0.5


def poison_overviews(path: Path) -> None:
    """Make every overview white, so that a read shows whether it was used."""
    for level in range(2):
        with rasterio.open(path, "r+", overview_level=level) as over:
            over.write(np.full((3, over.height, over.width), 255, dtype=np.uint8))


@pytest.mark.parametrize(
    ("tags", "used"),
    [
        ({}, True),
        ({"OVR_RESAMPLING_ALG": "AVERAGE"}, True),
        ({"OVR_RESAMPLING_ALG": "NEAREST"}, False),
        ({"OVR_RESAMPLING_ALG": "nearest"}, False),
    ],
)
def test_overviews_made_by_nearest_neighbour_are_not_used(tags: dict[str, str], used: bool, tmp_path: Path):
    tile, file = Tile(11, 1106, 693), tmp_path / "a.tif"
    mean = fine_scene(file, tile=tile, down=3, bands=smooth(2048, 2048), overviews=(2, 4), tags=tags)
    poison_overviews(file)
    pixels, valid = read_tile(file, tile)
    assert bool((pixels == 255).all()) is used
    if not used:
        assert difference(pixels, mean, valid) <= 0.5
    assert difference(read_tile(file, tile, overviews=False)[0], mean, valid) <= 0.5


def test_overviews_that_rasterios_command_made_by_nearest_neighbour_are_not_used(tmp_path: Path):
    tile, file = Tile(11, 1106, 693), tmp_path / "a.tif"
    mean = fine_scene(file, tile=tile, down=3, bands=smooth(2048, 2048), overviews=(2, 4))
    poison_overviews(file)
    with rasterio.open(file, "r+") as dataset:
        dataset.update_tags(ns="rio_overview", resampling="nearest")
    pixels, valid = read_tile(file, tile)
    assert difference(pixels, mean, valid) <= 0.5


def test_the_overviews_of_a_cog_are_used(tmp_path: Path):
    tile = Tile(11, 1106, 693)
    mean = fine_scene(tmp_path / "plain.tif", tile=tile, down=3)
    copy_raster(tmp_path / "plain.tif", tmp_path / "cog.tif", driver="COG", overview_resampling="AVERAGE")
    pixels, valid = read_tile(tmp_path / "cog.tif", tile)
    assert valid.all()
    assert difference(pixels, mean, valid) <= 1.0


def test_classes_are_never_mixed(tmp_path: Path):
    codes = np.where(noise(512, 512, bands=1) > 127, 10, 80).astype(np.uint8)
    codes[:, :, :256] = 0
    file = write(
        tmp_path / "a.tif", codes, transform=on_the_grid(next(Tile(13, TILE.x >> 1, TILE.y >> 1).children())), nodata=0
    )
    found, valid = read_classes(str(file), Block(13, TILE.x >> 1, TILE.y >> 1, 1, 1, 256))
    assert halves(valid) == (0.0, 1.0)
    assert set(np.unique(found[valid]).tolist()) == {10, 80}


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic", "lanczos", "average", "mode"])
def test_the_recipe_names_the_resampling(method: str, tmp_path: Path):
    """The same file warped by rasterio alone, by the same method."""
    transform = around(*PRAGUE, crs="EPSG:32633", pixel=3.0, size=1200)
    file = write(tmp_path / "a.tif", noise(1200, 1200), crs="EPSG:32633", transform=transform, photometric="RGB")
    pixels, valid = read_tile(file, TILE, resampling=method)
    expected = np.zeros((3, 256, 256), dtype=np.uint8)
    with rasterio.open(file) as dataset:
        rasterio.warp.reproject(
            rasterio.band(dataset, [1, 2, 3]),
            expected,
            dst_transform=on_the_grid(TILE),
            dst_crs="EPSG:3857",
            resampling=Resampling[method],
        )
    assert valid.all()
    assert difference(pixels, np.moveaxis(expected, 0, -1), valid) == 0.0


# --- files that cannot be read -------------------------------------------------------------------------------------


def test_an_empty_file_is_named(tmp_path: Path):
    (tmp_path / "a.tif").touch()
    with pytest.raises(SourceError, match=r"a\.tif: not a raster that can be opened \(it is empty\)"):
        scene(tmp_path / "a.tif")


def test_a_text_file_with_a_rasters_name_is_named(tmp_path: Path):
    (tmp_path / "a.tif").write_text("<html>404 Not Found</html>" * 100, encoding="utf-8")
    with pytest.raises(SourceError, match=r"a\.tif: not a raster that can be opened .*fetch it again"):
        scene(tmp_path / "a.tif")


def test_a_file_without_crs_is_named_with_what_to_do(tmp_path: Path):
    file = write(tmp_path / "a.tif", noise(64, 64), crs=None, transform=Affine(1, 0, 5, 0, -1, 5), photometric="RGB")
    with pytest.raises(SourceError, match=r"a\.tif: has no coordinate system; .*gdal_edit -a_srs"):
        scene(file)


def test_a_file_with_a_crs_but_no_position_is_named(tmp_path: Path):
    file = write(tmp_path / "a.tif", noise(64, 64), transform=None, photometric="RGB")
    with pytest.raises(SourceError, match=r"a\.tif: has no position"):
        scene(file)


def test_a_file_that_lies_nowhere_on_earth_is_named(tmp_path: Path):
    transform = Affine(1, 0, 4e8, 0, -1, 9e8)
    file = write(tmp_path / "a.tif", noise(64, 64), crs="EPSG:32633", transform=transform, photometric="RGB")
    with pytest.raises(SourceError, match=r"a\.tif: .*coordinate system"):
        scene(file)


def test_a_truncated_file_is_named_where_it_is_read(tmp_path: Path):
    whole = write(tmp_path / "whole.tif", noise(512, 512), transform=on_the_grid(TILE), photometric="RGB")
    file = tmp_path / "a.tif"
    copy_raster(whole, file, driver="GTiff")  # writes its directory first, as files from a download do
    file.write_bytes(file.read_bytes()[: 256 * 512])
    with pytest.raises(SourceError, match=r"a\.tif: cannot be read around tile 14/\d+/\d+ .*truncated: fetch it again"):
        read_tile(file, Tile(LEVEL, TILE.x, TILE.y + 1))


# --- real imagery, against rio-tiler -------------------------------------------------------------------------------

REAL: dict[str, dict[str, Any]] = {
    "rasterio__RGB.byte.tif": {},
    "naip__m_4709963_se_14_1_20200831.tif": {"bands": [1, 2, 3]},
    "eotdl__Boadella_2020-06-21.tif": {"bands": [4, 3, 2], "scale": [0, 3000]},
}


def tiles_of(path: Path, *, level: int | None = None, **said: Any) -> list[Tile]:
    """Tiles that a file's finest supported level, or a coarser one, is made of."""
    plan = plan_tiles(mosaic(source(path, **said)), Tiles(levels=tuple(range(5, 19))))
    wanted = int(plan.level.max()) if level is None else level
    return [request.tile for request in plan.requests(0, len(plan)) if request.tile.level == wanted]


def rio_tiler_tile(path: Path, tile: Tile, *, method: str, **said: Any) -> tuple[np.ndarray, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rio-tiler remarks that plain GeoTIFFs hold no overviews
        with rio_tiler.io.Reader(str(path)) as reader:
            image = reader.tile(
                tile.x,
                tile.y,
                tile.level,
                indexes=said.get("bands", [1, 2, 3]),
                resampling_method=method,
                reproject_method=method,
            )
    values = image.data.astype(float)
    if "scale" in said:
        low, high = said["scale"]
        values = ((values - low) / (high - low) * 255).clip(0, 255).round()
    return np.moveaxis(values, 0, -1), image.mask > 0


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
@pytest.mark.parametrize("name", REAL)
def test_the_finest_level_agrees_with_rio_tiler(name: str, method: str, imagery: Path):
    path, said = imagery / "rasters" / name, REAL[name]
    differences, shared = [], 0
    for tile in tiles_of(path, **said):
        ours, valid = read_tile(path, tile, resampling=method, **said)
        theirs, mask = rio_tiler_tile(path, tile, method=method, **said)
        both = valid & mask
        shared += int(both.sum())
        differences.append(np.abs(ours[both].astype(float) - theirs[both]))
    assert shared > 50_000
    assert np.concatenate(differences).mean() <= 1.0


@pytest.mark.parametrize("name", REAL)
def test_nearest_takes_the_pixel_that_proj_names(name: str, imagery: Path):
    """Nearest neighbour shows a shift of a fraction of a pixel, so each pixel's origin is computed on its own."""
    path, said = imagery / "rasters" / name, REAL[name]
    with rasterio.open(path) as dataset:
        bands = np.moveaxis(dataset.read(said.get("bands", [1, 2, 3])), 0, -1).astype(float)
        inverse, crs = ~dataset.transform, dataset.crs
    if "scale" in said:
        bands = np.floor((bands / said["scale"][1] * 255).clip(0, 255) + 0.5)
    to_raster = pyproj.Transformer.from_crs("EPSG:3857", crs, always_xy=True)
    differences = []
    for tile in tiles_of(path, **said):
        pixels, valid = read_tile(path, tile, resampling="nearest", **said)
        there = on_the_grid(tile)
        steps = np.arange(256) + 0.5
        x, y = to_raster.transform(*np.meshgrid(there.c + there.a * steps, there.f + there.e * steps))
        columns = np.floor(inverse.a * x + inverse.b * y + inverse.c).astype(int).clip(0, bands.shape[1] - 1)
        rows = np.floor(inverse.d * x + inverse.e * y + inverse.f).astype(int).clip(0, bands.shape[0] - 1)
        differences.append(np.abs(pixels - bands[rows, columns])[valid])
    assert np.concatenate(differences).mean() <= 0.5


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("name", REAL)
def test_coarser_levels_of_real_imagery_are_the_area_mean_of_the_finest(name: str, up: int, imagery: Path):
    path, said = imagery / "rasters" / name, REAL[name]
    made = scene(path, overviews=False, **said)
    finest = tiles_of(path, **said)[0].level
    compared = 0
    differences = []
    for tile in tiles_of(path, level=finest - up, **said):
        coarse, valid = read_block(made, Block(tile.level, tile.x, tile.y, 1, 1, 256))
        side = 1 << up
        fine, fine_valid = read_block(made, Block(finest, tile.x << up, tile.y << up, side, side, 256))
        mean = fine.reshape(256, side, 256, side, 3).mean(axis=(1, 3))
        both = valid & fine_valid.reshape(256, side, 256, side).all(axis=(1, 3))
        compared += int(both.sum())
        differences.append(np.abs(coarse[both] - mean[both]))
    assert compared > 4_000
    assert np.concatenate(differences).mean() <= 2.0


def test_real_siblings_are_one_picture(imagery: Path):
    said = {"bands": [f"rasterframes__NAIP-VA-b{band}.tiff" for band in (1, 2, 3)]}
    made = scene(imagery / "rasters", **said)
    tile = Tile.from_lonlat(-78.93738, 38.5, 16)
    middle = made.place.lonlat(np.array([made.width / 2]), np.array([made.height / 2]))
    tile = Tile.from_lonlat(float(middle[0][0]), float(middle[1][0]), 16)
    pixels, valid = read_block(made, Block(16, tile.x, tile.y, 1, 1, 256))
    assert valid.mean() > 0.3
    for channel in range(3):
        file = imagery / "rasters" / f"rasterframes__NAIP-VA-b{channel + 1}.tiff"
        alone, seen = read_tile(file, tile, bands=[1])
        np.testing.assert_array_equal(pixels[..., channel][valid], alone[..., 0][valid])
        assert (seen >= valid).all()


def test_a_real_landsat_folder(imagery: Path):
    folder = imagery / "scenes/LC08_L1TP_013032_20180405_20180417_01_T1"
    made = scene(folder, bands=["*_B4.TIF", "*_B3.TIF", "*_B2.TIF"], scale={"percentiles": [2, 98]})
    assert "LC08_L1TP_013032_20180405" in made.name
    assert [Path(band.path).name[-6:] for band in made.bands] == ["B4.TIF", "B3.TIF", "B2.TIF"]
    assert made.native_gsd_m == pytest.approx(3027, rel=0.01)
    pixels, valid = read_block(made, Block(5, 9, 12, 1, 1, 256))
    assert valid.any()
    assert pixels[valid].std() > 20
