"""How predictions with and without conditions are joined at each step."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from text2earth.diffusion import joint_guidance, rescaled, two_scale_guidance
from text2earth.errors import RequestError
from text2earth.sampling.asking import number

__all__ = ["Guidance"]


@dataclass(frozen=True, slots=True)
class Guidance:
    """Scales of the guidance, when it acts, and how far its spread is drawn back.

    Args:
        text_scale: s of the joint form, s_t of the two-scale form; up to 1 the joint form is no guidance.
        level_scale: s_r of the two-scale form; None is the joint form.
        rescale: φ of ``diffusion.rescaled``, 0…1.
        interval: Guidance acts while the timestep, as a share of all training timesteps, lies between the two;
            0 is the clean image, 1 pure noise (Kynkäänniemi et al., arXiv 2404.07724, who bound the noise level).

    Raises:
        RequestError: If a value is outside its range.
    """

    text_scale: float = 4.0
    level_scale: float | None = None
    rescale: float = 0.0
    interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        number(self.text_scale, "guidance_scale", usual=4)
        if self.level_scale is not None:
            number(self.level_scale, "resolution_guidance_scale", usual=2)
        if not 0.0 <= number(self.rescale, "guidance_rescale", usual=0.7) <= 1.0:
            raise RequestError(f"guidance_rescale {self.rescale} was given; it is 0–1, 0.7 is usual")
        try:
            low, high = (float(end) for end in self.interval)
        except (TypeError, ValueError):
            low = high = 0.0
        if not 0.0 <= low < high <= 1.0:
            raise RequestError(
                f"guidance_interval {self.interval!r} was given; it is (low, high) with 0 ≤ low < high ≤ 1, "
                "from the clean image at 0 to pure noise at 1"
            )

    @property
    def branches(self) -> int:
        """How many predictions a guided step takes: 1 unguided, 2 joint, 3 two-scale."""
        if self.level_scale is not None:
            return 3
        return 1 if self.text_scale <= 1.0 else 2

    def branches_at(self, share: float) -> int:
        """Return how many predictions the step takes at a share of the training timesteps."""
        low, high = self.interval
        return self.branches if low <= share <= high else 1

    def combined(self, predicted: torch.Tensor, *, branches: int) -> torch.Tensor:
        """Join the predictions (branches·N, C, h, w), null first and full last, to (N, C, h, w)."""
        if branches == 1:
            return predicted
        parts = predicted.chunk(branches)
        if self.level_scale is None:
            guided = joint_guidance(parts[0], parts[1], scale=self.text_scale)
        else:
            scales = {"text_scale": self.text_scale, "level_scale": self.level_scale}
            guided = two_scale_guidance(parts[0], parts[1], parts[2], **scales)
        return rescaled(guided, parts[-1], amount=self.rescale) if self.rescale else guided
