"""Streams: a river that meanders from the hills to the sea, and its tributaries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely

from git10m.synthetic.surfaces import FloatArray, Frame, Points, stream_of_numbers

__all__ = ["Stream", "draw_gullies", "draw_streams", "valley_distance"]

STEP_M = 20.0


@dataclass(frozen=True)
class Stream:
    """A watercourse from its source to its mouth.

    Args:
        points: Centre line (n, 2), projected metres.
        widths_m: Width of the channel at each point (n,).
        valley_m: Half-width of the valley that it has cut.
    """

    points: Points
    widths_m: Points
    valley_m: float

    def polygon(self, *, margin_m: float = 0.0) -> shapely.Geometry:
        """Return the water surface, widened by a margin on each side."""
        reaches = shapely.linestrings(np.stack([self.points[:-1], self.points[1:]], axis=1))
        widths = (self.widths_m[:-1] + self.widths_m[1:]) / 4.0 + margin_m
        return shapely.simplify(shapely.union_all(shapely.buffer(reaches, widths, quad_segs=4)), 0.3)


def draw_streams(frame: Frame, *, mouth: tuple[float, float], seed: int) -> list[Stream]:
    """Return the main river, from the north-east corner to the mouth, and its tributaries."""
    rng = stream_of_numbers(seed, "streams")
    reach = 0.47 * frame.side_m
    source = (frame.centre[0] + reach * rng.uniform(0.7, 1.0), frame.centre[1] + reach)
    points = meander(source, mouth, wavelength_m=950.0, swing=1.15, rng=rng)
    growth = np.linspace(0.0, 1.0, len(points)) ** 1.3
    river = Stream(points, 22.0 + 46.0 * growth, valley_m=2100.0)
    streams = [river]
    count = max(4, round(frame.side_m / 2200.0))
    for number in range(count):
        streams.append(_tributary(frame, river, part=(number + 0.6) / (count + 0.9), side=number % 2, rng=rng))
    return streams


def draw_gullies(frame: Frame, streams: list[Stream], *, seed: int) -> list[Stream]:
    """Return the small valleys that feed the streams; they shape the relief and carry no visible water."""
    rng = stream_of_numbers(seed, "gullies")
    gullies = []
    for stream in streams:
        count = max(2, int(len(stream.points) * STEP_M / 900.0))
        for number in range(count):
            part = (number + rng.uniform(0.2, 0.8)) / count
            length = rng.uniform(900.0, 2300.0)
            gullies.append(_branch(stream, part=part, side=number % 2, length_m=length, rng=rng))
    return gullies


def _branch(stream: Stream, *, part: float, side: int, length_m: float, rng: np.random.Generator) -> Stream:
    """Return a gully that joins a stream at a part of its course."""
    junction, heading = _fork(stream, part=part, side=side, rng=rng)
    source = junction + length_m * np.array([math.cos(heading), math.sin(heading)])
    points = meander(_pair(source), _pair(junction), wavelength_m=520.0, swing=0.6, rng=rng)
    return Stream(points, np.full(len(points), 2.0), valley_m=430.0)


def _fork(stream: Stream, *, part: float, side: int, rng: np.random.Generator) -> tuple[Points, float]:
    """Return a point of a stream, and the direction in which a branch leaves it, upstream and sideways."""
    index = int(part * (len(stream.points) - 1))
    junction = stream.points[index]
    upstream = stream.points[max(0, index - 120)] - junction if index else stream.points[0] - stream.points[1]
    turn = math.radians(rng.uniform(38.0, 62.0)) * (1 if side else -1)
    return junction, math.atan2(upstream[1], upstream[0]) + turn


def _pair(point: Points) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _tributary(frame: Frame, river: Stream, *, part: float, side: int, rng: np.random.Generator) -> Stream:
    junction, heading = _fork(river, part=part, side=side, rng=rng)
    length = rng.uniform(0.22, 0.36) * min(frame.side_m, 20000.0)
    source = junction + length * np.array([math.cos(heading), math.sin(heading)])
    points = meander(_pair(source), _pair(junction), wavelength_m=430.0, swing=0.95, rng=rng)
    width = 9.0 + 9.0 * np.linspace(0.0, 1.0, len(points))
    return Stream(points, width, valley_m=950.0)


def meander(
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    wavelength_m: float,
    swing: float,
    rng: np.random.Generator,
) -> Points:
    """Return a sine-generated curve (n, 2) between two points, 20 m a step.

    The direction swings as the sine of the distance run (Langbein and Leopold, "River meanders: theory of minimum
    variance", USGS Professional Paper 422-H, 1966); swing and wavelength wander so that no two bends are alike.
    """
    target = np.subtract(end, start)
    chord = float(np.hypot(*target))
    count = max(20, int(1.5 * chord / STEP_M))
    along = np.arange(count) * STEP_M
    phase = 2.0 * math.pi * along / (1.5 * wavelength_m) + 1.6 * _wander(count, 2600.0, rng)
    strength = swing * np.clip(1.0 + 0.5 * _wander(count, 1800.0, rng), 0.25, 1.5)
    heading = strength * np.sin(phase) + 0.3 * _wander(count, 4200.0, rng)
    run = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    run -= run[0]
    # one similarity transform (complex factor) carries the free curve onto the two given ends
    factor = complex(*target) / complex(*run[-1])
    placed = (run[:, 0] + 1j * run[:, 1]) * factor
    return np.stack([placed.real + start[0], placed.imag + start[1]], axis=1)


def _wander(count: int, scale_m: float, rng: np.random.Generator) -> Points:
    """Return slow one-dimensional noise of about unit amplitude (n,)."""
    knots = max(4, int(count * STEP_M / scale_m) + 3)
    positions = np.linspace(0.0, knots - 1.0, count)
    values = rng.standard_normal(knots)
    low = np.minimum(positions.astype(int), knots - 2)
    t = positions - low
    t = t * t * (3.0 - 2.0 * t)
    return np.asarray(values[low] * (1.0 - t) + values[low + 1] * t)


def valley_distance(frame: Frame, streams: list[Stream]) -> FloatArray:
    """Return, at every node, the distance to the nearest stream in units of that stream's valley half-width."""
    coarse = 4
    east, north = frame.coordinates()
    columns, rows = np.meshgrid(east[0, coarse // 2 :: coarse], north[coarse // 2 :: coarse, 0])
    nodes = np.stack([columns.ravel(), rows.ravel()], axis=1)
    nearest = np.full(columns.shape, np.inf, dtype=np.float32)
    for stream in streams:
        reach = _distance(nodes, (stream.points[::2] - frame.centre).astype(np.float32)) / stream.valley_m
        nearest = np.minimum(nearest, reach.reshape(nearest.shape))
    return _refine(frame, nearest, coarse)


def _distance(nodes: FloatArray, points: FloatArray) -> FloatArray:
    """Return the distance from each node (n, 2) to the nearest of some points (m, 2)."""
    squared = np.empty(len(nodes), dtype=np.float32)
    augmented = np.concatenate([-2.0 * points, (points**2).sum(axis=1, keepdims=True)], axis=1).T
    for start in range(0, len(nodes), 4096):
        part = nodes[start : start + 4096]
        products = np.concatenate([part, np.ones((len(part), 1), dtype=np.float32)], axis=1) @ augmented
        squared[start : start + 4096] = products.min(axis=1) + (part**2).sum(axis=1)
    return np.sqrt(np.maximum(squared, 0.0))


def _refine(frame: Frame, coarse_grid: FloatArray, factor: int) -> FloatArray:
    """Spread a grid of every ``factor``-th node over all nodes, bilinearly."""
    positions = (np.arange(frame.nodes) - factor // 2) / factor
    rows = np.clip(positions, 0, coarse_grid.shape[0] - 1.001)
    low = rows.astype(int)
    t = (rows - low).astype(np.float32)
    tall = coarse_grid[low] * (1 - t)[:, None] + coarse_grid[low + 1] * t[:, None]
    wide = tall[:, low] * (1 - t)[None, :] + tall[:, low + 1] * t[None, :]
    return np.asarray(wide, dtype=np.float32)
