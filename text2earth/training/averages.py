"""Moving averages of the weights: the one that is published, and those that any other can be made of afterwards.

The published average decays by ``min(decay, 1 − n**−power)`` at step n: short at first, so that the random start is
forgotten. Beside it may run averages whose weight of step τ at step t grows as ``(τ/t)^γ``. From snapshots of two of
these, any other length is rebuilt by least squares (Karras et al., arXiv 2312.02696, section 3 and appendix C).

Averages are kept of the very parameters that the optimiser steps, held by reference: no name, which a wrapper may
change, and no copy, which a wrapper may leave behind, stands between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from text2earth.checkpoints import safetensors_written
from text2earth.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Averages", "exponent", "mixture", "rebuilt", "snapshots", "write_snapshot"]


class Averages:
    """Averages of a set of weights, updated in place after each step.

    Args:
        weights: Trained parameters by name; sharded ones are averaged shard by shard.
        decay: Of the published average, at most.
        power: Of its warm-up.
        lengths: Relative lengths σ of power averages, each 0…0.28: the spread of their weights over the steps, as a
            share of all steps so far.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.nn.Parameter],
        *,
        decay: float,
        power: float,
        lengths: Sequence[float] = (),
    ) -> None:
        self.names = tuple(weights)
        self.lengths = tuple(lengths)
        self.step = 0
        self._weights = list(weights.values())
        self._decay, self._power = decay, power
        self._exponents = [exponent(length) for length in lengths]
        self.published = [weight.detach().clone() for weight in self._weights]
        self.powers = [[weight.detach().clone() for weight in self._weights] for _ in lengths]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of one more step."""
        self.step += 1
        now = [_local(weight.detach()) for weight in self._weights]
        decay = min(self._decay, 1.0 - float(self.step) ** -self._power)
        _towards(self.published, now, share=1.0 - decay)
        for average, gamma in zip(self.powers, self._exponents, strict=True):
            _towards(average, now, share=1.0 - (1.0 - 1.0 / self.step) ** (gamma + 1.0))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the published average into the weights while the block runs, then what they were, to the bit."""
        kept = [_local(weight.detach()).clone() for weight in self._weights]
        self.publish()
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, before in zip(self._weights, kept, strict=True):
                    _local(weight).copy_(before)

    @torch.no_grad()
    def publish(self) -> None:
        """Put the published average into the weights for good."""
        for weight, average in zip(self._weights, self.published, strict=True):
            _local(weight).copy_(_local(average))


def exponent(length: float) -> float:
    """Return γ of the power average of a relative length σ: σ² = (γ+1) / ((γ+2)²·(γ+3)), its largest root.

    Raises:
        ValueError: If there is none: σ is 0…0.28 (0.2887 is the plain mean of all steps, γ = 0).
    """
    if not 0.0 < length < 0.2887:
        raise ValueError(f"length {length} was given; the relative length of an average is between 0 and 0.2887")
    inverse = length**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return float(roots.real.max())


def mixture(have: Sequence[tuple[int, float]], *, wanted: tuple[int, float]) -> npt.NDArray[np.float64]:
    """Return the share of each snapshot in an average that was not kept, float64 (n,).

    The shares are those whose sum of weight profiles ``p_{t,γ}(τ) = (γ+1)/t^{γ+1}·τ^γ`` is nearest to the wanted one
    in the integral of the squared difference.

    Args:
        have: (step, γ) of each snapshot.
        wanted: (step, γ) of the average.
    """
    inner = np.array([[_inner(one, other) for other in have] for one in have])
    return np.asarray(np.linalg.lstsq(inner, np.array([_inner(one, wanted) for one in have]), rcond=None)[0])


def _inner(one: tuple[int, float], other: tuple[int, float]) -> float:
    """Return ∫ p_one·p_other dτ from 0 to the earlier step, with the later step as the unit of time."""
    (first, gamma), (last, delta) = sorted((one, other))
    ratio = first / last
    return float((gamma + 1.0) * (delta + 1.0) * ratio**delta / (last * (gamma + delta + 1.0)))


def write_snapshot(folder: Path, tensors: Mapping[str, torch.Tensor], *, step: int, length: float) -> None:
    """Write a power average in float16, as ``step-00001000-0.050.safetensors``."""
    name = folder / f"step-{step:08d}-{length:.3f}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = name.with_suffix(".tmp")
    half = {key: value.to(torch.float16).contiguous() for key, value in tensors.items()}
    with safetensors_written():
        save_file(half, fresh, metadata={"step": str(step), "length": str(length)})
    fresh.replace(name)


def snapshots(folder: Path) -> dict[Path, tuple[int, float]]:
    """Return step and relative length of every snapshot under a folder."""
    found = {}
    for name in sorted(folder.glob("step-*-*.safetensors")):
        with safe_open(name, framework="pt") as file:
            facts = file.metadata() or {}
        found[name] = (int(facts["step"]), float(facts["length"]))
    return found


def rebuilt(folder: Path, *, length: float, step: int | None = None) -> dict[str, torch.Tensor]:
    """Return the average of any relative length, float32 by name, from the snapshots of a run.

    Args:
        folder: Of the snapshots.
        length: σ of the wanted average.
        step: Step that it ends at; the last snapshot's if left out.

    Raises:
        ModelError: If there are no snapshots of two lengths, or none at or after the step.
        ValueError: If there is no average of that length.
    """
    found = snapshots(folder)
    if len({kept for _, kept in found.values()}) < 2:
        raise ModelError(
            f"{folder} holds snapshots of {len({kept for _, kept in found.values()})} lengths; two are needed: "
            "train with denoiser.ema_lengths = [0.05, 0.10] and denoiser.ema_snapshot_every"
        )
    last = max(at for at, _ in found.values())
    end = step or last
    if end > last:
        raise ModelError(f"step {end} was asked for; the last snapshot is of step {last}: give a step up to that")
    shares = mixture([(at, exponent(kept)) for at, kept in found.values()], wanted=(end, exponent(length)))
    total: dict[str, torch.Tensor] = {}
    for name, share in zip(found, shares, strict=True):
        with safe_open(name, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  (not a mapping)
                part = file.get_tensor(key).double() * float(share)
                total[key] = total[key] + part if key in total else part
    return {key: value.float() for key, value in total.items()}


def _towards(average: list[torch.Tensor], now: list[torch.Tensor], *, share: float) -> None:
    """Move averages by a share of the way to the weights."""
    foreach: Any = torch
    foreach._foreach_lerp_([_local(kept) for kept in average], now, share)


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """Return this process's shard of a sharded tensor, else the tensor."""
    found: torch.Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return found
