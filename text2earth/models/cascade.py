"""MetaEarth's cascade: one pixel-space network for every stage, guided by resolution (arXiv 2405.13570).

A stage paints a window at its level from noise, a text, the level, and the window at the level ``log2(factor)`` above,
the *low-resolution condition*; the first stage has none and paints from text and level alone. The denoiser is the
stock ``diffusers.UNet2DConditionModel`` of Text2Earth, level as ``class_labels``, with more input channels: the noisy
pixels, and features of the low-resolution condition from the project's RRDB, enlarged to the window's size.

So that a stage bears what the one before has painted, the condition is noised in training, and the network is told how
much (conditioning augmentation: Ho et al., arXiv 2106.15282, section 4.2). That level and "there is none" enter through
the U-Net's own ``timestep_cond``; in the channels the absent condition is a learnt constant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ModelMixin, UNet2DConditionModel  # ModelMixin: diffusers looks for it beside a component's class
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from git10m.curation.rrdb import RRDBShape, RRDBTrunk
from text2earth.errors import ModelError
from text2earth.models.conditioned import Encoded, predict
from text2earth.models.presets import CascadePreset
from text2earth.models.unet import tell_words_apart

__all__ = ["Cascade", "LowResolutionEncoder", "build_cascade", "predict_window"]

_OCTAVES = 8
"""Frequencies of the sinusoidal features of the noise level, each twice the one before."""
_CHANNELS = 3


class LowResolutionEncoder(ModelMixin, ConfigMixin):
    """Turns the low-resolution condition into channels beside the noisy window, and a vector beside the timestep.

    Args:
        factor: How much finer a window is than its condition: 2 or 4.
        patch: Pixels a side that the denoiser folds into channels; divides ``factor``.
        features: Channels of the RRDB and of the result.
        blocks: Its residual-in-residual dense blocks.
        growth: Channels that each of their convolutions adds.
        width: Of the vector, the U-Net's ``time_cond_proj_dim``.

    Raises:
        ModelError: If the factor is neither 2 nor 4, or the patch does not divide it.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        factor: int = 4,
        patch: int = 1,
        features: int = 64,
        blocks: int = 23,
        growth: int = 32,
        width: int = 192,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if factor not in (2, 4) or factor % patch:
            raise ModelError(
                f"factor {factor} and patch {patch} were given; a stage is 2 or 4 times finer, patch divides"
            )
        shape = RRDBShape(scale=4, features=features, blocks=blocks, growth=growth)
        self.trunk = RRDBTrunk(shape)
        self.null_map = nn.Parameter(torch.zeros(features))
        self.noise_level = nn.Sequential(nn.Linear(2 * _OCTAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.null_vector = nn.Parameter(torch.randn(width) * 0.1)

    def forward(
        self, low: torch.Tensor, noise_level: torch.Tensor, absent: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return channels (B, features, H/patch, W/patch) and vectors (B, width) for windows of (H, W) pixels.

        Args:
            low: −1…1, (B, 3, H/factor, W/factor); rows that are absent may hold anything finite.
            noise_level: σ of the noise on ``low``, 0…1, (B,).
            absent: bool (B,), True where there is no condition.
        """
        known = self.trunk.features(low)
        settings: Any = self.config
        scale = float(settings.factor // settings.patch)
        if scale > 1.0:
            known = functional.interpolate(known, scale_factor=scale, mode="bilinear", align_corners=False)
        maps = torch.where(absent[:, None, None, None], self.null_map[None, :, None, None], known)
        frequencies = math.pi / 2.0 * 2.0 ** torch.arange(_OCTAVES, device=low.device)
        angles = noise_level.float()[:, None] * frequencies
        told = self.noise_level(torch.cat([angles.sin(), angles.cos()], dim=1).to(low.dtype))
        return maps, torch.where(absent[:, None], self.null_vector, told)


@dataclass(frozen=True, slots=True)
class Cascade:
    """The networks of one cascade and its tokenizer.

    Args:
        text_encoder: ``CLIPTextModel``.
        unet: ``UNet2DConditionModel`` on folded pixels and features of the low-resolution condition.
        low_encoder: ``LowResolutionEncoder``.
        tokenizer: ``CLIPTokenizer`` of 77 positions.
    """

    text_encoder: Any
    unet: Any
    low_encoder: Any
    tokenizer: Any

    def networks(self) -> dict[str, Any]:
        """Return the networks by the names of their folders in a model folder."""
        return {name: getattr(self, name) for name in ("text_encoder", "unet", "low_encoder")}

    @property
    def image_size(self) -> int:
        """Pixels a side of the window that it was made for."""
        return int(self.unet.config.sample_size) * int(self.low_encoder.config.patch)

    @property
    def factor(self) -> int:
        """How much finer a stage is than the one before."""
        return int(self.low_encoder.config.factor)


def build_cascade(
    preset: CascadePreset, *, tokenizer: Any, image_size: int | None = None, factor: int = 4, seed: int = 0
) -> Cascade:
    """Make a cascade with fresh weights on the current default device (``"meta"`` makes shapes alone).

    Args:
        preset: Its size.
        tokenizer: A ``CLIPTokenizer`` with no more entries than the preset's ``vocab_size``.
        image_size: Pixels a side of a window, the preset's own if left out.
        factor: How much finer a stage is than the one before: 2 or 4.
        seed: Of the initial weights; the caller's random state is left as it was.

    Raises:
        ModelError: If the window is no multiple of what the networks halve, or the factor is neither 2 nor 4.
    """
    pixels = image_size or preset.image_size
    if pixels % math.lcm(preset.size_step, factor):
        step = math.lcm(preset.size_step, factor)
        raise ModelError(f"a window of {pixels} px was asked for; it is a multiple of {step}")
    text = CLIPTextConfig(
        **preset.text_encoder,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    width, folded = int(preset.unet["block_out_channels"][0]), _CHANNELS * preset.patch**2
    settings: dict[str, Any] = {
        **preset.unet,
        "sample_size": pixels // preset.patch,
        "in_channels": folded + preset.low["features"],
        "out_channels": folded,
        "time_cond_proj_dim": width,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text_encoder = CLIPTextModel(text)
        tell_words_apart(text_encoder, scale=preset.word_scale)
        kind: Any = UNet2DConditionModel
        unet = kind(**settings)
        low_encoder = LowResolutionEncoder(factor, preset.patch, **preset.low, width=width)
    return Cascade(text_encoder, unet, low_encoder, tokenizer)


def predict_window(
    unet: Any, noisy: torch.Tensor, timestep: torch.Tensor, conditions: Encoded, *, maps: torch.Tensor
) -> torch.Tensor:
    """Return the denoiser's prediction (B, 3, H, W): the one way to it, for training and for sampling alike.

    Args:
        unet: Of a cascade.
        noisy: Noisy pixels (B, 3, H, W).
        timestep: Of all, or of each window.
        conditions: Text, level, and as ``vector`` what ``LowResolutionEncoder`` returns.
        maps: Its channels (B, features, H/patch, W/patch).
    """
    patch = noisy.shape[-1] // maps.shape[-1]
    beside = torch.cat([functional.pixel_unshuffle(noisy, patch), maps.to(noisy.dtype)], dim=1)
    return functional.pixel_shuffle(predict(unet, beside, timestep, conditions), patch)
