"""Smooth functions of the ground: grids in metres, fractal noise on them, and hill shading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["FloatArray", "Frame", "Points", "fractal_noise", "hill_shade", "smoothstep", "stream_of_numbers"]

FloatArray = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

SPACING_M = 12.0
"""Distance between the nodes of every grid of the landscape, in metres."""


def stream_of_numbers(seed: int, name: str) -> np.random.Generator:
    """Return the random generator of one part of the landscape; parts never disturb each other."""
    return np.random.default_rng([seed, *name.encode()])


@dataclass(frozen=True, slots=True)
class Frame:
    """The square of ground that holds a landscape, north up.

    Args:
        west_m: Easting of the left edge, in metres of the projected CRS.
        north_m: Northing of the upper edge.
        side_m: Length of a side.
    """

    west_m: float
    north_m: float
    side_m: float

    @property
    def nodes(self) -> int:
        """Number of grid nodes a side."""
        return math.ceil(self.side_m / SPACING_M)

    @property
    def centre(self) -> tuple[float, float]:
        """(easting, northing) of the middle, in metres."""
        return self.west_m + self.side_m / 2, self.north_m - self.side_m / 2

    def coordinates(self) -> tuple[FloatArray, FloatArray]:
        """Return easting (1, n) and northing (n, 1) of the nodes, relative to the centre, in metres."""
        offsets = ((np.arange(self.nodes) + 0.5) * SPACING_M - self.side_m / 2).astype(np.float32)
        return offsets[None, :], -offsets[:, None]

    def at(self, grid: FloatArray, points: Points) -> FloatArray:
        """Return the values of a grid at the nodes nearest to points (n, 2); outside, the edge's value."""
        last = self.nodes - 1
        columns = np.clip(((points[..., 0] - self.west_m) / SPACING_M).astype(np.int64), 0, last)
        rows = np.clip(((self.north_m - points[..., 1]) / SPACING_M).astype(np.int64), 0, last)
        values: FloatArray = grid[rows, columns]
        return values

    def warp(self, grid: FloatArray, corners: Points, shape: tuple[int, int]) -> FloatArray:
        """Sample a grid over a quadrilateral by cubic convolution.

        Args:
            grid: Values at the nodes.
            corners: Projected coordinates (4, 2) of the north-west, south-west, south-east and north-east corner.
            shape: Rows and columns wanted.
        """
        pixels = (corners - (self.west_m, self.north_m)) / (SPACING_M, -SPACING_M)
        first = np.clip(np.floor(pixels.min(axis=0)).astype(int) - 3, 0, self.nodes - 8)
        last = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + 3, 8, self.nodes)
        part = Image.fromarray(np.ascontiguousarray(grid[first[1] : last[1], first[0] : last[0]]))
        quadrilateral = [float(value) for value in (pixels - first).ravel()]
        rows, columns = shape
        warped = part.transform((columns, rows), Image.Transform.QUAD, quadrilateral, resample=Image.Resampling.BICUBIC)
        return np.asarray(warped, dtype=np.float32)


def fractal_noise(
    shape: tuple[int, int],
    *,
    spacing_m: float,
    wavelengths_m: tuple[float, float],
    hurst: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Return a fractional Brownian surface of mean 0 and standard deviation 1 (float32).

    Spectral synthesis: white noise shaped by a power spectrum that falls as ``f ** -(2H + 2)`` (Saupe, "Algorithms
    for random fractals", in The Science of Fractal Images, 1988, section 2.4).

    Args:
        shape: Rows and columns.
        spacing_m: Distance between nodes in metres.
        wavelengths_m: Shortest and longest wavelength that takes part, in metres.
        hurst: Exponent H, 0 rough … 1 smooth; −1 gives equal power at all wavelengths.
        rng: Source of the numbers.
    """
    spectrum = np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32)).astype(np.complex64)
    rows = np.fft.fftfreq(shape[0], spacing_m).astype(np.float32)[:, None]
    columns = np.fft.rfftfreq(shape[1], spacing_m).astype(np.float32)[None, :]
    frequency = np.sqrt(rows**2 + columns**2)
    shortest, longest = wavelengths_m
    inside = (frequency >= 1.0 / longest) & (frequency <= 1.0 / shortest)
    gain = np.where(inside, np.maximum(frequency, 1.0 / longest) ** -(hurst + 1.0), 0.0).astype(np.float32)
    surface = np.fft.irfft2(spectrum * gain, s=shape).astype(np.float32)
    return np.asarray(surface / surface.std(), dtype=np.float32)


def smoothstep(values: FloatArray, low: float, high: float) -> FloatArray:
    """Rise from 0 at ``low`` to 1 at ``high`` with flat ends (the cubic 3t² − 2t³)."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def hill_shade(height: FloatArray, *, sun: Sequence[float], exaggeration: float = 1.0) -> FloatArray:
    """Return illumination relative to flat ground (1 = as bright as flat ground, 0 = unlit).

    Slopes after Horn, "Hill shading and the reflectance map", Proc. IEEE 69(1), 1981.

    Args:
        height: Heights in metres, north up.
        sun: Azimuth (clockwise from north) and elevation, in degrees.
        exaggeration: Factor on the heights.
    """
    east, south = horn_gradient(height)
    east, south = east * exaggeration, south * exaggeration
    azimuth, elevation = (math.radians(angle) for angle in sun)
    flat = math.sin(elevation)
    across = math.cos(elevation) * (math.cos(azimuth) * south - math.sin(azimuth) * east)
    incidence = (flat + across) / np.sqrt(1.0 + east**2 + south**2)
    return np.asarray(np.clip(incidence / flat, 0.0, None), dtype=np.float32)


def horn_gradient(height: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rise eastward and southward, metres per metre, from 3 × 3 neighbourhoods."""
    padded = np.pad(height, 1, mode="edge")
    down = padded[:-2] + 2.0 * padded[1:-1] + padded[2:]
    along = padded[:, :-2] + 2.0 * padded[:, 1:-1] + padded[:, 2:]
    east = (down[:, 2:] - down[:, :-2]) / (8.0 * SPACING_M)
    south = (along[2:] - along[:-2]) / (8.0 * SPACING_M)
    return east.astype(np.float32), south.astype(np.float32)
