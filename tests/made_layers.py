"""Layers that are made for tests, in the real formats: an extract of OpenStreetMap, a class raster, an elevation model.

No real extract is at hand offline. These are written by the libraries that the world's real files are written with:
pyosmium for ``.osm.pbf``, rasterio for GeoTIFF.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import osmium
import rasterio
from osmium.osm.mutable import Node, Relation, Way

from git10m import records
from git10m.grid import Tile
from git10m.recipe import Captions, LandCover, Objects, Relief

LON, LAT = 5.49, 47.09
"""Near Dole, France."""
WORLDCOVER = {
    *(("10", "Tree cover"), ("30", "Grassland"), ("40", "Cropland"), ("50", "Built-up")),
    ("80", "Permanent water bodies"),
}
NO_FACTS: dict[str, Any] = {field.name: None for field in records.FACTS}
FULL_FACTS: dict[str, Any] = {
    "platform": "satellite",
    "sensor": None,
    "date": date(2020, 8, 31),
    "season": "summer",
    "place": {"name": "Dole", "country": "France", "distance_km": 12.2, "direction": "north-east"},
    "areas": [{"layer": "regions", "name": "Burgundy"}],
    "land_cover": [
        {"name": "forest", "share": 0.61, "part": None},
        {"name": "fields", "share": 0.27, "part": "north-west"},
        {"name": "water", "share": 0.04, "part": "centre"},
    ],
    "objects": [
        {"kind": "river", "count": None, "name": "Le Doubs", "part": None},
        {"kind": "lake", "count": 1, "name": "Lac Bleu", "part": "north-west"},
        {"kind": "building", "count": 347, "name": None, "part": "south-east"},
    ],
    "relief": {"lowest_m": 211.3, "highest_m": 401.0, "slope_deg": 6.2},
}

LonLat = tuple[float, float]
M = 1.0 / 111_320.0
"""A metre of latitude in degrees."""


class Extract:
    """Gathers objects and writes them as an extract, nodes first, as every extract has them."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._ways: list[Way] = []
        self._relations: list[Relation] = []

    def node(self, at: LonLat, **tags: str) -> int:
        """Add a node; tags with a colon are written with two underscores."""
        number = len(self._nodes) + 1
        self._nodes.append(Node(id=number, location=at, tags=_tags(tags)))
        return number

    def way(self, points: Sequence[LonLat], *, closed: bool = False, **tags: str) -> int:
        nodes = [self.node(point) for point in points]
        self._ways.append(
            Way(id=len(self._ways) + 1, nodes=[*nodes, *([nodes[0]] if closed else [])], tags=_tags(tags))
        )
        return len(self._ways)

    def ring(self, points: Sequence[LonLat], **tags: str) -> int:
        return self.way(points, closed=True, **tags)

    def box(self, middle: LonLat, width_m: float, height_m: float | None = None, **tags: str) -> int:
        """Add a closed way of some metres around a point."""
        return self.ring(box_ring(middle, width_m, height_m), **tags)

    def relation(self, outer: Iterable[int], inner: Iterable[int] = (), **tags: str) -> None:
        members = [*(("w", way, "outer") for way in outer), *(("w", way, "inner") for way in inner)]
        tags = {"type": "multipolygon", **_tags(tags)}
        self._relations.append(Relation(id=len(self._relations) + 1, members=members, tags=tags))

    def write(self, path: Path, *, box: tuple[float, float, float, float] | None = None) -> Path:
        header = osmium.io.Header()
        if box is not None:
            header.add_box(osmium.osm.Box(*box))
        with osmium.SimpleWriter(str(path), header=header, overwrite=True) as writer:
            for node in self._nodes:
                writer.add_node(node)
            for way in self._ways:
                writer.add_way(way)
            for relation in self._relations:
                writer.add_relation(relation)
        return path


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.replace("__", ":"): value for key, value in tags.items()}


