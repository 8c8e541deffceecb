"""A real browser, where there is one: chromium without a window, driven over its debugging port.

The browser resolves no name and reaches no address: what a page shows here, it shows offline.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

__all__ = ["Browser", "chromium", "width_of"]

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-extensions",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)
_STARTS_IN_S = 60


_DRAWS_MAPS = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""WebGL without a graphics card."""


@contextmanager
def chromium(scratch: Path, *, webgl: bool = False) -> Iterator[Browser]:
    """Start a browser with a profile of its own; skips the test where there is none.

    Args:
        scratch: A folder for its profile.
        webgl: Whether its pages draw with WebGL.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine: pages are not opened")
    profile = scratch / "profile"
    process = subprocess.Popen(
        [program, *_FLAGS, *(_DRAWS_MAPS if webgl else ()), f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    loop = asyncio.new_event_loop()
    browser = Browser(loop)
    try:
        loop.run_until_complete(browser.connect(_port(process, profile / "DevToolsActivePort")))
        yield browser
    finally:
        loop.run_until_complete(browser.disconnect())
        loop.close()
        process.terminate()
        process.wait(timeout=30)


class Browser:
    """One tab. What goes wrong in its page (an error, a message, something asked of the network) is in ``faults``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._number = 0
        self._scripted = True
        self._own: tuple[str, ...] = ("data:", "file:")
        self._waiting: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.dialogs: list[str] = []
        """Text of the windows that a page opened, as a script does that should not run."""

    async def connect(self, port: int) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [target for target in await answer.json() if target["type"] == "page"]
        self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self._ask(f"{domain}.enable")

    async def disconnect(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._session is not None:
            await self._session.close()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command of the DevTools protocol and return its result."""
        return self._loop.run_until_complete(self._ask(method, **parameters))

    def open(self, page: Path | str, *, width: int = 1280, height: int = 900, fragment: str = "") -> Self:
        """Show a file, or a page of a server at an address, on a screen of some size and wait until it is loaded.

        A file may ask nothing of the network, a page nothing of any other server; what does is a fault.
        """
        self.screen(width, height)
        # A page that differs in its fragment alone would not be loaded again.
        self._load("about:blank")
        self.faults.clear()
        self.dialogs.clear()
        address = page if isinstance(page, str) else page.as_uri()
        self._own = ("data:", "file:") if isinstance(page, Path) else ("data:", f"blob:{address}", address)
        self._load(address + fragment)
        self._settle("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        return self

    def screen(self, width: int, height: int = 900) -> None:
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def run(self, script: str) -> Any:
        """Evaluate a script in the page and return its value (of a promise: what it comes to)."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def media(self, medium: str = "", *, dark: bool = False) -> None:
        """Show pages as on paper (``"print"``) or on a screen (``""``), in light or dark colours."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=medium, features=[scheme])

    def scripts(self, *, enabled: bool) -> None:
        """Let the pages that are opened from now on run their scripts, or not."""
        self._scripted = enabled
        self.ask("Emulation.setScriptExecutionDisabled", value=not enabled)

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element, as a person does."""
        x, y = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, *, code: int, text: str = "") -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    def write(self, text: str) -> None:
        """Type into the element that has the focus."""
        self.ask("Input.insertText", text=text)

    def faint(self) -> list[str]:
        """Return the texts that stand out too little from what is behind them, with their contrast."""
        return list(self.run((Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")))

    def width(self) -> int:
        """Return the pixels that the page needs from left to right."""
        return int(self.run("document.documentElement.scrollWidth"))

    def shoot(self, path: Path, *, most: int = 16_000) -> None:
        """Write a picture of the whole page, as on a screen high enough for it (at most so many pixels)."""
        height = min(int(self.run("document.documentElement.scrollHeight")), most)
        self.screen(int(self.run("innerWidth")), height)
        # Pictures that wait until they come into view do so now.
        self._settle(
            "Promise.all([...document.images]"
            ".filter(i => i.checkVisibility() && i.getBoundingClientRect().top < innerHeight)"
            ".map(i => i.decode().catch(() => 0)))"
        )
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def _load(self, address: str) -> None:
        self._waiting.clear()
        self.ask("Page.navigate", url=address)
        self._loop.run_until_complete(asyncio.wait_for(self._until("Page.loadEventFired"), 60))

    def _settle(self, promise: str) -> None:
        """Wait for a promise; a page without scripts keeps none, and gets a moment."""
        if self._scripted:
            self.run(promise)
        else:
            time.sleep(0.5)

    async def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        assert self._socket is not None
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = await self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    async def _until(self, event: str) -> None:
        while not any(seen["method"] == event for seen in self._waiting):
            await self._next()
        self._waiting.clear()

    async def _next(self) -> dict[str, Any]:
        assert self._socket is not None
        message = dict(await self._socket.receive_json(timeout=120))
        if "method" in message:
            self._waiting.append(message)
            await self._note(message["method"], message["params"])
        return message

    async def _note(self, event: str, told: dict[str, Any]) -> None:
        assert self._socket is not None
        if event == "Runtime.exceptionThrown":
            self.faults.append(str(told["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and told["type"] in {"error", "warning", "assert"}:
            self.faults.append(str(told["args"]))
        elif event == "Log.entryAdded":
            self.faults.append(f"{told['entry']['level']}: {told['entry']['text']}")
        elif event == "Network.requestWillBeSent" and not told["request"]["url"].startswith(self._own):
            self.faults.append(f"asks for {told['request']['url']}")
        elif event == "Page.javascriptDialogOpening":
            self.dialogs.append(told["message"])
            self._number += 1
            accept = {"id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            await self._socket.send_json(accept)


def width_of(page: Path, scratch: Path, *, screen: int) -> int:
    """Return the pixels that a page needs from left to right on a screen of some width."""
    with chromium(scratch) as browser:
        return browser.open(page, width=screen).width()


def _port(process: subprocess.Popen[bytes], note: Path) -> int:
    """Wait until the browser has written on which port it listens."""
    end = time.monotonic() + _STARTS_IN_S
    while time.monotonic() < end:
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        lines: Sequence[str] = note.read_text().splitlines() if note.exists() else ()
        if lines:
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError(f"chromium did not start in {_STARTS_IN_S} s")
