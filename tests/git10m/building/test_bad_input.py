"""What goes wrong outside: recipes, files, disks. Each gets a message that says what to do, and the right exit code."""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio.shutil
from PIL import Image
from small_imagery import Said, command, promised, small_units, total, write_recipe, write_scene

from git10m.verify import verify

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe and one good scene of 4 × 4 tiles at level 15."""
    write_scene(tmp_path / "imagery/good.tif", size=900)
    write_recipe(tmp_path / "recipe.toml")
    return tmp_path


def build(capfd: Capture, folder: Path, *options: object, output: str = "dataset") -> Said:
    given = ["--var", f"imagery={folder / 'imagery'}", "--output", folder / output, "--workers", 1]
    return command(capfd, "build", folder / "recipe.toml", *given, *options)


def manifest(folder: Path) -> dict:
    return json.loads((folder / "dataset/manifest.json").read_text())


# The recipe


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[tilez]\nlevels = [14]", "unknown key 'tilez'; did you mean 'tiles'?"),
        ("[image]\nquality = 101", "image.quality = 101"),
        ("[region]\nbbox = [10, 50, 11, 50]", "is empty"),
        ("on_eror = 'stop'", "unknown key"),
        ("= 3", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_exit_2_and_a_message(line: str, said: str, folder: Path, capfd: Capture) -> None:
    write_recipe(folder / "recipe.toml", more=line)
    answer = build(capfd, folder)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_a_missing_recipe_is_exit_2(folder: Path, capfd: Capture) -> None:
    (folder / "recipe.toml").unlink()
    answer = build(capfd, folder)
    assert answer.code == 2
    assert "recipe.toml" in answer.err


def test_a_variable_without_a_value_is_exit_2_and_says_how_to_give_it(folder: Path, capfd: Capture) -> None:
    answer = command(capfd, "build", folder / "recipe.toml", "--output", folder / "dataset")
    assert answer.code == 2
    assert "--var imagery=VALUE" in answer.err
    assert not (folder / "dataset").exists()


def test_a_path_that_matches_nothing_is_exit_2(folder: Path, capfd: Capture) -> None:
    shutil.rmtree(folder / "imagery")
    answer = build(capfd, folder)
    assert answer.code == 2
    assert "matches no raster file" in answer.err


def test_excluding_every_file_is_exit_2(folder: Path, capfd: Capture) -> None:
    write_recipe(folder / "recipe.toml", source='exclude = ["*"]')
    answer = build(capfd, folder)
    assert answer.code == 2
    assert "exclude" in answer.err


def test_a_region_without_imagery_is_exit_2(folder: Path, capfd: Capture) -> None:
    write_recipe(folder / "recipe.toml", more="[region]\nbbox = [100.0, 10.0, 101.0, 11.0]")
    answer = build(capfd, folder)
    assert answer.code == 2
    assert "no imagery touches the region" in answer.err


def test_levels_that_no_scene_supports_are_exit_2_and_name_the_native_resolution(folder: Path, capfd: Capture) -> None:
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("[14, 15]", "[18]"))
    answer = build(capfd, folder)
    assert answer.code == 2
    assert "3.5 m" in answer.err
    assert "oversample = true" in answer.err


def test_levels_that_an_archive_lacks_are_exit_2_and_name_those_it_has(tmp_path: Path, capfd: Capture) -> None:
    tile = tmp_path / "tiles/12/2000/1200.png"
    tile.parent.mkdir(parents=True)
    Image.new("RGB", (256, 256), (10, 90, 40)).save(tile)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "a"\ntiles.levels = [14]\n[[source]]\nid = "held"\nkind = "archive"\npath = "tiles"\n', encoding="utf-8"
    )
    answer = command(capfd, "build", recipe, "-o", tmp_path / "dataset")
    assert answer.code == 2
    assert "at levels [14] no imagery is there; there are held with levels 12–12" in answer.err


def test_tiles_that_are_all_dropped_are_exit_1_with_the_reasons(folder: Path, capfd: Capture) -> None:
    write_recipe(folder / "recipe.toml", more="[curation.verdicts]\nmin_entropy = 7.99")
    answer = build(capfd, folder)
    assert answer.code == 1
    assert "no tile was kept" in answer.err
    assert "entropy" in answer.err


# Files


def truncated(path: Path) -> None:
    write_scene(path, size=900, seed=5, east_px=900)
    os.truncate(path, path.stat().st_size // 2)


def zero_byte(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>")


def without_crs(path: Path) -> None:
    with pytest.warns(Warning, match="geotransform"):
        write_scene(path, size=300, crs=None)


def engineering_crs(path: Path) -> None:
    write_scene(path, size=300)
    with rasterio.open(path, "r+") as file:
        file.crs = rasterio.CRS.from_wkt('LOCAL_CS["site plan",UNIT["metre",1]]')


BAD = {function.__name__: function for function in (truncated, zero_byte, text, without_crs, engineering_crs)}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", BAD)
def test_one_bad_file_among_good_ones_is_counted_and_named(kind: str, folder: Path, capfd: Capture) -> None:
    BAD[kind](folder / "imagery/broken.tif")
    answer = build(capfd, folder, "--json")
    assert answer.code == 0, answer.err
    counts = answer.json["counts"]
    assert counts["kept"] >= 8
    assert counts["planned"] == total(counts)
    if kind == "truncated":  # its header is whole, so it is found out tile by tile
        rejected = pq.read_table(folder / "dataset/rejected.parquet").to_pylist()
        details = [row["detail"] for row in rejected if row["reason"] == "unreadable"]
        assert counts["failed"]["unreadable"] == len(details) > 0
        assert all("broken.tif" in detail and str(folder) not in detail for detail in details)
    else:
        assert "broken.tif" in answer.err
        assert [note["item"] for note in manifest(folder)["items"] if note["error"]] == ["broken.tif"]
    assert verify(folder / "dataset") == []


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", BAD)
def test_one_bad_file_stops_a_build_that_says_so_and_the_recipe_may_be_eased_afterwards(
    kind: str, folder: Path, capfd: Capture
) -> None:
    BAD[kind](folder / "imagery/broken.tif")
    write_recipe(folder / "recipe.toml", top='on_error = "stop"\n')
    answer = build(capfd, folder)
    assert answer.code == 1
    assert "broken.tif" in answer.err
    assert "on_error = 'stop'" in answer.err
    write_recipe(folder / "recipe.toml")
    assert build(capfd, folder).code == 0


@pytest.mark.parametrize("kind", ["zero_byte", "text"])
def test_only_unreadable_files_are_exit_1(kind: str, folder: Path, capfd: Capture) -> None:
    (folder / "imagery/good.tif").unlink()
    BAD[kind](folder / "imagery/broken.tif")
    answer = build(capfd, folder)
    assert answer.code == 1
    assert "broken.tif" in answer.err


def test_a_file_whose_colours_are_unknown_is_skipped_among_good_ones_and_refused_alone(
    folder: Path, capfd: Capture
) -> None:
    pixels = np.random.default_rng(1).integers(0, 3000, (5, 300, 300)).astype(np.uint16)
    write_scene(folder / "imagery/sensor.tif", pixels=pixels, photometric="MINISBLACK")
    answer = build(capfd, folder)
    assert answer.code == 0
    assert "skipped: sensor.tif" in answer.err
    (folder / "imagery/good.tif").unlink()
    answer = build(capfd, folder, output="other")
    assert answer.code == 2
    assert "bands = [1, 2, 3]" in answer.err
    assert "scale" in answer.err


# Repairs


@pytest.mark.parametrize("kind", ["truncated", "text"])
def test_retry_failed_takes_in_a_repaired_file(kind: str, folder: Path, capfd: Capture) -> None:
    broken = folder / "imagery/broken.tif"
    BAD[kind](broken)
    assert build(capfd, folder).code == 0
    before = manifest(folder)["counts"]
    write_scene(broken, size=900, seed=5, east_px=900)
    refused = build(capfd, folder)
    assert refused.code == 2
    assert "scenes.survey/broken.tif" in refused.err
    assert "--retry-failed" in refused.err
    assert build(capfd, folder, "--retry-failed").code == 0
    after = manifest(folder)["counts"]
    assert after["kept"] > before["kept"]
    assert "unreadable" not in after["failed"]
    assert verify(folder / "dataset") == []
    assert build(capfd, folder, output="fresh").code == 0
    assert promised(folder / "dataset") == promised(folder / "fresh")


def test_retry_failed_reads_again_what_could_not_be_read_for_a_while(
    folder: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from git10m.errors import SourceError
    from git10m.sources import mosaic

    read = mosaic.read_block

    def failing(scene: object, block: mosaic.Block) -> object:
        if block.level == 14:
            raise SourceError("good.tif: the server is away")
        return read(scene, block)  # type: ignore[arg-type]

    monkeypatch.setattr(mosaic, "read_block", failing)
    assert build(capfd, folder).code == 0
    assert manifest(folder)["counts"]["failed"]["unreadable"] > 0
    monkeypatch.undo()
    assert "holds this dataset already" in build(capfd, folder).err
    assert build(capfd, folder, "--retry-failed").code == 0
    assert build(capfd, folder, output="fresh").code == 0
    assert promised(folder / "dataset") == promised(folder / "fresh")


def test_only_units_that_a_repaired_file_touches_are_made_again(tmp_path: Path, capfd: Capture) -> None:
    write_scene(tmp_path / "imagery/west.tif")
    east = write_scene(tmp_path / "imagery/east.tif", seed=1, east_px=30_000)
    write_recipe(tmp_path / "recipe.toml")

    def done() -> dict[str, int]:
        notes = (tmp_path / "dataset/work/tiles").glob("*.done.json")
        return {path.name: path.stat().st_mtime_ns for path in notes}

    with small_units():
        assert build(capfd, tmp_path).code == 0
        before = done()
        write_scene(east, seed=2, east_px=30_000)
        assert build(capfd, tmp_path, "--retry-failed").code == 0
        after = done()
        assert 0 < sum(after[name] == stamp for name, stamp in before.items()) < len(before)
        assert build(capfd, tmp_path, output="fresh").code == 0
    assert promised(tmp_path / "dataset") == promised(tmp_path / "fresh")


def test_retry_failed_takes_no_other_recipe_and_no_other_files(folder: Path, capfd: Capture) -> None:
    assert build(capfd, folder).code == 0
    write_scene(folder / "imagery/more.tif", size=300)
    answer = build(capfd, folder, "--retry-failed")
    assert answer.code == 2
    assert "scenes.survey/more.tif" in answer.err
    (folder / "imagery/more.tif").unlink()
    write_recipe(folder / "recipe.toml", more="[image]\nquality = 80")
    assert build(capfd, folder, "--retry-failed").code == 2


def test_a_file_that_a_vrt_refers_to_belongs_to_the_inputs(folder: Path, capfd: Capture) -> None:
    good = folder / "imagery/good.tif"
    moved = good.rename(folder / "kept.tif")
    rasterio.shutil.copy(moved, folder / "imagery/scene.vrt", driver="VRT")
    assert build(capfd, folder).code == 0
    write_scene(moved, size=900, seed=9)
    answer = build(capfd, folder)
    assert answer.code == 2
    assert "scenes.survey/scene.vrt" in answer.err


# The folder


def test_another_recipe_in_the_same_folder_is_refused_and_the_key_is_named(folder: Path, capfd: Capture) -> None:
    assert build(capfd, folder).code == 0
    before = promised(folder / "dataset")
    write_recipe(folder / "recipe.toml", tiles="min_valid = 0.5")
    answer = build(capfd, folder)
    assert answer.code == 2
    assert "recipe.tiles.min_valid" in answer.err
    assert promised(folder / "dataset") == before


def test_a_finished_build_run_again_does_nothing(folder: Path, capfd: Capture) -> None:
    assert build(capfd, folder).code == 0
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "dataset").rglob("*") if path.suffix != ""}
    answer = build(capfd, folder)
    assert answer.code == 0
    assert "holds this dataset already" in answer.err
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_without_the_work_folder_the_dataset_is_still_whole(folder: Path, capfd: Capture) -> None:
    assert build(capfd, folder).code == 0
    before = promised(folder / "dataset")
    shutil.rmtree(folder / "dataset/work")
    assert command(capfd, "verify", folder / "dataset", "--workers", 1).code == 0
    assert "finished" in command(capfd, "status", folder / "dataset").out
    answer = build(capfd, folder)
    assert (answer.code, promised(folder / "dataset")) == (0, before)
    assert "holds this dataset already" in answer.err
    write_recipe(folder / "recipe.toml", tiles="min_valid = 0.5")
    shutil.rmtree(folder / "dataset/work")
    assert build(capfd, folder).code == 2


def test_two_builds_at_once_in_one_folder(folder: Path, capfd: Capture) -> None:
    from git10m.building.workspace import Workspace

    with Workspace(folder / "dataset").locked(shared=False):
        answer = build(capfd, folder)
    assert answer.code == 2
    assert "another build is at work there" in answer.err
    assert build(capfd, folder).code == 0


def test_missing_parents_of_the_output_are_made(folder: Path, capfd: Capture) -> None:
    assert build(capfd, folder, output="a/b/c").code == 0


def test_an_output_that_cannot_be_written_is_exit_1(folder: Path, capfd: Capture) -> None:
    (folder / "file").write_text("no folder")
    answer = build(capfd, folder, output="file/dataset")
    assert answer.code == 1
    assert "file/dataset" in answer.err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs more rights")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def read_only(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder that nobody may write into, the superuser included."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        folder = request.getfixturevalue("small_disk")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    return folder


def test_a_read_only_output_is_exit_1(read_only: Path, folder: Path, capfd: Capture) -> None:
    answer = command(
        capfd, "build", folder / "recipe.toml", "--var", f"imagery={folder / 'imagery'}", "--output", read_only / "a"
    )
    assert answer.code == 1
    assert f"{read_only / 'a'}: " in answer.err


def build_survey(capfd: Capture, survey: Path, folder: Path, *, workers: int = 1) -> Said:
    given = ["--var", f"imagery={survey / 'imagery'}", "--output", folder, "--workers", workers]
    return command(capfd, "build", survey / "recipe.toml", *given)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_full_disk_is_exit_1_and_after_making_room_the_build_goes_on(
    workers: int, survey: Path, undisturbed: Path, small_disk: Path, capfd: Capture
) -> None:
    full = build_survey(capfd, survey, small_disk / "dataset", workers=workers)
    assert full.code == 1
    assert "the disk is full" in full.err
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert build_survey(capfd, survey, small_disk / "dataset", workers=workers).code == 0
    assert promised(small_disk / "dataset") == promised(undisturbed)


def test_a_limit_on_the_size_of_files_is_exit_1_and_can_be_lifted(
    survey: Path, undisturbed: Path, tmp_path: Path, capfd: Capture
) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, usual[1]))
    try:
        limited = build_survey(capfd, survey, tmp_path / "dataset")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert limited.code == 1
    assert "File too large" in limited.err
    assert build_survey(capfd, survey, tmp_path / "dataset").code == 0
    assert promised(tmp_path / "dataset") == promised(undisturbed)
