"""Recipes: what they may say, and what is answered when they say something else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git10m.errors import RecipeError
from git10m.recipe import Percentiles, Recipe, load_recipe, parse_recipe

LEAST = """
name = "small"
[[source]]
id = "survey"
path = "${imagery}/*.tif"
"""


def parsed(text: str = LEAST, **variables: str) -> Recipe:
    return parse_recipe(text, variables={"imagery": "in", **variables})


def with_source(line: str) -> Recipe:
    return parsed(LEAST + line)


def refusal(text: str, **variables: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parsed(text, **variables)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_least_recipe_has_the_stated_defaults():
    recipe = parsed()
    assert recipe.tiles.levels == tuple(range(10, 19))
    assert (recipe.tiles.size, recipe.tiles.min_valid, recipe.tiles.oversample) == (256, 0.95, False)
    assert (recipe.image.format, recipe.image.quality, recipe.image.fill) == ("jpeg", 95, (0, 0, 0))
    assert recipe.on_error == "skip"
    (source,) = recipe.source
    assert source.paths == ("in/*.tif",)
    assert (source.bands, source.scale, source.resampling, source.dates) == (None, None, "auto", "separate")
    assert recipe.cell_level == 10


def test_a_full_recipe():
    recipe = parsed(
        """
        name = "region"
        version = "2.0"
        on_error = "stop"
        [region]
        bbox = [14, 50, 15, 51]
        [tiles]
        levels = [15, 14, 15]
        levels_paired = true
        [image]
        format = "webp"
        quality = 80
        fill = [255, 255, 255]
        [[source]]
        id = "s2"
        path = ["a", "b"]
        bands = ["*_B04.jp2", "*_B03.jp2", "*_B02.jp2"]
        scale = [[0, 3000], [0, 2800], [0, 2600]]
        acquired_at = 2020-08-31T10:00:31Z
        levels = [12, 13]
        [[source]]
        id = "naip"
        path = "c"
        bands = [1, 2, 3]
        scale = {percentiles = [1, 99]}
        acquired_at = 2020-08-31
        [captions.land_cover]
        path = "classes.tif"
        classes = {10 = "forest", 80 = "water"}
        [splits]
        validation = 0.1
        cell_level = 11
        """
    )
    assert recipe.tiles.levels == (14, 15)
    s2, naip = recipe.source
    assert s2.scale == ((0.0, 3000.0), (0.0, 2800.0), (0.0, 2600.0))
    assert s2.acquired_at == datetime(2020, 8, 31, 10, 0, 31, tzinfo=UTC)
    assert naip.acquired_at == datetime(2020, 8, 31, tzinfo=UTC)
    assert naip.scale == Percentiles(percentiles=(1.0, 99.0))
    assert naip.bands == (1, 2, 3)
    assert recipe.cell_level == 11
    assert recipe.captions.land_cover is not None
    assert recipe.captions.land_cover.classes == {"10": "forest", "80": "water"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nam = 'x'\n" + LEAST, "recipe: unknown key 'nam'; did you mean 'name'?"),
        (LEAST + "[tiles]\nlevel = [14]\n", "recipe: unknown key 'tiles.level'; did you mean 'levels'?"),
        (LEAST + "[tiles]\nmin_vlid = 0.5\n", "unknown key 'tiles.min_vlid'; did you mean 'min_valid'?"),
        (LEAST + "licens = 'x'\n", "unknown key 'source.0.licens'; did you mean 'licence'?"),
        (LEAST + "license = 'x'\n", "unknown key 'source.0.license'; did you mean 'licence'?"),
        (LEAST + "[splits]\nvalid = 0.1\n", "unknown key 'splits.valid'; did you mean 'validation'?"),
        (
            LEAST + "[curation.verdicts]\nmin_entropi = 1\n",
            "unknown key 'curation.verdicts.min_entropi'; did you mean 'min_entropy'?",
        ),
        (
            LEAST + "[captions.land_cover]\npath='x'\nclasses={1='a'}\natribute='c'\n",
            "unknown key 'captions.land_cover.atribute'; did you mean 'attribute'?",
        ),
        (LEAST + "[image]\nzzz = 1\n", "unknown key 'image.zzz'; known keys: format, quality, fill"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(text: str, message: str):
    assert message in refusal(text)


def test_every_fault_is_told_at_once():
    message = refusal("nam = 1\n[tiles]\nsize = 300\n[[source]]\npath = 'x'\n")
    assert len(message.splitlines()) == 4
    for part in ("unknown key 'nam'", "tiles.size = 300", "name is missing", "source.0.id is missing"):
        assert part in message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bands = [1, 2]", "bands = [1, 2]: give three for red, green, blue, or one"),
        ("bands = [0, 1, 2]", "band numbers start at 1"),
        ("bands = []", "give three for red, green, blue, or one"),
        ("scale = [3000, 0]", "give [low, high] with low < high"),
        ("scale = [0, nan]", "give [low, high] with low < high"),
        ("scale = [[0, 1], [0, 2]]", "or three such pairs"),
        ("scale = []", "give [low, high] with low < high, or three such pairs"),
        ("scale = {percentile = [2, 98]}", "unknown key 'source.0.scale.percentile'; did you mean 'percentiles'?"),
        ("scale = {percentiles = [98, 2]}", "must rise within 0–100"),
        ("scale = {percentiles = [2, 101]}", "must rise within 0–100"),
        ("date_pattern = '_(\\d{8}'", "is no regular expression"),
        ("date_pattern = '\\d{8}'", "needs a group"),
        ("acquired_at = 'summer'", "source.0.acquired_at: 'summer' is no ISO 8601 date"),
        ("acquired_at = 2020-01-01\ndate_pattern = '(\\d{8})'", "give acquired_at or date_pattern, not both"),
        ("levels = [0, 14]", "source.0.levels.0 = 0"),
        ("levels = [23]", "source.0.levels.0 = 23"),
        ("levels = []", "source.0.levels"),
        ("resampling = 'nicest'", "source.0.resampling = 'nicest'"),
        ("layer = 'My Layer'", "source.0.layer = 'My Layer'"),
        ("platform = 'balloon'", "source.0.platform = 'balloon'"),
        ("kind = 'rastr'", "source.0.kind = 'rastr': no such kind; did you mean 'raster'?"),
        ("kind = 'xyz'", "source.0.url is missing"),
    ],
)
def test_a_wrong_value_of_a_source_names_key_value_and_expectation(line: str, message: str):
    assert message in refusal(LEAST + line)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 'x'", "source is missing"),
        ("name = 'x'\nsource = []", "a recipe needs at least one [[source]]"),
        ("name = 'x'\n[[source]]\nid = 'a'\npath = []", "source.0.path"),
        ("name = 'A b'\n[[source]]\nid='a'\npath='b'", "name = 'A b'"),
        (LEAST + LEAST.replace('name = "small"', ""), "two sources are called 'survey'"),
        (LEAST + "[tiles]\nlevels = []", "at least one level is needed, e.g. levels = [14, 15]"),
        (LEAST + "[tiles]\nsize = 300", "tiles.size = 300"),
        (LEAST + "[tiles]\nmin_valid = 95", "tiles.min_valid = 95"),
        (LEAST + "[image]\nquality = 101", "image.quality = 101"),
        (LEAST + "[image]\nfill = [0, 0, 256]", "image.fill.2 = 256"),
        (LEAST + "[region]\n", "say one of bbox = [west, south, east, north], file"),
        (LEAST + "[region]\nbbox = [1,2,3]\n", "region.bbox"),
        (LEAST + "[region]\nbbox = [1,2,3,4]\nfile = 'a'\n", "say one of bbox"),
        (LEAST + "[splits]\nvalidation = 0.6\ntest = 0.4\n", "leave nothing to train on"),
        (LEAST + "[splits]\ncell_level = 12\n", "cell_level = 12 is finer than the coarsest level 10"),
        (LEAST + "[captions.land_cover]\npath = 'a'", "a class raster needs classes"),
        (LEAST + "on_error = 'maybe'", "on_error"),
    ],
)
def test_a_wrong_recipe_names_what_is_wrong(text: str, message: str):
    assert message in refusal(text)


def test_toml_that_cannot_be_read_says_where():
    assert "recipe: not valid TOML: " in refusal("name = \n")
    assert "line 1" in refusal("name = \n")


def test_a_recipe_that_is_not_there_or_not_text(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"none\.toml: cannot read the recipe \(No such file or directory\)"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "image.toml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(RecipeError, match=r"image\.toml: cannot read the recipe .*give the path of a TOML file"):
        load_recipe(tmp_path / "image.toml")


# --- variables -----------------------------------------------------------------------------------------------------


def test_variables_are_filled_in_everywhere():
    recipe = parsed(LEAST + "attribution = '© ${who} ${year}'", who="Us", year="2024", imagery="/data")
    assert recipe.source[0].path == "/data/*.tif"
    assert recipe.source[0].attribution == "© Us 2024"


def test_a_missing_variable_says_how_to_give_it():
    assert refusal(LEAST.replace("${imagery}", "${photos}")) == (
        "recipe: ${photos} has no value; add --var photos=VALUE"
    )


def test_the_folder_of_computed_scenes_is_filled_by_the_build(tmp_path: Path):
    recipe = parsed(LEAST.replace("${imagery}", "${scenes}"))
    assert recipe.source[0].path == "${scenes}/*.tif"
    located = recipe.located(tmp_path, scenes=tmp_path / "work/scenes")
    assert located.source[0].path == str(tmp_path / "work/scenes/*.tif")


def test_paths_start_from_the_recipes_folder(tmp_path: Path):
    text = """
    name = "x"
    [region]
    file = "area.geojson"
    [[source]]
    id = "a"
    path = ["one", "/two", "https://example.org/three.tif"]
    [captions.land_cover]
    path = "classes.tif"
    classes = {1 = "water"}
    [[captions.areas]]
    path = "parks.gpkg"
    """
    located = parsed(text).located(tmp_path, scenes=tmp_path / "s")
    assert located.source[0].path == (str(tmp_path / "one"), "/two", "https://example.org/three.tif")
    assert located.region is not None
    assert located.region.file == str(tmp_path / "area.geojson")
    assert located.captions.land_cover is not None
    assert located.captions.land_cover.path == str(tmp_path / "classes.tif")
    assert located.captions.areas[0].path == str(tmp_path / "parks.gpkg")


def test_a_recipe_says_the_same_wherever_its_files_are(tmp_path: Path):
    here, there = parsed(imagery="/here"), parsed(imagery="/there")
    assert here != there
    assert here.canonical() == there.canonical()
    assert here.canonical() == here.located(tmp_path, scenes=tmp_path).canonical()
    assert here.canonical() != with_source("nodata = 0").canonical()


@given(st.lists(st.integers(1, 22), min_size=1))
def test_levels_are_sorted_and_said_once(levels: list[int]):
    recipe = parsed(LEAST + f"[tiles]\nlevels = {levels}\n")
    assert recipe.tiles.levels == tuple(sorted(set(levels)))
    assert recipe.cell_level == min(levels)


def test_the_coarsest_level_of_any_source_makes_the_cells_of_splits():
    assert with_source("levels = [8, 12]").cell_level == 8


def test_recipes_cannot_be_changed():
    recipe: Any = parsed()
    with pytest.raises(ValueError, match="frozen"):
        recipe.name = "other"


@pytest.mark.parametrize("name", ["demo", "real-rasters"])
def test_the_recipes_of_the_project_are_right(name: str):
    path = Path(__file__).parents[2] / "pipelines" / f"{name}.toml"
    assert load_recipe(path, variables={"imagery": "in"}).source
