"""The three networks as empty shapes, and the comparison of what is stored with what they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from text2earth.errors import ModelError

__all__ = [
    "CASCADE",
    "DENOISERS",
    "NETWORKS",
    "OPTIONAL",
    "check_weights",
    "empty_network",
    "expected_shapes",
    "filled",
]

NETWORKS = ("vae", "text_encoder", "unet")
"""Folders with weights of a model as it is published; every layout has these."""

DENOISERS = ("unet", "transformer")
"""Networks that denoise; a model has one of them."""

OPTIONAL = ("condition_embedder",)
"""Networks that a model of ours may have beside."""

CASCADE = ("text_encoder", "unet", "low_encoder")
"""Folders with weights of a cascade, which paints pixels and has no autoencoder."""

_NAMED = 3
_BUFFERS = ("position_ids",)


def empty_network(network: str, config: Mapping[str, Any]) -> Any:
    """Return a network whose weights are shapes alone (on the meta device), its buffers real.

    Args:
        network: ``"vae"``, ``"text_encoder"``, ``"unet"``, ``"transformer"``, ``"condition_embedder"`` or
            ``"low_encoder"``.
        config: Its ``config.json``.

    Raises:
        ModelError: If the settings are impossible.
    """
    from accelerate import init_empty_weights
    from transformers import CLIPTextConfig, CLIPTextModel

    plain = {name: value for name, value in config.items() if not name.startswith("_")}
    try:
        with init_empty_weights(include_buffers=False):
            if network == "text_encoder":
                return CLIPTextModel(CLIPTextConfig.from_dict(dict(config)))
            return _class_of(network).from_config(plain)
    except (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError, NotImplementedError) as error:
        raise ModelError(f"{network}/config.json describes no network that can be: {error}") from error


def _class_of(network: str) -> Any:
    """Return the class of a network of ``diffusers``' kind: by the name of its folder, never by what a file says."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from text2earth import models

    known: dict[str, Any] = {
        "vae": AutoencoderKL,
        "unet": UNet2DConditionModel,
        "condition_embedder": models.ConditionEmbedder,
        "transformer": models.Text2EarthTransformer2DModel,
        "low_encoder": models.LowResolutionEncoder,
    }
    return known[network]


def expected_shapes(module: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of a network by name."""
    return {name: tuple(weight.shape) for name, weight in module.named_parameters()}


def check_weights(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], *, where: str, config: str
) -> None:
    """Refuse weights that are not those of a network, naming the first that differ.

    Args:
        found: Shapes by name, as stored.
        expected: Shapes by name, as the network has them.
        where: What holds the stored ones, for the message.
        config: What describes the network, for the message.

    Raises:
        ModelError: If a weight is missing, of another shape, or not known to the network.
    """
    known = {name: shape for name, shape in found.items() if not name.endswith(_BUFFERS)}
    other = [
        f"{name} is {_shown(known[name])}, expected is {_shown(shape)}"
        for name, shape in expected.items()
        if name in known and _squeezed(known[name], len(shape)) != shape
    ]
    missing = [name for name in expected if name not in known]
    spare = [name for name in known if name not in expected]
    if not (other or missing or spare):
        return
    said = [
        f"{_first(names)} {verb}"
        for names, verb in ((other, ""), (missing, "missing"), (spare, "not expected"))
        if names
    ]
    count = len(other) + len(missing) + len(spare)
    raise ModelError(
        f"{where}: {count} of {len(expected)} weights differ from those that {config} asks for: "
        f"{'; '.join(each.strip() for each in said)}. The weights are of another model, or the config is"
    )


def _squeezed(shape: tuple[int, ...], dimensions: int) -> tuple[int, ...]:
    """Return a shape without the trailing ones of a 1×1 convolution where a linear layer is expected."""
    return shape[:dimensions] if len(shape) == 4 and dimensions == 2 and shape[2:] == (1, 1) else shape


def _first(names: list[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _shown(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"


def filled(module: Any, tensors: Any, *, dtype: torch.dtype) -> Any:
    """Give an empty network its weights, each cast as it comes, so that no second copy of the model exists."""
    weights = {}
    for name, tensor in tensors:
        if not name.endswith(_BUFFERS):
            shape = module.get_parameter(name).shape
            weights[name] = tensor.reshape(shape).to(dtype)
    module.load_state_dict(weights, strict=False, assign=True)
    return module.requires_grad_(True).eval()