def box_ring(middle: LonLat, width_m: float, height_m: float | None = None) -> list[LonLat]:
    lon, lat = middle
    across = 0.5 * width_m * M / np.cos(np.radians(lat))
    up = 0.5 * (width_m if height_m is None else height_m) * M
    return [(lon - across, lat - up), (lon + across, lat - up), (lon + across, lat + up), (lon - across, lat + up)]


def away(east_m: float, north_m: float, start: LonLat = (LON, LAT)) -> LonLat:
    """Return the point so many metres from another."""
    return start[0] + east_m * M / np.cos(np.radians(start[1])), start[1] + north_m * M


def town(path: Path) -> Path:
    """Write a town of 6 × 6 km: houses along streets, a river with a lake, a wood, a motorway, pitches, a church."""
    made, draw = Extract(), np.random.default_rng(1)
    for row in range(-30, 30, 2):
        made.way([away(-1500 + 100 * i, 50.0 * row) for i in range(31)], highway="residential", name=f"Rue {row + 31}")
        for column in range(-75, 75):
            if draw.random() < 0.6:
                size = float(draw.uniform(7, 16))
                kind = {"building": str(draw.choice(["yes", "house", "house", "garage"]))}
                made.box(away(20.0 * column, 50.0 * row + 20), size, size * 0.8, **kind)
    made.way(
        [away(-3000, 200 * np.sin(i / 4) + 1800, away(200 * i, 0)) for i in range(31)],
        waterway="river",
        name="Le Doubs",
    )
    made.box(away(-2200, 2300), 500, 300, natural="water", water="lake", name="Lac Bleu")
    made.box(away(2200, -2200), 1500, 1200, natural="wood")
    made.way([away(-3000, -2600), away(0, -2500), away(3000, -2700)], highway="motorway", ref="A 39", lanes="3")
    for i in range(3):
        made.box(away(1800 + 60 * i, 500), 24, 11, leisure="pitch", sport="tennis")
    made.box(away(0, 20), 30, 15, building="church", name="Saint-Étienne")
    made.box(away(-1900, -500), 260, 200, amenity="school", name="Collège <b>Hugo</b>\n\u202e")
    return made.write(path)


def world_of_layers(folder: Path) -> tuple[Captions, list[Tile]]:
    """Write a town, its land cover and its relief; return a recipe's table and 600 tiles of six levels."""
    west, north = away(-6000, 6000)
    pixel = 10.0 * M / np.cos(np.radians(LAT))
    transform = rasterio.Affine(pixel, 0, west, 0, -10.0 * M, north)
    row, column = np.mgrid[0:1200, 0:1200]
    codes = np.where((column // 97 + row // 61) % 3 == 0, 40, 30)
    codes = np.where((column - 820) ** 2 + (row - 820) ** 2 < 200**2, 10, codes)
    codes = np.where((abs(column - 600) < 150) & (abs(row - 600) < 150), 50, codes)
    codes = np.where((abs(column - 380) < 25) & (abs(row - 370) < 15), 80, codes).astype("uint8")
    heights = (210 + 0.02 * column + 60 * np.exp(-((column - 800) ** 2 + (row - 900) ** 2) / 90_000)).astype("float32")
    for name, values in (("ESA_WorldCover_made.tif", codes), ("dem.tif", heights)):
        with rasterio.open(
            folder / name, "w", driver="GTiff", crs="EPSG:4326", transform=transform, width=1200, height=1200, count=1,
            dtype=values.dtype,
        ) as file:  # fmt: skip
            file.write(values, 1)
    captions = Captions(
        land_cover=LandCover(path=str(folder / "ESA_WorldCover_made.tif"), classes=dict(WORLDCOVER)),
        objects=(Objects(path=str(town(folder / "town.osm.pbf"))),),
        relief=Relief(path=str(folder / "dem.tif")),
    )
    tiles = []
    for level, reach in ((18, 8), (17, 7), (16, 5), (15, 3), (14, 2), (13, 1)):
        middle = Tile.from_lonlat(LON, LAT, level)
        span = range(-reach, reach)
        tiles += [Tile(level, middle.x + x, middle.y + y) for x in span for y in span]
    return captions, tiles
