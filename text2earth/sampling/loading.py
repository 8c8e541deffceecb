"""Models by name, as pipelines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from text2earth.errors import ModelError
from text2earth.sampling.inpainting import Text2EarthInpaintPipeline
from text2earth.sampling.text_to_image import Text2EarthPipeline
from text2earth.zoo import find

__all__ = ["load"]


def load(name: str | Path, *, device: str | torch.device | None = None) -> Any:
    """Load a model as a pipeline: ``Text2EarthInpaintPipeline`` if it takes a mask, else ``Text2EarthPipeline``.

    Args:
        name: Name of a zoo model, or a folder in the layout of ``diffusers``, whatever pipeline class its
            ``model_index.json`` names.
        device: Where it runs; CUDA where there is a device, else the CPU.

    Raises:
        ModelError: If there is no such model, or it is not a Text2Earth model.
    """
    folder = find(name)
    denoiser = "transformer" if (folder / "transformer").is_dir() else "unet"
    try:
        settings = [json.loads((folder / part / "config.json").read_text("utf-8")) for part in (denoiser, "vae")]
        taken, latents = int(settings[0]["in_channels"]), int(settings[1].get("latent_channels", 4))
        kind: Any = Text2EarthPipeline if taken == latents else Text2EarthInpaintPipeline
        pipeline = kind.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{folder} cannot be loaded as a Text2Earth model: {error}") from error
    return pipeline.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
