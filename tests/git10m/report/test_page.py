"""The report: what it says, that it stands alone, and that it survives what datasets hold."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich_dataset import SCRIPT
from small_dataset import HOSTILE_CAPTION, Contents, block, small_contents, without_place, write_dataset

from git10m.errors import DatasetError, RequestError
from git10m.report import Figure, in_words, summarise, write_report

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

    assert page.addresses and all(address.startswith(("data:image/", "#", "geo:")) for address in page.addresses)
    assert page.seen["link"] == page.seen["iframe"] == page.seen["object"] == page.seen["base"] == 0
    assert "http://" not in source and "https://" not in source
    assert "url(" not in source.replace("url(#v", "") and "@import" not in source
    assert "default-src 'none'" in source and "'unsafe-eval'" not in source
    # The one script that may run is the page's own: the policy names its hash.
    script = source.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in source


def test_numbers_are_those_of_the_manifest(report: Path) -> None:
    counts = json.loads((report / "manifest.json").read_text())["counts"]
    dropped, failed = sum(counts["dropped"].values()), sum(counts["failed"].values())
    text = read(report).text

    assert f"{counts['planned']} planned = {counts['kept']} kept + {dropped} dropped + {failed} failed" in text
    for split, rows in counts["splits"].items():
        assert f"{split} {rows}" in text
    assert f"dropped: valid_fraction {counts['dropped']['valid_fraction']}" in text
    assert "First pass: a tile at a time 67 53 11 3" in text
    assert "do not balance" not in text


def test_text_of_the_data_cannot_become_markup(report: Path) -> None:
    page = read(report)

    assert HOSTILE_CAPTION in page.text
    assert page.seen["script"] == 2
    assert html.escape(HOSTILE_CAPTION, quote=False) in (report / "report.html").read_text().replace("&#34;", '"')


def test_the_gallery_shows_every_level_and_rejections_with_reasons(report: Path) -> None:
    page = read(report)

    assert page.seen["article"] == 53 + 14
    assert all(choice in page.text for choice in ("0 · unknown (1)", "14 · 8 m (20)", "15 · 4 m (32)"))
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
    for title, pixels, kind in (
        ("What the model painted", noise[:64, :64], "PNG"),
        ("A large one", noise, "PNG"),
        ("One that no browser shows", noise[:64, :64], "TIFF"),
    ):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format=kind)
        figures.append(Figure(title, stream.getvalue(), 'level 14, "a river" <seed 1>'))

    page = Page(write_report(tmp_path / "dataset", extra_figures=figures).read_text())

    assert "What the model painted" in page.text and '"a river" <seed 1>' in page.text
    pictures = [address for address in page.addresses if address.startswith("data:")]
    assert pictures[0].startswith("data:image/png;base64,")  # as it was given
    assert pictures[1].startswith("data:image/webp;base64,")  # 2 MB of noise is stored with loss
    assert pictures[2].startswith("data:image/webp;base64,")
    with pytest.raises(RequestError, match="'broken'"):
        write_report(tmp_path / "dataset", extra_figures=[Figure("broken", b"no picture", "")])


def test_a_large_dataset_makes_no_large_page(tmp_path: Path) -> None:
    contents = Contents()
    block(contents, lon=7.0, lat=46.0, level=16, side=17, source_id="north")
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format="JPEG", quality=95)
    heavy = {"bytes": stream.getvalue(), "path": "noise.jpg"}
    contents.rows = [replace(row, image=heavy, caption="word " * 2000) for row in contents.rows]
    folder = write_dataset(tmp_path / "dataset", contents, synthetic=False, row_group_rows=100)

    path = write_report(folder)

    assert path.stat().st_size < 8_000_000
    assert Page(path.read_text()).seen["article"] == 240 + 17


def test_a_dataset_without_any_place(tmp_path: Path) -> None:
    contents = small_contents()
    rows = [replace(without_place(row), acquired_at=None, img_name=f"{at}.jpg") for at, row in enumerate(contents.rows)]
    folder = write_dataset(tmp_path / "dataset", Contents(rows=rows), synthetic=False)

    text = Page(write_report(folder).read_text()).text

    assert "No row of this dataset has a place." in text
    assert summarise(folder)["bounds"] is None
    assert summarise(folder)["counts"]["level"] == {"0": 53}


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
    text = Page(write_report(folder).read_text()).text
    assert text.count("image does not decode") == 2 and "2 images of these do not decode:" in text


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
    assert summary["counts"]["flags"] == {"not stated": 53} and summary["checks"]["checked"] == 0
    assert summary["captions"]["rows"] == frame.caption.notna().sum() == 52
    assert summary["captions"]["caption_source"]["template"]["distinct"] == frame.caption.nunique()
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


def test_the_same_dataset_gives_the_same_page_and_another_seed_other_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("git10m.report.summary.TILES", 12)
    contents = Contents()
    block(contents, lon=7.0, lat=46.0, level=16, side=8, source_id="north")
    folder = write_dataset(tmp_path / "dataset", contents, synthetic=False)

    first, again, other = (write_report(folder, seed=seed).read_bytes() for seed in (0, 0, 1))

    assert first == again != other


def test_a_dataset_of_one_row(tmp_path: Path) -> None:
    contents = Contents(rows=small_contents().rows[:1])
    text = Page(write_report(write_dataset(tmp_path / "dataset", contents, synthetic=False)).read_text()).text
    assert "1 planned = 1 kept + 0 dropped + 0 failed" in text
    assert "Planned, not kept" not in text and "Duplicates" not in text


def test_a_dataset_without_captions(tmp_path: Path) -> None:
    nothing = {"caption": None, "caption_length": None, "caption_source": None}
    contents = Contents(rows=[replace(row, **nothing) for row in small_contents().rows])
    folder = write_dataset(tmp_path / "dataset", contents, synthetic=False)
    text = Page(write_report(folder).read_text()).text
    assert "no caption" in text and "Captions as texts" not in text and "Caption length" not in text
    assert summarise(folder)["captions"] == {"rows": 0, "caption_source": {}, "source_id": {}}


def test_an_index_of_an_older_version_lacks_columns(report: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    shutil.copytree(report, folder)
    index = pq.read_table(folder / "index.parquet").drop_columns(["caption_flags", "enhanced", "similarity_clip"])
    pq.write_table(index, folder / "index.parquet")
    assert "53 of 53 rows" in Page(write_report(folder).read_text()).text


def test_everything_that_is_known_is_shown(rich_dataset: Path) -> None:
    text = read(rich_dataset).text

    assert "hallucination rate" in text and "captions contradict the facts" in text
    assert "Similarity of image and caption, SigLIP" in text and "Aesthetic score" in text
    assert "as observed 64 89 %" in text and "rrdb 0123abcd 8 11 %" in text
    assert "by model, qwen, prompt tokens 31,200" in text and "cost 0.42" in text
    assert "quality at least 4.8" in text and "quota of water ≥ 0.9 at most 5 % of the dataset" in text
    assert "likeness 0.80 to 0_13_4289_2867.jpg" in text and "in the other set, not in this folder" in text
    assert SCRIPT in text and "北京市" in text and "Besançon" in text


def test_figures_as_text_are_those_of_the_page(rich_dataset: Path) -> None:
    summary, lines = summarise(rich_dataset), in_words(summarise(rich_dataset))
    text = "\n".join(lines)

    assert "108 planned = 72 kept + 27 dropped + 9 failed" in text
    flags = pq.read_table(rich_dataset / "index.parquet")["caption_flags"].to_pylist()
    flagged, checked = sum(map(bool, flags)), sum(each is not None for each in flags)
    assert f"checks: {flagged} of {checked} captions flagged" in text
    assert summary["checks"]["by_check"] == {"contradiction": flagged, "hedge": flagged}
    (everything,) = [rate for rate in summary["checks"]["hallucination"] if rate["group"] == "all"]
    assert (everything["contradicted"], everything["verifiable"]) == (flagged, checked)
    assert "similarity" not in text.lower() or "SigLIP" in text
    json.dumps(summary)
