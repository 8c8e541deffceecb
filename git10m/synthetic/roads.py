"""Roads along the borders of the cells: least-cost routes from the town to every village and out of the map."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely

from git10m.synthetic.parcels import Cell, Settlement
from git10m.synthetic.surfaces import Points, stream_of_numbers
from git10m.synthetic.terrain import Terrain

__all__ = ["Roads", "lay_roads"]


@dataclass(frozen=True)
class Roads:
    """Centre lines by rank.

    Args:
        main: Roads that link settlements.
        lanes: Sealed lanes and village streets.
        tracks: Farm tracks.
    """

    main: list[shapely.LineString]
    lanes: list[shapely.LineString]
    tracks: list[shapely.LineString]


@dataclass(frozen=True)
class _Graph:
    nodes: Points
    edges: np.ndarray
    costs: Points


def lay_roads(
    terrain: Terrain,
    cells: Sequence[Cell],
    settlements: Sequence[Settlement],
    *,
    water: shapely.Geometry,
    seed: int,
) -> Roads:
    """Return the network; only main roads cross the river."""
    graph, wet = _graph(terrain, cells, water)
    targets = [_nearest(graph.nodes, place.centre) for place in settlements] + _exits(terrain, graph)
    before = _shortest_paths(graph, targets[0])
    routes = [_route(before, target) for target in targets[1:]]
    used = {(min(a, b), max(a, b)) for route in routes for a, b in pairwise(route)}
    main = [shapely.LineString(_chaikin(graph.nodes[route])) for route in routes if len(route) > 1]
    rng = stream_of_numbers(seed, "lanes")
    lanes, tracks = [], []
    middles = graph.nodes[graph.edges].mean(axis=1)
    urban = np.zeros(len(middles), dtype=bool)
    for place in settlements:
        urban |= np.hypot(*(middles - place.centre).T) < place.radius_m
    steep = terrain.frame.at(terrain.slope, middles)
    for (a, b), is_urban, is_wet, slope in zip(graph.edges, urban, wet, steep, strict=True):
        chance = rng.uniform()
        if is_wet or (a, b) in used:
            continue
        line = shapely.LineString(graph.nodes[[a, b]])
        if is_urban or (chance < 0.3 and slope < 0.2):
            lanes.append(line)
        elif chance < 0.8 and slope < 0.35:
            tracks.append(line)
    return Roads(main, lanes, tracks)


def _graph(terrain: Terrain, cells: Sequence[Cell], water: shapely.Geometry) -> tuple[_Graph, np.ndarray]:
    """Return the graph of the cells' borders that lie on land, and which edges touch a stream."""
    starts = np.concatenate([cell.outline for cell in cells])
    ends = np.concatenate([np.roll(cell.outline, -1, axis=0) for cell in cells])
    nodes, index = np.unique(np.round(np.concatenate([starts, ends])), axis=0, return_inverse=True)
    pairs = np.sort(index.reshape(2, -1).T, axis=1)
    edges = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    frame = terrain.frame
    samples = nodes[edges[:, :1]] + np.linspace(0, 1, 5)[None, :, None] * np.diff(nodes[edges], axis=1)
    dry = frame.at(terrain.inland_m, samples).min(axis=1) > 70.0
    edges, samples = edges[dry], samples[dry]
    length = np.hypot(*(nodes[edges[:, 1]] - nodes[edges[:, 0]]).T)
    climb = np.abs(np.diff(frame.at(terrain.height_m, samples), axis=1)).sum(axis=1)
    lines = shapely.linestrings(nodes[edges])
    shapely.prepare(water)
    wet = shapely.intersects(water, lines)
    costs = length + 18.0 * climb + 1400.0 * wet
    return _Graph(nodes, edges, costs), wet


def _nearest(nodes: Points, point: tuple[float, float]) -> int:
    return int(np.argmin(np.hypot(*(nodes - point).T)))


def _exits(terrain: Terrain, graph: _Graph) -> list[int]:
    """Return nodes at the edges of the map where roads leave it."""
    frame = terrain.frame
    half = 0.5 * frame.side_m
    places = [(0.99, 0.3), (0.35, 0.99), (0.99, -0.75), (-0.75, 0.99)]
    x, y = frame.centre
    linked = np.unique(graph.edges)
    return [int(linked[_nearest(graph.nodes[linked], (x + a * half, y + b * half))]) for a, b in places]


def _shortest_paths(graph: _Graph, start: int) -> dict[int, int]:
    """Return each reached node's predecessor on its cheapest path from ``start`` (Dijkstra, 1959)."""
    neighbours: dict[int, list[tuple[int, float]]] = {}
    for (a, b), cost in zip(graph.edges.tolist(), graph.costs.tolist(), strict=True):
        neighbours.setdefault(a, []).append((b, cost))
        neighbours.setdefault(b, []).append((a, cost))
    before, best, queue = {start: start}, {start: 0.0}, [(0.0, start)]
    while queue:
        spent, node = heapq.heappop(queue)
        if spent > best[node]:
            continue
        for other, cost in neighbours.get(node, []):
            total = spent + cost
            if total < best.get(other, np.inf):
                best[other], before[other] = total, node
                heapq.heappush(queue, (total, other))
    return before


def _route(before: dict[int, int], target: int) -> list[int]:
    if target not in before:
        return []
    route = [target]
    while before[route[-1]] != route[-1]:
        route.append(before[route[-1]])
    return route


def _chaikin(points: Points) -> Points:
    """Round the corners of a line (Chaikin, 1974), ends kept."""
    for _ in range(3):
        quarter = 0.75 * points[:-1] + 0.25 * points[1:]
        three = 0.25 * points[:-1] + 0.75 * points[1:]
        inner = np.stack([quarter, three], axis=1).reshape(-1, 2)
        points = np.concatenate([points[:1], inner, points[-1:]])
    return points
