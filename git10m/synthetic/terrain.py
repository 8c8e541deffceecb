"""Relief of the invented land: coast, plain, valleys and hills, and what grows on them by nature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from git10m.synthetic.hydrology import Stream, draw_gullies, valley_distance
from git10m.synthetic.surfaces import (
    SPACING_M,
    FloatArray,
    Frame,
    fractal_noise,
    horn_gradient,
    smoothstep,
    stream_of_numbers,
)

__all__ = ["Layout", "Terrain", "build_terrain"]


SEA_SHARE = 0.11
"""Share of the sea in the square around the town."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the landscape's focus, its town by the sea, lies in a frame.

    Args:
        frame: The ground that the landscape covers.
        focus: (easting, northing) of the town.
        focus_side_m: Side of the square around it that is looked at closely, in metres.
    """

    frame: Frame
    focus: tuple[float, float]
    focus_side_m: float

    @property
    def shore_m(self) -> float:
        """Distance from the town to the mean shore line, south-westward, in metres."""
        return 0.31 * self.focus_side_m

    def coast_point(self, *, inland_m: float, along_m: float = 0.0) -> tuple[float, float]:
        """Return the projected point so far behind the mean shore line and along it (south-eastward)."""
        away = (inland_m - self.shore_m) / math.sqrt(2.0)
        along = along_m / math.sqrt(2.0)
        return self.focus[0] + away + along, self.focus[1] + away - along


@dataclass(frozen=True)
class Terrain:
    """Grids (n, n) over a frame, float32.

    Args:
        frame: The ground that they cover.
        inland_m: Distance from the shore line in metres, positive on land.
        height_m: Height above the sea.
        slope: Steepness, metres per metre.
        woodland: Where forest stands: above 0.
        rock: Where bare rock shows: above 0.
        mottle: Patches of 25–500 m in soil and growth, mean 0, standard deviation 1.
        moisture: Patches of 0.3–4 km, mean 0, standard deviation 1.
    """

    frame: Frame
    inland_m: FloatArray
    height_m: FloatArray
    slope: FloatArray
    woodland: FloatArray
    rock: FloatArray
    mottle: FloatArray
    moisture: FloatArray


def build_terrain(layout: Layout, streams: list[Stream], *, seed: int) -> Terrain:
    """Shape the land around its streams."""
    frame = layout.frame
    inland = _shore_distance(layout, streams[0], seed=seed)
    valley = valley_distance(frame, streams)
    gully = valley_distance(frame, draw_gullies(frame, streams, seed=seed))
    height = _heights(frame, inland, valley, gully, seed=seed)
    east, south = horn_gradient(height)
    slope = np.hypot(east, south).astype(np.float32)
    patches = _noise(frame, "woodland", (60.0, 1800.0), 0.35, seed=seed)
    mottle = _noise(frame, "mottle", (25.0, 500.0), 0.15, seed=seed)
    riparian = 1.5 * np.exp(-((valley / 0.075) ** 2))
    woodland = 5.5 * slope + height / 260.0 + 0.8 * patches + 0.25 * mottle + riparian - 1.75
    woodland -= 2.5 * (1.0 - smoothstep(inland, 60.0, 260.0))
    rock = (height - 470.0) / 70.0 + 3.0 * (slope - 0.5) + 0.35 * mottle
    moisture = _noise(frame, "moisture", (300.0, 4000.0), 0.5, seed=seed)
    return Terrain(frame, inland, height, slope, _single(woodland), _single(rock), mottle, moisture)


def _single(values: FloatArray) -> FloatArray:
    return np.asarray(values, dtype=np.float32)


def _noise(frame: Frame, name: str, band_m: tuple[float, float], hurst: float, *, seed: int) -> FloatArray:
    shape = (frame.nodes, frame.nodes)
    rng = stream_of_numbers(seed, name)
    return fractal_noise(shape, spacing_m=SPACING_M, wavelengths_m=band_m, hurst=hurst, rng=rng)


def _shore_distance(layout: Layout, river: Stream, *, seed: int) -> FloatArray:
    """Return metres behind a wavy shore that passes where the river is meant to end."""
    frame = layout.frame
    east, north = frame.coordinates()
    diagonal = (east + north + sum(frame.centre) - sum(layout.focus)) / math.sqrt(2.0)
    wave = 300.0 * _noise(frame, "coast", (70.0, 5200.0), 0.95, seed=seed)
    inland = diagonal + wave
    x, y = east + frame.centre[0] - layout.focus[0], north + frame.centre[1] - layout.focus[1]
    near = (np.abs(x) < layout.focus_side_m / 2) & (np.abs(y) < layout.focus_side_m / 2)
    inland -= np.quantile(inland[near], SEA_SHARE)
    # a bay where the river ends, wherever the shore has come to lie
    mouth = river.points[-1] - layout.focus
    depth = float(frame.at(_single(inland), river.points[-1:])[0]) + 80.0
    bay = np.exp(-((x - mouth[0]) ** 2 + (y - mouth[1]) ** 2) / 420.0**2)
    return _single(inland - max(0.0, depth) * bay)


def _heights(frame: Frame, inland: FloatArray, valley: FloatArray, gully: FloatArray, *, seed: int) -> FloatArray:
    """Plain rising inland, hills away from streams, ripples everywhere; the sea floor falls gently."""
    land = np.maximum(inland, 0.0)
    plain = 2.0 + 55.0 * (1.0 - np.exp(-land / 4200.0)) + 4.0 * smoothstep(inland, 60.0, 220.0)
    broad = _noise(frame, "hills", (400.0, 6500.0), 0.95, seed=seed)
    rough = _noise(frame, "ridges", (320.0, 2600.0), 1.0, seed=seed)
    ridges = np.maximum(0.0, 1.15 - np.abs(rough + 0.25 * broad))
    rise = smoothstep(inland, 500.0, 0.75 * frame.side_m) * 420.0 + smoothstep(inland, 200.0, 2000.0) * 75.0
    away = smoothstep(valley, 0.08, 1.3) * (0.5 + 0.5 * smoothstep(gully, 0.0, 1.1))
    hills = rise * away * (0.2 + 0.75 * smoothstep(broad, -1.4, 2.2) + 0.35 * ridges * smoothstep(broad, -1.2, 1.2))
    hills *= 1.0 + 0.05 * _noise(frame, "crags", (50.0, 500.0), 0.8, seed=seed)
    ripple = 3.0 * _noise(frame, "ripple", (60.0, 700.0), 0.8, seed=seed) * smoothstep(valley, 0.03, 0.3)
    ground = plain + hills + ripple * smoothstep(inland, 50.0, 400.0)
    return _single(np.where(inland > 0.0, np.maximum(ground, 0.5), np.maximum(inland * 0.02, -30.0)))
