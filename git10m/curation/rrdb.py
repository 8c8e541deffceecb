"""The restorer network of the project: residual-in-residual dense blocks, in the layout of published weights.

The generator of ESRGAN (Wang et al. 2018, arXiv 1809.00219) as Real-ESRGAN (Wang et al. 2021, arXiv 2107.10833) uses
it: for an enlargement of 2 or 1 the picture is first folded into a half or a quarter of its sides (pixel-unshuffle),
and the two doublings at the end stay. ``features`` is the part before them, which a cascade takes as its encoder.

This is the one file of the toolkit that imports torch at its top; `curation.enhancement` imports it when it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["FOLDS", "RRDBNet", "RRDBShape", "RRDBTrunk", "Scale"]

Scale = Literal[1, 2, 4]

FOLDS: Mapping[int, int] = {4: 1, 2: 2, 1: 4}
"""Factor of the pixel-unshuffle before the first convolution, by enlargement."""

_SLOPE = 0.2
"""Of the leaky ReLU."""
_RESIDUAL = 0.2
"""Share of a block's result that is added to what went into it, in the inner and in the outer block."""
_START = 0.1
"""What the dense blocks' initial weights are multiplied with (ESRGAN, section 3.1)."""


@dataclass(frozen=True, slots=True)
class RRDBShape:
    """What tells one network of this kind from another; the defaults are those of the published weights.

    Attributes:
        scale: Enlargement: 1, 2 or 4.
        in_channels: Of the picture, before folding.
        out_channels: Of the result.
        blocks: Residual-in-residual dense blocks.
        features: Channels between them.
        growth: Channels that each convolution of a dense block adds.
    """

    scale: Scale = 4
    in_channels: int = 3
    out_channels: int = 3
    blocks: int = 23
    features: int = 64
    growth: int = 32

    def __post_init__(self) -> None:
        if self.scale not in FOLDS:
            raise ValueError(f"scale = {self.scale}: this network enlarges by 1, 2 or 4")
        sizes = (self.in_channels, self.out_channels, self.blocks, self.features, self.growth)
        if min(sizes) < 1:
            raise ValueError(f"{self}: channels, blocks, features and growth are at least 1")

    @property
    def fold(self) -> int:
        """Sides of a picture must be multiples of this."""
        return FOLDS[self.scale]


class RRDBTrunk(nn.Module):
    """What the network knows of pictures before it enlarges them: all but the last convolutions.

    Keys of its ``state_dict``: ``conv_first``, ``body.{i}.rdb{1,2,3}.conv{1…5}`` and ``conv_body``, each with
    ``weight`` and ``bias``.

    Args:
        shape: Of the network; ``out_channels`` plays no part.
        checkpointing: In training, keep only what goes into each block and compute the rest again backwards: some
            thirty times less memory, a third more time.
    """

    def __init__(self, shape: RRDBShape | None = None, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.shape = shape = shape or RRDBShape()
        self.checkpointing = checkpointing
        width = shape.features
        self.conv_first = _conv(shape.in_channels * shape.fold**2, width)
        self.body = nn.Sequential(*(_Block(width, shape.growth) for _ in range(shape.blocks)))
        self.conv_body = _conv(width, width)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return what is known of pictures before they are enlarged.

        Args:
            pictures: (N, in_channels, H, W), most often 0–1; sides are multiples of ``shape.fold``.

        Returns:
            (N, features, H / fold, W / fold).
        """
        first = self.conv_first(F.pixel_unshuffle(pictures, self.shape.fold))
        inner = first
        for block in self.body:
            inner = checkpoint(block, inner, use_reentrant=False) if self._saving else block(inner)
        return cast("torch.Tensor", first + self.conv_body(inner))

    @property
    def _saving(self) -> bool:
        return self.checkpointing and self.training and torch.is_grad_enabled()


class RRDBNet(RRDBTrunk):
    """Restores and enlarges pictures.

    Keys of its ``state_dict``: those of `RRDBTrunk`, ``conv_up1``, ``conv_up2``, ``conv_hr`` and ``conv_last``, each
    with ``weight`` and ``bias``.

    Args:
        shape: Of the network.
        checkpointing: As in `RRDBTrunk`.
    """

    def __init__(self, shape: RRDBShape | None = None, *, checkpointing: bool = False) -> None:
        super().__init__(shape, checkpointing=checkpointing)
        width = self.shape.features
        self.conv_up1 = _conv(width, width)
        self.conv_up2 = _conv(width, width)
        self.conv_hr = _conv(width, width)
        self.conv_last = _conv(width, self.shape.out_channels)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return pictures (N, out_channels, scale · H, scale · W), not clipped; the argument as in `features`."""
        inner = self.features(pictures)
        for conv in (self.conv_up1, self.conv_up2):
            inner = _lrelu(conv(F.interpolate(inner, scale_factor=2.0, mode="nearest")))
        return cast("torch.Tensor", self.conv_last(_lrelu(self.conv_hr(inner))))


class _Block(nn.Module):
    """Three dense blocks, and their input added to what comes out."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = _DenseBlock(width, growth)
        self.rdb2 = _DenseBlock(width, growth)
        self.rdb3 = _DenseBlock(width, growth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=_RESIDUAL)


class _DenseBlock(nn.Module):
    """Five convolutions, each of which sees all that came before it; their result is added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _conv(width, growth)
        self.conv2 = _conv(width + growth, growth)
        self.conv3 = _conv(width + 2 * growth, growth)
        self.conv4 = _conv(width + 3 * growth, growth)
        self.conv5 = _conv(width + 4 * growth, width)
        for conv in self.children():
            assert isinstance(conv, nn.Conv2d)
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data.mul_(_START)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        known = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            known = torch.cat((known, _lrelu(conv(known))), dim=1)
        return torch.add(x, self.conv5(known), alpha=_RESIDUAL)


def _conv(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, kernel_size=3, padding=1)


def _lrelu(x: Any) -> torch.Tensor:
    return F.leaky_relu(x, negative_slope=_SLOPE, inplace=True)
