"""Requests, retries and checks: many at once, in one thread a process, used from code that waits.

stored ─► answered at once
missing ─► turn at the host's pace ─► request ─► checks ─► stored ─► answered
▲                       │
└── back-off ◄── 429, 5xx, time-out, reset, truncated
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from git10m.errors import BuildError, Git10mError, SourceError
from git10m.remote import user_agent
from git10m.sources.http.pace import HostPace, Spending
from git10m.sources.http.settings import Manners, variables_in, with_environment
from git10m.sources.http.store import AnswerStore
from git10m.sources.served import decode, magic

__all__ = ["Answer", "Ask", "Fetcher"]

_CHUNK = 64
"""Requests that are looked up and asked for together; twice as many are under way."""
_EMPTY = frozenset({204, 404, 410})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403})
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOST_MOVES = 5
_SAID_BYTES = 2**16
_HOPELESS = 8
"""So many refusals in a row end the run, and so many unanswered calls, where nothing was answered before or…"""
_SILENCE_S = 120.0
"""…for so long."""
_LONGEST_PAUSE_S = 3600.0
_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.5, 60.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        url: With ``{env:NAME}`` for what must stay secret.
    """

    url: str

    @property
    def shown(self) -> str:
        """Address for messages: no query, and no secret."""
        return self.url.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    Attributes:
        body: Bytes of an image; None where there is none.
        reason: None, or ``"no_data"``, ``"unreadable"``, ``"unreachable"``; see `sources.Failure`.
        detail: What went wrong.
    """

    body: bytes | None
    reason: str | None = None
    detail: str = ""


class _Passing(Exception):  # noqa: N818 - a signal between two functions, not an error
    """A fault that may pass: try again, at the earliest after a pause that the server asked for."""

    def __init__(self, detail: str, *, pause_s: float | None = None) -> None:
        super().__init__(detail)
        self.pause_s = pause_s


class Fetcher:
    """Fetches images for one source; a process has one for each, for as long as it lives.

    Args:
        manners: How to ask.
        folder: Where answers and the state of pace and budget are kept.
    """

    def __init__(self, manners: Manners, *, folder: Path) -> None:
        self.manners, self.folder = manners, folder
        self._empty = _EMPTY | manners.no_tile
        self._store = AnswerStore(folder)
        self._spending = Spending(folder / "spent.budget", budget=manners.budget, source_id=manners.source_id)
        self._paces: dict[str, HostPace] = {}
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._session: aiohttp.ClientSession | None = None
        self._answered_at: float | None = None
        self._unanswered = self._refusals = 0
        self._over: Git10mError | None = None
        self._ended = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"fetch {manners.source_id}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Yield one answer a request, in order; memory holds two chunks of 64.

        Raises:
            BuildError: If the budget is used up, or the host wants a pause of hours.
            SourceError: If the host cannot be reached at all, or refuses everything.
            RecipeError: If a variable of the environment is missing.
        """
        chunks = [asks[start : start + _CHUNK] for start in range(0, len(asks), _CHUNK)]
        following: Future[list[Answer]] | None = self._begin(self._answers(chunks[0])) if chunks else None
        for number in range(len(chunks)):
            current = following
            # The next chunk is on its way while the caller decodes this one.
            following = self._begin(self._answers(chunks[number + 1])) if number + 1 < len(chunks) else None
            assert current is not None
            try:
                yield from current.result()
            except BuildError:
                # Requests that a budget has counted are awaited, and their answers stored.
                if following is not None:
                    following.exception()
                raise
            except BaseException:
                if following is not None:
                    following.cancel()
                raise

    def fill(self, asks: Sequence[Ask]) -> int:
        """Bring what is missing into the store without handing it out; return how many answers came new."""
        count = 0
        for start in range(0, len(asks), 4 * _CHUNK):
            count += self._begin(self._fill(asks[start : start + 4 * _CHUNK])).result()
        return count

    def close(self) -> None:
        """End the thread and let go of files and connections."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(Exception):
            self._begin(self._shut()).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        if not self._thread.is_alive():
            self._loop.close()
        for pace in self._paces.values():
            pace.close()
        self._spending.close()
        self._store.close()
        atexit.unregister(self.close)

    def _begin(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _shut(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _answers(self, asks: Sequence[Ask]) -> list[Answer]:
        held = self._store.get([ask.url for ask in asks])
        # An image that several tiles are cut from is asked for once.
        missing = list(dict.fromkeys(ask for ask in asks if ask.url not in held))
        fresh = dict(zip(missing, await self._all(missing), strict=True))
        return [self._kept(*held[ask.url]) if ask.url in held else fresh[ask] for ask in asks]

    async def _fill(self, asks: Sequence[Ask]) -> int:
        held = self._store.held([ask.url for ask in asks])
        missing = list(dict.fromkeys(ask for ask in asks if ask.url not in held))
        found = await self._all(missing)
        return sum(answer.reason in {None, "no_data"} for answer in found)

    async def _all(self, asks: Sequence[Ask]) -> list[Answer]:
        tasks = [asyncio.ensure_future(self._one(ask)) for ask in asks]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException as error:
            # Where a budget ends the run, requests that were counted are awaited, and their answers stored.
            if not isinstance(error, BuildError):
                for task in tasks:
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    @staticmethod
    def _kept(status: int, body: bytes) -> Answer:
        return Answer(body) if status == 200 else Answer(None, "no_data", f"the server has no tile there ({status})")

    async def _one(self, ask: Ask) -> Answer:
        """Ask until there is an answer, or no hope of one."""
        url = with_environment(ask.url, source_id=self.manners.source_id)
        host = urlsplit(url).netloc
        detail = ""
        async with self._gate(host):
            for attempt in range(self.manners.retries + 1):
                try:
                    return await self._attempt(ask, url)
                except _Passing as fault:
                    detail = str(fault)
                    again = min(_MOST_PAUSE_S, _FIRST_PAUSE_S * 2.0**attempt)
                    pause_s = fault.pause_s
                    if pause_s is not None:
                        # All processes heed what the host asked of one.
                        self._pace(host).pause_until(time.time() + pause_s)
                    if attempt < self.manners.retries:
                        await self._sleep(random.uniform(0.0, again))
        tries = f"after {self.manners.retries + 1} tries" if self.manners.retries else "at the first try"
        return Answer(None, "unreachable", f"{ask.shown}: {detail} ({tries})")

    async def _attempt(self, ask: Ask, url: str) -> Answer:
        headers = {name: with_environment(text, source_id=self.manners.source_id) for name, text in self._headers()}
        for _ in range(_MOST_MOVES + 1):
            await self._wait(urlsplit(url).netloc)
            status, moved, body = await self._send(ask, url, headers)
            if moved is None:
                return self._judged(ask, status, body)
            following = urljoin(url, moved)
            if urlsplit(following).netloc != urlsplit(url).netloc:
                headers = {}  # what is meant for one host is told to no other
            url = following
        return Answer(None, "unreachable", f"{ask.shown}: the server sends from one address to the next without end")

    async def _wait(self, host: str) -> None:
        """Sleep until it is this request's turn at the host, and count it."""
        pace = self._pace(host)
        async with self._turns.setdefault(host, asyncio.Lock()):
            while (wait_s := pace.turn()) > 0:
                await self._sleep(wait_s)
        try:
            self._spending.begin_request()
        except BuildError as error:
            raise self._end(error) from error

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not beyond the end of the run."""
        if seconds > 0 and not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), seconds)
        if self._over is not None:
            raise self._over

    def _end(self, error: Git10mError) -> Git10mError:
        """Let no further request leave; the first reason holds."""
        self._over = self._over or error
        self._ended.set()
        return self._over

    async def _send(self, ask: Ask, url: str, headers: dict[str, str]) -> tuple[int, str | None, bytes]:
        """Return (status, where to instead, body).

        Raises:
            _Passing: If the fault may pass.
        """
        try:
            async with self._client().get(url, headers=headers, allow_redirects=False) as answer:
                self._answered_at, self._unanswered = time.monotonic(), 0
                if answer.status in _MOVED and (moved := answer.headers.get("Location")):
                    return answer.status, moved, b""
                if answer.status in _PASSING and answer.status not in self._empty:
                    raise _Passing(f"the server answers {answer.status}", pause_s=self._asked_pause(answer))
                body = await self._body(answer)
                return answer.status, None, body
        except aiohttp.ClientPayloadError as error:
            raise _Passing("the answer broke off") from error
        except aiohttp.InvalidURL:
            return 400, None, b""
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            said = self._in_words(url, error)
            self._count_unanswered(said)
            raise _Passing(said) from error

    def _in_words(self, url: str, error: BaseException) -> str:
        if isinstance(error, aiohttp.ClientConnectorError):
            return f"{urlsplit(url).netloc} cannot be reached ({_words(error.os_error)})"
        if isinstance(error, TimeoutError):
            return f"no answer, or no end of it, within {self.manners.timeout_s:g} s"
        return f"the connection broke ({_words(error)})"

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        """Read an image, or the beginning of what a server says instead."""
        most = self.manners.most_bytes
        if answer.status != 200:
            return await answer.content.read(_SAID_BYTES)
        if (answer.content_length or 0) > most:
            return _Huge(answer.content_length or 0)
        parts, size = [], 0
        async for part in answer.content.iter_any():
            size += len(part)
            if size > most:
                return _Huge(size)
            parts.append(part)
        self._spending.received(size)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _judged(self, ask: Ask, status: int, body: bytes) -> Answer:
        """Decide what an answer is worth, and keep it if it will be the same tomorrow."""
        if status in _REFUSED and status not in self._empty:
            self._count_refusal(ask, status)
            return Answer(None, "unreachable", f"{ask.shown}: the server answers {status} (access denied)")
        self._refusals = 0
        if status in self._empty or (status == 200 and not body):
            self._store.put(ask.url, status if status in self._empty else 204, b"")
            return self._kept(404 if status == 200 else status, b"")
        if status != 200:
            return Answer(None, "unreachable", f"{ask.shown}: the server answers {status}{_excerpt(body)}")
        if isinstance(body, _Huge):
            most = f"{self.manners.most_bytes / 2**20:.3g} MiB (most_bytes)"
            return Answer(None, "unreadable", f"{ask.shown}: the answer is larger than {most}")
        if (kind := magic(body)) is None:
            return Answer(None, "unreadable", f"{ask.shown}: the server answers 200, but with no image{_excerpt(body)}")
        if not _ends(body, kind):
            raise _Passing(f"the {kind.upper()} image is not whole")
        self._store.put(ask.url, 200, body)
        return Answer(body)

    def _asked_pause(self, answer: aiohttp.ClientResponse) -> float | None:
        """Return the seconds of a Retry-After of 429 or 503, as a number or a date."""
        said = answer.headers.get("Retry-After", "").strip()
        if answer.status not in {429, 503} or not said:
            return None
        try:
            pause_s = float(said) if said.replace(".", "", 1).isdecimal() else _until(said)
        except (ValueError, TypeError):
            return None
        if pause_s > _LONGEST_PAUSE_S:
            raise self._end(
                BuildError(
                    f"source {self.manners.source_id!r}: {answer.url.host} answers {answer.status} and asks for a "
                    f"pause of {pause_s / 3600:.1f} hours; what was fetched is kept: run the same command again then"
                )
            )
        return max(0.0, pause_s)

    def _count_unanswered(self, said: str) -> None:
        """End the run where the host seems to be gone; to fail every tile would take days, and help nobody."""
        self._unanswered += 1
        silent_s = math.inf if self._answered_at is None else time.monotonic() - self._answered_at
        if self._unanswered >= _HOPELESS and silent_s >= _SILENCE_S:
            hint = "check the address in the recipe and the network" if self._answered_at is None else "wait for it"
            raise self._end(
                SourceError(
                    f"source {self.manners.source_id!r}: {said}; {hint}, then run the same command again (what was "
                    "fetched is kept)"
                )
            )

    def _count_refusal(self, ask: Ask, status: int) -> None:
        self._refusals += 1
        if self._refusals < _HOPELESS:
            return
        named = variables_in(ask.url, *self.manners.headers.values())
        hint = (
            f"the token in {', '.join(named)} may be wrong or expired: renew it"
            if named
            else "it may want a token: give one in headers or url as {env:NAME}"
        )
        hint += f" (or, if it says so of tiles that it does not have: no_tile = [{status}])"
        raise self._end(
            SourceError(
                f"source {self.manners.source_id!r}: {urlsplit(ask.url).netloc} answers {status} to every request; "
                f"{hint}, then run the same command again (what was fetched is kept)"
            )
        )

    def _headers(self) -> Sequence[tuple[str, str]]:
        return tuple(self.manners.headers.items())

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            wait_s = self.manners.timeout_s
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=self.manners.connections),
                # A server that sends a byte now and then is given four times the patience, no more.
                timeout=aiohttp.ClientTimeout(total=4 * wait_s, sock_connect=wait_s, sock_read=wait_s),
                headers={
                    "User-Agent": user_agent(self.manners.contact),
                    "Accept": "image/*,*/*;q=0.5",
                },
                trust_env=True,
                # Some servers hand a cookie out with a redirect and look for it; it lives as long as the process.
                cookie_jar=aiohttp.CookieJar(unsafe=True),
                max_field_size=2**16,
            )
        return self._session

    def _pace(self, host: str) -> HostPace:
        if host not in self._paces:
            rate, burst = self.manners.rate, self.manners.burst
            self._paces[host] = HostPace(self.folder, host=host, rate=rate, burst=burst)
        return self._paces[host]

    def _gate(self, host: str) -> asyncio.Semaphore:
        return self._gates.setdefault(host, asyncio.Semaphore(self.manners.connections))


class _Huge(bytes):
    """Stands for a body that is too large to be read."""

    def __new__(cls, size: int) -> _Huge:
        return super().__new__(cls, str(size).encode())


def _ends(body: bytes, kind: str) -> bool:
    """Tell whether an image has its end: servers that break off do not always say so."""
    ends: dict[str, Callable[[bytes], bool]] = {
        "jpeg": lambda data: b"\xff\xd9" in data[-64:],
        "png": lambda data: b"IEND" in data[-64:],
        "webp": lambda data: len(data) >= int.from_bytes(data[4:8], "little") + 8,
    }
    if ends[kind](body):
        return True
    with contextlib.suppress(ValueError):  # some writers add something behind the end
        decode(body, fill=(0, 0, 0))
        return True
    return False


def _until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()


def _excerpt(body: bytes) -> str:
    """Quote the beginning of a text, tidily; nothing of what is no text."""
    text = " ".join(body[:400].decode("utf-8", "ignore").split())
    return f": {text[:120]!r}" if text and text.isprintable() else ""


def _words(error: BaseException | None) -> str:
    """Say what went wrong; aiohttp's own text of an answer that it cannot parse holds the whole address."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message.partition(":\n")[0].strip()[:120] or type(error).__name__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
