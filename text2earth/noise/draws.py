"""Draws of training, keyed by sample counter.

Every draw of training is a pure function of (seed, sample counter, stream): no generator is carried from one step
to the next, so that a resumed run, another number of processes or another number of loader workers draws the same
numbers. The generator is Philox (Salmon et al., SC 2011), which is counter-based by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, unique

import numpy as np
import numpy.typing as npt

__all__ = ["Stream", "generator", "normals"]


@unique
class Stream(IntEnum):
    """What the numbers are for; two streams of one counter are independent."""

    ORDER = 1
    VIEW = 2
    DROPOUT = 3
    TIMESTEP = 4
    DIFFUSION = 5
    POSTERIOR = 6
    REPLACEMENT = 7
    INITIALISATION = 8
    SENTENCES = 20
    MASK = 21
    MIXTURE = 30
    NOISE_OFFSET = 31
    HAZE = 40
    PLANE = 50
    LOW_RESOLUTION = 51
    LOW_NOISE = 52


def generator(seed: int, counter: int, *, stream: Stream) -> np.random.Generator:
    """Return the generator of one position.

    Args:
        seed: 0…2**64 − 1.
        counter: Sample counter, epoch or any other position, 0…2**64 − 1.
        stream: What the numbers are for.
    """
    words = np.array([seed, int(stream), 0, counter, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words[:2], counter=words[2:]))


def normals(seed: int, counters: Sequence[int], *, stream: Stream, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return standard normals of shape (len(counters), *shape), row ``i`` keyed by ``counters[i]`` alone."""
    rows = [generator(seed, counter, stream=stream).standard_normal(shape, dtype=np.float32) for counter in counters]
    return np.stack(rows)
