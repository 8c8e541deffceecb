"""Exports that are killed, asked for again, or cannot be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_world import MadeWorld

from text2earth.errors import ExportError, RequestError
from text2earth.exporting import Area, Film, Flight, Tiles, export

ROOT = Path(__file__).parents[3]
AREA = Area(0.0, 40.0, 30.0, 55.0)

NAMES = ["alps.tif", "alps.pmtiles", "alps.mbtiles", "alps", "alps.gif"]

KILLED = """
import os, signal, sys
from pathlib import Path
from made_world import MadeWorld, kill_after
from text2earth.exporting import Area, Film, Flight, Tiles, export, parts

def run(target, painted, written):
    world = MadeWorld(before=kill_after(painted))
    if written:  # kill while the target is written, for which the painted tiles are read one by one
        strike, opened, listed = kill_after(written), parts.Image.open, parts.Parts.tiles
        parts.Parts.tiles = lambda self: (tile for tile in listed(self) if strike([tile]) is None)
        parts.Image.open = lambda *given: strike(given) or opened(*given)
    if target.suffix == ".gif":
        return export(world, Film(Flight(11.0, 48.0, zooms=(3, 6), width=800, height=600, seconds=1, fps=4)), target)
    return export(world, Tiles(Area(0.0, 40.0, 30.0, 55.0), (6, 6) if target.suffix == ".tif" else (4, 6)), target)

for name, painted, written in zip(sys.argv[1::3], map(int, sys.argv[2::3]), map(int, sys.argv[3::3])):
    child = os.fork()  # a process of its own, which need not load everything again
    if not child:
        run(Path(name), painted, written)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (name, status)
"""

NEVER = 1 << 30
LEFT = (".part", ".part-wal", ".part-shm", ".new", ".new.plain")


def kill(folder: Path, names: list[str]) -> None:
    """Start exports and kill them: while painting in ``early``, then while painting and while writing in ``late``."""
    runs = [[str(folder / "early" / "alps.pmtiles"), "16", "0"]]
    for name in names:
        runs += [[str(folder / "late" / name), "16", "0"], [str(folder / "late" / name), str(NEVER), "3"]]
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    subprocess.run(
        [sys.executable, "-c", KILLED, *(word for words in runs for word in words)],
        env=os.environ | {"PYTHONPATH": places},
        check=True,
    )


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A folder of exports that were killed."""
    folder = tmp_path_factory.mktemp("killed")
    kill(folder, ["alps.pmtiles", "alps.gif"])
    return folder


@pytest.fixture
def early(killed, tmp_path) -> Path:
    """The target of an export that was killed when it had painted a batch."""
    shutil.copytree(killed / "early", tmp_path, dirs_exist_ok=True)
    assert not (tmp_path / "alps.pmtiles").exists()
    return tmp_path / "alps.pmtiles"


def wanted_of(target: Path) -> Tiles | Film:
    if target.suffix == ".gif":
        return Film(Flight(11.0, 48.0, zooms=(3, 6), width=800, height=600, seconds=1, fps=4))
    return Tiles(AREA, (6, 6) if target.suffix == ".tif" else (4, 6))


def content_of(target: Path) -> dict[str, bytes]:
    files = sorted(target.rglob("*")) if target.is_dir() else [target]
    return {str(file.relative_to(target)): file.read_bytes() for file in files if file.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alps.tif", "alps.mbtiles", "alps"])
def test_killed_exports_of_other_formats_go_on(tmp_path, world, name):
    kill(tmp_path / "killed", [name])
    assert_goes_on(tmp_path / "killed" / "late" / name, tmp_path / name, world)


@pytest.mark.parametrize("name", ["alps.pmtiles", "alps.gif"])
def test_a_killed_export_goes_on_and_ends_as_if_nothing_had_been(killed, tmp_path, world, name):
    assert_goes_on(killed / "late" / name, tmp_path / name, world)


def assert_goes_on(there: Path, here: Path, world: MadeWorld) -> None:
    """What was killed there is what is made here at one go."""
    name = there.name
    assert not there.exists()
    assert there.with_name(f"{name}.part").exists()
    done = export(MadeWorld(), wanted_of(here), here)
    again = export(world, wanted_of(there), there)
    assert again["painted"] == len(world.asked) == 0  # the second process painted what the first had not
    assert content_of(there) == content_of(here)
    assert again | {"out": "", "painted": 0} == done | {"out": "", "painted": 0}
    assert not [there.with_name(name + rest) for rest in LEFT if there.with_name(name + rest).exists()]


def test_what_was_painted_is_not_painted_again(early, world):
    done = export(world, wanted_of(early), early)
    assert done["tiles"] - done["painted"] >= 16
    assert done["painted"] == len(world.asked) > 0


def test_a_batch_that_fails_keeps_those_before_it(tmp_path):
    def break_down(tiles):
        if len(breaking.asked) >= 16:
            raise OSError("no space left on device")

    breaking = MadeWorld(before=break_down)
    with pytest.raises(OSError, match="no space left"):
        export(breaking, Tiles(AREA, (4, 6)), tmp_path / "alps.mbtiles")
    assert [path.name for path in tmp_path.iterdir()] == ["alps.mbtiles.part"]
    mended = MadeWorld()
    export(mended, Tiles(AREA, (4, 6)), tmp_path / "alps.mbtiles")
    assert not set(mended.asked) & set(breaking.asked)


def test_killed_between_the_target_and_the_cleaning_it_is_done(tmp_path, world, monkeypatch):
    target = tmp_path / "alps.pmtiles"
    monkeypatch.setattr("text2earth.exporting.parts.Parts.remove", lambda self: None)
    export(world, wanted_of(target), target)
    assert target.with_name("alps.pmtiles.part").exists()
    monkeypatch.undo()
    content = target.read_bytes()
    assert export(world, wanted_of(target), target)["painted"] == 0
    assert target.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["alps.pmtiles"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (MadeWorld(seed=8), r"seed \(7 there, 8 here\)"),
        (MadeWorld(prompt="sand"), r"prompt \(\"fields & <woods>\" there, \"sand\" here\)"),
    ],
)
def test_a_part_of_another_world_is_refused(early, other, message):
    with pytest.raises(ExportError, match=message):
        export(other, wanted_of(early), early)
    assert other.asked == []


