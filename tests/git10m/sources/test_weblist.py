"""Lists of addresses: tables of any form become numbered rows; img2dataset fetches them, once each."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from git10m.errors import BuildError, RecipeError, SourceError
from git10m.grid import Tile
from git10m.recipe.sources import WebListSource
from git10m.sources import Failure, Moment, Request, Sample
from git10m.sources.weblist import Fetched, WebList, fetch, open_weblist
from git10m.sources.weblist import fetching as fetching_room
from git10m.sources.weblist.fetching import _state
from git10m.sources.weblist.manners import Settings, opener
from git10m.sources.weblist.pictures import decode_picture
from git10m.sources.weblist.store import Result, State, Store

needs_img2dataset = pytest.mark.skipif(
    find_spec("img2dataset") is None, reason="img2dataset is not installed: pip install 'git10m[img2dataset]'"
)
CONTACT = "tests@example.org"


def source(path: Path, **said: Any) -> WebListSource:
    return WebListSource.model_validate({"id": "web", "path": str(path), "contact": CONTACT, **said})


def csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def picture(seed: int, form: str = "jpeg") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def rows_of(weblist: WebList) -> list[dict[str, Any]]:
    return pq.read_table(weblist.rows).to_pylist()


def ask(weblist: WebList) -> list[Sample | Failure]:
    entries = weblist.entries(0)
    tiles = [
        Tile(int(level), int(x), int(y)) if level else None
        for level, x, y in zip(entries.level, entries.x, entries.y, strict=True)
    ]
    return list(weblist.read([Request(tile, 0, entry) for entry, tile in enumerate(tiles)]))


# Tables ------------------------------------------------------------------------------------------------------------


TABLE = [
    {"url": "http://h/a.jpg", "caption": "A, with a comma", "level": 17, "x": 5, "y": 6, "img_quality_score": 4.5},
    {"url": "http://h/b.jpg", "caption": None, "level": 0, "x": 0, "y": 0, "img_quality_score": None},
]


def written(folder: Path, form: str) -> Path:
    path = folder / f"list.{form}"
    if form.startswith("parquet"):
        pq.write_table(pa.Table.from_pylist(TABLE), path)
        return path
    delimiter = "\t" if form.startswith("tsv") else ","
    if form.startswith("jsonl"):
        text = "\n".join(json.dumps(row) for row in TABLE)
    else:
        said = [[f'"{value}"' if isinstance(value, str) else value for value in row.values()] for row in TABLE]
        lines = [list(TABLE[0]), *said]
        text = "\n".join(delimiter.join("" if value is None else str(value) for value in line) for line in lines)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if form.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.gz"])
def test_every_form_of_table_gives_the_same_rows(form: str, tmp_path: Path):
    weblist = open_weblist(source(written(tmp_path, form)), store=tmp_path / "store")
    first, second = rows_of(weblist)
    assert (first["url"], first["captions"], first["img_quality_score"]) == ("http://h/a.jpg", ["A, with a comma"], 4.5)
    assert (first["tile_level"], first["x"], first["y"], first["level"]) == (17, 5, 6, 17)
    assert (second["captions"], second["tile_level"], second["level"], second["img_quality_score"]) == ([], 0, 0, None)
    assert [first["name"], second["name"]] == ["00000000_a", "00000001_b"]
    assert weblist.levels(0, [10, 17, 18]) == [17]


def test_rows_of_json_lines_may_lack_columns(tmp_path: Path):
    lines = [{"url": "http://h/1"}, {"url": "http://h/2", "caption": "late", "captions": ["late", "later"]}]
    (tmp_path / "list.jsonl").write_text("\n\n".join(json.dumps(line) for line in lines))
    rows = rows_of(open_weblist(source(tmp_path / "list.jsonl"), store=tmp_path / "store"))
    assert [row["captions"] for row in rows] == [[], ["late", "later"]]


def test_several_tables_are_one_list_in_the_order_of_their_names(tmp_path: Path):
    (tmp_path / "tables").mkdir()
    for name in ("b", "a"):
        csv(tmp_path / f"tables/{name}.csv", "url", f"https://h/{name}/1.jpg", f"https://h/{name}/2.jpg")
    weblist = open_weblist(source(tmp_path / "tables"), store=tmp_path / "store")
    assert [row["url"] for row in rows_of(weblist)] == [f"https://h/{n}/{i}.jpg" for n in "ab" for i in (1, 2)]
    assert weblist.size == 4
    again = open_weblist(source(tmp_path / "tables/*.csv"), store=tmp_path / "store")
    assert again.identity == weblist.identity
    csv(tmp_path / "tables/a.csv", "url", "https://h/other.jpg")
    assert open_weblist(source(tmp_path / "tables"), store=tmp_path / "store").identity != weblist.identity


def test_columns_of_ours_are_taken_under_their_own_names_and_under_others(tmp_path: Path):
    path = csv(
        tmp_path / "list.csv",
        "link,text,licence,when,set,made,img_name,attribution",
        "http://h/1.png,A field,CC0-1.0,2020-08-31,val,no,first,© {year} H",
        "http://h/2.png,,,2020-08-31T10:12:13+02:00,test,true,second,",
        "http://h/3.png,,,2019,,,third,",
    )
    columns = {"acquired_at": "when", "split": "set", "synthetic": "made"}
    weblist = open_weblist(
        source(path, url_column="link", caption_column="text", columns=columns), store=tmp_path / "store"
    )
    first, second, third = rows_of(weblist)
    assert (first["acquired_at"], first["acquired_precision"]) == (datetime(2020, 8, 31, tzinfo=UTC), "day")
    assert (second["acquired_at"], second["acquired_precision"]) == (
        datetime(2020, 8, 31, 8, 12, 13, tzinfo=UTC),
        "second",
    )
    assert (third["acquired_at"], third["acquired_precision"]) == (datetime(2019, 1, 1, tzinfo=UTC), "year")
    assert [row["split"] for row in (first, second, third)] == ["validation", "test", None]
    assert [row["synthetic"] for row in (first, second, third)] == [False, True, None]
    assert [row["name"] for row in (first, second, third)] == ["first", "second", "third"]
    assert (first["licence"], first["attribution"]) == ("CC0-1.0", "© {year} H")


def test_a_column_is_left_out_on_request(tmp_path: Path):
    path = csv(tmp_path / "list.csv", "url,x,y,level,lon,lat", "http://h/1.jpg,512,512,8,7.5,47.5")
    with pytest.raises(
        RecipeError, match=r"row 1: level 8, x 512, y 512 is no tile; .* columns = \{x = \"\", y = \"\"\}"
    ):
        open_weblist(source(path), store=tmp_path / "store")
    row = rows_of(open_weblist(source(path, columns={"x": "", "y": ""}), store=tmp_path / "store"))[0]
    assert (row["tile_level"], row["x"], row["y"]) == (8, *Tile.from_lonlat(7.5, 47.5, 8).name.split("_")[1:]) or (
        Tile(8, row["x"], row["y"]) == Tile.from_lonlat(7.5, 47.5, 8)
    )


@given(st.integers(1, 22), st.floats(-180, 179.9), st.floats(-85, 85))
def test_a_tile_may_be_given_in_four_ways(level: int, lon: float, lat: float):
    import tempfile

    tile = Tile.from_lonlat(lon, lat, level)
    ways = {
        "Google_location": {"Google_location": tile.name},
        "quadkey": {"quadkey": tile.quadkey},
        "level, x, y": {"level": tile.level, "x": tile.x, "y": tile.y},
        "level, lon, lat": {"level": tile.level, "lon": lon, "lat": lat},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, way in ways.items():
            pq.write_table(pa.Table.from_pylist([{"url": "http://h/a.jpg", **way}]), f"{folder}/list.parquet")
            entries = open_weblist(source(Path(folder) / "list.parquet"), store=Path(folder) / "store").entries(0)
            assert (entries.level[0], entries.x[0], entries.y[0]) == (tile.level, tile.x, tile.y), name


def test_a_level_alone_gives_a_resolution_without_a_place(tmp_path: Path):
    path = csv(tmp_path / "list.csv", "url,level", "http://h/1.jpg,16")
    weblist = open_weblist(source(path), store=tmp_path / "store")
    assert weblist.entries(0).level.tolist() == [0]
    assert rows_of(weblist)[0]["level"] == 16


def test_timestamps_of_parquet_are_moments(tmp_path: Path):
    table = {"url": ["http://h/1", "http://h/2"], "acquired_at": [datetime(2020, 1, 2, 3, 4), None]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    pq.write_table(pa.table({"url": ["http://h/3"], "acquired_at": [date(2021, 5, 6)]}), tmp_path / "b.parquet")
    rows = rows_of(open_weblist(source(tmp_path / "*.parquet"), store=tmp_path / "store"))
    assert [(row["acquired_at"], row["acquired_precision"]) for row in rows] == [
        (datetime(2020, 1, 2, 3, 4, tzinfo=UTC), "second"),
        (None, None),
        (datetime(2021, 5, 6, tzinfo=UTC), "day"),
    ]


def test_numbers_may_be_missing_but_a_caption_may_say_so(tmp_path: Path):
    path = csv(tmp_path / "list.csv", "url,caption,level,img_quality_score,acquired_at", "http://h/1,NA,nan,NA,NaT")
    row = rows_of(open_weblist(source(path), store=tmp_path / "store"))[0]
    assert (row["captions"], row["level"], row["img_quality_score"], row["acquired_at"]) == (["NA"], 0, None, None)
    pq.write_table(pa.table({"url": ["http://h/1"], "level": [float("nan")]}), tmp_path / "list.parquet")
    assert rows_of(open_weblist(source(tmp_path / "list.parquet"), store=tmp_path / "store"))[0]["level"] == 0


def test_basemaps_whose_terms_forbid_it_are_refused_without_permission(tmp_path: Path):
    table = csv(tmp_path / "a.csv", "url", "https://example.org/a.jpg", "https://a.tile.openstreetmap.org/1/0/0.png")
    with pytest.raises(RecipeError, match=r"OpenStreetMap's standard tiles .* forbid bulk download"):
        open_weblist(source(table), store=tmp_path / "store")
    permitted = source(table, permission="letter of the owner, 2026-05-04")
    assert len(rows_of(open_weblist(permitted, store=tmp_path / "other"))) == 2


def test_what_is_no_web_address_is_never_asked_for(tmp_path: Path):
    bad = ["file:///etc/passwd", "ftp://h/a.jpg", "/etc/passwd", "", "http://", "data:image/png;base64,AA", "http://[1"]
    pq.write_table(pa.table({"url": [*bad, None, "HTTP://h/ä b.jpg?x=1#part"]}), tmp_path / "list.parquet")
    weblist = open_weblist(source(tmp_path / "list.parquet"), store=tmp_path / "store")
    assert [row["url"] for row in rows_of(weblist)] == [None] * 8 + ["http://h/%C3%A4%20b.jpg?x=1"]
    with Store(weblist.folder / "other.sqlite", writable=True) as store:
        store.enter(weblist.rows, digest="a")
        assert store.addresses([State.WAITING], after=-1, most=10) == [(8, "http://h/%C3%A4%20b.jpg?x=1")]


@pytest.mark.parametrize(
    ("lines", "said", "message"),
    [
        (
            ["adress,caption", "http://h/1,A"],
            {},
            r"list.csv has no column 'url' \(url_column\); it has 'adress', 'caption'",
        ),
        (["urls,caption", "http://h/1,A"], {}, "no column 'url' .*; did you mean 'urls'?"),
        (["url,text", "http://h/1,A"], {"caption_column": "txt"}, r"'txt' \(caption_column\); did you mean 'text'"),
        (["url,d", "http://h/1,A"], {"columns": {"acquired_at": "date"}}, r"no column 'date' \(columns.acquired_at\)"),
        (["url,d", "http://h/1,A"], {"columns": {"sha256": "d"}}, "columns.sha256: no column that a table can give"),
        (["url,d", "http://h/1,A"], {"columns": {"aquired_at": "d"}}, "did you mean 'acquired_at'"),
        (["url,level", "http://h/1,17", "http://h/2,high"], {}, "row 2: level = 'high' is no number"),
        (["url,level", "http://h/1,17.5"], {}, "row 1: level = '17.5' is no whole number"),
        (["url,level", "http://h/1,23"], {}, "level = 23 is not within 0"),
        (["url,lat", "http://h/1,91"], {}, "lat = '91' is not within -90 to 90"),
        (["url,img_quality_score", "http://h/1,inf"], {}, "img_quality_score = 'inf' is not within"),
        (["url,acquired_at", "http://h/1,31.8.2020"], {}, "'31.8.2020' is no date, e.g. 2020-08-31"),
        (["url,acquired_at", "http://h/1,20201301"], {}, "'20201301' is no date"),
        (["url,split", "http://h/1,dev"], {}, "split = 'dev'; known are train"),
        (["url,synthetic", "http://h/1,perhaps"], {}, "synthetic = 'perhaps' is neither true nor false"),
        (["url,quadkey", "http://h/1,0124"], {}, "quadkey = '0124'"),
        (["url,Google_location", "http://h/1,17-1-2"], {}, "no 'level_x_y'"),
        (["url,Google_location,level", "http://h/1,17_1_2,16"], {}, "level = 16, but its tile 17_1_2 is of level 17"),
        (
            ["url,img_name", "http://h/1,a.jpg", "http://h/2,a.png"],
            {},
            "1 img_names stand in several rows, e.g. in rows 1 and 2",
        ),
        (["url", "nothing", "here"], {}, "column 'url' holds no http or https address in any of 2 rows"),
        (["url"], {}, "list.csv has no rows"),
    ],
)
def test_a_wrong_table_is_told_with_the_row_and_the_column(
    lines: list[str], said: dict[str, Any], message: str, tmp_path: Path
):
    with pytest.raises(RecipeError, match=message):
        open_weblist(source(csv(tmp_path / "list.csv", *lines), **said), store=tmp_path / "store")
    assert not (tmp_path / "store/rows.parquet").exists() or "any of 2 rows" in message


def test_a_damaged_table_is_told_without_its_secrets(tmp_path: Path):
    store = tmp_path / "store"
    path = csv(tmp_path / "list.csv", "url,caption", "http://h/1?token=secret,A, B, C")
    with pytest.raises(SourceError, match="Expected 2 columns, got 4; a value that holds the delimiter") as told:
        open_weblist(source(path), store=store)
    assert "secret" not in str(told.value)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match=r"cut.parquet: the table cannot be read"):
        open_weblist(source(tmp_path / "cut.parquet"), store=store)
    whole = gzip.compress(b"url\nhttp://h/1\n" * 1000)
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"cut.csv.gz: the table cannot be read"):
        open_weblist(source(tmp_path / "cut.csv.gz"), store=store)
    (tmp_path / "list.jsonl").write_text('{"url": "http://h/1"}\n{"url": \n')
    with pytest.raises(SourceError, match=r"list.jsonl, line 2: no JSON"):
        open_weblist(source(tmp_path / "list.jsonl"), store=store)
    (tmp_path / "latin.csv").write_bytes("url,caption\nhttp://h/1,Zürich\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"latin.csv: the table cannot be read: .*UTF"):
        open_weblist(source(tmp_path / "latin.csv"), store=store)


def test_what_is_no_table_is_refused(tmp_path: Path):
    (tmp_path / "list.xlsx").write_bytes(b"PK")
    (tmp_path / "none.csv").touch()
    for path, message in {
        "list.xlsx": "list.xlsx is no table that can be read",
        "missing.csv": "missing.csv matches no table",
        "none.csv": "none.csv is empty",
    }.items():
        with pytest.raises(RecipeError, match=message):
            open_weblist(source(tmp_path / path), store=tmp_path / "store")
    away = WebListSource.model_validate({"id": "web", "path": "https://h/list.csv?token=secret", "contact": CONTACT})
    with pytest.raises(RecipeError, match=r"h/list.csv is an address; download the table") as told:
        open_weblist(away, store=tmp_path / "store")
    assert "secret" not in str(told.value)


# Fetching ----------------------------------------------------------------------------------------------------------


class Website:
    """A server that answers each path as its script says, one answer after the other, and counts what it was asked."""

    def __init__(self) -> None:
        self.script: dict[str, list[Callable[[BaseHTTPRequestHandler], None]]] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        website = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                website.asked.append((self.path, dict(self.headers)))
                answers = website.script.get(self.path, [status(404)])
                (answers.pop(0) if len(answers) > 1 else answers[0])(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def counts(self) -> Counter[str]:
        return Counter(path for path, _ in self.asked)


def gives(body: bytes, kind: str = "image/jpeg", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        further = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **further}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


def hangs(seconds: float) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: time.sleep(seconds)


def resets(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def drips(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b"\xff")
            handler.wfile.flush()
            time.sleep(0.1)
    except OSError:
        pass


@pytest.fixture
def website() -> Iterator[Website]:
    site = Website()
    yield site
    site.close()


@pytest.fixture(autouse=True)
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching_room, "_FIRST_PAUSE_S", 0.01)


@needs_img2dataset
def test_good_and_bad_addresses_end_as_exactly_one_thing_each(website: Website, tmp_path: Path):
    good = {f"/{i}.jpg": picture(i) for i in range(5)}
    website.script = {path: [gives(body)] for path, body in good.items()}
    cut = picture(9)[:-200]
    website.script |= {
        "/moody.png": [status(503, Retry_After="1"), gives(picture(7, "png"), "image/png")],
        "/page.jpg": [gives(b"<html>no such map</html>", "text/html")],
        "/cut.jpg": [gives(cut)],
        "/short.jpg": [gives(cut, Content_Length=str(len(cut) + 200))],
        "/moved.jpg": [status(302, Location="/0.jpg")],
        "/round.jpg": [status(302, Location="/round.jpg")],
        "/secret.jpg": [status(403)],
        "/empty.jpg": [status(204)],
        "/broken.jpg": [status(500)],
        "/slow.jpg": [hangs(4)],
        "/drip.jpg": [drips],
        "/reset.jpg": [resets],
        "/robots.jpg": [gives(picture(8), X_Robots_Tag="noai")],
    }
    odd = ["/gone.jpg", *list(website.script)[5:]]
    paths = [*good, *odd, "/0.jpg", "/3.jpg"]
    table = {
        "url": [website.url + path for path in paths] + ["http://127.0.0.1:9/dead.jpg", "not an address"],
        "caption": [f"caption {i}" for i in range(len(paths) + 2)],
        "img_quality_score": [float(i) for i in range(len(paths) + 2)],
    }
    pq.write_table(pa.table(table), tmp_path / "list.parquet")
    weblist = open_weblist(
        source(tmp_path / "list.parquet", timeout_s=1.5, retries=1, connections=16, licence="CC0-1.0"), store=tmp_path
    )
    done = fetch(weblist)

    results = dict(zip([*paths[:-2], "again 0", "again 3", "/dead.jpg", "blank"], ask(weblist), strict=True))
    failed = {path: result.reason for path, result in results.items() if isinstance(result, Failure)}
    assert failed == {
        "/gone.jpg": "no_data",
        "/empty.jpg": "no_data",
        "blank": "no_data",
        "/page.jpg": "unreadable",
        "/cut.jpg": "unreadable",
        **dict.fromkeys(
            ["/short.jpg", "/round.jpg", "/secret.jpg", "/broken.jpg", "/slow.jpg", "/drip.jpg", "/reset.jpg"],
            "unreachable",
        ),
        "/robots.jpg": "unreachable",
        "/dead.jpg": "unreachable",
    }
    had = {path: result for path, result in results.items() if isinstance(result, Sample)}
    assert set(had) == {*good, "/moody.png", "/moved.jpg", "again 0", "again 3"}
    for path, body in good.items():
        assert had[path].encoded is not None
        assert had[path].encoded.bytes == body
    assert had["/moody.png"].pixels.shape == (32, 32, 3)
    for number, (path, result) in enumerate(results.items()):
        if isinstance(result, Sample):
            assert result.given is not None
            assert result.given.captions == (f"caption {number}",)
            assert result.given.columns == {"img_quality_score": float(number)}
            assert result.contributions[0].licence == "CC0-1.0"
            assert result.contributions[0].source_item.startswith("127.0.0.1:"), path

    assert done.asked == len(set(table["url"])) - 1
    assert done.had + sum(done.failed.values()) == done.asked
    assert done.failed == {"unreachable": 9, "unreadable": 2, "no_data": 2}
    counts = website.counts()
    # a redirect leads to /0.jpg once more
    assert {path: counts[path] for path in good} == {**dict.fromkeys(good, 1), "/0.jpg": 2}
    once = ["/gone.jpg", "/page.jpg", "/cut.jpg", "/secret.jpg", "/empty.jpg", "/robots.jpg"]
    assert [counts[path] for path in once] == [1] * len(once)
    twice = ["/moody.png", "/broken.jpg", "/slow.jpg", "/drip.jpg", "/reset.jpg", "/short.jpg"]
    assert [counts[path] for path in twice] == [2] * len(twice)
    for _, headers in website.asked:
        assert re.fullmatch(r"git10m/\S+ \(\+tests@example\.org\) img2dataset/\S+", headers["User-Agent"])


@needs_img2dataset
def test_a_later_run_asks_only_for_what_failed(website: Website, tmp_path: Path):
    website.script = {f"/{i}.jpg": [gives(picture(i))] for i in range(4)}
    website.script["/moody.jpg"] = [status(503), gives(picture(5))]
    website.script["/login.jpg"] = [status(401), gives(picture(6))]
    paths = [*website.script, "/gone.jpg"]
    path = csv(tmp_path / "list.csv", "url", *(website.url + each for each in paths))
    weblist = open_weblist(source(path, retries=0), store=tmp_path / "store")
    assert weblist.outstanding() == 7
    first = fetch(weblist)
    assert weblist.outstanding() == 1
    assert (first.had, first.failed, first.requests) == (4, {"unreachable": 2, "no_data": 1}, 7)
    before = weblist.digest(0, 0, (0, 0, 0, 0))

    website.asked.clear()
    assert fetch(weblist).failed == {"unreachable": 1, "no_data": 1}
    assert website.counts() == {"/moody.jpg": 1}
    assert weblist.digest(0, 0, (0, 0, 0, 0)) != before

    website.asked.clear()
    assert fetch(weblist) == Fetched(7, 5, {"unreachable": 1, "no_data": 1}, 0)
    assert website.asked == []

    last = fetch(weblist, retry_failed=True)
    assert (last.had, last.failed) == (6, {"no_data": 1})
    assert website.counts() == {"/login.jpg": 1}


@needs_img2dataset
def test_a_longer_table_asks_only_for_what_is_new(website: Website, tmp_path: Path):
    website.script = {f"/{i}.jpg": [gives(picture(i))] for i in range(6)}
    urls = [website.url + path for path in website.script]
    fetch(open_weblist(source(csv(tmp_path / "list.csv", "url", *urls[:3])), store=tmp_path / "store"))
    website.asked.clear()
    longer = open_weblist(source(csv(tmp_path / "list.csv", "url", *urls)), store=tmp_path / "store")
    assert fetch(longer).had == 6
    assert website.counts() == dict.fromkeys(["/3.jpg", "/4.jpg", "/5.jpg"], 1)


@needs_img2dataset
def test_another_table_forgets_the_addresses_of_the_first(website: Website, tmp_path: Path):
    website.script = {"/0.jpg": [gives(picture(0))], "/1.jpg": [status(503)], "/2.jpg": [gives(picture(2))]}
    first, second, third = (website.url + path for path in website.script)
    fetch(open_weblist(source(csv(tmp_path / "list.csv", "url", first, second), retries=0), store=tmp_path / "store"))
    other = open_weblist(source(csv(tmp_path / "list.csv", "url", third, first, third)), store=tmp_path / "store")
    assert fetch(other) == Fetched(2, 2, {}, 1)
    assert website.counts() == dict.fromkeys(["/0.jpg", "/1.jpg", "/2.jpg"], 1)
    assert [isinstance(result, Sample) for result in ask(other)] == [True] * 3


@needs_img2dataset
def test_two_processes_that_start_together_ask_once(website: Website, tmp_path: Path):
    website.script = {f"/{i}.jpg": [gives(picture(i))] for i in range(20)} | {"/moody.jpg": [status(503)]}
    path = csv(tmp_path / "list.csv", "url", *(website.url + each for each in website.script))
    weblist = open_weblist(source(path, retries=1), store=tmp_path / "store")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: fetch(weblist), range(2)))
    assert [each.had for each in done] == [20, 20]
    assert sorted(each.requests for each in done) == [0, 22]
    assert website.counts()["/moody.jpg"] == 2


@needs_img2dataset
def test_a_list_without_any_image_is_an_error_that_says_why(website: Website, tmp_path: Path):
    path = csv(tmp_path / "list.csv", "url", *(f"{website.url}/{i}.jpg?token=secret" for i in range(3)))
    with pytest.raises(SourceError, match=r"none of 3 addresses gave an image: 3 × HTTP Error 404") as told:
        fetch(open_weblist(source(path), store=tmp_path / "store"))
    assert "secret" not in str(told.value)


KILLED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from pathlib import Path
from git10m.sources.weblist import fetch, fetching, open_weblist
from git10m.recipe.sources import WebListSource
fetching._SHARD = 50
path, store = map(Path, sys.argv[1:])
said = {"id": "web", "path": str(path), "contact": "tests@example.org", "connections": 4}
print(fetch(open_weblist(WebListSource.model_validate(said), store=store)).had)
"""


