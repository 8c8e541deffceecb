"""One painter for all requests: equal wishes are painted once, those that wait together are painted together.

Everything but the painting itself happens in the event loop, so that there is nothing to lock. A single thread
paints: a forward pass uses every core that it may, and two at a time would only take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from git10m.grid import Tile
from text2earth.errors import PaintingTimeoutError, QueueFullError, ServerStoppedError, Text2EarthError, WorkError
from text2earth.serving.memory import TileMemory
from text2earth.serving.metrics import Metrics
from text2earth.serving.settings import ServerSettings
from text2earth.serving.worlds import Chosen, Pixels, Worlds

__all__ = ["Painter"]

Key = tuple[Chosen, Tile]
_LOG = logging.getLogger(__name__)
_LONGEST_RETRY_S = 60


@dataclass(slots=True, eq=False)
class _Job:
    """A tile that is to be painted.

    Attributes:
        key: Which.
        turn: Waiting jobs are taken in the order of it.
        done: Comes to the pixels.
        wanted_by: Requests that wait for it.
        begun: Whether it has left the queue.
    """

    key: Key
    turn: int
    done: asyncio.Future[Pixels]
    wanted_by: int = 0
    begun: bool = False


class Painter:
    """Paints tiles of the worlds, a batch at a time.

    Args:
        worlds: Where the pixels come from.
        settings: How much may wait, and be painted at once.
        metrics: Where it is counted.
    """

    def __init__(self, worlds: Worlds, *, settings: ServerSettings, metrics: Metrics) -> None:
        self._worlds, self._settings, self._metrics = worlds, settings, metrics
        self.memory = TileMemory(settings.memory_mb << 20)
        self._waiting: dict[Key, _Job] = {}
        self._begun: dict[Key, _Job] = {}
        self._turn = 0
        self._seconds_a_tile = 1.0
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        # A daemon, which does not keep the process from ending; and always the same one: torch keeps its own
        # threads, and SQLite its connections, for each thread that calls.
        self._orders: SimpleQueue[tuple[Chosen, Sequence[tuple[int, int, int]], Future[list[Pixels]]] | None]
        self._orders = SimpleQueue()
        self._thread = Thread(target=self._work, name="painter", daemon=True)
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Tiles that wait to be painted."""
        return len(self._waiting)

    @property
    def painting(self) -> int:
        """Tiles that are being painted."""
        return len(self._begun)

    @property
    def alive(self) -> bool:
        """Whether tiles will be painted."""
        return self._loop is not None and not self._loop.done() and not self._stopped

    def start(self) -> None:
        """Begin to paint; in the event loop that asks for tiles."""
        self._thread.start()
        self._loop = asyncio.get_running_loop().create_task(self._paint_for_ever())

    async def stop(self) -> None:
        """Refuse what waits and what is asked from now on; what is being painted is left to its thread."""
        if self._stopped:
            return
        self._stopped = True
        for job in [*self._waiting.values(), *self._begun.values()]:
            _fail(job, ServerStoppedError("the server is stopping; ask again when it is back"))
        self._waiting.clear()
        self._orders.put(None)
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop

    async def tiles(
        self, chosen: Chosen, tiles: Sequence[Tile], *, timeout_s: float, bulk: bool = False
    ) -> list[Pixels]:
        """Return the pixels of tiles, each uint8 (256, 256, 3), in their order.

        Whoever is cancelled while waiting gives its places in the queue back.

        Args:
            chosen: Which world.
            tiles: Which of its tiles.
            timeout_s: How long they may take.
            bulk: Whether others may go first for a while, as before the many tiles of an image.

        Raises:
            QueueFullError: If there is no room for them in the queue; none is queued then.
            PaintingTimeoutError: If they took too long.
            ServerStoppedError: If nothing is painted any more.
            WorkError: If the painting failed.
        """
        if not self.alive:
            raise ServerStoppedError("the server paints no more; start it again")
        found: dict[Tile, Pixels] = {}
        for tile in tiles:
            kept = self.memory.pixels((chosen, tile))
            if kept is not None:
                found[tile] = kept
        self._metrics.remembered.inc(len(found))
        jobs = self._join(chosen, list(dict.fromkeys(tile for tile in tiles if tile not in found)), bulk=bulk)
        try:
            await self._finish(jobs, timeout_s=timeout_s)
            found |= {job.key[1]: job.done.result() for job in jobs}
        finally:
            self._leave(jobs)
        return [found[tile] for tile in tiles]

    def _join(self, chosen: Chosen, tiles: Sequence[Tile], *, bulk: bool) -> list[_Job]:
        """Return a job for each tile: one that is there already where there is one."""
        known = {tile: self._begun.get((chosen, tile)) or self._waiting.get((chosen, tile)) for tile in tiles}
        new = [tile for tile, job in known.items() if job is None]
        if len(self._waiting) + len(new) > self._settings.queue_tiles:
            self._metrics.refused.inc(len(new))
            raise QueueFullError(
                f"{len(self._waiting)} tiles wait to be painted and {len(new)} more were asked for; "
                f"the queue holds {self._settings.queue_tiles}",
                retry_after_s=self._retry_after_s(),
            )
        self._metrics.joined.inc(len(tiles) - len(new))
        jobs = []
        for tile in tiles:
            self._turn += 1
            # An image waits behind tiles that are asked for after it, but not behind ever more of them.
            turn = self._turn + (self._settings.queue_tiles if bulk else 0)
            job = known[tile]
            if job is None:
                job = _Job((chosen, tile), turn, asyncio.get_running_loop().create_future())
                self._waiting[job.key] = job
            job.turn = min(job.turn, turn)
            job.wanted_by += 1
            jobs.append(job)
        self._count()
        self._wake.set()
        return jobs

    async def _finish(self, jobs: Sequence[_Job], *, timeout_s: float) -> None:
        """Wait until all jobs are done, one has failed, or the time is over."""
        if not jobs:
            return
        futures = [job.done for job in jobs]
        _, missing = await asyncio.wait(futures, timeout=timeout_s, return_when=asyncio.FIRST_EXCEPTION)
        for future in futures:
            if future.done():
                future.result()
        if missing:
            begun = any(job.begun for job in jobs)
            told = "were still being painted" if begun else "still waited to be painted"
            raise PaintingTimeoutError(f"{len(missing)} tiles {told} after {timeout_s:g} s; ask again", begun=begun)

    def _leave(self, jobs: Sequence[_Job]) -> None:
        """Take back the wishes for jobs; those that nobody wants any more leave the queue."""
        for job in jobs:
            job.wanted_by -= 1
            if job.wanted_by == 0 and self._waiting.get(job.key) is job:
                del self._waiting[job.key]
                job.done.cancel()
                self._metrics.abandoned.inc()
        self._count()

    async def _paint_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            if not self._begun:
                await asyncio.sleep(self._settings.gather_ms / 1000)
            batch = self._take()
            if not batch:
                self._wake.clear()
                continue
            await self._paint(batch)

    def _take(self) -> list[_Job]:
        """Take the jobs of the next batch out of the queue: the one whose turn it is, and others of its world."""
        if not self._waiting:
            return []
        ordered = sorted(self._waiting.values(), key=lambda job: job.turn)
        world = ordered[0].key[0]
        batch = [job for job in ordered if job.key[0] == world][: self._settings.batch_tiles]
        for job in batch:
            del self._waiting[job.key]
            self._begun[job.key] = job
            job.begun = True
        self._count()
        return batch

    async def _paint(self, batch: Sequence[_Job]) -> None:
        """Paint a batch; where that fails, each of its tiles alone, so that one cannot spoil the others."""
        start = time.perf_counter()
        try:
            painted = await self._in_thread(batch)
        except Exception as error:
            if len(batch) == 1:
                self._metrics.failed.inc()
                self._begun.pop(batch[0].key)
                _fail(batch[0], error)
                return
            for job in batch:
                await self._paint([job])
            return
        seconds = time.perf_counter() - start
        self._seconds_a_tile += 0.3 * (seconds / len(batch) - self._seconds_a_tile)
        self._metrics.painting_seconds.inc(seconds)
        self._metrics.painted.inc(len(batch))
        self._metrics.batches.observe(len(batch))
        for job, pixels in zip(batch, painted, strict=True):
            del self._begun[job.key]
            self.memory.keep(job.key, pixels)
            if not job.done.done():
                job.done.set_result(pixels)
        self._count()

    async def _in_thread(self, batch: Sequence[_Job]) -> list[Pixels]:
        chosen = batch[0].key[0]
        addresses = [(tile.level, tile.x, tile.y) for _, tile in (job.key for job in batch)]
        told: Future[list[Pixels]] = Future()
        self._orders.put((chosen, addresses, told))
        return await asyncio.wrap_future(told)

    def _work(self) -> None:
        """Paint what is ordered; the one thread that uses the worlds."""
        while (order := self._orders.get()) is not None:
            chosen, addresses, told = order
            with contextlib.suppress(InvalidStateError):  # cancelled: the server is stopping
                try:
                    painted = _checked(self._worlds.get(chosen).tiles(addresses), count=len(addresses))
                except Text2EarthError as error:
                    told.set_exception(error)
                except Exception as error:
                    _LOG.exception("a batch of %d tiles failed", len(addresses))
                    told.set_exception(_as_work_error(error))
                else:
                    told.set_result(painted)

    def _retry_after_s(self) -> int:
        """Return when half of the queue will be painted, at the pace of the last batches."""
        return max(1, min(_LONGEST_RETRY_S, math.ceil(self._seconds_a_tile * len(self._waiting) / 2)))

    def _count(self) -> None:
        self._metrics.waiting.set(len(self._waiting))
        self._metrics.on_the_easel.set(len(self._begun))
        self._metrics.worlds.set(len(self._worlds))
        self._metrics.memory.set(self.memory.held_bytes)


def _as_work_error(error: Exception) -> WorkError:
    found = WorkError(f"the painting failed: {type(error).__name__}: {error}")
    found.__cause__ = error
    return found


def _checked(painted: list[Pixels], *, count: int) -> list[Pixels]:
    """Return tiles that nobody can change any more, for many requests share them."""
    shapes = {(pixels.shape, pixels.dtype.name) for pixels in painted}
    if len(painted) != count or shapes != {((256, 256, 3), "uint8")}:
        raise WorkError(f"a world gave {len(painted)} tiles of {shapes}; {count} of 256×256×3 uint8 were expected")
    for pixels in painted:
        pixels.setflags(write=False)
    return painted


def _fail(job: _Job, error: BaseException) -> None:
    if not job.done.done():
        job.done.set_exception(error)
        job.done.exception()  # nobody may be waiting for it any more
