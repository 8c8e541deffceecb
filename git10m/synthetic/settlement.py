"""Town and villages: blocks between streets, lots with houses and gardens, works and a harbour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from git10m.synthetic.cover import BUILT_UP, FOREST, GRASSLAND, ROAD, Material, Painter
from git10m.synthetic.parcels import Cell, Settlement, cut, polygons, subdivide
from git10m.synthetic.surfaces import Points, stream_of_numbers
from git10m.synthetic.terrain import Layout, Terrain

__all__ = ["draw_harbour", "draw_settlements", "place_settlements"]

STREET = Material(ROAD, ((128, 126, 122), (132, 129, 124)), 0.03)
YARD = Material(BUILT_UP, ((142, 136, 126), (148, 140, 128)), 0.06)
GARDEN = Material(BUILT_UP, ((102, 114, 74), (118, 118, 78)), 0.12)
PARK = Material(GRASSLAND, ((94, 122, 64), (116, 126, 72)), 0.05)
TREES = Material(FOREST, ((52, 74, 42), (56, 70, 40)), 0.10, tall_m=9.0)
PAVED = Material(BUILT_UP, ((158, 154, 146), (162, 156, 147)), 0.04)
QUAY = Material(BUILT_UP, ((172, 166, 154), (174, 167, 154)), 0.02, tall_m=3.0, over_water=True)
ROOFS: tuple[tuple[float, Material], ...] = (
    (0.50, Material(BUILT_UP, ((166, 100, 78), (168, 102, 79)), 0.10, tall_m=8.0)),
    (0.22, Material(BUILT_UP, ((140, 92, 76), (141, 93, 76)), 0.10, tall_m=8.0)),
    (0.16, Material(BUILT_UP, ((128, 126, 126), (130, 127, 126)), 0.12, tall_m=9.0)),
    (0.12, Material(BUILT_UP, ((190, 180, 164), (191, 181, 164)), 0.10, tall_m=9.0)),
)
SHEDS: tuple[tuple[float, Material], ...] = (
    (0.45, Material(BUILT_UP, ((206, 206, 204), (207, 206, 203)), 0.07, tall_m=10.0)),
    (0.35, Material(BUILT_UP, ((146, 150, 156), (147, 150, 155)), 0.08, tall_m=10.0)),
    (0.20, Material(BUILT_UP, ((112, 134, 154), (113, 134, 153)), 0.08, tall_m=10.0)),
)


@dataclass(frozen=True, slots=True)
class _Zone:
    """How a part of a settlement is built: block and lot areas, share of a lot that is built, share of parks."""

    block_m2: float
    lot_m2: float
    built: float
    park: float
    ground: Material
    roofs: tuple[tuple[float, Material], ...]


OLD_TOWN = _Zone(6500.0, 420.0, 0.86, 0.03, YARD, ROOFS)
HOUSES = _Zone(11000.0, 640.0, 0.60, 0.05, GARDEN, ROOFS)
WORKS = _Zone(26000.0, 5200.0, 0.74, 0.02, PAVED, SHEDS)
VILLAGE = _Zone(14000.0, 950.0, 0.55, 0.04, GARDEN, ROOFS)


_Plot = tuple[_Zone, Points]
"""A block to be built up: its zone and its outline (k, 2)."""


def place_settlements(layout: Layout, terrain: Terrain, *, seed: int) -> list[Settlement]:
    """Return the town first, then villages on gentle dry ground, at least 2.1 km apart."""
    rng = stream_of_numbers(seed, "settlements")
    frame = layout.frame
    town = Settlement(layout.focus, 0.17 * layout.shore_m + 720.0, 330.0, rng.uniform(0.0, math.pi))
    chosen = [town]
    spots = np.array(frame.centre) + rng.uniform(-0.47, 0.47, (900, 2)) * frame.side_m
    gentle = frame.at(terrain.slope, spots) < 0.09
    dry = (frame.at(terrain.inland_m, spots) > 450.0) & (frame.at(terrain.woodland, spots) < 0.3)
    wanted = 1 + round((frame.side_m / 1000.0) ** 2 / 14.0)
    for spot in spots[gentle & dry]:
        if len(chosen) >= wanted:
            break
        gaps = [math.dist(spot, place.centre) - place.radius_m for place in chosen]
        if min(gaps) > 1050.0:
            radius = rng.uniform(170.0, 360.0)
            chosen.append(Settlement((spot[0], spot[1]), radius, 210.0, rng.uniform(0.0, math.pi)))
    return chosen


def draw_settlements(
    painter: Painter,
    terrain: Terrain,
    cells: Sequence[Cell],
    settlements: Sequence[Settlement],
    *,
    water: shapely.Geometry,
    seed: int,
) -> None:
    """Build up every cell that belongs to a settlement, away from the water."""
    rng = stream_of_numbers(seed, "blocks")
    plots: list[_Plot] = []
    for cell in cells:
        if cell.settlement >= 0:
            plots.extend(_plan_cell(cell, settlements[cell.settlement], cell.settlement == 0, rng))
    shapely.prepare(water)
    blocks = [item for item in plots if _buildable(terrain, item[1])]
    shapes = polygons([outline for _, outline in blocks])
    dry = ~shapely.intersects(water, shapes)
    blocks = [item for item, keep in zip(blocks, dry, strict=True) if keep]
    painter.draw(shapely.buffer(shapes[dry], 5.0, join_style="mitre"), STREET)
    for zone in (OLD_TOWN, HOUSES, WORKS, VILLAGE):
        _draw_zone(painter, zone, [outline for kind, outline in blocks if kind is zone], rng)


def _plan_cell(cell: Cell, place: Settlement, is_town: bool, rng: np.random.Generator) -> list[_Plot]:
    """Choose the zone of a cell by its place and cut it into blocks."""
    middle = cell.outline.mean(axis=0)
    part = math.dist(middle, place.centre) / place.radius_m
    if not is_town:
        zone = VILLAGE
    elif part < 0.38:
        zone = OLD_TOWN
    else:
        zone = WORKS if part > 0.6 and rng.uniform() < 0.25 else HOUSES
    plots = []
    for block in subdivide(cell.outline, angle=cell.angle, area_m2=zone.block_m2, rng=rng):
        edge = math.dist(block.mean(axis=0), place.centre) / place.radius_m
        if rng.uniform() < 1.9 - 1.25 * edge:
            plots.append((zone, block))
    return plots


def _buildable(terrain: Terrain, outline: Points) -> bool:
    frame = terrain.frame
    return bool(frame.at(terrain.inland_m, outline).min() > 75.0 and frame.at(terrain.slope, outline).max() < 0.28)


def _draw_zone(painter: Painter, zone: _Zone, blocks: Sequence[Points], rng: np.random.Generator) -> None:
    grounds = polygons(blocks, inset_m=4.0)
    park = rng.uniform(size=len(blocks)) < zone.park
    painter.draw(grounds[~park], zone.ground)
    painter.draw(grounds[park], PARK)
    _plant_trees(painter, grounds[park], per_hectare=22.0, rng=rng)
    if zone.ground is GARDEN:
        _plant_trees(painter, grounds[~park], per_hectare=7.0, rng=rng)
    roofs: list[tuple[Points, Points]] = []
    for ground in grounds[~park]:
        for block in shapely.get_parts(ground):
            outline = shapely.get_coordinates(block)[:-1]
            roofs.extend(_roofs(zone, outline, rng))
    _draw_roofs(painter, zone, roofs, rng)


def _roofs(zone: _Zone, block: Points, rng: np.random.Generator) -> list[tuple[Points, Points]]:
    """Return the two halves of the roof on each built lot of a block."""
    if len(block) < 3:
        return []
    edge = np.roll(block, -1, axis=0) - block
    longest = edge[np.argmax(np.hypot(*edge.T))]
    angle = math.atan2(longest[1], longest[0])
    built = []
    for lot in subdivide(block, angle=angle, area_m2=zone.lot_m2, rng=rng):
        if rng.uniform() < 0.12:
            continue
        middle = lot.mean(axis=0)
        scale = zone.built * rng.uniform(0.85, 1.08, 2)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        house = ((lot - middle) @ turn.T * scale) @ turn + middle
        spans = np.ptp(house @ turn.T, axis=0)
        normal = turn[1] if spans[0] > spans[1] else turn[0]
        built.append(cut(house, float(middle @ normal), normal))
    return built


def _draw_roofs(
    painter: Painter, zone: _Zone, roofs: Sequence[tuple[Points, Points]], rng: np.random.Generator
) -> None:
    shares = np.array([share for share, _ in zone.roofs])
    kinds = rng.choice(len(zone.roofs), size=len(roofs), p=shares / shares.sum())
    for number, (_, material) in enumerate(zone.roofs):
        for half in (0, 1):
            outlines = [roof[half] for roof, kind in zip(roofs, kinds, strict=True) if kind == number]
            painter.draw(polygons([outline for outline in outlines if len(outline) >= 3]), material)


def _plant_trees(painter: Painter, grounds: np.ndarray, *, per_hectare: float, rng: np.random.Generator) -> None:
    if not len(grounds):
        return
    count = np.round(shapely.area(grounds) * 1e-4 * per_hectare).astype(int)
    west, south, east, north = np.repeat(shapely.bounds(grounds), count, axis=0).T
    x, y = rng.uniform(west, np.maximum(east, west)), rng.uniform(south, np.maximum(north, south))
    trees = shapely.points(x, y)
    inside = shapely.contains(np.repeat(grounds, count), trees)
    painter.draw(shapely.buffer(trees[inside], rng.uniform(2.2, 5.0, int(inside.sum())), quad_segs=2), TREES)


def draw_harbour(painter: Painter, terrain: Terrain, *, mouth: Points) -> None:
    """Build a breakwater on each side of the river's mouth, from the shore into the sea."""
    seaward = np.array([-1.0, -1.0]) / math.sqrt(2.0)
    along = np.array([1.0, -1.0]) / math.sqrt(2.0)
    for side, reach in ((-1.0, 300.0), (1.0, 220.0)):
        ray = mouth + side * 210.0 * along + np.arange(-900.0, 900.0, 10.0)[:, None] * seaward
        dry = terrain.frame.at(terrain.inland_m, ray) > 12.0
        root = ray[np.flatnonzero(dry)[-1]] if dry.any() else ray[90]
        bend = root + reach * seaward
        head = bend + 0.45 * reach * seaward - side * 105.0 * along
        line = shapely.linestrings([root, bend, head])
        painter.draw([shapely.buffer(line, 7.5, cap_style="round")], QUAY)
