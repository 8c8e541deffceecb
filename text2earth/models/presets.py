"""Sizes of Text2Earth and of the cascade, as configurations of their networks. Data only; imports no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from text2earth.errors import ModelError

__all__ = ["CASCADES", "PRESETS", "CascadePreset", "Preset"]


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


@dataclass(frozen=True, slots=True)
class CascadePreset:
    """One size of MetaEarth's cascade (arXiv 2405.13570): pixels, one network for every stage.

    Args:
        image_size: Pixels a side of the window that it paints in one pass.
        patch: Pixels a side that are folded into channels before the U-Net: 1 is none. Folding by 2 makes a U-Net four
            times cheaper at full resolution, which on a CPU is most of its cost.
        unet: Arguments of ``diffusers.UNet2DConditionModel``; as in ``Preset``.
        low: Arguments of ``LowResolutionEncoder``: ``features``, ``blocks`` and ``growth`` of its RRDB.
        text_encoder: Arguments of ``transformers.CLIPTextConfig``.
        word_scale: As in ``Preset``.
    """

    image_size: int
    patch: int
    unet: Mapping[str, Any]
    low: Mapping[str, int]
    text_encoder: Mapping[str, Any]
    word_scale: float = 1.0

    @property
    def size_step(self) -> int:
        """What the sides of an image must be a multiple of, in pixels."""
        return int(self.patch * 2 ** (len(self.unet["block_out_channels"]) - 1))


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

CASCADES: Mapping[str, CascadePreset] = {
    # For CPU: 3,730,772 parameters, text encoder included; a step of eight images takes 0.4 s on one core.
    "metaearth-tiny": CascadePreset(
        image_size=64,
        patch=2,
        unet={
            "block_out_channels": (48, 80, 104),
            "down_block_types": ("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "attention_head_dim": (1, 2, 4),
            "cross_attention_dim": 96,
            "use_linear_projection": True,
            **_RESOLUTION,
        },
        low={"features": 16, "blocks": 2, "growth": 8},
        text_encoder={
            "vocab_size": 1024,
            "hidden_size": 96,
            "intermediate_size": 384,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "max_position_embeddings": 77,
            "projection_dim": 96,
            "hidden_act": "gelu",
        },
        word_scale=50.0,
    ),
    # MetaEarth says "more than 600 million" and no sizes: this U-Net alone has 624,426,115 parameters.
    "metaearth": CascadePreset(
        image_size=256,
        patch=1,
        unet={
            "block_out_channels": (192, 384, 576, 768, 1088),
            "down_block_types": ("DownBlock2D",) * 2 + ("CrossAttnDownBlock2D",) * 3,
            "up_block_types": ("CrossAttnUpBlock2D",) * 3 + ("UpBlock2D",) * 2,
            "layers_per_block": 2,
            "norm_num_groups": 32,
            "attention_head_dim": (3, 6, 9, 12, 17),
            "cross_attention_dim": 1024,
            "use_linear_projection": True,
            **_RESOLUTION,
        },
        low={"features": 64, "blocks": 23, "growth": 32},
        text_encoder=_WITH_UNET["text2earth"].text_encoder,
    ),
}
"""Sizes of the cascade by name."""
