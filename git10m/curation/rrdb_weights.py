"""Weights of the restorer network on disk: read from safetensors or a ``weights_only`` file, checked, and written.

Read are safetensors, and ``.pth`` files as published: a dict with the weights under ``params_ema`` or ``params``, or
the weights themselves. Nothing that such a file holds can run: what needs pickled code is refused. The size of the
network is told from the shapes. Written are safetensors alone, with what the weights are in the metadata.

Like `curation.rrdb` it imports torch at its top.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from git10m.curation.rrdb import FOLDS, RRDBNet, RRDBShape
from git10m.errors import WeightsError
from git10m.shards import atomic_file, file_sha256

__all__ = ["Weights", "read_tensors", "read_weights", "write_tensors", "write_weights"]

_PARTS = ("params_ema", "params")
"""Where a published file keeps the weights; the moving average goes first."""
_PREFIX = re.compile(r"^(?:module\.|params_ema\.|params\.)+")
_METADATA = "git10m"
_NAMED = 4
"""Keys that a message names."""

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Weights:
    """Weights that fit the network, float32 on the CPU.

    Attributes:
        shape: Of the network.
        tensors: By key of its ``state_dict``.
        sha256: Of the file.
        note: What the file says of itself; empty for files of others.
    """

    shape: RRDBShape
    tensors: Tensors
    sha256: str
    note: Mapping[str, Any]

    def network(self) -> RRDBNet:
        """Return the network with these weights, for inference."""
        with torch.device("meta"):
            network = RRDBNet(self.shape)
        network.load_state_dict(dict(self.tensors), strict=True, assign=True)
        return network.requires_grad_(requires_grad=False).eval()


def read_weights(path: Path) -> Weights:
    """Read a file of weights, whatever its layout.

    Raises:
        WeightsError: If there is no such file, it is damaged, needs code to be read, holds other weights than this
            network's, or weights that are no numbers.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file; give weights as .safetensors or .pth")
    found, note = read_tensors(path) if _is_safetensors(path) else (_read_pickled(path), {})
    named = {_PREFIX.sub("", key): value for key, value in found.items()}
    shape = _shape_of(named, note, path)
    tensors = {key: value.detach().to(torch.float32).contiguous() for key, value in named.items()}
    for key, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{path.name}: {key} holds NaN or infinity: that training failed; take an earlier file")
    return Weights(shape, tensors, file_sha256(path), note)


def write_weights(tensors: Tensors, path: Path, *, shape: RRDBShape, note: Mapping[str, Any]) -> str:
    """Write weights as safetensors, atomically; the same weights and note give the same bytes.

    Args:
        tensors: By key.
        path: File to write.
        shape: Of their network.
        note: What else is known of them, as JSON.

    Returns:
        The file's SHA-256.
    """
    return write_tensors(tensors, path, note={"network": "rrdb", "shape": asdict(shape), **note})


def write_tensors(tensors: Tensors, path: Path, *, note: Mapping[str, Any]) -> str:
    """Write any tensors with a note, as `write_weights` does."""
    # One key alone: safetensors writes several in no order of its own.
    metadata = {_METADATA: json.dumps(note, sort_keys=True, ensure_ascii=False)}
    whole = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, metadata)
    with atomic_file(path) as file:
        file.write(whole)
    return hashlib.sha256(whole).hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors of a safetensors file, and the note that `write_tensors` left there (empty if none).

    Raises:
        WeightsError: If it is none, or is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {}).get(_METADATA, "{}"))
            return {key: file.get_tensor(key) for key in file.keys()}, note  # noqa: SIM118 - it is no dict
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path.name}: cannot be read as safetensors ({error}); fetch or write it again") from error


def _is_safetensors(path: Path) -> bool:
    """Tell by the content: published files are renamed now and then. A header of JSON follows eight bytes of length."""
    with path.open("rb") as file:
        start = file.read(9)
    return path.suffix.lower() == ".safetensors" or (start[8:] == b"{" and not zipfile.is_zipfile(path))


