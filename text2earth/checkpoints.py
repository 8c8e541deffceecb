"""Models and training states on disk: safetensors and JSON, never anything that can run.

A model folder is in the layout of ``diffusers``: ``model_index.json`` beside one folder for each component. It is
put in place a component at a time by renaming, ``model_index.json`` last: that file is what "a whole model" means.
A training state is a folder ``step-00001234`` that appears by one rename; the newest whole one counts.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from text2earth.diffusion import CASCADE_SCHEDULE, SCHEDULE, Prediction
from text2earth.errors import ModelError
from text2earth.models import Cascade, Text2Earth

__all__ = [
    "COMPONENTS",
    "MODEL_INDEX",
    "TrainingState",
    "latest_state",
    "load_state",
    "new_cascade_scheduler",
    "new_scheduler",
    "replaced_folder",
    "require_model_folder",
    "require_same_shapes",
    "safetensors_written",
    "save_cascade",
    "save_model",
    "save_state",
]

MODEL_INDEX = "model_index.json"
_TENSORS = ("weights", "ema", "optimizer", "powers")
COMPONENTS: Mapping[str, tuple[str, str]] = {
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "transformer": ("text2earth.models.dit", "Text2EarthTransformer2DModel"),
    "condition_embedder": ("text2earth.models.condition_embedder", "ConditionEmbedder"),
    "low_encoder": ("text2earth.models.cascade", "LowResolutionEncoder"),
    "scheduler": ("diffusers", "EulerDiscreteScheduler"),
}
"""Library and class of each component, as an index names them."""


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Everything that a run needs to go on as if it had never stopped.

    Args:
        weights: Trained parameters by name.
        ema: Their moving averages by the same names.
        optimizer: ``state_dict()`` of the optimiser.
        progress: Counters and settings, plain JSON.
        powers: Further averages, as ``LENGTH/NAME``.
    """

    weights: Mapping[str, torch.Tensor]
    ema: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any]
    progress: Mapping[str, Any]
    powers: Mapping[str, torch.Tensor] = field(default_factory=dict)


def new_scheduler(prediction: Prediction, *, shift: float = 1.0) -> Any:
    """Return the sampler that belongs to an objective: Euler, on the training schedule or on a flow's straight path.

    Args:
        prediction: What the network predicts.
        shift: Of the times of a flow, as in training.
    """
    from diffusers import EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler

    if prediction == "flow":
        return FlowMatchEulerDiscreteScheduler(  # type: ignore[no-untyped-call]
            num_train_timesteps=SCHEDULE.steps, shift=shift
        )
    return EulerDiscreteScheduler(  # type: ignore[no-untyped-call]
        num_train_timesteps=SCHEDULE.steps,
        beta_start=SCHEDULE.beta_start,
        beta_end=SCHEDULE.beta_end,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        # Last timesteps first: "leading" spacing never visits t = 999 and starts from too little noise.
        timestep_spacing="trailing",
        steps_offset=1,  # for schedulers swapped in with "leading" spacing
    )


def new_cascade_scheduler(prediction: Prediction) -> Any:
    """Return the sampler of a cascade: DDIM on MetaEarth's schedule, of pixels, which are clipped to −1…1.

    Args:
        prediction: ``"epsilon"`` or ``"v_prediction"``.
    """
    from diffusers import DDIMScheduler

    return DDIMScheduler(  # type: ignore[no-untyped-call]
        num_train_timesteps=CASCADE_SCHEDULE.steps,
        beta_start=CASCADE_SCHEDULE.beta_start,
        beta_end=CASCADE_SCHEDULE.beta_end,
        beta_schedule=CASCADE_SCHEDULE.kind,
        prediction_type=prediction,
        timestep_spacing="trailing",
        clip_sample=True,
    )


def save_model(
    model: Text2Earth,
    folder: Path,
    *,
    prediction: Prediction,
    levels: tuple[int, ...],
    card: str,
    shift: float = 1.0,
    text_windows: int = 1,
) -> None:
    """Write a model folder that ``Text2EarthPipeline.from_pretrained`` reads, replacing one that is there.

    Args:
        model: Its networks, in float32.
        folder: Where; other entries of the folder are left alone.
        prediction: What the denoiser predicts.
        levels: Levels that it was trained on.
        card: Text of README.md.
        shift: Of the times of a flow.
        text_windows: Windows that a prompt may fill.
    """
    kind = "Text2EarthInpaintPipeline" if model.is_inpainting else "Text2EarthPipeline"
    settings = {"trained_levels": list(levels), "text_windows": text_windows}
    _put(model, folder, scheduler=new_scheduler(prediction, shift=shift), index=(kind, settings), card=card)


def save_cascade(
    model: Cascade, folder: Path, *, prediction: Prediction, settings: Mapping[str, Any], card: str
) -> None:
    """Write a model folder that ``MetaEarthPipeline.from_pretrained`` reads, replacing one that is there.

    Args:
        model: Its networks.
        folder: Where; other entries of the folder are left alone.
        prediction: What the denoiser predicts.
        settings: Of the pipeline: ``base_level``, ``stage_levels``, ``steps``, ``guidance`` and the others.
        card: Text of README.md.
    """
    own = {**settings, "factor": model.factor, "window": model.image_size}
    _put(model, folder, scheduler=new_cascade_scheduler(prediction), index=("MetaEarthPipeline", own), card=card)


