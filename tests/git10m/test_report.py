"""The report: what it says, that it stands alone, and that it survives what datasets hold."""

from __future__ import annotations

import html
import io
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from browser import width_of
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_dataset import HOSTILE_CAPTION, Contents, block, small_contents, without_place, write_dataset

from git10m.errors import DatasetError, RequestError
from git10m.grid import MAX_LEVEL, Tile
from git10m.report import Figure, summarise, write_report
from git10m.report.charts import Mark, bars, histogram
from git10m.report.footprints import level_colour, place_map, places, position
from git10m.report.gallery import pick

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Reads a page, checks that its elements nest, and keeps what they are and where they point."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        names = {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}
        self.addresses += [value or "" for name, value in attrs if name in names]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def report(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small dataset with its report."""
    folder = tmp_path_factory.mktemp("report") / "dataset"
    shutil.copytree(small_dataset, folder)
    assert write_report(folder) == folder / "report.html"
    return folder


def test_the_page_is_well_formed_and_loads_nothing_from_elsewhere(report: Path) -> None:
    page = read(report)
    source = (report / "report.html").read_text()

    assert page.addresses and all(address.startswith("data:image/") for address in page.addresses)
    assert page.seen["script"] == page.seen["link"] == page.seen["iframe"] == 0
    assert "http://" not in source and "https://" not in source
    assert "url(" not in source.replace("url(#v", "")
    assert "default-src 'none'" in source


def test_numbers_are_those_of_the_manifest(report: Path) -> None:
    counts = json.loads((report / "manifest.json").read_text())["counts"]
    dropped, failed = sum(counts["dropped"].values()), sum(counts["failed"].values())
    text = read(report).text

    assert f"{counts['planned']} planned = {counts['kept']} kept + {dropped} dropped + {failed} failed" in text
    for split, rows in counts["splits"].items():
        assert f"{split} {rows}" in text
    assert f"valid_fraction (dropped) {counts['dropped']['valid_fraction']}" in text
    assert "do not balance" not in text


def test_text_of_the_data_cannot_become_markup(report: Path) -> None:
    page = read(report)

    assert HOSTILE_CAPTION in page.text
    assert page.seen["script"] == 0
    assert html.escape(HOSTILE_CAPTION, quote=False) in (report / "report.html").read_text().replace("&#34;", '"')


def test_the_gallery_shows_every_level_and_rejections_with_reasons(report: Path) -> None:
    page = read(report)

    assert page.seen["article"] == 53 + 14
    assert all(heading in page.text for heading in ("Level 0", "Level 14", "Level 15"))
    assert "resolution unknown" in page.text and "no caption" in page.text
    assert "0.41 < 0.95" in page.text
    assert "block 3 is truncated" in page.text and "nothing was read" in page.text
    assert "not a raster: the file begins with <html>" in page.text


def test_only_computed_imagery_is_called_so(report: Path, synthetic_dataset: Path) -> None:
    assert "computed by a program" in Page(write_report(synthetic_dataset).read_text()).text
    assert "computed by a program" not in read(report).text


def test_figures_are_shown_with_their_words(report: Path, tmp_path: Path) -> None:
    shutil.copytree(report, tmp_path / "dataset")
    noise = np.random.default_rng(1).integers(0, 255, (900, 900, 3), np.uint8)
    figures = []
    for title, pixels in (("What the model painted", noise[:64, :64]), ("A large one", noise)):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format="PNG")
        figures.append(Figure(title, stream.getvalue(), 'level 14, "a river" <seed 1>'))

    page = Page(write_report(tmp_path / "dataset", extra_figures=figures).read_text())

    assert "What the model painted" in page.text and '"a river" <seed 1>' in page.text
    assert page.addresses[0].startswith("data:image/png;base64,")  # as it was given
    assert page.addresses[1].startswith("data:image/webp;base64,")  # 2 MB of noise is stored with loss
    with pytest.raises(RequestError, match="'broken'"):
        write_report(tmp_path / "dataset", extra_figures=[Figure("broken", b"no picture", "")])


def test_a_large_dataset_makes_no_large_page(tmp_path: Path) -> None:
    contents = Contents()
    block(contents, lon=7.0, lat=46.0, level=16, side=31, source_id="north")
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format="JPEG", quality=95)
    heavy = {"bytes": stream.getvalue(), "path": "noise.jpg"}
    contents.rows = [replace(row, image=heavy, caption="word " * 2000) for row in contents.rows]
    folder = write_dataset(tmp_path / "dataset", contents, synthetic=False, row_group_rows=100)

    path = write_report(folder)

    assert path.stat().st_size < 6_000_000
    assert Page(path.read_text()).seen["article"] <= 60 + 24


def test_a_dataset_without_any_place(tmp_path: Path) -> None:
    contents = small_contents()
    rows = [replace(without_place(row), acquired_at=None, img_name=f"{at}.jpg") for at, row in enumerate(contents.rows)]
    folder = write_dataset(tmp_path / "dataset", Contents(rows=rows), synthetic=False)

    text = Page(write_report(folder).read_text()).text

    assert "No row of this dataset has a place." in text
    assert summarise(folder)["bounds"] is None


def test_a_dataset_without_any_row(tmp_path: Path) -> None:
    contents = small_contents()
    folder = write_dataset(tmp_path / "dataset", Contents(rejections=contents.rejections), synthetic=False)
    text = Page(write_report(folder).read_text()).text
    assert "No tile was kept." in text
    assert "14 planned = 0 kept + 11 dropped + 3 failed" in text


def test_an_image_that_does_not_decode_is_shown_as_such(tmp_path: Path) -> None:
    contents = small_contents()
    broken = {"bytes": b"\xff\xd8 not much of a JPEG", "path": "broken.jpg"}
    contents.rows = [replace(row, image=broken) for row in contents.rows[:2]]
    folder = write_dataset(tmp_path / "dataset", contents, synthetic=False)
    assert Page(write_report(folder).read_text()).text.count("image does not decode") == 2


def test_accounts_that_do_not_balance_are_pointed_out(report: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    shutil.copytree(report, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["counts"]["kept"] += 1
    (folder / "manifest.json").write_text(json.dumps(manifest))

    assert not summarise(folder)["accounting"]["balanced"]
    assert "The accounts do not balance." in Page(write_report(folder).read_text()).text


def test_the_summary_is_that_of_the_rows(small_dataset: Path) -> None:
    summary = summarise(small_dataset)
    frame = pq.read_table(small_dataset / "index.parquet").to_pandas()

    assert json.loads(json.dumps(summary)) == {**summary, "bounds": list(summary["bounds"])}
    assert summary["accounting"]["balanced"]
    assert summary["counts"]["level"] == {str(level): n for level, n in frame.level.value_counts().sort_index().items()}
    assert summary["counts"]["licence"] == {"CC0-1.0": 40, "CC-BY-4.0": 12, "not stated": 1}
    assert summary["quantiles"]["gsd_m"]["count"] == 52
    assert summary["quantiles"]["gsd_m"]["p50"] == pytest.approx(frame.gsd_m.median(), rel=1e-6)
    assert summary["quantiles"]["caption_length"]["mean"] == pytest.approx(frame.caption_length.mean(), rel=1e-6)
    assert "img_quality_score" not in summary["quantiles"]  # nothing is scored
    assert summary["acquired"]["first"] == datetime(2020, 7, 14, tzinfo=UTC).isoformat()
    assert summary["items"] == {"read": 2, "unread": 1}


def test_a_folder_that_is_no_finished_dataset(small_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"manifest\.json"):
        summarise(tmp_path)
    shutil.copy(small_dataset / "manifest.json", tmp_path)
    with pytest.raises(DatasetError, match=r"index\.parquet"):
        write_report(tmp_path)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=300), st.integers(1, 80))
def test_a_choice_is_even_over_strata(strata: list[int], at_most: int) -> None:
    chosen = pick(np.array(strata, np.int32), at_most=at_most)
    shares = Counter(strata[row] for row in chosen)
    sizes = Counter(strata)

    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(at_most, len(strata))
    if at_most >= len(sizes):
        # No stratum gets two more than another that still had rows to give.
        short = [code for code in sizes if shares[code] < sizes[code]]
        assert all(shares[code] <= shares[other] + 1 for other in short for code in sizes)


def test_tiles_that_touch_are_one_place() -> None:
    near = [Tile.from_lonlat(14.4 + step / 50, 50.0, 15) for step in range(5)]
    far = [Tile.from_lonlat(-71.3, -33.4, 14)]
    tiles = np.array([(tile.level, tile.x, tile.y) for tile in (*far, *near)], np.int32)

    found = places(tiles)

    assert [len(place.tiles) for place in found] == [5, 1]
    assert [place.number for place in found] == [1, 2]
    assert position(*found[1].centre) == "33.40° S, 71.29° W"


@given(st.integers(1, MAX_LEVEL), st.floats(-179.9, 179.9), st.floats(-85, 85))
def test_a_tile_anywhere_can_be_drawn_within_its_frame(level: int, lon: float, lat: float) -> None:
    tile = Tile.from_lonlat(lon, lat, level)
    tiles = np.array([(tile.level, tile.x, tile.y)], np.int32)
    drawing = str(place_map(places(tiles)[0], levels=[level], refused=tiles[:0], towns=False))
    outline = re.search(r'class="tiles"[^>]* d="M([-\d.]+) ([-\d.]+)h([\d.]+)v([\d.]+)h', drawing)
    assert outline is not None
    x, y, width, height = map(float, outline.groups())
    assert x >= 22 and x + width <= 396 and y >= 4 and y + height <= 270
    assert width == pytest.approx(height, abs=0.2)  # web mercator keeps squares


def test_a_scale_bar_is_as_long_as_it_says() -> None:
    tile = Tile.from_lonlat(10.0, 60.0, 14)
    tiles = np.array([(14, tile.x, tile.y)], np.int32)
    drawing = str(place_map(places(tiles)[0], levels=[14], refused=tiles[:0], towns=False))
    side = float(re.search(r'class="tiles"[^>]* d="M[-\d.]+ [-\d.]+h([\d.]+)', drawing).group(1))
    bar = float(re.search(r'class="bar" d="M[-\d.]+ [-\d.]+v4h([\d.]+)', drawing).group(1))
    text = re.search(r'class="scale"[^>]*>([\d.]+) (k?m)<', drawing)
    metres = float(text.group(1)) * (1000 if text.group(2) == "km" else 1)
    assert metres / bar == pytest.approx(256 * tile.gsd_m() / side, rel=0.005)


def test_many_tiles_are_drawn_as_their_parents() -> None:
    columns, rows = np.meshgrid(np.arange(60) + 70_000, np.arange(60) + 45_000)
    tiles = np.stack([np.full(3600, 17), columns.ravel(), rows.ravel()], axis=1).astype(np.int32)
    drawing = str(place_map(places(tiles)[0], levels=[17], refused=tiles[:0], towns=True))
    assert 0 < re.search(r'class="tiles"[^>]* d="([^"]*)"', drawing).group(1).count("M") <= 600


def test_levels_have_colours_of_their_own() -> None:
    levels = list(range(10, 19))
    assert len({level_colour(level, levels) for level in levels}) == len(levels)
    assert level_colour(0, [0, 10]) not in {level_colour(10, [0, 10])}


@pytest.mark.parametrize("logarithmic", [False, True])
@given(values=st.lists(st.floats(2**-10, 2**20, width=32), min_size=1, max_size=50))
def test_every_histogram_can_be_drawn(values: list[float], logarithmic: bool) -> None:
    drawing = histogram(np.array(values, np.float32), logarithmic=logarithmic, marks=[Mark(52.0, "published <mean>")])
    Page(str(drawing))
    assert "nan" not in drawing and "published &lt;mean&gt;" in drawing


def test_bars_beyond_the_limit_are_added_up() -> None:
    page = Page(str(bars({f"source {n}": 10 for n in range(20)}, at_most=4)))
    assert "16 others 160" in page.text


@pytest.mark.parametrize("width", [390, 1280])
def test_no_width_of_screen_needs_sideways_scrolling(report: Path, tmp_path: Path, width: int) -> None:
    assert width_of(report / "report.html", tmp_path, screen=width) <= width
