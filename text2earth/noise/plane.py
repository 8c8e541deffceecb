"""Normal noise on an infinite plane: any window of it, at any time, to the bit on any machine.

Words of Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), counted by position,
are cut into 16 bits each, and these look up a table of normal quantiles. All of it is integers, but for the table,
whose values are multiples of 2**-20 so that no mathematical library rounds them otherwise.

The plane is cut into cells of 32×32 px. The value at (x, y) of a channel is number

    n = (channel · 32 + y mod 32) · 32 + x mod 32

of its cell: 16-bit part n mod 4, counted from the least significant, of word (n mod 16) // 4 of the block with

    key     (seed, 50)                                                  50 = Stream.PLANE
    counter (1 + n // 16,  x // 32,  y // 32,  stage · 2**32 + round · 2**16 + level)     each modulo 2**64

so that more channels do not change the first ones. Divisions round down: negative positions are like any other.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import Protocol

import numpy as np
import numpy.typing as npt

from text2earth.noise.draws import Stream

__all__ = ["Rectangle", "plane", "quantiles"]

_CELL_PX = 32
_VALUES_A_WORD = 4
_STEP = 2.0**-20
_MASK = (1 << 64) - 1


class Rectangle(Protocol):
    """Whole pixels: the first column and row, of any sign, and how many of them."""

    @property
    def x(self) -> int:
        """Return the first column."""
        ...

    @property
    def y(self) -> int:
        """Return the first row."""
        ...

    @property
    def width(self) -> int:
        """Return the number of columns."""
        ...

    @property
    def height(self) -> int:
        """Return the number of rows."""
        ...


@functools.cache
def quantiles() -> npt.NDArray[np.float32]:
    """Return the table of 65,536 normal quantiles, rising, of mean 0 and variance 1 (both to 1e-7).

    Entry i is the quantile at (i + ½) / 65536, scaled to unit variance and rounded to a multiple of 2**-20. The tails
    end at ±4.325: of true normals 1 in 65,000 lies beyond.
    """
    half = [NormalDist().inv_cdf((i + 0.5) / 65536) for i in range(32768, 65536)]
    scale = 1.0 / math.sqrt(math.fsum(value * value for value in half) / len(half))
    upper = np.array([round(value * scale / _STEP) * _STEP for value in half], dtype=np.float32)
    table = np.concatenate([-upper[::-1], upper])
    table.flags.writeable = False
    return table


def plane(box: Rectangle, *, seed: int, stage: int, round: int, level: int, channels: int) -> npt.NDArray[np.float32]:
    """Return a window of the noise, float32 (channels, height, width), standard normal.

    Two windows agree wherever they overlap, and nothing else is shared between seeds, stages, rounds, levels,
    channels or pixels.

    Args:
        box: Pixels of the level's plane; |x| and |y| up to 2**60.
        seed: 0…2**64 − 1.
        stage: Number of the stage that paints, 0…2**16 − 1.
        round: Number of the fusion round, 0…2**16 − 1.
        level: Zoom level, 0…2**16 − 1.
        channels: How many.

    Raises:
        ValueError: If a number is outside its range.
    """
    _refuse(seed=seed, stage=stage, round=round, level=level)
    first_column, first_row = box.x // _CELL_PX, box.y // _CELL_PX
    columns = range(first_column, -(-(box.x + box.width) // _CELL_PX))
    words = _Words(seed, stage << 32 | round << 16 | level, blocks=channels * _CELL_PX * _CELL_PX // 16)
    found = np.empty((channels, box.height, box.width), dtype=np.float32)
    left = box.x - first_column * _CELL_PX
    for row in range(first_row, -(-(box.y + box.height) // _CELL_PX)):
        raw = np.concatenate([words.of(column, row) for column in columns])
        cells = raw.astype("<u8", copy=False).view("<u2").reshape(len(columns), channels, _CELL_PX, _CELL_PX)
        top = row * _CELL_PX - box.y
        rows = slice(max(top, 0), min(top + _CELL_PX, box.height))
        strip = np.moveaxis(cells[:, :, rows.start - top : rows.stop - top], 0, 2)
        strip = strip.reshape(channels, rows.stop - rows.start, len(columns) * _CELL_PX)
        # 'clip' spares a check of bounds that 16 bits cannot leave
        found[:, rows] = np.take(quantiles(), strip[..., left : left + box.width], mode="clip")
    return found


class _Words:
    """Philox blocks of the cells of one (seed, stage, round, level), in one generator that is moved about."""

    def __init__(self, seed: int, last: int, *, blocks: int) -> None:
        key = np.array([seed, int(Stream.PLANE)], dtype=np.uint64)
        self._philox = np.random.Philox(key=key, counter=np.zeros(4, dtype=np.uint64))
        self._state = self._philox.state
        self._last = last
        self._count = blocks * _VALUES_A_WORD

    def of(self, column: int, row: int) -> npt.NDArray[np.uint64]:
        """Return the words of one cell; NumPy counts up before every block, so the first one has counter 1."""
        counter = np.array([0, column & _MASK, row & _MASK, self._last], dtype=np.uint64)
        self._state["state"]["counter"] = counter
        self._philox.state = self._state
        found: npt.NDArray[np.uint64] = self._philox.random_raw(self._count)
        return found


def _refuse(*, seed: int, **small: int) -> None:
    if not 0 <= seed <= _MASK:
        raise ValueError(f"seed {seed} was given; seeds are 0…2**64 − 1")
    for name, value in small.items():
        if not 0 <= value < 1 << 16:
            raise ValueError(f"{name} {value} was given; it is 0…65535")
