"""Diffusion arithmetic: noise schedule, targets, losses, weights and guidance. Imports no network.

Notation: ``x`` clean latents, ``ε`` unit normal noise, ``ᾱ_t`` the cumulative product of 1 − β; noisy latents are
``x_t = √ᾱ_t·x + √(1−ᾱ_t)·ε`` (Ho et al., arXiv 2006.11239, eq. 4), or on the straight path of flow matching
``x_t = (1−t)·x + t·ε`` (Lipman et al., arXiv 2210.02747). Latents are float (B, C, H, W); timesteps are (B,), int64 in
0…T−1, or of a flow float32 ``1000·t`` with t in 0…1, as the schedulers of ``diffusers`` give them to a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from text2earth.errors import ConfigError

__all__ = [
    "CASCADE_SCHEDULE",
    "SCHEDULE",
    "NoiseSchedule",
    "Objective",
    "Prediction",
    "add_noise",
    "denoising_loss",
    "flow_noise",
    "flow_target",
    "joint_guidance",
    "min_snr_weights",
    "p2_weights",
    "rescaled",
    "shifted",
    "target",
    "two_scale_guidance",
]

Prediction = Literal["epsilon", "v_prediction", "flow"]
"""What the network predicts: the noise, the velocity of the diffusion, or that of a flow; names as in ``diffusers``."""


@dataclass(frozen=True, slots=True)
class NoiseSchedule:
    """How much noise each timestep adds.

    Args:
        beta_start: β at timestep 0.
        beta_end: β at the last timestep.
        steps: Number of training timesteps T.
        kind: What grows linearly: √β (``"scaled_linear"``) or β (``"linear"``), as ``diffusers`` calls them.
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    steps: int = 1000
    kind: Literal["scaled_linear", "linear"] = "scaled_linear"

    def alphas_cumprod(self) -> torch.Tensor:
        """Return ᾱ, float32 (T,)."""
        if self.kind == "linear":
            betas = torch.linspace(self.beta_start, self.beta_end, self.steps, dtype=torch.float32)
        else:
            betas = torch.linspace(self.beta_start**0.5, self.beta_end**0.5, self.steps, dtype=torch.float32) ** 2
        return torch.cumprod(1.0 - betas, dim=0)


