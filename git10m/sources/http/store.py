"""Answers on the disk: an SQLite file that processes of one machine share, and that bears a kill at any instant."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["AnswerStore", "shared_database"]

_RANKS = ("GIT10M_RANK", "SLURM_ARRAY_TASK_ID", "SLURM_PROCID")
_ASKED_AT_ONCE = 500
_PATIENCE_S = 120.0


def shared_database(path: Path) -> sqlite3.Connection:
    """Open a SQLite file that several processes write at once; waiting for another's commit is no fault."""
    database = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # SQLite does not wait here by itself: two processes that turn a new file to WAL would deadlock.
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)
    database.execute("PRAGMA synchronous = NORMAL")
    return database


class AnswerStore:
    """Answers by key; what is in it is never asked for again.

    Ranks of a job on several machines write files of their own: SQLite's sharing does not reach across machines.

    Args:
        folder: Made where there is none.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rank = next((os.environ[name] for name in _RANKS if os.environ.get(name, "").isdecimal()), None)
        path = folder / ("answers.sqlite" if rank is None else f"answers-{int(rank):05d}.sqlite")
        self._database = shared_database(path)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, status INTEGER, body BLOB, at REAL)"
        )

    def get(self, keys: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        """Return (status, body) of the keys that are held."""
        digests = {_digest(key): key for key in keys}
        found = {}
        wanted = list(digests)
        for start in range(0, len(wanted), _ASKED_AT_ONCE):
            part = wanted[start : start + _ASKED_AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._database.execute(f"SELECT key, status, body FROM answers WHERE key IN ({marks})", part)
            found.update({digests[key]: (status, bytes(body)) for key, status, body in rows})
        return found

    def held(self, keys: Sequence[str]) -> set[str]:
        """Return which keys are held, without reading their bodies."""
        digests = {_digest(key): key for key in keys}
        found: set[str] = set()
        wanted = list(digests)
        for start in range(0, len(wanted), _ASKED_AT_ONCE):
            part = wanted[start : start + _ASKED_AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._database.execute(f"SELECT key FROM answers WHERE key IN ({marks})", part)
            found.update(digests[key] for (key,) in rows)
        return found

    def put(self, key: str, status: int, body: bytes) -> None:
        """Keep an answer; it is on the disk when this returns."""
        row = (_digest(key), status, body, time.time())
        self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)

    def counts(self) -> Mapping[str, int]:
        """Return how many answers are held, and their bytes."""
        count, size = self._database.execute("SELECT count(*), coalesce(sum(length(body)), 0) FROM answers").fetchone()
        return {"answers": int(count), "bytes": int(size)}

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=16).digest()
