"""A few tiles of each source as one picture, fetched as a build would fetch them."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rude_server import Answer, RudeServer, image
from small_imagery import DATES, command, write_recipe, write_scene

Capture = pytest.CaptureFixture[str]
TOP, SIDE, GAP, ROW = 46, 256, 16, 34 + 256 + 5 * 17 + 16


def shown(path: Path, row: int, column: int) -> np.ndarray:
    """The pixels of a tile of a preview."""
    left, top = GAP + column * (SIDE + GAP), TOP + row * ROW
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").crop((left, top, left + SIDE, top + SIDE)))


def test_each_date_has_a_row_of_whole_tiles(tmp_path: Path, capfd: Capture) -> None:
    for year in (2019, 2020, 2021):
        write_scene(tmp_path / f"imagery/a_{year}0701.tif", size=1600, seed=year)
    recipe = write_recipe(tmp_path / "recipe.toml", source=DATES)
    out = tmp_path / "preview.png"
    said = command(
        capfd, "preview", recipe, "--var", f"imagery={tmp_path / 'imagery'}", "--out", out, "--tiles", 3, "--json"
    )
    assert said.code == 0, said.err
    assert said.json == {"preview": str(out), "tiles": 9, "failed": []}
    with Image.open(out) as picture:
        assert picture.size == (3 * (SIDE + GAP) + GAP, 3 * ROW + GAP)
    first, second = (shown(out, row, 0) for row in (0, 1))
    assert first.std() > 10
    assert np.abs(first.astype(int) - second).mean() > 5  # another date, another picture
    assert {path.name for path in tmp_path.iterdir()} == {"imagery", "recipe.toml", "preview.png"}


def served(folder: Path, url: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(
        'name = "served"\n[region]\nbbox = [11.27, 47.99, 11.58, 48.2]\n[tiles]\nlevels = [12, 14]\n'
        f'[[source]]\nid = "tiles"\nkind = "xyz"\nurl = "{url}/{{z}}/{{x}}/{{y}}.jpg"\n'
        'contact = "tests@example.org"\nlicence = "CC0-1.0"\n',
        encoding="utf-8",
    )
    return path


def test_only_the_tiles_that_are_shown_are_fetched_and_the_build_keeps_them(tmp_path: Path, capfd: Capture) -> None:
    with RudeServer(lambda path, _: image(zlib.crc32(path.encode()))) as server:
        recipe = served(tmp_path, server.url)
        order = ("preview", recipe, "--out", tmp_path / "a.png", "--output", tmp_path / "dataset", "--json")
        assert command(capfd, *order).json["tiles"] == 4
        assert server.asked() == 4
        levels = {asked.path.split("/")[1] for asked in server.log}
        assert levels == {"12", "14"}
        assert command(capfd, *order).json["tiles"] == 4
        assert server.asked() == 4  # kept where the build will go


def test_tiles_that_cannot_be_read_say_why(tmp_path: Path, capfd: Capture) -> None:
    with RudeServer(lambda *_: Answer(200, b"<html>please log in</html>", {"Content-Type": "text/html"})) as server:
        said = command(capfd, "preview", served(tmp_path, server.url), "--out", tmp_path / "a.png", "--json")
    assert said.code == 0
    assert said.json["tiles"] == 0
    assert len(said.json["failed"]) == 4
    assert "no image: '<html>please log in</html>'" in said.json["failed"][0]
    assert shown(tmp_path / "a.png", 0, 0).std() > 0  # the words


@pytest.mark.parametrize("out", ["preview.jpg", "no-such-folder/preview.png"])
def test_another_name_is_refused_before_anything_is_read(
    out: str, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = command(capfd, "preview", tmp_path / "recipe.toml", "--out", out)
    assert said.code == 2
    assert f"--out {out}: give a .png file in a folder that exists" in said.err
