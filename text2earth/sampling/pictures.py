"""Images and masks as users hold them (Pillow, NumPy, torch) → float tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from text2earth.errors import RequestError

__all__ = ["mask_of", "pixels_of"]


def pixels_of(image: Any) -> torch.Tensor:
    """Return images as float32 (B, 3, H, W) in 0…1.

    Args:
        image: A Pillow image, an array (H, W, 3) or (B, H, W, 3), uint8 or float in 0…1, a tensor (3, H, W) or
            (B, 3, H, W) in 0…1, or a sequence of one kind and size.

    Raises:
        RequestError: If it is none of these.
    """
    return _batch(image, channels=3, what="image")


def mask_of(mask: Any, *, size: tuple[int, int]) -> torch.Tensor:
    """Return masks as bool (B, 1, H, W), True where to repaint.

    Args:
        mask: As images, but of one channel, which arrays and tensors may leave out; white (above 0.5) repaints.
        size: Height and width of the image.

    Raises:
        RequestError: If it is of another size, or no mask.
    """
    found = _batch(mask, channels=1, what="mask")
    if tuple(found.shape[-2:]) != size:
        raise RequestError(
            f"the mask is {found.shape[-1]}×{found.shape[-2]} px and the image {size[1]}×{size[0]} px; "
            "give a mask of the image's size"
        )
    if found.max() == 1.0 / 255.0:
        raise RequestError("the mask has the bytes 0 and 1, both nearly black; give 0 and 255, or truth values")
    return found > 0.5


def _batch(given: Any, *, channels: int, what: str) -> torch.Tensor:
    if isinstance(given, Sequence) and not isinstance(given, str):
        if not given:
            raise RequestError(f"an empty list of {what}s was given; give one, or one for each prompt")
        parts = [_batch(each, channels=channels, what=what) for each in given]
        if len({part.shape[-2:] for part in parts}) != 1:
            sizes = [f"{part.shape[-1]}×{part.shape[-2]}" for part in parts]
            raise RequestError(f"{what}s of {', '.join(sizes)} px were given; a batch is of one size")
        return torch.cat(parts)
    if isinstance(given, Image.Image):
        if given.mode[0] in "IF" and np.asarray(given).max(initial=0) > 255:  # Pillow would cut them off at white
            raise RequestError(f"the {what} has more than 8 bits (Pillow mode {given.mode}); scale it to 0–255")
        given = np.asarray(given.convert("RGB" if channels == 3 else "L"))
    if isinstance(given, np.ndarray):
        last = given if given.ndim > 2 or channels == 3 else given[..., None]
        values = _scaled(torch.from_numpy(np.array(last)), what=what)
        tensor = values.movedim(-1, -3) if values.ndim > 2 else values
    elif isinstance(given, torch.Tensor):
        tensor = _scaled(given if given.ndim > 2 or channels == 3 else given[None], what=what)
    else:
        raise RequestError(f"{type(given).__name__} was given as {what}; give a Pillow image, an array or a tensor")
    tensor = tensor[None] if tensor.ndim == 3 else tensor
    if tensor.ndim != 4 or tensor.shape[1] != channels:
        raise RequestError(
            f"the {what} has shape {tuple(given.shape)}; an array ends in (height, width, {channels}), "
            f"a tensor in ({channels}, height, width)"
        )
    return tensor


def _scaled(values: torch.Tensor, *, what: str) -> torch.Tensor:
    """Return values in 0…1 as float32; bytes are divided by 255."""
    if values.dtype == torch.uint8:
        return values.float() / 255.0
    values = values.detach().float()
    if values.numel() and not (values.min() >= 0.0 and values.max() <= 1.0):
        raise RequestError(
            f"the {what} has values {float(values.min()):g}…{float(values.max()):g}; numbers are in 0…1, or uint8"
        )
    return values
