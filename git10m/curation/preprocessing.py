"""How a model wants its images: size, crop and scale, as its folder says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from git10m.errors import RecipeError

__all__ = ["Preprocessing"]

Pixels = npt.NDArray[np.uint8]

_FILES = ("preprocessor_config.json", "processor_config.json")
_SHORTEST_EDGE_KINDS = frozenset({"clip", "clip_vision_model", "dinov2", "dinov2_with_registers"})
"""Models whose processors read a bare number as the shorter side; others as both."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What happens to an image before a model sees it; equal to what the PIL image processors of transformers do.

    Attributes:
        shortest: Length that the shorter side is brought to, in pixels; None: see ``size``.
        size: (height, width) that the image is brought to; None where ``shortest`` says it, or nothing is resized.
        crop: (height, width) that is cut from the middle, black where the image is smaller; None: nothing is cut.
        resample: Number of Pillow's filter.
        scale: What values 0–255 are multiplied by.
        mean: Subtracted then, by channel.
        std: Divided by then.
    """

    shortest: int | None
    size: tuple[int, int] | None
    crop: tuple[int, int] | None
    resample: int
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def read(cls, folder: Path, *, kind: str) -> Preprocessing:
        """Read what stands in a model's folder.

        Args:
            folder: Of the model.
            kind: Its ``model_type``.

        Raises:
            RecipeError: If nothing there says it.
        """
        said = _said(folder)
        shortest, size = _size(said.get("size"), shortest=kind in _SHORTEST_EDGE_KINDS)
        if not said.get("do_resize", True):
            shortest = size = None
        crop = _size(said.get("crop_size"), shortest=False)[1] if said.get("do_center_crop", False) else None
        if size is None and crop is None:
            raise RecipeError(
                f"{folder.name}: its preprocessor_config.json leads to images of different sizes; a size of height and "
                "width is needed, or a crop_size with do_center_crop"
            )
        normal = said.get("do_normalize", True)
        return cls(
            shortest,
            size,
            crop,
            resample=int(said.get("resample", 2 if kind.startswith(("vit", "dinov3")) else 3)),
            scale=float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0,
            mean=_three(said.get("image_mean"), 0.0) if normal else (0.0, 0.0, 0.0),
            std=_three(said.get("image_std"), 1.0) if normal else (1.0, 1.0, 1.0),
        )

    def prepared(self, pixels: Pixels) -> Pixels:
        """Return an image as large as the model takes it: uint8 (H, W, 3) in and out."""
        if self.shortest is not None or self.size is not None:
            height, width = self._resized(pixels)
            picture = Image.fromarray(pixels).resize((width, height), Image.Resampling(self.resample))
            pixels = np.asarray(picture)
        return _cut(pixels, self.crop) if self.crop is not None else pixels

    def scaled(self, prepared: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """Return prepared images as the model takes them: float32 (N, 3, H, W)."""
        values = np.stack(prepared).transpose(0, 3, 1, 2).astype(np.float64) * self.scale
        mean, std = (np.array(each, dtype=np.float32)[None, :, None, None] for each in (self.mean, self.std))
        scaled: npt.NDArray[np.float32] = (values.astype(np.float32) - mean) / std
        return np.ascontiguousarray(scaled)

    def _resized(self, pixels: Pixels) -> tuple[int, int]:
        if self.size is not None:
            return self.size
        assert self.shortest is not None
        height, width = pixels.shape[:2]
        long = int(self.shortest * max(height, width) / min(height, width))
        return (long, self.shortest) if width <= height else (self.shortest, long)


def _said(folder: Path) -> Mapping[str, Any]:
    """Return the settings of a folder's image processor."""
    for name in _FILES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecipeError(f"{folder.name}/{name}: cannot be read ({error}); fetch the file again") from error
        found = said.get("image_processor", said if name == _FILES[0] else None)
        if isinstance(found, dict):
            return found
    raise RecipeError(
        f"{folder.name}: has no {_FILES[0]}, which says how large the model's images are and how they are scaled; it "
        "stands beside the model's weights wherever it is published"
    )


def _size(said: Any, *, shortest: bool) -> tuple[int | None, tuple[int, int] | None]:
    """Return (shorter side, None) or (None, (height, width))."""
    if isinstance(said, dict) and "shortest_edge" in said:
        return int(said["shortest_edge"]), None
    if isinstance(said, dict) and {"height", "width"} <= said.keys():
        return None, (int(said["height"]), int(said["width"]))
    if isinstance(said, (int, float)):
        return (int(said), None) if shortest else (None, (int(said), int(said)))
    return None, None


def _three(said: Any, otherwise: float) -> tuple[float, float, float]:
    if isinstance(said, (int, float)):
        said = [said] * 3
    red, green, blue = said if isinstance(said, list) and len(said) == 3 else [otherwise] * 3
    return float(red), float(green), float(blue)


def _cut(pixels: Pixels, crop: tuple[int, int]) -> Pixels:
    """Cut the middle; black surrounds an image that is smaller."""
    height, width = pixels.shape[:2]
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    if top >= 0 and left >= 0:
        return pixels[top : top + crop[0], left : left + crop[1]]
    whole = np.zeros((max(crop[0], height), max(crop[1], width), 3), dtype=np.uint8)
    down, right = (-(-(whole.shape[0] - height) // 2), -(-(whole.shape[1] - width) // 2))
    whole[down : down + height, right : right + width] = pixels
    top, left = (whole.shape[0] - crop[0]) // 2, (whole.shape[1] - crop[1]) // 2
    return whole[top : top + crop[0], left : left + crop[1]]
