"""One invented landscape, put together from its parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from git10m.synthetic.cover import BARE, GRASSLAND, ROAD, WATER, Drawing, Material, Painter
from git10m.synthetic.fields import draw_fields, draw_ponds, draw_quarry
from git10m.synthetic.hydrology import Stream, draw_streams
from git10m.synthetic.parcels import lay_cells
from git10m.synthetic.roads import Roads, lay_roads
from git10m.synthetic.settlement import draw_harbour, draw_settlements, place_settlements
from git10m.synthetic.surfaces import stream_of_numbers
from git10m.synthetic.terrain import Layout, Terrain, build_terrain

__all__ = ["Landscape", "invent"]

RIVER = Material(WATER, ((52, 68, 64), (46, 64, 60)))
BANK = Material(GRASSLAND, ((118, 122, 82), (136, 128, 88)))
MAIN_ROAD = Material(ROAD, ((142, 139, 134), (146, 142, 136)))
LANE = Material(ROAD, ((136, 133, 127), (141, 136, 129)), 0.04)
TRACK = Material(ROAD, ((168, 152, 124), (176, 158, 128)), 0.05)
GRAVEL = Material(BARE, ((168, 160, 144), (176, 166, 148)))


@dataclass(frozen=True)
class Landscape:
    """The land as smooth surfaces, and everything drawn upon it."""

    terrain: Terrain
    drawing: Drawing


def invent(layout: Layout, *, seed: int) -> Landscape:
    """Return the landscape of a seed."""
    streams = draw_streams(layout.frame, mouth=layout.coast_point(inland_m=-260.0, along_m=-420.0), seed=seed)
    terrain = build_terrain(layout, streams, seed=seed)
    settlements = place_settlements(layout, terrain, seed=seed)
    cells = lay_cells(layout.frame, settlements, seed=seed)
    water = shapely.union_all([stream.polygon(margin_m=9.0) for stream in streams])
    roads = lay_roads(terrain, cells, settlements, water=water, seed=seed)
    painter = Painter(stream_of_numbers(seed, "paints"))
    draw_fields(painter, terrain, cells, water=water, seed=seed)
    draw_ponds(painter, terrain, seed=seed)
    draw_quarry(painter, terrain, around=layout.focus, seed=seed)
    _draw_roads(painter, roads.tracks, TRACK, width_m=4.5)
    draw_settlements(painter, terrain, cells, settlements, water=water, seed=seed)
    _draw_streams(painter, streams)
    _draw_roads(painter, roads.lanes, LANE, width_m=6.5)
    _draw_main_roads(painter, roads)
    draw_harbour(painter, terrain, mouth=np.asarray(streams[0].points[-1]))
    return Landscape(terrain, painter.finish())


def _draw_streams(painter: Painter, streams: list[Stream]) -> None:
    painter.draw([stream.polygon(margin_m=7.0) for stream in streams], BANK)
    painter.draw([streams[0].polygon(margin_m=2.5)], GRAVEL)
    painter.draw([stream.polygon() for stream in streams], RIVER)


def _draw_roads(painter: Painter, lines: list[shapely.LineString], material: Material, *, width_m: float) -> None:
    painter.draw(shapely.buffer(np.array(lines, dtype=object), width_m / 2.0, quad_segs=2), material)


def _draw_main_roads(painter: Painter, roads: Roads) -> None:
    """Draw all main roads as one shape, so that stretches shared by two routes keep one shade."""
    network = shapely.union_all(np.array(roads.main, dtype=object))
    painter.draw([shapely.buffer(network, 5.5, quad_segs=2)], MAIN_ROAD)
