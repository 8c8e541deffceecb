"""A world by formula: every tile of it is a picture of its own, and costs nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["MadeWorld", "kill_after"]

Pixels = npt.NDArray[np.uint8]
Address = tuple[int, int, int]


@dataclass
class MadeWorld:
    """Waves around the globe, whose finest zoom has a pattern of single pixels; coarser ones are its box means.

    Attributes:
        asked: Tiles that were painted, in order.
        before: Called with the tiles that are about to be painted.
    """

    minzoom: int = 2
    maxzoom: int = 6
    seed: int = 7
    prompt: str = "fields & <woods>"
    model_name: str = "waves"
    asked: list[Address] = field(default_factory=list)
    before: Callable[[Sequence[Address]], None] = lambda tiles: None

    @property
    def fingerprint(self) -> str:
        return f"waves-{self.seed}-{self.prompt}"

    def tiles(self, places: Sequence[Address]) -> list[Pixels]:
        self.before(places)
        self.asked.extend(places)
        return [self.tile(*place) for place in places]

    def tile(self, z: int, x: int, y: int) -> Pixels:
        return self.region(z, x * 256, y * 256, 256, 256)

    def region(self, z: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Return any pixels of a zoom, uint8 (height, width, 3); columns go round the world."""
        k = 1 << (self.maxzoom - z)
        columns, rows = (np.arange(first * k, (first + count) * k) for first, count in ((x, width), (y, height)))
        side = 256 << self.maxzoom
        across = 2.0 * np.pi * (columns % side) / side
        down = 2.0 * np.pi * rows / side
        planes = []
        for band in range(3):
            east = np.sin((3 + band) * across + self.seed) + 0.4 * np.sin((61 + band) * across)
            south = np.cos((2 + band) * down) + 0.4 * np.cos((47 + band) * down)
            # Waves and noise of single pixels, of rows and of columns: their means are quickly taken.
            noise = 0.06 * np.sin(columns % side * 12.9898 * (band + 1)), 0.06 * np.sin(rows * 78.233 * (band + 1))
            means = [(wave + each).reshape(-1, k).mean(1) for wave, each in zip((east, south), noise, strict=True)]
            planes.append(means[0][None] + means[1][:, None])
        return np.clip(127.5 + 36.0 * np.stack(planes, -1) + 0.5, 0, 255).astype(np.uint8)


def kill_after(tiles: int) -> Callable[[Sequence[Address]], None]:
    """Return what kills this process, as the system would, when so many tiles are painted."""
    painted = 0

    def before(places: Sequence[Address]) -> None:
        nonlocal painted
        if painted >= tiles:
            os.kill(os.getpid(), signal.SIGKILL)
        painted += len(places)

    return before
