"""A web server of a few answers, for catalogs that misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Asked", "Canned", "Reply", "canned"]


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """What is answered: a JSON document, or bytes as they are."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    promise: int | None = None
    """Content-Length, where it is not that of the body."""


@dataclass
class Canned:
    """A running server.

    Attributes:
        url: Without a slash at its end.
        replies: By path without the query; a function is called with the request, a list is used up to its last.
        asked: All requests, in order.
    """

    url: str
    replies: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def reply(self, asked: Asked) -> Reply:
        found = self.replies.get(asked.path.partition("?")[0], Reply(b"nothing here", 404))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, Callable):
            found = found(asked)
        return found if isinstance(found, Reply) else Reply(found)


@contextmanager
def canned() -> Iterator[Canned]:
    """Run a server until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.canned = Canned(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.canned
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        asked = Asked(self.command, self.path, dict(self.headers), body)
        self.server.canned.asked.append(asked)
        reply = self.server.canned.reply(asked)
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if reply.promise is None else reply.promise))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = reply.promise is not None

    do_GET = do_POST = _answer  # noqa: N815 - the names that the library calls

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
