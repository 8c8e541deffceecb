"""How many of a kind may stay."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from git10m.curation.quotas import over_quota


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), st.floats(0, 0.99), st.integers(0, 99))
def test_a_kind_is_at_most_its_share_and_no_more_goes_than_must(rows: list[tuple[bool, bool]], most: float, seed: int):
    kind, staying = np.array(rows, dtype=bool).reshape(-1, 2).T
    rank = np.random.default_rng(seed).permutation(len(rows))
    gone = over_quota(kind, staying, rank, most=most)
    assert (kind & staying)[gone].all()
    left = staying.copy()
    left[gone] = False
    members, total = int((kind & left).sum()), int(left.sum())
    assert members <= most * total + 1e-6
    if len(gone):
        assert members + 1 > most * (total + 1) - 1e-6  # one more would be too many
        order = {int(row): place for place, row in enumerate(rank)}
        kept = [order[row] for row in np.flatnonzero(kind & left).tolist()]
        assert max(kept, default=-1) < min(order[int(row)] for row in gone)  # the best stay


def test_a_round_share_is_met_exactly():
    kind = np.array([True] * 5 + [False] * 9)
    assert over_quota(kind, np.ones(14, dtype=bool), np.arange(14), most=0.1).tolist() == [1, 2, 3, 4]


def test_of_a_set_of_one_kind_nothing_stays():
    assert over_quota(np.ones(3, dtype=bool), np.ones(3, dtype=bool), np.arange(3), most=0.5).tolist() == [0, 1, 2]
