"""Reads a model folder: three networks, a tokenizer and a scheduler, whatever pipeline its index names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from text2earth.checkpoints import MODEL_INDEX, require_model_folder
from text2earth.errors import ModelError, RequestError
from text2earth.layout.networks import (
    CASCADE,
    DENOISERS,
    NETWORKS,
    OPTIONAL,
    check_weights,
    empty_network,
    expected_shapes,
    filled,
)
from text2earth.layout.stored import read_config, read_json, read_tensors, stored_weights

__all__ = ["ModelParts", "model_networks", "read_model", "read_scheduler", "require_device"]

_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
_FOR_LATENTS = {"clip_sample": False, "steps_offset": 1}


@dataclass(frozen=True, slots=True)
class ModelParts:
    """Components of a pipeline, as classes of ``diffusers``, ``transformers`` and this package.

    Args:
        networks: By name: ``vae``, ``text_encoder``, ``unet`` (or ``transformer``), ``condition_embedder`` if any;
            of a cascade ``text_encoder``, ``unet`` and ``low_encoder``.
        tokenizer: ``CLIPTokenizer``.
        scheduler: A scheduler of ``diffusers``.
        settings: What the index says beside components, such as ``trained_levels``.
    """

    networks: Mapping[str, Any]
    tokenizer: Any
    scheduler: Any
    settings: Mapping[str, Any]

    @property
    def denoiser(self) -> Any:
        """The U-Net, or what takes its place."""
        return next(self.networks[name] for name in DENOISERS if name in self.networks)

    @property
    def is_cascade(self) -> bool:
        """Whether it is a cascade, which paints pixels."""
        return "low_encoder" in self.networks

    def components(self) -> dict[str, Any]:
        """Return them by the names that pipelines of ``diffusers`` use."""
        return {**self.networks, "tokenizer": self.tokenizer, "scheduler": self.scheduler}


def read_model(
    folder: Path, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> ModelParts:
    """Read a model folder, a weight at a time: at most one copy of the model is in memory.

    Args:
        folder: In the layout of ``diffusers``.
        device: Where the networks go; CUDA where there is a device, else the CPU.
        dtype: Of the weights; if left out float32 on the CPU, elsewhere what the denoiser is stored in.

    Raises:
        ModelError: If a part is missing, damaged, pickled, or of another shape than its config says.
        RequestError: If there is no such device or precision.
    """
    require_model_folder(folder)
    where = require_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if dtype is not None and dtype not in _DTYPES.values():
        raise RequestError(f"dtype is {dtype!r}; it is one of {', '.join(map(str, _DTYPES.values()))}")
    index = read_json(folder / MODEL_INDEX)
    networks: dict[str, Any] = {}
    stored = {}
    for network in model_networks(folder):  # all are checked before any is read
        networks[network], stored[network] = _checked(folder, network)
    denoiser = next(stored[name] for name in DENOISERS if name in stored)
    wanted = dtype or (torch.float32 if where.type == "cpu" else _DTYPES[denoiser])
    for network, module in networks.items():
        tensors = read_tensors(folder / network, network=network, device=str(where))
        filled(module, tensors, dtype=wanted).to(where)
    return ModelParts(
        networks,
        _tokenizer(folder / "tokenizer"),
        read_scheduler(folder),
        {name: value for name, value in index.items() if not name.startswith("_") and not _is_component(value)},
    )


def require_device(device: str | torch.device) -> torch.device:
    """Return a device.

    Raises:
        RequestError: If this machine, or this torch, has none of that name.
    """
    try:
        found = torch.device(device)
        torch.ones(1, device=found).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch without CUDA asserts
        there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        raise RequestError(f"device is {str(device)!r}; here there is {', '.join(there)}") from error
    return found


def model_networks(folder: Path) -> list[str]:
    """Return the folders with weights that a model has; what is none of a Text2Earth model is left alone.

    Raises:
        ModelError: If its index cannot be read, or names two denoisers.
    """
    index = read_json(folder / MODEL_INDEX)
    named = {name for name, value in index.items() if _is_component(value) and value[-1] is not None}
    if "low_encoder" in named:
        return [*CASCADE]
    denoisers = [name for name in DENOISERS if name in named or (not named & set(DENOISERS) and name == "unet")]
    if len(denoisers) != 1:
        raise ModelError(f"{folder} has the denoisers {', '.join(denoisers)}; a Text2Earth model has one of them")
    return [*(name for name in NETWORKS if name != "unet"), *denoisers, *(name for name in OPTIONAL if name in named)]


def _is_component(value: Any) -> bool:
    """Tell whether an entry of the index is a component: a pair of library and class, or of nothing."""
    return isinstance(value, list) and len(value) == 2 and all(each is None or isinstance(each, str) for each in value)


def read_scheduler(folder: Path) -> Any:
    """Return the scheduler of a model folder.

    Published folders name one class in ``model_index.json`` and hold the settings of another; as in ``diffusers`` the
    index decides about the class, and settings that it does not know are left out. Those that it misses must not fall
    to defaults for pixels: as the stock pipelines do, samples are never clipped and steps are offset by one.

    Raises:
        ModelError: If no scheduler of ``diffusers`` is named.
    """
    import diffusers

    index = read_json(folder / MODEL_INDEX)
    settings = read_json(folder / "scheduler" / "scheduler_config.json")
    named = index.get("scheduler")
    name = named[-1] if isinstance(named, list) and named and named[-1] else settings.get("_class_name")
    kind = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise ModelError(
            f"{folder} names the scheduler {name!r}, and diffusers {diffusers.__version__} has none of that name; "
            "name one in model_index.json, such as EulerDiscreteScheduler"
        )
    known: Any = kind
    plain = {key: value for key, value in settings.items() if not key.startswith("_")}
    try:
        found = known.from_config(plain)
        if "low_encoder" in index:  # a cascade paints pixels, and says itself what holds for them
            return found
        mended = {name: value for name, value in _FOR_LATENTS.items() if name in found.config}
        return known.from_config({**plain, **mended})
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / 'scheduler'} has settings that {name} does not take: {error}") from None


def _checked(folder: Path, network: str) -> tuple[Any, str]:
    """Return an empty network whose weights are known to be there, and the dtype that most of them are stored in."""
    if not (folder / network).is_dir():
        raise ModelError(
            f"{folder} has no folder {network!r}; a Text2Earth model has {', '.join(NETWORKS)}, a cascade "
            f"{', '.join(CASCADE)}"
        )
    module = empty_network(network, read_config(folder / network))
    stored = stored_weights(folder / network, network=network)
    check_weights(
        {name: shape for name, (shape, _) in stored.items()},
        expected_shapes(module),
        where=str(folder / network),
        config="its config.json",
    )
    kinds = [kind for _, kind in stored.values()]
    most = max(set(kinds), key=kinds.count)
    if most not in _DTYPES:
        raise ModelError(f"{folder / network} stores its weights as {most}; known are {', '.join(_DTYPES)}")
    return module, most


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    try:
        found: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{folder} holds no CLIP tokenizer that can be opened: {error}") from error
    if len(found) < 256:  # transformers makes one without words of a folder that lacks its files
        raise ModelError(f"{folder} holds no CLIP tokenizer that can be opened: it has {len(found)} words")
    return found
