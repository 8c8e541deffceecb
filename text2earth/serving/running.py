"""Running the server: a socket first, so that its address is known and a taken port is told at once."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from text2earth.errors import RequestError

__all__ = ["Server", "listen", "serve"]

_GRACE_S = 5


class Server(uvicorn.Server):
    """Answers requests; when it is stopped, those that wait for a tile are told so at once.

    Args:
        app: The application.
    """

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_GRACE_S, server_header=False)
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to listen, and answer what is still asked."""
        await self._app.state.studio.painter.stop()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: Name or address of this machine.
        port: 0 takes a free one.

    Raises:
        RequestError: If that cannot be had.
    """
    with contextlib.ExitStack() as opened:
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            found = opened.enter_context(socket.socket(family, kind))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(2048)
        except (OSError, OverflowError) as error:
            raise RequestError(
                f"the server cannot listen at {host}, port {port}: {error}; "
                "choose another --port (0 takes a free one) or --host"
            ) from error
        opened.pop_all()  # it stays open where nothing went wrong
    return found


def serve(app: FastAPI, *, listening: socket.socket, ready: Callable[[str], None] | None = None) -> None:
    """Serve until interrupted; what is being answered then has a few seconds.

    Args:
        app: The application.
        listening: What `listen` returned.
        ready: Called with the server's address before the first request is answered.
    """
    host, port = listening.getsockname()[:2]
    if ready is not None:
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again once it has stopped
        Server(app).run(sockets=[listening])
