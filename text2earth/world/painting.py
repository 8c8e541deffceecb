"""How a stage paints its plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from git10m.grid import MAX_LEVEL
from text2earth.errors import RequestError
from text2earth.world.ddim import timesteps
from text2earth.world.layout import Layout
from text2earth.world.network import WindowNetwork

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Mode", "Painting"]

Mode = Literal["metaearth", "trimmed", "tent", "fused"]


@dataclass(frozen=True)
class Painting:
    """How a stage paints its plane.

    Args:
        network: The denoiser.
        level: Zoom level of the plane.
        stage: Number of the stage, which keys its noise.
        seed: Of the noise, 0…2**64 − 1.
        steps: DDIM steps of a window.
        mode: How windows are put together.
        rounds: Of mode ``fused``: parts of the walk, 1 or 2, after each of which windows are put together.
        batch: Windows of a forward pass. Passes are always that full, so that the last bits of a window do not depend
            on how many are painted beside it.
        period: Columns after which the noise begins again, as the world's side; None is never.

    Raises:
        RequestError: If a value is out of its range.
    """

    network: WindowNetwork
    level: int
    stage: int
    seed: int
    steps: int
    mode: Mode = "fused"
    rounds: int = 2
    batch: int = 8
    period: int | None = None
    _states: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        window, factor = self.network.window, self.network.factor
        if self.mode not in get_args(Mode):
            raise RequestError(f"mode {self.mode!r} was given; choose from {', '.join(get_args(Mode))}")
        if window % (4 * factor):
            raise RequestError(f"windows of {window} px and a factor of {factor}: a quarter window must divide by it")
        longest = len(self.network.alphas_cumprod)
        limits = {"level": (0, MAX_LEVEL), "stage": (0, 65535), "seed": (0, 2**64 - 1), "rounds": (1, 2)}
        limits |= {"steps": (self.parts, longest), "batch": (1, 4096)}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise RequestError(f"{name} {getattr(self, name)} was given; it is {least}…{most}")
        if self.period is not None and self.period < window:
            raise RequestError(f"period {self.period} was given; it is at least a window, {window} px")

    @property
    def layout(self) -> Layout:
        """Return how its windows lie."""
        return Layout(self.network.window, trimmed=self.mode in ("metaearth", "trimmed"))

    @property
    def parts(self) -> int:
        """Return the number of parts of the walk, after each of which windows are put together."""
        return self.rounds if self.mode == "fused" else 1

    def walks(self) -> list[list[int]]:
        """Return the timesteps of each part; the first parts are the longer ones."""
        every = timesteps(self.steps, of=len(self.network.alphas_cumprod))
        return [list(map(int, part)) for part in np.array_split(every, self.parts)]

    def states(self, prompt: str) -> Tensor:
        """Return the text states (L, D) of a prompt, encoded once and alone."""
        if prompt not in self._states:
            self._states[prompt] = self.network.encode([prompt])[0]
        return self._states[prompt]
