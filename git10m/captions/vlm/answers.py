"""Answers of models, kept by the hash of what was asked: what is in here is never asked for again.

An SQLite file that the processes of a machine share, and that bears a kill at any instant. Ranks on several machines
write files of their own, and read those of all.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from git10m.sources.http.store import shared_database

__all__ = ["Answers", "rank_and_ranks"]

_VARIABLES = (
    ("GIT10M_RANK", "GIT10M_RANKS"),
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)


class Answers:
    """A folder of answers.

    Args:
        folder: Made where there is none; several builds may share it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rank, _ = rank_and_ranks()
        path = folder / ("answers.sqlite" if rank is None else f"answers-{rank:05d}.sqlite")
        self._own = _opened(path)
        self._others = [_opened(other) for other in sorted(folder.glob("answers*.sqlite")) if other != path]

    def get(self, key: str) -> str | None:
        """Return the text that answered a request; None where it was not answered yet."""
        for database in (self._own, *self._others):
            found = database.execute("SELECT text FROM answers WHERE key = ?", (bytes.fromhex(key),)).fetchone()
            if found is not None:
                return str(found[0])
        return None

    def put(self, key: str, text: str) -> None:
        """Keep an answer; a kill does not lose it once this returns. The first answer stays."""
        row = (bytes.fromhex(key), text, time.time())
        self._own.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", row)

    def __len__(self) -> int:
        return sum(
            database.execute("SELECT count(*) FROM answers").fetchone()[0] for database in (self._own, *self._others)
        )

    def close(self) -> None:
        """Let go of the files."""
        for database in (self._own, *self._others):
            database.close()


def rank_and_ranks() -> tuple[int | None, int]:
    """Return the rank of this process in a job array and their number; (None, 1) where there is no array."""
    for rank, ranks in _VARIABLES:
        if os.environ.get(rank, "").isdecimal() and os.environ.get(ranks, "").isdecimal():
            return int(os.environ[rank]), max(1, int(os.environ[ranks]))
    return None, 1


def _opened(path: Path) -> sqlite3.Connection:
    database = shared_database(path)
    database.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, text TEXT, at REAL)")
    return database
