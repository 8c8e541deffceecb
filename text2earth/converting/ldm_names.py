"""Names of weights in the single-file layout of Stable Diffusion 2, for those of ``diffusers`` and ``transformers``.

The layout is that of CompVis' latent-diffusion code with an OpenCLIP text encoder, which most other programs read:
``model.diffusion_model.…`` is the U-Net, ``first_stage_model.…`` the autoencoder, ``cond_stage_model.model.…`` the text
encoder. Its blocks are counted through, where ``diffusers`` counts them within each resolution.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["PREFIXES", "ldm_name"]

PREFIXES = {
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text_encoder": "cond_stage_model.model.",
}
"""What names of each network begin with."""

_UNET_OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "class_embedding.linear_1": "label_emb.0.0",
    "class_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.attentions.0": "middle_block.1",
}
_UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_OUTER = {"conv_in": "conv_in", "conv_norm_out": "norm_out", "conv_out": "conv_out"}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_TEXT_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_TEXT_OUTER = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MID_RESNET = re.compile(r"mid_block\.resnets\.([01])\.(.+)")
_TEXT_BLOCK = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def ldm_name(network: str, name: str, *, config: Mapping[str, Any]) -> str | None:
    """Return the name of a weight in a single file, prefix included; None where the layout has no place for it.

    The three projections of an attention of the text encoder stand in one tensor there, under
    ``….attn.in_proj_weight`` and ``….attn.in_proj_bias``: all three get that name.

    Args:
        network: ``"unet"``, ``"vae"`` or ``"text_encoder"``.
        name: Of the weight, as ``diffusers`` or ``transformers`` says it (without ``text_model.``).
        config: The network's ``config.json``.
    """
    inner: Mapping[str, Callable[[str, Mapping[str, Any]], str | None]] = {
        "unet": _of_unet,
        "vae": _of_vae,
        "text_encoder": _of_text_encoder,
    }
    found = inner[network](name, config)
    return None if found is None else PREFIXES[network] + found


def _swapped(name: str, names: Mapping[str, str]) -> str | None:
    """Return a name whose beginning stands in a table, with that beginning replaced."""
    for old, new in names.items():
        if name == old or name.startswith(f"{old}."):
            return new + name[len(old) :]
    return None


def _of_unet(name: str, config: Mapping[str, Any]) -> str | None:
    if mid := _MID_RESNET.fullmatch(name):
        rest = _swapped(mid[2], _UNET_RESNET)
        return rest and f"middle_block.{int(mid[1]) * 2}.{rest}"
    found = _BLOCK.fullmatch(name)
    return _of_unet_block(found, config) if found else _swapped(name, _UNET_OUTER)


def _of_unet_block(found: re.Match[str], config: Mapping[str, Any]) -> str | None:
    way, block, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    stride = int(config["layers_per_block"]) + 1
    first = block * stride + (1 if way == "down" else 0)
    side = "input_blocks" if way == "down" else "output_blocks"
    if kind == "resnets":
        inner = _swapped(rest, _UNET_RESNET)
        return inner and f"{side}.{first + layer}.0.{inner}"
    if kind == "attentions":
        return f"{side}.{first + layer}.1.{rest}"
    last = first + stride - 1
    if kind == "downsamplers":
        return f"{side}.{last}.0.op.{rest.removeprefix('conv.')}"
    return f"{side}.{last}.{2 if 'Attn' in config['up_block_types'][block] else 1}.{rest}"


def _of_vae(name: str, config: Mapping[str, Any]) -> str | None:
    if name.startswith(("quant_conv.", "post_quant_conv.")):
        return name
    side, _, rest = name.partition(".")
    if found := _BLOCK.fullmatch(rest):
        inner: str | None = _of_vae_block(found, config)
    elif mid := _MID_RESNET.fullmatch(rest):
        inner = f"mid.block_{int(mid[1]) + 1}.{mid[2].replace('conv_shortcut', 'nin_shortcut')}"
    elif rest.startswith("mid_block.attentions.0."):
        part = _swapped(rest.removeprefix("mid_block.attentions.0."), _VAE_ATTENTION)
        inner = part and f"mid.attn_1.{part}"
    else:
        inner = _swapped(rest, _VAE_OUTER)
    return inner and f"{side}.{inner}"


def _of_vae_block(found: re.Match[str], config: Mapping[str, Any]) -> str:
    way, block, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    # The decoder's blocks are counted from the finest there, from the coarsest here.
    level = block if way == "down" else len(config["block_out_channels"]) - 1 - block
    if kind == "resnets":
        return f"{way}.{level}.block.{layer}.{rest.replace('conv_shortcut', 'nin_shortcut')}"
    return f"{way}.{level}.{way}sample.{rest}"


def _of_text_encoder(name: str, config: Mapping[str, Any]) -> str | None:
    if name in _TEXT_OUTER:
        return _TEXT_OUTER[name]
    found = _TEXT_BLOCK.fullmatch(name)
    if found is None:
        return None
    block, part, kind = f"transformer.resblocks.{found[1]}", found[2], found[3]
    if part in {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}:
        return f"{block}.attn.in_proj_{kind}"
    inner = _TEXT_LAYER.get(part)
    return inner and f"{block}.{inner}.{kind}"
