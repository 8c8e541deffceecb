"""Training of adapters: a stage with a frozen model, and the folder that comes of it.

The loop is that of every stage. What is trainable decides what is optimised, averaged and saved: of a LoRA its thin
matrices, of a ControlNet its network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from torch import nn

from text2earth.checkpoints import replaced_folder
from text2earth.data import Batch, DatasetIdentity
from text2earth.errors import ConfigError
from text2earth.models import (
    ADAPTER_INDEX,
    Adapter,
    ControlledUNet,
    Text2Earth,
    add_lora,
    as_three_bands,
    lora_layers,
    new_controlnet,
)
from text2earth.training.card import credits_table
from text2earth.training.config import TrainConfig
from text2earth.training.controls import control_pictures
from text2earth.training.stages import DenoiserLoss, DenoiserStage, moved
from text2earth.zoo import find

__all__ = [
    "AdapterStage",
    "ControlNetLoss",
    "adapted",
    "adapter_parameters",
    "under_control",
    "write_adapter",
    "write_adapter_card",
]


class ControlNetLoss(nn.Module):
    """Loss of a denoiser under a ControlNet, which alone is trainable.

    Args:
        loss: Of the denoiser, a ``ControlledUNet``.
    """

    def __init__(self, loss: DenoiserLoss) -> None:
        super().__init__()
        self.loss = loss.requires_grad_(False)
        self.objective = loss.objective
        self.controlled.controlnet.requires_grad_(True)

    @property
    def controlled(self) -> Any:
        """The U-Net and its ControlNet."""
        return self.loss.unet

    def forward(self, control: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        """Return the loss of each image (B,), for control pictures in 0…1 (B, 3, H, W) and the denoiser's inputs."""
        self.controlled.control = control
        found: torch.Tensor = self.loss(**inputs)
        return found


@dataclass
class AdapterStage(DenoiserStage):
    """An adapter of a frozen denoiser.

    Args:
        target: What is painted: ``"image"``, or the name of a modality; one band enters as three.
        control: What a ControlNet reads; "" for a LoRA.
        factor: Of the control ``"downsample"``.
        bands: Bands of the target, as its images had them.
    """

    target: str = "image"
    control: str = ""
    factor: int = 1
    bands: int = 3

    def inputs(self, batch: Batch, *, device: torch.device) -> Mapping[str, torch.Tensor]:
        """Return the denoiser's inputs, and ``control`` for a ControlNet."""
        wanted = batch
        if self.target != "image":
            self.bands = int(batch.images[self.target].shape[1])
            wanted = replace(batch, pixels=as_three_bands(batch.images[self.target]))
        found = dict(super().inputs(wanted, device=device))
        if self.control:
            pictures = control_pictures(batch, control=self.control, factor=self.factor, seed=self.seed)
            found["control"] = moved(pictures, device)
        return found


def under_control(model: Text2Earth, *, config: TrainConfig) -> Text2Earth:
    """Return a model whose U-Net has a fresh ControlNet beside it, if one is to be trained."""
    if config.controlnet is None:
        return model
    controlnet = new_controlnet(model.denoiser, vae=model.vae, seed=config.run.seed)
    return replace(model, unet=ControlledUNet(model.denoiser, controlnet))


def adapted(stage: DenoiserStage, *, config: TrainConfig, model: Text2Earth) -> AdapterStage:
    """Return the stage that trains an adapter and leaves the model as it is.

    Args:
        stage: Of the denoiser, under control for a ControlNet.
        config: With ``[lora]`` or ``[controlnet]``.
        model: The networks alone.

    Raises:
        ConfigError: If the configuration names another prediction than the model's own.
        ModelError: If the model cannot be adapted so.
    """
    _require_own_prediction(config)
    module: Any = stage.module
    if config.lora is not None:
        lora = config.lora
        add_lora(
            model.denoiser,
            rank=lora.rank,
            alpha=lora.alpha or lora.rank,
            targets=lora.targets,
            seed=config.run.seed,
            text_encoder=model.text_encoder if lora.text_encoder else None,
        )
        for name, weight in module.named_parameters():
            weight.requires_grad_("lora_" in name)
    else:
        module = ControlNetLoss(module)
    given = {field.name: getattr(stage, field.name) for field in fields(stage)}
    control = config.controlnet
    return AdapterStage(
        **{**given, "module": module, "model": model},
        target=config.data.target,
        control="" if control is None else control.condition,
        factor=control.factor if control is not None and control.condition == "downsample" else 1,
    )


