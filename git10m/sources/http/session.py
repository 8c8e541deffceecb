"""Single documents over HTTP: a catalog's, a server's capabilities; tiles go by the `Fetcher`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import RetryError
from urllib3.util.retry import Retry

from git10m.remote import user_agent

__all__ = ["PASSING", "LongPauseError", "Session"]

PASSING = (429, 500, 502, 503, 504)
"""Answers after which it is worth asking again."""
_LONGEST_PAUSE_S = 600.0
"""A server that wants a longer pause is told of, not waited for in silence."""


class LongPauseError(RetryError):
    """A server asks for a pause of hours; its text holds no address."""


class _Patience(Retry):
    """Heeds ``Retry-After``, up to a pause that a person would wait."""

    def get_retry_after(self, response: Any) -> float | None:
        pause_s = super().get_retry_after(response)
        if pause_s is not None and pause_s > _LONGEST_PAUSE_S:
            raise LongPauseError(f"the server asks for a pause of {pause_s / 3600:.1f} hours")
        return pause_s


class Session(requests.Session):
    """Asks again, with growing pauses and as ``Retry-After`` says, where a failure may pass.

    Keeps a recipe's own headers from other hosts, where a redirect leads to one.
    """

    def __init__(self, own: Mapping[str, str], *, contact: str | None = None) -> None:
        super().__init__()
        self.own = own
        self.headers["User-Agent"] = user_agent(contact)
        retries = _Patience(
            total=6,
            connect=3,
            read=3,
            status=5,
            backoff_factor=0.5,
            backoff_jitter=0.3,
            status_forcelist=PASSING,
            allowed_methods=None,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(max_retries=retries, pool_maxsize=16))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Take the recipe's headers, too, from a request that is redirected to another host."""
        super().rebuild_auth(prepared_request, response)
        if self.should_strip_auth(str(response.request.url), str(prepared_request.url)):
            for name in self.own:
                prepared_request.headers.pop(name, None)
