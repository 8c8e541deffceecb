"""Sizes of Text2Earth, as the configurations of its three networks. Data only; imports no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from text2earth.errors import ModelError

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One size of the model; its denoiser is either a U-Net or a transformer.

    Args:
        image_size: Pixels a side that it is trained at.
        vae: Arguments of ``diffusers.AutoencoderKL``.
        unet: Arguments of ``diffusers.UNet2DConditionModel``. Its ``attention_head_dim`` is, despite the name, the
            number of heads of each block; a head is at least 16 wide, narrower ones only cost time. Empty where
            the denoiser is a transformer.
        text_encoder: Arguments of ``transformers.CLIPTextConfig``.
        word_scale: What fresh word embeddings are multiplied by; 1 is CLIP's own start.
        transformer: Arguments of ``Text2EarthTransformer2DModel``; empty where the denoiser is a U-Net.

    Raises:
        ModelError: If it has no denoiser, or two.
    """

    image_size: int
    vae: Mapping[str, Any]
    unet: Mapping[str, Any]
    text_encoder: Mapping[str, Any]
    word_scale: float = 1.0
    transformer: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.unet) == bool(self.transformer):
            number = "both a U-Net and a transformer" if self.unet else "neither a U-Net nor a transformer"
            raise ModelError(f"a preset has {number}; give the arguments of one, and leave the other empty")

    @property
    def size_step(self) -> int:
        """What the sides of an image must be a multiple of to be trained on, in pixels."""
        halvings = len(self.vae["block_out_channels"]) - 1
        if self.transformer:
            return int(2**halvings * self.transformer["patch_size"])
        return int(2 ** (halvings + len(self.unet["block_out_channels"]) - 1))


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

_WITH_UNET: Mapping[str, Preset] = {
    # For CPU: factor-4 latents of 16×16. The finest U-Net block has no attention, which would be most of its cost. Two
    # such models, one of them for inpainting, are less than 16 MiB in half precision.
    "tiny": Preset(
        image_size=64,
        vae={**_vae((16, 32, 64), layers=1, groups=4), "mid_block_add_attention": False},
        unet={
            "block_out_channels": (48, 64, 96),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "layers_per_block": 1,
            "norm_num_groups": 16,
            "attention_head_dim": (3, 4, 6),
            "cross_attention_dim": 128,
            "use_linear_projection": True,
            **_RESOLUTION,
        },
        text_encoder={
            "vocab_size": 768,
            "hidden_size": 128,
            "intermediate_size": 384,
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

PRESETS: Mapping[str, Preset] = {
    **_WITH_UNET,
    # The same autoencoders and text encoders, with a transformer: 5,291,344 parameters on 64 tokens of 2×2 latents,
    # and 298,768,400 on 256 of them.
    "dit-tiny": replace(
        _WITH_UNET["tiny"],
        unet={},
        transformer={
            "patch_size": 2,
            "num_layers": 8,
            "num_attention_heads": 6,
            "attention_head_dim": 32,
            "cross_attention_dim": 128,
        },
    ),
    "dit": replace(
        _WITH_UNET["text2earth"],
        unet={},
        transformer={
            "patch_size": 2,
            "num_layers": 17,
            "num_attention_heads": 16,
            "attention_head_dim": 64,
            "cross_attention_dim": 1024,
        },
    ),
}
"""Sizes by name."""
