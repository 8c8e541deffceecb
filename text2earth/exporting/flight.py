"""A zoom into a place, as frames between the zooms that are painted.

A frame at zoom ζ shows the pixels of zoom n = ⌈ζ⌉, each of its pixels the exact mean of 2**(n − ζ) of them a side. At
a whole zoom that is the zoom's own pixels, and just behind it the box mean of the next zoom's, which are the same
wherever children agree with their parents: nothing pops when the film goes from one zoom to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.grid import MAX_LATITUDE, lonlat_to_xy
from text2earth.errors import ExportError
from text2earth.exporting.area import TILE
from text2earth.world.box import Box

__all__ = ["Flight", "resampled"]

Pixels = npt.NDArray[np.uint8]
Rectangle = tuple[float, float, float, float]
"""x, y, width, height in pixels, fractions allowed."""

_NEARLY = 1e-9
"""Zooms by which a whole one may be missed."""
_MOST_PX = 4096
_MOST_FRAMES = 100_000


@dataclass(frozen=True, slots=True)
class Flight:
    """A zoom into a place, or out of it; the zoom changes by the same amount from frame to frame.

    Near the poles, where a frame would leave the world, it moves just so far that it does not.

    Args:
        lon: Longitude of the place, degrees.
        lat: Latitude, within ±85.0511 degrees.
        zooms: Of the first and of the last frame.
        width: Pixels of a frame, even, as films ask for.
        height: Likewise.
        seconds: Length.
        fps: Frames a second.

    Raises:
        ExportError: If there is no such film.
    """

    lon: float
    lat: float
    zooms: tuple[float, float]
    width: int = 512
    height: int = 512
    seconds: float = 10.0
    fps: float = 25.0

    def __post_init__(self) -> None:
        if not (-180.0 <= self.lon <= 180.0 and abs(self.lat) <= MAX_LATITUDE):
            raise ExportError(
                f"--place {self.lon:g} {self.lat:g} was given; it is longitude and latitude in degrees, "
                f"−180…180 and −{MAX_LATITUDE:.4f}…{MAX_LATITUDE:.4f}"
            )
        for name, side in (("--width", self.width), ("--height", self.height)):
            if not 16 <= side <= _MOST_PX or side % 2:
                raise ExportError(f"{name} {side} was given; a film's frame has an even number of 16–{_MOST_PX} px")
        if not (self.seconds > 0 and 0 < self.fps <= 120 and self.seconds * self.fps <= _MOST_FRAMES):
            raise ExportError(
                f"--seconds {self.seconds:g} and --fps {self.fps:g} were given; both are more than 0, "
                f"with at most 120 frames a second and {_MOST_FRAMES:,} in all"
            )
        if self.height > TILE * 2.0 ** min(self.zooms):
            least = math.log2(self.height / TILE)
            raise ExportError(
                f"a frame of {self.height} px is higher than the world at zoom {min(self.zooms):g}; "
                f"begin at zoom {math.ceil(least)} or later, or choose a smaller --height"
            )

    @property
    def count(self) -> int:
        """Number of frames."""
        return max(1, round(self.seconds * self.fps))

    def zoom(self, frame: int) -> float:
        """Return the zoom ζ of a frame."""
        first, last = self.zooms
        return first + (last - first) * (frame / (self.count - 1) if self.count > 1 else 0.0)

    def boxes(self) -> dict[int, Box]:
        """Return what must be painted: of each zoom the pixels that some frame shows."""
        found: dict[int, Box] = {}
        for frame in range(self.count):
            level, rectangle = self._view(frame)
            box = _around(rectangle)
            found[level] = _joined(found[level], box) if level in found else box
        return dict(sorted(found.items()))

    def frames(self, region: Callable[[int, Box], Pixels]) -> Iterator[Pixels]:
        """Yield the frames, uint8 (height, width, 3); a zoom's pixels are asked for once and kept while they serve.

        Args:
            region: Gives the pixels of a box of a zoom.
        """
        boxes = self.boxes()
        level, pixels = -1, np.empty((0, 0, 3), np.uint8)
        for frame in range(self.count):
            needed, (x, y, width, height) = self._view(frame)
            if needed != level:
                level, pixels = needed, region(needed, boxes[needed])
            box = boxes[level]
            rectangle = (x - box.x, y - box.y, width, height)
            yield resampled(pixels, rectangle, size=(self.width, self.height))

    def _view(self, frame: int) -> tuple[int, Rectangle]:
        """Return the zoom whose pixels a frame shows, and its rectangle in them."""
        zoom = self.zoom(frame)
        level = math.ceil(zoom - _NEARLY)
        scale = 2.0 ** max(0.0, level - zoom)
        width, height, side = self.width * scale, self.height * scale, TILE << level
        across, down = self._centre(zoom, level)
        return level, (across - width / 2.0, min(max(down - height / 2.0, 0.0), side - height), width, height)

    def _centre(self, zoom: float, level: int) -> tuple[float, float]:
        """Return where the place is in a level's pixels: at whole zooms in a corner of their pixels.

        A frame that cuts a whole zoom's pixels would blur them, and the next frame, of finer ones, would not. Between
        two zooms the corner moves from the one's to the other's, which is less than a pixel of any frame.
        """
        x, y = (float(each) for each in lonlat_to_xy(self.lon, self.lat))
        share = min(1.0, level - zoom) if level - zoom > _NEARLY else 0.0
        sides = TILE << level, TILE << max(0, level - 1)
        (fine_x, fine_y), (coarse_x, coarse_y) = ((round(x * side) / side, round(y * side) / side) for side in sides)
        across, down = fine_x + share * (coarse_x - fine_x), fine_y + share * (coarse_y - fine_y)
        return across * sides[0], down * sides[0]


def resampled(pixels: Pixels, rectangle: Rectangle, *, size: tuple[int, int]) -> Pixels:
    """Return a rectangle of a picture in a smaller or equal size: each pixel the mean of the area that it covers.

    Args:
        pixels: uint8 (H, W, 3).
        rectangle: In its pixels, and within it.
        size: Width and height to return, at most the rectangle's.
    """
    x, y, width, height = rectangle
    rows = _means(pixels, np.linspace(y, y + height, size[1] + 1))
    both = _means(rows.swapaxes(0, 1), np.linspace(x, x + width, size[0] + 1)).swapaxes(0, 1)
    return np.asarray(np.clip(np.floor(both + 0.5), 0, 255), np.uint8)


def _means(pixels: npt.NDArray[Any], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the means between neighbouring edges along the first axis, as float32: one less than edges.

    The integral up to an edge is the sum of the whole pixels before it and a share of the one that it cuts; the sums
    are of whole numbers, or of float64, so that even the mean of a single pixel is exact.
    """
    sums = np.zeros((len(pixels) + 1, *pixels.shape[1:]), np.int32 if pixels.dtype == np.uint8 else np.float64)
    np.cumsum(pixels, axis=0, dtype=sums.dtype, out=sums[1:])
    edges = np.clip(edges, 0.0, len(pixels))
    before = np.minimum(edges.astype(np.int64), len(pixels) - 1)
    part = (edges - before).reshape(-1, *(1 for _ in pixels.shape[1:]))
    integral = sums[before] + part * pixels[before]
    means = np.diff(integral, axis=0) / np.diff(edges).reshape(part[1:].shape)
    return np.asarray(means, np.float32)


def _around(rectangle: Rectangle) -> Box:
    x, y, width, height = rectangle
    left, top = math.floor(x + _NEARLY), math.floor(y + _NEARLY)
    return Box(left, top, math.ceil(x + width - _NEARLY) - left, math.ceil(y + height - _NEARLY) - top)


def _joined(one: Box, other: Box) -> Box:
    x, y = min(one.x, other.x), min(one.y, other.y)
    return Box(x, y, max(one.right, other.right) - x, max(one.bottom, other.bottom) - y)
