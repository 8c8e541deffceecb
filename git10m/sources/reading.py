"""Rasters opened and warped: a block of tiles out of one file.

Open files are kept until they are replaced on the disk. Masks, alpha bands and nodata values are warped with the
pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.errors
from rasterio import Affine
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.enums import Resampling as GdalResampling
from rasterio.warp import reproject

from git10m.errors import SourceError
from git10m.grid import HALF_WORLD_M, FloatArray, Tile, pixel_size_m, tile_centres, tile_size_m
from git10m.recipe import is_address, shown
from git10m.remote import gdal_options, gdal_path, refusal
from git10m.sources.signing import signed

__all__ = ["READ_ERRORS", "Block", "Warp", "open_raster", "read_classes", "unreadable", "warp"]

_OVERVIEW_MARGIN = 2.0
"""An overview is used when its pixels are at most this part (1/2) of a target pixel."""

READ_ERRORS = (rasterio.errors.RasterioError, CPLE_BaseError, OSError, MemoryError)
"""What GDAL's faults become in Python."""


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of tiles of one level: first column and row, and how many of each."""

    level: int
    x: int
    y: int
    columns: int
    rows: int
    tile_size: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rows * self.tile_size, self.columns * self.tile_size

    @property
    def transform(self) -> Any:
        """Affine transform from pixels to EPSG:3857."""
        size, pixel = tile_size_m(self.level), pixel_size_m(self.level, tile_size=self.tile_size)
        return Affine(pixel, 0.0, self.x * size - HALF_WORLD_M, 0.0, -pixel, HALF_WORLD_M - self.y * size)

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in EPSG:3857 metres."""
        first, last = self._corner_tiles
        return first.bounds_m[0], last.bounds_m[1], last.bounds_m[2], first.bounds_m[3]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees."""
        first, last = self._corner_tiles
        return first.bounds[0], last.bounds[1], last.bounds[2], first.bounds[3]

    @property
    def _corner_tiles(self) -> tuple[Tile, Tile]:
        last = Tile(self.level, self.x + self.columns - 1, self.y + self.rows - 1)
        return Tile(self.level, self.x, self.y), last

    @property
    def centre(self) -> tuple[FloatArray, FloatArray]:
        """(lon, lat) of the middle tile, as arrays of one."""
        return tile_centres(self.level, np.array([self.x + self.columns // 2]), np.array([self.y + self.rows // 2]))


def read_classes(path: str, block: Block) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Warp the class codes of a raster's first band, by nearest neighbour.

    Returns:
        Codes (H, W) of the file's own type, and where the raster states one, bool (H, W).

    Raises:
        SourceError: If the file cannot be read there.
    """
    warped, valid = warp(path, [1], block, Warp("nearest"))
    return warped[0], valid


@dataclass(frozen=True, slots=True)
class Warp:
    """How to warp.

    Attributes:
        method: Resampling, as rasterio names it.
        shrink: Shrinkage that overviews may serve; 1 reads the full raster.
        nodata: Value without data, whatever the file states.
        unstated: Value without data, where the file states neither one nor a mask.
        sign: Service that signs the address.
    """

    method: str
    shrink: float = 1.0
    nodata: float | None = None
    unstated: float | None = None
    sign: str | None = None


