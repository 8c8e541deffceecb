"""Relief of tiles against planes whose slope is known, and against gradients of the model itself; models are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio

from git10m.captions.relief import ReliefFinder
from git10m.captions.relief_text import relief_sentence
from git10m.captions.wording import Draw
from git10m.errors import RecipeError, SourceError
from git10m.grid import Tile
from git10m.recipe import Relief

LON, LAT = 5.49, 47.09


def write(path: Path, heights: Any, *, lon: float = LON, lat: float = LAT, step_m: float = 30.0, **more: Any) -> Path:
    """Write heights around a point as a model in degrees, with square pixels on the ground."""
    down = step_m / 111_195.0
    across = down / np.cos(np.radians(lat))
    height, width = heights.shape
    transform = rasterio.Affine(across, 0, lon - across * width / 2, 0, -down, lat + down * height / 2)
    profile = {"driver": "GTiff", "crs": "EPSG:4326", "count": 1, "dtype": heights.dtype, **more}
    with rasterio.open(path, "w", transform=transform, width=width, height=height, **profile) as file:
        file.write(heights, 1)
    return path


def plane(slope_deg: float, *, azimuth_deg: float = 30.0, step_m: float = 30.0, side: int = 400) -> Any:
    row, column = np.mgrid[0:side, 0:side] - side / 2
    towards = column * np.sin(np.radians(azimuth_deg)) - row * np.cos(np.radians(azimuth_deg))
    return (1000.0 + np.tan(np.radians(slope_deg)) * step_m * towards).astype("float32")


def relief_of(path: Path | str, tile: Tile, **more: Any) -> Any:
    return ReliefFinder(Relief(path=str(path), **more)).of([tile], tile_size=256)[tile]


@pytest.mark.parametrize("slope", [0.5, 6.0, 30.0])
@pytest.mark.parametrize("level", [12, 14, 16, 18])
@pytest.mark.parametrize("lat", [0.0, 47.09, -65.0])
def test_a_plane_has_its_slope_at_every_level_and_latitude(
    tmp_path: Path, slope: float, level: int, lat: float
) -> None:
    path = write(tmp_path / "plane.tif", plane(slope), lat=lat)
    tile = Tile.from_lonlat(LON, lat, level)
    found = relief_of(path, tile)
    if level == 12 and found is None:  # the model's 12 km do not hold a tile of 10 km everywhere
        return
    assert found["slope_deg"] == pytest.approx(slope, rel=0.02, abs=0.05)
    # A tile's corners are its highest and lowest points.
    side = tile.gsd_m(256) * 256
    run = side * (np.sin(np.radians(30)) + np.cos(np.radians(30)))
    assert found["highest_m"] - found["lowest_m"] == pytest.approx(run * np.tan(np.radians(slope)), rel=0.1, abs=0.2)


def test_hills_have_the_slope_that_their_own_gradients_have(tmp_path: Path) -> None:
    row, column = np.mgrid[0:600, 0:600]
    heights = (300 + 80 * np.sin(column / 23) * np.cos(row / 31) + 20 * np.sin(row / 9)).astype("float32")
    path = write(tmp_path / "hills.tif", heights)
    tile = Tile.from_lonlat(LON, LAT, 13)
    found = relief_of(path, tile)
    down, across = np.gradient(heights.astype(float), 30.0)
    slopes = np.degrees(np.arctan(np.hypot(down, across)))
    with rasterio.open(path) as file:
        window = file.window(*tile.bounds).round()
    rows, columns = window.toslices()
    assert found["slope_deg"] == pytest.approx(slopes[rows, columns].mean(), rel=0.05)
    assert found["lowest_m"] == pytest.approx(heights[rows, columns].min(), abs=4)
    assert found["highest_m"] == pytest.approx(heights[rows, columns].max(), abs=4)


def test_a_model_in_metres_of_another_projection(tmp_path: Path) -> None:
    """The same plane in UTM: metres there are metres of ground."""
    x, y = pyproj.Transformer.from_crs(4326, 32631, always_xy=True).transform(LON, LAT)
    heights = plane(12.0, step_m=25.0)
    path = tmp_path / "utm.tif"
    transform = rasterio.Affine(25, 0, x - 25 * 200, 0, -25, y + 25 * 200)
    with rasterio.open(
        path, "w", crs="EPSG:32631", transform=transform, width=400, height=400, count=1, dtype="float32"
    ) as file:
        file.write(heights, 1)
    assert relief_of(path, Tile.from_lonlat(LON, LAT, 15))["slope_deg"] == pytest.approx(12.0, rel=0.02)


@pytest.mark.parametrize("void", ["stated", "unstated", "nan", "recipe"])
def test_little_is_said_where_little_is_known(tmp_path: Path, void: str) -> None:
    heights = plane(6.0)
    heights[:, :205] = {"stated": -5.0, "unstated": -9999.0, "nan": np.nan, "recipe": 777.0}[void]
    path = write(tmp_path / "dem.tif", heights, nodata=-5.0 if void == "stated" else None)
    more = {"nodata": 777.0} if void == "recipe" else {}
    tile = Tile.from_lonlat(LON, LAT, 14)
    assert relief_of(path, tile, **more) is None
    east = Tile(14, tile.x + 1, tile.y)
    assert relief_of(path, east, **more)["slope_deg"] == pytest.approx(6.0, rel=0.02)
    assert relief_of(path, Tile.from_lonlat(LON + 3, LAT, 14), **more) is None


def test_several_models_fill_each_other(tmp_path: Path) -> None:
    whole = plane(6.0)
    left, right = whole.copy(), whole.copy()
    left[:, 210:], right[:, :190] = np.nan, np.nan
    (tmp_path / "dems").mkdir()
    write(tmp_path / "dems/a.tif", left)
    write(tmp_path / "dems/b.tif", right)
    tile = Tile.from_lonlat(LON, LAT, 14)
    assert relief_of(tmp_path / "dems", tile) == relief_of(write(tmp_path / "whole.tif", whole), tile)


def test_a_tile_has_the_same_relief_alone_and_among_neighbours(tmp_path: Path) -> None:
    finder = ReliefFinder(Relief(path=str(write(tmp_path / "plane.tif", plane(9.0)))))
    middle = Tile.from_lonlat(LON, LAT, 15)
    tiles = [Tile(15, middle.x + i, middle.y + j) for i in range(3) for j in range(3)]
    together = finder.of(tiles, tile_size=256)
    for tile in tiles:
        alone = finder.of([tile], tile_size=256)[tile]
        # GDAL's approximation of the transform (an eighth of a pixel) differs by the window that is warped.
        assert together[tile] == pytest.approx(alone, rel=0.02, abs=1.0)


def test_wrong_paths_are_said(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"captions\.relief\.path = .* matches no file"):
        ReliefFinder(Relief(path=str(tmp_path / "none.tif")))
    (tmp_path / "page.tif").write_text("<html>")
    with pytest.raises(SourceError, match=r"page\.tif: not a raster"):
        ReliefFinder(Relief(path=str(tmp_path / "page.tif")))


@pytest.mark.parametrize(
    ("low", "high", "slope", "expected"),
    [
        (211.3, 401.0, 6.2, "between about 210 and 400 metres above sea level"),
        (-3.4, 12.2, 2.0, "between about 3 metres below and 12 metres above sea level"),
        (-8.0, -2.0, 2.0, "between about 8 and 2 metres below sea level"),
        (1200.0, 2944.0, 33.0, "between about 1,200 and 2,945 metres above sea level"),
        (0.1, 0.2, 0.0, "at about sea level"),
        (12.0, 13.0, 0.2, "at about 12 metres above sea level"),
        (-1.2, -0.9, 0.2, "at about 1 metre below sea level"),
    ],
)
def test_heights_in_words(low: float, high: float, slope: float, expected: str) -> None:
    relief = {"lowest_m": low, "highest_m": high, "slope_deg": slope}
    assert all(expected in relief_sentence(relief, Draw(str(seed))) for seed in range(20))
