"""A model of another average, made after training."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel

from text2earth.checkpoints import replaced_folder, require_model_folder, require_same_shapes
from text2earth.errors import RequestError
from text2earth.models import Text2EarthTransformer2DModel
from text2earth.training.averages import rebuilt

__all__ = ["averaged_model"]

_TRAINED = {
    "unet": UNet2DConditionModel,
    "transformer": Text2EarthTransformer2DModel,
    "text_encoder": CLIPTextModel,
}
"""Networks that a denoiser's snapshots hold, by the names of their folders."""


def averaged_model(folder: Path, *, output: Path, length: float, step: int | None = None) -> None:
    """Write a model folder whose trained weights are the average of a given length.

    Args:
        folder: Model folder of a training that kept snapshots.
        output: Folder to write; what it holds is replaced.
        length: Relative length of the average, 0…0.2887.
        step: Step that it ends at; the last if left out.

    Raises:
        ModelError: If the folder holds no whole model, or no snapshots of two lengths.
        RequestError: If there is no average of that length.
    """
    require_model_folder(folder)
    try:
        weights = rebuilt(folder / "training" / "snapshots" / "denoiser", length=length, step=step)
    except ValueError as error:
        raise RequestError(str(error)) from error
    with replaced_folder(output) as fresh:
        shutil.copytree(folder, fresh, dirs_exist_ok=True, ignore=shutil.ignore_patterns("training"))
        for name, kind in _TRAINED.items():
            part = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
            if part:
                _fill(folder / name, fresh / name, kind, part)


def _fill(source: Path, target: Path, kind: type, weights: dict[str, torch.Tensor]) -> None:
    network = kind.from_pretrained(source, use_safetensors=True)  # type: ignore[attr-defined]
    require_same_shapes(weights, dict(network.named_parameters()), where=str(source.parent))
    network.load_state_dict(weights, strict=False)
    network.save_pretrained(target)
