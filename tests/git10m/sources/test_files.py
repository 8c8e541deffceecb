"""From the paths of a recipe to scenes: folders, globs, one file a band, names and dates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from made_rasters import source

from git10m.errors import RecipeError, SourceError
from git10m.sources import Moment
from git10m.sources.files import acquisition, find_scenes


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def names(path: Any, **said: Any) -> list[str]:
    return [scene.name for scene in find_scenes(source(path, **said))]


def test_a_folder_is_taken_recursively_and_only_its_rasters(tmp_path: Path):
    touch(tmp_path, "b.TIF", "a.tiff", "deep/er/c.jp2", "readme.txt", "a.tiff.aux.xml", "a.tiff.msk", "d.vrt")
    assert names(tmp_path) == ["a.tiff", "b.TIF", "d.vrt", "deep/er/c.jp2"]


def test_a_file_that_is_named_outright_may_end_as_it_likes(tmp_path: Path):
    touch(tmp_path, "scene.dat")
    assert names(tmp_path / "scene.dat") == ["scene.dat"]


def test_a_glob_names_files_below_its_fixed_part(tmp_path: Path):
    touch(tmp_path, "2019/a.tif", "2020/a.tif", "2020/b.tif", "2020/c.png")
    assert names(tmp_path / "*/a.tif") == ["2019/a.tif", "2020/a.tif"]
    assert names(tmp_path / "2020/*.tif") == ["a.tif", "b.tif"]
    assert names(tmp_path / "**/*.tif") == ["2019/a.tif", "2020/a.tif", "2020/b.tif"]


def test_scenes_come_in_the_order_of_their_names_wherever_they_are(tmp_path: Path):
    touch(tmp_path, "z/1.tif", "a/2.tif")
    assert names((str(tmp_path / "z"), str(tmp_path / "a"))) == ["1.tif", "2.tif"]


def test_files_of_one_name_in_several_folders_are_all_taken(tmp_path: Path):
    touch(tmp_path, "2019/ortho.tif", "2020/ortho.tif", "2020/other.tif")
    found = find_scenes(source((str(tmp_path / "2019"), str(tmp_path / "2020"))))
    assert [scene.name for scene in found] == ["2019/ortho.tif", "2020/ortho.tif", "other.tif"]
    assert [Path(scene.files[0]).parent.name for scene in found] == ["2019", "2020", "2020"]


def test_a_file_that_two_paths_lead_to_is_one_scene(tmp_path: Path):
    touch(tmp_path, "a.tif", "b.tif")
    assert names((str(tmp_path), str(tmp_path / "a.tif"))) == ["a.tif", "b.tif"]


def test_names_hold_nothing_of_the_machine(tmp_path: Path):
    touch(tmp_path, "in/a.tif")
    for path in (tmp_path, tmp_path / "in", tmp_path / "in/a.tif", tmp_path / "in/*.tif"):
        assert all(tmp_path.name not in name for name in names(path))


def test_exclude_leaves_out_by_file_name_or_path(tmp_path: Path):
    touch(tmp_path, "a.tif", "b_mask.tif", "old/a.tif", "old/c.tif")
    assert names(tmp_path, exclude=["*_mask.tif"]) == ["a.tif", "old/a.tif", "old/c.tif"]
    assert names(tmp_path, exclude=["old/*"]) == ["a.tif", "b_mask.tif"]
    assert names(tmp_path, exclude=["a.tif", "*_mask.tif"]) == ["old/c.tif"]


@pytest.mark.parametrize("path", ["nothing", "*.tif", "empty"])
def test_a_path_that_leads_to_nothing_is_the_recipes_fault(path: str, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match=r"source 'made': .* matches no raster file; check the path"):
        find_scenes(source(tmp_path / path))


def test_excluding_everything_is_the_recipes_fault(tmp_path: Path):
    touch(tmp_path, "a.tif")
    with pytest.raises(RecipeError, match=r"source 'made': exclude .* leaves nothing"):
        find_scenes(source(tmp_path, exclude=["*"]))


# --- one file a band -----------------------------------------------------------------------------------------------

LANDSAT = ["*_B4.TIF", "*_B3.TIF", "*_B2.TIF"]


def landsat(folder: Path, *products: str, bands: tuple[int, ...] = (2, 3, 4, 5, 10)) -> Path:
    return touch(folder, *(f"{product}_B{band}.TIF" for product in products for band in bands))


def test_a_landsat_folder_is_one_scene(tmp_path: Path):
    folder = landsat(tmp_path / "LC08_20180405", "LC08_L1TP_013032_20180405")
    (scene,) = find_scenes(source(folder, bands=LANDSAT))
    assert scene.name == "LC08_20180405/LC08_L1TP_013032_20180405"
    assert [Path(file).name[-6:] for file in scene.files] == ["B4.TIF", "B3.TIF", "B2.TIF"]
    assert scene.problem is None


def test_several_scenes_in_one_folder_are_told_apart(tmp_path: Path):
    folder = landsat(tmp_path / "all", "LC08_013032_20180405", "LC08_013032_20190408", "LC09_013032_20230101")
    found = find_scenes(source(folder, bands=LANDSAT))
    assert [scene.name for scene in found] == [
        "all/LC08_013032_20180405",
        "all/LC08_013032_20190408",
        "all/LC09_013032_20230101",
    ]
    for scene in found:
        assert {Path(file).name.rsplit("_", 1)[0] for file in scene.files} == {scene.name.removeprefix("all/")}


def test_a_glob_of_folders(tmp_path: Path):
    for product in ("LC08_A", "LC08_B"):
        landsat(tmp_path / product, product)
    touch(tmp_path, "LC08_notes.txt")
    assert names(tmp_path / "LC08_*", bands=LANDSAT) == ["LC08_A/LC08_A", "LC08_B/LC08_B"]


def test_a_missing_band_is_a_problem_of_that_scene_alone(tmp_path: Path):
    folder = landsat(tmp_path / "all", "LC08_A")
    landsat(folder, "LC08_B", bands=(4, 2))
    whole, broken = find_scenes(source(folder, bands=LANDSAT))
    assert whole.problem is None
    assert broken.problem == "no file for bands ['*_B3.TIF'] beside LC08_B_B4.TIF"


def test_a_missing_first_band_is_named_too(tmp_path: Path):
    folder = landsat(tmp_path / "all", "LC08_A")
    landsat(folder, "LC08_B", bands=(3, 2))
    whole, broken = find_scenes(source(folder, bands=LANDSAT))
    assert (whole.problem, broken.problem) == (None, "no file for bands ['*_B4.TIF'] beside LC08_B_B3.TIF")


SAFE = [f"GRANULE/*/IMG_DATA/R10m/*_{band}_10m.jp2" for band in ("B04", "B03", "B02")]


def safe(folder: Path, granule: str) -> Path:
    below = f"GRANULE/L2A_{granule}/IMG_DATA/R10m/{granule}_20200831T100031"
    return touch(folder, *(f"{below}_{band}_10m.jp2" for band in ("B02", "B03", "B04", "B08", "TCI")))


def test_a_safe_folder_and_a_glob_of_them(tmp_path: Path):
    first = safe(tmp_path / "S2A_20200831.SAFE", "T33UVR")
    safe(tmp_path / "S2B_20200905.SAFE", "T33UVR")
    (scene,) = find_scenes(source(first, bands=SAFE))
    assert scene.name.startswith("S2A_20200831.SAFE/")
    assert [Path(file).name[-11:-8] for file in scene.files] == ["B04", "B03", "B02"]
    both = find_scenes(source(tmp_path / "*.SAFE", bands=SAFE))
    assert [scene.name.split("/")[0] for scene in both] == ["S2A_20200831.SAFE", "S2B_20200905.SAFE"]


def test_several_granules_in_one_safe_folder_are_scenes_of_their_own(tmp_path: Path):
    folder = safe(tmp_path / "S2A.SAFE", "T33UVR")
    safe(folder, "T33UVS")
    found = find_scenes(source(folder, bands=SAFE))
    assert len(found) == 2
    assert all(len({Path(file).parts[-4] for file in scene.files}) == 1 for scene in found)


def test_scene_folders_whose_files_are_called_alike_are_told_apart(tmp_path: Path):
    for place in ("east", "west"):
        touch(tmp_path / place, "B02.tif", "B03.tif", "B04.tif")
    found = find_scenes(source(tmp_path, bands=["*/B04.tif", "*/B03.tif", "*/B02.tif"]))
    assert [scene.name.rsplit("/", 1)[-1] for scene in found] == ["east", "west"]
    for scene in found:
        assert {Path(file).parent.name for file in scene.files} == {scene.name.rsplit("/", 1)[-1]}


def test_files_named_outright_are_one_scene(tmp_path: Path):
    touch(tmp_path / "va", "NAIP-VA-b1.tiff", "NAIP-VA-b2.tiff", "NAIP-VA-b3.tiff")
    (scene,) = find_scenes(source(tmp_path / "va", bands=["NAIP-VA-b1.tiff", "NAIP-VA-b2.tiff", "NAIP-VA-b3.tiff"]))
    assert scene.name == "va/NAIP-VA"


def test_bands_that_no_file_has_are_the_recipes_fault(tmp_path: Path):
    landsat(tmp_path, "LC08_A")
    with pytest.raises(RecipeError, match=r"with bands \['\*_B04.TIF'\] matches no raster file"):
        find_scenes(source(tmp_path, bands=["*_B04.TIF"]))


# --- dates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "moment"),
    [
        (r"_(\d{8})\.tif$", "naip_20200831.tif", Moment(datetime(2020, 8, 31, tzinfo=UTC), "day")),
        (r"_(\d{4}-\d{2}-\d{2})", "s2_2020-06-21.tif", Moment(datetime(2020, 6, 21, tzinfo=UTC), "day")),
        (r"__(\d{4})", "peru__1985.tif", Moment(datetime(1985, 1, 1, tzinfo=UTC), "year")),
        (r"(\d{4}_\d{2})", "mosaic/2021_07/a.tif", Moment(datetime(2021, 7, 1, tzinfo=UTC), "month")),
        (
            r"_(\d{8}T\d{6})_",
            "T33UVR_20200831T100031_TCI.jp2",
            Moment(datetime(2020, 8, 31, 10, 0, 31, tzinfo=UTC), "second"),
        ),
        (
            r"(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d{4})",
            "31.08.2020.tif",
            Moment(datetime(2020, 8, 31, tzinfo=UTC), "day"),
        ),
    ],
)
def test_a_pattern_reads_the_date_and_how_exactly_it_is_known(pattern: str, name: str, moment: Moment):
    assert acquisition(source("x", date_pattern=pattern), name) == moment


def test_a_date_of_the_recipe_holds_for_all_files():
    assert acquisition(source("x", acquired_at="2020-08-31"), "a") == Moment(datetime(2020, 8, 31, tzinfo=UTC), "day")
    exact = acquisition(source("x", acquired_at="2020-08-31T12:30:00+02:00"), "a")
    assert exact == Moment(datetime(2020, 8, 31, 10, 30, tzinfo=UTC), "second")


def test_undated_files_stay_undated():
    assert acquisition(source("x"), "a_20200831.tif") is None


def test_a_pattern_that_finds_nothing_names_the_file():
    with pytest.raises(SourceError, match=r"b\.tif: date_pattern .* of source 'made' finds no date"):
        acquisition(source("x", date_pattern=r"_(\d{8})"), "b.tif")


@pytest.mark.parametrize("name", ["a_20201331.tif", "a_20200230.tif"])
def test_digits_that_are_no_date_are_quoted(name: str):
    with pytest.raises(SourceError, match=r"which is no date; its digits must read as YYYY"):
        acquisition(source("x", date_pattern=r"_(\d{8})"), name)
