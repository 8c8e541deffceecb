"""Sizes of the models in the package, from the headers of their files."""

from __future__ import annotations

import json
import math
from pathlib import Path

__all__ = ["shipped_parameters"]


def shipped_parameters(folder: Path) -> int:
    """Return the number of weights under a model folder; no weight is read, and torch is not imported."""
    return sum(_weights(path) for path in folder.glob("*/*.safetensors"))


def _weights(path: Path) -> int:
    """Count the numbers of a safetensors file: eight bytes say how long its JSON header is, which says the shapes."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
