"""What was asked of a server and what that cost, noted before a request leaves and when its answer is here.

An SQLite file that the processes of a machine share and that bears a kill at any instant: a request of which no end is
noted was under way when its process died. Ranks on several machines have files of their own.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

from git10m.captions.vlm.answers import rank_and_ranks
from git10m.errors import CaptionError
from git10m.recipe import OpenAIWriter
from git10m.sources.http.store import shared_database

__all__ = ["Ledger", "summed"]

_WINDOW_S = 60.0
_LEEWAY = 1.02
"""Requests reach a server less evenly than they leave; a pace 2 % below the limit keeps it there too."""
_TABLE = """CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY, key TEXT, again INTEGER, model TEXT, sent REAL, status TEXT,
    held INTEGER, prompt INTEGER, completion INTEGER, cost REAL, seconds REAL)"""


class Ledger:
    """Notes requests, and says when the next may leave.

    Args:
        folder: Of the files; made where there is none.
        model: Limits and prices of the recipe.
    """

    def __init__(self, folder: Path, *, model: OpenAIWriter) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rank, ranks = rank_and_ranks()
        self._folder, self._model = folder, model
        # Ranks on several machines do not see each other's requests; each takes its share.
        self._requests_per_minute = model.requests_per_minute / ranks
        self._tokens_per_minute = model.tokens_per_minute / ranks
        self._path = folder / ("ledger.sqlite" if rank is None else f"ledger-{rank:05d}.sqlite")
        self._database = shared_database(self._path)
        self._database.execute(_TABLE)
        self._database.execute("CREATE INDEX IF NOT EXISTS recent ON requests (sent)")
        self._database.execute("CREATE TABLE IF NOT EXISTS pause (until REAL)")

    def begin(self, key: str, *, again: bool, tokens: int) -> int | float:
        """Note a request that leaves now and return its number, or return the seconds (a float) until one may leave.

        Args:
            key: Of the request.
            again: It was sent before and failed.
            tokens: About how many it and its answer have.

        Raises:
            CaptionError: If the budget is spent.
        """
        elsewhere = self._elsewhere()
        with _transaction(self._database):
            self._check_budget(elsewhere)
            now = time.time()
            if (wait := self._wait(now, tokens)) > 0:
                return float(wait)
            values = (key, int(again), self._model.model, now, tokens)
            row = self._database.execute(
                "INSERT INTO requests (key, again, model, sent, held) VALUES (?, ?, ?, ?, ?)", values
            )
            return int(row.lastrowid or 0)

    def end(self, number: int, status: str, *, prompt: int = 0, completion: int = 0) -> None:
        """Note how a request ended.

        Args:
            number: As `begin` returned it.
            status: The HTTP status, or ``"timeout"``, ``"unreachable"``, ``"no answer"``.
            prompt: Tokens of the prompt, as the server counts them.
            completion: Tokens of the answer.
        """
        cost = (prompt * self._model.input_price + completion * self._model.output_price) / 1e6
        self._database.execute(
            "UPDATE requests SET status = ?, held = ?, prompt = ?, completion = ?, cost = ?, seconds = ? - sent "
            "WHERE id = ?",
            (status, prompt + completion, prompt, completion, cost, time.time(), number),
        )

    def note(self, key: str, status: str, *, prompt: int, completion: int) -> None:
        """Note a request that others sent, and how it ended; arguments as of `begin` and `end`."""
        row = self._database.execute(
            "INSERT INTO requests (key, again, model, sent) VALUES (?, 0, ?, 0)", (key, self._model.model)
        )
        self.end(int(row.lastrowid or 0), status, prompt=prompt, completion=completion)

    def pause(self, seconds: float) -> None:
        """Let no request leave for some seconds: the server asked for it."""
        with _transaction(self._database):
            until = max(time.time() + seconds, self._paused())
            self._database.execute("DELETE FROM pause")
            self._database.execute("INSERT INTO pause VALUES (?)", (until,))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _wait(self, now: float, tokens: int) -> float:
        """Return the seconds until one more request keeps within every limit; at most a window."""
        wait = self._paused() - now
        if self._requests_per_minute:
            # Evenly spaced: a burst at the start of each minute is what servers answer with 429.
            (last,) = self._database.execute("SELECT max(sent) FROM requests WHERE sent > ?", (now - 600,)).fetchone()
            wait = max(wait, (last or 0) + _LEEWAY * 60.0 / self._requests_per_minute - now)
        if most := self._tokens_per_minute:
            recent = self._database.execute(
                "SELECT sent, held FROM requests WHERE sent > ? ORDER BY sent", (now - _WINDOW_S,)
            ).fetchall()
            over = sum(held for _, held in recent) + min(tokens, most) - most
            for sent, held in recent:
                if over <= 0:
                    break
                over -= held
                wait = max(wait, sent + _WINDOW_S - now)
        return min(wait, _WINDOW_S)

    def _paused(self) -> float:
        (until,) = self._database.execute("SELECT max(until) FROM pause").fetchone()
        return until or 0.0

    def _check_budget(self, elsewhere: tuple[int, float]) -> None:
        model = self._model
        if model.most_requests is None and model.most_cost is None:
            return
        requests, cost = self._database.execute("SELECT count(*), total(cost) FROM requests").fetchone()
        requests, cost = requests + elsewhere[0], cost + elsewhere[1]
        limit = None
        if model.most_requests is not None and requests >= model.most_requests:
            limit = f"most_requests = {model.most_requests}; {requests} were made"
        elif model.most_cost is not None and cost >= model.most_cost:
            limit = f"most_cost = {model.most_cost:g}; {cost:.4g} was spent"
        if limit is not None:
            raise CaptionError(
                f"captions.openai: the budget is used up ({limit}); what was answered is kept: raise the limit in "
                "the recipe and run the same command again to go on"
            )

    def _elsewhere(self) -> tuple[int, float]:
        """Return requests and cost in the files of other ranks."""
        if self._model.most_requests is None and self._model.most_cost is None:
            return 0, 0.0
        others = [_totals(path) for path in self._folder.glob("ledger*.sqlite") if path != self._path]
        return sum(requests for requests, _ in others), sum(cost for _, cost in others)


class _transaction:  # noqa: N801 - used as a statement
    """Hold the file alone; undo what an error leaves half done."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._database.execute("COMMIT" if kind is None else "ROLLBACK")


