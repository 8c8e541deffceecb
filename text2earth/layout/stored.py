"""What stands in the folder of one network: its ``config.json``, and its weights as safetensors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from text2earth.errors import ModelError

__all__ = ["StoredWeight", "modern_name", "read_config", "read_json", "read_tensors", "stored_weights", "weight_files"]

_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_OLD_ATTENTION = (
    (".query.", ".to_q."),
    (".key.", ".to_k."),
    (".value.", ".to_v."),
    (".proj_attn.", ".to_out.0."),
)
_SHARD = re.compile(r"-\d{5}-of-\d{5}(\.fp16)?\.safetensors$")

StoredWeight = tuple[tuple[int, ...], str]
"""Shape and dtype of a weight, the dtype as safetensors writes it (``"F16"``)."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelError: If the file is missing or holds no object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); it is part of the model: fetch it again") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object; it is part of the model: fetch or convert it again")
    return found


def read_config(folder: Path) -> dict[str, Any]:
    """Return the ``config.json`` of a network's folder.

    Raises:
        ModelError: If it is missing or no JSON object.
    """
    return read_json(folder / "config.json")


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a network: one, or the parts of a large one; float16 variants if none else.

    Raises:
        ModelError: If there are none; says so apart if the weights are there as pickle, which is never opened.
    """
    found = sorted(folder.glob("*.safetensors"))
    plain = [path for path in found if ".fp16." not in path.name and "non_ema" not in path.name]
    chosen = plain or [path for path in found if "non_ema" not in path.name]
    whole = [path for path in chosen if not _SHARD.search(path.name)]
    if chosen:
        return whole[:1] or chosen
    pickled = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLES)
    if pickled:
        raise ModelError(
            f"{folder} holds its weights as pickle alone ({', '.join(pickled)}), which can run code when it is opened "
            "and is never read; ask who publishes it for safetensors"
        )
    raise ModelError(f"{folder} holds no weights; expected is a file *.safetensors")


def modern_name(name: str, *, network: str) -> str:
    """Return a weight's name as today's classes say it, for one that an older version of the libraries wrote."""
    if network == "text_encoder":
        return name.removeprefix("text_model.")
    if network == "vae" and ".attentions." in name:
        for old, new in _OLD_ATTENTION:
            name = name.replace(old, new)
    return name


def stored_weights(folder: Path, *, network: str) -> dict[str, StoredWeight]:
    """Return shape and dtype of every weight by name; only the headers of the files are read.

    Args:
        folder: Of the network.
        network: ``"unet"``, ``"vae"`` or ``"text_encoder"``.

    Raises:
        ModelError: If there are no weights, or a file is damaged.
    """
    found: dict[str, StoredWeight] = {}
    for path in weight_files(folder):
        with _opened(path) as file:
            for name in file.keys():  # noqa: SIM118 - the file is no mapping
                part = file.get_slice(name)
                found[modern_name(name, network=network)] = (tuple(part.get_shape()), str(part.get_dtype()))
    return found


def read_tensors(folder: Path, *, network: str, device: str = "cpu") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every weight by name, one at a time, mapped from the file rather than read at once.

    Args:
        folder: Of the network.
        network: ``"unet"``, ``"vae"`` or ``"text_encoder"``.
        device: Where the tensors appear.
    """
    for path in weight_files(folder):
        with _opened(path, device=device) as file:
            for name in file.keys():  # noqa: SIM118 - the file is no mapping
                tensor = file.get_tensor(name)
                modern = modern_name(name, network=network)
                # Attention of old autoencoders was a 1×1 convolution.
                pointwise = network == "vae" and ".attentions." in modern and tensor.ndim == 4
                yield modern, tensor[:, :, 0, 0] if pointwise else tensor


def _opened(path: Path, *, device: str = "cpu") -> Any:
    try:
        return safe_open(path, framework="pt", device=device)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is no whole safetensors file ({error}); fetch or convert it again") from None