def warp(path: str, indexes: Sequence[int], block: Block, how: Warp) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Warp bands of one file to a block.

    Returns:
        Values (bands, H, W) of the file's own type, and where they are valid, bool (H, W).

    Raises:
        SourceError: If the file cannot be read there.
    """
    dataset = open_raster(path, _overview(path, how), sign=how.sign)
    nodata = how.nodata
    if nodata is None and MaskFlags.all_valid in dataset.mask_flag_enums[indexes[0] - 1]:
        nodata = how.unstated
    alpha = _alpha_band(dataset) if nodata is None else None
    # rasterio writes source band n into band n of an array, so the array reaches to the last band asked for;
    # what lies between is never touched, and so takes no memory.
    opacity = max(indexes) + 1
    out = np.zeros((opacity, *block.shape), dtype=dataset.dtypes[indexes[0] - 1])
    try:
        with rasterio.Env(**gdal_options(path)):
            reproject(
                rasterio.band(dataset, sorted(set(indexes))),
                out,
                src_crs=dataset.crs or dataset.gcps[1],
                gcps=dataset.gcps[0] or None if dataset.crs is None else None,
                src_nodata=_held(dataset.nodata if nodata is None else nodata, out.dtype),
                src_alpha=alpha or 0,
                dst_transform=_transform_beside(dataset, block),
                dst_crs="EPSG:3857",
                dst_alpha=opacity,
                resampling=GdalResampling[how.method],
                warp_mem_limit=256,
                # One thread: what goes wrong in GDAL's further threads never reaches us.
                num_threads=1,
            )
    except READ_ERRORS as error:
        raise unreadable(path, f"around tile {block.level}/{block.x}/{block.y}", error, sign=how.sign) from error
    in_order = list(indexes) == list(range(1, opacity))
    values = out[:-1] if in_order else out[[index - 1 for index in indexes]]
    return values, out[-1] > _alpha_limit(out.dtype)


def _transform_beside(dataset: Any, block: Block) -> Affine:
    """Return a block's transform, moved by a world where only so it meets a raster in EPSG:3857.

    Such rasters may run past the antimeridian, and a projection to itself wraps nothing.
    """
    if dataset.crs is None or dataset.crs.to_epsg() != 3857:
        return block.transform
    west, _, east, _ = block.bounds_m
    turns = (0.0, -2.0 * HALF_WORLD_M, 2.0 * HALF_WORLD_M)
    meeting = (turn for turn in turns if west + turn < dataset.bounds.right and east + turn > dataset.bounds.left)
    plain = block.transform
    return Affine(plain.a, plain.b, plain.c + next(meeting, 0.0), plain.d, plain.e, plain.f)


def _held(nodata: float | None, dtype: np.dtype[Any]) -> float | None:
    """Return a nodata value if a type can hold it; else no pixel has it, and GDAL would refuse it."""
    if nodata is None or np.issubdtype(dtype, np.floating):
        return nodata
    limits = np.iinfo(dtype)
    return nodata if nodata == nodata // 1 and limits.min <= nodata <= limits.max else None


def _alpha_limit(dtype: Any) -> float:
    """Half of what GDAL writes as full opacity into an alpha band of a type."""
    return float({"uint16": 65535, "int16": 32767, "int8": 127}.get(np.dtype(dtype).name, 255)) / 2.0


def open_raster(path: str, overview: int | None = None, *, sign: str | None = None) -> Any:
    """Open a raster, or one of its overviews; open files are kept until they are replaced on the disk.

    Args:
        path: File or address.
        overview: Number of the overview, from 0; None: the full raster.
        sign: Service that signs the address.

    Raises:
        SourceError: If it is no raster, or cannot be had.
    """
    # What is signed is valid for a while; a new signature is a new file.
    address = signed(path, service=sign) if sign is not None else path
    return _opened(address, overview, _stamp(path))


def unreadable(path: str, where: str, error: BaseException, *, sign: str | None = None) -> SourceError:
    """Return the error for a raster that was opened and cannot be read.

    Args:
        path: File or address.
        where: What was to be read, as in "around tile 14/1/2".
        error: What GDAL says.
        sign: Service that signs the address.
    """
    # GDAL keeps the error until it next opens a file, and rasterio would report it again.
    _opened.cache_clear()
    why = refusal(signed(path, service=sign) if sign else path) if is_address(path) else None
    hint = "the file may be truncated: fetch it again, or leave it out with exclude"
    return SourceError(f"{shown(path)}: cannot be read {where} ({why or _said(error, path)}); {hint}")


@lru_cache(maxsize=64)
def _opened(address: str, overview: int | None, stamp: tuple[int, int]) -> Any:
    options = {} if overview is None else {"overview_level": overview}
    try:
        # Inside an Env, GDAL's remarks go to the log instead of the terminal.
        with warnings.catch_warnings(), rasterio.Env(**gdal_options(address)):
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            return rasterio.open(gdal_path(address), **options)
    except READ_ERRORS as error:
        if is_address(address) and (why := refusal(address)) is not None:
            raise SourceError(f"{shown(address)}: cannot be opened; {why}") from error
        said = "it is empty" if stamp[0] == 0 else f"GDAL says: {_said(error, address)}"
        advice = (
            "download it, for its server sends only whole files" if "Range downloading" in said else "fetch it again"
        )
        raise SourceError(
            f"{shown(address)}: not a raster that can be opened ({said}); {advice}, or leave it out with exclude"
        ) from error


def _overview(path: str, how: Warp) -> int | None:
    """Return the coarsest overview that is still twice as fine as the target; None for the full raster.

    Overviews made by nearest neighbour alias, so they are never averaged from.
    """
    dataset = open_raster(path, sign=how.sign)
    made_by = dataset.tags().get("OVR_RESAMPLING_ALG") or dataset.tags(ns="rio_overview").get("resampling", "")
    if made_by.upper() == "NEAREST":
        return None
    fine = [i for i, factor in enumerate(dataset.overviews(1)) if factor * _OVERVIEW_MARGIN <= how.shrink]
    return fine[-1] if fine else None


def _alpha_band(dataset: Any) -> int | None:
    return next((i for i, name in enumerate(dataset.colorinterp, 1) if name == ColorInterp.alpha), None)


def _said(error: BaseException, path: str) -> str:
    """Return the innermost message, which is GDAL's own, without what follows a ``?`` in the file's address."""
    while error.__cause__ is not None:
        error = error.__cause__
    query = path.partition("?")[2]
    return str(error).replace(f"?{query}" if query else "?", "").strip().rstrip(".")


def _stamp(path: str) -> tuple[int, int]:
    """Return size and time of change of a file; −1 for an address."""
    try:
        found = Path(path).stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns
