"""A start from a checkpoint that knows less: what is new begins without effect, so the model equals its parent.

Two kinds of newness leave the outputs as they were. Further input channels of the first convolution get weights of
zero (the inpainting model of Rombach et al., arXiv 2112.10752, starts so). A condition that the parent does not have
enters through a last linear layer of zeros, as in ControlNet (arXiv 2302.05543). Whatever else differs is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from text2earth.errors import ModelError
from text2earth.models.condition_embedder import CONDITIONS

__all__ = ["WarmStartReport", "warm_start"]

_ENTRANCES = {
    "time_embedding.cond_proj.": ("weight",),
    "class_embedding.": ("linear_2.weight", "linear_2.bias"),
    **{f"embedders.{name}.": ("2.weight", "2.bias") for name in CONDITIONS},
    **{f"nulls.{name}": ("",) for name in CONDITIONS},
}
"""Ways in which a condition enters, by the prefix of their keys, and the last weights of each: zero if it is new."""
_FIRST = ("conv_in.weight", "patch_embed.proj.weight")
"""The first convolution of a U-Net and of a transformer, (out, in, …); its input channels may grow."""
_NAMED = 5
"""Keys named in an error."""


@dataclass(frozen=True, slots=True)
class WarmStartReport:
    """What became of each key.

    Args:
        loaded: Taken as they are.
        grown: Taken, and filled up with zeros for inputs that the parent does not have, with both shapes.
        new: Not in the checkpoint; of no effect at the start.
        ignored: Only in the checkpoint.
    """

    loaded: tuple[str, ...]
    grown: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    new: tuple[str, ...]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        """Return it in a few lines: a count for what loaded, every name for the rest."""
        grown = ", ".join(f"{name} {before} → {after}" for name, before, after in self.grown)
        rows = [f"{len(self.loaded)} keys loaded"]
        rows += [f"grown: {grown}"] if grown else []
        rows += [f"new, without effect at the start: {', '.join(self.new)}"] if self.new else []
        rows += [f"ignored: {', '.join(self.ignored)}"] if self.ignored else []
        return "\n".join(rows)


@torch.no_grad()
def warm_start(module: Any, state_dict: Mapping[str, torch.Tensor]) -> WarmStartReport:
    """Fill a module with a checkpoint's weights, so that it computes what the checkpoint's own module did.

    Args:
        module: U-Net, transformer, condition embedder, text encoder or VAE with fresh weights; a denoiser may take
            more input channels than the checkpoint, and both it and the embedder further conditions.
        state_dict: Tensors by name, of any floating type.

    Raises:
        ModelError: If shapes differ in another way, or keys are missing that no new condition explains; the module
            is then left as it was.
    """
    own: dict[str, torch.Tensor] = module.state_dict()
    missing = {name for name in own if name not in state_dict}
    new = _of_new_conditions(missing)
    grown = [name for name in own if name in state_dict and _grows(name, own[name], state_dict[name])]
    _refuse(own, state_dict, missing=[name for name in own if name in missing - new], grown=grown)
    loaded = [name for name in own if name in state_dict and name not in grown]
    for name in loaded:
        own[name].copy_(state_dict[name])
    for name in grown:
        own[name].zero_()
        own[name][:, : state_dict[name].shape[1]] = state_dict[name]
    for way, lasts in _ENTRANCES.items():
        for name in new & {f"{way}{last}" for last in lasts}:
            own[name].zero_()
    return WarmStartReport(
        tuple(loaded),
        tuple((name, tuple(state_dict[name].shape), tuple(own[name].shape)) for name in grown),
        tuple(name for name in own if name in new),
        tuple(name for name in state_dict if name not in own),
    )


def _of_new_conditions(missing: set[str]) -> set[str]:
    """Return the missing keys of the ways in that are missing whole."""
    ways = [way for way, lasts in _ENTRANCES.items() if missing >= {f"{way}{last}" for last in lasts}]
    return {name for name in missing if any(name.startswith(way) for way in ways)}


def _grows(name: str, own: torch.Tensor, given: torch.Tensor) -> bool:
    """Say whether a weight is the first convolution's, with more input channels than the checkpoint's."""
    return (
        name in _FIRST
        and own.ndim == given.ndim
        and own.shape[1] > given.shape[1]
        and (own.shape[0], *own.shape[2:]) == (given.shape[0], *given.shape[2:])
    )


def _refuse(
    own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], *, missing: list[str], grown: list[str]
) -> None:
    differing = [
        f"{name} {tuple(given[name].shape)} in the checkpoint, {tuple(own[name].shape)} here"
        for name in own
        if name in given and name not in grown and own[name].shape != given[name].shape
    ]
    faults = [*differing, *(f"{name} not in the checkpoint" for name in missing)]
    if faults:
        rest = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise ModelError(
            f"the checkpoint is of another shape: {'; '.join(faults[:_NAMED])}{rest}; "
            "choose the preset that it was trained with"
        )
