"""Which prompt holds where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from text2earth.world.box import Box

__all__ = ["Prompts", "UniformPrompt"]


class Prompts(Protocol):
    """Prompts of the plane: a pure function of position, so that no window changes with what is asked beside it."""

    def weights(self, box: Box, level: int) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
        """Return the prompts that touch a box, and how much each counts at every pixel.

        Args:
            box: Pixels of the level's plane.
            level: Zoom level.

        Returns:
            P ≥ 1 prompts, and float32 (P, height, width), 0…1, that sums to 1 over the prompts. The more prompts, the
            more forward passes: one whose weight is 0 in the whole box is better left out.
        """
        ...


@dataclass(frozen=True, slots=True)
class UniformPrompt:
    """One prompt everywhere; ``""`` says nothing."""

    prompt: str = ""

    def weights(self, box: Box, level: int) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
        """Return the prompt with weight 1."""
        return (self.prompt,), np.ones((1, box.height, box.width), dtype=np.float32)
