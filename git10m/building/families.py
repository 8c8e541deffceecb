"""Families of tiles: ancestors and descendants at the planned levels, which stay together or not at all."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.grid import IntArray

__all__ = ["paired"]


def paired(
    columns: dict[str, npt.NDArray[Any]], kept: npt.NDArray[np.bool_], planned: Mapping[int, Sequence[int]]
) -> npt.NDArray[np.bool_]:
    """Tell which rows have all ancestors and all descendants among the kept rows, at the levels of their group.

    A group with a single level has no pairs.
    """
    whole = kept.copy()
    whole[columns["x"] < 0] = False
    for group, levels in planned.items():
        members = np.flatnonzero(columns["group"] == group)
        if len(levels) == 1:
            whole[members] = False
        at = {level: members[columns["level"][members] == level] for level in levels}
        address = {level: (columns["x"][rows] << 32) | columns["y"][rows] for level, rows in at.items()}
        steps = list(itertools.pairwise(levels))
        for coarse, fine in reversed(steps):
            _lose_without_children(whole, at, address, coarse, fine)
        for coarse, fine in steps:
            parents = _parent_address(columns, at[fine], fine - coarse)
            whole[at[fine]] &= np.isin(parents, address[coarse][whole[at[coarse]]])
    return whole


def _lose_without_children(
    whole: npt.NDArray[np.bool_], at: dict[int, IntArray], address: dict[int, IntArray], coarse: int, fine: int
) -> None:
    """Unmark coarse tiles of which not all children are marked."""
    down = fine - coarse
    complete = address[fine][whole[at[fine]]]
    parents, counts = np.unique(
        ((complete >> 32 >> down) << 32) | ((complete & 0xFFFFFFFF) >> down), return_counts=True
    )
    whole[at[coarse]] &= np.isin(address[coarse], parents[counts == 4**down])


def _parent_address(columns: dict[str, npt.NDArray[Any]], rows: IntArray, up: int) -> IntArray:
    address: IntArray = ((columns["x"][rows] >> up) << 32) | (columns["y"][rows] >> up)
    return address
