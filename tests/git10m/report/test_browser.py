"""The report in a real browser: it opens offline, filters filter, counts are the index's, no data runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from browser import Browser, chromium
from rich_dataset import ARABIC, SCRIPT

VISIBLE = "[...document.querySelectorAll('#kept > article')].filter(card => card.checkVisibility())"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, rich_dataset: Path) -> Browser:
    return browser.open(rich_dataset / "report.html")


def choose(page: Browser, name: str, value: str) -> None:
    """Choose an option as a person does: the field gets the focus, and keys are pressed until the option is there."""
    page.run(f"document.querySelector('#filters [name={name}]').focus()")
    page.press("Home", code=36)
    for _ in range(40):
        if page.run(f"document.querySelector('#filters [name={name}]').value") == value:
            return
        page.press("ArrowDown", code=40)
    raise AssertionError(f"{name} has no option {value!r}")


def shown(page: Browser, list_: str = "kept") -> int:
    """How many cards of a list fit, those behind its button included."""
    visible = page.run(
        f"[...document.querySelectorAll('#{list_} > article')].filter(card => card.checkVisibility()).length"
    )
    button = page.run(f"document.querySelector('#{list_} + .more').checkVisibility()")
    left = page.run(f"document.querySelector('#{list_} + .more').textContent")
    return int(visible) + (int(re.search(r"of ([\d,]+)", left).group(1).replace(",", "")) if button else 0)


def outcome(page: Browser) -> str:
    return str(page.run("document.getElementById('outcome').textContent"))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_opens_without_a_network_and_without_complaint(
    browser: Browser, rich_dataset: Path, width: int, dark: bool
) -> None:
    browser.media(dark=dark)
    browser.open(rich_dataset / "report.html", width=width)

    assert browser.faults == []
    assert browser.width() <= width
    # All pictures decode, those that wait for being looked at too.
    browser.run("Promise.all([...document.images].map(i => { i.loading = 'eager'; return i.decode(); })).then(() => 1)")
    browser.media()


def test_nothing_of_the_data_runs_or_becomes_markup(page: Browser) -> None:
    assert page.dialogs == [] and page.faults == []
    assert page.run("document.scripts.length") == 2  # the page's own, and its numbers
    assert page.run(
        "[...document.querySelectorAll('*')].every(e => !e.getAttributeNames().some(n => n.startsWith('on')))"
    )
    assert SCRIPT in page.run("document.body.textContent")
    # A policy holds even what would slip through.
    page.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(9)>')")
    page.run("new Promise(done => setTimeout(done, 100))")
    assert page.dialogs == []
    assert any("Content Security Policy" in fault for fault in page.faults)


def test_every_filter_shows_just_the_rows_of_the_index_that_have_its_value(page: Browser, rich_dataset: Path) -> None:
    index = pq.read_table(rich_dataset / "index.parquet").to_pandas()
    index["class"] = [facts["land_cover"][0]["name"] for facts in index.caption_facts]
    columns = {
        "level": "level",
        "source": "source_id",
        "split": "split",
        "licence": "licence",
        "class": "class",
        "writer": "caption_source",
    }
    for name, column in columns.items():
        counts = index[column].fillna("not stated").astype(str).value_counts().to_dict()
        options = page.run(
            f"[...document.querySelector('#filters [name={name}]').options].map(o => [o.value, o.label])"
        )
        assert {value for value, _ in options} == {"", *counts}
        for value, label in options[1:]:
            choose(page, name, value)
            assert shown(page) == counts[value]  # all 72 rows are in the gallery
            assert label.endswith(f"({counts[value]})")
            assert f"In the whole dataset: {counts[value]} rows." in outcome(page)
        page.click("#filters [type=reset]")
        page.run("new Promise(done => setTimeout(done, 20))")
        assert shown(page) == len(index)


def test_filters_go_together_and_stand_in_the_address(page: Browser, browser: Browser, rich_dataset: Path) -> None:
    index = pq.read_table(rich_dataset / "index.parquet").to_pandas()
    expected = int(((index.level == 14) & (index.split == "train") & (index.caption_source == "openai")).sum())

    choose(page, "level", "14")
    choose(page, "split", "train")
    choose(page, "writer", "openai")

    assert shown(page) == expected > 0
    address = page.run("location.hash")
    assert address == "#level=14&split=train&writer=openai"
    browser.open(rich_dataset / "report.html", fragment=address)
    assert shown(browser) == expected
    assert browser.run("document.getElementById('tiles').getBoundingClientRect().top") < 900


def test_words_are_sought_in_captions_facts_and_names(page: Browser, rich_dataset: Path) -> None:
    page.run("document.querySelector('#filters [name=q]').focus()")
    page.write("RIVER number 7")
    assert shown(page) == page.run(
        "[...document.querySelectorAll('#kept > article')]"
        ".filter(c => ['river', 'number', '7'].every(w => c.textContent.toLowerCase().includes(w))).length"
    )
    assert "In the whole dataset" not in outcome(page)  # only pictures can tell
    page.run("document.querySelector('#filters [name=q]').select()")
    page.write(ARABIC.split()[0])
    assert shown(page) == pq.read_table(rich_dataset / "index.parquet")["caption"].to_pylist().count(ARABIC) > 0


def test_scores_have_a_range(page: Browser, rich_dataset: Path) -> None:
    index = pq.read_table(rich_dataset / "index.parquet").to_pandas()
    page.run("document.querySelector('#filters [name=min]').focus()")
    page.write("4.8")
    assert shown(page) == int((index.img_quality_score >= 4.8).sum())
    page.run("document.querySelector('#filters [name=max]').focus()")
    page.write("6")
    assert shown(page) == int(index.img_quality_score.between(4.8, 6).sum())


def test_flags_are_shown_beside_what_is_known(page: Browser, rich_dataset: Path) -> None:
    flags = pq.read_table(rich_dataset / "index.parquet")["caption_flags"].to_pylist()
    for value, holds in (
        ("flagged", bool),
        ("clean", lambda f: f == []),
        ("not stated", lambda f: f is None),
    ):
        choose(page, "flags", value)
        assert shown(page) == sum(map(holds, flags))
    text = page.run("document.querySelector('.alarm').textContent")
    assert "contradiction: river, but no water" in text and "bare land 30 %" in text and "Hôtel de Ville" in text


def test_what_was_turned_away_is_found_by_its_reason(page: Browser, browser: Browser, rich_dataset: Path) -> None:
    choose(page, "verdict", "failed")
    assert (shown(page), shown(page, "notkept")) == (0, 9)
    assert (
        page.run("document.querySelector('#notkept article:not([hidden])').textContent").count("nothing was read") == 1
    )

    page.click('.chips [data-reason="near_duplicate"]')
    page.run("new Promise(done => setTimeout(done, 50))")
    assert page.run("location.hash") == "#reason=near_duplicate"
    assert (shown(page), shown(page, "notkept")) == (0, 9)
    page.click('.chips [data-reason=""]')
    assert (shown(page), shown(page, "notkept")) == (72, 36)


def test_more_are_shown_on_request_and_with_the_keyboard(page: Browser) -> None:
    assert page.run(f"{VISIBLE}.length") == 24
    page.run("document.querySelector('#kept + .more').focus()")
    page.press("Enter", code=13, text="\r")
    assert page.run(f"{VISIBLE}.length") == 48
    assert page.run("document.activeElement.matches('#kept > article:nth-child(25)')")


def test_a_tile_tells_all_that_is_known(page: Browser) -> None:
    page.click("#kept > article:first-child summary")
    text = page.run("document.querySelector('#kept > article:first-child details').innerText")
    for words in (
        "Further captions",
        "land cover",
        "12.5 km north-east of Zürich, Switzerland",
        "402–611 m",
        "CLIP",
        "SHA-256",
    ):
        assert words in text
    assert page.run("document.querySelector('#kept > article:first-child a').href").startswith("geo:47.")
    assert page.run("document.querySelector('#kept > article:first-child .further img').alt").startswith("nir of tile")
    find = f"[...document.querySelectorAll('#kept p')].find(p => p.textContent === {json.dumps(ARABIC)})"
    arabic = page.run(f"getComputedStyle({find}).direction")
    assert arabic == "rtl"
    assert page.run("getComputedStyle(document.body).direction") == "ltr"


def test_maps_are_coloured_by_what_is_chosen_and_come_nearer(page: Browser) -> None:
    stroke = "getComputedStyle(document.querySelector('.near .tiles')).stroke"
    by_level = page.run(stroke)
    page.click("[name=colour][value=split]")
    assert page.run(stroke) != by_level
    legend = page.run(
        "[...document.querySelectorAll('.colours .keys')].filter(k => k.checkVisibility()).map(k => k.innerText)"
    )
    assert len(legend) == 1 and "validation" in legend[0] and "level" not in legend[0]

    page.click(".zoom [aria-label=Nearer]")
    assert page.run("document.querySelector('.near').getAttribute('viewBox')") == "100 72.5 200 145"
    page.click(".zoom [aria-label='Whole place']")
    assert page.run("document.querySelector('.near').getAttribute('viewBox')") == "0 0 400 290"


def test_without_scripts_all_tiles_stand_there_to_be_read(browser: Browser, rich_dataset: Path) -> None:
    browser.scripts(enabled=False)
    browser.open(rich_dataset / "report.html", width=390)
    visible = "[...document.querySelectorAll('article')].filter(e => e.checkVisibility()).length"
    found = browser.run(visible), browser.run("document.querySelector('#filters').checkVisibility()"), browser.width()
    browser.scripts(enabled=True)
    assert found[0] >= 72 + 36 and not found[1] and found[2] <= 390


def test_paper_gets_no_controls(page: Browser) -> None:
    page.media("print")
    controls = page.run(
        "[...document.querySelectorAll('button, select, input')].filter(e => e.checkVisibility()).length"
    )
    page.media()
    assert controls == 0


def test_headings_names_and_contrast_serve_everyone(page: Browser) -> None:
    levels: list[int] = page.run(
        "[...document.querySelectorAll('h1,h2,h3,h4')].filter(h => h.checkVisibility()).map(h => +h.tagName[1])"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert page.run("[...document.images].every(i => i.hasAttribute('alt'))")
    assert page.run("[...document.querySelectorAll('form input, form select')].every(e => e.labels.length === 1)")
    assert page.run("[...document.querySelectorAll('th')].every(th => th.scope)")
    named: list[str] = page.run("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(named) == len(set(named))
    links: list[str] = page.run("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href'))")
    assert all("=" in link or link[1:] in named for link in links)
    for dark in (False, True):
        page.media(dark=dark)
        assert page.faint() == []
    page.media()