def _totals(path: Path) -> tuple[int, float]:
    database = sqlite3.connect(path, timeout=120.0)
    try:
        requests, cost = database.execute("SELECT count(*), total(cost) FROM requests").fetchone()
    finally:
        database.close()
    return int(requests), float(cost)


def summed(folder: Path) -> dict[str, Any] | None:
    """Return the sums of all ledgers of a folder as JSON; None where nothing was ever asked."""
    found: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    models: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("ledger*.sqlite")):
        database = sqlite3.connect(path, timeout=120.0)
        rows = database.execute(
            "SELECT model, coalesce(status, 'interrupted'), count(*), total(again), total(prompt), total(completion), "
            "total(cost) FROM requests GROUP BY 1, 2"
        ).fetchall()
        database.close()
        for model, status, count, again, prompt, completion, cost in rows:
            statuses[status] += count
            of_model = models.setdefault(model, {"requests": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost": 0})
            tokens = {"prompt_tokens": int(prompt), "completion_tokens": int(completion)}
            for name, value in {"requests": count, **tokens, "cost": cost}.items():
                of_model[name] += value
            found.update({"requests": count, "retries": int(again), **tokens})
    if not models:
        return None
    for of_model in models.values():
        of_model["cost"] = round(of_model["cost"], 6)
    cost = round(sum(of_model["cost"] for of_model in models.values()), 6)
    return {**found, "cost": cost, "by_status": dict(sorted(statuses.items())), "by_model": models}
