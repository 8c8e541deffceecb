"""Files at addresses: http, https and s3, wherever a path may stand.

GDAL reads them through its virtual file systems, with few and merged requests. Credentials come from the usual
environment (``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, ``AWS_NO_SIGN_REQUEST``, …).
What follows a ``?`` in an address may be a signature: it is sent, and never shown or stored.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import git10m
from git10m.errors import RecipeError, SourceError
from git10m.recipe import is_address, shown

__all__ = [
    "content_digest",
    "copy_file",
    "gdal_options",
    "gdal_path",
    "list_files",
    "refusal",
    "s3_file",
    "s3_server",
    "user_agent",
]

_WHOLE_BYTES = 16 * 2**20
_SAMPLES, _SAMPLE_BYTES = 16, 2**16
_TIMEOUT_S = 30.0
_COPY_BYTES = 4 * 2**20

_HTTP_OPTIONS = {
    # Three requests instead of thirteen to open a cloud-optimised GeoTIFF, and whole tiles at once from then on.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": str(32 * 2**20),
    "CPL_VSIL_CURL_CACHE_SIZE": str(64 * 2**20),
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "100",
}


def user_agent(contact: str | None = None) -> str:
    """Return how this program names itself to servers."""
    return f"git10m/{git10m.__version__}" + (f" (+{contact})" if contact else "")


def gdal_path(address: str) -> str:
    """Return the name under which GDAL opens a path or an address."""
    if address.startswith(("http://", "https://")):
        return f"/vsicurl/{address}"
    if address.startswith("s3://"):
        return f"/vsis3/{address.removeprefix('s3://')}"
    return address


def gdal_options(path: str) -> dict[str, str]:
    """Return GDAL's options for a path; none for a local file, whose neighbours (masks, overviews) belong to it."""
    if not is_address(path):
        return {}
    return {**_HTTP_OPTIONS, "GDAL_HTTP_USERAGENT": user_agent(), **_s3_options()}


def list_files(address: str) -> list[tuple[str, str]]:
    """List (name, address) of the files that an s3 prefix or glob leads to; names are relative to its fixed part.

    Raises:
        RecipeError: If a server cannot be listed.
        SourceError: If the bucket cannot be read.
    """
    if not address.startswith("s3://"):
        raise RecipeError(
            f"{_without_query(address)}: only s3 can be listed, other servers cannot; name each file: "
            'path = ["https://…/a.tif", "https://…/b.tif"]'
        )
    parts = address.removeprefix("s3://").rstrip("/").split("/")
    fixed = next((i for i, part in enumerate(parts) if _is_pattern(part)), len(parts))
    root, pattern = "/".join(parts[:fixed]), "/".join(parts[fixed:])
    if not root:
        raise RecipeError(f"{address}: the bucket's name cannot be a pattern; give s3://BUCKET/…")
    from pyarrow import fs  # noqa: PLC0415 - only remote files need it

    try:
        found = _s3().get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    except OSError as error:
        raise SourceError(f"{address}: the bucket cannot be listed ({_first_line(error)}); {_S3_HINT}") from error
    names = sorted(info.path.removeprefix(f"{root}/") for info in found if info.type == fs.FileType.File)
    fitting = re.compile(_as_regex(pattern) if pattern else ".*")
    return [(name, f"s3://{root}/{name}") for name in names if fitting.fullmatch(name)]


def s3_file(address: str) -> Any:
    """Open a file of s3 for reading anywhere in it, as a ``pyarrow.NativeFile``.

    Raises:
        OSError: If it cannot be read.
    """
    return _s3().open_input_file(address.removeprefix("s3://"))


def copy_file(address: str, path: Path) -> None:
    """Copy a file at an address of http, https or s3 to a path, some MiB at a time.

    Raises:
        SourceError: If it does not come, or not whole.
    """
    try:
        with path.open("wb") as target:
            if address.startswith("s3://"):
                with s3_file(address) as file:
                    shutil.copyfileobj(file, target, _COPY_BYTES)
                return
            with _answer(address) as answer:
                shutil.copyfileobj(answer, target, _COPY_BYTES)
                told = answer.headers.get("Content-Length")
        if told is not None and path.stat().st_size != int(told):
            raise ConnectionError(f"{path.stat().st_size} of {told} bytes came; try again")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SourceError(f"{shown(address)}: {refusal(address) or _first_line(error)}") from error


