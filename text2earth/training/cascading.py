"""Training of a cascade: what a batch of windows and their low-resolution conditions become.

All draws are keyed by (seed, counter), as everywhere: whether a condition is left out or degraded, how much noise is on
it, and that noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from git10m.curation.degradation_chain import degraded
from text2earth.conditioning import KEEP_ALL, Condition, DropRates, drop, embed, sampled_sentences, tokenize
from text2earth.data import Batch
from text2earth.diffusion import CASCADE_SCHEDULE, Objective
from text2earth.models import Cascade, Encoded, predict_window
from text2earth.noise import Stream, generator, normals
from text2earth.training.cascade_settings import CascadeSettings
from text2earth.training.config import TrainConfig
from text2earth.training.stages import keyed_noise, moved

__all__ = ["CascadeLoss", "CascadeStage", "LowDraw", "cascade_stage", "draw_low"]


@dataclass(frozen=True, slots=True)
class LowDraw:
    """What becomes of the low-resolution condition of one image.

    Args:
        absent: Whether there is none.
        degraded: Whether it is a degraded copy rather than a mean.
        noise_level: σ of the noise on it.
    """

    absent: bool
    degraded: bool
    noise_level: float


def draw_low(condition: Condition, *, settings: CascadeSettings, seed: int, counter: int) -> LowDraw:
    """Draw what becomes of the condition of an image, keyed by (seed, counter)."""
    absent, is_degraded, noise = generator(seed, counter, stream=Stream.LOW_RESOLUTION).random(3)
    is_base = 0 < condition.level <= settings.base_level
    share = settings.drop_low_at_base if is_base else settings.drop_low
    return LowDraw(
        bool(absent < share),
        bool(is_degraded < settings.degraded),
        float(noise * settings.noise),
    )


class CascadeLoss(nn.Module):
    """Loss of a cascade: squared error of its prediction, text encoder and RRDB included in the graph.

    Args:
        model: Networks.
        objective: Times, target and weights.
        train_text_encoder: Whether the text encoder learns too.
    """

    alphas_cumprod: torch.Tensor

    def __init__(self, model: Cascade, *, objective: Objective, train_text_encoder: bool) -> None:
        super().__init__()
        self.unet = model.unet
        self.low_encoder = model.low_encoder
        self.text_encoder = model.text_encoder.requires_grad_(train_text_encoder)
        self.objective = objective
        self.register_buffer("alphas_cumprod", CASCADE_SCHEDULE.alphas_cumprod(), persistent=False)

    def forward(
        self,
        pixels: torch.Tensor,
        noise: torch.Tensor,
        timesteps: torch.Tensor,
        ids: torch.Tensor,
        levels: torch.Tensor,
        low: torch.Tensor,
        told: torch.Tensor,
    ) -> torch.Tensor:
        """Return the loss of each image (B,).

        Args:
            pixels: −1…1, (B, 3, w, w).
            noise: Unit normals (B, 3, w, w).
            timesteps: int64 (B,), 0…999.
            ids: Token ids, int64 (B, 77).
            levels: int64 (B,), 0…22.
            low: Low-resolution conditions with their noise, (B, 3, w/f, w/f).
            told: σ of that noise, (B,); NaN where there is no condition.
        """
        at = {"timesteps": timesteps, "alphas_cumprod": self.alphas_cumprod}
        maps, vector = self.low_encoder(low, torch.nan_to_num(told), told.isnan())
        conditions = Encoded(embed(ids, text_encoder=self.text_encoder), levels, None, vector)
        noisy = self.objective.noisy(pixels, noise, **at)
        predicted = predict_window(self.unet, noisy, timesteps, conditions, maps=maps)
        return self.objective.loss(predicted, pixels, noise, **at)


@dataclass
class CascadeStage:
    """Every stage of a cascade at once: one network, images of all levels."""

    module: CascadeLoss
    model: Cascade
    settings: CascadeSettings
    rates: DropRates
    seed: int
    name: str = "denoiser"
    truncated: int = 0
    long_captions: str = "cut"

    def undropped(self, *, seed: int) -> CascadeStage:
        """Return the same stage with other draws, every condition kept and clean, to validate with."""
        clean = self.settings.model_copy(
            update={"drop_low": 0.0, "drop_low_at_base": 1.0, "degraded": 0.0, "noise": 0.0}
        )
        return replace(self, settings=clean, rates=KEEP_ALL, seed=seed, truncated=0)

    def inputs(self, batch: Batch, *, device: torch.device) -> Mapping[str, torch.Tensor]:
        """Return pixels, noise, timesteps, token ids, levels and low-resolution conditions of a batch."""
        objective, counters = self.module.objective, batch.counters
        shown = [self._shown(*each) for each in zip(batch.conditions, counters, strict=True)]
        tokens = tokenize(shown, tokenizer=self.model.tokenizer)
        self.truncated += tokens.truncated
        noise = keyed_noise(counters, seed=self.seed, shape=tuple(batch.pixels.shape[1:]), objective=objective)
        times = [objective.draw_timestep(generator(self.seed, each, stream=Stream.TIMESTEP)) for each in counters]
        low, told = self.low(batch)
        return {
            "pixels": moved(batch.pixels, device).to(memory_format=torch.channels_last),
            "noise": moved(noise, device),
            "timesteps": moved(objective.timestep_tensor(times), device),
            "ids": moved(tokens.ids, device),
            "levels": moved(tokens.levels, device),
            "low": moved(low, device),
            "told": moved(told, device),
        }

    def low(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return low-resolution conditions (B, 3, w/f, w/f) and σ of their noise (B,), NaN where there is none."""
        factor = self.settings.factor
        # The level that a row states decides, not what dropout leaves of it.
        draws = [
            draw_low(condition, settings=self.settings, seed=self.seed, counter=counter)
            for condition, counter in zip(batch.conditions, batch.counters, strict=True)
        ]
        low = functional.avg_pool2d(batch.pixels, factor)
        for number, (draw, counter) in enumerate(zip(draws, batch.counters, strict=True)):
            if draw.degraded and not draw.absent:
                low[number] = _degraded(batch.pixels[number], factor=factor, seed=self.seed, counter=counter)
        levels = torch.tensor([draw.noise_level for draw in draws])
        grain = normals(self.seed, batch.counters, stream=Stream.LOW_NOISE, shape=tuple(low.shape[1:]))
        low = low + levels[:, None, None, None] * torch.from_numpy(grain)
        absent = torch.tensor([draw.absent for draw in draws])
        low = torch.where(absent[:, None, None, None], torch.zeros(()), low)
        return low, torch.where(absent, torch.full((), float("nan")), levels)

    def _shown(self, condition: Condition, counter: int) -> Condition:
        if self.long_captions == "sentences":
            tokenizer = self.model.tokenizer
            prompt = sampled_sentences(condition.prompt, tokenizer=tokenizer, seed=self.seed, counter=counter)
            condition = replace(condition, prompt=prompt)
        return drop(condition, rates=self.rates, seed=self.seed, counter=counter)


def _degraded(pixels: torch.Tensor, *, factor: int, seed: int, counter: int) -> torch.Tensor:
    """Return a smaller copy (3, H/factor, W/factor) of an image −1…1 as a worse sensor would have taken it."""
    whole = ((pixels + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(0, -1).contiguous().numpy()
    small = torch.from_numpy(degraded(whole, scale=factor, seed=seed, counter=counter).copy())
    return small.movedim(-1, 0).float() / 127.5 - 1.0


def cascade_stage(model: Any, *, config: TrainConfig) -> CascadeStage:
    """Return how a cascade is trained."""
    settings, conditions = config.denoiser, config.conditions
    assert config.cascade is not None
    loss = CascadeLoss(
        model,
        objective=settings.objective(config.model.prediction),
        train_text_encoder=settings.train_text_encoder,
    )
    rates, seed = conditions.rates(), config.run.seed
    return CascadeStage(loss, model, config.cascade, rates, seed, long_captions=conditions.long_captions)
