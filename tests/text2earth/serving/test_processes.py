"""Servers in processes of their own, over a world painted by a network: the same bytes whatever happened before."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

SCRIPT = Path(__file__).parents[2] / "serve_small_world.py"


@contextmanager
def process(cache: Path | None, scratch: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, str(SCRIPT), *(["--cache", str(cache)] if cache else [])]
    with (scratch / "log").open("w") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), (scratch / "log").read_text()
        yield url, child
    finally:
        child.terminate()
        child.wait(30)
        child.stdout.close()


def tiles(count: int) -> list[str]:
    """Tiles of three levels, most of them neighbours, a few far away."""
    generator = random.Random(5)
    paths: dict[str, None] = {}
    while len(paths) < count:
        level = generator.choice((4, 6, 8))
        x, y = (8 << (level - 4)) + generator.randrange(4), (5 << (level - 4)) + generator.randrange(4)
        if len(paths) % 20 == 0:
            x, y = generator.randrange(1 << level), generator.randrange(1 << level)
        paths[f"/tiles/{level}/{x}/{y}.png"] = None
    return list(paths)


def fetch(url: str, paths: list[str], *, at_once: int = 1) -> dict[str, bytes]:
    def get(path: str) -> bytes:
        answer = requests.get(url + path, timeout=600)
        assert answer.status_code == 200, answer.text
        return answer.content

    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(paths, pool.map(get, paths), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", [8])
def test_tiles_are_the_same_cold_warm_in_any_order_from_any_process_and_after_a_kill(tmp_path: Path, count: int):
    pytest.importorskip("prometheus_client", reason="the extra 'serve' is not installed")
    paths, cache = tiles(count), tmp_path / "cache"
    with process(cache, tmp_path) as (url, child):
        cold = fetch(url, paths)
        assert fetch(url, paths) == cold
        half = paths[: count // 2]
        child.send_signal(signal.SIGKILL)
        child.wait(30)
    with process(cache, tmp_path) as (url, _):
        assert fetch(url, half, at_once=8) == {path: cold[path] for path in half}
    with process(None, tmp_path) as (url, child):
        assert fetch(url, paths[::-1], at_once=16) == cold
        # Killed in the middle of work, a shared folder stays sound.
    other = tmp_path / "other"
    with process(other, tmp_path) as (url, child):
        pool = ThreadPoolExecutor(4)
        pending = [pool.submit(requests.get, url + path, timeout=600) for path in paths[:4]]
        pending[0].result()
        os.kill(child.pid, signal.SIGKILL)
        child.wait(30)
        pool.shutdown()
    with process(other, tmp_path) as (url, _):
        assert fetch(url, paths[:8]) == {path: cold[path] for path in paths[:8]}


def test_a_port_that_is_taken_is_told():
    from text2earth.errors import RequestError
    from text2earth.serving import listen

    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RequestError, match=f"port {port}.*--port"):
            listen("127.0.0.1", port)


def test_the_command_refuses_what_cannot_be_served(run):
    assert run("serve", "nowhere", "--port", 70000)[0] == 2
    assert "65535" in run("serve", "nowhere", "--port", 70000)[2]
    assert run("serve", "nowhere", "--queue", 0)[0] == 2
    status, _, told = run("serve", "nowhere", "--port", 0)
    assert (status, "nowhere" in told) == (2, True)
