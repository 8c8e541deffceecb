"""From a name to something that paints, or scores."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

from text2earth.checkpoints import MODEL_INDEX
from text2earth.layout import ModelParts, read_model
from text2earth.models.image_text import ImageTextModel
from text2earth.sampling.cascade import MetaEarthPipeline
from text2earth.sampling.inpainting import Text2EarthInpaintPipeline
from text2earth.sampling.text_to_image import Text2EarthPipeline
from text2earth.zoo import find

__all__ = ["load"]


def load(name: str | Path, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Any:
    """Load a model.

    Weights are read from safetensors, a tensor at a time, and no code of the model's folder is run.

    Args:
        name: Name of a zoo model, or a folder in the layout of ``diffusers``, whatever pipeline class its
            ``model_index.json`` names.
        device: Where it runs; CUDA where there is a device, else the CPU.
        dtype: Of the weights; if left out float32 on the CPU, elsewhere what the weights are stored in.

    Returns:
        A ``Text2EarthPipeline``; a ``Text2EarthInpaintPipeline`` if the model takes a mask; a ``MetaEarthPipeline`` of
        a cascade; for Git-RSCLIP an ``ImageTextModel``.

    Raises:
        ModelError: If there is no such model, it is not a Text2Earth model, or its weights are of another shape.
        HubError: If it is on the hub and the hub cannot be reached.
    """
    folder = find(name)
    if not (folder / MODEL_INDEX).is_file():
        return ImageTextModel.read(folder, device=device, dtype=dtype)
    return _pipeline_of(read_model(folder, device=device, dtype=dtype))


def _pipeline_of(parts: ModelParts) -> Any:
    """Return the pipeline that fits the components of a model."""
    if parts.is_cascade:
        return _made(MetaEarthPipeline, parts)
    taken, latents = int(parts.denoiser.config.in_channels), int(parts.networks["vae"].config.latent_channels)
    kind: Any = Text2EarthInpaintPipeline if taken > latents else Text2EarthPipeline
    return _made(kind, parts)


def _made(kind: Any, parts: ModelParts) -> Any:
    known = inspect.signature(kind.__init__).parameters
    settings = {name: value for name, value in parts.settings.items() if name in known}
    return kind(**{"unet": None, **parts.components()}, **settings)  # a transformer takes the U-Net's place
