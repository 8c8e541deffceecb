"""Fetching: img2dataset in a process of its own over what is not had yet, its results taken into the store.

Rows are matched by their number, and counted against what was asked; img2dataset's own counts are not looked at.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from git10m.errors import BuildError, RecipeError, SourceError
from git10m.recipe.sources import WebListSource
from git10m.shards import atomic_file
from git10m.sources.weblist.manners import SETTINGS, Settings
from git10m.sources.weblist.reading import WebList
from git10m.sources.weblist.store import REASONS, Result, State, Store
from git10m.sources.weblist.table import shown

__all__ = ["Fetched", "fetch"]

_PORTION = 250_000
"""Addresses of one run of img2dataset, which holds all of them in memory."""
_SHARD = 1_000
"""Most addresses of a shard: as many may have to be asked for again after a kill, a process."""
_WRITTEN_AT_ONCE = 100
"""Rows of a shard that img2dataset writes together; until then nothing is seen of them."""
_START_S = 120.0
"""Longest that img2dataset may take to start: it imports for seconds, also where the machine is busy."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0
_RETRY_AFTER = re.compile(r"\(Retry-After: (\d+)\)")
_HTTP = re.compile(r"HTTP Error (\d{3})")
_AGAIN = (State.WAITING, State.PASSING)


@dataclass(frozen=True, slots=True)
class Fetched:
    """How a list stands after fetching; addresses that several rows share count once.

    Attributes:
        asked: Addresses.
        had: Images in the store.
        failed: Addresses without an image, by what is the matter: ``"unreachable"``, ``"unreadable"``, ``"no_data"``.
        requests: Addresses that were asked for now, each time counted.
    """

    asked: int
    had: int
    failed: dict[str, int]
    requests: int


def fetch(weblist: WebList, *, retry_failed: bool = False) -> Fetched:
    """Fetch what a list lacks; what is in the store is never asked for again.

    What failed for a reason that may pass is asked for again, here and by each later call. Safe to kill at any
    instant, and to call from several processes: one works, the others wait for it and find nothing left to do.

    Args:
        weblist: The list.
        retry_failed: Ask again also for what failed for good (but not for what the server says is not there).

    Raises:
        RecipeError: If img2dataset is not installed, or the contact cannot be sent.
        SourceError: If no image at all could be had.
        BuildError: If img2dataset cannot run, or the disk is full.
    """
    began = time.time()
    with _alone(weblist.folder), Store(weblist.images, writable=True) as store:
        store.enter(weblist.rows, digest=weblist.digest_of_tables)
        _take_in_what_was_left(weblist.runs, store)
        # another process may have tried everything while this one waited for the lock
        requests = _ask_in_rounds(weblist, store, retry_failed=retry_failed) if store.ended < began else 0
        store.seal(ended=time.time())
        return _account(weblist, store, requests)


def _ask_in_rounds(weblist: WebList, store: Store, *, retry_failed: bool) -> int:
    """Ask for what is not had until nothing that may pass is left, or the rounds are used up; return how often."""
    requests, states = 0, (*_AGAIN, State.REFUSED, State.BROKEN) if retry_failed else _AGAIN
    for round_ in range(weblist.source.retries + 1):
        if not store.addresses(states, after=-1, most=1):
            break
        _check(weblist.source)
        if round_:
            time.sleep(_pause(store, round_))
        requests += _ask_once(weblist, store, states)
        states = _AGAIN
    return requests


def _check(source: WebListSource) -> None:
    if find_spec("img2dataset") is None:
        raise RecipeError(
            f"source {source.id!r}: a list of addresses is fetched with img2dataset, which is not installed; "
            "pip install 'git10m[img2dataset]'"
        )
    if not source.contact.isascii() or not source.contact.isprintable():
        raise RecipeError(f"source {source.id!r}: contact = {source.contact!r} cannot be sent; use plain ASCII")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from fetching into the same store; the lock ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _pause(store: Store, round_: int) -> float:
    """Return how long to wait before a further round: growing, with jitter, and as long as servers ask."""
    grown = min(_FIRST_PAUSE_S * 4.0 ** (round_ - 1), _LONGEST_PAUSE_S) * random.uniform(0.75, 1.25)
    asked = [int(found[1]) for detail, *_ in store.reasons(most=100) if (found := _RETRY_AFTER.search(detail))]
    return min(max(grown, *asked, 0.0), _LONGEST_PAUSE_S)


def _account(weblist: WebList, store: Store, requests: int) -> Fetched:
    counts = store.counts()
    asked, had = sum(counts.values()), counts[State.HAD]
    failed = Counter[str]()
    for state, reason in REASONS.items():
        failed[reason] += counts[state]
    if not had:
        told = "; ".join(f"{count} × {detail} (e.g. {shown(url)})" for detail, count, url in store.reasons())
        raise SourceError(
            f"source {weblist.source.id!r}: none of {asked} addresses gave an image: {told or 'no answer came back'}; "
            "check the addresses and the network, then run again"
        )
    return Fetched(asked, had, {reason: count for reason, count in failed.items() if count}, requests)


def _ask_once(weblist: WebList, store: Store, states: tuple[State, ...]) -> int:
    """Ask once for every address in one of the states; return how many."""
    asked, after = 0, -1
    counts = store.counts()
    todo = sum(counts[state] for state in states)
    with tqdm(total=todo, desc=f"fetching {weblist.source.id}", unit="image", disable=None) as bar:
        while addresses := store.addresses(states, after=after, most=_PORTION):
            asked, after = asked + len(addresses), addresses[-1][0]
            run = weblist.runs / uuid.uuid4().hex
            _run(weblist.source, addresses, run, store=store, bar=bar)
            shutil.rmtree(run, ignore_errors=True)
    return asked


