"""The polite client against a server that behaves as servers do."""

from __future__ import annotations

import email.utils
import gzip
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rude_server import Answer, RudeServer, image, windows

from git10m.errors import BuildError, RecipeError, SourceError
from git10m.recipe import Budget
from git10m.sources.http import Answer as Had
from git10m.sources.http import Ask, Fetcher, Manners
from git10m.sources.http.store import AnswerStore

PICTURE = image()
Manner = Callable[[str, int], Answer | bytes]
HTML = b"<!doctype html><html><body>Please   log in</body></html>"


@contextmanager
def fetching(folder: Path, **said: Any) -> Iterator[Fetcher]:
    fetcher = Fetcher(
        Manners(**{"source_id": "tiles", "contact": "me@example.org", "rate": 0.0, "timeout_s": 1.0, **said}),
        folder=folder,
    )
    try:
        yield fetcher
    finally:
        fetcher.close()


def fetched(
    folder: Path, manner: Callable[[str, int], Answer | bytes], *paths: str, **said: Any
) -> tuple[list[Had], RudeServer]:
    """Answers for some paths, and the server that gave them."""
    with RudeServer(manner) as server, fetching(folder, **said) as fetcher:
        return list(fetcher.fetch([Ask(server.url + path) for path in paths])), server


def once(fault: Answer) -> Manner:
    """A fault the first time, the picture from then on."""
    return lambda _, times: fault if times == 0 else PICTURE


def test_answers_come_in_order_and_are_kept_to_the_byte(tmp_path: Path):
    def manner(path: str, _: int) -> Answer | bytes:
        number = int(path[1:])
        return Answer(200, image(number), delay_s=0.05 if number % 7 == 0 else 0.0)

    paths = [f"/{i}" for i in range(200)]
    had, server = fetched(tmp_path, manner, *paths, connections=16)
    assert [answer.body for answer in had] == [image(i) for i in range(200)]
    assert server.asked() == 200


def test_what_is_kept_is_never_asked_for_again(tmp_path: Path):
    with RudeServer(lambda path, _: Answer(404) if path == "/none" else PICTURE) as server:
        asks = [Ask(f"{server.url}{path}") for path in ("/a", "/none", "/a", "/b")]
        for _ in range(3):
            with fetching(tmp_path) as fetcher:
                had = list(fetcher.fetch(asks))
                assert [answer.reason for answer in had] == [None, "no_data", None, None]
                assert fetcher.fill(asks) == 0
        assert Counter(asked.path for asked in server.log) == {"/a": 1, "/none": 1, "/b": 1}


def test_it_says_who_asks_and_keeps_connections(tmp_path: Path):
    _, server = fetched(tmp_path, lambda *_: PICTURE, *(f"/{i}" for i in range(20)), headers={"X-Plan": "open"})
    agents = {asked.headers["User-Agent"] for asked in server.log}
    assert len(agents) == 1
    assert agents.pop().startswith("git10m/")
    assert all("(+me@example.org)" in asked.headers["User-Agent"] for asked in server.log)
    assert all(asked.headers["X-Plan"] == "open" for asked in server.log)


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500),
        Answer(503),
        Answer(429),
        Answer(408),
        Answer(fault="reset"),
        Answer(body=PICTURE, fault="truncate"),
        Answer(body=PICTURE, fault="stall"),
        Answer(body=PICTURE, fault="drip"),
        Answer(fault="silence"),
        Answer(body=PICTURE[: len(PICTURE) // 2]),
        Answer(body=PICTURE, headers={"Content-Length": str(len(PICTURE) + 100)}, fault="truncate"),
    ],
    ids=["500", "503", "429", "408", "reset", "truncated", "stall", "drip", "silence", "half", "length"],
)
def test_what_may_pass_is_tried_again(fault: Answer, tmp_path: Path):
    (had,), server = fetched(tmp_path, once(fault), "/a", timeout_s=0.4)
    assert had.body == PICTURE
    assert server.asked() == 2


@pytest.mark.parametrize("status", [400, 402, 405, 414, 451])
def test_other_refusals_are_final(status: int, tmp_path: Path):
    (had,), server = fetched(tmp_path, lambda *_: Answer(status, b"bad   layer"), "/a")
    assert (had.reason, server.asked()) == ("unreachable", 1)
    assert had.detail == f"{server.url}/a: the server answers {status}: 'bad layer'"


@pytest.mark.parametrize("said", [Answer(204), Answer(404), Answer(410), Answer(404, b"x" * 200_000), Answer(200)])
def test_no_tile_is_no_fault(said: Answer, tmp_path: Path):
    (had,), server = fetched(tmp_path, lambda *_: said, "/a")
    assert (had.reason, server.asked()) == ("no_data", 1)


