"""What a training will cost, told before it is run: memory, time a step, duration.

Weights, gradients, moments and averages are counted on networks that have shapes alone. Where these fit the memory,
the first steps are taken as the run would take them, and measured; where they do not, the step is traced on shapes:
its operations are counted, and divided by the measured speed of this machine's matrix products.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from text2earth.data import batches
from text2earth.models import parameter_counts
from text2earth.training.config import StageSettings, TrainConfig
from text2earth.training.loop import Phase, rehearsed
from text2earth.training.parallel import Spread
from text2earth.training.stages import Stage
from text2earth.training.train import (
    denoiser_stage,
    new_model,
    tokenizer_of,
    training_phases,
    vae_stage,
)

__all__ = ["Forecast", "StageForecast", "forecast"]

_STEPS = 3
"""Steps measured after the first."""
_SHARE_OF_PEAK = 0.35
"""What a training reaches of the speed of matrix products, where it cannot be measured: a common figure."""
_SHARE_OF_MEMORY = 0.8
"""Of the free memory, that a rehearsal may take."""


@dataclass(frozen=True, slots=True)
class StageForecast:
    """What one stage will cost, in each process.

    Args:
        name: The stage.
        steps: How many.
        state_bytes: Weights, gradients, moments and averages, and frozen networks beside them.
        activation_bytes: What a micro-batch keeps for the backward pass, traced.
        peak_bytes: Measured peak of a rehearsal, 0 if there was none.
        flops: Floating-point operations of a step, of all processes.
        step_s: Seconds a step.
        is_measured: Whether ``step_s`` was measured; else it is reckoned from ``flops``.
    """

    name: str
    steps: int
    state_bytes: int
    activation_bytes: int
    peak_bytes: int
    flops: float
    step_s: float
    is_measured: bool

    @property
    def duration_s(self) -> float:
        """Seconds of all steps, validation not counted."""
        return self.steps * self.step_s


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a training will cost.

    Args:
        rows: Images of an epoch.
        epochs: Of the denoiser's steps.
        parameters: Of each network.
        device: Where it would run.
        free_bytes: Memory that is free there.
        stages: One after the other.
    """

    rows: int
    epochs: float
    parameters: Mapping[str, int]
    device: str
    free_bytes: int
    stages: tuple[StageForecast, ...]


def forecast(config: TrainConfig) -> Forecast:
    """Return what a training would cost on this machine; nothing is written but to a temporary folder.

    Raises:
        ConfigError: If the configuration is impossible.
        ShardError: If there is nothing to train on.
    """
    index = config.data.index()
    run = config.run
    accelerator = Accelerator(mixed_precision=run.precision)
    spread = Spread(accelerator, run.shard, run.compile, run.activation_checkpointing)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = tokenizer_of(folder, config=config, index=index)
        with torch.device("meta"):
            shapes = new_model(config.model_copy(update={"model": _fresh(config)}), tokenizer=tokenizer)
        phases = training_phases(config, index=index, image_size=shapes.image_size)
        parameters = parameter_counts(shapes)
        stages = []
        for stage in ("vae", "denoiser"):
            settings: StageSettings | None = getattr(config, stage)
            if settings is not None:
                rehearsal = _Rehearsal(stage, config, settings, phases[0], spread, folder)
                stages.append(rehearsal.forecast(shapes, tokenizer=tokenizer))
    size = config.denoiser.batch_size
    steps = config.denoiser.steps + sum(phase.steps for phase in config.denoiser.phases)
    return Forecast(index.rows, steps * size / index.rows, parameters, str(spread.device), _free(spread), tuple(stages))


def _fresh(config: TrainConfig) -> Any:
    """Return the model's settings without a start: shapes have no weights to fill."""
    return config.model.model_copy(update={"start": ""})


