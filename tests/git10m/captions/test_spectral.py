"""Class rasters from spectral indices, and land cover that is told from rasters of a tile's own day."""

import json
from datetime import date

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from git10m import recipe
from git10m.captions.land_cover import open_land_cover
from git10m.captions.spectral import load_class_table, write_class_rasters
from git10m.cli import app
from git10m.errors import RecipeError, SourceError
from git10m.grid import Tile

TILE = Tile(14, 8000, 6000)
CLASSES = {"1": "water", "2": "forest", "3": "cloud"}

TABLE = """
[[scene]]
path = "${imagery}/*.tif"
bands = { red = 1, green = 2, blue = 3, nir = 4 }
scale = [0, 200]
rules = [
    { code = 3, when = { brightness = [0.8, 1.0] } },
    { code = 1, when = { ndwi = [0.1, 1.0] } },
    { code = 2, when = { ndvi = [0.5, 1.0], ndwi = [-1.0, 0.0] } },
]
"""


def write_scene(path, *pixels):
    """Write a scene over TILE of one row, a pixel for each (red, green, blue, nir)."""
    left, bottom, right, top = TILE.bounds_m
    bands = np.array(pixels, dtype=np.uint8).T[:, None, :]
    grid = rasterio.Affine((right - left) / len(pixels), 0, left, 0, bottom - top, top)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 4, "height": 1, "width": len(pixels)}
    with rasterio.open(path, "w", **profile, crs="EPSG:3857", transform=grid, nodata=0) as file:
        file.write(bands)
    return path


WATER, LEAVES, CLOUD, ROCK, NOTHING = (
    (20, 40, 60, 10),
    (20, 40, 20, 120),
    (190, 195, 199, 190),
    (90, 90, 80, 95),
    (0, 0, 0, 0),
)


def table_of(tmp_path, text=TABLE):
    path = tmp_path / "classes.toml"
    path.write_text(text, encoding="utf-8")
    return load_class_table(path, variables={"imagery": str(tmp_path / "imagery")})


def test_the_first_rule_that_holds_gives_the_class(tmp_path):
    write_scene(tmp_path / "imagery" / "a.tif", WATER, LEAVES, CLOUD, ROCK, NOTHING)
    shares = write_class_rasters(table_of(tmp_path), folder=tmp_path / "classes")
    with rasterio.open(tmp_path / "classes" / "a.tif") as written:
        assert written.read(1).tolist() == [[1, 2, 3, 0, 0]]  # rock fits no rule; no data is no class
        assert (written.nodata, written.crs.to_epsg()) == (0, 3857)
    assert shares == {"a.tif": {0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}}  # of the pixels that hold data


def test_one_file_a_band(tmp_path):
    whole = write_scene(tmp_path / "whole.tif", WATER, LEAVES)
    with rasterio.open(whole) as file:
        bands, profile = file.read(), {**file.profile, "count": 1}
    (tmp_path / "imagery").mkdir()
    for number, band in enumerate(bands, start=1):
        with rasterio.open(tmp_path / "imagery" / f"b{number}.tif", "w", **profile) as file:
            file.write(band, 1)
    files = '\nfiles = ["b1.tif", "b2.tif", "b3.tif", "b4.tif"]'
    text = TABLE.replace('path = "${imagery}/*.tif"', 'path = "${imagery}"' + files)
    assert write_class_rasters(table_of(tmp_path, text), folder=tmp_path / "classes")["b1.tif"] == {1: 0.5, 2: 0.5}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (", nir = 4", "", "ndwi needs the band nir"),
        ("code = 3", "code = 0", "greater than or equal to 1"),
        ("ndvi", "evi", "evi"),
        ("*.tif", "*.jp2", "matches no raster file"),
        ("${imagery}", "${pictures}", "${pictures} has no value"),
    ],
)
def test_a_table_that_cannot_be_is_refused(tmp_path, old, new, said):
    write_scene(tmp_path / "imagery" / "a.tif", WATER)
    with pytest.raises(RecipeError, match=said.replace("$", r"\$").replace("{", r"\{").replace("}", r"\}")):
        write_class_rasters(table_of(tmp_path, TABLE.replace(old, new)), folder=tmp_path / "classes")


def test_a_band_that_is_not_there_is_named(tmp_path):
    write_scene(tmp_path / "imagery" / "a.tif", WATER)
    with pytest.raises(SourceError, match="4 bands; the table asks for band 9 as nir"):
        write_class_rasters(table_of(tmp_path, TABLE.replace("nir = 4", "nir = 9")), folder=tmp_path / "classes")


def test_a_tile_is_told_from_the_classes_of_its_own_day(tmp_path):
    write_scene(tmp_path / "imagery" / "a_20200101.tif", WATER, WATER)
    write_scene(tmp_path / "imagery" / "a_20200701.tif", LEAVES, WATER)
    table = tmp_path / "classes.toml"
    table.write_text(TABLE, encoding="utf-8")
    asked = ["classify", str(table), "--var", f"imagery={tmp_path / 'imagery'}", "-o", str(tmp_path / "classes")]
    answer = CliRunner().invoke(app, [*asked, "--json"])
    assert json.loads(answer.stdout)["shares"]["a_20200101.tif"] == {"1": 1.0}
    cover = open_land_cover(
        recipe.LandCover(path=str(tmp_path / "classes" / "*.tif"), classes=CLASSES, date_pattern=r"_(\d{8})\.tif$")
    )

    def told(day):
        found = cover.of([TILE], tile_size=256, day=day)[TILE]
        return found and {each["name"]: each["share"] for each in found}

    assert told(date(2020, 1, 1)) == {"water": 1.0}
    assert told(date(2020, 7, 1)) == {"forest": 0.5, "water": 0.5}
    assert told(date(2021, 1, 1)) is None  # nobody saw that day


def test_parts_of_a_tile_are_left_out_where_images_are_turned(tmp_path):
    write_scene(tmp_path / "imagery" / "a.tif", WATER, LEAVES)
    write_class_rasters(table_of(tmp_path), folder=tmp_path / "classes")
    path = str(tmp_path / "classes" / "a.tif")
    for parts, expected in ((True, {"north-west", "north-east"}), (False, {None})):
        cover = open_land_cover(recipe.LandCover(path=path, classes=CLASSES, parts=parts))
        assert {each["part"] for each in cover.of([TILE], tile_size=256)[TILE]} <= expected | {None}
