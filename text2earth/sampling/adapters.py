"""Adapters on pipelines: a LoRA changes a pipeline, a ControlNet makes another of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from text2earth.errors import ModelError
from text2earth.models import Adapter, require_lora_fits
from text2earth.sampling.control import Text2EarthControlNetPipeline

__all__ = ["load_controlnet", "load_lora"]

_LORA = "pytorch_lora_weights.safetensors"


def load_lora(pipeline: Any, folder: str | Path) -> Any:
    """Put a LoRA on a pipeline and return it; a LoRA of one band makes it paint that band.

    Diffusers' own ways serve from then on: ``pipeline.set_adapters``, ``fuse_lora``, ``unload_lora_weights``.

    Args:
        pipeline: Any pipeline of a model with a U-Net.
        folder: Of ``text2earth train`` with ``[lora]``.

    Raises:
        ModelError: If the folder holds no LoRA, or one of another model; names the first layers.
    """
    adapter = Adapter.read(folder, kind="lora")
    networks = {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}
    if pipeline.unet is None:
        raise ModelError("the pipeline has a transformer; a LoRA is loaded onto a model with a U-Net")
    require_lora_fits(load_file(Path(folder) / _LORA), networks, where=str(folder))
    pipeline.load_lora_weights(str(folder), weight_name=_LORA, use_safetensors=True, local_files_only=True)
    pipeline.band = adapter.band
    return pipeline


def load_controlnet(pipeline: Any, folder: str | Path) -> Text2EarthControlNetPipeline:
    """Return a pipeline under a ControlNet, of the same networks as another.

    Args:
        pipeline: ``Text2EarthPipeline``.
        folder: Of ``text2earth train`` with ``[controlnet]``.

    Raises:
        ModelError: If the folder holds no ControlNet, or one of another model; names what differs.
    """
    from diffusers import ControlNetModel

    adapter = Adapter.read(folder, kind="controlnet")
    try:
        kind: Any = ControlNetModel
        controlnet = kind.from_pretrained(str(folder), use_safetensors=True, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} cannot be loaded as a ControlNet: {error}") from error
    if pipeline.unet is None:
        raise ModelError("the pipeline has a transformer; a ControlNet belongs to a model with a U-Net")
    controlnet.to(pipeline.unet.device, pipeline.unet.dtype)
    made: Text2EarthControlNetPipeline = Text2EarthControlNetPipeline.from_pipe(pipeline, controlnet=controlnet)
    made.band, made._factor = adapter.band, adapter.factor
    return made
