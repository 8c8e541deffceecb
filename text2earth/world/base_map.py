"""A raster of the user's as the world's root: its low band is what the base stage is painted from."""

from __future__ import annotations

import hashlib
import threading
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from git10m.grid import HALF_WORLD_M, pixel_size_m
from text2earth.errors import BaseMapError
from text2earth.world.box import Box
from text2earth.world.cache import BlockKey
from text2earth.world.planes import Plane, block_box, gathered

__all__ = ["BaseMap"]

Pixels = npt.NDArray[np.uint8]

_CHUNK = 1 << 20
_BLOCKS_HELD = 256
_TOLERANCE_PX = 0.01
"""Of the approximation of coordinate transforms, in pixels of the raster."""


class BaseMap:
    """An RGB raster in any coordinate reference system, read on the web-mercator grid of one level.

    Args:
        path: Raster that GDAL reads: three bands of 8 bits, with an alpha band, a mask or a nodata value where it
            does not cover its frame.
        level: Of the grid that it is read on.

    Raises:
        BaseMapError: If it cannot be read, or is no such raster.
    """

    def __init__(self, path: str | Path, *, level: int) -> None:
        import rasterio
        from rasterio.enums import ColorInterp
        from rasterio.errors import RasterioError

        self.path, self.level = Path(path), level
        self._plane = Plane("base-map", level, 0)
        self._block = lru_cache(maxsize=_BLOCKS_HELD)(self._read_block)
        self._lock = threading.Lock()  # GDAL reads one dataset from one thread at a time
        try:
            self._source = rasterio.open(path)
        except RasterioError as error:
            raise BaseMapError(f"{path}: it cannot be read as a raster ({error}); give a GeoTIFF") from error
        try:
            self._refuse()
            self._warped = self._on_the_grid()
            self._alpha = self._warped.colorinterp.index(ColorInterp.alpha) + 1
            self.digest = self._content_digest()
        except BaseException:
            self._source.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._warped.close()
        self._source.close()

    def read(self, box: Box) -> tuple[Pixels, Pixels]:
        """Return the pixels (height, width, 3) of a box of the level, and how far each is covered (height, width).

        Pixels are resampled with a triangle as wide as the coarser of the two grids; 255 is covered, 0 is not. The box
        may reach beyond the map's edges.

        Raises:
            BaseMapError: If the file can no longer be read.
        """
        found = gathered(self._plane, box, fetch=lambda keys: {key: self._block(key) for key in keys})
        return found[..., :3], found[..., 3]

    def covers(self, box: Box) -> bool:
        """Tell whether it covers all pixels of a box."""
        return bool(self.read(box)[1].min() == 255)

    def _read_block(self, key: BlockKey) -> Pixels:
        """Read always the same boxes: transforms are approximated a box at a time."""
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        box = block_box(key)
        try:
            with self._lock:
                bands = (1, 2, 3, self._alpha)
                found = self._warped.read(bands, window=Window(box.x, box.y, box.width, box.height))
        except RasterioError as error:
            raise BaseMapError(f"{self.path}: it can no longer be read ({error}); put it back") from error
        return np.ascontiguousarray(np.moveaxis(found, 0, -1))

    def _refuse(self) -> None:
        from rasterio.enums import ColorInterp

        source = self._source
        if source.crs is None:
            raise BaseMapError(
                f"{self.path}: it states no coordinate reference system; add one, such as with gdal_edit -a_srs"
            )
        colours = [kind for kind in source.colorinterp if kind is not ColorInterp.alpha]
        if len(colours) < 3 or any(kind != "uint8" for kind in source.dtypes[:3]):
            raise BaseMapError(
                f"{self.path}: it has {source.count} bands of {', '.join(sorted(set(source.dtypes)))}; a base map has "
                "red, green and blue of 8 bits: rescale it, such as with gdal_translate -ot Byte -scale"
            )

    def _on_the_grid(self) -> Any:
        from rasterio.enums import ColorInterp, Resampling
        from rasterio.errors import RasterioError
        from rasterio.transform import from_origin
        from rasterio.vrt import WarpedVRT

        size, side = pixel_size_m(self.level), 256 << self.level
        try:
            return WarpedVRT(
                self._source,
                crs="EPSG:3857",
                transform=from_origin(-HALF_WORLD_M, HALF_WORLD_M, size, size),
                width=side,
                height=side,
                resampling=Resampling.bilinear,
                tolerance=_TOLERANCE_PX,
                add_alpha=ColorInterp.alpha not in self._source.colorinterp,
            )
        except RasterioError as error:
            raise BaseMapError(
                f"{self.path}: it cannot be brought to web mercator ({error}); check its coordinate reference system"
            ) from error

    def _content_digest(self) -> str:
        """Hash of all files of the raster."""
        found = hashlib.sha256()
        for name in sorted(self._source.files):
            if not Path(name).is_file():
                continue
            with Path(name).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
        return found.hexdigest()
