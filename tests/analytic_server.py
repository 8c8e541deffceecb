"""A server on loopback, in a thread of the test's process, whose world is a formula."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import requests
from analytic_world import AnalyticWorld

from text2earth.errors import ConditionError
from text2earth.serving import Chosen, ServerSettings, Studio, create_app
from text2earth.serving.running import Server, listen

FIRST = Chosen("fields", 7)


@dataclass
class Running:
    """A server that runs in a thread of this process.

    Attributes:
        url: Without a slash at its end.
        worlds: Every world that it opened, by what was chosen; the last one where it was opened again.
        opened: What was opened, in order.
        stop: Stops it, as a signal would.
    """

    url: str = ""
    worlds: dict[Chosen, AnalyticWorld] = field(default_factory=dict)
    opened: list[Chosen] = field(default_factory=list)
    stop: Callable[[], None] = lambda: None

    @property
    def world(self) -> AnalyticWorld:
        return self.worlds[FIRST]

    def get(self, path: str, **more: object) -> requests.Response:
        return requests.get(self.url + path, timeout=60, **more)  # type: ignore[arg-type]

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = [line for line in self.get("/metrics").text.splitlines() if line.startswith(f"text2earth_{name}")]
        assert lines, name
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def until(self, holds: Callable[[], bool], *, within_s: float = 20) -> None:
        end = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < end, "did not happen in time"
            time.sleep(0.01)


@contextmanager
def running(settings: ServerSettings | None = None, **of_world: object) -> Iterator[Running]:
    pytest.importorskip("prometheus_client", reason="the extra 'serve' is not installed")
    found = Running()

    def open_world(chosen: Chosen) -> AnalyticWorld:
        if chosen.prompt == "refuse me":
            raise ConditionError(f"the prompt {chosen.prompt!r} is refused")
        found.opened.append(chosen)
        found.worlds[chosen] = AnalyticWorld(chosen, **of_world)  # type: ignore[arg-type]
        return found.worlds[chosen]

    app = create_app(Studio(open_world, first=FIRST, settings=settings or ServerSettings()))
    server = Server(app)
    with listen("127.0.0.1", 0) as socket:
        found.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()

        found.stop = stop
        try:
            found.until(lambda: server.started)
            yield found
        finally:
            for world in found.worlds.values():
                world.gate.set()
            stop()