def _put(
    model: Text2Earth | Cascade, folder: Path, *, scheduler: Any, index: tuple[str, Mapping[str, Any]], card: str
) -> None:
    """Write a model folder whose index has a pipeline's class and settings."""
    import diffusers

    parts = (*model.networks(), "tokenizer", "scheduler")
    components = {name: where for name, where in COMPONENTS.items() if name in parts}
    components["scheduler"] = ("diffusers", type(scheduler).__name__)
    written: dict[str, Any] = {
        "_class_name": index[0],
        "_diffusers_version": diffusers.__version__,
        **{name: list(where) for name, where in components.items()},
        **index[1],
    }
    folder.mkdir(parents=True, exist_ok=True)
    staging = folder / ".writing"
    with replaced_folder(staging) as fresh:
        for name, network in model.networks().items():
            network.to(memory_format=torch.contiguous_format).save_pretrained(fresh / name)
        model.tokenizer.save_pretrained(fresh / "tokenizer")
        scheduler.save_pretrained(fresh / "scheduler")
        (fresh / "README.md").write_text(card, encoding="utf-8")
        (fresh / MODEL_INDEX).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    (folder / MODEL_INDEX).unlink(missing_ok=True)
    for name in COMPONENTS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (*components, "README.md", MODEL_INDEX):
        (staging / name).replace(folder / name)
    staging.rmdir()


def require_model_folder(folder: Path) -> Path:
    """Return the folder if it holds a whole model.

    Raises:
        ModelError: If it does not; says whether it is the folder of a training that has not ended.
    """
    if (folder / MODEL_INDEX).is_file():
        return folder
    if (folder / "training").is_dir():
        raise ModelError(
            f"{folder} holds a training that has not ended (no {MODEL_INDEX} yet); "
            "run the same 'text2earth train' command again to go on"
        )
    raise ModelError(f"{folder} is not a model: it has no {MODEL_INDEX}; give a folder of 'text2earth train'")


def save_state(state: TrainingState, folder: Path, *, step: int, keep: int = 1) -> None:
    """Write ``folder/step-…``; once it is whole, all but the newest ``keep`` states go.

    A state of that step that is there already is left as it is: the same run would write the same again.
    """
    name = folder / f"step-{step:08d}"
    if not name.is_dir():
        tensors, plain = _flattened(state.optimizer)
        with replaced_folder(name) as fresh:
            parts = (state.weights, state.ema, tensors, state.powers)
            for part, found in zip(_TENSORS, parts, strict=True):
                save_file({key: value.contiguous() for key, value in found.items()}, fresh / f"{part}.safetensors")
            progress = {**state.progress, "optimizer": plain}
            (fresh / "progress.json").write_text(json.dumps(progress, indent=2), encoding="utf-8")
            for written in fresh.iterdir():
                _to_disk(written)
    states = sorted(entry for entry in folder.glob("step-*") if entry.suffix == "")
    left_by_kills = folder.glob("step-*.tmp")
    for entry in (*states[:-keep], *left_by_kills):
        shutil.rmtree(entry, ignore_errors=True)


def latest_state(folder: Path) -> Path | None:
    """Return the newest whole state under a folder, or None."""
    found = sorted(entry for entry in folder.glob("step-*") if entry.suffix == "")
    return found[-1] if found else None


def load_state(name: Path) -> TrainingState:
    """Read a state that ``save_state`` wrote, onto the CPU."""
    weights, ema, tensors, powers = (load_file(name / f"{part}.safetensors") for part in _TENSORS)
    progress = json.loads((name / "progress.json").read_text(encoding="utf-8"))
    return TrainingState(weights, ema, _unflattened(tensors, progress.pop("optimizer")), progress, powers)


def require_same_shapes(
    found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], *, where: str, most: int = 5
) -> None:
    """Refuse weights that are not those of a model.

    Args:
        found: Tensors of a checkpoint by name.
        wanted: The model's, by the same names.
        where: What the checkpoint is called in the message.
        most: Keys named in the message.

    Raises:
        ModelError: If names or shapes differ; names the first keys that do, with both shapes.
    """
    differ = []
    for key in [*wanted, *(key for key in found if key not in wanted)]:
        shapes = [str(tuple(part[key].shape)) if key in part else "missing" for part in (found, wanted)]
        if shapes[0] != shapes[1]:
            differ.append(f"{key}: {shapes[0]} in the checkpoint, {shapes[1]} in the model")
    if differ:
        more = f"; and {len(differ) - most} more" if len(differ) > most else ""
        raise ModelError(
            f"{where} is a checkpoint of another shape: {'; '.join(differ[:most])}{more}. Give the model's own "
            "checkpoint, or the preset that the checkpoint was trained with"
        )


def _to_disk(name: Path) -> None:
    """Wait until a file is on the disk, so that not even a power cut leaves a state that is named but empty."""
    with name.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write to that takes the name ``folder`` when the block ends without an exception."""
    fresh = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        with safetensors_written():
            yield fresh
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def safetensors_written() -> Iterator[None]:
    """Tell a disk that is full or gone as such: safetensors has an error of its own for it."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"weights cannot be written: {error}") from error


def _flattened(optimizer: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Split an optimiser's state dict into tensors by ``"parameter.name"`` and its plain groups."""
    tensors = {
        f"{parameter}.{name}": value
        for parameter, values in optimizer["state"].items()
        for name, value in values.items()
    }
    return tensors, list(optimizer["param_groups"])


def _unflattened(tensors: Mapping[str, torch.Tensor], groups: list[dict[str, Any]]) -> dict[str, Any]:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = value
    return {"state": state, "param_groups": groups}
