"""Documents by which a server describes itself: asked for once, kept without secrets, and read from there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import requests

from git10m.errors import RecipeError, SourceError
from git10m.recipe import TileServerSource, is_address
from git10m.sources.http import Session, variables_in, with_environment

__all__ = ["kept_document", "name_of", "with_own_query"]

_TIMEOUT_S = 60.0


def kept_document(source: TileServerSource, address: str, *, kept: Path, what: str) -> bytes:
    """Return a document; it is kept, so that an interrupted build goes on with the same.

    Servers write the token that they were given into the addresses of their tiles: in what is kept, and in what is
    returned, its variable stands instead.

    Args:
        source: As the recipe says.
        address: Path or address, with ``{env:NAME}`` for what must stay secret.
        kept: File to keep it in.
        what: The document, for messages: "its capabilities".

    Raises:
        RecipeError: If a path cannot be read, or a variable of the environment is missing.
        SourceError: If a server does not give it.
    """
    if kept.exists():
        return kept.read_bytes()
    if not is_address(address):
        try:
            return Path(address).read_bytes()
        except OSError as error:
            raise RecipeError(
                f"source {source.id!r}: {address} cannot be read ({error.strerror}); give the path or address of "
                f"{what.replace('its', 'the')}"
            ) from error
    headers = {name: with_environment(text, source_id=source.id) for name, text in source.headers.items()}
    try:
        with Session(headers, contact=source.contact) as session:
            asked = with_environment(address, source_id=source.id)
            answer = session.get(asked, headers=headers, timeout=_TIMEOUT_S)
    except requests.RequestException as error:
        raise SourceError(
            f"source {source.id!r}: {urlsplit(address).netloc} cannot be reached ({type(error).__name__}); check the "
            "address and the network, then run the same command again"
        ) from error
    if answer.status_code != 200:
        raise SourceError(
            f"{name_of(address)}: the server answers {answer.status_code} to the request for {what}; check the "
            "address, and headers if it wants a token"
        )
    content = _without_secrets(answer.content, variables_in(address, *source.headers.values()))
    part = kept.with_name(f".{kept.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(kept)
    return content


def with_own_query(url: str, address: str) -> str:
    """Add to a template of the same host what the document's address holds as ``{env:NAME}`` and it does not."""
    if urlsplit(url).netloc != urlsplit(address).netloc:
        return url
    has = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    own = [(name, value) for name, value in parse_qsl(urlsplit(address).query) if "{env:" in value and name not in has]
    lacking = "&".join(f"{name}={value}" for name, value in own)
    return f"{url}{'&' if '?' in url else '?'}{lacking}" if lacking else url


def name_of(address: str) -> str:
    """Return the name of a document, for messages: no query."""
    return address.partition("?")[0].rstrip("/").rsplit("/", 1)[-1] or address


def _without_secrets(content: bytes, variables: list[str]) -> bytes:
    """Write the variables for their values, where these are parts of addresses."""
    for name in variables:
        value = os.environ.get(name, "")
        for form in {value, quote(value, safe="")} - {""}:
            pattern = rb"(?<=[=/])" + re.escape(form.encode()) + rb"(?![\w%])"
            content = re.sub(pattern, f"{{env:{name}}}".encode(), content)
    return content
