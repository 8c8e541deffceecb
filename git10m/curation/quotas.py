"""Quotas: of a kind of tile that there is too much of, the best stay."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from git10m.grid import IntArray

__all__ = ["over_quota", "over_share_of_clusters"]


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


def over_share_of_clusters(
    labels: npt.NDArray[np.int32], staying: npt.NDArray[np.bool_], rank: IntArray, *, most: float
) -> IntArray:
    """Return the rows that must go so that no cluster is more than a share of what is left.

    Args:
        labels: Cluster of each row; negative: of none, which never goes.
        staying: Which rows there are.
        rank: Rows, the best first.
        most: Share, 0 < most < 1, of each cluster; one row of each stays however few rows there are.

    Returns:
        Of each cluster that is too large, the worst rows.
    """
    rows = rank[(staying & (labels >= 0))[rank]]
    sizes = np.bincount(labels[rows]) if len(rows) else np.zeros(1, dtype=np.int64)
    others = int((staying & (labels < 0)).sum())
    left = others + int(sizes.sum())
    while True:  # what goes makes the whole smaller, and with it every share: falls to the largest whole that fits
        allowed = max(1, math.floor(round(most * left, 9)))
        now = others + int(np.minimum(sizes, allowed).sum())
        if now == left:
            break
        left = now
    order = np.argsort(labels[rows], kind="stable")
    first = np.cumsum(sizes) - sizes
    number = np.empty(len(rows), dtype=np.int64)
    number[order] = np.arange(len(rows)) - first[labels[rows][order]]
    return rows[number >= allowed]
