"""Builds from tile servers: whatever the server does, whenever the build is killed, every tile is accounted for."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rude_server import Answer, RudeServer, image, windows
from small_imagery import command, total

from git10m.grid import Tile
from git10m.verify import verify

Capture = pytest.CaptureFixture[str]

LEVEL, X, Y = 14, 8800, 5500
PLACEHOLDER = image(0)


def recipe(
    folder: Path, url: str, *, side: int = 16, source: str = "", top: str = "", path: str = "{z}/{x}/{y}.jpg"
) -> Path:
    """A recipe of side × side tiles."""
    west, _, _, north = Tile(LEVEL, X, Y).bounds
    _, south, east, _ = Tile(LEVEL, X + side - 1, Y + side - 1).bounds
    file = folder / "recipe.toml"
    file.write_text(
        f'name = "served"\n{top}\n[region]\nbbox = [{west}, {south}, {east}, {north}]\n[tiles]\nlevels = [{LEVEL}]\n'
        f'[output]\nshard_rows = 100\n[[source]]\nid = "tiles"\nkind = "xyz"\nurl = "{url}/{path}"\n'
        f'contact = "me@example.org"\nlicence = "CC0-1.0"\n{"rate = 0" if "rate" not in source else ""}\n{source}\n',
        encoding="utf-8",
    )
    return file


def picture(path: str) -> bytes:
    """A picture that no other place has."""
    return image(zlib.crc32(path.encode()) + 1)


def nature(path: str) -> str:
    """What the server has at a place: imagery, a placeholder, nothing, or a page that it calls a tile."""
    draw = zlib.crc32(path.encode()) % 40
    return {0: "placeholder", 1: "nothing", 2: "page", 3: "placeholder", 4: "gone"}.get(draw, "imagery")


def kind_answer(path: str, _: int = 0) -> Answer | bytes:
    """What a well-behaved server says."""
    answers: dict[str, Answer | bytes] = {
        "imagery": picture(path),
        "placeholder": PLACEHOLDER,
        "nothing": Answer(404, b"no such tile"),
        "gone": Answer(204),
        "page": Answer(200, b"<html>sorry</html>", {"Content-Type": "text/html"}),
    }
    return answers[nature(path)]


def without_pages(path: str, _: int) -> Answer | bytes:
    """The same, with imagery instead of pages: failures are not kept, and asked for again by the next run."""
    return picture(path) if nature(path) == "page" else kind_answer(path)


def rude_answer(path: str, times: int) -> Answer | bytes:
    """The same, after a fault the first time that a place is asked for, and sometimes the second."""
    body = picture(path)
    faults = [
        Answer(503),
        Answer(429, headers={"Retry-After": "1"}),
        Answer(fault="reset"),
        Answer(body=body, fault="truncate"),
        Answer(body=body, fault="stall"),
        Answer(body=body, fault="drip"),
        Answer(body=body[: len(body) // 2]),
        Answer(body=body, headers={"Content-Length": str(len(body) + 50)}, fault="truncate"),
        Answer(302, headers={"Location": path + "?moved"}),
        Answer(500, delay_s=0.05),
    ]
    draw = zlib.crc32(b"fault" + path.encode()) % 30
    if path.endswith("?moved"):
        return kind_answer(path.removesuffix("?moved"))
    if nature(path) == "imagery" and draw < len(faults) and times < 1 + draw % 2:
        return faults[draw]
    return kind_answer(path)


def rows(folder: Path, name: str = "data") -> list[dict[str, Any]]:
    files = sorted((folder / name).glob("*.parquet")) if name == "data" else [folder / name]
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def git10m(*arguments: object) -> list[str]:
    return [str(Path(sys.executable).with_name("git10m")), *map(str, arguments)]


def asked_for(server: RudeServer) -> Counter[str]:
    return Counter(asked.path for asked in server.log)


def expected(side: int, what: str) -> int:
    paths = [f"/{LEVEL}/{x}/{y}.jpg" for x in range(X, X + side) for y in range(Y, Y + side)]
    return sum(nature(path) == what for path in paths)


@pytest.mark.slow
def test_killed_three_times_at_a_misbehaving_server_it_is_the_dataset_of_a_good_one(tmp_path: Path, capfd: Capture):
    side = 24
    with RudeServer(kind_answer) as server:
        (tmp_path / "good").mkdir()
        good = command(capfd, "build", recipe(tmp_path / "good", server.url, side=side), "-o", tmp_path / "good/d")
        assert good.code == 0, good.err
    with RudeServer(rude_answer) as server:
        (tmp_path / "rude").mkdir()
        made = recipe(tmp_path / "rude", server.url, side=side, source="timeout_s = 0.5\nconnections = 4\nrate = 150")
        folder = tmp_path / "rude/d"
        order = git10m("build", made, "-o", folder, "--workers", 2)
        killed = 0
        for _ in range(3):
            before, kept = asked_for(server), stored(folder)
            killed += kill_after_requests(order, server, 120)
            again = asked_for(server)
            assert all(again[path] == before[path] for path in kept), "a tile that was kept was asked for again"
        assert killed == 3
        before, kept = asked_for(server), stored(folder)
        assert kept
        subprocess.run(order, check=True, capture_output=True, timeout=120)
        again = asked_for(server)
        assert all(again[path] == before[path] for path in kept)
        assert windows(server.log) <= 150 + 4
    assert verify(folder) == []
    found = rows(folder)
    assert len(found) == expected(side, "imagery")
    by_place = {row["Google_location"]: row["image"]["bytes"] for row in found}
    assert len(by_place) == len(found)
    assert by_place == {row["Google_location"]: row["image"]["bytes"] for row in rows(tmp_path / "good/d")}
    counts = command(capfd, "build", made, "-o", folder, "--json").json["counts"]
    assert counts["planned"] == side**2 == total({key: counts[key] for key in ("kept", "dropped", "failed")})
    assert counts["dropped"]["placeholder"] == expected(side, "placeholder")
    assert counts["failed"] == {
        "no_data": expected(side, "nothing") + expected(side, "gone"),
        "unreadable": expected(side, "page"),
    }


def stored(folder: Path) -> set[str]:
    """Paths of the tiles that are in the store."""
    file = folder / "work/sources/tiles/answers.sqlite"
    if not file.exists():
        return set()
    known = {
        picture(path): path
        for x in range(X, X + 24)
        for y in range(Y, Y + 24)
        if nature(path := f"/{LEVEL}/{x}/{y}.jpg") == "imagery"
    }
    with sqlite3.connect(file, timeout=30) as database:
        bodies = [bytes(body) for (body,) in database.execute("SELECT body FROM answers WHERE status = 200")]
    database.close()
    return {known[body] for body in bodies if body in known}


def kill_after_requests(order: list[str], server: RudeServer, count: int) -> bool:
    """Run a command until the server was asked so often, then kill it; False if it ended before."""
    import psutil

    before = server.asked()
    process = subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while server.asked() < before + count and process.poll() is None:
        time.sleep(0.005)
    if process.poll() is not None:
        return False
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=15)
    assert not alive, "workers outlive the build"
    return True


def test_every_tile_is_accounted_for(tmp_path: Path, capfd: Capture):
    with RudeServer(kind_answer) as server:
        made = recipe(tmp_path, server.url)
        done = command(capfd, "build", made, "-o", tmp_path / "d", "--json")
        assert done.code == 0, done.err
        assert server.asked() == 256
    counts = done.json["counts"]
    assert counts["kept"] == expected(16, "imagery")
    assert counts["dropped"]["placeholder"] == expected(16, "placeholder") > 2
    assert verify(tmp_path / "d") == []
    reasons = Counter(row["reason"] for row in rows(tmp_path / "d", "rejected.parquet"))
    assert sum(reasons.values()) == 256 - counts["kept"]
    pages = [
        row["detail"]
        for row in rows(tmp_path / "d", "rejected.parquet")
        if "but with no image" in (row["detail"] or "")
    ]
    assert len(pages) == expected(16, "page")
    kept = {row["image"]["bytes"] for row in rows(tmp_path / "d")}
    assert kept == {picture(asked.path) for asked in server.log if nature(asked.path) == "imagery"}


def test_what_is_fetched_first_is_not_fetched_again(tmp_path: Path, capfd: Capture):
    with RudeServer(without_pages) as server:
        made = recipe(tmp_path, server.url)
        first = command(capfd, "build", made, "-o", tmp_path / "d", "--fetch-only", "--json")
        assert first.code == 0, first.err
        assert first.json["fetched"] > 0
        asked = server.asked()
        assert asked == 256
        again = command(capfd, "build", made, "-o", tmp_path / "d", "--fetch-only", "--json")
        assert again.json["fetched"] == 0
        assert not (tmp_path / "d/data").exists()
    # The server is gone, and is not missed.
    done = command(capfd, "build", made, "-o", tmp_path / "d", "--json")
    assert done.code == 0, done.err
    assert done.json["counts"]["kept"] == expected(16, "imagery") + expected(16, "page")


def test_a_plan_says_what_the_server_will_be_asked(tmp_path: Path, capfd: Capture):
    for name, how, path in (
        ("plain", "rate = 50", "{z}/{x}/{y}.jpg"),
        ("retina", "tile_px = 512\nrate = 50", "{z}/{x}/{y}@2x.jpg"),
    ):
        (tmp_path / name).mkdir()
        side = {"plain": 256, "retina": 512}[name]
        with RudeServer(lambda path, _, side=side: image(zlib.crc32(path.encode()), side=side)) as server:
            made = recipe(tmp_path / name, server.url, source=how, path=path)
            said = command(capfd, "plan", made, "-o", tmp_path / name / "d", "--json").json
            assert server.asked() == 0
            assert not (tmp_path / name / "d/data").exists()
            done = command(capfd, "build", made, "-o", tmp_path / name / "d", "--json")
            assert done.code == 0, done.err
            (source,) = said["sources"]
            assert source["requests"] == server.asked() == {"plain": 256, "retina": 64}[name]
            assert source["tiles"] == said["tiles"] == done.json["counts"]["planned"] == 256
            assert source["hours"] == pytest.approx(source["requests"] / 50 / 3600)
            assert said["licences"] == [["CC0-1.0", None]]
            received = sum(len(row["image"]["bytes"]) for row in rows(tmp_path / name / "d"))
            if name == "plain":
                assert 0.2 * received < source["download_bytes"] < 5 * received


def test_a_token_that_expires_ends_the_build_and_a_new_one_goes_on(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
):
    tokens = {"SECRET1"}

    def manner(path: str, _: int) -> Answer | bytes:
        name, _, token = path.partition("?token=")
        if len(tokens) == 1 and server.asked() > 100:
            tokens.clear()
        return kind_answer(name) if token in tokens else Answer(401, b"token expired")

    with RudeServer(manner) as server:
        made = recipe(tmp_path, server.url, path="{z}/{x}/{y}.jpg?token={env:TILES_TOKEN}")
        monkeypatch.setenv("TILES_TOKEN", "SECRET1")
        ended = command(capfd, "build", made, "-o", tmp_path / "d", "--workers", 1)
        assert ended.code == 1
        assert "TILES_TOKEN" in ended.err
        assert "SECRET" not in ended.err
        asked = server.asked()
        tokens.update({"SECRET2", "SECRET3"})
        monkeypatch.setenv("TILES_TOKEN", "SECRET2")
        done = command(capfd, "build", made, "-o", tmp_path / "d", "--workers", 1, "--json")
        assert done.code == 0, done.err
        assert server.asked() - asked < 256 - 80  # what came with the old token was not asked for again
    assert done.json["counts"]["kept"] == expected(16, "imagery")
    texts = [file.read_bytes() for file in (tmp_path / "d").rglob("*") if file.is_file()]
    assert not any(b"SECRET" in text for text in texts)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_budget_ends_the_build_and_a_larger_one_goes_on(workers: int, tmp_path: Path, capfd: Capture):
    with RudeServer(without_pages) as server:
        made = recipe(tmp_path, server.url, source="budget = { requests = 100 }")
        ended = command(capfd, "build", made, "-o", tmp_path / "d", "--workers", workers)
        assert ended.code == 1
        assert "budget.requests = 100; 100 requests were made" in ended.err
        assert server.asked() == 100
        made = recipe(tmp_path, server.url, source="budget = { requests = 300 }")
        done = command(capfd, "build", made, "-o", tmp_path / "d", "--workers", workers, "--json")
        assert done.code == 0, done.err
        # The second worker is stopped with what it had under way.
        assert server.asked() - 256 <= {1: 0, 2: 8}[workers]
    assert done.json["counts"]["kept"] == expected(16, "imagery") + expected(16, "page")


def test_a_dead_host_ends_the_build_with_nothing_lost(tmp_path: Path, capfd: Capture):
    with RudeServer(kind_answer) as server:
        url = server.url
        made = recipe(tmp_path, url, side=8)
        command(capfd, "build", made, "-o", tmp_path / "d", "--fetch-only", "--limit", 20)
        held = server.asked()
    ended = command(capfd, "build", made, "-o", tmp_path / "d")
    assert ended.code == 1
    assert "127.0.0.1" in ended.err
    assert "Traceback" not in ended.err
    assert held >= 20
    store = sqlite3.connect(tmp_path / "d/work/sources/tiles/answers.sqlite")
    assert store.execute("SELECT count(*) FROM answers").fetchone()[0] == held
    store.close()


def test_terms_that_forbid_it_are_told_before_anything_is_asked(tmp_path: Path, capfd: Capture):
    made = recipe(tmp_path, "https://tile.openstreetmap.org", path="{z}/{x}/{y}.png")
    for order in ("build", "plan"):
        refused = command(capfd, order, made, "-o", tmp_path / "d")
        assert refused.code == 2
        assert "forbid bulk download" in refused.err
