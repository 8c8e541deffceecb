"""Sizes of Text2Earth, as the configurations of its three networks. Data only; imports no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One size of the model.

    Args:
        image_size: Pixels a side that it is trained at.
        vae: Arguments of ``diffusers.AutoencoderKL``.
        unet: Arguments of ``diffusers.UNet2DConditionModel``. Its ``attention_head_dim`` is, despite the name, the
            number of heads of each block; a head is at least 16 wide, narrower ones only cost time.
        text_encoder: Arguments of ``transformers.CLIPTextConfig``.
        word_scale: What fresh word embeddings are multiplied by; 1 is CLIP's own start.
    """

    image_size: int
    vae: Mapping[str, Any]
    unet: Mapping[str, Any]
    text_encoder: Mapping[str, Any]
    word_scale: float = 1.0


def _vae(channels: tuple[int, ...], *, layers: int, groups: int) -> dict[str, Any]:
    return {
        "block_out_channels": channels,
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "layers_per_block": layers,
        "norm_num_groups": groups,
        "latent_channels": 4,
    }


_RESOLUTION = {"class_embed_type": "timestep"}
"""The level enters as a second timestep: sinusoidal features, two linear layers, added to the time embedding."""

PRESETS: Mapping[str, Preset] = {
    # For CPU: factor-4 latents of 16×16. The finest U-Net block has no attention, which would be most of its cost.
    "tiny": Preset(
        image_size=64,
        vae={**_vae((16, 32, 64), layers=1, groups=4), "mid_block_add_attention": False},
        unet={
            "block_out_channels": (64, 96, 128),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "layers_per_block": 1,
            "norm_num_groups": 16,
            "attention_head_dim": (2, 3, 4),
            "cross_attention_dim": 128,
            "use_linear_projection": True,
            **_RESOLUTION,
        },
        text_encoder={
            "vocab_size": 2048,
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 77,
            "projection_dim": 128,
            "hidden_act": "gelu",
        },
        word_scale=50.0,
    ),
    # arXiv 2501.00895 on stable-diffusion-2-base: 83,653,863 + 340,387,840 + 867,961,284 parameters.
    "text2earth": Preset(
        image_size=256,
        vae=_vae((128, 256, 512, 512), layers=2, groups=32),
        unet={
            "block_out_channels": (320, 640, 1280, 1280),
            "attention_head_dim": (5, 10, 20, 20),
            "cross_attention_dim": 1024,
            "use_linear_projection": True,
            **_RESOLUTION,
        },
        text_encoder={
            "vocab_size": 49408,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 23,
            "num_attention_heads": 16,
            "max_position_embeddings": 77,
            "projection_dim": 512,
            "hidden_act": "gelu",
        },
    ),
}
"""Sizes by name."""
