"""Rectangles of whole pixels on the plane of a level."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from text2earth.errors import RequestError

__all__ = ["FARTHEST_PX", "Box"]

FARTHEST_PX = 1 << 40
"""No corner of a box lies farther out; the world of level 22 is 2**30 px a side."""


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A rectangle of pixels of one level's web-mercator plane, which goes on beyond the world's edges.

    The world of level z is 256·2**z px a side; x grows eastwards from longitude −180°, y southwards from the northern
    edge.

    Args:
        x: Column of the western edge, any sign.
        y: Row of the northern edge, any sign.
        width: Pixels, at least 1.
        height: Pixels, at least 1.

    Raises:
        RequestError: If it is empty, or lies farther out than ``FARTHEST_PX``.
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        for name in ("x", "y", "width", "height"):
            object.__setattr__(self, name, operator.index(getattr(self, name)))  # NumPy's integers would overflow
        if self.width < 1 or self.height < 1:
            raise RequestError(f"a box of {self.width}×{self.height} px was given; each side is at least 1 px")
        if max(abs(self.x), abs(self.y), abs(self.right), abs(self.bottom)) > FARTHEST_PX:
            raise RequestError(f"{self} was given; no corner lies more than {FARTHEST_PX} px from the origin")

    @property
    def right(self) -> int:
        """Return the first column east of it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """Return the first row south of it."""
        return self.y + self.height

    def contains(self, other: Box) -> bool:
        """Say whether all of the other's pixels are of this one too."""
        across = self.x <= other.x and other.right <= self.right
        return across and self.y <= other.y and other.bottom <= self.bottom

    def overlap(self, other: Box) -> Box | None:
        """Return the pixels of both, or None."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Box(x, y, right - x, bottom - y) if x < right and y < bottom else None

    def moved(self, x: int, y: int) -> Box:
        """Return a box of the same size, so many columns farther east and rows farther south."""
        return Box(self.x + x, self.y + y, self.width, self.height)

    def aligned(self, step: int) -> Box:
        """Return the smallest box around it whose edges are multiples of ``step``."""
        x, y = self.x // step * step, self.y // step * step
        return Box(x, y, -(-self.right // step) * step - x, -(-self.bottom // step) * step - y)

    def coarsened(self, factor: int) -> Box:
        """Return the box of ``factor`` times larger pixels that covers it."""
        whole = self.aligned(factor)
        return Box(whole.x // factor, whole.y // factor, whole.width // factor, whole.height // factor)

    def refined(self, factor: int) -> Box:
        """Return the same ground in ``factor`` times smaller pixels."""
        return Box(self.x * factor, self.y * factor, self.width * factor, self.height * factor)

    def slices(self, within: Box) -> tuple[slice, slice]:
        """Return the rows and columns that it takes in an array whose first pixel is the first of ``within``.

        Raises:
            RequestError: If it does not lie in that box.
        """
        if not within.contains(self):
            raise RequestError(f"{self} does not lie within {within}")
        top, left = self.y - within.y, self.x - within.x
        return slice(top, top + self.height), slice(left, left + self.width)
