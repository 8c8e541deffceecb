"""From a tile to an image of the model's size: averaging down, cutting, mirroring, turning."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from text2earth.conditioning import Condition

__all__ = [
    "PREPROCESSING",
    "Cut",
    "Pixels",
    "UnusableRowError",
    "View",
    "ViewKind",
    "averaged",
    "draw_cut",
    "draw_halvings",
    "halvings",
]

ViewKind = Literal["crop", "resize", "scales"]
Pixels = npt.NDArray[np.uint8]

PREPROCESSING = 1
"""Version of what this module and the decoder do to pixels; cached latents of another one are refused."""
_EARTH_RADIUS_M = 6378137.0


class UnusableRowError(Exception):
    """A row that cannot be an example; carries the reason."""


@dataclass(frozen=True, slots=True)
class View:
    """How a tile becomes an image of the model's size.

    Args:
        image_size: Pixels a side of the result.
        kind: ``"crop"`` cuts a square at a drawn place and keeps the level. ``"resize"`` averages the whole tile
            down by a power of two and lowers the level by its logarithm, as the pixels grew; a level that would
            fall below 1 becomes 0, unknown. ``"scales"`` averages by a power of two that is drawn anew each time,
            among those that make pixels no finer than 0.8 × what the row's source resolves, and cuts as ``"crop"``.
        flips: Mirror at random in both axes. Off by default: captions may name a direction, and shadows have one.
        turns: Turn by a random number of quarters; off by default for the same reasons.
    """

    image_size: int
    kind: ViewKind = "crop"
    flips: bool = False
    turns: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """One square of a tile, the same for every image of a row.

    Args:
        top: First row of pixels.
        left: First column.
        size: Pixels a side.
        down: Whether it is mirrored top to bottom.
        across: Whether it is mirrored left to right.
        turns: Quarter turns against the clock, 0…3, after the mirroring.
    """

    top: int
    left: int
    size: int
    down: bool = False
    across: bool = False
    turns: int = 0

    def of(self, tile: Pixels) -> Pixels:
        """Return the square of a tile (H, W) or (H, W, C); a view of its memory."""
        pixels = tile[self.top : self.top + self.size, self.left : self.left + self.size]
        if self.down:
            pixels = pixels[::-1]
        if self.across:
            pixels = pixels[:, ::-1]
        return np.rot90(pixels, self.turns) if self.turns else pixels

    def place(self, condition: Condition, *, height: int, width: int) -> Condition:
        """Return the condition with the place of the square's centre, of a tile of (height, width) pixels."""
        if condition.lon is None or condition.lat is None or condition.gsd_m is None:
            return condition
        right, down = self.left + (self.size - width) / 2.0, self.top + (self.size - height) / 2.0
        if right == down == 0.0:
            return condition
        degrees = math.degrees(condition.gsd_m / _EARTH_RADIUS_M)
        lon = condition.lon + right * degrees / math.cos(math.radians(condition.lat))
        return replace(condition, lon=(lon + 180.0) % 360.0 - 180.0, lat=condition.lat - down * degrees)


def draw_cut(view: View, *, height: int, width: int, draws: np.random.Generator) -> Cut:
    """Draw the square of a tile of (height, width) pixels.

    Raises:
        UnusableRowError: If the tile is smaller than the image.
    """
    size = view.image_size
    if height < size or width < size:
        raise UnusableRowError(f"{width}×{height} px is smaller than the image size {size}")
    top, left = int(draws.integers(height - size + 1)), int(draws.integers(width - size + 1))
    down, across = (bool(each) for each in draws.integers(2, size=2)) if view.flips else (False, False)
    turns = int(draws.integers(4)) if view.turns else 0
    return Cut(top, left, size, down, across, turns)


def halvings(view: View, *, height: int, width: int) -> int:
    """Return by how many powers of two a view averages a tile down.

    Raises:
        UnusableRowError: If a tile is to be averaged down to a size that is not its own over a power of two.
    """
    if view.kind != "resize":
        return 0
    ratio = width // view.image_size
    if height != width or ratio * view.image_size != width or ratio & (ratio - 1):
        raise UnusableRowError(f"{width}×{height} px is not {view.image_size} px times a power of two")
    return ratio.bit_length() - 1


def draw_halvings(view: View, *, height: int, width: int, finest: int, draws: np.random.Generator) -> int:
    """Draw by how many powers of two a view of kind ``"scales"`` averages a tile down.

    Args:
        view: The view.
        height: Of the tile, pixels.
        width: Of the tile, pixels.
        finest: Least number of halvings, so that pixels are no finer than what the source resolves.
        draws: Where they come from.

    Raises:
        UnusableRowError: If the tile is then smaller than the image.
    """
    most = (min(height, width) // view.image_size).bit_length() - 1
    if most < finest:
        raise UnusableRowError(
            f"{width}×{height} px averaged {finest} times, to what the source resolves, is smaller than the image size "
            f"{view.image_size}"
        )
    return int(draws.integers(finest, most + 1))


def averaged(tile: Pixels, times: int) -> Pixels:
    """Average a tile (H, W) or (H, W, C) down by ``2 ** times``."""
    return np.asarray(Image.fromarray(tile).reduce(2**times)) if times else tile
