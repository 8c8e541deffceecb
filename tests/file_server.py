"""A file server as object stores are: ranges, ETag, HEAD, keep-alive. Run as a program by ``servers.range_server``.

``python file_server.py FOLDER LOG`` listens on a free loopback port, prints it, and appends a JSON line to LOG for
each request before its answer is sent.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

from aiohttp import web

__all__ = ["application"]


def application(folder: Path, log: Path) -> web.Application:
    """Serve a folder's files; ``log`` gets a line a request."""
    lines = log.open("a", buffering=1, encoding="utf-8")

    async def note(request: web.Request, response: web.StreamResponse) -> None:
        said = {
            "at": time.monotonic(),
            "method": request.method,
            "path": request.path_qs,
            "range": request.headers.get("Range"),
            "status": response.status,
            "bytes": int(response.headers.get("Content-Length", 0)) if request.method == "GET" else 0,
            "headers": dict(request.headers),
        }
        lines.write(json.dumps(said) + "\n")

    app = web.Application()
    app.on_response_prepare.append(note)
    app.router.add_static("/", folder, follow_symlinks=True)
    return app


def announce(text: str) -> None:
    """Print the port out of aiohttp's ``======== Running on http://127.0.0.1:PORT ========``."""
    if found := re.search(r":(\d+) ", text):
        print(found[1], flush=True)


if __name__ == "__main__":
    served, noted = (Path(argument) for argument in sys.argv[1:])
    web.run_app(application(served, noted), host="127.0.0.1", port=0, print=announce, access_log=None)
