"""Quotas: of a kind of tile that there is too much of, the best stay."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from git10m.grid import IntArray

__all__ = ["over_quota"]


def over_quota(kind: npt.NDArray[np.bool_], staying: npt.NDArray[np.bool_], rank: IntArray, *, most: float) -> IntArray:
    """Return the rows that must go so that a kind is at most a share of what is left.

    Args:
        kind: Which rows are of the kind.
        staying: Which rows there are.
        rank: Rows, the best first.
        most: Share, 0 ≤ most < 1.

    Returns:
        Rows of the kind, the worst of them; of a set that is all of one kind none stays.
    """
    members = rank[(kind & staying)[rank]]
    others = int((staying & ~kind).sum())
    # n members of n + others are at most the share: n ≤ share · others / (1 − share). Rounded, for 0.1 / 0.9 · 9 is 1.
    allowed = math.floor(round(most * others / (1.0 - most), 9))
    return members[allowed:]
