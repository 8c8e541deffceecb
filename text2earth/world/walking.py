"""Windows on their way from noise to pixels, always the same number of them in a forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from text2earth.world.box import Box
from text2earth.world.ddim import stepped
from text2earth.world.painting import Painting
from text2earth.world.projection import with_low_band
from text2earth.world.prompts import Prompts

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Given", "Walker"]

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Given:
    """What a window begins with.

    Args:
        box: Its place.
        start: Noisy pixels, (3, w, w).
        low: The parent's pixels under it, −1…1, (3, w/f, w/f); None paints from text and level alone.
    """

    box: Box
    start: Values
    low: Values | None


@dataclass(frozen=True)
class _Texts:
    """Rows of the forward passes: a window has one for every prompt that touches it.

    Args:
        windows: Number of each row's window.
        states: Text states of each row, (R, L, D).
        weights: How much each row counts at every pixel, (R, 1, w, w).
    """

    windows: list[int]
    states: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Walker:
    """Denoises windows.

    Args:
        painting: How.
        prompts: Which text holds where.
        project: Whether block means of the predictions are replaced by the parent's pixels, where there is a parent.
    """

    painting: Painting
    prompts: Prompts
    project: bool

    def walked(self, given: Sequence[Given], walk: Sequence[int], *, then: int | None = None) -> list[Values]:
        """Return the windows after a part of the walk, float32 (3, w, w) each.

        Args:
            given: Windows, either all with a parent or all without.
            walk: Timesteps of this part, falling.
            then: Timestep that the part ends at; None ends with the pixels themselves, −1…1.
        """
        import torch

        schedule = self.painting.network.alphas_cumprod
        with torch.inference_mode():
            texts = self._texts([each.box for each in given])
            noisy = _stacked([each.start for each in given]).to(schedule.device)
            lows = [each.low for each in given if each.low is not None]
            low = _stacked(lows).to(schedule.device) if lows else None
            ends = [*walk[1:], then]
            for timestep, end in zip(walk, ends, strict=True):
                predicted = self._predicted(noisy, timestep, low, texts)
                now, after = schedule[timestep], None if end is None else schedule[end]
                noisy = stepped(noisy, predicted, now=now, then=after)
            return list(noisy.cpu().numpy())

    def _predicted(self, noisy: Tensor, timestep: int, low: Tensor | None, texts: _Texts) -> Tensor:
        """Return the prediction of the clean windows (N, 3, w, w): blended over prompts, projected, clipped."""
        import torch

        blended = torch.zeros_like(noisy)
        for first in range(0, len(texts.windows), self.painting.batch):
            windows = texts.windows[first : first + self.painting.batch]
            states = texts.states[first : first + self.painting.batch]
            found = self._passed(noisy[windows], timestep, None if low is None else low[windows], states)
            # one after another: a sum over an index has no fixed order on some devices
            for window, row, weight in zip(windows, found, texts.weights[first:], strict=False):
                blended[window] += weight * row
        if low is not None and self.project:
            blended = with_low_band(blended, low)
        return blended.clamp(-1.0, 1.0)

    def _passed(self, noisy: Tensor, timestep: int, low: Tensor | None, text: Tensor) -> Tensor:
        """Run one forward pass of full size, its last row repeated where rows are missing."""
        import torch

        count, missing = len(noisy), self.painting.batch - len(noisy)

        def full(rows: Tensor) -> Tensor:
            return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])

        found = self.painting.network.denoise(
            full(noisy), timestep, low=None if low is None else full(low), level=self.painting.level, text=full(text)
        )
        return found[:count].float()

    def _texts(self, boxes: Sequence[Box]) -> _Texts:
        import torch

        windows, states, weights = [], [], []
        for number, box in enumerate(boxes):
            names, shares = self.prompts.weights(box, self.painting.level)
            windows += [number] * len(names)
            states += [self.painting.states(name) for name in names]
            weights.append(shares[:, None])
        device = self.painting.network.alphas_cumprod.device
        blend = torch.from_numpy(np.concatenate(weights)).to(device)
        return _Texts(windows, torch.stack(states).to(device), blend)


def _stacked(windows: Sequence[Values]) -> Tensor:
    import torch

    return torch.from_numpy(np.stack(windows))