def _run(source: WebListSource, addresses: list[tuple[int, str]], run: Path, *, store: Store, bar: Any) -> None:
    """Run img2dataset over some addresses and take in its shards as they are done."""
    _write_list(addresses, run)
    size = min(max(-(-len(addresses) // (4 * source.processes)), 50), _SHARD)
    patience = _START_S + (_LONGEST_PAUSE_S + 3 * source.timeout_s) * (1 + _WRITTEN_AT_ONCE // source.connections)
    asked, taken, written = dict(addresses), 0, -1
    with _img2dataset(source, run, shard=size) as child:
        moved = time.monotonic()
        while True:
            ended = child.poll() is not None
            if new := _take_in(run, asked, store):
                taken += new
                bar.update(new)
            elif ended or time.monotonic() - moved > patience:
                break
            else:
                time.sleep(0.1)
            if (now := _bytes_in(run / "out")) != written:
                moved, written = time.monotonic(), now
    if not taken:
        raise BuildError(
            f"source {source.id!r}: img2dataset gave nothing back "
            f"({'it ended with ' + str(child.returncode) if ended else 'it did not move'}): {_last_words(run)}"
        )


def _write_list(addresses: list[tuple[int, str]], run: Path) -> None:
    run.mkdir(parents=True)
    entries, urls = zip(*addresses, strict=True)
    table = pa.table({"url": pa.array(urls, pa.string()), "entry": pa.array(entries, pa.int64())})
    with atomic_file(run / "list.parquet") as file:
        pq.write_table(table, file)


@contextmanager
def _img2dataset(source: WebListSource, run: Path, *, shard: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start img2dataset; it is gone after the block, with all its processes."""
    agent = f"git10m/{version('git10m')} (+{source.contact}) img2dataset/{version('img2dataset')}"
    settings = Settings(agent, source.timeout_s, source.most_bytes, source.connections)
    said: dict[str, Any] = {
        "url_list": str(run / "list.parquet"),
        "input_format": "parquet",
        "url_col": "url",
        "save_additional_columns": ["entry"],
        "output_folder": str(run / "out"),
        "output_format": "parquet",
        "resize_mode": "no",
        "disable_all_reencoding": True,
        "compute_hash": None,
        "extract_exif": False,
        "processes_count": source.processes,
        "thread_count": source.connections,
        "number_sample_per_shard": shard,
        "timeout": source.timeout_s,
        "retries": 0,
        "max_shard_retry": 0,
        "enable_wandb": False,
        "user_agent_token": "git10m",
    }
    quiet = {"NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled", "CUDA_VISIBLE_DEVICES": ""}
    with (run / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "git10m.sources.weblist.child", json.dumps(said)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | quiet | {SETTINGS: settings.as_json()},
            start_new_session=True,
        )
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if child.stdin is not None:
                child.stdin.close()


def _last_words(run: Path) -> str:
    """Return the last line of the log, without folders of this machine and without queries."""
    lines = (run / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it said nothing"
    return re.sub(r"\?\S*|(?<![\w:/])/\S*/", "", last)[:300]


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.*"))


def _take_in_what_was_left(runs: Path, store: Store) -> None:
    """Take in the whole shards of runs that were killed, and clear them away."""
    for run in sorted(runs.glob("*")):
        if (run / "list.parquet").exists():
            listed = pq.read_table(run / "list.parquet")
            asked = dict(zip(listed["entry"].to_pylist(), listed["url"].to_pylist(), strict=True))
            _take_in(run, asked, store)
        shutil.rmtree(run, ignore_errors=True)


def _take_in(run: Path, asked: dict[int, str], store: Store) -> int:
    """Take finished shards into the store and delete them; return how many addresses they answered."""
    taken = 0
    # its statistics are written when the shard's file is whole
    for finished in sorted((run / "out").glob("*_stats.json")):
        shard = finished.with_name(finished.name.replace("_stats.json", ".parquet"))
        if shard.exists():
            taken += store.save(_results(shard, asked))
            shard.unlink()
    return taken


def _results(shard: Path, asked: dict[int, str]) -> Iterator[tuple[str, Result]]:
    """Yield what a shard of img2dataset says of what was asked."""
    with pq.ParquetFile(shard) as parquet:
        for batch in parquet.iter_batches(batch_size=100, columns=["entry", "url", "status", "error_message", "jpg"]):
            for row in batch.to_pylist():
                entry, url = row["entry"], row["url"]
                if asked.get(entry) != url:
                    raise BuildError(f"img2dataset gave back row {entry}, which was not asked in this form")
                yield url, _result(entry, row)


def _result(entry: int, row: dict[str, Any]) -> Result:
    if row["status"] == "success" and row["jpg"]:
        return Result(entry, State.HAD, bytes=row["jpg"])
    detail = " ".join((row["error_message"] or "nothing came back").split())[:200]
    return Result(entry, _state(detail), detail)


def _state(detail: str) -> State:
    """Tell what a message of img2dataset means for the address."""
    if found := _HTTP.search(detail):
        status = int(found[1])
        if status in {404, 410}:
            return State.GONE
        return State.PASSING if status >= 500 or status in {408, 425, 429} else State.REFUSED
    if detail.startswith("nothing there:"):
        return State.GONE
    if detail.startswith("no image:"):
        return State.BROKEN
    if any(sign in detail for sign in ("X-Robots-Tag", "CERTIFICATE_VERIFY_FAILED", "unknown url type")):
        return State.REFUSED
    return State.PASSING