def _read_pickled(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a file of ``torch.save``, without running anything that it holds."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds here, pickle's own among them
        if "weights_only" in str(error) or "Weights only" in str(error):
            raise WeightsError(
                f"{path.name}: holds more than weights, and reading it would run code that came with it "
                f"({_reason(error)}); save its state_dict alone with torch.save, or as safetensors"
            ) from error
        raise WeightsError(
            f"{path.name}: cannot be read as a file of weights ({_reason(error)}); expected .safetensors, or .pth as "
            "torch.save writes it; fetch it again"
        ) from error
    if isinstance(loaded, Mapping):
        loaded = next((loaded[part] for part in _PARTS if isinstance(loaded.get(part), Mapping)), loaded)
    if not isinstance(loaded, Mapping) or not all(isinstance(each, torch.Tensor) for each in loaded.values()):
        there = ", ".join(map(str, list(loaded)[:_NAMED])) if isinstance(loaded, Mapping) else type(loaded).__name__
        raise WeightsError(
            f"{path.name}: holds {there or 'nothing'}; expected weights by name, or a dict with {' or '.join(_PARTS)}"
        )
    return {str(key): value for key, value in loaded.items()}


def _reason(error: Exception) -> str:
    """Return the line of a message that says what was refused; torch wraps it into advice to trust the file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Unsupported" in line or "GLOBAL" in line]
    return (telling or lines or [type(error).__name__])[0][:200]


def _shape_of(tensors: Tensors, note: Mapping[str, Any], path: Path) -> RRDBShape:
    """Return the shape of the network that the weights belong to, all keys and sizes checked."""
    blocks = {int(found[1]) for key in tensors if (found := re.match(r"body\.(\d{1,4})\.", key))}
    telling = ("conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight")
    known = [tensors[key].shape for key in telling if key in tensors and tensors[key].ndim == 4]
    if len(known) < len(telling) or blocks != set(range(len(blocks))):
        raise _differing(tensors, RRDBShape(), path)
    (features, folded, _, _), (growth, *_), (out_channels, *_) = known
    # Where other channels go in than come out, the note alone tells the fold.
    told = FOLDS.get(note.get("shape", {}).get("scale"))
    fold = told or next((fold for fold in FOLDS.values() if fold**2 * out_channels == folded), 1)
    if folded % fold**2:
        raise _differing(tensors, RRDBShape(), path)
    shape = RRDBShape(
        scale={fold: scale for scale, fold in FOLDS.items()}[fold],  # type: ignore[arg-type]
        in_channels=folded // fold**2,
        out_channels=out_channels,
        blocks=len(blocks),
        features=features,
        growth=growth,
    )
    if any(True for _ in _differences(tensors, shape)):
        raise _differing(tensors, shape, path)
    return shape


def _differences(tensors: Tensors, shape: RRDBShape) -> Iterator[str]:
    """Yield how weights differ from those of a network, in the network's order, then what it does not have."""
    with torch.device("meta"):
        wanted = RRDBNet(shape).state_dict()
    for key, value in wanted.items():
        if key not in tensors:
            yield f"{key} is missing"
        elif tensors[key].shape != value.shape:
            yield f"{key} is {tuple(tensors[key].shape)}, expected {tuple(value.shape)}"
    yield from (f"{key} is unknown" for key in tensors if key not in wanted)


def _differing(tensors: Tensors, shape: RRDBShape, path: Path) -> WeightsError:
    every = list(_differences(tensors, shape))
    unknown = [line for line in every if line.endswith("unknown")]
    named = [*every[:_NAMED], *(line for line in unknown[:_NAMED] if line not in every[:_NAMED])]
    more = f" and {len(every) - len(named)} more" if len(every) > len(named) else ""
    return WeightsError(
        f"{path.name}: holds no weights of this network (RRDB, {shape.blocks} blocks, {shape.features} features, "
        f"growth {shape.growth}): {'; '.join(named)}{more}; expected keys conv_first, body.0.rdb1.conv1 …, conv_last"
    )
