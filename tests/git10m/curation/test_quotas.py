"""How many of a kind may stay."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from git10m.curation.quotas import over_quota, over_share_of_clusters


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


def test_each_cluster_is_at_most_its_share_of_what_is_left() -> None:
    draws = np.random.default_rng(0)
    for most in (0.2, 0.26, 0.5):
        labels = draws.choice(6, 400, p=[0.6, 0.2, 0.1, 0.05, 0.03, 0.02]).astype(np.int32)
        staying = draws.random(400) < 0.9
        rank = draws.permutation(400)
        gone = over_share_of_clusters(labels, staying, rank, most=most)
        left = staying.copy()
        left[gone] = False
        sizes = np.bincount(labels[left], minlength=6)
        assert sizes.max() <= most * left.sum()
        place = np.argsort(rank)
        for label in range(6):
            kept, lost = np.flatnonzero(left & (labels == label)), gone[labels[gone] == label]
            assert not len(lost) or place[kept].max() < place[lost].min()
            # One more of a cluster that lost some would be too many.
            assert not len(lost) or sizes[label] + 1 > most * (left.sum() + 1)


def test_what_is_of_no_cluster_counts_and_stays() -> None:
    labels = np.array([0] * 50 + [1] * 10 + [-1] * 40, dtype=np.int32)
    gone = over_share_of_clusters(labels, np.ones(100, dtype=bool), np.arange(100), most=0.25)
    assert (labels[gone] == 0).all()
    assert len(gone) == 34  # 16 of 66
    few = over_share_of_clusters(np.zeros(5, dtype=np.int32), np.ones(5, dtype=bool), np.arange(5)[::-1], most=0.1)
    assert few.tolist() == [3, 2, 1, 0]  # one stays, however few there are
