"""Pixels of one zoom as a cloud-optimised GeoTIFF, of any size, in little memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.grid import HALF_WORLD_M, pixel_size_m
from text2earth.provenance import Origin, mark_geotiff
from text2earth.world.box import Box

__all__ = ["BLOCK", "CACHE_MB", "cloud_optimised", "placed", "write_cog"]

BLOCK = 512
CACHE_MB = 16
"""Of GDAL, whose default is a share of the machine's memory."""


def write_cog(
    region: Callable[[int, Box], npt.NDArray[np.uint8]], path: Path, *, zoom: int, box: Box, origin: Origin
) -> None:
    """Write a box of a zoom's plane as a lossless COG in EPSG:3857, with overviews, marked synthetic.

    GDAL makes COGs out of another raster only, so a plain GeoTIFF of the same pixels stands beside it meanwhile.

    Args:
        region: Gives the pixels of a box, uint8 (height, width, 3).
        path: Where to.
        zoom: Zoom.
        box: What to write; x may go on beyond the world's eastern edge.
        origin: How the pixels are made.
    """
    import rasterio
    from rasterio.windows import Window

    shape = {"width": box.width, "height": box.height, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    blocks = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "pixel", "BIGTIFF": "IF_SAFER"}
    plain = path.with_name(f"{path.name}.plain")
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
            settings = {**shape, **placed(box, zoom=zoom), **blocks, "compress": "deflate", "zlevel": 1, "predictor": 2}
            with rasterio.open(plain, "w", driver="GTiff", **settings) as target:
                for block in _blocks(box):
                    window = Window(block.x - box.x, block.y - box.y, block.width, block.height)
                    target.write(np.moveaxis(region(zoom, block), -1, 0), window=window)
                mark_geotiff(target, origin=origin)
            cloud_optimised(plain, path)
    finally:
        plain.unlink(missing_ok=True)


def placed(box: Box, *, zoom: int) -> dict[str, Any]:
    """Return what rasterio is told of the place of a box of a zoom's plane."""
    from rasterio.transform import from_origin

    size = pixel_size_m(zoom)
    west, north = box.x * size - HALF_WORLD_M, HALF_WORLD_M - box.y * size
    return {"crs": "EPSG:3857", "transform": from_origin(west, north, size, size)}


def cloud_optimised(source: Path, path: Path) -> None:
    """Write a raster that is there as a lossless COG with overviews; memory is that of ``rasterio.Env``."""
    from rasterio.shutil import copy

    cog = {"COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BLOCKSIZE": str(BLOCK), "BIGTIFF": "IF_SAFER"}
    copy(source, path, driver="COG", **cog, OVERVIEW_RESAMPLING="AVERAGE")


def _blocks(box: Box) -> list[Box]:
    """Return the file's blocks, row by row."""
    return [
        Box(x, y, min(BLOCK, box.right - x), min(BLOCK, box.bottom - y))
        for y in range(box.y, box.bottom, BLOCK)
        for x in range(box.x, box.right, BLOCK)
    ]