def test_in_the_end_it_gives_up_and_says_why(tmp_path: Path):
    (had,), server = fetched(tmp_path, lambda *_: Answer(503), "/a?key=1", retries=2)
    assert server.asked() == 3
    assert had.detail == f"{server.url}/a: the server answers 503 (after 3 tries)"


def test_html_with_status_200_is_no_tile(tmp_path: Path):
    (had,), server = fetched(tmp_path, lambda *_: Answer(200, HTML, {"Content-Type": "image/png"}), "/a")
    assert (had.reason, server.asked()) == ("unreadable", 1)
    assert "the server answers 200, but with no image: '<!doctype html><html><body>Please log in" in had.detail


def test_too_large_answers_are_not_read(tmp_path: Path):
    big = PICTURE + b"\0" * 3_000_000
    for folder, headers in (("stated", {}), ("endless", {"Content-Length": "", "Connection": "close"})):
        said = {name: value for name, value in headers.items() if value}
        answer = Answer(200, big, said)
        (had,), _ = fetched(tmp_path / folder, lambda *_, answer=answer: answer, "/a", most_bytes=1_000_000)
        assert (had.reason, had.body) == ("unreadable", None)
        assert "larger than 0.954 MiB (most_bytes)" in had.detail


def test_redirects_are_followed_and_secrets_stay_with_their_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOKEN", "very-secret")
    with RudeServer(lambda *_: PICTURE) as other:
        answers = {
            "/a": Answer(302, headers={"Location": "/b"}),
            "/c": Answer(301, headers={"Location": f"{other.url}/d"}),
        }
        answers["/loop"] = Answer(307, headers={"Location": "/loop"})
        had, server = fetched(
            tmp_path,
            lambda path, _: answers.get(path, PICTURE),
            "/a",
            "/c",
            "/loop",
            headers={"Authorization": "Bearer {env:TOKEN}"},
        )
        assert [answer.body for answer in had[:2]] == [PICTURE, PICTURE]
        assert "without end" in had[2].detail
        assert all(asked.headers["Authorization"] == "Bearer very-secret" for asked in server.log)
        assert all("Authorization" not in asked.headers for asked in other.log)


def test_secrets_are_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KEY", "very-secret")
    with RudeServer(lambda path, _: Answer(500) if "bad" in path else PICTURE) as server:
        with fetching(tmp_path, retries=0) as fetcher:
            asks = [Ask(f"{server.url}/{name}?key={{env:KEY}}") for name in ("good", "bad")]
            good, bad = fetcher.fetch(asks)
        assert {asked.path for asked in server.log} == {"/good?key=very-secret", "/bad?key=very-secret"}
    assert good.body == PICTURE
    assert "secret" not in bad.detail
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"very-secret" in file.read_bytes()]
    with fetching(tmp_path) as fetcher, pytest.raises(RecipeError, match="no variable MISSING; set it before"):
        list(fetcher.fetch([Ask(server.url + "/{env:MISSING}")]))


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_back_all_requests_to_the_host(form: str, status: int, tmp_path: Path):
    def manner(path: str, times: int) -> Answer | bytes:
        if path == "/first" and times == 0:
            pause = "2" if form == "seconds" else email.utils.formatdate(time.time() + 2.9, usegmt=True)
            return Answer(status, headers={"Retry-After": pause})
        return PICTURE

    with RudeServer(manner) as server, fetching(tmp_path, connections=1) as fetcher:
        had = list(fetcher.fetch([Ask(f"{server.url}{path}") for path in ("/first", "/a", "/b")]))
    assert all(answer.body == PICTURE for answer in had)
    first, *others = server.log
    assert min(asked.at for asked in others) - first.at >= 1.8
    assert server.asked() == 4


def test_a_pause_of_hours_ends_the_run(tmp_path: Path):
    with (
        RudeServer(lambda *_: Answer(429, headers={"Retry-After": "7200"})) as server,
        fetching(tmp_path) as fetcher,
        pytest.raises(BuildError, match=r"asks for a pause of 2\.0 hours; what was fetched is kept"),
    ):
        list(fetcher.fetch([Ask(server.url + "/a")]))


def test_a_host_that_is_not_there_ends_the_run_at_once(tmp_path: Path):
    with fetching(tmp_path) as fetcher, pytest.raises(SourceError, match=r"127\.0\.0\.1:9 cannot be reached"):
        list(fetcher.fetch([Ask(f"http://127.0.0.1:9/{i}") for i in range(50)]))


def test_a_wrong_token_ends_the_run_and_names_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAP_TOKEN", "expired")
    with (
        RudeServer(lambda *_: Answer(401)) as server,
        fetching(tmp_path, headers={"X-Key": "{env:MAP_TOKEN}"}) as fetcher,
    ):
        with pytest.raises(SourceError, match=r"answers 401 to every request; the token in MAP_TOKEN may be wrong"):
            list(fetcher.fetch([Ask(f"{server.url}/{i}") for i in range(50)]))
        assert server.asked() < 30


