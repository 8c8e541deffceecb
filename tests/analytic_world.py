"""A world whose pixels are written down as a formula: every pixel says where it is, and in which world."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from text2earth.serving import Chosen

TOP = 9
"""Finest level; its world is 131,072 px a side."""


@dataclass
class AnalyticWorld:
    """Paints (z, x, y) as a pure function: red and green are the place, blue is the world and the level.

    Attributes:
        batches: What it was asked for, a list of addresses a call.
        pace_s: What a call takes, and each tile of it again.
        gate: Nothing is painted until it is set.
        broken: Addresses that cannot be painted.
    """

    chosen: Chosen
    minzoom: int = 2
    maxzoom: int = TOP
    model_name: str = "analytic"
    fingerprint: str = "analytic-1"
    pace_s: float = 0.0
    batches: list[list[tuple[int, int, int]]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    broken: set[tuple[int, int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.gate.set()

    def tiles(self, addresses: Sequence[tuple[int, int, int]]) -> list[np.ndarray]:
        self.batches.append(list(addresses))
        assert self.gate.wait(60)
        time.sleep(self.pace_s * (1 + len(addresses)))
        if self.broken & set(addresses):
            raise ValueError("a brush broke")
        return [self.tile(*address) for address in addresses]

    def tile(self, z: int, x: int, y: int) -> np.ndarray:
        """The pixels of a tile: the place of each in 1/256 of the world's width, in red and green."""
        side = 256 << z
        columns = ((x * 256 + np.arange(256)) * 256 // side).astype(np.uint8)
        rows = ((y * 256 + np.arange(256)) * 256 // side).astype(np.uint8)
        pixels = np.empty((256, 256, 3), np.uint8)
        pixels[..., 0], pixels[..., 1] = columns[None, :], rows[:, None]
        pixels[..., 2] = 16 * z + self.mark()
        return pixels

    def mark(self) -> int:
        """0…15: which world this is."""
        text = repr((self.chosen.prompt, self.chosen.seed, self.chosen.areas))
        return hashlib.sha256(text.encode()).digest()[0] % 16
