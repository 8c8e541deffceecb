"""Schedulers of ``diffusers``, made ready to walk latents of a Text2Earth model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from text2earth.errors import RequestError
from text2earth.sampling.asking import whole

__all__ = ["is_of_flow", "quiet", "timesteps_of"]

_FOR_LATENTS = {"clip_sample": False, "skip_prk_steps": True}
"""What a scheduler that takes another's place falls back from to defaults for pixels: latents leave −1…1, and
Runge–Kutta steps cannot begin in the middle of a schedule, as image to image does."""


def is_of_flow(scheduler: Any) -> bool:
    """Say whether a scheduler walks a flow rather than a diffusion."""
    prediction = scheduler.config.get("prediction_type")
    return type(scheduler).__name__.startswith("FlowMatch") or prediction == "flow_prediction"


def timesteps_of(scheduler: Any, *, steps: int, tokens: int, device: torch.device, flow: bool) -> torch.Tensor:
    """Set a scheduler to a number of steps and return its timesteps.

    Args:
        scheduler: Is changed.
        steps: How many.
        tokens: Pairs of latents (2×2) in the image, for dynamic shifting.
        device: Of the timesteps.
        flow: Whether the model predicts a flow.

    Raises:
        RequestError: If it cannot take so many steps, or is of the other kind of model.
    """
    whole(steps, "num_inference_steps")
    most = int(scheduler.config.get("num_train_timesteps", steps))
    if steps > most:
        raise RequestError(f"num_inference_steps is {steps}; the model was trained at {most} timesteps: take fewer")
    if is_of_flow(scheduler) != flow:
        kind, other = ("a flow", "a diffusion") if flow else ("a diffusion", "a flow")
        raise RequestError(
            f"the scheduler {type(scheduler).__name__} is for {other}, and this model was trained as {kind}; "
            + ("give UniPC or DPM-Solver++ prediction_type='flow_prediction' and use_flow_sigmas=True" if flow else "")
            + ("" if flow else "take one without 'FlowMatch' in its name")
        )
    mended = {name: value for name, value in _FOR_LATENTS.items() if scheduler.config.get(name, value) != value}
    scheduler.register_to_config(**mended)
    extra: dict[str, Any] = {}
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        # Left to itself it ends at t = 1/1000 and spends its last step on the way to 0.
        extra["sigmas"] = np.linspace(1.0, 1.0 / steps, steps)
    if scheduler.config.get("use_dynamic_shifting"):
        extra["mu"] = _shift(scheduler.config, tokens=tokens)
    try:
        with quiet():
            scheduler.set_timesteps(steps, device=device, **extra)
    except ValueError as error:  # LCM has far fewer steps than training timesteps
        raise RequestError(f"{type(scheduler).__name__} cannot take {steps} steps: {error}") from error
    timesteps: torch.Tensor = scheduler.timesteps
    return timesteps


def _shift(config: Mapping[str, Any], *, tokens: int) -> float:
    """Return μ of dynamic shifting, linear in the image's tokens between the scheduler's own two sizes."""
    low, high = config["base_image_seq_len"], config["max_image_seq_len"]
    slope = (config["max_shift"] - config["base_shift"]) / (high - low)
    return float(config["base_shift"] + slope * (tokens - low))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back that diffusers 0.42 gives NumPy 2 tensors that do not know its newer arguments; harmless."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array_", category=DeprecationWarning)
        yield
