"""A server of captions on loopback, for whatever a client must bear; a stand-in, or a proxy before a real one.

    with CaptionServer(manner) as server:
        …  base_url = server.url  …
        server.asked                every request, in order: what it was, and what it was answered

Without ``upstream`` it plays the model itself: each answer is the caption `CAPTION` (or what ``manner`` says), with a
count of tokens of its own. With ``upstream``, the address of a real server, every request that is not to fail is sent
on, and the real answer comes back; with ``rewritten`` its text alone is replaced by valid JSON around it, for a tiny
random model speaks noise. ``manner`` is a function from the number of the request (from 0) and its body to a `Fault`,
a text, or None for a good answer. The server keeps count itself, so that ledgers can be held against it.
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["CAPTION", "SHORT", "Asked", "CaptionServer", "Fault"]

CAPTION = (
    "The image shows the ground from straight above, with land of different kinds lying side by side across the whole "
    "of the scene, and fine lines and small patches between them."
)
SHORT = "Land of different kinds lies side by side across the scene."


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes:
        status: Of HTTP.
        body: All of it; None: an error as OpenAI's API has it.
        code: Of that error.
        headers: Further ones.
        kind: ``"reset"``: the connection is cut at once. ``"hang"``: nothing comes for ``delay_s``.
        delay_s: Before the answer.
    """

    status: int = 500
    body: bytes | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "status"
    delay_s: float = 0.0


@dataclass(frozen=True)
class Asked:
    """One request, and how it ended: a status, ``"reset"`` or ``"hang"``."""

    key: str
    body: dict[str, Any]
    headers: Mapping[str, str]
    at: float
    ended: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


Manner = Callable[[int, dict[str, Any]], Fault | str | None]


def good(number: int, body: dict[str, Any]) -> None:
    """Answer everything."""


class CaptionServer:
    """A server in a thread of the test; use it as a context manager."""

    def __init__(self, manner: Manner = good, *, upstream: str | None = None, rewritten: bool = False) -> None:
        self.manner, self.upstream, self.rewritten = manner, upstream, rewritten
        self.asked: list[Asked] = []
        self._lock, self._number = threading.Lock(), 0

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._handle(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that are killed cut their connections."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def counts(self) -> Counter[str]:
        """How requests ended."""
        return Counter(asked.ended for asked in self.asked)

    def tokens(self) -> tuple[int, int]:
        """Tokens of prompts and answers, as this server counted them."""
        return sum(each.prompt_tokens for each in self.asked), sum(each.completion_tokens for each in self.asked)

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        raw = request.rfile.read(int(request.headers["Content-Length"]))
        body = json.loads(raw)
        with self._lock:
            number, self._number = self._number, self._number + 1
        said = self.manner(number, body)
        noted = {
            "key": hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest(),
            "body": body,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "at": time.time(),
        }
        if isinstance(said, Fault):
            self._fail(request, said, noted)
        else:
            self._answer(request, raw, body, said, noted)

    def _fail(self, request: BaseHTTPRequestHandler, fault: Fault, noted: dict[str, Any]) -> None:
        self.asked.append(Asked(**noted, ended=fault.kind if fault.kind != "status" else str(fault.status)))
        time.sleep(fault.delay_s)
        if fault.kind in {"reset", "hang"}:
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.connection.close()
            request.close_connection = True
            return
        error = {"error": {"message": f"told to answer {fault.status}", "type": "test", "code": fault.code}}
        content = json.dumps(error).encode() if fault.body is None else fault.body
        _send(request, fault.status, content, {"Content-Type": "application/json", **fault.headers})

    def _answer(
        self, request: BaseHTTPRequestHandler, raw: bytes, body: dict[str, Any], said: str | None, noted: dict[str, Any]
    ) -> None:
        answer = self._upstream_answer(raw) if self.upstream else _own_answer(body)
        message = answer["choices"][0]["message"]
        if said is not None:
            message["content"] = said
        elif self.rewritten or not self.upstream:
            message["content"] = json.dumps({"long": CAPTION, "short": SHORT})
        usage = answer["usage"]
        tokens = {name: usage[name] for name in ("prompt_tokens", "completion_tokens")}
        self.asked.append(Asked(**noted, ended="200", **tokens))
        _send(request, 200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _upstream_answer(self, raw: bytes) -> dict[str, Any]:
        forwarded = urllib.request.Request(
            f"{self.upstream}/chat/completions", data=raw, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(forwarded, timeout=120) as response:
            answer: dict[str, Any] = json.load(response)
        return answer


def _own_answer(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}],
        "usage": {"prompt_tokens": 100 + len(body["messages"]), "completion_tokens": 50, "total_tokens": 152},
    }


def _send(request: BaseHTTPRequestHandler, status: int, content: bytes, headers: Mapping[str, str]) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(content))}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(content)
