"""Turns a model from one layout into another, without building its networks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file

from text2earth.checkpoints import COMPONENTS, MODEL_INDEX, replaced_folder, require_model_folder
from text2earth.converting.single_file import ldm_weights, networks_of, read_notes, write_single_file
from text2earth.errors import ModelError
from text2earth.layout import (
    NETWORKS,
    check_weights,
    empty_network,
    expected_shapes,
    model_networks,
    read_config,
    read_tensors,
)
from text2earth.layout.networks import DENOISERS
from text2earth.layout.stored import read_json, stored_weights

__all__ = ["Converted", "Layout", "convert"]

Layout = Literal["text2earth", "stable-diffusion"]
"""Of a folder: ours, or one that stock pipelines of ``diffusers`` open (as the published Text2Earth's does)."""

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
_WEIGHTS = {"text_encoder": "model.safetensors"}
_PLAIN_WEIGHTS = "diffusion_pytorch_model.safetensors"
_SETTINGS = ("trained_levels", "text_windows")
_NOTE = "text2earth.json"
"""File of a stock folder with what its index has no place for; stock pipelines leave it alone."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written.

    Args:
        path: Folder or file.
        layout: ``"text2earth"``, ``"stable-diffusion"`` or ``"single file"``.
        parameters: Number of weights of each network.
        dtypes: Dtype of each network's weights.
    """

    path: Path
    layout: str
    parameters: Mapping[str, int]
    dtypes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Description:
    """Everything of a model but its weights; ``settings`` are what our index says beside components."""

    configs: Mapping[str, dict[str, Any]]
    scheduler: dict[str, Any]
    tokenizer: Mapping[str, str]
    settings: Mapping[str, Any]
    card: str

    @property
    def scheduler_class(self) -> str:
        return str(self.scheduler.get("_class_name", "EulerDiscreteScheduler"))

    def notes(self) -> dict[str, Any]:
        return {
            **{name: self.configs[name] for name in NETWORKS},
            "scheduler": self.scheduler,
            "tokenizer": dict(self.tokenizer),
            **self.settings,
            "card": self.card,
        }


def convert(
    source: Path,
    target: Path,
    *,
    layout: Layout = "text2earth",
    dtype: torch.dtype | None = None,
    config: Path | None = None,
) -> Converted:
    """Write a model in another layout.

    Args:
        source: A model folder of any origin, or a single ``.safetensors`` file in the layout of Stable Diffusion 2.
        target: A folder, or a ``.safetensors`` file; it does not exist yet.
        layout: Of a folder that is written.
        dtype: Of the weights that are written; as they are stored if left out.
        config: Folder that says configurations, scheduler and tokenizer for a single file that does not carry them.

    Raises:
        ModelError: If the source is no whole model, the target exists, or the layout cannot hold the model.
    """
    if target.exists():
        raise ModelError(f"{target} exists already; give another name, or remove it first")
    description, networks = _opened(source, config)
    single = target.suffix == ".safetensors"
    if single or layout != "text2earth":
        _require_stock(description, source)
    cast = ((name, _cast(tensors, dtype, network=name)) for name, tensors in networks)
    sizes = _write_file(description, cast, target) if single else _write_folder(description, cast, target, layout)
    parameters = {name: count for name, (count, _) in sizes.items()}
    dtypes = {name: kind for name, (_, kind) in sizes.items()}
    return Converted(target, "single file" if single else layout, parameters, dtypes)


_Networks = Iterable[tuple[str, Mapping[str, torch.Tensor]]]
_Sizes = dict[str, tuple[int, str]]


def _opened(source: Path, config: Path | None) -> tuple[_Description, _Networks]:
    if source.is_file():
        if source.suffix != ".safetensors":
            raise ModelError(
                f"{source} is no .safetensors file; pickled checkpoints are not opened, for they can run code"
            )
        notes = read_notes(source)
        if config is not None:
            description = _of_folder(config)
        elif notes is not None:
            description = _of_notes(notes)
        else:
            raise ModelError(
                f"{source} does not say the configuration of its networks; add --config with a model folder of the "
                "same shape (its weights are not read)"
            )
        return description, networks_of(source, configs=description.configs)
    if not source.exists():
        raise ModelError(f"there is no {source}; give a model folder or a .safetensors file")
    require_model_folder(source)
    return _of_folder(source), _networks_in(source)


def _require_stock(description: _Description, source: Path) -> None:
    """Refuse what stock pipelines and single files have no place for."""
    others = [name for name in description.configs if name not in NETWORKS]
    if others:
        raise ModelError(
            f"{source} has the networks {', '.join(others)}, which no layout but ours knows; models of text, level and "
            "a U-Net alone become a stock folder or a single file. Give a folder and --layout text2earth"
        )


def _networks_in(folder: Path) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    for network in model_networks(folder):
        stored = stored_weights(folder / network, network=network)
        shapes = expected_shapes(empty_network(network, read_config(folder / network)))
        found = {name: shape for name, (shape, _) in stored.items()}
        check_weights(found, shapes, where=str(folder / network), config="its config.json")
        tensors = read_tensors(folder / network, network=network)
        yield network, {name: tensor.reshape(shapes[name]) for name, tensor in tensors if name in shapes}


def _of_folder(folder: Path) -> _Description:
    index = read_json(folder / MODEL_INDEX)
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    named = index.get("scheduler")
    if isinstance(named, list) and named and named[-1]:
        scheduler["_class_name"] = named[-1]
    networks = model_networks(folder)
    if "low_encoder" in networks:
        raise ModelError(f"{folder} is a cascade, which has one layout alone; copy the folder as it is")
    noted = read_json(folder / _NOTE) if (folder / _NOTE).is_file() else index
    card = folder / "README.md"
    return _Description(
        {network: read_config(folder / network) for network in networks},
        scheduler,
        {
            name: (folder / "tokenizer" / name).read_text(encoding="utf-8")
            for name in _TOKENIZER_FILES
            if (folder / "tokenizer" / name).is_file()
        },
        {name: noted[name] for name in _SETTINGS if name in noted},
        card.read_text(encoding="utf-8") if card.is_file() else "",
    )


def _of_notes(notes: Mapping[str, Any]) -> _Description:
    return _Description(
        {network: dict(notes[network]) for network in NETWORKS},
        dict(notes["scheduler"]),
        dict(notes["tokenizer"]),
        {name: notes[name] for name in _SETTINGS if name in notes},
        str(notes.get("card", "")),
    )


def _cast(
    tensors: Mapping[str, torch.Tensor], dtype: torch.dtype | None, *, network: str
) -> Mapping[str, torch.Tensor]:
    """Return the weights in a dtype that holds every one of them."""
    if dtype is None:
        return tensors
    found = {}
    for name, tensor in tensors.items():
        found[name] = tensor.to(dtype)
        if not torch.isfinite(found[name]).all() and torch.isfinite(tensor).all():
            raise ModelError(
                f"the weight {name} of the {network} reaches {float(tensor.abs().max()):g}, beyond the range of "
                f"{str(dtype).removeprefix('torch.')}; choose bfloat16 or float32"
            )
    return found


def _size(tensors: Mapping[str, torch.Tensor]) -> tuple[int, str]:
    kinds = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})
    return sum(tensor.numel() for tensor in tensors.values()), "+".join(kinds)