def _require_own_prediction(config: TrainConfig) -> None:
    name = find(config.model.start) / "scheduler" / "scheduler_config.json"
    said = json.loads(name.read_text(encoding="utf-8"))
    own = "flow" if "Flow" in said.get("_class_name", "") else said.get("prediction_type", "epsilon")
    if config.model.prediction != own:
        raise ConfigError(
            f"model.prediction is {config.model.prediction!r} and {config.model.start} predicts {own!r}; "
            f"an adapter goes on with that: set model.prediction = {own!r}"
        )


def write_adapter(stage: AdapterStage, *, config: TrainConfig, folder: Path) -> None:
    """Write the adapter's weights as ``diffusers`` reads them, and ``adapter.json`` last.

    A LoRA is ``pytorch_lora_weights.safetensors``, a ControlNet ``config.json`` with
    ``diffusion_pytorch_model.safetensors``.
    """
    kind: Literal["lora", "controlnet"] = "controlnet" if stage.control else "lora"
    adapter = Adapter(kind, config.model.start, stage.target, stage.bands, stage.control, stage.factor)
    with replaced_folder(folder / ".writing") as fresh:
        if kind == "controlnet":
            module: Any = stage.module
            module.controlled.controlnet.to(memory_format=torch.contiguous_format).save_pretrained(fresh)
        else:
            _save_lora(stage.model, fresh)
        adapter.write(fresh)
    (folder / ADAPTER_INDEX).unlink(missing_ok=True)
    names = sorted((name.name for name in (folder / ".writing").iterdir()), key=ADAPTER_INDEX.__eq__)
    for each in names:
        (folder / ".writing" / each).replace(folder / each)
    (folder / ".writing").rmdir()


def adapter_parameters(folder: Path) -> dict[str, int]:
    """Return the number of parameters of the adapter in a folder."""
    (name,) = folder.glob("*.safetensors")
    with safe_open(name, framework="pt") as file:
        shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118  (not a mapping)
    return {"lora" if "lora" in name.name else "controlnet": sum(math.prod(shape) for shape in shapes)}


def _save_lora(model: Text2Earth, folder: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from diffusers.training_utils import _collate_lora_metadata

    networks = {"unet": model.denoiser}
    if hasattr(model.text_encoder, "peft_config"):
        networks["text_encoder"] = model.text_encoder
    layers = {f"{name}_lora_layers": _contiguous(lora_layers(network)) for name, network in networks.items()}
    said: dict[str, Any] = _collate_lora_metadata(networks)  # with alpha, which the tensors do not tell
    # Peft keeps names in sets, whose order would make other bytes of the same LoRA.
    ordered = {
        key: {name: sorted(value) if isinstance(value, set) else value for name, value in facts.items()}
        for key, facts in said.items()
    }
    StableDiffusionPipeline.save_lora_weights(folder, **layers, **ordered)


def _contiguous(layers: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in layers.items()}


def write_adapter_card(folder: Path, *, config: TrainConfig, identity: DatasetIdentity, seen: int) -> None:
    """Write README.md: what the adapter does, what it belongs to, whose imagery it learnt from."""
    kind: Literal["lora", "controlnet"] = "lora" if config.controlnet is None else "controlnet"
    adapter = Adapter.read(folder, kind=kind)
    size = f" at 1/{adapter.factor} of the size" if adapter.factor > 1 else ""
    reads = f", from the control `{adapter.control}`{size}" if adapter.control else ""
    load = "load_lora" if kind == "lora" else "load_controlnet"
    text = f"""---
library_name: diffusers
tags: [text2earth, remote-sensing, {kind}, synthetic]
---

# {config.name}

A {"LoRA" if kind == "lora" else "ControlNet"} for Text2Earth, trained on `{adapter.base}` over {seen:,} images. It
paints `{adapter.target}` ({adapter.bands} band{"s" if adapter.bands > 1 else ""}){reads}.

**Every image that it makes is synthetic.**

    import text2earth
    from text2earth.sampling import {load}

    pipeline = {load}(text2earth.load("{adapter.base}"), "THIS_FOLDER")

## Training data

`{identity.name}`, fingerprint `{identity.fingerprint}`: {identity.rows:,} images.

{credits_table(identity)}
"""
    (folder / "README.md").write_text(text, encoding="utf-8")