SCHEDULE = NoiseSchedule()
"""Text2Earth's schedule, which is Stable Diffusion's."""
CASCADE_SCHEDULE = NoiseSchedule(0.0015, 0.0155, kind="linear")
"""MetaEarth's schedule, of pixels (arXiv 2405.13570); as many timesteps as Text2Earth's."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What a denoiser is trained on: which times, which noisy latents, which target, which weights.

    Args:
        prediction: What the network predicts.
        min_snr_gamma: γ of the Min-SNR weights (ε and v), or None.
        p2_gamma: γ of the P2 weights (ε and v); 0 is none.
        p2_k: k of the P2 weights.
        noise_offset: Size of a shift of the noise that is constant over each channel of an image, so that the mean
            brightness is learnt too; 0 is none, 0.05–0.1 is usual.
        flow_mean: Mean of the logit of t in a flow; above 0 trains more on noise.
        flow_std: Its standard deviation (Esser et al., arXiv 2403.03206, section 3.1).
        flow_shift: s of ``t ← s·t / (1 + (s−1)·t)`` in a flow (same paper, eq. 23); 1 is none.

    Raises:
        ConfigError: If weights are asked for that do not go together, or with a flow.
    """

    prediction: Prediction = "epsilon"
    min_snr_gamma: float | None = None
    p2_gamma: float = 0.0
    p2_k: float = 1.0
    noise_offset: float = 0.0
    flow_mean: float = 0.0
    flow_std: float = 1.0
    flow_shift: float = 1.0

    def __post_init__(self) -> None:
        weighted = [name for name in ("min_snr_gamma", "p2_gamma") if getattr(self, name)]
        if len(weighted) > 1:
            raise ConfigError("min_snr_gamma and p2_gamma were both given; a loss has one kind of weights, drop one")
        if weighted and self.prediction == "flow":
            raise ConfigError(
                f"{weighted[0]} was given with prediction 'flow'; it weights by the SNR of a diffusion: drop it, and "
                "say with flow_mean, flow_std and flow_shift which times count more"
            )

    def draw_timestep(self, draws: np.random.Generator) -> float:
        """Draw the timestep of one image: uniform in 0…999, or of a flow 1000·t with t logit-normal and shifted."""
        if self.prediction != "flow":
            return int(draws.integers(SCHEDULE.steps))
        logit = self.flow_mean + self.flow_std * float(draws.standard_normal())
        return SCHEDULE.steps * shifted(1.0 / (1.0 + float(np.exp(-logit))), shift=self.flow_shift)

    def timestep_tensor(self, timesteps: list[float]) -> torch.Tensor:
        """Return drawn timesteps as the network takes them: int64 (B,), of a flow float32 (B,)."""
        return torch.tensor(timesteps, dtype=torch.float32 if self.prediction == "flow" else torch.int64)

    def noisy(
        self, clean: torch.Tensor, noise: torch.Tensor, *, timesteps: torch.Tensor, alphas_cumprod: torch.Tensor
    ) -> torch.Tensor:
        """Return ``x_t`` (B, C, H, W) of clean latents and unit noise."""
        if self.prediction == "flow":
            return flow_noise(clean, noise, timesteps=timesteps)
        return add_noise(clean, noise, timesteps=timesteps, alphas_cumprod=alphas_cumprod)

    def loss(
        self,
        predicted: torch.Tensor,
        clean: torch.Tensor,
        noise: torch.Tensor,
        *,
        timesteps: torch.Tensor,
        alphas_cumprod: torch.Tensor,
    ) -> torch.Tensor:
        """Return the weighted squared error of each image (B,) of the network's prediction (B, C, H, W)."""
        if self.prediction == "flow":
            return denoising_loss(predicted, flow_target(clean, noise))
        at = {"timesteps": timesteps, "alphas_cumprod": alphas_cumprod}
        wanted = target(clean, noise, prediction=self.prediction, **at)
        if self.min_snr_gamma is not None:
            weights = min_snr_weights(gamma=self.min_snr_gamma, prediction=self.prediction, **at)
        elif self.p2_gamma:
            weights = p2_weights(gamma=self.p2_gamma, k=self.p2_k, prediction=self.prediction, **at)
        else:
            weights = None
        return denoising_loss(predicted, wanted, weights=weights)


def shifted(time: float, *, shift: float) -> float:
    """Return ``s·t / (1 + (s−1)·t)`` for t in 0…1: a shift s > 1 moves times towards the noise (t = 1)."""
    return shift * time / (1.0 + (shift - 1.0) * time)


def flow_noise(clean: torch.Tensor, noise: torch.Tensor, *, timesteps: torch.Tensor) -> torch.Tensor:
    """Return ``x_t = (1−t)·x + t·ε`` (B, C, H, W) of a flow; timesteps float (B,) are 1000·t."""
    time = (timesteps / SCHEDULE.steps).to(clean.dtype).view(-1, 1, 1, 1)
    return (1.0 - time) * clean + time * noise


