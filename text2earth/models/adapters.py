"""Adapters: few weights that change what a frozen model paints, and what is known of them.

A LoRA (Hu et al., arXiv 2106.09685) adds to a linear layer W the product of two thin matrices, W + (α/r)·B·A; B starts
at zero. It is peft's, in the file that ``diffusers`` reads. A ControlNet is in ``models.control``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from text2earth.errors import ModelError

__all__ = ["ADAPTER_INDEX", "Adapter", "add_lora", "lora_layers", "require_lora_fits"]

ADAPTER_INDEX = "adapter.json"
_TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")
_PAIR = (".lora_A.weight", ".lora_B.weight")


@dataclass(frozen=True, slots=True)
class Adapter:
    """What the folder of an adapter says of it.

    Args:
        kind: ``"lora"`` or ``"controlnet"``.
        base: Folder or name of the model that it was trained on.
        target: What it paints: ``"image"``, or the name of another modality.
        bands: Bands of the target, 1 or 3.
        control: What a ControlNet reads: ``"downsample"``, ``"haze"``, or the name of a modality; "" for a LoRA.
        factor: By how much a ``"downsample"`` control is smaller than the image.
    """

    kind: Literal["lora", "controlnet"]
    base: str
    target: str = "image"
    bands: int = 3
    control: str = ""
    factor: int = 1

    @property
    def band(self) -> str | None:
        """Name of the one band that it paints, or None where it paints three."""
        return self.target if self.bands == 1 else None

    def write(self, folder: Path) -> None:
        """Write it to ``folder/adapter.json``."""
        (folder / ADAPTER_INDEX).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: str | Path, *, kind: Literal["lora", "controlnet"]) -> Adapter:
        """Read the adapter of a folder.

        Raises:
            ModelError: If the folder holds no adapter of that kind; says what it holds.
        """
        name = Path(folder) / ADAPTER_INDEX
        wanted = {"lora": "LoRA", "controlnet": "ControlNet"}[kind]
        try:
            found = cls(**json.loads(name.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            ended = "" if not (Path(folder) / "training").is_dir() else "; its training has not ended: run it again"
            raise ModelError(
                f"{folder} holds no {wanted} (no {ADAPTER_INDEX}){ended or '; give a folder of text2earth train'}"
            ) from error
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(f"{name} cannot be read: {error}; train the {wanted} again") from error
        if found.kind != kind:
            raise ModelError(f"{folder} holds a {found.kind}, and a {wanted} was asked for; give it as --{found.kind}")
        return found


def add_lora(
    unet: Any,
    *,
    rank: int,
    alpha: int,
    targets: Sequence[str],
    seed: int,
    text_encoder: Any = None,
) -> None:
    """Put a LoRA without effect on a U-Net and, if given, a text encoder; its weights alone are then trainable.

    Args:
        unet: Denoiser that peft can adapt.
        rank: r.
        alpha: α.
        targets: Ends of the names of the U-Net's linear and convolution layers that are adapted.
        seed: Of the matrices A; the caller's random state is left as it was.
        text_encoder: ``CLIPTextModel``; its attention is adapted.

    Raises:
        ModelError: If the U-Net has no layer of those names, or cannot be adapted.
    """
    from peft import LoraConfig

    if not hasattr(unet, "add_adapter"):
        raise ModelError(f"the denoiser is a {type(unet).__name__}, which takes no LoRA; give a model with a U-Net")
    names = [name for name, _ in unet.named_modules()]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise ModelError(
                f"lora.targets names {target!r}, and no layer of the denoiser is called so; "
                "to_q, to_k, to_v and to_out.0 are its attention"
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for network, ends in ((unet, targets), (text_encoder, _TEXT_TARGETS)):
            if network is not None:
                network.requires_grad_(False)
                network.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=[*ends]))


def lora_layers(network: Any) -> dict[str, torch.Tensor]:
    """Return the LoRA of a network by the names that ``diffusers`` saves: ``….lora_A.weight``, ``….lora_B.weight``."""
    from peft.utils import get_peft_model_state_dict

    found: dict[str, torch.Tensor] = get_peft_model_state_dict(network)
    return found


def require_lora_fits(layers: Mapping[str, torch.Tensor], networks: Mapping[str, Any], *, where: str) -> None:
    """Refuse a LoRA of another model.

    Args:
        layers: Tensors of its file, as ``unet.….lora_A.weight``.
        networks: ``"unet"`` and ``"text_encoder"`` of the model.
        where: What the LoRA is called in the message.

    Raises:
        ModelError: If a layer is missing in the model or of another size; names the first ones.
    """
    faults = []
    for name, tensor in layers.items():
        network, _, inner = name.partition(".")
        side, end = next(((i, end) for i, end in enumerate(_PAIR) if inner.endswith(end)), (0, ""))
        layer = dict(networks[network].named_modules()).get(inner.removesuffix(end)) if network in networks else None
        layer = getattr(layer, "base_layer", layer)
        if layer is None or not end:
            faults.append(f"{name} has no layer in the model")
        elif tensor.shape[1 - side] != layer.weight.shape[1 - side]:
            faults.append(f"{name} is {tuple(tensor.shape)} and the layer {tuple(layer.weight.shape)}")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelError(
            f"{where} is of another model: {'; '.join(faults[:3])}{more}; give the model it was trained on"
        )
