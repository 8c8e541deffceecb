"""Shares of captions with the interval that their number allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Rate"]

_Z = 1.959964
"""Of a two-sided interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of some are something.

    Attributes:
        some: How many are.
        of: Of how many.
    """

    some: int
    of: int

    @property
    def share(self) -> float:
        """The share, 0–1; 0 of none."""
        return self.some / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % interval of the share (Wilson 1927)."""
        if not self.of:
            return 0.0, 1.0
        n, p = self.of, self.share
        middle = p + _Z**2 / (2 * n)
        spread = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        below, above = (max(0.0, min(1.0, (middle + sign * spread) / (1 + _Z**2 / n))) for sign in (-1, 1))
        return (0.0 if self.some == 0 else below), (1.0 if self.some == n else above)
