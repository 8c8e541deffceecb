"""Worlds that are painted in no time, for the tests and for the processes that they start."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from small_networks import AnalyticNetwork

from text2earth.world import World, WorldModel, WorldSettings

LEVELS = (2, 4, 6)


def cheap_model(*, levels: tuple[int, ...] = LEVELS, window: int = 128, factor: int = 4, steps: int = 2) -> WorldModel:
    """A model of three stages; windows are large, as the cost of this network is one a call."""
    return WorldModel(AnalyticNetwork(window=window, factor=factor), "cheap", levels, steps)


def cheap_world(model: WorldModel | None = None, **asked: Any) -> World:
    """A world of a cheap model; what is no argument of `World.open` is one of `WorldSettings`."""
    own = {name: asked.pop(name) for name in ("seed", "prompt", "areas", "base", "cache") if name in asked}
    return World.open(model or cheap_model(), **own, settings=WorldSettings(**{"threads": 1, "feather": 8, **asked}))


def digests(places: list[tuple[int, int, int]], cache: Path | None = None) -> list[str]:
    """Digests of tiles, one after another, of a world that is opened anew."""
    world = cheap_world(seed=5, prompt="a forest", cache=cache)
    return [hashlib.sha256(world.tile(*place).tobytes()).hexdigest() for place in places]
