"""What unbounded painting asks of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["WindowNetwork"]


class WindowNetwork(Protocol):
    """A denoiser of square windows of pixels, one for all stages of a cascade.

    Guidance is its own business, and so are devices: tensors are given on the device of ``alphas_cumprod``.
    """

    @property
    def window(self) -> int:
        """Return the pixels a side of a forward pass, e.g. 64."""
        ...

    @property
    def factor(self) -> int:
        """Return how much finer a stage is than its parent: 2 or 4."""
        ...

    @property
    def alphas_cumprod(self) -> Tensor:
        """Return ᾱ of the noise schedule, (T,), falling."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a hash of weights and configuration."""
        ...

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Return the text states (P, L, D) of prompts; ``""`` is the null.

        It is asked for one prompt at a time: the length of the list may change the last bits.
        """
        ...

    def denoise(self, noisy: Tensor, timestep: int, *, low: Tensor | None, level: int, text: Tensor) -> Tensor:
        """Return the prediction of the clean pixels, float32 (B, 3, w, w), −1…1.

        Args:
            noisy: √ᾱ x₀ + √(1 − ᾱ) ε, float32 (B, 3, w, w).
            timestep: Index into ``alphas_cumprod``.
            low: The parent's pixels under each window, −1…1, (B, 3, w/f, w/f). None is the null: the first stage
                paints from text and level alone.
            level: Zoom level of the noisy pixels.
            text: States of each window's prompt, (B, L, D).
        """
        ...
