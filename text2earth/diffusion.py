"""Diffusion arithmetic: noise schedule, targets, losses, weights and guidance. Imports no network.

Notation: ``x`` clean latents, ``ε`` unit normal noise, ``ᾱ_t`` the cumulative product of 1 − β; noisy latents are
``x_t = √ᾱ_t·x + √(1−ᾱ_t)·ε`` (Ho et al., arXiv 2006.11239, eq. 4). Latents are float (B, C, H, W), timesteps int64
(B,) in 0…T−1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

__all__ = [
    "SCHEDULE",
    "NoiseSchedule",
    "Prediction",
    "add_noise",
    "denoising_loss",
    "joint_guidance",
    "min_snr_weights",
    "rescaled",
    "target",
    "two_scale_guidance",
]

Prediction = Literal["epsilon", "v_prediction"]
"""What the network predicts; the names are those of the schedulers of ``diffusers``."""


@dataclass(frozen=True, slots=True)
class NoiseSchedule:
    """The ``scaled_linear`` schedule: √β grows linearly.

    Args:
        beta_start: β at timestep 0.
        beta_end: β at the last timestep.
        steps: Number of training timesteps T.
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    steps: int = 1000

    def alphas_cumprod(self) -> torch.Tensor:
        """Return ᾱ, float32 (T,)."""
        roots = torch.linspace(self.beta_start**0.5, self.beta_end**0.5, self.steps, dtype=torch.float32)
        return torch.cumprod(1.0 - roots**2, dim=0)


SCHEDULE = NoiseSchedule()
"""Text2Earth's schedule, which is Stable Diffusion's."""


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
