"""Loader workers and ranks: the same rows and batches, whatever their number."""

import numpy as np
import pytest
from small_models import write_dataset

from text2earth.data import Examples, RowFilter, View, batches, encoded_batches, scan

SIZE, ROWS = 8, 144
"""Global batch, and rows of an epoch."""


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """72 groups of two rows: enough that seven workers share out the groups."""
    folder = tmp_path_factory.mktemp("data") / "d"
    return scan(str(write_dataset(folder, rows=ROWS, tile_px=24, shards=2, group_rows=2)), rows=RowFilter())


@pytest.fixture(scope="module")
def examples(index):
    return Examples(index, view=View(16, flips=True, turns=True), seed=4, window_groups=20)


def of_rank(rank, ranks):
    """The counters of one epoch that fall to a rank, as the training loop deals them."""
    return [list(range(start, start + SIZE))[rank::ranks] for start in range(0, ROWS, SIZE)]


@pytest.fixture(scope="module")
def alone(examples):
    """One process, no workers."""
    return list(batches(examples, positions=of_rank(0, 1)))


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_workers_make_the_same_batches(examples, alone, workers):
    found = list(batches(examples, positions=of_rank(0, 1), workers=workers))
    assert [batch.names for batch in found] == [batch.names for batch in alone]
    assert len({name for batch in found for name in batch.names}) == ROWS
    for one, other in zip(found, alone, strict=True):
        assert one.counters == other.counters and one.conditions == other.conditions
        assert one.pixels.equal(other.pixels)


@pytest.mark.parametrize("ranks", [2, 3, 7])
@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_share_out_each_global_batch(examples, alone, ranks, workers):
    shares = [list(batches(examples, positions=of_rank(rank, ranks), workers=workers)) for rank in range(ranks)]
    for number, whole in enumerate(alone):
        parts = [share[number] for share in shares]
        names = dict(zip(whole.counters, whole.names, strict=True))
        pixels = dict(zip(whole.counters, whole.pixels, strict=True))
        assert sorted(counter for part in parts for counter in part.counters) == list(whole.counters)
        for part in parts:
            assert list(part.names) == [names[counter] for counter in part.counters]
            assert all(image.equal(pixels[counter]) for counter, image in zip(part.counters, part.pixels, strict=True))


def test_workers_share_out_the_groups(index, examples):
    """Each group is read by one worker: reading and memory do not grow with their number."""
    from text2earth.data.loader import _Share

    groups = []
    for worker in range(3):
        share = _Share(iter(of_rank(0, 1)), examples, worker, 3, by_group=True)
        mine = [counter for ((_, counters),) in share for counter in counters]
        groups.append(set(examples.places(mine)[:, 0].tolist()))
    assert not groups[0] & groups[1] and not groups[1] & groups[2] and not groups[0] & groups[2]
    assert set().union(*groups) == set(range(index.groups))


def test_a_resumed_run_goes_on_with_the_same_rows(examples, alone):
    rest = list(batches(examples, positions=of_rank(0, 1)[9:], workers=1))
    assert [batch.names for batch in rest] == [batch.names for batch in alone[9:]]


@pytest.mark.parametrize("workers", [0, 2])
def test_encoded_rows_come_in_the_same_order(examples, alone, workers):
    found = list(encoded_batches(examples, positions=of_rank(0, 1), workers=workers))
    assert [tuple(row.name for row in rows) for rows in found] == [batch.names for batch in alone]
    assert all(row.image[:2] == b"\xff\xd8" for rows in found for row in rows)


def test_a_batch_of_a_pool_that_one_worker_owns_alone(examples):
    """A worker that has no row of a batch does not hold it up."""
    counters = [[counter] for counter in range(6)]
    found = list(batches(examples, positions=counters, workers=2))
    assert [batch.counters for batch in found] == [(counter,) for counter in range(6)]
    assert np.isfinite(found[0].pixels.numpy()).all()