@needs_img2dataset
@pytest.mark.slow
def test_killed_three_times_it_asks_for_nothing_that_is_stored(website: Website, tmp_path: Path):
    def slowly(body: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            time.sleep(0.02)
            gives(body)(handler)

        return answer

    website.script = {f"/{i}.jpg": [slowly(picture(i))] for i in range(600)}
    path = csv(tmp_path / "list.csv", "url", *(website.url + each for each in website.script))
    command = [sys.executable, "-c", KILLED, str(path), str(tmp_path / "store")]
    images = tmp_path / "store/images.sqlite"

    def stored() -> set[str]:
        if not images.exists():
            return set()
        with Store(images) as store:
            found = store.look_up([website.url + each for each in website.script])
        return {url.removeprefix(website.url) for url, each in found.items() if each.state is State.HAD}

    for kill in range(3):
        had, seen = stored(), len(website.asked)
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until and len(website.asked) < seen + 100:
            time.sleep(0.02)
        child.kill()
        child.wait()
        time.sleep(0.5)
        quiet = len(website.asked)
        assert not had & {each for each, _ in website.asked[seen:]}, f"kill {kill}"
        time.sleep(0.5)
        assert len(website.asked) == quiet, "img2dataset outlives what started it"
    had, seen = stored(), len(website.asked)
    assert had
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "600"
    assert not had & {each for each, _ in website.asked[seen:]}
    assert not list((tmp_path / "store/runs").iterdir())


def test_whole_shards_of_a_killed_run_are_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    urls = [f"http://h/{i}.jpg" for i in range(4)]
    weblist = open_weblist(source(csv(tmp_path / "list.csv", "url", *urls)), store=tmp_path / "store")
    run = weblist.runs / "killed"
    (run / "out").mkdir(parents=True)
    pq.write_table(pa.table({"url": urls, "entry": range(4)}), run / "list.parquet")
    shard(run / "out/00000", {0: urls[0], 2: urls[2]}, whole=True)
    shard(run / "out/00001", {1: urls[1], 3: urls[3]}, whole=False)
    monkeypatch.setattr(fetching_room, "_ask_once", lambda *_: 0)
    done = fetch(weblist)
    assert (done.had, done.failed) == (2, {"unreachable": 2})
    assert [isinstance(result, Sample) for result in ask(weblist)] == [True, False, True, False]
    assert not run.exists()


def shard(stem: Path, urls: Mapping[int, str], *, whole: bool) -> None:
    """Write a shard as img2dataset does."""
    columns = {"entry": list(urls), "url": list(urls.values()), "jpg": [picture(entry) for entry in urls]}
    told = {"status": ["success"] * len(urls), "error_message": pa.nulls(len(urls), pa.string())}
    pq.write_table(pa.table({**columns, **told}), stem.with_suffix(".parquet"))
    if whole:
        stem.with_name(f"{stem.name}_stats.json").write_text('{"successes": 12345}')


def test_rows_that_were_not_asked_for_are_not_believed(tmp_path: Path):
    weblist = open_weblist(source(csv(tmp_path / "list.csv", "url", "http://h/0.jpg")), store=tmp_path / "store")
    run = weblist.runs / "odd"
    (run / "out").mkdir(parents=True)
    pq.write_table(pa.table({"url": ["http://h/0.jpg"], "entry": [0]}), run / "list.parquet")
    shard(run / "out/00000", {7: "http://h/7.jpg"}, whole=True)
    with pytest.raises(BuildError, match="gave back row 7"):
        fetch(weblist)


def another_img2dataset(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that are started find this in place of the real one."""
    (folder / "img2dataset").mkdir()
    (folder / "img2dataset/__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))


@needs_img2dataset
def test_img2dataset_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    another_img2dataset(tmp_path, "import time\ndef download(**_):\n    time.sleep(600)\n", monkeypatch)
    monkeypatch.setattr(fetching_room, "_START_S", 1.5)
    monkeypatch.setattr(fetching_room, "_LONGEST_PAUSE_S", 0.0)
    path = csv(tmp_path / "list.csv", "url", "http://h/0.jpg")
    weblist = open_weblist(source(path, timeout_s=0.01), store=tmp_path / "store")
    with pytest.raises(BuildError, match=r"gave nothing back \(it did not move\): it said nothing"):
        fetch(weblist)


@needs_img2dataset
def test_an_img2dataset_that_needs_what_it_seems_not_to_need_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = "import wandb\nwandb.Table\ndef download(**_):\n    raise SystemExit('with ' + wandb.__name__)\n"
    another_img2dataset(tmp_path, real, monkeypatch)
    weblist = open_weblist(source(csv(tmp_path / "list.csv", "url", "http://h/0.jpg")), store=tmp_path / "store")
    with pytest.raises(BuildError, match=r"it ended with 1.*: with wandb"):
        fetch(weblist)


@needs_img2dataset
def test_img2dataset_that_cannot_run_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    another_img2dataset(tmp_path, "raise ImportError('no wandb in /some/where/here')", monkeypatch)
    weblist = open_weblist(source(csv(tmp_path / "list.csv", "url", "http://h/0.jpg")), store=tmp_path / "store")
    with pytest.raises(BuildError, match=r"gave nothing back \(it ended with 1\): ImportError: no wandb in here"):
        fetch(weblist)


def test_without_img2dataset_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetching_room, "find_spec", lambda _: None)
    weblist = open_weblist(source(csv(tmp_path / "list.csv", "url", "http://h/0.jpg")), store=tmp_path / "store")
    with pytest.raises(RecipeError, match=r"pip install 'git10m\[img2dataset\]'"):
        fetch(weblist)


def test_a_contact_that_no_header_can_carry_is_refused(tmp_path: Path):
    path = csv(tmp_path / "list.csv", "url", "http://h/0.jpg")
    for contact in ("jürg@example.org", "a@b.org\r\nX-Evil: 1"):
        with pytest.raises(RecipeError, match="cannot be sent"):
            fetch(open_weblist(source(path, contact=contact), store=tmp_path / "store"))


@pytest.mark.parametrize(
    ("detail", "state"),
    [
        ("HTTP Error 404: Not Found", State.GONE),
        ("HTTP Error 410: Gone", State.GONE),
        ("HTTP Error 403: Forbidden", State.REFUSED),
        ("HTTP Error 429: Too Many Requests (Retry-After: 7)", State.PASSING),
        ("HTTP Error 503: Service Unavailable", State.PASSING),
        ("HTTP Error 408: Request Timeout", State.PASSING),
        ("<urlopen error timed out>", State.PASSING),
        ("<urlopen error [Errno 111] Connection refused>", State.PASSING),
        ("Remote end closed connection without response", State.PASSING),
        ("IncompleteRead(0 bytes read, 5 more expected)", State.PASSING),
        ("<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed>", State.REFUSED),
        ("no image: what came is no image (text/html, 20 bytes)", State.BROKEN),
        ("<urlopen error unknown url type: ftp>", State.REFUSED),
        ("nothing there: HTTP 204 without a body", State.GONE),
    ],
)
def test_what_a_failure_means(detail: str, state: State):
    assert _state(detail) is state


# Manners, without img2dataset --------------------------------------------------------------------------------------


def asks(**said: Any) -> urllib.request.OpenerDirector:
    settings = {"agent": "test", "timeout_s": 0.5, "most_bytes": 10_000, "connections": 2, **said}
    return opener(Settings(**settings))


def test_a_request_waits_as_long_as_it_is_told(website: Website):
    website.script = {"/a.jpg": [status(429, Retry_After="1"), gives(picture(1))], "/b.jpg": [gives(picture(2))]}
    ask_for, began = asks(), time.monotonic()
    assert ask_for.open(f"{website.url}/a.jpg", timeout=1).read() == picture(1)
    assert 1 <= time.monotonic() - began < 4
    assert [path for path, _ in website.asked] == ["/a.jpg", "/a.jpg"]
    website.script["/a.jpg"] = [status(503, Retry_After=formatdate(time.time() + 3600, usegmt=True))]
    for path in ("/a.jpg", "/b.jpg"):
        with pytest.raises(OSError, match=r"\(Retry-After: 3[56]\d\d\)"):
            ask_for.open(website.url + path, timeout=1)
    assert [path for path, _ in website.asked][2:] == ["/a.jpg"], "the whole host is left alone"


def test_a_server_that_never_stops_asking_for_patience_is_given_up(website: Website):
    website.script = {"/a.jpg": [status(429, Retry_After="0")]}
    with pytest.raises(OSError, match=r"HTTP Error 429: .*\(Retry-After: 0\)"):
        asks().open(f"{website.url}/a.jpg", timeout=1)
    assert website.counts() == {"/a.jpg": 4}


def test_headers_that_drip_are_not_waited_for(website: Website):
    def drip(handler: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):
            for byte in b"HTTP/1.0 200 OK\r\nX-Long: " + b"a" * 100:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(0.05)

    website.script = {"/a.jpg": [drip]}
    began = time.monotonic()
    with pytest.raises(OSError, match="timed out: the headers did not end"):
        asks().open(f"{website.url}/a.jpg", timeout=0.5)
    assert time.monotonic() - began < 3


def test_a_host_that_does_not_answer_is_left_alone_for_a_while(website: Website):
    website.script = {"/a.jpg": [resets]}
    ask_for = asks()
    for _ in range(10):
        with pytest.raises(OSError):
            ask_for.open(f"{website.url}/a.jpg", timeout=1)
    assert website.counts() == {"/a.jpg": 4}


@pytest.mark.parametrize("elsewhere", ["ftp://127.0.0.1/a.jpg", "file:///etc/passwd"])
def test_a_redirect_leads_to_the_web_alone(elsewhere: str, website: Website):
    website.script = {"/a.jpg": [status(302, Location=elsewhere)]}
    with pytest.raises(OSError, match=r"unknown url type: ftp|HTTP Error 302: .*not allowed"):
        asks().open(f"{website.url}/a.jpg", timeout=1)
    with pytest.raises(OSError, match="unknown url type"):
        asks().open(elsewhere, timeout=1)


def test_what_is_too_long_is_not_read_to_its_end(website: Website):
    website.script = {"/a.jpg": [gives(picture(1) + bytes(1_000_000))]}
    with pytest.raises(ValueError, match=r"no image: longer than 10000 bytes \(most_bytes\)"):
        asks().open(f"{website.url}/a.jpg", timeout=1)


def test_what_a_bucket_keeps_packed_is_unpacked(website: Website):
    website.script = {"/a.jpg": [gives(gzip.compress(picture(1)))]}
    with asks().open(f"{website.url}/a.jpg", timeout=1) as answer:
        assert answer.read() == picture(1)


# Images ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tiff", "bmp", "png"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_images_of_older_sets_are_read_as_pillow_reads_them(form: str, mode: str):
    made = Image.open(io.BytesIO(picture(3, "png"))).convert(mode)
    buffer = io.BytesIO()
    made.save(buffer, form)
    read = decode_picture(buffer.getvalue(), fill=(0, 0, 0))
    np.testing.assert_array_equal(read.pixels, np.asarray(made.convert("RGB")))
    assert read.valid.all()
    assert read.kept is None


def test_real_chips_in_tiff_are_read(imagery: Path):
    chips = sorted((imagery / "chips/ucm").glob("*.tif"))
    assert chips
    for chip in chips:
        read = decode_picture(chip.read_bytes(), fill=(0, 0, 0))
        with Image.open(chip) as image:
            np.testing.assert_array_equal(read.pixels, np.asarray(image.convert("RGB")))


def test_what_is_no_image_of_eight_bits_says_so(imagery: Path):
    deep = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(deep, "tiff")
    with pytest.raises(ValueError, match="a TIFF image of mode I;16; those of 8 bits"):
        decode_picture(deep.getvalue(), fill=(0, 0, 0))
    whole = (imagery / "chips/ucm/3.tif").read_bytes()
    for damaged in (
        whole[:100],
        whole[: len(whole) // 2],
        next((imagery / "chips/eurosat").rglob("*.tif")).read_bytes(),
    ):
        with pytest.raises(ValueError, match="a TIFF image"):
            decode_picture(damaged, fill=(0, 0, 0))
    with pytest.raises(ValueError, match="HTML"):
        decode_picture(b"<html></html>", fill=(0, 0, 0))


# Reading -----------------------------------------------------------------------------------------------------------


def test_images_come_back_in_any_order_with_what_the_table_says(tmp_path: Path):
    path = csv(
        tmp_path / "list.csv",
        "url,caption,acquired_at,attribution,split,level,native_gsd_m",
        "http://user:pw@h/d/a.jpg?key=secret,One,2020-08-31,© {year} H,train,16,2.5",
        "http://h/b.png,Two,,,,,",
    )
    weblist = open_weblist(
        source(path, sensor="OrbView-3", platform="satellite", attribution="H"), store=tmp_path / "store"
    )
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:2] = 255
    buffer = io.BytesIO()
    Image.fromarray(clear, "RGBA").save(buffer, "png")
    urls = [row["url"] for row in rows_of(weblist)]
    with Store(weblist.images, writable=True) as store:
        store.enter(weblist.rows, digest="a")
        bodies = [picture(1), buffer.getvalue()]
        store.save(
            (url, Result(i, State.HAD, bytes=body)) for i, (url, body) in enumerate(zip(urls, bodies, strict=True))
        )
        store.seal(ended=0.0)
    sent: WebList = pickle.loads(pickle.dumps(weblist))
    second, first, again = sent.read([Request(None, 0, 1), Request(None, 0, 0), Request(None, 0, 1)])
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert isinstance(again, Sample)
    part = first.contributions[0]
    assert (part.source_item, part.attribution, part.native_gsd_m) == ("h/d/a.jpg", "© 2020 H", 2.5)
    assert part.moment == Moment(datetime(2020, 8, 31, tzinfo=UTC), "day")
    assert first.given is not None
    assert (first.given.name, first.given.captions, first.given.split) == ("00000000_a", ("One",), "train")
    assert first.given.columns == {"level": 16}
    assert second.encoded is None, "what is transparent cannot be kept as it came"
    assert second.valid.tolist() == [[True] * 4] * 2 + [[False] * 4] * 2
    assert second.contributions[0].attribution == "H"
    np.testing.assert_array_equal(second.pixels, again.pixels)


def test_what_is_stored_is_written_all_or_nothing(tmp_path: Path):
    urls = [f"http://h/{i}.jpg" for i in range(3)]
    weblist = open_weblist(source(csv(tmp_path / "list.csv", "url", *urls)), store=tmp_path / "store")

    def results() -> Iterator[tuple[str, Result]]:
        yield urls[0], Result(0, State.HAD, bytes=b"one")
        raise KeyboardInterrupt

    with Store(weblist.images, writable=True) as store:
        store.enter(weblist.rows, digest="a")
        with pytest.raises(KeyboardInterrupt):
            store.save(results())
        assert store.counts()[State.HAD] == 0
        assert store.save([(urls[1], Result(1, State.HAD, bytes=b"two"))]) == 1
        assert store.save([(urls[1], Result(1, State.GONE, "later"))]) == 0, "what is had stays"
        assert store.look_up(urls)[urls[1]].bytes == b"two"


def test_a_store_that_is_no_database_says_what_to_do(tmp_path: Path):
    (tmp_path / "images.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(BuildError, match=r"images.sqlite: what was fetched cannot be opened .*; delete it"):
        Store(tmp_path / "images.sqlite", writable=True)


@needs_img2dataset
def test_one_that_is_interrupted_leaves_no_process_behind(website: Website, tmp_path: Path):
    website.script = {"/0.jpg": [hangs(30)]}
    path = csv(tmp_path / "list.csv", "url", f"{website.url}/0.jpg")
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), str(tmp_path / "store")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and not website.asked:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=20) != 0
    import psutil

    left = [each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(each.info["cmdline"] or [])]
    assert left == []
