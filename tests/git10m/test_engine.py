"""The same work on every engine: each shard once, faults passed on, nothing left behind."""

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from git10m.engine import Engine, lock, map_shards, rank_of_job
from git10m.errors import BuildError, RequestError

RANK_VARIABLES = (
    ("GIT10M_RANK", "GIT10M_RANKS"),
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in RANK_VARIABLES:
        for name in names:
            monkeypatch.delenv(name, raising=False)


def square(shard: int) -> int:
    return shard * shard


def square_but_three(shard: int) -> int:
    if shard == 3:
        raise BuildError("three is broken")
    return shard * shard


def die_at_three(shard: int) -> int:
    if shard == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return shard


def pid_and_nap(shard: int) -> int:
    time.sleep(0.2)
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_every_shard_is_done_once(workers: int, count: int) -> None:
    done = sorted(map_shards(square, range(count), Engine("processes", workers)))
    assert done == [(shard, shard * shard) for shard in range(count)]


def test_only_the_shards_that_are_asked_for() -> None:
    assert sorted(map_shards(square, [5, 2], Engine("processes", 2))) == [(2, 4), (5, 25)]


def test_two_workers_are_two_other_processes() -> None:
    processes = {pid for _, pid in map_shards(pid_and_nap, range(6), Engine("processes", 2))}
    assert len(processes) == 2
    assert os.getpid() not in processes


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_work_is_raised_as_it_is(workers: int) -> None:
    with pytest.raises(BuildError, match="three is broken"):
        list(map_shards(square_but_three, range(6), Engine("processes", workers)))


def test_a_dead_worker_is_a_build_error_that_says_to_run_again() -> None:
    with pytest.raises(BuildError, match="run the same command again"):
        list(map_shards(die_at_three, range(6), Engine("processes", 2)))


def test_a_worker_that_dies_while_work_is_handed_over_is_the_same_build_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # A race of microseconds in the pool: its pipe is closed between the look and the write.
    def closed(*_: object) -> None:
        raise OSError("handle is closed")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", closed)
    with pytest.raises(BuildError, match="run the same command again"):
        list(map_shards(square, range(3), Engine("processes", 2)))


def test_workers_must_be_one_or_more() -> None:
    with pytest.raises(RequestError, match="--workers 0"):
        Engine("processes", 0)


# Ranks


@pytest.mark.parametrize(("rank_name", "ranks_name"), RANK_VARIABLES)
def test_the_rank_comes_from_the_environment_of_the_job(
    rank_name: str, ranks_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(rank_name, "2")
    monkeypatch.setenv(ranks_name, "5")
    assert rank_of_job() == (2, 5)


@pytest.mark.parametrize(("rank", "ranks"), [("5", "5"), ("-1", "5"), ("one", "5"), ("0", "0"), ("0", "")])
def test_an_impossible_rank_is_refused(rank: str, ranks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT10M_RANK", rank)
    monkeypatch.setenv("GIT10M_RANKS", ranks)
    with pytest.raises(RequestError, match=f"GIT10M_RANK={rank}"):
        rank_of_job()


def test_a_rank_outside_a_job_is_refused() -> None:
    with pytest.raises(RequestError, match="GIT10M_RANK"):
        list(map_shards(square, range(3), Engine("rank")))


def test_ranks_divide_the_shards_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT10M_RANKS", "3")
    parts = []
    for rank in range(3):
        monkeypatch.setenv("GIT10M_RANK", str(rank))
        parts.append([shard for shard, _ in map_shards(square, range(8), Engine("rank"))])
    assert parts == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_with_claims_a_rank_does_its_own_shards_first_and_leaves_out_what_another_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT10M_RANK", "1")
    monkeypatch.setenv("GIT10M_RANKS", "3")
    with lock(tmp_path / "00003.lock") as held:
        assert held
        done = [shard for shard, _ in map_shards(square, range(6), Engine("rank"), claims=tmp_path)]
    assert done == [1, 4, 0, 2, 5]


def test_a_lock_is_held_once_and_shared_locks_together(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock(path, shared=True) as first, lock(path, shared=True) as second, lock(path) as alone:
        assert (first, second, alone) == (True, True, False)
    with lock(path) as alone, lock(path, shared=True) as shared:
        assert (alone, shared) == (True, False)
