"""The class of each tile: what most of it shows on a class raster, or the polygon that holds its centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from git10m.errors import RecipeError
from git10m.grid import IntArray, tile_centres
from git10m.recipe import Strata
from git10m.sources.files import expand
from git10m.sources.raster import footprint, turned_boxes
from git10m.sources.reading import Block, read_classes
from git10m.vectors import read_vectors

__all__ = ["classes_of"]

_SIDE_PX = 16
"""A tile's class is found from so many samples a side."""
_BLOCK_TILES = 32


def classes_of(level: int, x: IntArray, y: IntArray, *, strata: Strata) -> npt.NDArray[Any]:
    """Return the class of each tile as text; empty where it has none.

    Args:
        level: Of the tiles.
        x: Columns.
        y: Rows.
        strata: As the recipe says, with absolute paths.

    Raises:
        RecipeError: If the path leads to nothing, or the column is not there.
        SourceError: If a file cannot be read.
    """
    found = _of_polygons(level, x, y, strata) if strata.attribute is not None else _of_rasters(level, x, y, strata)
    if strata.classes:
        found[~np.isin(found, strata.classes)] = ""
    return found


def _of_polygons(level: int, x: IntArray, y: IntArray, strata: Strata) -> npt.NDArray[Any]:
    path = strata.path if isinstance(strata.path, str) else strata.path[0]
    frame = read_vectors(path, columns=[str(strata.attribute)]).to_crs("OGC:CRS84")
    tree = shapely.STRtree(frame.geometry.to_numpy())
    values = frame[strata.attribute].astype(str).to_numpy()
    lon, lat = tile_centres(level, x, y)
    found = np.full(len(x), "", dtype=object)
    points, polygons = tree.query(shapely.points(lon, lat), predicate="intersects")
    # Where polygons overlap, the first of the file holds.
    for point, polygon in sorted(zip(points.tolist(), polygons.tolist(), strict=True), reverse=True):
        found[point] = values[polygon]
    return found


def _of_rasters(level: int, x: IntArray, y: IntArray, strata: Strata) -> npt.NDArray[Any]:
    files = [file for _, file in expand(strata.path)]
    if not files:
        raise RecipeError(f"sampling.strata: {strata.path} matches no raster file; check the path")
    outlines = [footprint(file) for file in files]
    found = np.full(len(x), "", dtype=object)
    cells, inverse = np.unique((x // _BLOCK_TILES) << 32 | (y // _BLOCK_TILES), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(inverse, minlength=len(cells)))[:-1]):
        left, top = int(x[members].min()), int(y[members].min())
        columns, rows = int(x[members].max()) - left + 1, int(y[members].max()) - top + 1
        block = Block(level, left, top, columns, rows, _SIDE_PX)
        near = [
            file
            for file, outline in zip(files, outlines, strict=True)
            if any(shapely.intersects(outline, box) for box in turned_boxes(block.bounds))
        ]
        found[members] = _majorities(block, near, x[members] - left, y[members] - top)
    return found


def _majorities(block: Block, files: Sequence[str], column: IntArray, row: IntArray) -> npt.NDArray[Any]:
    """Return the commonest code of each tile of a block, as text; empty where nothing is known."""
    codes = np.zeros(block.shape, dtype=np.int64)
    known = np.zeros(block.shape, dtype=bool)
    for file in files:
        values, valid = read_classes(file, block)
        fresh = valid & ~known
        codes[fresh], known[fresh] = values[fresh].astype(np.int64), True
    found = np.full(len(column), "", dtype=object)
    for i, (c, r) in enumerate(zip(column.tolist(), row.tolist(), strict=True)):
        part = (slice(r * _SIDE_PX, (r + 1) * _SIDE_PX), slice(c * _SIDE_PX, (c + 1) * _SIDE_PX))
        seen = codes[part][known[part]]
        if seen.size:
            values, counts = np.unique(seen, return_counts=True)
            found[i] = str(values[np.argmax(counts)])
    return found
