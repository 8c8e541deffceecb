"""Verdicts tried on a sample: what it says is what a build then does."""

from __future__ import annotations

import json
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import width_of
from rude_server import Answer, RudeServer, image
from small_imagery import built, command, texture, write_recipe, write_scene

Capture = pytest.CaptureFixture[str]
RULES = (
    "[curation]\nduplicates = {exact = false, near = false}\n[curation.verdicts]\nmin_contrast = 12\nmax_white = 0.5"
)


class Words(HTMLParser):
    """Text and pictures of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.pictures: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures.append(dict(attrs)["src"] or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """Parcels, a calm lake and a snowfield in one scene, and the recipe."""
    pixels = texture(1500, 1500, seed=4)
    ripples = np.random.default_rng(4).integers(-4, 5, (500, 500), dtype=np.int16)
    pixels[:, :500, :500] = np.array([12, 30, 50], dtype=np.uint8)[:, None, None] + ripples
    pixels[:, 1000:, 1000:] = 245
    write_scene(tmp_path / "imagery/a.tif", pixels=pixels)
    write_recipe(tmp_path / "recipe.toml", more=RULES)
    return tmp_path


def test_the_whole_plan_is_judged_as_the_build_then_does(survey: Path, capfd: Capture) -> None:
    out = survey / "verdicts.html"
    order = ("judge", survey / "recipe.toml", "--var", f"imagery={survey / 'imagery'}", "--out", out)
    said = command(capfd, *order, "--tiles", 5000, "--json")
    assert said.code == 0, said.err
    assert {path.name for path in survey.iterdir()} == {"imagery", "recipe.toml", "verdicts.html"}
    manifest = built(survey, survey / "dataset")
    assert manifest is not None
    counts = manifest["counts"]
    assert said.json["planned"] == said.json["read"] == counts["planned"]
    assert said.json["would_keep"] == counts["kept"]
    assert said.json["would_drop"] == counts["dropped"]
    assert {"contrast", "valid_fraction"} <= counts["dropped"].keys()
    page = Words(out.read_text(encoding="utf-8"))
    assert f"would stay {counts['kept']}" in page.text
    assert "at least 12" in page.text
    assert "at most 0.5" in page.text
    assert "Quality score" in page.text  # measured, without a threshold
    assert page.pictures
    assert all(picture.startswith("data:image/webp;base64,") for picture in page.pictures)
    assert "http" not in out.read_text(encoding="utf-8").replace("http://www.w3.org", "")


@pytest.mark.parametrize("width", [390, 1280])
def test_no_width_of_screen_needs_sideways_scrolling(survey: Path, capfd: Capture, width: int) -> None:
    out = survey / "verdicts.html"
    order = ("judge", survey / "recipe.toml", "--var", f"imagery={survey / 'imagery'}", "--out", out, "--tiles", 40)
    assert command(capfd, *order).code == 0
    assert width_of(out, survey, screen=width) <= width


def test_only_the_sample_is_fetched_and_what_fails_is_told(tmp_path: Path, capfd: Capture) -> None:
    def manner(path: str, _: int) -> Answer | bytes:
        number = zlib.crc32(path.encode())
        return Answer(404) if number % 3 == 0 else image(number)

    with RudeServer(manner) as server:
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(
            'name = "served"\n[region]\nbbox = [11.27, 47.99, 11.58, 48.2]\n[tiles]\nlevels = [14]\n'
            f'[[source]]\nid = "tiles"\nkind = "xyz"\nurl = "{server.url}/{{z}}/{{x}}/{{y}}.jpg"\n'
            'contact = "tests@example.org"\n',
            encoding="utf-8",
        )
        order = ("judge", recipe, "--out", tmp_path / "v.html", "-o", tmp_path / "d", "--tiles", 30, "--json")
        first = command(capfd, *order).json
        assert first["read"] + first["failed"]["no_data"] == server.asked() == 30
        assert command(capfd, *order).json == first
        assert server.asked() == 30  # the second time they were there
    assert "Not read: no_data" in Words((tmp_path / "v.html").read_text(encoding="utf-8")).text


def test_nothing_that_can_be_read_is_a_page_too(survey: Path, capfd: Capture) -> None:
    with RudeServer(lambda *_: Answer(404)) as server:
        recipe = survey / "served.toml"
        recipe.write_text(
            'name = "served"\n[region]\nbbox = [11.27, 47.99, 11.58, 48.2]\n[tiles]\nlevels = [12]\n'
            f'[[source]]\nid = "tiles"\nkind = "xyz"\nurl = "{server.url}/{{z}}/{{x}}/{{y}}.jpg"\n'
            'contact = "tests@example.org"\n',
            encoding="utf-8",
        )
        said = command(capfd, "judge", recipe, "--out", survey / "v.html", "--json")
    assert said.code == 0, said.err
    assert said.json["read"] == 0
    assert "would stay" in (survey / "v.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_told_before_anything_is_read(survey: Path, capfd: Capture) -> None:
    for out in (survey / "nowhere/v.html", survey / "v.png", survey):
        said = command(capfd, "judge", survey / "recipe.toml", "--var", "imagery=/nowhere", "--out", out)
        assert said.code == 2
        assert "--out" in said.err


def test_images_of_a_list_are_judged_by_their_names(tmp_path: Path, capfd: Capture) -> None:
    folder = tmp_path / "images/field"
    folder.mkdir(parents=True)
    for i in range(4):
        (folder / f"{i}.jpg").write_bytes(image(i + 1))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'name = "set"\n[curation.verdicts]\nmin_quality = 9.9\n[[source]]\nid = "set"\nkind = "pairs"\n'
        f'format = "folders"\npath = "{tmp_path / "images"}"\n',
        encoding="utf-8",
    )
    said = command(capfd, "judge", recipe, "--out", tmp_path / "v.html", "--json")
    assert said.code == 0, said.err
    assert said.json["would_drop"] == {"quality": 4}
    assert json.dumps(said.json["would_keep"]) == "0"
    assert "field/2" in Words((tmp_path / "v.html").read_text(encoding="utf-8")).text
