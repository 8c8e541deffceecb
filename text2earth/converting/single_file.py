"""All weights of a model in one safetensors file, in the names of Stable Diffusion 2 (see ``ldm_names``).

A file that is written here carries the configurations, the scheduler and the tokenizer in its header, so that it
turns back into a folder alone; other programs ignore them. A file from elsewhere needs a folder that says them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from text2earth.checkpoints import safetensors_written
from text2earth.converting.ldm_names import PREFIXES, ldm_name
from text2earth.errors import ModelError
from text2earth.layout import NETWORKS, check_weights, empty_network, expected_shapes

__all__ = ["ldm_weights", "networks_of", "read_notes", "write_single_file"]

_NOTES = "text2earth"
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
_SHOWN = 3


def ldm_weights(
    network: str, tensors: Iterable[tuple[str, torch.Tensor]], *, config: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """Return the weights of a network by their names in a single file.

    Args:
        network: ``"unet"``, ``"vae"`` or ``"text_encoder"``.
        tensors: Its weights by name.
        config: Its ``config.json``.

    Raises:
        ModelError: If the layout has no place for a weight.
    """
    found: dict[str, torch.Tensor] = {}
    joined: dict[str, dict[str, torch.Tensor]] = {}
    homeless = []
    for name, tensor in tensors:
        ldm = ldm_name(network, name, config=config)
        if ldm is None:
            homeless.append(name)
        elif ".in_proj_" in ldm:
            joined.setdefault(ldm, {})[name.split(".")[-2]] = tensor
        else:
            found[ldm] = tensor[:, :, None, None] if ".attn_1." in ldm and tensor.ndim == 2 else tensor
    if homeless:
        raise ModelError(
            f"a single file in the layout of Stable Diffusion 2 has no place for {len(homeless)} weights of the "
            f"{network}, such as {homeless[0]}; keep the model as a folder"
        )
    found |= {ldm: torch.cat([parts[each] for each in _PROJECTIONS]) for ldm, parts in joined.items()}
    return found


def write_single_file(weights: Mapping[str, torch.Tensor], path: Path, *, notes: Mapping[str, Any]) -> None:
    """Write a single file, atomically.

    Args:
        weights: Of all networks, from ``ldm_weights``.
        path: Where.
        notes: Plain JSON for the header: configurations, scheduler, tokenizer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.part")
    try:
        whole = {name: tensor.contiguous() for name, tensor in weights.items()}
        with safetensors_written():
            save_file(whole, fresh, metadata={"format": "pt", _NOTES: json.dumps(notes)})
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def read_notes(path: Path) -> dict[str, Any] | None:
    """Return what ``write_single_file`` noted in a header; None for a file from elsewhere.

    Raises:
        ModelError: If it is no whole safetensors file.
    """
    with _opened(path) as file:
        noted = (file.metadata() or {}).get(_NOTES)
    return None if noted is None else dict(json.loads(noted))


def networks_of(
    path: Path, *, configs: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Yield each network's name and its weights as ``diffusers`` and ``transformers`` name them.

    Args:
        path: A single file.
        configs: ``config.json`` of each network.

    Raises:
        ModelError: If weights are missing, or of another shape; names the first.
    """
    with _opened(path) as file:
        stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        for network in NETWORKS:
            config = configs[network]
            shapes = expected_shapes(empty_network(network, config))
            names = {name: ldm_name(network, name, config=config) or "" for name in shapes}
            _check(path, network, stored, names=names, shapes=shapes)
            yield network, {name: _own(file, name, ldm, shapes[name]) for name, ldm in names.items()}


def _check(
    path: Path,
    network: str,
    stored: Mapping[str, tuple[int, ...]],
    *,
    names: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Refuse a file that lacks weights of a network; those that the network does not have are left out.

    Single files of Stable Diffusion 2 hold a last layer of the text encoder that is never used.
    """
    if not any(name.startswith(PREFIXES[network]) for name in stored):
        raise ModelError(
            f"{path} holds no weights {PREFIXES[network]}…, the {network} of a single file in the layout of Stable "
            f"Diffusion 2; it begins with {', '.join(sorted(stored)[:_SHOWN])}"
        )
    found = {}
    for name, ldm in names.items():
        shape = stored.get(ldm)
        if shape is not None:
            third = ".in_proj_" in ldm and shape[0] == 3 * shapes[name][0]
            found[name] = (shape[0] // 3, *shape[1:]) if third else shape
    extra = {} if network == "text_encoder" else _unclaimed(network, stored, names)
    check_weights({**found, **extra}, shapes, where=f"{path} ({network})", config="the config")


def _unclaimed(
    network: str, stored: Mapping[str, tuple[int, ...]], names: Mapping[str, str]
) -> dict[str, tuple[int, ...]]:
    wanted = set(names.values())
    return {name: shape for name, shape in stored.items() if name.startswith(PREFIXES[network]) and name not in wanted}


def _own(file: Any, name: str, ldm: str, shape: tuple[int, ...]) -> torch.Tensor:
    if ".in_proj_" in ldm:
        at = next(number for number, each in enumerate(_PROJECTIONS) if f".{each}." in name)
        third: torch.Tensor = file.get_slice(ldm)[at * shape[0] : (at + 1) * shape[0]]
        return third
    tensor: torch.Tensor = file.get_tensor(ldm)
    return tensor.reshape(shape)


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is no whole safetensors file ({error}); pickled checkpoints are not opened") from None
