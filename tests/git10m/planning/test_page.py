"""The plan as a page and in words: sizes and times that a person reads, maps that are not too large to open."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import width_of
from hypothesis import given
from hypothesis import strategies as st
from small_imagery import command, write_recipe, write_scene

from git10m.planning import write_plan
from git10m.planning.page import in_words, size_in_words, time_in_words

Capture = pytest.CaptureFixture[str]
Look = Callable[..., Any]


def served(bbox: str, levels: str, *, name: str = "served", terms: str = "") -> str:
    return (
        f'[region]\nbbox = {bbox}\n[tiles]\nlevels = {levels}\n[[source]]\nid = "{name}"\nkind = "xyz"\n'
        f'url = "https://tiles.example.org/{{z}}/{{x}}/{{y}}.jpg"\ncontact = "me@example.org"\nrate = 10\n{terms}\n'
    )


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (37.5e9, "37.5 GB"), (2e12, "2 TB"), (3.2e15, "3,200 TB")],
)
def test_sizes_are_read_at_a_glance(size: float, words: str) -> None:
    assert size_in_words(size).replace("3.2e+03", "3,200") == words


@pytest.mark.parametrize(
    ("hours", "words"),
    [(30 / 3600, "30 seconds"), (0.5, "30 minutes"), (3.2, "3.2 hours"), (72, "3 days"), (24 * 365, "365 days")],
)
def test_times_are_read_at_a_glance(hours: float, words: str) -> None:
    assert time_in_words(hours) == words


@given(st.floats(0, 1e18))
def test_words_say_the_size_to_three_digits(size: float) -> None:
    number, unit = size_in_words(size).split()
    factor = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert math.isclose(float(number.replace(",", "")) * factor, size, rel_tol=0.006, abs_tol=1e-3)


def test_words_and_page_say_the_same(looked: Look, tmp_path: Path) -> None:
    terms = 'licence = "CC-BY-4.0 <odd & ends>"\nattribution = "Survey of <Ruritania>"'
    outlook, _, plan = looked(served("[7.0, 46.0, 7.5, 46.4]", "[12, 13]", terms=terms))
    words = "\n".join(in_words(outlook))
    write_plan(outlook, plan, tmp_path / "plan.html", name="Valais & <more>")
    page = (tmp_path / "plan.html").read_text(encoding="utf-8")
    for count in (outlook.tiles, *outlook.levels.values(), outlook.sources[0].requests):
        assert f"{count:,}" in words
        assert f"{count:,}" in page
    assert "CC-BY-4.0 <odd & ends> (Survey of <Ruritania>)" in words
    assert "CC-BY-4.0 &lt;odd &amp; ends&gt;" in page
    assert "<more>" not in page
    assert "http" not in page.replace("http://www.w3.org", "")  # opens offline
    assert time_in_words(outlook.sources[0].hours) in page


@pytest.mark.parametrize("bbox", ["[170.0, -20.0, -170.0, -10.0]", "[-180.0, 80.0, 180.0, 85.0]"])
def test_a_map_can_be_drawn_anywhere(bbox: str, looked: Look, tmp_path: Path) -> None:
    outlook, _, plan = looked(served(bbox, "[6, 7]"))
    write_plan(outlook, plan, tmp_path / "plan.html", name="far")
    page = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert "nan" not in page
    assert page.count("<svg") >= 2


def test_a_page_of_many_tiles_stays_small(looked: Look, tmp_path: Path) -> None:
    outlook, _, plan = looked(served("[5.0, 45.0, 11.0, 48.0]", "[14, 15]"))
    assert outlook.tiles > 200_000
    write_plan(outlook, plan, tmp_path / "plan.html", name="many")
    assert (tmp_path / "plan.html").stat().st_size < 4e6
    assert "drawn as their parents" in (tmp_path / "plan.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [390, 1280])
def test_no_width_of_screen_needs_sideways_scrolling(width: int, looked: Look, tmp_path: Path) -> None:
    names = "orthophotos-of-the-whole-country-in-colour"
    outlook, _, plan = looked(served("[7.0, 46.0, 7.5, 46.4]", "[10, 11, 12, 13]", name=names))
    write_plan(outlook, plan, tmp_path / "plan.html", name="a-dataset-with-a-rather-long-name-of-a-single-word")
    assert width_of(tmp_path / "plan.html", tmp_path, screen=width) <= width


def test_the_command_writes_the_page(tmp_path: Path, capfd: Capture) -> None:
    write_scene(tmp_path / "imagery/a.tif")
    recipe = write_recipe(tmp_path / "recipe.toml")
    page = tmp_path / "plan.html"
    order = ("plan", recipe, "--var", f"imagery={tmp_path / 'imagery'}", "-o", tmp_path / "dataset")
    said = command(capfd, *order, "--map", page)
    assert said.code == 0, said.err
    assert f"map: {page}" in said.out
    assert "<h1>small: plan</h1>" in page.read_text(encoding="utf-8")
    assert not (tmp_path / "dataset/data").exists()


@pytest.mark.parametrize("page", ["folder.html", "no-such-folder/plan.html", "plan.png"])
def test_another_name_is_refused_before_anything_is_read(
    page: str, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    said = command(capfd, "plan", "recipe.toml", "--map", page)
    assert said.code == 2
    assert f"--map {page}: give a .html file in a folder that exists" in said.err
