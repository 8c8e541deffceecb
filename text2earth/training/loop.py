"""The one training loop, for every stage: accelerate, AdamW, moving average, exact resume.

The loop's whole state is the weights, their average, the optimiser and a step number; the learning rate is a
function of the step, and every random number is keyed by (seed, sample counter). A run that is killed and started
again therefore takes the same steps to the bit (on the same kind of machine and number of threads).
"""

from __future__ import annotations

import json
import math
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import nn
from tqdm import tqdm

from text2earth.checkpoints import TrainingState, latest_state, load_state, save_state
from text2earth.data import Batch, Examples, batches
from text2earth.errors import DivergedError, InterruptedTraining
from text2earth.training.config import StageSettings
from text2earth.training.stages import Stage

__all__ = ["Pace", "Tally", "learning_rate", "run_stage"]


@dataclass(frozen=True, slots=True)
class Pace:
    """Where a run stands on disk, and how often it writes there.

    Args:
        folder: Of the training: states under ``STAGE/``, and ``log.jsonl``.
        checkpoint_every: Steps between states.
        log_every: Steps between lines of the log.
        workers: Loader processes.
    """

    folder: Path
    checkpoint_every: int
    log_every: int
    workers: int

    @property
    def log(self) -> Path:
        """One JSON object a line: stage, step, counter, loss, learning rate, gradient norm."""
        return self.folder / "log.jsonl"


