"""What has been fetched: a SQLite file with a row an address, and the bytes of those that were had.

Results of a whole shard of img2dataset are written in one transaction: a kill leaves all of them or none.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import pyarrow.parquet as pq

from git10m.errors import BuildError
from git10m.sources.weblist.table import address_key

__all__ = ["REASONS", "Result", "State", "Store", "Stored"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS address (
    key BLOB PRIMARY KEY, entry INTEGER NOT NULL, url TEXT NOT NULL, state INTEGER NOT NULL DEFAULT 0,
    detail TEXT NOT NULL DEFAULT '', digest BLOB, listed INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS image (key BLOB PRIMARY KEY, bytes BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS open_addresses ON address (entry) WHERE state NOT IN (1, 4);
"""


class State(IntEnum):
    """How it stands with an address."""

    WAITING = 0
    """Not asked for yet, or the answer was lost on the way."""
    HAD = 1
    PASSING = 2
    """Failed for a reason that may pass: 5xx, 429, a time-out, a broken connection."""
    REFUSED = 3
    """Failed for a reason that someone must mend: 401, 403, 400."""
    GONE = 4
    """Nothing is there: 404, 410."""
    BROKEN = 5
    """What came is no image."""


REASONS = {
    State.WAITING: "unreachable",
    State.PASSING: "unreachable",
    State.REFUSED: "unreachable",
    State.BROKEN: "unreadable",
    State.GONE: "no_data",
}
"""Reason of a `Failure` by state."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of asking for an address: its first row, state, why it failed, and the bytes if it was had."""

    entry: int
    state: State
    detail: str = ""
    bytes: bytes | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds of an address."""

    state: State
    detail: str
    bytes: bytes | None


class Store:
    """The file of one source; use it as a context manager.

    Args:
        path: The file; made where it is not there.
        writable: Whether this is the one process that fetches.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        try:
            if writable:
                self._database = sqlite3.connect(path, isolation_level=None, timeout=60)
                self._database.executescript(f"PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536; {_SCHEMA}")
            else:
                self._database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
        except sqlite3.Error as error:
            raise BuildError(
                f"{path.name}: what was fetched cannot be opened ({error}); delete it to fetch anew"
            ) from error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def enter(self, rows: Path, *, digest: str) -> None:
        """Take over the addresses of a table, each once; what is known of those that are there already stays.

        Args:
            rows: Of the form `table.ROWS`.
            digest: Of the tables; nothing is done where it was taken over before.
        """
        if self.tables == digest:
            return
        with self._transaction(), pq.ParquetFile(rows) as parquet:
            self._database.execute("UPDATE address SET listed = 0")
            entry = 0
            for batch in parquet.iter_batches(columns=["url"]):
                urls = [(i, url) for i, url in enumerate(batch.column(0).to_pylist(), start=entry) if url is not None]
                self._database.executemany(
                    "INSERT INTO address (key, entry, url) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                    "entry = CASE WHEN listed THEN entry ELSE excluded.entry END, listed = 1",
                    ((address_key(url), i, url) for i, url in urls),
                )
                entry += batch.num_rows
            self._tell("tables", digest)

    def counts(self) -> dict[State, int]:
        """Return the number of addresses in each state."""
        found = dict.fromkeys(State, 0)
        for state, count in self._database.execute("SELECT state, count(*) FROM address WHERE listed GROUP BY state"):
            found[State(state)] = count
        return found

    def addresses(self, states: Iterable[State], *, after: int, most: int) -> list[tuple[int, str]]:
        """Return (entry, address) of those in a state, by entry.

        Args:
            states: Any of these.
            after: Entries above this.
            most: So many.
        """
        asked = ",".join(str(int(state)) for state in states)
        return self._database.execute(
            f"SELECT entry, url FROM address WHERE state NOT IN (1, 4) AND state IN ({asked}) AND listed AND entry > ? "
            "ORDER BY entry LIMIT ?",
            (after, most),
        ).fetchall()

    def reasons(self, *, most: int = 3) -> list[tuple[str, int, str]]:
        """Return the commonest failures: what went wrong, how often, and an address of them."""
        return self._database.execute(
            "SELECT detail, count(*), min(url) FROM address WHERE state NOT IN (0, 1) AND listed GROUP BY detail "
            "ORDER BY count(*) DESC, detail LIMIT ?",
            (most,),
        ).fetchall()

    def save(self, results: Iterable[tuple[str, Result]]) -> int:
        """Write down results by address, all or none; what was had already stays. Return how many were new.

        Raises:
            BuildError: If the disk is full.
        """
        saved = 0
        with self._transaction():
            for url, result in results:
                key = address_key(url)
                digest = None if result.bytes is None else hashlib.sha256(result.bytes).digest()
                changed = self._database.execute(
                    "UPDATE address SET state = ?, detail = ?, digest = ? WHERE key = ? AND state != 1",
                    (int(result.state), result.detail, digest, key),
                ).rowcount
                if changed and result.bytes is not None:
                    self._database.execute("INSERT OR REPLACE INTO image VALUES (?, ?)", (key, result.bytes))
                saved += changed
        return saved

    def seal(self, *, ended: float) -> None:
        """Note when fetching ended, and a digest of all that is had, for `content`."""
        if not self._database.total_changes and self.content is not None:
            with self._transaction():
                self._tell("ended", repr(ended))
            return
        digest = hashlib.sha256()
        for key, state, image in self._database.execute(
            "SELECT key, state, digest FROM address WHERE listed ORDER BY key"
        ):
            digest.update(key + bytes([state]) + (image or b""))
        with self._transaction():
            self._tell("content", digest.hexdigest())
            self._tell("ended", repr(ended))

    @property
    def content(self) -> str | None:
        """Digest of what was had when fetching last ended; None before."""
        return self._about("content")

    @property
    def tables(self) -> str | None:
        """Digest of the tables whose addresses it holds; None before."""
        return self._about("tables")

    @property
    def ended(self) -> float:
        """When fetching last ended, in seconds since 1970; 0 before."""
        return float(self._about("ended") or 0)

    def look_up(self, urls: Sequence[str]) -> dict[str, Stored]:
        """Return what is held of addresses."""
        keys = {address_key(url): url for url in urls}
        listed = ",".join("?" * len(keys))
        rows = self._database.execute(
            "SELECT address.key, state, detail, bytes FROM address LEFT JOIN image ON image.key = address.key "
            f"WHERE address.key IN ({listed})",
            list(keys),
        )
        return {keys[key]: Stored(State(state), detail, data) for key, state, detail, data in rows}

    def _about(self, name: str) -> str | None:
        found = self._database.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def _tell(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Make what is written in the block appear at once, or not at all."""
        try:
            with closing(self._database.cursor()) as cursor:
                cursor.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except BaseException as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise BuildError(f"{self.path.name}: cannot be written ({error}); is the disk full?") from error
            raise