def test_a_part_of_another_request_is_refused(early, world):
    with pytest.raises(ExportError, match=r"tiles \(\"png\" there, \"jpg\" here\)"):
        export(world, Tiles(AREA, (4, 6), "jpg"), early)


def test_a_file_that_is_no_part_is_refused(tmp_path, world):
    (tmp_path / "alps.tif.part").write_bytes(b"something else" * 100)
    with pytest.raises(ExportError, match=r"alps.tif.part is no export under way .* remove it"):
        export(world, Tiles(AREA, (6, 6)), tmp_path / "alps.tif")
    assert (tmp_path / "alps.tif.part").exists()


def test_two_exports_do_not_write_one_file(tmp_path, world):
    target = tmp_path / "alps.pmtiles"

    def ask_too(tiles):
        with pytest.raises(ExportError, match=r"if another export writes alps\.pmtiles now, wait for it"):
            export(MadeWorld(), wanted_of(target), target)
        world.before = lambda tiles: None

    world.before = ask_too
    assert export(world, wanted_of(target), target)["painted"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_target_that_exists_is_not_touched(tmp_path, world, name):
    target = tmp_path / name
    if target.suffix:
        target.write_bytes(b"mine")
    else:
        target.mkdir()
        (target / "mine").touch()
    before = content_of(target)
    with pytest.raises(ExportError, match=f"{name} exists; remove it, or choose another name"):
        export(world, wanted_of(target), target)
    assert content_of(target) == before
    assert world.asked == []
    assert len(list(tmp_path.iterdir())) == 1


def test_an_empty_folder_is_filled(tmp_path, world):
    (tmp_path / "alps").mkdir()
    export(world, Tiles(AREA, (4, 4)), tmp_path / "alps")
    assert (tmp_path / "alps" / "tilejson.json").exists()


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("a.zip", Tiles(AREA, (4, 5)), r"ends in \.zip; the endings are \.tif, \.tiff, \.pmtiles"),
        ("a.png", Tiles(AREA, (4, 5)), r"ends in \.png"),
        ("a.tif", Tiles(AREA, (4, 5)), "--zooms 4-5 was given; a GeoTIFF is of one zoom"),
        ("a.tif", Tiles(AREA, (4, 4), "webp"), "a GeoTIFF, which loses nothing"),
        ("a.pmtiles", Tiles(AREA, (1, 5)), "--zooms 1-5 was given; this world has the zooms 2–6"),
        ("a.pmtiles", Tiles(AREA, (4, 7)), "--zooms 4-7 was given; this world has the zooms 2–6"),
        ("a.pmtiles", Tiles(AREA, (5, 4)), "--zooms 5-4 was given; the first zoom is at most the last"),
        ("a.pmtiles", Tiles(AREA, (4, 5), "jpg", 0), "quality 0 was given; it is 1–100"),
        ("a.pmtiles", Tiles(AREA, (4, 5), "png", 80), "quality 80 was given for PNG"),
        ("a.pmtiles", Tiles(AREA, (4, 5), "bmp"), "kind 'bmp' were asked for"),
        ("a.gif", Tiles(AREA, (4, 5)), "is a film, which is of a place: give --place LON LAT"),
        ("a.tif", Film(Flight(0.0, 0.0, zooms=(3, 4))), "is no film, and --place was given"),
        ("a.gif", Film(Flight(0.0, 0.0, zooms=(3, 6.5))), "--zooms 3-6.5 was given; this world has the zooms 2–6"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_painted(tmp_path, world, name, wanted, message):
    with pytest.raises(RequestError, match=message):
        export(world, wanted, tmp_path / name)
    assert world.asked == []
    assert list(tmp_path.iterdir()) == []
