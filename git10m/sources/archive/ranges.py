"""Ranges of bytes of a file, on the disk or at an address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from git10m.errors import SourceError
from git10m.recipe import is_address, shown
from git10m.remote import refusal, s3_file, user_agent
from git10m.sources.archive.container import broken

__all__ = ["ByteRange", "Ranges", "merged", "open_ranges"]

ByteRange = tuple[int, int]
"""(offset, length)."""

_GAP_BYTES = 64 * 2**10
"""Ranges that lie no further apart are asked for in one request."""
_MOST_BYTES = 4 * 2**20
_TIMEOUT_S = 30.0


class Ranges(Protocol):
    """A file that is read in ranges."""

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of a range; fewer where the file ends."""


def open_ranges(path: str) -> Ranges:
    """Open a path or an address (http, https, s3)."""
    if path.startswith(("http://", "https://")):
        return _Http(path)
    if path.startswith("s3://"):
        return _S3(path)
    if is_address(path):
        raise SourceError(f"{shown(path)}: an archive is read from a path, or an http, https or s3 address")
    return _Local(path)


def merged(wanted: Sequence[ByteRange]) -> Iterator[tuple[ByteRange, list[ByteRange]]]:
    """Join ranges that lie close together: yield (range to ask for, the ranges within it)."""
    inside: list[ByteRange] = []
    end = 0
    for offset, length in sorted(set(wanted)):
        if inside and (offset - end > _GAP_BYTES or offset + length - inside[0][0] > _MOST_BYTES):
            yield (inside[0][0], end - inside[0][0]), inside
            inside = []
        end = max(end, offset + length) if inside else offset + length
        inside.append((offset, length))
    if inside:
        yield (inside[0][0], end - inside[0][0]), inside


class _Local:
    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def read(self, offset: int, length: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise broken(self._path.name, error.strerror) from error


class _S3:
    def __init__(self, address: str) -> None:
        self._address = address

    def read(self, offset: int, length: int) -> bytes:
        try:
            found: bytes = self._file.read_at(length, offset)
        except OSError as error:
            raise broken(shown(self._address), refusal(self._address) or error) from error
        return found

    @cached_property
    def _file(self) -> Any:
        return s3_file(self._address)


class _Http:
    def __init__(self, address: str) -> None:
        self._address = address

    def read(self, offset: int, length: int) -> bytes:
        import requests  # noqa: PLC0415 - only remote archives need it

        asked = {"Range": f"bytes={offset}-{offset + length - 1}"}
        try:
            answer = self._session.get(self._address, headers=asked, timeout=_TIMEOUT_S, stream=True)
            if answer.status_code == 200 and offset + length < int(answer.headers.get("Content-Length", 0)):
                answer.close()
                raise SourceError(
                    f"{shown(self._address)}: the server sends only whole files, but an archive is read in ranges; "
                    "put it on a server that knows Range requests, or download it"
                )
            if answer.status_code == 416:
                return b""
            answer.raise_for_status()
            content: bytes = answer.content
        except requests.RequestException as error:
            raise broken(shown(self._address), refusal(self._address) or type(error).__name__) from error
        return content[offset : offset + length] if answer.status_code == 200 else content

    @cached_property
    def _session(self) -> Any:
        import requests  # noqa: PLC0415 - only remote archives need it
        from requests.adapters import HTTPAdapter  # noqa: PLC0415
        from urllib3.util import Retry  # noqa: PLC0415

        again = Retry(total=5, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False)
        session = requests.Session()
        session.headers["User-Agent"] = user_agent()
        session.headers["Accept-Encoding"] = "identity"
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=again))
        return session
