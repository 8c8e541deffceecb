"""The page in a real browser: it shows the world, asks nobody else, and is used with mouse and keyboard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from analytic_server import FIRST, Running
from browser import Browser, chromium

from text2earth.serving import Area, Chosen
from text2earth.serving.pages import maplibre_file

SETTLED = """new Promise(done => {
  const end = Date.now() + 100000;
  const look = () => {
    const page = globalThis.synthetic;
    const idle = page && page.map.loaded() && page.map.areTilesLoaded() && page.tally.asked === page.tally.come;
    if (idle || Date.now() > end) done(Boolean(idle)); else setTimeout(look, 50);
  };
  setTimeout(look, 50);
})"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if maplibre_file("maplibre-gl.js") is None:
        pytest.skip("the package maplibre is not installed: there is no map to look at")
    with chromium(tmp_path_factory.mktemp("browser"), webgl=True) as opened:
        yield opened


def show(browser: Browser, server: Running, *, width: int = 1280, fragment: str = "#lon=9&lat=46&zoom=4") -> Browser:
    browser.open(f"{server.url}/", width=width, height=844, fragment=fragment)
    assert browser.run(SETTLED)
    return browser


def faults(browser: Browser) -> list[str]:
    """What went wrong, but for what the software renderer says of its own slowness."""
    return [fault for fault in browser.faults if "GL Driver Message" not in fault]


def keep(browser: Browser, name: str) -> None:
    """Keep a picture of the screen for a person to look at, where a folder is named for it."""
    import base64

    if folder := os.environ.get("TEXT2EARTH_SCREENSHOTS"):
        Path(folder, name).write_bytes(base64.b64decode(browser.ask("Page.captureScreenshot")["data"]))