def _write_file(description: _Description, networks: _Networks, target: Path) -> _Sizes:
    weights: dict[str, torch.Tensor] = {}
    sizes = {}
    for network, tensors in networks:
        sizes[network] = _size(tensors)
        weights |= ldm_weights(network, tensors.items(), config=description.configs[network])
    write_single_file(weights, target, notes=description.notes())
    return sizes


def _write_folder(description: _Description, networks: _Networks, target: Path, layout: Layout) -> _Sizes:
    target.parent.mkdir(parents=True, exist_ok=True)
    stock = layout == "stable-diffusion"
    sizes = {}
    with replaced_folder(target) as fresh:
        for network, tensors in networks:
            sizes[network] = _size(tensors)
            # Older versions of transformers know the text encoder's weights with a prefix; newer ones read both.
            prefix = "text_model." if stock and network == "text_encoder" else ""
            named = {prefix + name: tensor.contiguous() for name, tensor in tensors.items()}
            (fresh / network).mkdir()
            save_file(named, fresh / network / _WEIGHTS.get(network, _PLAIN_WEIGHTS), metadata={"format": "pt"})
            _write_json(description.configs[network], fresh / network / "config.json")
        (fresh / "scheduler").mkdir()
        _write_json(description.scheduler, fresh / "scheduler" / "scheduler_config.json")
        (fresh / "tokenizer").mkdir()
        for name, text in _tokenizer_files(description.tokenizer, stock=stock).items():
            (fresh / "tokenizer" / name).write_text(text, encoding="utf-8")
        if description.card:
            (fresh / "README.md").write_text(description.card, encoding="utf-8")
        if stock and description.settings:
            _write_json(description.settings, fresh / _NOTE)
        _write_json(_index(description, stock=stock), fresh / MODEL_INDEX)
    return sizes


def _tokenizer_files(files: Mapping[str, str], *, stock: bool) -> dict[str, str]:
    """Return the tokenizer's files; for stock pipelines also the two that older versions of transformers read."""
    if not stock or "tokenizer.json" not in files or "vocab.json" in files:
        return dict(files)
    model = json.loads(files["tokenizer.json"])["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return {
        **files,
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n",
    }


def _index(description: _Description, *, stock: bool) -> dict[str, Any]:
    import diffusers

    denoiser = next(description.configs[name] for name in DENOISERS if name in description.configs)
    inpaints = int(denoiser.get("in_channels", 4)) > int(description.configs["vae"].get("latent_channels", 4))
    parts = [*description.configs, "tokenizer"]
    ours = "Text2EarthInpaintPipeline" if inpaints else "Text2EarthPipeline"
    theirs = "StableDiffusionInpaintPipeline" if inpaints else "StableDiffusionPipeline"
    none = {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    return {
        "_class_name": theirs if stock else ours,
        "_diffusers_version": diffusers.__version__,
        **{name: list(COMPONENTS[name]) for name in parts},
        "scheduler": ["diffusers", description.scheduler_class],
        **(none if stock else description.settings),
    }


def _write_json(value: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
