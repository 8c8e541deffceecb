"""The process in which img2dataset runs: ``python -m git10m.sources.weblist.child``.

img2dataset asks through ``urllib``, whose opener can be replaced. Ours says who asks (img2dataset poses as a browser),
takes only whole images, and waits when a server says so. img2dataset's own worker processes import this module as
``__mp_main__``, which is how they get the opener too.
"""

from __future__ import annotations

import http.client
import importlib
import io
import json
import os
import re
import signal
import sys
import threading
import time
import types
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.response import addinfourl

from git10m.sources.served import decode

__all__ = ["SETTINGS", "Manners", "Settings"]

SETTINGS = "GIT10M_WEBLIST"
"""Variable of the environment that holds the settings as JSON."""
_PIECE_BYTES = 65536
_IDLE = ("albumentations", "wandb", "webdataset")


@dataclass(frozen=True, slots=True)
class Settings:
    """What img2dataset's processes need to know.

    Attributes:
        agent: The User-Agent.
        timeout_s: Of one image, from the first byte of its body.
        most_bytes: Of one image.
    """

    agent: str
    timeout_s: float
    most_bytes: int

    def as_json(self) -> str:
        """Return the value of the variable `SETTINGS`."""
        return json.dumps(asdict(self))


class Whole(addinfourl):
    """An answer whose body has been read and found to be an image."""


class Manners(urllib.request.BaseHandler):
    """How addresses are asked for; a handler of ``urllib.request.build_opener``, shared by threads."""

    handler_order = 1100  # after the handler that turns statuses into errors and follows redirects

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._not_before: dict[str, float] = {}

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        """Say who asks; wait if this host wants to be left alone for a while."""
        request.add_header("User-Agent", self.settings.agent)
        wait = self._not_before.get(request.host, 0.0) - time.monotonic()
        if wait > self.settings.timeout_s:
            raise URLError(f"not asked: the host wants to be left alone (Retry-After: {wait:.0f})")
        if wait > 0:
            time.sleep(wait)
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
            decode(body, fill=(0, 0, 0))
        except ValueError as error:
            kind = response.headers.get_content_type()
            raise ValueError(f"no image: {error} ({kind}, {len(body)} bytes)") from error
        return Whole(io.BytesIO(body), response.headers, response.url, response.status)

    def http_error_429(self, request: urllib.request.Request, response: Any, *said: Any) -> Any:
        """Note when the host wants to be asked again."""
        code, message, headers = said
        seconds = _seconds(headers.get("Retry-After"))
        response.close()
        if seconds is not None:
            until = time.monotonic() + seconds
            self._not_before[request.host] = max(until, self._not_before.get(request.host, 0.0))
            message = f"{message} (Retry-After: {seconds:.0f})"
        raise HTTPError(request.full_url, code, message, headers, None)

    https_request, https_response, http_error_503 = http_request, http_response, http_error_429

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
            raise http.client.IncompleteRead(b"".join(pieces)[:0], response.length)
        return b"".join(pieces)


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which gives seconds or a date."""
    if retry_after is None:
        return None
    if re.fullmatch(r"\d{1,9}", retry_after.strip()):
        return float(retry_after)
    try:
        return max(parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None


def _prepare(environment: Mapping[str, str]) -> None:
    """Make this process ask as ours."""
    settings = Settings(**json.loads(environment[SETTINGS]))
    urllib.request.install_opener(urllib.request.build_opener(Manners(settings)))
    _img2dataset()


def _img2dataset() -> Any:
    """Import img2dataset without what it imports but is not asked to use here: five seconds and torch, a process."""
    for name in _IDLE:
        sys.modules.setdefault(name, types.ModuleType(name))
    try:
        return importlib.import_module("img2dataset")
    except AttributeError:
        for name in (*_IDLE, *(each for each in sys.modules if each.startswith("img2dataset"))):
            sys.modules.pop(name, None)
        return importlib.import_module("img2dataset")


def _end_with_parent() -> None:
    """End this process and img2dataset's workers when the process that started it is gone."""
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _main() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _img2dataset().download(**json.loads(sys.argv[1]))


if __name__ == "__main__":
    _main()
elif __name__ == "__mp_main__":
    _prepare(os.environ)
