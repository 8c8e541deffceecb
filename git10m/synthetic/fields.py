"""Open country: fields with their crops, hedges between them, orchards, ponds and a quarry."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import shapely

from git10m.synthetic.cover import BARE, FARMLAND, FOREST, GRASSLAND, WATER, Material, Painter
from git10m.synthetic.parcels import Cell, polygons, subdivide
from git10m.synthetic.surfaces import FloatArray, Points, stream_of_numbers
from git10m.synthetic.terrain import Terrain

__all__ = ["draw_fields", "draw_ponds", "draw_quarry"]

CROPS: tuple[tuple[float, Material], ...] = (
    (0.22, Material(FARMLAND, ((84, 108, 58), (190, 170, 126)), 0.08, stripe_m=21.0, stripe=0.040)),
    (0.14, Material(FARMLAND, ((100, 120, 68), (174, 154, 112)), 0.08, stripe_m=18.0, stripe=0.035)),
    (0.035, Material(FARMLAND, ((170, 164, 82), (136, 112, 88)), 0.06, stripe_m=18.0, stripe=0.03)),
    (0.13, Material(FARMLAND, ((142, 122, 98), (84, 102, 58)), 0.07, stripe_m=15.0, stripe=0.05)),
    (0.10, Material(FARMLAND, ((122, 104, 84), (138, 128, 86)), 0.07, stripe_m=15.0, stripe=0.05)),
    (0.08, Material(FARMLAND, ((158, 142, 116), (74, 106, 58)), 0.07, stripe_m=12.0, stripe=0.07)),
    (0.15, Material(GRASSLAND, ((104, 122, 72), (130, 130, 84)), 0.07, stripe_m=26.0, stripe=0.02)),
    (0.08, Material(GRASSLAND, ((130, 132, 92), (154, 142, 106)), 0.07)),
    (0.05, Material(FARMLAND, ((112, 114, 76), (108, 108, 72)), 0.06, stripe_m=11.0, stripe=0.28)),
    (0.03, Material(FARMLAND, ((146, 134, 106), (118, 118, 78)), 0.06, stripe_m=9.6, stripe=0.22)),
)
"""Share and look of each use: cereals, rape, maize, beet, vegetables, meadow, fallow, orchard, vineyard."""

HEDGE = Material(FOREST, ((54, 76, 42), (58, 72, 40)), 0.12, tall_m=5.0)
POND = Material(WATER, ((44, 62, 62), (48, 64, 58)), 0.1)
REEDS = Material(GRASSLAND, ((96, 108, 64), (118, 112, 70)), 0.06)
QUARRY = Material(BARE, ((190, 180, 160), (194, 183, 162)), 0.03)
QUARRY_STEP = Material(BARE, ((166, 155, 136), (170, 158, 138)), 0.05)


def draw_fields(
    painter: Painter, terrain: Terrain, cells: Sequence[Cell], *, water: shapely.Geometry, seed: int
) -> None:
    """Cut the cells outside settlements into fields and give each a crop; woods and wet ground stay as they are."""
    rng = stream_of_numbers(seed, "fields")
    outlines, angles = _cut_cells(terrain, [cell for cell in cells if cell.settlement < 0], rng)
    shapes = polygons(outlines)
    shapely.prepare(water)
    wet = shapely.intersects(water, shapes)
    pieces = [
        (piece, angle)
        for outline, angle in zip(_chosen(outlines, wet), angles[wet], strict=True)
        for piece in subdivide(outline, angle=float(angle), area_m2=4500.0, rng=rng)
    ]
    small = polygons([piece for piece, _ in pieces])
    dry = ~shapely.intersects(water, small)
    all_outlines = _chosen(outlines, ~wet) + _chosen([piece for piece, _ in pieces], dry)
    all_angles = np.concatenate([angles[~wet], np.array([angle for _, angle in pieces])[dry]])
    fit = np.array([_arable(terrain, outline) for outline in all_outlines])
    all_outlines, all_angles = _chosen(all_outlines, fit), all_angles[fit]
    _draw_hedges(painter, polygons(all_outlines), rng)
    _draw_crops(painter, polygons(all_outlines, inset_m=2.2), all_angles, rng)


def _chosen(items: Sequence[Points], mask: np.ndarray) -> list[Points]:
    return [item for item, keep in zip(items, mask, strict=True) if keep]


def _cut_cells(terrain: Terrain, cells: Sequence[Cell], rng: np.random.Generator) -> tuple[list[Points], np.ndarray]:
    """Return the fields of all cells and their directions; each cell has its own typical size."""
    outlines: list[Points] = []
    angles: list[float] = []
    for cell in cells:
        typical = 10000.0 * math.exp(rng.normal(0.75, 0.45))
        if terrain.frame.at(terrain.inland_m, cell.outline).max() < 60.0:
            continue
        pieces = subdivide(cell.outline, angle=cell.angle, area_m2=typical, rng=rng)
        outlines.extend(pieces)
        angles.extend([cell.angle] * len(pieces))
    return outlines, np.array(angles)


def _arable(terrain: Terrain, outline: Points) -> bool:
    """Tell whether a field could be here: no wood, not steep, behind the dunes."""
    inside = np.concatenate([0.75 * outline + 0.25 * outline.mean(axis=0), outline.mean(axis=0)[None]])
    frame = terrain.frame
    wooded: FloatArray = frame.at(terrain.woodland, inside)
    return bool(
        (wooded > -0.05).mean() < 0.34
        and frame.at(terrain.slope, inside).max() < 0.30
        and frame.at(terrain.inland_m, inside).min() > 190.0
        and frame.at(terrain.rock, inside).max() < 0.0
    )


def _draw_hedges(painter: Painter, shapes: np.ndarray, rng: np.random.Generator) -> None:
    hedged = shapes[rng.uniform(size=len(shapes)) < 0.3]
    borders = shapely.boundary(hedged)
    painter.draw(shapely.buffer(borders, rng.uniform(2.5, 4.5, len(borders)), quad_segs=1), HEDGE)


def _draw_crops(painter: Painter, shapes: np.ndarray, angles: np.ndarray, rng: np.random.Generator) -> None:
    shares = np.array([share for share, _ in CROPS])
    chosen = rng.choice(len(CROPS), size=len(shapes), p=shares / shares.sum())
    turned = angles + np.where(rng.uniform(size=len(shapes)) < 0.2, math.pi / 2, 0.0)
    for number, (_, material) in enumerate(CROPS):
        mine = chosen == number
        painter.draw(shapes[mine], material, angles=turned[mine])


def draw_ponds(painter: Painter, terrain: Terrain, *, seed: int) -> None:
    """Scatter ponds with reeds over the flat land."""
    rng = stream_of_numbers(seed, "ponds")
    frame = terrain.frame
    count = round((frame.side_m / 1000.0) ** 2 * 0.5)
    places = np.array(frame.centre) + rng.uniform(-0.5, 0.5, (count, 2)) * frame.side_m
    flat = (frame.at(terrain.slope, places) < 0.06) & (frame.at(terrain.inland_m, places) > 350.0)
    shapes = np.array([blob(place, rng.uniform(22.0, 75.0), rng) for place in places[flat]], dtype=object)
    painter.draw(shapely.buffer(shapes, 9.0), REEDS)
    painter.draw(shapes, POND)


def draw_quarry(painter: Painter, terrain: Terrain, *, around: tuple[float, float], seed: int) -> None:
    """Dig a terraced quarry into the steepest of the nearby slopes that are dry land."""
    rng = stream_of_numbers(seed, "quarry")
    ring = rng.uniform(0.0, 2.0 * math.pi, 300)
    places = np.array(around) + 1250.0 * np.stack([np.cos(ring), np.sin(ring)], axis=1)
    frame = terrain.frame
    dry = frame.at(terrain.inland_m, places) > 500.0
    place = places[np.argmax(np.where(dry, frame.at(terrain.slope, places), -1.0))]
    for number, radius in enumerate((150.0, 118.0, 90.0, 58.0)):
        shape = blob(place + number * np.array([9.0, -6.0]), radius, rng)
        painter.draw([shape], QUARRY_STEP if number % 2 == 0 else QUARRY)


def blob(place: Points, radius_m: float, rng: np.random.Generator) -> shapely.Polygon:
    """Return a rounded irregular polygon."""
    turn = np.linspace(0.0, 2.0 * math.pi, 48, endpoint=False)
    radius = np.ones_like(turn)
    for wave in range(2, 6):
        radius += rng.normal(0.0, 0.32 / wave) * np.cos(wave * turn + rng.uniform(0.0, 2.0 * math.pi))
    reach = radius_m * radius.clip(0.4)
    return shapely.Polygon(np.stack([place[0] + reach * np.cos(turn), place[1] + reach * np.sin(turn)], axis=1))
