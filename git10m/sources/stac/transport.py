"""Documents of catalogs, read from paths, http(s) and s3.

Requests that fail for a reason that may pass are repeated with growing pauses, and ``Retry-After`` is obeyed. Headers
of the recipe go to the catalog's own host alone; neither they nor what follows a ``?`` are ever shown.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import requests
import tenacity
import urllib3
from pystac.link import Link
from pystac.utils import make_absolute_href
from pystac_client.stac_api_io import StacApiIO

from git10m.errors import SourceError
from git10m.recipe import StacSource, is_address
from git10m.remote import s3_file, user_agent
from git10m.sources.http import PASSING, LongPauseError, Session, with_environment

__all__ = ["AbsentError", "NotUnderstoodError", "Transport", "absolute", "is_secret", "links_of", "without_query"]

_SECRETS = re.compile(
    r"^(sig|signature|se|sp|sv|sr|token|access_token|api_?key|subscription-key|key|auth|password|policy|expires"
    r"|key-pair-id|googleaccessid|awsaccesskeyid|x-amz-.*|x-goog-.*|x-oss-.*|ossaccesskeyid)$",
    re.IGNORECASE,
)
_TIMEOUT_S = (15.0, 60.0)
"""To connect, and without a further byte."""


class AbsentError(SourceError):
    """There is no such document."""


class NotUnderstoodError(SourceError):
    """A server does not understand a request that it said it would."""


def without_query(address: str) -> str:
    """Return an address without what follows a ``?``, and without a user's name and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", address.partition("?")[0])


def is_secret(name: str) -> bool:
    """Tell whether a parameter of an address is a token or a part of a signature, by its name."""
    return _SECRETS.match(name) is not None


def links_of(document: Any) -> list[dict[str, Any]]:
    """Return the links of a document that are links."""
    links = document.get("links") if isinstance(document, dict) else None
    listed = links if isinstance(links, list) else []
    return [link for link in listed if isinstance(link, dict) and isinstance(link.get("href"), str)]


def absolute(href: str, base: str) -> str:
    """Return the path or address that a link means, in a document at ``base``."""
    if href.startswith("file://"):
        return unquote(urlsplit(href).path)
    return str(make_absolute_href(href, base)) if base else href