def content_digest(path: str) -> str:
    """Return a digest of a file's content; never fails, for a file that is gone is a fact too.

    Of a local file all is taken up to 16 MiB, else its size and 16 samples of 64 KiB: a file that is edited in place
    without a change of size can escape that. Of a remote file its size and what its server says of its version.
    """
    try:
        said = _remote_version(path) if is_address(path) else _local_content(Path(path))
    except (OSError, ValueError) as error:
        return f"unreadable: {getattr(error, 'strerror', None) or type(error).__name__}"
    return hashlib.sha256(said).hexdigest()


def refusal(address: str) -> str | None:
    """Ask for the first byte and return what stands in the way, in words; None where it comes.

    GDAL says of a file that a server refuses only that it "does not exist".
    """
    try:
        _remote_version(address)
    except urllib.error.HTTPError as error:
        hint = {401: "credentials are missing or wrong", 403: "access is denied", 404: "there is no such file"}
        return f"the server answers {error.code}: {hint.get(error.code, error.reason)}"
    except urllib.error.URLError as error:
        return f"{urlsplit(address).hostname} cannot be reached ({_first_line(error.reason)})"
    except (OSError, ValueError) as error:
        return f"{_first_line(error)}; {_S3_HINT}" if address.startswith("s3://") else _first_line(error)
    return None


_S3_HINT = (
    "check the bucket's name, AWS_REGION and the credentials (AWS_ACCESS_KEY_ID …, or AWS_NO_SIGN_REQUEST=YES; "
    "AWS_REQUEST_PAYER=requester where the reader pays)"
)


def _local_content(path: Path) -> bytes:
    size = path.stat().st_size
    parts = [str(size).encode()]
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            parts.append(file.read())
        else:
            for i in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
                parts.append(file.read(_SAMPLE_BYTES))
    return b"".join(parts)


def _remote_version(address: str) -> bytes:
    if address.startswith("s3://"):
        from pyarrow import fs  # noqa: PLC0415 - only remote files need it

        info = _s3().get_file_info(address.removeprefix("s3://"))
        if info.type != fs.FileType.File:
            raise FileNotFoundError("there is no such file")
        return f"{info.size}/{info.mtime_ns}".encode()
    if address.startswith("/vsi"):
        return b"of GDAL's own"  # whatever that file system is, only GDAL can ask it
    # A range, not HEAD: what signs addresses often signs them for GET alone.
    with _answer(address, Range="bytes=0-65535") as answer:
        size = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        return f"{size}/{version}".encode() if version else size.encode() + answer.read(65536)


def _answer(address: str, **headers: str) -> Any:
    asked = urllib.request.Request(address, headers={"User-Agent": user_agent(), **headers})
    try:
        return urllib.request.urlopen(asked, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()  # it is the connection, too
        raise


def _s3() -> Any:
    """Return pyarrow's S3, told of the same server as GDAL."""
    from pyarrow import fs  # noqa: PLC0415 - only remote files need it

    said: dict[str, Any] = {"anonymous": _yes("AWS_NO_SIGN_REQUEST")}
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        said["region"] = region
    if server := s3_server():
        said |= {"endpoint_override": server[0], "scheme": server[1]}
    return fs.S3FileSystem(**said)


def _s3_options() -> dict[str, str]:
    """Tell GDAL of a server that only ``AWS_ENDPOINT_URL`` names."""
    server = s3_server()
    if server is None or "AWS_S3_ENDPOINT" in os.environ:
        return {}
    return {
        "AWS_S3_ENDPOINT": server[0],
        "AWS_HTTPS": "YES" if server[1] == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


def s3_server() -> tuple[str, str] | None:
    """Return (host, scheme) of an S3 server other than Amazon's, from the environment; None: Amazon's."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name):
            parts = urlsplit(url)
            return parts.netloc, parts.scheme
    if host := os.environ.get("AWS_S3_ENDPOINT"):
        plain = os.environ.get("AWS_HTTPS", "YES").upper() in {"NO", "FALSE", "OFF", "0"}
        return host.rpartition("//")[2], "http" if plain else "https"
    return None


def _yes(name: str) -> bool:
    return os.environ.get(name, "").upper() in {"YES", "TRUE", "ON", "1"}


def _as_regex(pattern: str) -> str:
    """Translate a glob as the shell and pathlib mean it: only ``**`` passes a slash."""
    signs = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern)
    return "".join(
        signs.get(part) or (part.replace("[!", "[^") if re.fullmatch(r"\[[^]]+\]", part) else re.escape(part))
        for part in parts
    )


def _is_pattern(part: str) -> bool:
    return any(sign in part for sign in "*?[")


def _without_query(address: str) -> str:
    return address.partition("?")[0]


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
