"""A start for autoencoders that are trained from scratch: a code that already works, to be improved on.

From random weights a KL autoencoder spends its first thousands of steps finding that latents should resemble the
image. Here the residual branches start at zero (Goyal et al., arXiv 1706.02677, section 5.1) and what is left is
linear and known: each latent is the mean colour of its pixels, and decoding repeats it. Two exact identities carry
colour through the nonlinear parts: ``silu(x) − silu(−x) = x``, and a group norm whose group holds constants ±c with
c ≫ |x| divides by a constant.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D

__all__ = ["start_as_average"]

_UNIT = 4
"""Channels that carry one colour: +x, −x, +c, −c."""
_COLOURS = 3
_CONSTANT = 4.0
"""c; pixels lie in −1…1."""
_LOG_VARIANCE = -6.0
"""Of the posterior at the start: σ = 0.05, small beside the latents' own spread."""
_REST = 0.5
"""Scale of the usual random weights in channels that carry no colour."""


@torch.no_grad()
def start_as_average(vae: Any) -> None:
    """Set the weights so that the VAE starts as averaging down and repeating up.

    Args:
        vae: ``AutoencoderKL`` with at least 3 latent channels and group norms over at least 4 channels.
    """
    part: Any
    for part in vae.modules():
        if isinstance(part, ResnetBlock2D):
            torch.nn.init.zeros_(part.conv2.weight)
            if part.conv_shortcut is not None:
                _pass_through(part.conv_shortcut, kernel=torch.ones(1, 1))
        elif isinstance(part, Downsample2D):
            # The stride-2 convolution pads right and below: its first 2×2 taps are the pixels to average.
            kernel = torch.zeros(3, 3)
            kernel[:2, :2] = 0.25
            _pass_through(part.conv, kernel=kernel)
        elif isinstance(part, Upsample2D):
            _pass_through(part.conv, kernel=_centre(3))
        elif isinstance(part, Attention):
            outward: Any = part.to_out[0]
            torch.nn.init.zeros_(outward.weight)
    latents = int(vae.config.latent_channels)
    for half in (vae.encoder, vae.decoder):
        _spread(half.conv_in)
        _undo_scale(half.conv_norm_out)
        _gather(half.conv_out)
    _pass_through(vae.quant_conv, kernel=torch.ones(1, 1))
    _pass_through(vae.post_quant_conv, kernel=torch.ones(1, 1))
    vae.encoder.conv_out.weight[latents:] = 0.0
    vae.encoder.conv_out.bias[latents:] = _LOG_VARIANCE


def _centre(side: int) -> torch.Tensor:
    kernel = torch.zeros(side, side)
    kernel[side // 2, side // 2] = 1.0
    return kernel


def _pass_through(conv: Any, *, kernel: torch.Tensor) -> None:
    """Make a convolution apply one kernel to each channel by itself."""
    torch.nn.init.zeros_(conv.weight)
    torch.nn.init.zeros_(conv.bias)
    for channel in range(min(conv.weight.shape[:2])):
        conv.weight[channel, channel] = kernel.to(conv.weight)


def _spread(conv: Any) -> None:
    """Make the first channels of a convolution carry the first three inputs as (+x, −x, +c, −c)."""
    conv.weight.mul_(_REST)
    conv.weight[: _COLOURS * _UNIT] = 0.0
    torch.nn.init.zeros_(conv.bias)
    kernel = _centre(conv.weight.shape[-1]).to(conv.weight)
    for colour in range(_COLOURS):
        first = colour * _UNIT
        conv.weight[first, colour], conv.weight[first + 1, colour] = kernel, -kernel
        conv.bias[first + 2], conv.bias[first + 3] = _CONSTANT, -_CONSTANT


def _undo_scale(norm: Any) -> None:
    """Give a group norm the gain that takes back its division by the constants' root mean square."""
    power = torch.zeros(norm.num_channels)
    for colour in range(_COLOURS):
        power[colour * _UNIT + 2 : colour * _UNIT + 4] = _CONSTANT**2
    for group in power.view(norm.num_groups, -1):
        mean = float(group.mean())
        group.fill_(math.sqrt(mean) if mean > 0.0 else 1.0)
    norm.weight.copy_(power)


def _gather(conv: Any) -> None:
    """Make the first three outputs of a convolution silu(x) − silu(−x) of the three colours."""
    conv.weight.mul_(_REST)
    conv.weight[:_COLOURS] = 0.0
    torch.nn.init.zeros_(conv.bias)
    kernel = _centre(conv.weight.shape[-1]).to(conv.weight)
    for colour in range(_COLOURS):
        conv.weight[colour, colour * _UNIT], conv.weight[colour, colour * _UNIT + 1] = kernel, -kernel