def flow_target(clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Return what a flow's network should predict, the velocity ``dx_t/dt = ε − x`` (B, C, H, W)."""
    return noise - clean


def add_noise(
    clean: torch.Tensor, noise: torch.Tensor, *, timesteps: torch.Tensor, alphas_cumprod: torch.Tensor
) -> torch.Tensor:
    """Return ``x_t`` (B, C, H, W) of clean latents and unit noise."""
    signal, spread = _amplitudes(alphas_cumprod, timesteps)
    return signal * clean + spread * noise


def target(
    clean: torch.Tensor,
    noise: torch.Tensor,
    *,
    timesteps: torch.Tensor,
    alphas_cumprod: torch.Tensor,
    prediction: Prediction,
) -> torch.Tensor:
    """Return what the network should predict: ``ε``, or ``v = √ᾱ·ε − √(1−ᾱ)·x`` (arXiv 2202.00512, appendix D)."""
    if prediction == "epsilon":
        return noise
    signal, spread = _amplitudes(alphas_cumprod, timesteps)
    return signal * noise - spread * clean


def min_snr_weights(
    timesteps: torch.Tensor, *, alphas_cumprod: torch.Tensor, gamma: float, prediction: Prediction
) -> torch.Tensor:
    """Return the loss weights (B,) of Min-SNR-γ (Hang et al., arXiv 2303.09556, section 3.4).

    With SNR = ᾱ/(1−ᾱ) they are ``min(SNR, γ)/SNR`` for ε and ``min(SNR, γ)/(SNR + 1)`` for v.
    """
    alphas = alphas_cumprod[timesteps]
    snr = alphas / (1.0 - alphas)
    return snr.clamp(max=gamma) / (snr if prediction == "epsilon" else snr + 1.0)


def p2_weights(
    timesteps: torch.Tensor, *, alphas_cumprod: torch.Tensor, gamma: float, k: float, prediction: Prediction
) -> torch.Tensor:
    """Return the loss weights (B,) of P2 (Choi et al., arXiv 2204.00227, eq. 8): ``1/(k + SNR)^γ`` on the error of ε.

    An error of v is that of ε times (SNR + 1)/SNR = 1/ᾱ, so that its weights carry a factor ᾱ: either prediction
    then optimises the same thing.
    """
    alphas = alphas_cumprod[timesteps]
    weights = (k + alphas / (1.0 - alphas)) ** -gamma
    return weights if prediction == "epsilon" else weights * alphas


def denoising_loss(
    predicted: torch.Tensor, wanted: torch.Tensor, *, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the squared error of each sample (B,), its mean over C, H, W, weighted if weights (B,) are given."""
    errors = (predicted.float() - wanted.float()).square().flatten(1).mean(dim=1)
    return errors if weights is None else errors * weights


def joint_guidance(null: torch.Tensor, full: torch.Tensor, *, scale: float) -> torch.Tensor:
    """Return ``ε(∅,∅) + s·[ε(text,level) − ε(∅,∅)]``; s = 1 is no guidance, Text2Earth's best is 4."""
    return null + scale * (full - null)


def two_scale_guidance(
    null: torch.Tensor, level_only: torch.Tensor, full: torch.Tensor, *, text_scale: float, level_scale: float
) -> torch.Tensor:
    """Return ``ε(∅,∅) + s_r·[ε(∅,r) − ε(∅,∅)] + s_t·[ε(t,r) − ε(∅,r)]``; the joint form where s_r = s_t.

    Args:
        null: Prediction without text and level.
        level_only: Prediction without text, with the level ``r``.
        full: Prediction with text ``t`` and level ``r``.
        text_scale: s_t.
        level_scale: s_r.
    """
    return null + level_scale * (level_only - null) + text_scale * (full - level_only)


def rescaled(guided: torch.Tensor, full: torch.Tensor, *, amount: float) -> torch.Tensor:
    """Return a guided prediction with its spread drawn back to the unguided one's (arXiv 2305.08891, eq. 15–16).

    Large scales inflate the prediction and with it contrast. Both are (B, C, H, W); an ``amount`` φ of 0 changes
    nothing, 1 gives every sample the standard deviation of ``full``.
    """
    axes = tuple(range(1, guided.ndim))
    ratio = full.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
    return guided * (amount * ratio + (1.0 - amount))


def _amplitudes(alphas_cumprod: torch.Tensor, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return √ᾱ_t and √(1−ᾱ_t), each (B, 1, 1, 1)."""
    alphas = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    return alphas.sqrt(), (1.0 - alphas).sqrt()
