"""Height and slope of the ground of a tile, from elevation models.

Heights are the model's, in metres. The slope is the mean over the tile of the angle of steepest descent, taken on a
grid about as fine as the model (of the tile's own pixels where the model is finer), with distances on the ground: in
EPSG:3857 a metre of the map is cos(latitude) metres of ground.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import shapely

from git10m import recipe
from git10m.errors import RecipeError
from git10m.grid import EARTH_RADIUS_M, FloatArray, Tile, pixel_size_m
from git10m.sources.files import expand
from git10m.sources.georeference import georeference, native_gsd_m
from git10m.sources.raster import footprint, turned_boxes
from git10m.sources.reading import Block, Warp, open_raster, warp

__all__ = ["MIN_RELIEF_SHARE", "ReliefFinder"]

MIN_RELIEF_SHARE = 0.9
"""Least share of a tile with known heights; below it nothing is said of its relief."""

_VOIDS = (-9999.0, -32768.0, -32767.0, -99999.0)
"""What many models write where they know nothing, often without saying so."""
_LOWEST_M, _HIGHEST_M = -12_000.0, 9_000.0
_LEAST_PX = 16


class ReliefFinder:
    """Relief of tiles, from the elevation models of a recipe; its paths are absolute.

    Args:
        relief: The recipe's table.

    Raises:
        RecipeError: If the path matches no file.
        SourceError: If a file is no raster, or states no coordinate reference system.
    """

    def __init__(self, relief: recipe.Relief) -> None:
        self._paths = list(dict.fromkeys(file for _, file in expand(relief.path)))
        if not self._paths:
            raise RecipeError(f"captions.relief.path = {relief.path!r} matches no file; give a GeoTIFF or a VRT")
        self._nodata = relief.nodata
        self._tree = shapely.STRtree([footprint(path) for path in self._paths])
        self._gsds_m = [_native_gsd_m(path) for path in self._paths]

    def of(self, tiles: Collection[Tile], *, tile_size: int) -> Mapping[Tile, dict[str, float] | None]:
        """Return ``relief`` of ``records.FACTS`` for each tile; None where less than 90 % of it is known.

        Args:
            tiles: Neighbouring tiles of one level, at least one.
            tile_size: Pixels a side of a tile.

        Raises:
            SourceError: If a raster cannot be read.
        """
        left, top = min(tile.x for tile in tiles), min(tile.y for tile in tiles)
        level = next(iter(tiles)).level
        columns, rows = max(tile.x for tile in tiles) - left + 1, max(tile.y for tile in tiles) - top + 1
        cover = Block(level=level, x=left, y=top, columns=columns, rows=rows, tile_size=tile_size)
        touching = sorted(set(self._tree.query(turned_boxes(cover.bounds))[1].tolist()))
        if not touching:
            return dict.fromkeys(tiles)
        finest = min(self._gsds_m[index] for index in touching)
        size = _grid_px(next(iter(tiles)), finest, tile_size)
        block = Block(level=level, x=left, y=top, columns=columns, rows=rows, tile_size=size)
        heights = self._heights(block, touching)
        return {
            tile: _relief(
                heights[(tile.y - top) * size : (tile.y - top + 1) * size, (tile.x - left) * size :][:, :size], tile
            )
            for tile in tiles
        }

    def _heights(self, block: Block, touching: list[int]) -> FloatArray:
        """Return heights in metres, shape (height, width); NaN where no file knows them."""
        heights = np.full(block.shape, np.nan)
        middle = block.centre[1]
        pixel_m = float(pixel_size_m(block.level, tile_size=block.tile_size) * np.cos(np.radians(middle[0])))
        for index in touching:
            shrink = pixel_m / self._gsds_m[index]
            method = "average" if shrink >= 1.5 else "bilinear"
            how = Warp(method, max(1.0, shrink), self._nodata)
            values, known = warp(self._paths[index], [1], block, how)
            found = values[0].astype(np.float64)
            known = known & np.isfinite(found) & (found > _LOWEST_M) & (found < _HIGHEST_M)
            known &= ~np.isin(found, _VOIDS)
            fresh = known & np.isnan(heights)
            heights[fresh] = found[fresh]
        return heights


def _native_gsd_m(path: str) -> float:
    dataset = open_raster(path)
    return max(native_gsd_m(dataset, georeference(dataset)), 1e-3)


def _grid_px(tile: Tile, model_gsd_m: float, tile_size: int) -> int:
    """Return pixels a side of a grid of powers of two that is as fine as the model, within 16 and the tile's own."""
    wanted = tile.gsd_m(tile_size) * tile_size / model_gsd_m
    size = _LEAST_PX
    while size < wanted and size < tile_size:
        size *= 2
    return min(size, tile_size)


def _relief(heights: npt.NDArray[np.float64], tile: Tile) -> dict[str, float] | None:
    known = np.isfinite(heights)
    if known.mean() < MIN_RELIEF_SHARE:
        return None
    size = heights.shape[0]
    _, south, _, north = tile.bounds_m
    # cos(latitude) of each row: 1 / cosh(y / R) on the sphere of EPSG:3857.
    rows = north - (np.arange(size) + 0.5) * (north - south) / size
    step_m = pixel_size_m(tile.level, tile_size=size) / np.cosh(rows / EARTH_RADIUS_M)
    down, across = np.gradient(heights)
    slope = np.degrees(np.arctan(np.hypot(down, across) / step_m[:, None]))
    return {
        "lowest_m": round(float(np.nanmin(heights)), 1),
        "highest_m": round(float(np.nanmax(heights)), 1),
        "slope_deg": round(float(np.nanmean(slope)), 2),
    }