def drag(browser: Browser, *points: tuple[float, float]) -> None:
    kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
    for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
        browser.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_is_readable_says_synthetic_and_asks_nobody_else(
    browser: Browser, server: Running, width: int, dark: bool
):
    browser.media(dark=dark)
    show(browser, server, width=width)
    keep(browser, f"{width}-{'dark' if dark else 'light'}.png")

    assert faults(browser) == []
    assert browser.width() <= width
    assert browser.run("document.querySelector('#badge').checkVisibility()")
    browser.run("document.querySelector('#panel').open = true")
    keep(browser, f"{width}-{'dark' if dark else 'light'}-panel.png")
    assert browser.faint() == []
    assert browser.run("document.querySelector('#badge').innerText").upper().startswith("SYNTHETIC")
    unnamed = browser.run(
        "[...document.querySelectorAll('input, select, button')].filter(e => e.checkVisibility()"
        "&& !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert unnamed == []
    browser.media()


@pytest.mark.slow
def test_pan_and_zoom_bring_the_tiles_of_the_place(browser: Browser, server: Running):
    show(browser, server)
    server.world.batches.clear()
    drag(browser, (800, 400), (700, 400), (400, 400))
    assert browser.run(SETTLED)
    browser.run("document.querySelector('#level').value = 8")
    browser.run("document.querySelector('#level').dispatchEvent(new Event('change'))")
    browser.run("new Promise(done => globalThis.synthetic.map.once('idle', () => done(1)))")
    assert browser.run(SETTLED)

    assert faults(browser) == []
    assert {z for batch in server.world.batches for z, _, _ in batch} >= {5, 8}
    assert "zoom=7.00" in browser.run("location.hash")
    colour = browser.run(
        "(() => { const m = globalThis.synthetic.map; m.redraw(); const gl = m.painter.context.gl;"
        "const p = new Uint8Array(4); gl.readPixels(gl.drawingBufferWidth / 2, gl.drawingBufferHeight / 2, 1, 1,"
        "gl.RGBA, gl.UNSIGNED_BYTE, p); return [...p, m.getCenter().lng]; })()"
    )
    assert abs(colour[0] - (colour[4] + 180) / 360 * 256) <= 2  # red tells the longitude


@pytest.mark.slow
def test_prompt_and_seed_choose_another_world(browser: Browser, server: Running):
    show(browser, server)
    assert browser.run("[document.querySelector('#prompt').value, document.querySelector('#seed').value]") == [
        FIRST.prompt,
        str(FIRST.seed),
    ]
    browser.run("document.querySelector('#prompt').select()")
    browser.write("open sea, grey")
    browser.click("#world [type=submit]")
    assert browser.run(SETTLED)
    server.until(lambda: Chosen("open sea, grey", 7) in server.worlds)
    browser.click("#dice")
    server.until(lambda: any(chosen.seed != 7 and chosen.prompt == "open sea, grey" for chosen in server.worlds))
    assert faults(browser) == []


@pytest.mark.slow
def test_a_box_is_drawn_repainted_and_undone(browser: Browser, server: Running):
    show(browser, server)
    browser.click("#draw")
    drag(browser, (600, 300), (700, 380), (820, 460))
    assert browser.run("document.querySelector('#what').textContent") == "the box"
    keep(browser, "1280-box.png")
    browser.run("document.querySelector('#here').focus()")
    browser.write("a lake, blue")
    browser.click("#repaint [type=submit]")
    assert browser.run(SETTLED)

    server.until(lambda: any(chosen.areas for chosen in server.worlds))
    (area,) = next(chosen.areas for chosen in server.worlds if chosen.areas)
    assert isinstance(area, Area)
    assert area.prompt == "a lake, blue"
    assert area.west < 9 < area.east
    keep(browser, "1280-repainted.png")
    # The address alone shows the same world.
    fragment = browser.run("location.hash")
    show(browser, server, fragment=fragment)
    assert browser.run("document.querySelector('#areas').innerText").startswith("a lake, blue")
    browser.click("#areas button")
    gone = (
        "(look => look(look))"
        "(look => document.querySelectorAll('#areas li').length ? setTimeout(look, 50, look) : done(1))"
    )
    assert browser.run(f"new Promise(done => {{ {gone}; setTimeout(done, 5000, 0); }})")
    assert faults(browser) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_the_view_is_downloaded(browser: Browser, server: Running, tmp_path: Path, kind: str):
    import rasterio

    show(browser, server)
    browser.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.click(f"[data-format={kind}]")
    found = tmp_path / f"synthetic-level-5-seed-7.{kind}"
    server.until(lambda: found.exists() and found.stat().st_size > 0)
    if kind == "tif":
        with rasterio.open(found) as opened:
            assert opened.crs.to_epsg() == 3857
            assert opened.tags()["SYNTHETIC"] == "YES"
    assert faults(browser) == []


@pytest.mark.slow
def test_a_busy_server_is_asked_again(browser: Browser, start):
    from text2earth.serving import ServerSettings

    server = start(ServerSettings(queue_tiles=3, image_tiles=3, batch_tiles=2))
    server.world.gate.clear()
    browser.open(f"{server.url}/", fragment="#lon=9&lat=46&zoom=4")
    server.until(lambda: server.metric("tiles_refused_total") > 0)
    assert "busy" in browser.run("document.querySelector('#count').textContent")
    server.world.gate.set()
    assert browser.run(SETTLED)
    assert server.metric("requests_total") > 3
    assert browser.run("document.querySelector('#progress').hidden")


def test_without_maplibre_the_page_says_what_to_install(server: Running, monkeypatch: pytest.MonkeyPatch):
    from importlib.metadata import PackageNotFoundError

    from text2earth.serving import pages

    def missing(_: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(pages, "distribution", missing)
    assert server.get("/assets/maplibre-gl.js").status_code == 404
    assert "git10m[serve]" in server.get("/assets/page.js").text


def test_the_page_may_load_nothing_from_elsewhere(server: Running):
    answer = requests.get(f"{server.url}/", timeout=60)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "://" not in policy
    assert "//" not in answer.text.replace("<!doctype html>", "")