def test_a_bucket_that_forbids_what_it_does_not_have(tmp_path: Path):
    """S3 answers 403 for missing keys, some caches 400 for columns out of range: the recipe says what it means."""

    def manner(path: str, _: int) -> Answer | bytes:
        return PICTURE if path == "/0" else Answer(403 if int(path[1:]) % 2 else 400, b"<Error/>")

    paths = [f"/{i}" for i in range(40)]
    answers, server = fetched(tmp_path, manner, *paths, no_tile=frozenset({400, 403}))
    assert [answer.reason for answer in answers] == [None, *["no_data"] * 39]
    again, later = fetched(tmp_path, manner, "/0")
    assert server.asked() == 40
    assert later.asked() + len(again) == 2


def test_what_is_packed_on_the_way_and_what_is_called_otherwise_is_taken(tmp_path: Path):
    headers: dict[str, tuple[dict[str, str], bytes]] = {
        "/gzip": ({"Content-Type": "image/jpeg", "Content-Encoding": "gzip"}, gzip.compress(PICTURE)),
        "/deflate": ({"Content-Type": "image/jpeg", "Content-Encoding": "deflate"}, zlib.compress(PICTURE)),
        "/jpg": ({"Content-Type": "image/jpg"}, PICTURE),
        "/octets": ({"Content-Type": "application/octet-stream"}, PICTURE),
        "/nothing": ({}, PICTURE),
        "/wordy": ({"Content-Type": "image/jpeg", "X-Policy": "p" * 30_000}, PICTURE),
    }
    answers, _ = fetched(tmp_path, lambda path, _: Answer(200, headers[path][1], headers[path][0]), *headers)
    assert [answer.body for answer in answers] == [PICTURE] * len(headers)


def test_a_cookie_that_a_redirect_hands_out_is_shown(tmp_path: Path):
    moved = Answer(302, headers={"Location": "/tile", "Set-Cookie": "seen=1; Path=/"})
    (answer,), server = fetched(tmp_path, lambda _, times: PICTURE if times else moved, "/tile")
    assert answer.body == PICTURE
    assert [asked.headers.get("Cookie") for asked in server.log] == [None, "seen=1"]


def test_an_answer_that_is_not_http_says_so_without_the_query(tmp_path: Path):
    odd = Answer(200, PICTURE, {"X-Huge": "p" * 100_000})
    with pytest.raises(SourceError, match="the connection broke") as error:
        fetched(tmp_path, lambda *_: odd, *(f"/{i}?key=topsecret" for i in range(20)), retries=0)
    assert "topsecret" not in str(error.value)


def test_a_single_forbidden_tile_is_a_failure_of_its_own(tmp_path: Path):
    had, _ = fetched(tmp_path, lambda path, _: Answer(403) if path == "/b" else PICTURE, "/a", "/b", "/c")
    assert [answer.reason for answer in had] == [None, "unreachable", None]


def test_budgets_hold_over_runs_and_what_was_fetched_stays(tmp_path: Path):
    with RudeServer(lambda *_: PICTURE) as server:
        asks = [Ask(f"{server.url}/{i}") for i in range(30)]
        for _ in range(2):
            with (
                fetching(tmp_path, budget=Budget(requests=10)) as fetcher,
                pytest.raises(BuildError, match=r"budget\.requests = 10; 10 requests were made"),
            ):
                list(fetcher.fetch(asks))
        assert server.asked() == 10
        with fetching(tmp_path, budget=Budget(requests=30)) as fetcher:
            assert all(answer.body for answer in fetcher.fetch(asks))
        assert server.asked() == 30
    with (
        RudeServer(lambda *_: PICTURE) as server,
        fetching(tmp_path / "b", budget=Budget(gigabytes=1e-5)) as fetcher,
        pytest.raises(BuildError, match=r"budget\.gigabytes = 1e-05"),
    ):
        list(fetcher.fetch([Ask(f"{server.url}/{i}") for i in range(300)]))


@pytest.mark.parametrize(("rate", "burst", "count"), [(40.0, 4, 120), (20.0, 1, 50)])
def test_the_rate_is_kept_at_the_server_and_used(rate: float, burst: int, count: int, tmp_path: Path):
    with RudeServer(lambda *_: Answer(200, PICTURE, delay_s=0.03)) as server:
        with fetching(tmp_path, rate=rate, burst=burst, connections=16) as fetcher:
            list(fetcher.fetch([Ask(f"{server.url}/{i}") for i in range(count)]))
        times = [asked.at for asked in server.log]
    assert windows(server.log) <= rate + burst
    assert count / (max(times) - min(times)) >= 0.9 * rate


