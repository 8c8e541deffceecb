"""Pictures of 256 px cut out of the real imagery, at the resolution that it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.windows import Window

__all__ = ["SIDE", "real_tiles"]

SIDE = 256
LARGEST_HOLE = 0.02
"""Share of black pixels, most often pixels without data, from which a picture is left out."""


def real_tiles(imagery: Path, *, each: int = 4, seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (file name, uint8 (256, 256, 3)): some windows of every 8-bit colour raster, and the UCM chips.

    Args:
        imagery: Folder of real imagery.
        each: Windows of a raster, at random places.
        seed: Of the places.
    """
    draws = np.random.default_rng(seed)
    for path in sorted((imagery / "rasters").glob("*.tif*")):
        with rasterio.open(path) as file:
            if file.count < 3 or set(file.dtypes[:3]) != {"uint8"} or min(file.width, file.height) < SIDE:
                continue
            for _ in range(each):
                corner = int(draws.integers(0, file.width - SIDE + 1)), int(draws.integers(0, file.height - SIDE + 1))
                pixels = np.moveaxis(file.read([1, 2, 3], window=Window(*corner, SIDE, SIDE)), 0, -1)
                if (pixels.max(axis=2) == 0).mean() <= LARGEST_HOLE:
                    yield path.name, np.ascontiguousarray(pixels)
    for path in sorted((imagery / "chips/ucm").glob("*.tif")):
        yield path.name, np.asarray(Image.open(path).convert("RGB"))[:SIDE, :SIDE]
