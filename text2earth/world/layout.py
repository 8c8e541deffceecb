"""How windows lie on the plane, and how much each counts where several meet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from text2earth.world.box import Box

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Windows that overlap by half, on a grid that is fixed to the plane's origin.

    Trimmed, only the inner half of each counts, and these cores lie side by side from the origin on. Otherwise
    windows begin at the origin and count by a tent: the product of two triangles, which sums to 1 everywhere.

    Args:
        window: Pixels a side, a multiple of 4.
        trimmed: Whether the outer quarter on each side is cut off.
    """

    window: int
    trimmed: bool

    @property
    def stride(self) -> int:
        """Return the pixels from one window to the next."""
        return self.window // 2

    @property
    def margin(self) -> int:
        """Return the pixels on each side of a window that do not count."""
        return self.window // 4 if self.trimmed else 0

    @cached_property
    def weights(self) -> npt.NDArray[np.float32]:
        """Return how much each pixel of a window's core counts, float32 (core, core)."""
        side = self.window - 2 * self.margin
        if self.trimmed:
            return np.ones((side, side), dtype=np.float32)
        centres = np.arange(side) + 0.5
        triangle = np.minimum(centres, side - centres) / self.stride
        return np.outer(triangle, triangle).astype(np.float32)

    def core(self, window: Box) -> Box:
        """Return the part of a window that counts."""
        side = window.width - 2 * self.margin
        return Box(window.x + self.margin, window.y + self.margin, side, side)

    def windows(self, target: Box) -> list[Box]:
        """Return the windows whose cores meet a box, row by row."""
        side = self.window - 2 * self.margin
        columns = range((target.x - side) // self.stride + 1, (target.right - 1) // self.stride + 1)
        rows = range((target.y - side) // self.stride + 1, (target.bottom - 1) // self.stride + 1)
        place, margin = self.stride, self.margin
        return [Box(i * place - margin, j * place - margin, self.window, self.window) for j in rows for i in columns]

    def cover(self, target: Box) -> Box:
        """Return the box around the windows whose cores meet a box."""
        windows = self.windows(target)
        first, last = windows[0], windows[-1]
        return Box(first.x, first.y, last.right - first.x, last.bottom - first.y)
