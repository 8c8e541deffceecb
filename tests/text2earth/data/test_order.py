"""The order of rows: every row once an epoch, weights and temperature to the row, windows as good as a full shuffle."""

from collections import Counter

import numpy as np
import pytest

from git10m.grid import quadkey_number
from text2earth.data import DatasetIdentity, Order, ShardIndex, mixture
from text2earth.data.index import MixedSet
from text2earth.data.order import WINDOW_GROUPS, shares_of
from text2earth.errors import ShardError


def index_of(levels, *, group_rows=10):
    """An index of rows of these levels, which no file holds."""
    count = -(-len(levels) // group_rows)
    row = np.concatenate([np.arange(min(group_rows, len(levels) - g * group_rows)) for g in range(count)])
    identity = DatasetIdentity("made up", "", "", len(levels), (), (), False)
    return ShardIndex(
        files=(),
        group_file=np.zeros(count, np.int32),
        group_number=np.arange(count),
        ends=np.minimum(np.arange(1, count + 1) * group_rows, len(levels)),
        row=row.astype(np.uint32),
        level=np.array(levels, dtype=np.uint8),
        sets=(MixedSet(count, None),),
        identity=identity,
    )


def flat(index, order, counters):
    """Number of the row at each counter."""
    places = order.places(list(counters))
    return [(int(index.ends[group - 1]) if group else 0) + int(row) for group, row in places]


@pytest.mark.parametrize("window", [1, 3, 8, 1000])
def test_every_row_once_an_epoch_whatever_the_window(window):
    index = index_of([14] * 457)
    order = Order(index, seed=5, window_groups=window)
    epochs = [flat(index, order, range(457 * epoch, 457 * epoch + 457)) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(457)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_position_needs_no_history():
    index = index_of([14] * 457)
    fresh = flat(index, Order(index, seed=5, window_groups=3), [1200, 17])
    order = Order(index, seed=5, window_groups=3)
    assert fresh == [flat(index, order, range(2000))[counter] for counter in (1200, 17)]


def test_weights_are_kept_to_the_row_and_each_set_goes_through_its_rows():
    """Sets of 100, 40 and 260 rows drawn 1 : 1 : 2; an epoch of 400 counters has 100, 100 and 200 of each."""
    sizes = (100, 40, 260)
    index = mixture([index_of([14] * size) for size in sizes], weights=[1.0, 1.0, 2.0])
    order = Order(index, seed=0)
    assert len(order) == 400 and order.quotas.tolist() == [100, 100, 200]
    epochs = [flat(index, order, range(400 * epoch, 400 * epoch + 400)) for epoch in range(13)]
    of_set = np.searchsorted(np.cumsum(sizes), np.array(epochs), side="right")
    assert [np.bincount(each).tolist() for each in of_set] == [[100, 100, 200]] * 13
    drawn = Counter(np.concatenate(epochs).tolist())
    # 13 epochs: the first set 13 times, the second 13·100/40 = 32.5 times, the third exactly 10 times.
    assert {drawn[row] for row in range(100)} == {13}
    assert {drawn[row] for row in range(100, 140)} == {32, 33}
    assert {drawn[row] for row in range(140, 400)} == {10}
    # Interleaved, not one set after the other.
    assert all(len(set(of_set[0][start : start + 50])) == 3 for start in range(0, 400, 50))


@pytest.mark.parametrize(
    ("temperature", "counts"), [(1.0, [10, 90, 900]), (2.0, [74, 223, 703]), (1e6, [333, 333, 334])]
)
def test_temperature_balances_levels(temperature, counts):
    index = mixture([index_of([12] * 10 + [15] * 90 + [17] * 900)], temperature=temperature)
    order = Order(index, seed=0)
    for epoch in (0, 5):
        drawn = index.level[flat(index, order, range(1000 * epoch, 1000 * epoch + 1000))]
        assert np.unique_counts(drawn).counts.tolist() == pytest.approx(counts, abs=1)
    roots = np.array([10, 90, 900]) ** (1 / temperature)
    assert list(shares_of(index).values()) == pytest.approx((roots / roots.sum()).tolist())


def test_weights_and_temperature_together():
    index = mixture([index_of([12] * 10 + [15] * 90), index_of([15] * 300)], weights=[3.0, 1.0], temperature=1e9)
    shares = {key: round(share, 6) for key, share in shares_of(index).items()}
    assert shares == {(0, 12): 0.375, (0, 15): 0.375, (1, 15): 0.25}
    drawn = flat(index, Order(index, seed=1), range(400))
    assert sum(row < 10 for row in drawn) == 150 and sum(row >= 100 for row in drawn) == 100


def test_a_rare_level_is_never_lost():
    index = mixture([index_of([12] + [15] * 999), index_of([12] * 100_000)], weights=[1e-6, 1.0], temperature=1.5)
    assert Order(index, seed=0).quotas.min() == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": [1.0]}, "were given for 2 datasets"),
        ({"weights": [1.0, 0.0]}, "each has one, above 0"),
        ({"temperature": 0.5}, "temperature 0.5 was given"),
    ],
)
def test_impossible_mixtures_are_refused(given, message):
    with pytest.raises(ShardError, match=message):
        mixture([index_of([14]), index_of([14])], **given)


def clustered(count):
    """Levels and places as shards hold them, sorted by (level, quadkey), of scenes around sixty places."""
    draws = np.random.default_rng(0)
    levels = draws.choice([12, 14, 15, 16, 17], count, p=[0.05, 0.1, 0.15, 0.3, 0.4])
    centres = draws.uniform(0, 1, (60, 2))
    places = (centres[draws.integers(60, size=count)] + draws.normal(0, 0.02, (count, 2))) % 1.0
    x, y = (places * 2**15).astype(np.int64).T
    order = np.lexsort([quadkey_number(x, y), levels])
    return levels[order], places[order]


def spread_of_batches(features, sequence, *, size):
    """Variance of the batches' means over what independent draws would give; 1 for a full shuffle."""
    normed = (features - features.mean(axis=0)) / features.std(axis=0)
    whole = len(sequence) // size * size
    return normed[sequence[:whole]].reshape(-1, size, normed.shape[1]).mean(axis=1).var(axis=0) * size


def test_windows_are_as_good_as_a_full_shuffle():
    """A batch's mean level, longitude and latitude scatter as those of a full shuffle do."""
    rows, group_rows = 240_000, 100
    levels, places = clustered(rows)
    index = index_of(levels, group_rows=group_rows)
    features = np.column_stack([levels, places])
    stratum = Order(index, seed=0)._strata[0]
    assert index.groups > 10 * WINDOW_GROUPS
    windowed = np.array([stratum.row(0, place) for place in range(rows)])
    full = np.random.default_rng(1).permutation(rows)
    found = {name: spread_of_batches(features, each, size=64) for name, each in
             {"window": windowed, "full": full, "sorted": np.arange(rows)}.items()}  # fmt: skip
    for name, spread in found.items():
        print(f"{name}: batches' spread of level, x, y over that of independent draws: {spread.round(2)}")
    assert (found["window"] < 1.15).all()
    assert (found["sorted"] > 10).all()
