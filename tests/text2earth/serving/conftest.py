"""Servers on loopback whose world is a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from analytic_server import Running, running


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start a server: ``start(ServerSettings(…), pace_s=…)``."""
    with ExitStack() as stack:
        yield lambda *settings, **of_world: stack.enter_context(running(*settings, **of_world))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """A server as it comes, shared by the tests of a file."""
    with running() as found:
        yield found