@dataclass(frozen=True, slots=True)
class _Rehearsal:
    """One stage, before it is run."""

    name: str
    config: TrainConfig
    settings: StageSettings
    phase: Phase
    spread: Spread
    folder: Path

    def forecast(self, shapes: Any, *, tokenizer: Any) -> StageForecast:
        traced = self._stage(shapes)
        state = self._state_bytes(traced)
        flops, activations = self._traced(traced)
        steps = self.settings.steps + sum(phase.steps for phase in getattr(self.settings, "phases", ()))
        peak, seconds = 0, flops / self.spread.accelerator.num_processes / (_matmul_speed(self.spread) * _SHARE_OF_PEAK)
        is_measured = state + activations < _SHARE_OF_MEMORY * _free(self.spread)
        if is_measured:
            peak, seconds = self._measured(tokenizer)
        return StageForecast(self.name, steps, state, activations, peak, flops, seconds, is_measured)

    def _stage(self, model: Any) -> Stage:
        if self.config.vae is not None and self.name == "vae":
            return vae_stage(model.vae, config=self.config, settings=self.config.vae)
        if self.config.cascade is None:
            model.vae.requires_grad_(False)
        return denoiser_stage(model, config=self.config)

    def _state_bytes(self, stage: Stage) -> int:
        """Count four bytes for a weight; a trained one has a gradient, two moments and its averages beside it."""
        copies = 5 + len(self.settings.ema_lengths)
        trained = sum(weight.numel() for weight in stage.module.parameters() if weight.requires_grad)
        frozen = sum(weight.numel() for weight in stage.module.parameters() if not weight.requires_grad)
        vae: Any = getattr(getattr(stage, "model", None), "vae", None)
        if vae is not None:
            frozen += sum(weight.numel() for weight in vae.parameters())
        shares = self.spread.accelerator.num_processes if self.spread.shard and self.name != "vae" else 1
        return 4 * (trained * copies // shares + frozen)

    def _traced(self, stage: Stage) -> tuple[float, int]:
        """Return operations of a step and bytes that a micro-batch keeps, from one image on shapes alone."""
        kept: dict[int, int] = {}
        stage.module.to("meta")  # tables beside the weights too
        own = {weight.untyped_storage()._cdata for weight in stage.module.parameters()}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in own:
                kept[storage._cdata] = storage.nbytes()
            return tensor

        batch = next(batches(self.phase.examples, positions=[[0]]))
        with FlopCounterMode(display=False) as counter:
            inputs = stage.inputs(batch, device=torch.device("meta"))
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                loss = stage.module(**inputs).sum()
            loss.backward()
        stage.module.zero_grad(set_to_none=True)
        shares = self.settings.accumulate * self.spread.accelerator.num_processes
        micro = -(-self.settings.batch_size // shares)
        half = 2 if self.config.run.precision != "no" else 1
        return float(counter.get_total_flops()) * self.settings.batch_size, sum(kept.values()) * micro // half

    def _measured(self, tokenizer: Any) -> tuple[int, float]:
        """Return peak bytes and the median seconds of a step."""
        is_cuda = self.spread.device.type == "cuda"
        if is_cuda:
            torch.cuda.reset_peak_memory_stats()
        before = psutil.Process().memory_info().rss
        model = new_model(self.config, tokenizer=tokenizer)
        if self.config.cascade is None:
            model.vae.to(self.spread.device)
        spread = replace(self.spread, shard=False) if self.name == "vae" else self.spread
        schedule = self.settings.model_copy(update={"steps": _STEPS + 1})
        seconds = rehearsed(
            self._stage(model),
            settings=self.settings,
            phase=Phase(schedule, self.phase.examples),
            spread=spread,
            folder=self.folder,
            steps=_STEPS + 1,
        )
        peak = torch.cuda.max_memory_allocated() if is_cuda else psutil.Process().memory_info().rss - before
        return int(peak), statistics.median(seconds[1:])


def _free(spread: Spread) -> int:
    if spread.device.type == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def _matmul_speed(spread: Spread) -> float:
    """Return operations a second of matrix products on the device, in the precision of the run."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(spread.accelerator.mixed_precision, torch.float32)
    side = 8192 if spread.device.type == "cuda" else 1024
    one = torch.ones(side, side, device=spread.device, dtype=kind)
    rates = []
    for _ in range(4):
        begun = time.perf_counter()
        float((one @ one)[0, 0])  # waits for the device
        rates.append(2.0 * side**3 / (time.perf_counter() - begun))
    return max(rates)
