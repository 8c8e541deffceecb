"""Captions by a real server process: ``transformers serve`` on a tiny random LLaVA, behind a proxy that injects faults.

Where the proxy rewrites answers, it puts valid JSON in place of the model's text, which is noise; requests, images,
prompts and counts of tokens are the real server's.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from caption_server import CAPTION, CaptionServer, Fault
from small_imagery import promised, write_recipe, write_scene

from git10m.captions.vlm.ledger import summed
from git10m.verify import verify

pytest.importorskip("openai")
pytestmark = pytest.mark.slow

TABLE = """
[captions]
writer = "openai"
[captions.openai]
base_url = "{url}"
model = "{model}"
max_tokens = 8
timeout_s = 60
concurrency = 2
attempts = {attempts}
[output]
shard_rows = 4
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small_vlms = pytest.importorskip("small_vlms")
    return Path(small_vlms.write_llava(tmp_path_factory.mktemp("llava")))


@pytest.fixture(scope="module")
def upstream(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real OpenAI-compatible vision server."""
    pytest.importorskip("fastapi")
    script = Path(sys.executable).with_name("transformers")
    if not script.exists():
        pytest.skip("the command transformers is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    order = [str(script), "serve", str(model), "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as said:
        process = subprocess.Popen(
            order,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()[-2000:]
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                break
            time.sleep(0.2)
        else:
            pytest.fail(f"not up: {log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def survey(folder: Path, url: str, model: Path, *, attempts: int = 4) -> Path:
    write_scene(folder / "imagery/a.tif", size=900)
    write_recipe(folder / "recipe.toml", more=TABLE.format(url=url, model=model, attempts=attempts))
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    names = ["img_name", "caption", "caption_source"]
    found: list[dict[str, Any]] = pq.read_table(folder / "index.parquet", columns=names).to_pylist()
    return found


def run(order: list[str]) -> None:
    done = subprocess.run(order, check=False, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


def test_each_tile_is_captioned_once_through_faults_and_kills(
    model: Path, upstream: str, tmp_path: Path, git10m: Callable[..., list[str]]
) -> None:
    faults: dict[int, Fault | str] = {
        2: Fault(429, headers={"Retry-After": "1"}),
        4: Fault(500),
        5: "no JSON",
        7: Fault(kind="reset"),
        9: Fault(kind="hang", delay_s=2.0),
    }
    with CaptionServer(lambda number, body: faults.get(number), upstream=upstream, rewritten=True) as proxy:
        folder = survey(tmp_path, proxy.url, model)
        order = git10m(folder, tmp_path / "dataset", "--workers", "2")
        for answers in (3, 8):
            process = subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while len(proxy.asked) < answers and process.poll() is None:
                time.sleep(0.02)
            process.kill()
            process.wait()
            time.sleep(1.5)  # its workers see that it is gone
        run(order)
        count = len(proxy.asked)
        first = promised(tmp_path / "dataset")
        (tmp_path / "dataset/manifest.json").unlink()
        shutil.rmtree(tmp_path / "dataset/work/captions")
        run(order)
        assert len(proxy.asked) == count, "a rerun asks nothing"
        assert promised(tmp_path / "dataset") == first
    rows = rows_of(tmp_path / "dataset")
    assert {(row["caption"], row["caption_source"]) for row in rows} == {(CAPTION, "openai")}
    assert verify(tmp_path / "dataset") == []
    check_ledger(tmp_path / "dataset", proxy, rows=len(rows))


def check_ledger(dataset: Path, proxy: CaptionServer, *, rows: int) -> None:
    ledger = summed(dataset / "work/answers")
    assert ledger is not None
    statuses, counts = Counter(ledger["by_status"]), proxy.counts()
    interrupted = statuses.pop("interrupted", 0)
    assert ledger["requests"] - interrupted <= len(proxy.asked) <= ledger["requests"]
    first = Counter(asked.key for asked in proxy.asked if len(asked.body["messages"]) == 2 and asked.ended == "200")
    assert len(first) == rows
    assert sum(first.values()) - rows <= interrupted, "only what was under way at a kill is answered twice"
    for status in ("429", "500"):
        assert statuses[status] <= counts[status] <= statuses[status] + interrupted
    manifest = json.loads((dataset / "manifest.json").read_text())
    assert manifest["captions"]["requests"]["requests"] == ledger["requests"]


def test_undisturbed_the_ledger_is_the_servers_own_count_of_tokens(
    model: Path, upstream: str, tmp_path: Path, git10m: Callable[..., list[str]]
) -> None:
    """The model's own words are noise, so the template writes the captions; what was asked for is paid for."""
    with CaptionServer(upstream=upstream) as proxy:
        folder = survey(tmp_path, proxy.url, model, attempts=2)
        run(git10m(folder, tmp_path / "dataset", "--workers", "2"))
    rows = rows_of(tmp_path / "dataset")
    assert {row["caption_source"] for row in rows} == {"template"}
    ledger = json.loads((tmp_path / "dataset/manifest.json").read_text())["captions"]["requests"]
    assert ledger["by_status"] == dict(proxy.counts()) == {"200": 2 * len(rows)}
    assert (ledger["prompt_tokens"], ledger["completion_tokens"]) == proxy.tokens()
    assert ledger["prompt_tokens"] > 500 * len(rows)
