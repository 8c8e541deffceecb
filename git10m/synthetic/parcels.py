"""Parcels of land: a Voronoi patchwork of cells, each cut along its own direction into fields or blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from git10m.synthetic.surfaces import Frame, Points, stream_of_numbers

__all__ = ["Cell", "Settlement", "area", "cut", "lay_cells", "polygons", "subdivide"]

CELL_M = 640.0


@dataclass(frozen=True)
class Settlement:
    """A town or a village.

    Args:
        centre: (easting, northing).
        radius_m: How far it reaches.
        cell_m: Size of its quarters.
        angle: Direction of its streets, radians.
    """

    centre: tuple[float, float]
    radius_m: float
    cell_m: float
    angle: float


@dataclass(frozen=True)
class Cell:
    """A convex piece of land with one direction of cultivation.

    Args:
        outline: Corners (k, 2), not closed.
        angle: Direction of its furrows or streets, radians.
        settlement: Index of the settlement that it belongs to; −1 in the open country.
    """

    outline: Points
    angle: float
    settlement: int


def lay_cells(frame: Frame, settlements: Sequence[Settlement], *, seed: int) -> list[Cell]:
    """Divide a frame into Voronoi cells of jittered points, smaller in settlements."""
    rng = stream_of_numbers(seed, "cells")
    seeds = _jittered_grid(frame.centre, frame.side_m, CELL_M, rng)
    owners = np.full(len(seeds), -1)
    for number, place in enumerate(settlements):
        outside = np.hypot(*(seeds - place.centre).T) > place.radius_m + 0.4 * place.cell_m
        inner = _jittered_grid(place.centre, 2.0 * place.radius_m, place.cell_m, rng)
        inner = inner[np.hypot(*(inner - place.centre).T) < place.radius_m]
        seeds = np.concatenate([seeds[outside], inner])
        owners = np.concatenate([owners[outside], np.full(len(inner), number)])
    outlines = _voronoi(seeds, frame)
    phases = rng.uniform(0.0, 2.0 * math.pi, 2)
    cells = []
    for point, owner, outline in zip(seeds, owners, outlines, strict=True):
        trend = 0.7 * math.sin(point[0] / 3900.0 + phases[0]) + 0.6 * math.sin(point[1] / 3100.0 + phases[1])
        angle = settlements[owner].angle if owner >= 0 else trend
        cells.append(Cell(outline, angle + 0.16 * rng.standard_normal(), int(owner)))
    return cells


def _jittered_grid(centre: tuple[float, float], side_m: float, step_m: float, rng: np.random.Generator) -> Points:
    count = max(1, round(side_m / step_m))
    offsets = (np.arange(count) + 0.5) * (side_m / count) - side_m / 2
    points = np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2)
    return np.asarray(points + centre + rng.uniform(-0.36, 0.36, points.shape) * step_m)


def _voronoi(seeds: Points, frame: Frame) -> list[Points]:
    """Return each seed's cell (k, 2), in the order of the seeds."""
    west, north = frame.west_m, frame.north_m
    square = shapely.box(west, north - frame.side_m, west + frame.side_m, north)
    found = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(seeds), extend_to=square))
    at, cell = shapely.STRtree(found).query(shapely.points(seeds), predicate="within")
    owner = np.empty(len(seeds), dtype=int)
    owner[at] = cell
    clipped = shapely.intersection(found[owner], square)
    return [shapely.get_coordinates(shape)[:-1] for shape in clipped]


def area(outline: Points) -> float:
    """Return the area of a polygon (k, 2) by the shoelace formula, always positive."""
    following = _next(outline)
    return abs(float(outline[:, 0] @ following[:, 1] - outline[:, 1] @ following[:, 0])) / 2.0


def _next(outline: Points) -> Points:
    """Return, for each corner, the one after it."""
    return np.concatenate([outline[1:], outline[:1]])


def cut(outline: Points, offset: float, normal: Points) -> tuple[Points, Points]:
    """Cut a convex polygon along the line ``normal · p = offset`` (Sutherland and Hodgman, 1974).

    Returns:
        The part below and the part above; either may be empty (0, 2).
    """
    height = outline @ normal - offset
    following = _next(height)
    crossing = height * following < 0.0
    t = np.where(crossing, height / np.where(crossing, height - following, 1.0), 0.0)[:, None]
    meets = outline + t * (_next(outline) - outline)
    both = np.stack([outline, meets], axis=1).reshape(-1, 2)
    below = np.stack([height <= 0.0, crossing], axis=1).ravel()
    above = np.stack([height > 0.0, crossing], axis=1).ravel()
    return both[below], both[above]


def subdivide(outline: Points, *, angle: float, area_m2: float, rng: np.random.Generator) -> list[Points]:
    """Cut a convex polygon across its longer side, again and again, until the pieces are about ``area_m2``."""
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    waiting, done = [outline], []
    while waiting:
        piece = waiting.pop()
        if len(piece) < 3:
            continue
        if area(piece) < area_m2 * rng.uniform(0.75, 1.9):
            done.append(piece)
            continue
        spans = [(np.ptp(piece @ direction), direction) for direction in (along, across)]
        # fields are longer than wide: the direction of the furrows counts for less
        normal = along if 0.7 * spans[0][0] > spans[1][0] else across
        reach = piece @ normal
        offset = reach.min() + np.ptp(reach) * rng.uniform(0.38, 0.62)
        waiting.extend(cut(piece, float(offset), normal))
    return done


def polygons(outlines: Sequence[Points], *, inset_m: float = 0.0) -> np.ndarray:
    """Return shapely polygons, each drawn in by a margin; what vanishes is an empty polygon."""
    shapes = np.array([shapely.Polygon(outline) for outline in outlines], dtype=object)
    if inset_m and len(shapes):
        return np.asarray(shapely.buffer(shapes, -inset_m, join_style="mitre"))
    return shapes
