"""The pace at which hosts are asked, kept by all processes of a build together.

Each host has a file of two numbers: when the next request is due if all came evenly ("theoretical arrival time" of the
generic cell rate algorithm, ITU-T I.371), and before when the host wants no request at all. Whoever wants to ask locks
the file, and takes the turn if it has come, else sleeps and tries again. A second kind of file counts what a source has
used of its budget.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from git10m.errors import BuildError
from git10m.recipe import Budget

__all__ = ["HostPace", "Spending"]

_LEEWAY = 1.02
"""Requests reach a server less evenly than they leave; a pace 2 % below the limit keeps it there too."""
_NUMBERS = struct.Struct("<dd")
_COUNTS = struct.Struct("<qq")
_STALE_S = 3600.0


class HostPace:
    """The pace of one host.

    Args:
        folder: Of the state files.
        host: With its port.
        rate: Most requests a second; 0: no limit.
        burst: Requests that may follow each other at once.
    """

    def __init__(self, folder: Path, *, host: str, rate: float, burst: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', host)}.pace", os.O_RDWR | os.O_CREAT, 0o666)
        self._interval_s = _LEEWAY / rate if rate > 0 else 0.0
        # One less than stated, for what arrives closer together than it left; half of the leeway, for waking late.
        self._tolerance_s = max((_LEEWAY - 1.0) / 2, self._interval_s * (burst - 2))

    def turn(self) -> float:
        """Take the turn to ask and return 0, or return the seconds after which to try again.

        Nothing is reserved: what leaves late, on a busy machine, must not leave together with what comes after it.
        """
        now = time.time()
        with _locked(self._file):
            due, not_before = self._read(now)
            wait_s = max(not_before, due - self._tolerance_s) - now
            if wait_s <= 0.0:
                self._write(max(due, now) + self._interval_s, not_before)
        return max(0.0, wait_s)

    def pause_until(self, at: float) -> None:
        """Let no request leave before a time (Unix)."""
        with _locked(self._file):
            due, not_before = self._read(time.time())
            self._write(due, max(not_before, at))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _read(self, now: float) -> tuple[float, float]:
        data = os.pread(self._file, _NUMBERS.size, 0)
        if len(data) < _NUMBERS.size:
            # No burst to begin with: while connections are made, the first requests arrive with those after them.
            return now + self._tolerance_s, 0.0
        due, not_before = _NUMBERS.unpack(data)
        # A clock that was set back, or a state of long ago, must not stop everything.
        return (due if due < now + _STALE_S else now), (not_before if not_before < now + _STALE_S else 0.0)

    def _write(self, due: float, not_before: float) -> None:
        os.pwrite(self._file, _NUMBERS.pack(due, not_before), 0)


class Spending:
    """What a source has used of its budget, over all processes and runs.

    Args:
        path: State file.
        budget: As the recipe says.
        source_id: For messages.
    """

    def __init__(self, path: Path, *, budget: Budget, source_id: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._budget, self._source_id, self._begun = budget, source_id, time.monotonic()

    def begin_request(self) -> None:
        """Count a request that is about to leave.

        Raises:
            BuildError: If the budget does not allow it.
        """
        budget = self._budget
        hours = (time.monotonic() - self._begun) / 3600.0
        with _locked(self._file):
            requests, received = self._read()
            if budget.requests is not None and requests >= budget.requests:
                raise self._spent(f"budget.requests = {budget.requests}", f"{requests} requests were made")
            if budget.gigabytes is not None and received >= budget.gigabytes * 1e9:
                raise self._spent(f"budget.gigabytes = {budget.gigabytes:g}", f"{received / 1e9:.3g} GB were received")
            if budget.hours is not None and hours >= budget.hours:
                raise self._spent(f"budget.hours = {budget.hours:g}", f"this run has taken {hours:.2g} hours")
            os.pwrite(self._file, _COUNTS.pack(requests + 1, received), 0)

    def received(self, count: int) -> None:
        """Count bytes that were received."""
        with _locked(self._file):
            requests, received = self._read()
            os.pwrite(self._file, _COUNTS.pack(requests, received + count), 0)

    def totals(self) -> tuple[int, int]:
        """Return (requests, bytes) so far."""
        return self._read()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _read(self) -> tuple[int, int]:
        data = os.pread(self._file, _COUNTS.size, 0)
        return _COUNTS.unpack(data) if len(data) == _COUNTS.size else (0, 0)

    def _spent(self, limit: str, used: str) -> BuildError:
        return BuildError(
            f"source {self._source_id!r}: the budget is used up ({limit}; {used}); what was fetched is kept: "
            "raise the budget in the recipe and run the same command again to go on"
        )


@contextmanager
def _locked(file: int) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