@dataclass
class Tally:
    """What a run has met in its data.

    Args:
        seen: Images trained on.
        truncated: Captions among them that lost their end (dropped ones not counted).
        levels: Images of each level, as the view labels them.
        skipped: Reason by row, of rows that could not be used.
    """

    seen: int = 0
    truncated: int = 0
    levels: Counter[int] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Count a batch."""
        self.seen += len(batch.counters)
        self.levels.update(condition.level for condition in batch.conditions)
        self.skipped.update(batch.skipped)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        levels = {str(level): count for level, count in sorted(self.levels.items())}
        return {"seen": self.seen, "truncated": self.truncated, "levels": levels, "skipped": self.skipped}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Tally:
        """Read what ``to_json`` returned."""
        levels = Counter({int(level): count for level, count in found["levels"].items()})
        return cls(found["seen"], found["truncated"], levels, dict(found["skipped"]))


def learning_rate(step: int, *, settings: StageSettings) -> float:
    """Return the learning rate of a step (0, 1, …): linear warm-up, then constant or a half cosine to zero."""
    warmup = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    if settings.decay == "constant":
        return settings.learning_rate * warmup
    done = max(0, step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * warmup * 0.5 * (1.0 + math.cos(math.pi * done))


def run_stage(
    stage: Stage,
    *,
    settings: StageSettings,
    examples: Examples,
    first_counter: int,
    accelerator: Accelerator,
    pace: Pace,
) -> Tally:
    """Train one stage to its end, from its newest state if there is one; its module then holds the average.

    Args:
        stage: What to optimise.
        settings: How.
        examples: Training examples by counter.
        first_counter: Counter of the stage's first image.
        accelerator: Device, precision and processes.
        pace: Where and how often to write.

    Raises:
        DivergedError: If a loss is infinite or not a number.
        InterruptedTraining: If SIGTERM or SIGINT came; the state is saved.
    """
    return _Run(stage, settings, examples, first_counter, accelerator, pace).to_the_end()


class _Run:
    """One stage in progress."""

    def __init__(
        self,
        stage: Stage,
        settings: StageSettings,
        examples: Examples,
        first_counter: int,
        accelerator: Accelerator,
        pace: Pace,
    ) -> None:
        self.stage, self.settings, self.examples = stage, settings, examples
        self.first_counter, self.accelerator, self.pace = first_counter, accelerator, pace
        self.step = 0
        self.tally = Tally()
        self.trained = {name: weight for name, weight in stage.module.named_parameters() if weight.requires_grad}
        module: Any = stage.module  # torch's stubs do not know ``memory_format`` here
        module.to(accelerator.device, memory_format=torch.channels_last).train()
        self.ema = EMAModel(
            self.trained.values(),
            decay=settings.ema_decay,
            use_ema_warmup=True,
            power=settings.ema_power,
            foreach=True,
        )
        optimizer = torch.optim.AdamW(self.trained.values(), lr=1.0, weight_decay=settings.weight_decay)
        self.module: nn.Module
        self.module, self.optimizer = accelerator.prepare(stage.module, optimizer)
        self._resume()

    def to_the_end(self) -> Tally:
        """Take the remaining steps, then put the average into the module."""
        every = self.pace.checkpoint_every
        with (
            _stop_request() as stopped,
            self._progress() as bar,
            self.pace.log.open("a", encoding="utf-8") as log,
        ):
            for step_batches in self._steps():
                line = self._take(step_batches)
                bar.set_postfix(loss=f"{line['loss']:.3f}", refresh=False)
                bar.update()
                if line["step"] % self.pace.log_every == 0 or self.step == self.settings.steps:
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                if stopped or (self.step % every == 0 and self.step < self.settings.steps):
                    self._save()
                if stopped:
                    raise InterruptedTraining(
                        f"stopped at step {self.step} of {self.settings.steps} of stage {self.stage.name}, state "
                        f"saved under {self.pace.folder}; run the same command again to go on"
                    )
        self.ema.copy_to(self.trained.values())
        self.stage.module.eval()
        return self.tally

    def _steps(self) -> Iterator[list[Batch]]:
        """Yield the micro-batches of each remaining step that fall to this process."""
        share, shares = self.accelerator.process_index, self.accelerator.num_processes
        size, parts = self.settings.batch_size, self.settings.accumulate

        def positions() -> Iterator[list[int]]:
            for step in range(self.step, self.settings.steps):
                start = self.first_counter + step * size
                mine = list(range(start, start + size))[share::shares]
                yield from (mine[part::parts] for part in range(parts))

        micro = batches(self.examples, positions=positions(), workers=self.pace.workers)
        for _ in range(self.step, self.settings.steps):
            yield [next(micro) for _ in range(parts)]

    def _take(self, micro_batches: list[Batch]) -> dict[str, Any]:
        """Take one optimiser step and return its line of the log."""
        rate = learning_rate(self.step, settings=self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total = 0.0
        for number, batch in enumerate(micro_batches):
            last = number == len(micro_batches) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.module):
                with self.accelerator.autocast():
                    inputs = self.stage.inputs(batch, device=self.accelerator.device)
                    loss = self.module(**inputs).mean() / len(micro_batches)
                self.accelerator.backward(loss)
            total += self._finite(loss, batch)
            self.tally.add(batch)
        norm = self.accelerator.clip_grad_norm_(self.trained.values(), self.settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.step(self.trained.values())
        self.tally.truncated = self.stage.truncated
        self.step += 1
        counter = self.first_counter + self.step * self.settings.batch_size
        where = {"stage": self.stage.name, "step": self.step, "counter": counter}
        return {**where, "loss": total, "lr": rate, "grad_norm": 0.0 if norm is None else float(norm)}

    def _finite(self, loss: torch.Tensor, batch: Batch) -> float:
        value = float(loss.detach())
        if math.isfinite(value):
            return value
        raise DivergedError(
            f"the loss of stage {self.stage.name} became {value} at step {self.step + 1}, on the rows "
            f"{', '.join(batch.names)}; look at these rows, or lower learning_rate (the last state is kept)"
        )

    def _progress(self) -> Any:
        return tqdm(
            total=self.settings.steps,
            initial=self.step,
            desc=f"train {self.stage.name}",
            unit="step",
            disable=not self.accelerator.is_main_process,
        )

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        averages = dict(zip(self.trained, self.ema.shadow_params, strict=True))
        progress = {"step": self.step, "ema_step": self.ema.optimization_step, "tally": self.tally.to_json()}
        weights = {name: weight.detach() for name, weight in self.trained.items()}
        state = TrainingState(weights, averages, self.optimizer.state_dict(), progress)
        save_state(state, self.pace.folder / self.stage.name, step=self.step)

    def _resume(self) -> None:
        """Go back to the newest state, and cut the log there."""
        found = latest_state(self.pace.folder / self.stage.name)
        if found is not None:
            state = load_state(found)
            with torch.no_grad():
                for name, weight in self.trained.items():
                    weight.copy_(state.weights[name])
                for name, average in zip(self.trained, self.ema.shadow_params, strict=True):
                    average.copy_(state.ema[name])
            self.optimizer.load_state_dict(dict(state.optimizer))
            self.ema.optimization_step = state.progress["ema_step"]
            self.step = state.progress["step"]
            self.tally = Tally.from_json(state.progress["tally"])
            self.stage.truncated = self.tally.truncated
        _cut_log(self.pace.log, stage=self.stage.name, step=self.step)


def _cut_log(log: Path, *, stage: str, step: int) -> None:
    """Drop the lines of a stage beyond a step: the steps are taken again."""
    if not log.exists():
        return
    kept = []
    for text in log.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:  # half a line, from a kill
            continue
        if line["stage"] != stage or line["step"] <= step:
            kept.append(text + "\n")
    log.write_text("".join(kept), encoding="utf-8")


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