class Transport(StacApiIO):
    """Reads JSON documents from wherever they are."""

    def __init__(self, source: StacSource) -> None:
        super().__init__(headers={"User-Agent": user_agent()}, timeout=_TIMEOUT_S, max_retries=None)
        self.address = with_environment(source.address, source_id=source.id)
        self.own_headers = {name: with_environment(text, source_id=source.id) for name, text in source.headers.items()}
        self.session = Session(self.own_headers)
        query = parse_qsl(urlsplit(self.address).query) if is_address(self.address) else []
        self.own_parameters = {name: value for name, value in query if is_secret(name)}

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return what a server answers, as text.

        Raises:
            AbsentError: If it says that there is nothing.
            NotUnderstoodError: If it does not understand the request.
            SourceError: If it cannot be reached, or refuses.
        """
        said = dict(headers or {})
        if urlsplit(href).netloc == urlsplit(self.address).netloc:
            said |= self.own_headers
            href = self._with_token(href)
        what = {"json": parameters} if (method or "GET").upper() == "POST" else {"params": parameters or None}
        try:
            answer = self._send((method or "GET").upper(), href, headers=said, **what)
        except requests.RequestException as error:
            raise SourceError(
                f"{without_query(href)}: cannot be reached ({_reason(error)}); check the address and the network, "
                "and run the build again"
            ) from error
        if not 200 <= answer.status_code < 300:
            raise _refusal(answer.status_code, without_query(href))
        return answer.content.decode("utf-8-sig", errors="replace")

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """Return a document's text; see `request` for errors."""
        if isinstance(source, Link) or str(source).startswith(("http://", "https://")):
            return super().read_text(source, *args, **kwargs)
        return self.read_bytes(str(source)).decode("utf-8-sig", errors="replace")

    def read_bytes(self, place: str) -> bytes:
        """Return the content of a path or an s3 address.

        Raises:
            AbsentError: If there is no such file.
            SourceError: If it cannot be read.
        """
        try:
            if place.startswith("s3://"):
                with s3_file(place) as file:
                    return bytes(file.read())
            return Path(place).read_bytes()
        except FileNotFoundError as error:
            raise AbsentError(f"{place}: there is no such file") from error
        except OSError as error:
            hint = "; check the bucket's name, AWS_REGION and the credentials" if place.startswith("s3://") else ""
            why = error.strerror or str(error).strip().splitlines()[0][:200]
            raise SourceError(f"{place}: cannot be read ({why}){hint}") from error

    def fetch(self, href: str, path: Path) -> Path:
        """Write what a server answers to a file, without holding it in memory, and return the file.

        Raises:
            SourceError: As `request`.
        """
        headers = self.own_headers if urlsplit(href).netloc == urlsplit(self.address).netloc else {}
        try:
            with self.session.get(href, headers=headers, timeout=self.timeout, stream=True) as answer:
                if not answer.ok:
                    raise _refusal(answer.status_code, without_query(href))
                with path.open("wb") as file:
                    for part in answer.iter_content(2**20):
                        file.write(part)
        except requests.RequestException as error:
            raise SourceError(f"{without_query(href)}: cannot be fetched ({_reason(error)}); try again") from error
        return path

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> Any:
        """Return a document; see `request` for errors.

        Raises:
            SourceError: If it is no JSON.
        """
        text = self.read_text(source, *args, **kwargs)
        try:
            return json.loads(text)
        except ValueError as error:
            href = source.get_href() if isinstance(source, Link) else source
            seen = "a web page (HTML)" if text.lstrip()[:1] == "<" else "no JSON" if text.strip() else "nothing"
            raise SourceError(
                f"{without_query(str(href))}: is {seen}, expected a JSON document of STAC; give the root of an API, "
                "or the address of a catalog's JSON file"
            ) from error

    def _with_token(self, href: str) -> str:
        """Add the address's own token to another address of its server."""
        has = dict(parse_qsl(urlsplit(href).query))
        lacking = {name: value for name, value in self.own_parameters.items() if name not in has}
        return f"{href}{'&' if '?' in href else '?'}{urlencode(lacking)}" if lacking else href

    @tenacity.retry(
        # What breaks off in the middle of a body is past the reach of urllib3's retries.
        retry=tenacity.retry_if_exception_type(
            (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)
        ),
        stop=tenacity.stop_after_attempt(4),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
        reraise=True,
    )
    def _send(self, method: str, href: str, **what: Any) -> requests.Response:
        return self.session.request(method, href, timeout=self.timeout, **what)


def _refusal(status: int, address: str) -> SourceError:
    if status in {401, 403}:
        return SourceError(
            f"{address}: the server answers {status}: access is denied; a token is missing, wrong or expired: renew "
            'it, and give it as headers = { Authorization = "Bearer {env:NAME}" }'
        )
    if status in {404, 410}:
        return AbsentError(f"{address}: the server answers {status}: there is no such document")
    if status in PASSING:
        return SourceError(f"{address}: the server answers {status} again and again; try again later")
    return NotUnderstoodError(f"{address}: the server answers {status}; is it the root of a STAC API?")


def _reason(error: BaseException) -> str:
    """Say in words why a request failed; the library's own text holds the whole address."""
    seen: BaseException | None = error
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (urllib3.exceptions.NameResolutionError, "no host of that name"),
        (urllib3.exceptions.NewConnectionError, "no connection"),
        (urllib3.exceptions.TimeoutError, "no answer in time"),
        (requests.exceptions.Timeout, "no answer in time"),
        (requests.exceptions.SSLError, "its certificate is not accepted"),
        (requests.exceptions.TooManyRedirects, "it redirects without end"),
        (requests.exceptions.ChunkedEncodingError, "its answer breaks off"),
        (requests.exceptions.InvalidSchema, "no such kind of address"),
        (requests.exceptions.InvalidURL, "no valid address"),
    )
    while seen is not None:
        if isinstance(seen, LongPauseError):
            return str(seen)
        for kind, words in kinds:
            if isinstance(seen, kind):
                return words
        reason = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        seen = reason if isinstance(reason, BaseException) else None
    return "the connection was lost"
