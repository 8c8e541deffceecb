"""Further conditions for a stock U-Net: GSD, place, month and source as one vector beside the timestep.

``diffusers.UNet2DConditionModel`` with ``time_cond_proj_dim=D`` adds ``cond_proj(timestep_cond)`` to its sinusoidal
timestep features. The module here makes ``timestep_cond`` (B, D). ``cond_proj`` has no bias and starts at zero, so a
model with new conditions equals its parent at first, whatever they say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from diffusers import ModelMixin  # under this name: diffusers looks for it beside a component's class
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import nn

from text2earth.conditioning import EXTRAS
from text2earth.errors import ModelError

__all__ = ["CONDITIONS", "ConditionEmbedder"]

CONDITIONS = {"gsd": ("gsd_m",), "place": ("lon", "lat"), "month": ("month",), "source": ("source",)}
"""Conditions that a model may take beside text and level, with their fields of ``Condition``."""

_OCTAVES = 8
"""Frequencies of the sinusoidal features of GSD and place, each twice the one before."""
_WIDTHS = {"gsd": 2 * _OCTAVES, "place": 6 * _OCTAVES, "month": 6}
"""Number of features."""


class ConditionEmbedder(ModelMixin, ConfigMixin):
    """Turns the further conditions into one vector (B, D): for each its own embedding, or its own learned null.

    GSD enters by its logarithm, in octaves of 64 … 0.5 doublings; a place by its point on the unit sphere, down to
    waves of 310 km, so that the poles and the antimeridian are nowhere special; a month by its place in the year's
    circle; a source by its name's own vector.

    Args:
        conditions: Which of ``CONDITIONS``.
        width: D, the U-Net's ``time_cond_proj_dim``.
        sources: Names that the condition ``"source"`` tells apart, as the rows' ``source_id``.

    Raises:
        ModelError: If a condition is unknown, or ``sources`` and the condition ``"source"`` do not come together.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, conditions: Sequence[str], width: int = 256, sources: Sequence[str] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        unknown = [name for name in conditions if name not in CONDITIONS]
        if unknown or not conditions:
            raise ModelError(f"conditions {list(conditions)} were given; choose from {', '.join(CONDITIONS)}")
        if ("source" in conditions) != bool(sources):
            raise ModelError(
                f"conditions {list(conditions)} with sources {list(sources)} were given; the condition 'source' "
                "needs the names that it tells apart, and they need it"
            )
        self.embedders = nn.ModuleDict({name: self._embedder(name, width, len(sources)) for name in conditions})
        self.nulls = nn.ParameterDict({name: nn.Parameter(torch.randn(width) * 0.1) for name in conditions})

    @staticmethod
    def _embedder(name: str, width: int, sources: int) -> nn.Module:
        first = nn.Embedding(sources, width) if name == "source" else nn.Linear(_WIDTHS[name], width)
        return nn.Sequential(first, nn.SiLU(), nn.Linear(width, width))

    def forward(self, extras: torch.Tensor) -> torch.Tensor:
        """Return ``timestep_cond`` (B, D) for extras, float32 (B, 5) in the order of ``EXTRAS``, NaN where null."""
        extras = extras.float()
        parts = []
        for name, embedder in self.embedders.items():
            columns = extras[:, [EXTRAS.index(field) for field in CONDITIONS[name]]]
            absent = columns.isnan().any(dim=1, keepdim=True)
            # A neutral number in place of NaN, whose gradient would be NaN even where it is not used.
            neutral = torch.full_like(columns, 1.0 if name == "gsd" else 0.0)
            features = _features(name, torch.where(absent, neutral, columns))
            null = self.nulls[name]
            given = embedder(features.to(null.dtype) if features.is_floating_point() else features)
            parts.append(torch.where(absent, null, given))
        return torch.stack(parts).sum(dim=0)


def _features(name: str, values: torch.Tensor) -> torch.Tensor:
    """Return what a condition's embedder reads, from its columns (B, 1 or 2)."""
    if name == "source":
        return values[:, 0].long()
    if name == "month":
        return _waves(values * (2.0 * math.pi / 12.0), torch.arange(1, 4))
    if name == "gsd":
        return _waves(values.log2() * (2.0 * math.pi / 64.0), 2 ** torch.arange(_OCTAVES))
    lon, lat = values.deg2rad().unbind(dim=1)
    point = torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], dim=1)
    return _waves(point, 2 ** torch.arange(_OCTAVES))


def _waves(values: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """Return sine and cosine of values (B, n) at each frequency (f,), float32 (B, 2·n·f)."""
    angles = (values[:, :, None] * frequencies.to(values)).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
