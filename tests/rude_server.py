"""A misbehaving tile server on loopback, for whatever a client must bear.

    with RudeServer(manner) as server:
        …  server.url + "/{z}/{x}/{y}.jpg"  …
        server.log                  every request: time, path, headers, what it was answered

``manner`` is a function from a path and the number of times that it was asked before to an answer: bytes (a good
image), or one of the faults below. The server keeps time itself, so that rates are measured where they count.
"""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["Answer", "Asked", "RudeServer", "image", "windows"]


@dataclass(frozen=True)
class Answer:
    """What is answered.

    Attributes:
        status: Of HTTP.
        body: All of it.
        headers: Further ones; ``Content-Length`` may lie.
        fault: ``"reset"``: the connection is cut at once. ``"truncate"``: cut after half of the body.
            ``"drip"``: a byte a tenth of a second. ``"stall"``: silence after half of the body. ``"silence"``: none.
        delay_s: Before the answer.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None
    delay_s: float = 0.0


@dataclass(frozen=True)
class Asked:
    """One request."""

    at: float
    path: str
    headers: Mapping[str, str]
    status: int
    fault: str | None


def image(seed: int = 0, *, side: int = 256, kind: str = "jpeg") -> bytes:
    """A picture that is like no other."""
    draws = np.random.default_rng(seed)
    small = Image.fromarray(draws.integers(40, 220, (16, 16, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((side, side), Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def windows(log: list[Asked], *, seconds: float = 1.0) -> int:
    """Most requests in any window of so many seconds."""
    times = sorted(asked.at for asked in log)
    most = start = 0
    for end, at in enumerate(times):
        while at - times[start] >= seconds:
            start += 1
        most = max(most, end - start + 1)
    return most


class RudeServer:
    """Serves in a thread of its own until the ``with`` block ends."""

    def __init__(self, manner: Callable[[str, int], Answer | bytes]) -> None:
        self._manner = manner
        self._times: Counter[str] = Counter()
        self.log: list[Asked] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> RudeServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str | None = None) -> int:
        """How many requests came, for one path or for all."""
        return len([asked for asked in self.log if path is None or asked.path == path])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").split("\r\n")
                path = first.split(" ")[1]
                headers = dict(line.split(": ", 1) for line in lines if ": " in line)
                if not await self._answer(path, headers, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # the loop closes the socket in its next round

    async def _answer(self, path: str, headers: Mapping[str, str], writer: asyncio.StreamWriter) -> bool:
        """Answer one request; tell whether the connection lives on."""
        at = time.monotonic()
        said: Any = self._manner(path, self._times[path])
        answer = Answer(200, said, {"Content-Type": "image/jpeg"}) if isinstance(said, bytes) else said
        self._times[path] += 1
        self.log.append(Asked(at, path, headers, answer.status, answer.fault))
        await asyncio.sleep(answer.delay_s)
        if answer.fault == "silence":
            await asyncio.sleep(3600)
        if answer.fault == "reset":
            writer.transport.abort()
            return False
        length = {"Content-Length": str(len(answer.body)), **answer.headers}
        head = f"HTTP/1.1 {answer.status} So\r\n" + "".join(f"{name}: {value}\r\n" for name, value in length.items())
        writer.write(head.encode() + b"\r\n")
        half = answer.body[: len(answer.body) // 2]
        if answer.fault == "drip":
            for byte in answer.body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.1)
        elif answer.fault in {"truncate", "stall"}:
            writer.write(half)
            await writer.drain()
            await asyncio.sleep(3600 if answer.fault == "stall" else 0.01)
            return False
        else:
            writer.write(answer.body)
        await writer.drain()
        return True