def test_a_client_that_was_held_up_does_not_catch_up_in_a_burst(tmp_path: Path):
    """Sixteen requests sleep until their slots; a busy machine wakes them all at once."""
    rate, burst = 40.0, 4
    with (
        RudeServer(lambda *_: PICTURE) as server,
        fetching(tmp_path, rate=rate, burst=burst, connections=16) as fetcher,
    ):
        for after_s in (0.5, 1.5):
            threading.Timer(after_s, fetcher._loop.call_soon_threadsafe, [time.sleep, 0.4]).start()
        list(fetcher.fetch([Ask(f"{server.url}/{i}") for i in range(120)]))
        assert windows(server.log) <= rate + burst


CHILD = """
import sys
from pathlib import Path
from git10m.sources.http import Ask, Fetcher, Manners
from git10m.sources.http.store import AnswerStore
url, folder, rate, first, last = sys.argv[1:6]
manners = Manners(source_id="tiles", contact="me@example.org", rate=float(rate), burst=4, timeout_s=2.0)
fetcher = Fetcher(manners, folder=Path(folder))
asks = [Ask(f"{url}/{i}") for i in range(int(first), int(last))]
count = sum(answer.body is not None for answer in fetcher.fetch(asks))
fetcher.close()
print(count)
"""


def child(server: RudeServer, folder: Path, *, rate: float, first: int, last: int) -> subprocess.Popen[str]:
    order = [sys.executable, "-c", CHILD, server.url, str(folder), str(rate), str(first), str(last)]
    return subprocess.Popen(order, stdout=subprocess.PIPE, text=True)


def test_processes_share_the_rate(tmp_path: Path):
    with RudeServer(lambda *_: PICTURE) as server:
        both = [child(server, tmp_path, rate=40, first=i * 60, last=i * 60 + 60) for i in range(2)]
        assert [int(each.communicate(timeout=60)[0]) for each in both] == [60, 60]
        times = sorted(asked.at for asked in server.log)
    assert windows(server.log) <= 44
    assert server.asked() == 120
    middle = times[10:-10]
    assert (len(middle) - 1) / (middle[-1] - middle[0]) >= 0.85 * 40  # the processes do not start together


def test_killed_three_times_every_tile_is_had_and_none_that_is_kept_is_asked_for(tmp_path: Path):
    def manner(path: str, times: int) -> Answer | bytes:
        number = int(path[1:])
        faults = {
            3: Answer(503),
            5: Answer(fault="reset"),
            7: Answer(body=image(number), fault="truncate"),
            11: Answer(429, headers={"Retry-After": "1"}),
        }
        fault = next((fault for step, fault in faults.items() if number % step == 0), None)
        return fault if fault is not None and times == 0 else image(number)

    count = 150
    with RudeServer(manner) as server:
        for run in range(3):
            process = child(server, tmp_path, rate=0, first=0, last=count)
            before = server.asked()
            while server.asked() < before + 40 and process.poll() is None:
                time.sleep(0.005)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=10)
            time.sleep(0.05)
            held = stored(tmp_path)
            assert run or held
            asked_before = Counter(asked.path for asked in server.log)
            again = child(server, tmp_path, rate=0, first=0, last=1)  # opens the store after the kill
            again.communicate(timeout=30)
            for path in held:
                assert Counter(asked.path for asked in server.log)[path] == asked_before[path]
        kept_before, asked_before = stored(tmp_path), Counter(asked.path for asked in server.log)
        last = child(server, tmp_path, rate=0, first=0, last=count)
        assert int(last.communicate(timeout=60)[0]) == count
        finally_asked = Counter(asked.path for asked in server.log)
        assert all(finally_asked[path] == asked_before[path] for path in kept_before)
        assert stored(tmp_path) == {f"/{i}" for i in range(count)}
        with fetching(tmp_path) as fetcher:
            had = list(fetcher.fetch([Ask(f"{server.url}/{i}") for i in range(count)]))
        assert [answer.body for answer in had] == [image(i) for i in range(count)]


def stored(folder: Path) -> set[str]:
    """Paths of the tiles in the store, whose pictures tell which they are."""
    import sqlite3

    numbers = {image(i): f"/{i}" for i in range(150)}
    with sqlite3.connect(folder / "answers.sqlite", timeout=30) as database:
        return {numbers[bytes(body)] for (body,) in database.execute("SELECT body FROM answers WHERE status = 200")}


def test_many_may_open_one_new_store_at_the_same_instant(tmp_path: Path):
    """SQLite itself gives up at once where two turn a new file to its shared mode."""
    for number in range(20):
        start = threading.Barrier(8)

        def opened(place: Path = tmp_path / str(number), start: threading.Barrier = start) -> set[str]:
            start.wait()
            return AnswerStore(place).held(["a"])

        with ThreadPoolExecutor(8) as pool:
            assert [each.result() for each in [pool.submit(opened) for _ in range(8)]] == [set()] * 8
