"""How addresses are asked for: an opener of ``urllib``, through which img2dataset asks.

img2dataset by itself poses as a browser, does not wait when a server says so, waits for ever for a slow drip, takes
whatever comes, and goes on asking hosts that are dead. The opener mends these five.
"""

from __future__ import annotations

import http.client
import io
import json
import random
import re
import socket
import threading
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.response import addinfourl

from git10m.sources.served import unpacked
from git10m.sources.weblist.pictures import decode_picture

__all__ = ["SETTINGS", "Manners", "Settings", "opener"]

SETTINGS = "GIT10M_WEBLIST"
"""Variable of the environment that holds the settings of img2dataset's processes as JSON."""

_PIECE_BYTES = 65536
_LONGEST_WAIT_S = 120.0
"""A server that wants a longer pause is left for a later round."""
_MOST_WAITS = 3
_LEFT_ALONE_S = 60.0
"""How long a host that does not answer is left alone."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What img2dataset's processes need to know.

    Attributes:
        agent: The User-Agent.
        timeout_s: Without an answer, and of the whole headers or body.
        most_bytes: Of one image.
        connections: At once.
    """

    agent: str
    timeout_s: float
    most_bytes: int
    connections: int

    def as_json(self) -> str:
        """Return the settings as JSON; ``Settings(**json.loads(text))`` reads it."""
        return json.dumps(asdict(self))


def opener(settings: Settings) -> urllib.request.OpenerDirector:
    """Return an opener that asks as the settings say, over http and https alone; threads may share it."""
    manners = Manners(settings)
    made = urllib.request.OpenerDirector()
    for kind in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        made.add_handler(kind())
    for handler in (manners, _Http(manners), _Https(manners)):
        made.add_handler(handler)
    return made


class Whole(addinfourl):
    """An answer whose body has been read and found to be an image."""


class Manners(urllib.request.BaseHandler):
    """Says who asks, waits when it is told to, and takes only whole images."""

    handler_order = 1100  # after the handler that turns statuses into errors and follows redirects

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._not_before: dict[str, float] = {}
        self._dead_until: dict[str, float] = {}
        self._in_a_row: Counter[str] = Counter()

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        """Say who asks; wait if this host wants to be left alone for a while."""
        request.add_header("User-Agent", self.settings.agent)
        now = time.monotonic()
        if now < self._dead_until.get(request.host, 0.0):
            raise URLError(f"not asked: {2 * self.settings.connections} requests in a row did not reach the host")
        wait = self._not_before.get(request.host, 0.0) - now
        if wait > _LONGEST_WAIT_S:
            raise URLError(f"not asked: the host wants to be left alone (Retry-After: {wait:.0f})")
        if wait > 0:
            time.sleep(wait + random.uniform(0.0, min(wait, 1.0)))
        return request

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        """Read the body; what is not a whole image is an error that says so."""
        if isinstance(response, Whole) or not 200 <= response.status < 300:
            return response
        with response:
            body = self._body(response)
        if not body:
            raise ValueError(f"nothing there: HTTP {response.status} without a body")
        try:
            decode_picture(body, fill=(0, 0, 0))
        except ValueError as error:
            kind = response.headers.get_content_type()
            raise ValueError(f"no image: {error} ({kind})") from error
        return Whole(io.BytesIO(body), response.headers, response.url, response.status)

    def http_error_429(self, request: urllib.request.Request, response: Any, *said: Any) -> Any:
        """Ask again when the host says that it may be asked; with all other requests to it waiting too."""
        code, message, headers = said
        response.close()
        seconds = _seconds(headers.get("Retry-After"))
        if seconds is None:
            raise HTTPError(request.full_url, code, message, headers, None)
        until = time.monotonic() + seconds
        self._not_before[request.host] = max(until, self._not_before.get(request.host, 0.0))
        waits = getattr(request, "waits", 0)
        if waits == _MOST_WAITS or seconds > _LONGEST_WAIT_S:
            raise HTTPError(request.full_url, code, f"{message} (Retry-After: {seconds:.0f})", headers, None)
        request.waits = waits + 1  # type: ignore[attr-defined]
        return self.parent.open(request, timeout=request.timeout)

    https_request, https_response, http_error_503 = http_request, http_response, http_error_429

    def reached(self, host: str) -> None:
        """Note that a host answered."""
        self._in_a_row.pop(host, None)

    def not_reached(self, host: str) -> None:
        """Note that a host did not answer."""
        self._in_a_row[host] += 1
        if self._in_a_row[host] >= 2 * self.settings.connections:
            self._dead_until[host] = time.monotonic() + _LEFT_ALONE_S
            self._in_a_row.pop(host, None)

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        until = time.monotonic() + self.settings.timeout_s
        pieces: list[bytes] = []
        size = 0
        while piece := response.read1(_PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > self.settings.most_bytes:
                raise ValueError(f"no image: longer than {self.settings.most_bytes} bytes (most_bytes)")
            if time.monotonic() > until:
                raise TimeoutError(f"timed out: {size} bytes after {self.settings.timeout_s:g} s")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return unpacked(b"".join(pieces))  # buckets hand files out as they were stored, whatever was asked for


class _Hosts(urllib.request.AbstractHTTPHandler):
    """Notes which hosts answer."""

    def __init__(self, manners: Manners) -> None:
        super().__init__()
        self._manners = manners

    def do_open(self, http_class: Any, req: urllib.request.Request, **said: Any) -> Any:
        """Open one connection and return its answer."""
        patient: Any = type("Patient", (_Patient, http_class), {})
        try:
            response = super().do_open(patient, req, **said)
        except (OSError, http.client.HTTPException):
            self._manners.not_reached(req.host)
            raise
        self._manners.reached(req.host)
        return response


class _Http(_Hosts, urllib.request.HTTPHandler):
    """The same for http."""


class _Https(_Hosts, urllib.request.HTTPSHandler):
    """The same for https."""


class _Patient(http.client.HTTPConnection):
    """A connection whose headers must come within its time-out, however they drip."""

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the answer once its headers are there."""
        ended = threading.Event()
        held = self.sock

        def give_up() -> None:
            ended.set()
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(float(self.timeout or 30.0), give_up)
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()
        except (OSError, http.client.HTTPException) as error:
            if not ended.is_set():
                raise
            raise TimeoutError("timed out: the headers did not end") from error
        finally:
            timer.cancel()
        if ended.is_set():
            response.close()
            raise TimeoutError("timed out: the headers did not end")
        return response


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which gives seconds or a date; None where it says neither."""
    if retry_after is None:
        return None
    if re.fullmatch(r"\d{1,9}", retry_after.strip()):
        return float(retry_after)
    try:
        return max(parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None
