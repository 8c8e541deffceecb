"""The one training loop, for every stage: accelerate, AdamW, moving average, exact resume.

The loop's whole state is the weights, their average, the optimiser and a step number; the learning rate is a
function of the step, and every random number is keyed by (seed, sample counter). A run that is killed and started
again therefore takes the same steps to the bit (on the same kind of machine and number of threads).
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import nn
from tqdm import tqdm

from text2earth.checkpoints import TrainingState, latest_state, load_state, require_same_shapes, save_state
from text2earth.data import Batch, Examples, batches
from text2earth.errors import ConfigError, DivergedError, InterruptedTraining
from text2earth.training.averages import Averages, write_snapshot
from text2earth.training.config import ScheduleSettings, StageSettings
from text2earth.training.log import Log, cut_log
from text2earth.training.parallel import Spread, part_of, whole
from text2earth.training.stages import Stage
from text2earth.training.tally import Tally

__all__ = ["Pace", "Phase", "Watcher", "learning_rate", "rehearsed", "run_stage"]


@dataclass(frozen=True, slots=True)
class Pace:
    """Where a run stands on disk, and how often it writes there.

    Args:
        folder: Of the training: states under ``STAGE/``, and ``log.jsonl``.
        checkpoint_every: Steps between states.
        log_every: Steps between lines of the log.
        workers: Loader processes.
        keep: States kept.
        tensorboard: Whether to log for TensorBoard too.
    """

    folder: Path
    checkpoint_every: int
    log_every: int
    workers: int
    keep: int = 1
    tensorboard: bool = False

    @property
    def log(self) -> Path:
        """One JSON object a line: stage, step, counter, loss, learning rate, gradient norm."""
        return self.folder / "log.jsonl"


def learning_rate(step: int, *, settings: ScheduleSettings) -> float:
    """Return the learning rate of a step (0, 1, …): linear warm-up, then constant or a half cosine to zero."""
    warmup = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    if settings.decay == "constant":
        return settings.learning_rate * warmup
    done = max(0, step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * warmup * 0.5 * (1.0 + math.cos(math.pi * done))


@dataclass(frozen=True, slots=True)
class Phase:
    """Steps of a stage on some of the rows.

    Args:
        schedule: How many, and their learning rates.
        examples: Training examples by counter.
    """

    schedule: ScheduleSettings
    examples: Examples


class Watcher(Protocol):
    """What looks at a stage from time to time, its published average in place; it must leave the weights alone."""

    @property
    def every(self) -> int:
        """Steps between looks."""
        ...

    def look(self, step: int) -> Mapping[str, Any]:
        """Return what is to be logged of the module after a step; every process calls it."""
        ...


def run_stage(
    stage: Stage,
    *,
    settings: StageSettings,
    phases: Sequence[Phase],
    first_counter: int,
    spread: Spread,
    pace: Pace,
    watcher: Watcher | None = None,
) -> Tally:
    """Train one stage to its end, from its newest state if there is one; its module then holds the average.

    Args:
        stage: What to optimise.
        settings: How.
        phases: On which rows, one after the other.
        first_counter: Counter of the stage's first image.
        spread: Device, precision and processes.
        pace: Where and how often to write.
        watcher: Validation.

    Raises:
        ConfigError: If a step has fewer images than there are processes and micro-batches.
        DivergedError: If a loss is infinite or not a number.
        InterruptedTraining: If SIGTERM or SIGINT came to any process; the state is saved.
        ModelError: If the newest state is of another shape.
    """
    shares = spread.accelerator.num_processes * settings.accumulate
    if settings.batch_size < shares:
        raise ConfigError(
            f"{stage.name}.batch_size is {settings.batch_size}; it is the total of a step, and needs at least an image "
            f"for each of {spread.accelerator.num_processes} processes × {settings.accumulate} micro-batches"
        )
    return _Run(stage, settings, phases, first_counter, spread, pace, watcher).to_the_end()


def rehearsed(
    stage: Stage, *, settings: StageSettings, phase: Phase, spread: Spread, folder: Path, steps: int
) -> list[float]:
    """Take the first steps of a stage as a run would, keep nothing, and return the seconds of each.

    Args:
        stage: What to optimise; its weights are changed.
        settings: How.
        phase: On which rows.
        spread: Device, precision and processes.
        folder: Of a training that has not begun; nothing is written there.
        steps: How many; the first is slower, for what is set up or compiled in it.
    """
    run = _Run(stage, settings, [phase], 0, spread, Pace(folder, steps, steps, 0), None)
    seconds, begun = [], time.perf_counter()
    for number, (each, micro_batches) in enumerate(run._steps(), start=1):
        float(run._take(each, micro_batches).loss)  # waits for the device
        seconds.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        if number == steps:
            break
    return seconds


@dataclass(frozen=True, slots=True)
class _Taken:
    """A step whose figures may still be on their way from the device."""

    step: int
    loss: torch.Tensor
    norm: torch.Tensor
    rate: float
    names: tuple[tuple[str, ...], ...]
    micro_losses: tuple[torch.Tensor, ...]


class _Run:
    """One stage in progress."""

    def __init__(
        self,
        stage: Stage,
        settings: StageSettings,
        phases: Sequence[Phase],
        first_counter: int,
        spread: Spread,
        pace: Pace,
        watcher: Watcher | None,
    ) -> None:
        self.stage, self.settings, self.phases = stage, settings, phases
        self.first_counter, self.spread, self.pace, self.watcher = first_counter, spread, pace, watcher
        self.step, self.steps = 0, sum(phase.schedule.steps for phase in phases)
        self.tally = Tally()
        spread.settle(stage.module)
        self.trained = {name: weight for name, weight in stage.module.named_parameters() if weight.requires_grad}
        self.averages = Averages(
            self.trained, decay=settings.ema_decay, power=settings.ema_power, lengths=settings.ema_lengths
        )
        optimizer = torch.optim.AdamW(self.trained.values(), lr=1.0, weight_decay=settings.weight_decay, fused=True)
        self._resume(optimizer)
        self.module = spread.wrap(stage.module)
        self.optimizer = spread.accelerator.prepare_optimizer(optimizer)

    def to_the_end(self) -> Tally:
        """Take the remaining steps, then put the average into the module."""
        with (
            _stop_request() as stopped,
            self._progress() as bar,
            self._log() as log,
        ):
            before: _Taken | None = None
            for phase, micro_batches in self._steps():
                taken = self._take(phase, micro_batches)
                stop = self._report(before, log=log, bar=bar, stopped=bool(stopped))
                before = taken
                if stop or self._is_due(self.pace.checkpoint_every) or self._is_watched():
                    stop = self._report(before, log=log, bar=bar, stopped=bool(stopped)) or stop
                    before = None
                self._look(log)
                if stop or self._is_due(self.pace.checkpoint_every):
                    self._save()
                self._snapshot()
                if stop:
                    raise InterruptedTraining(
                        f"stopped at step {self.step} of {self.steps} of stage {self.stage.name}, state "
                        f"saved under {self.pace.folder}; run the same command again to go on"
                    )
            self._report(before, log=log, bar=bar, stopped=False)
        self.averages.publish()
        self.stage.module.eval()
        return self._whole_tally()

    def _steps(self) -> Iterator[tuple[Phase, list[Batch]]]:
        """Yield the micro-batches of each remaining step that fall to this process, with their phase."""
        share, shares = self.spread.accelerator.process_index, self.spread.accelerator.num_processes
        size, parts = self.settings.batch_size, self.settings.accumulate
        end = 0
        for phase in self.phases:
            begin, end = end, end + phase.schedule.steps
            steps = range(max(begin, self.step), end)

            def positions(steps: range = steps) -> Iterator[list[int]]:
                for step in steps:
                    start = self.first_counter + step * size
                    mine = list(range(start, start + size))[share::shares]
                    yield from (mine[part::parts] for part in range(parts))

            micro = batches(phase.examples, positions=positions(), workers=self.pace.workers)
            for _ in steps:
                yield phase, [next(micro) for _ in range(parts)]

    def _take(self, phase: Phase, micro_batches: list[Batch]) -> _Taken:
        """Take one optimiser step; its figures are read later, so that the device need not be waited for."""
        rate = self._rate(phase)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Replicas and shards average gradients over processes: the sum of all is that of the whole batch's mean.
        scale = self.spread.accelerator.num_processes / self.settings.batch_size
        losses = []
        for number, batch in enumerate(micro_batches):
            with self.spread.gradients(self.module, last=number == len(micro_batches) - 1):
                with self.spread.accelerator.autocast():
                    inputs = self.stage.inputs(batch, device=self.spread.device)
                    loss = self.module(**inputs).sum() * scale
                self.spread.accelerator.backward(loss)
            losses.append(loss.detach() / self.spread.accelerator.num_processes)
            self.tally.add(batch)
        norm = self.spread.clip(list(self.trained.values()), most=self.settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.averages.update()
        self.tally.truncated = self.stage.truncated
        self.step += 1
        names = tuple(batch.names for batch in micro_batches)
        return _Taken(self.step, torch.stack(losses).sum(), norm, rate, names, tuple(losses))

    def _rate(self, phase: Phase) -> float:
        begin = 0
        for each in self.phases:
            if each is phase:
                break
            begin += each.schedule.steps
        return learning_rate(self.step - begin, settings=phase.schedule)

    def _report(self, taken: _Taken | None, *, log: Log, bar: Any, stopped: bool) -> bool:
        """Read and log a step's figures; return whether any process was asked to stop.

        Raises:
            DivergedError: In every process, if the loss of any is not finite.
        """
        if taken is None:
            return stopped and self.spread.accelerator.num_processes == 1
        both = torch.stack([taken.loss.float(), torch.tensor(float(stopped), device=taken.loss.device)])
        loss, stops = self.spread.total(both).tolist()
        if not math.isfinite(loss):
            self._diverged(taken, loss)
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        bar.update()
        if taken.step % self.pace.log_every == 0 or taken.step == self.steps:
            counter = self.first_counter + taken.step * self.settings.batch_size
            log.write(
                {"step": taken.step, "counter": counter, "loss": loss, "lr": taken.rate, "grad_norm": float(taken.norm)}
            )
        return bool(stops)

    def _diverged(self, taken: _Taken, loss: float) -> None:
        mine = [
            name
            for names, part in zip(taken.names, taken.micro_losses, strict=True)
            if not math.isfinite(float(part))
            for name in names
        ]
        rows = [name for names in self.spread.gathered(mine) for name in names]
        raise DivergedError(
            f"the loss of stage {self.stage.name} became {loss} at step {taken.step}, on the rows "
            f"{', '.join(rows)}; look at these rows, or lower learning_rate (the last state is kept)"
        )

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 and self.step < self.steps

    def _is_watched(self) -> bool:
        return self.watcher is not None and (self.step % self.watcher.every == 0 or self.step == self.steps)

    def _look(self, log: Log) -> None:
        if self.watcher is not None and self._is_watched():
            self.stage.module.eval()
            with self.averages.in_place(), torch.no_grad(), self.spread.accelerator.autocast():
                found = self.watcher.look(self.step)
            self.stage.module.train()
            log.write({"step": self.step, **found})

    def _log(self) -> Log:
        write, tensorboard = self.spread.accelerator.is_main_process, self.pace.tensorboard
        return Log(self.pace.folder, stage=self.stage.name, tensorboard=tensorboard, write=write, step=self.step)

    def _progress(self) -> Any:
        return tqdm(
            total=self.steps,
            initial=self.step,
            desc=f"train {self.stage.name}",
            unit="step",
            disable=not self.spread.accelerator.is_main_process,
        )

    def _snapshot(self) -> None:
        """Keep the further averages of this step for good."""
        if self.step % self.settings.ema_snapshot_every and self.step != self.steps:
            return
        for length, average in zip(self.averages.lengths, self.averages.powers, strict=True):
            found = {name: whole(part) for name, part in zip(self.trained, average, strict=True)}
            if self.spread.accelerator.is_main_process:
                folder = self.pace.folder / "snapshots" / self.stage.name
                write_snapshot(folder, found, step=self.step, length=length)

    def _whole_tally(self) -> Tally:
        """Return the sum of what all processes met."""
        total = Tally()
        for found in self.spread.gathered(self.tally.to_json()):
            total.merge(Tally.from_json(found))
        return total

    def _scaler(self) -> dict[str, Any]:
        """Return the state of the loss scaling of float16, empty without."""
        scaler = self.spread.accelerator.scaler
        return {} if scaler is None else dict(scaler.state_dict())

    def _save(self) -> None:
        names, keep = tuple(self.trained), self.pace.keep
        powers = {
            f"{length:.3f}/{name}": whole(part)
            for length, average in zip(self.averages.lengths, self.averages.powers, strict=True)
            for name, part in zip(names, average, strict=True)
        }
        state = TrainingState(
            weights={name: whole(weight.detach()) for name, weight in self.trained.items()},
            ema={name: whole(part) for name, part in zip(names, self.averages.published, strict=True)},
            optimizer=_whole_optimizer(self.optimizer.state_dict()),
            progress={"step": self.step, "tally": self._whole_tally().to_json(), "scaler": self._scaler()},
            powers=powers,
        )
        if self.spread.accelerator.is_main_process:
            save_state(state, self.pace.folder / self.stage.name, step=self.step, keep=keep)
        self.spread.accelerator.wait_for_everyone()

    def _resume(self, optimizer: torch.optim.Optimizer) -> None:
        """Go back to the newest state, and cut the log there."""
        found = latest_state(self.pace.folder / self.stage.name)
        is_main = self.spread.accelerator.is_main_process
        if found is not None:
            state = load_state(found)
            require_same_shapes(state.weights, self.trained, where=str(found))
            with torch.no_grad():
                for number, (name, weight) in enumerate(self.trained.items()):
                    pieces = [(weight, state.weights[name]), (self.averages.published[number], state.ema[name])]
                    for length, average in zip(self.averages.lengths, self.averages.powers, strict=True):
                        pieces.append((average[number], state.powers[f"{length:.3f}/{name}"]))
                    for piece, value in pieces:
                        piece.copy_(part_of(value, like=piece))
            optimizer.load_state_dict(_parted_optimizer(state.optimizer, list(self.trained.values())))
            if state.progress["scaler"]:
                self.spread.accelerator.scaler.load_state_dict(state.progress["scaler"])
            self.step = self.averages.step = state.progress["step"]
            if is_main:  # the others go on from nothing: what is reported is the sum over processes
                self.tally = Tally.from_json(state.progress["tally"])
                self.stage.truncated = self.tally.truncated
        if is_main:
            cut_log(self.pace.log, stage=self.stage.name, step=self.step)


def _whole_optimizer(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return an optimiser's state with sharded tensors in one piece."""
    moments = {
        number: {name: whole(value) for name, value in values.items()} for number, values in state["state"].items()
    }
    return {**state, "state": moments}


def _parted_optimizer(state: Mapping[str, Any], weights: list[nn.Parameter]) -> dict[str, Any]:
    """Return an optimiser's state with tensors sharded as their weights are."""
    moments = {
        number: {
            name: part_of(value, like=weights[number]) if value.shape == weights[number].shape else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    return {**state, "state": moments}


@contextmanager
def _stop_request() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them; outside the main thread, do nothing."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)

    try:
        previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # signals belong to the main thread
        previous = {}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
