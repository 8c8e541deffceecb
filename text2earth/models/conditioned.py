"""The one way from conditions to a prediction, for training and for sampling alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from text2earth.conditioning import Tokens, embed

__all__ = ["Encoded", "encode", "predict"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Conditions as the denoiser reads them.

    Args:
        states: Text states (B, W·77, D).
        levels: int64 (B,), 0…22.
        mask: bool (B, W·77), False where a text does not reach; None where all counts.
        vector: Further conditions (B, V), or None if the model takes none.
    """

    states: torch.Tensor
    levels: torch.Tensor
    mask: torch.Tensor | None = None
    vector: torch.Tensor | None = None

    def repeated(self, count: int) -> Encoded:
        """Return each row ``count`` times, copies side by side."""
        return self._each(lambda part: part.repeat_interleave(count, dim=0))

    def rows(self, chosen: slice) -> Encoded:
        """Return some rows."""
        return self._each(lambda part: part[chosen])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Encoded:
        mask = None if self.mask is None else change(self.mask)
        vector = None if self.vector is None else change(self.vector)
        return Encoded(change(self.states), change(self.levels), mask, vector)


def encode(tokens: Tokens, *, text_encoder: Any, condition_embedder: Any = None) -> Encoded:
    """Encode a batch of conditions whose tensors are on the networks' device."""
    states = embed(tokens.ids, text_encoder=text_encoder)
    vector = None if condition_embedder is None else condition_embedder(tokens.extras)
    return Encoded(states, tokens.levels, tokens.mask, vector)


def predict(denoiser: Any, noisy: torch.Tensor, timestep: torch.Tensor, conditions: Encoded) -> torch.Tensor:
    """Return the denoiser's prediction (B, C, h, w).

    Args:
        denoiser: U-Net, or what has its signature.
        noisy: Scaled noisy latents, with the inpainting channels if it takes them, (B, C or 2·C + 1, h, w).
        timestep: Of all, or of each sample.
        conditions: B rows.
    """
    further = {"timestep_cond": conditions.vector, "encoder_attention_mask": conditions.mask}
    given = {name: value for name, value in further.items() if value is not None}
    predicted: torch.Tensor = denoiser(
        noisy, timestep, conditions.states, class_labels=conditions.levels, **given
    ).sample
    return predicted
