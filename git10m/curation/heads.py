"""Learned scores: a small head over the vector of an image, as the aesthetic predictors of LAION are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.errors import RecipeError

__all__ = ["Head", "open_head"]

_TORCH_FILES = frozenset({".pt", ".pth", ".bin", ".ckpt"})


@dataclass(frozen=True)
class Head:
    """Linear layers, one after the other, that end in one number.

    Attributes:
        name: Of its file.
        layers: Weights (out, in) and biases (out,), float64.
        activation: Between layers: ``"none"`` or ``"relu"``.
    """

    name: str
    layers: tuple[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]], ...]
    activation: str = "none"

    @property
    def dimensions(self) -> int:
        """Numbers of a vector that it takes."""
        return int(self.layers[0][0].shape[1])

    def scores(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the score of each unit vector: float32 (N, D) → (N,).

        Dropout, which stands between the layers where such heads are trained, does nothing here.
        """
        values = vectors.astype(np.float64)
        for number, (weight, bias) in enumerate(self.layers):
            values = values @ weight.T + bias
            if self.activation == "relu" and number + 1 < len(self.layers):
                values = np.maximum(values, 0.0)
        found: npt.NDArray[np.float32] = values[:, 0].astype(np.float32)
        return found


def open_head(path: Path, *, activation: str = "none", dimensions: int | None = None) -> Head:
    """Read a head: one linear layer (``weight``, ``bias``), or several that are numbered (``layers.0.weight``, …).

    Args:
        path: Safetensors, or a file of torch; of the latter nothing but tensors is read.
        activation: Between layers.
        dimensions: Of the vectors that it is to score; None: not checked.

    Raises:
        RecipeError: If the file is no head, or one for other vectors.
    """
    tensors = _tensors(path)
    weights = {name: values for name, values in tensors.items() if name.endswith("weight") and values.ndim == 2}
    biases = {name.removesuffix("weight") + "bias": name for name in weights}
    numbered = sorted(weights, key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])
    strange = sorted(tensors.keys() - weights.keys() - biases.keys())
    if not weights or strange or len({re.sub(r"\d+", "", name) for name in weights}) > 1:
        raise RecipeError(
            f"{path.name}: is no head; expected one layer (weight, bias) or numbered ones (layers.0.weight, …), found "
            f"{', '.join(sorted(tensors)[:6]) or 'nothing'}"
        )
    layers = []
    for name in numbered:
        weight = weights[name].astype(np.float64)
        bias = tensors.get(name.removesuffix("weight") + "bias", np.zeros(weight.shape[0])).astype(np.float64)
        layers.append((weight, bias.reshape(-1)))
    _check(path, layers, dimensions)
    return Head(path.name, tuple(layers), activation)


def _check(path: Path, layers: list[tuple[Any, Any]], dimensions: int | None) -> None:
    shapes = [weight.shape for weight, _ in layers]
    chained = all(first[0] == second[1] for first, second in itertools.pairwise(shapes))
    fitting = all(len(bias) == weight.shape[0] for weight, bias in layers)
    shown = " → ".join(str(width) for width in [shapes[0][1], *(shape[0] for shape in shapes)])
    if not chained or not fitting or shapes[-1][0] != 1:
        raise RecipeError(f"{path.name}: its layers ({shown}) are no head; they must end in one number")
    if not all(np.isfinite(weight).all() and np.isfinite(bias).all() for weight, bias in layers):
        raise RecipeError(f"{path.name}: holds weights that are no numbers; fetch the file again")
    if dimensions is not None and shapes[0][1] != dimensions:
        raise RecipeError(
            f"{path.name}: is a head for vectors of {shapes[0][1]} numbers, the encoder's have {dimensions}; give the "
            "encoder that it was trained on"
        )


def _tensors(path: Path) -> Mapping[str, npt.NDArray[Any]]:
    if not path.is_file():
        raise RecipeError(f"{path}: there is no such file; give the weights of a head")
    try:
        import torch  # noqa: PLC0415 - an extra
        from safetensors.torch import load_file  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RecipeError(f"{path.name}: {error.name} is missing: pip install 'git10m[models]'") from error
    try:
        if path.suffix in _TORCH_FILES:
            said = torch.load(path, map_location="cpu", weights_only=True)
            said = said.get("state_dict", said) if isinstance(said, dict) else {}
        else:
            said = load_file(path)
        return {name: values.double().numpy() for name, values in said.items() if hasattr(values, "numpy")}
    except Exception as error:  # of many kinds, where a file is damaged or of another sort
        raise RecipeError(
            f"{path.name}: cannot be read ({(str(error).splitlines() or ['damaged'])[0][:160]}); expected safetensors, "
            "or a file of torch that holds nothing but weights"
        ) from error
