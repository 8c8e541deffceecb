"""The embedded default: scenes of an invented landscape, written by the project itself.

No download and no binary in the repository is needed to try the toolkit: ``write_scenes`` computes a landscape from
a seed (relief, coast, river, fields, forest, roads, a town and villages) and lets two sensors look at it:

- ``coast``: 2.4 m pixels in a UTM projection, over the town at the river's mouth;
- ``region``: about 9.5 m pixels in geographic degrees, over everything, the first scene's ground included.

Both look twice, in spring and at the end of summer. Where they overlap they show the same ground, and the land-cover
rasters hold the very classes that the pictures were painted from.

The landscape lies where nothing does, in the open Atlantic at 45° W, 35° N, so that nobody can take it for a real
place. Every file says that it is synthetic, in its name and in its tags.
"""

from __future__ import annotations

import math
from pathlib import Path

import pyproj
from rasterio.transform import Affine

from git10m.grid import Tile
from git10m.synthetic.cover import DATES, LAND_COVER
from git10m.synthetic.landscape import invent
from git10m.synthetic.painting import View, paint
from git10m.synthetic.surfaces import Frame
from git10m.synthetic.terrain import Layout
from git10m.synthetic.writing import write_land_cover, write_picture

__all__ = ["DATES", "LAND_COVER", "write_scenes"]

PROJECTED = "EPSG:32623"
REGION_CORNER = Tile(12, 1535, 1614)
COAST_PIXEL_M = 2.4
REGION_PIXEL_DEG = (0.000104, 0.0000855)
"""Longitude and latitude of a pixel: 9.43 m and 9.49 m at 35.5° N."""
SMALLEST_PX = 512


def write_scenes(folder: Path, *, seed: int, size_px: int = 1536) -> list[Path]:
    """Write the scenes ``synthetic_{coast,region}_{date}.tif`` and ``synthetic_{coast,region}_landcover.tif``.

    The same seed, size and versions of the libraries give the same bytes. The landscape grows with the scenes, so
    another size shows another landscape.

    Args:
        folder: Where to write; made if missing.
        seed: Chooses the landscape, 0 or more.
        size_px: Columns and rows of every scene, 512 or more.

    Returns:
        The files, in the order of writing.

    Raises:
        ValueError: If a number is out of range.
    """
    if seed < 0 or size_px < SMALLEST_PX:
        raise ValueError(
            f"seed={seed}, size_px={size_px}: expected a seed of 0 or more and at least {SMALLEST_PX} pixels a side"
        )
    folder.mkdir(parents=True, exist_ok=True)
    views = _views(size_px)
    landscape = invent(_layout(*views), seed=seed)
    written = []
    for view in views:
        pictures, classes = paint(view, landscape, projected=PROJECTED, seed=seed)
        for date, picture in zip(DATES, pictures, strict=True):
            path = folder / f"synthetic_{view.name}_{date}.tif"
            written.append(write_picture(path, picture, view=view, date=date, seed=seed))
        path = folder / f"synthetic_{view.name}_landcover.tif"
        written.append(write_land_cover(path, classes, view=view, seed=seed))
    return written


def _views(size_px: int) -> tuple[View, View]:
    """Return both sensors; their north-west corners lie just outside corners of the tile grid."""
    lon, lat = _outside(REGION_CORNER, margin=0.03)
    east, south = REGION_PIXEL_DEG
    region = View(
        name="region",
        crs="EPSG:4326",
        transform=Affine(east, 0.0, lon, 0.0, -south, lat),
        size_px=size_px,
        gsd_m=9.46,
        haze=0.10,
        noise=1.6,
    )
    # the coast scene starts in the south-western quarter of the region, on a corner of level 15
    corner = Tile.from_lonlat(lon + 0.17 * size_px * east, lat - 0.55 * size_px * south, 15)
    x, y = pyproj.Transformer.from_crs("EPSG:4326", PROJECTED, always_xy=True).transform(*_outside(corner, margin=0.06))
    step = COAST_PIXEL_M
    coast = View(
        name="coast",
        crs=PROJECTED,
        transform=Affine(step, 0.0, math.floor(x / step) * step, 0.0, -step, math.ceil(y / step) * step),
        size_px=size_px,
        gsd_m=step,
        haze=0.05,
        noise=1.4,
    )
    return coast, region


def _outside(tile: Tile, *, margin: float) -> tuple[float, float]:
    """Return (lon, lat) a little north-west of a tile's north-west corner, by a share of its size."""
    west, south, east, north = tile.bounds
    return west - margin * (east - west), north + margin * (north - south)


def _layout(coast: View, region: View) -> Layout:
    """Return a landscape that both views fit into, with its town in the middle of the coast scene."""
    to_metres = pyproj.Transformer.from_crs(region.crs, PROJECTED, always_xy=True)
    size = float(region.size_px)
    corners = [region.at(*corner) for corner in ((0.0, 0.0), (size, 0.0), (size, size), (0.0, size))]
    x, y = to_metres.transform([lon for lon, _ in corners], [lat for _, lat in corners])
    margin = 400.0
    side = max(max(x) - min(x), max(y) - min(y)) + 2.0 * margin
    focus = coast.at(0.5 * coast.size_px, 0.5 * coast.size_px)
    return Layout(Frame(min(x) - margin, max(y) + margin, side), focus, coast.size_px * COAST_PIXEL_M)
