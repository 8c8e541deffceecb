"""Runs a piece of work for every shard: in this process, over a pool, on Ray, or as one rank of a job array.

The work is a picklable callable that takes the number of a shard and returns a small result; what it makes, it
writes itself, atomically. Engines differ in where it runs, never in what it makes.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, Literal, TypeVar

from git10m.errors import BuildError, RequestError

__all__ = ["Engine", "EngineName", "lock", "map_shards", "rank_of_job"]

T = TypeVar("T")
EngineName = Literal["processes", "ray", "rank"]
_QUEUED_PER_WORKER = 2


@dataclass(frozen=True, slots=True)
class Engine:
    """Where shards are worked on.

    Attributes:
        name: ``"processes"``: a pool on this machine; ``"ray"``: tasks on a Ray cluster; ``"rank"``: this process
            alone works on every ``n``-th shard, ``n`` and its own number coming from the job array's environment.
        workers: Processes or tasks at once; 1 with ``"processes"`` runs in this process.
    """

    name: EngineName = "processes"
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise RequestError(f"--workers {self.workers}: give 1 or more")


def map_shards(
    work: Callable[[int], T], shards: Sequence[int], engine: Engine, *, claims: Path | None = None
) -> Iterator[tuple[int, T]]:
    """Yield (shard, result) as they are done, in any order; memory does not grow with the number of shards.

    Args:
        work: What to do.
        shards: Numbers of the shards.
        engine: Where.
        claims: Folder of lock files. With it, a rank goes on with the other ranks' shards after its own, and leaves
            out those that another holds, so that the last rank leaves nothing undone.

    Raises:
        BuildError: If a worker dies.
        Exception: Whatever the work raises; shards that are under way are finished first.
    """
    if engine.name == "ray":
        yield from _on_ray(work, shards, engine.workers)
    elif engine.name == "rank":
        yield from _as_rank(work, shards, claims)
    elif engine.workers == 1 or len(shards) <= 1:
        yield from ((shard, work(shard)) for shard in shards)
    else:
        yield from _on_pool(work, shards, min(engine.workers, len(shards)))


@contextmanager
def lock(path: Path, *, shared: bool = False, wait: bool = False) -> Iterator[bool]:
    """Hold a lock file and yield whether it is held; a process that dies lets go of it.

    Args:
        path: The file; its folder exists.
        shared: Others may hold it too, if they share it as well.
        wait: Until it is free, rather than yield False.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def rank_of_job() -> tuple[int, int]:
    """Return (rank, ranks) of this process in a job array, from GIT10M_RANK / GIT10M_RANKS or Slurm's variables.

    Raises:
        RequestError: If neither pair is set, or they contradict each other.
    """
    for rank_name, ranks_name in (
        ("GIT10M_RANK", "GIT10M_RANKS"),
        ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
        ("SLURM_PROCID", "SLURM_NTASKS"),
    ):
        if rank_name in os.environ and ranks_name in os.environ:
            given, count = os.environ[rank_name], os.environ[ranks_name]
            if not (given.isdecimal() and count.isdecimal() and int(given) < int(count)):
                raise RequestError(
                    f"{rank_name}={given}, {ranks_name}={count}: expected a rank from 0 below the number of ranks"
                )
            return int(given), int(count)
    raise RequestError("--engine rank needs GIT10M_RANK (0, 1, …) and GIT10M_RANKS (how many), or a Slurm job array")


def _as_rank(work: Callable[[int], T], shards: Sequence[int], claims: Path | None) -> Iterator[tuple[int, T]]:
    rank, ranks = rank_of_job()
    own = [shard for shard in shards if shard % ranks == rank]
    if claims is None:
        yield from ((shard, work(shard)) for shard in own)
        return
    for shard in [*own, *(shard for shard in shards if shard % ranks != rank)]:
        with lock(claims / f"{shard:05d}.lock") as held:
            if held:
                yield shard, work(shard)


_work: Callable[[int], Any] | None = None


def _start_worker(work: Callable[[int], Any]) -> None:
    global _work  # noqa: PLW0603 - the work is sent once a process, not once a shard
    _work = work
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    """End this worker when its parent is gone, or it would wait for work for ever."""
    wait_for([sentinel])
    os._exit(1)


def _do(shard: int) -> Any:
    assert _work is not None
    return _work(shard)


def _on_pool(work: Callable[[int], T], shards: Sequence[int], workers: int) -> Iterator[tuple[int, T]]:
    # Spawned, not forked: GDAL and Arrow hold threads and locks that do not survive a fork.
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(work,)
    ) as pool:
        waiting = iter(shards)
        running: dict[Future[T], int] = {}
        try:
            while True:
                for shard in waiting:
                    running[_submit(pool, shard)] = shard
                    if len(running) >= workers * _QUEUED_PER_WORKER:
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    shard = running.pop(future)
                    yield shard, future.result()
        except BrokenProcessPool as error:
            raise BuildError(
                "a worker process died (out of memory, or killed); nothing that was finished is lost: "
                "run the same command again, with fewer --workers if memory is short"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, shard: int) -> Future[Any]:
    # A worker that dies while a shard is handed over closes the pool's own pipe under it; the shard's errors do not
    # come this way, so an OSError here is always that.
    try:
        return pool.submit(_do, shard)
    except OSError as error:
        raise BrokenProcessPool("the pool closed while it was given work") from error


def _on_ray(work: Callable[[int], T], shards: Sequence[int], workers: int) -> Iterator[tuple[int, T]]:
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RequestError("--engine ray needs Ray: pip install 'git10m[ray]'") from error
    if not ray.is_initialized():
        ray.init(
            num_cpus=None if os.environ.get("RAY_ADDRESS") else workers, include_dashboard=False, log_to_driver=False
        )
    remote = ray.remote(lambda function, shard: function(shard))
    shared = ray.put(work)
    waiting, running = iter(shards), {}
    while True:
        for shard in waiting:
            running[remote.remote(shared, shard)] = shard
            if len(running) >= workers * _QUEUED_PER_WORKER:
                break
        if not running:
            return
        done, _ = ray.wait(list(running), num_returns=1)
        yield running.pop(done[0]), ray.get(done[0])
