"""Deterministic DDIM steps (Song et al., "Denoising diffusion implicit models", ICLR 2021; equation 12, η = 0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["stepped", "timesteps"]


def timesteps(count: int, *, of: int) -> list[int]:
    """Return ``count`` timesteps of a schedule, falling, evenly spaced from its last one, which is all but noise.

    Lin et al. ("Common diffusion noise schedules and sample steps are flawed", WACV 2024) call it trailing.

    Args:
        count: 1…``of``.
        of: Length T of the schedule.
    """
    return [round(of * (count - k) / count) - 1 for k in range(count)]


def stepped(noisy: Tensor, predicted: Tensor, *, now: Tensor, then: Tensor | None) -> Tensor:
    """Return what is less noisy by one step, on the straight way to the prediction.

    Args:
        noisy: √ᾱ x₀ + √(1 − ᾱ) ε.
        predicted: The prediction of x₀.
        now: ᾱ of ``noisy``.
        then: ᾱ of the result; None after the last step, whose result is the prediction.
    """
    if then is None:
        return predicted
    noise = (noisy - now.sqrt() * predicted) / (1.0 - now).sqrt()
    return then.sqrt() * predicted + (1.0 - then).sqrt() * noise
