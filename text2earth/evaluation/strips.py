"""Images of any size, read a strip at a time: arrays, and whatever GDAL opens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from text2earth.errors import RequestError

__all__ = ["Axis", "Canvas", "Strip", "opened", "strips"]

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Axis = Literal["columns", "rows"]
"""What a measure goes across: columns of an image, or rows."""

_CACHE_MIB = 64
_STRIP_PIXELS = 1 << 20
_IN_MEMORY_PIXELS = 1 << 24


@dataclass(frozen=True, slots=True)
class Canvas:
    """An image that is read in parts.

    Args:
        name: What to call it in messages.
        height: Pixels.
        width: Pixels.
        read: (row, column, height, width) → uint8 pixels (height, width, 3) and bool (height, width), which of them
            are valid.
    """

    name: str
    height: int
    width: int
    read: Callable[[int, int, int, int], tuple[Pixels, Mask]]

    def length(self, axis: Axis) -> int:
        """Return the number of columns, or of rows."""
        return self.width if axis == "columns" else self.height


@dataclass(frozen=True, slots=True)
class Strip:
    """Lines of an image, turned so that what is measured across lies along the second axis.

    Args:
        first: Number of the first line, the halo left out.
        halo: Lines above and below, as far as there are any.
        pixels: uint8 (lines with halo, length, 3).
        valid: bool (lines with halo, length).
    """

    first: int
    halo: tuple[int, int]
    pixels: Pixels
    valid: Mask

    @property
    def inner(self) -> slice:
        """The lines without the halo."""
        return slice(self.halo[0], len(self.pixels) - self.halo[1])


def strips(canvas: Canvas, *, axis: Axis, lines: int, halo: int) -> Iterator[Strip]:
    """Yield the strips of an image in order; none crosses a multiple of ``lines``, all are small.

    Args:
        canvas: The image.
        axis: ``"columns"`` gives strips of rows, ``"rows"`` strips of columns, transposed.
        lines: Most lines of a strip.
        halo: Lines above and below that a filter needs.
    """
    length = canvas.length(axis)
    across = canvas.length("rows" if axis == "columns" else "columns")
    thickness = max(1, min(lines, _STRIP_PIXELS // length))
    for block in range(0, across, lines):
        end = min(block + lines, across)
        for first in range(block, end, thickness):
            last = min(first + thickness, end)
            above, below = min(halo, first), min(halo, across - last)
            start, count = first - above, last - first + above + below
            if axis == "columns":
                pixels, valid = canvas.read(start, 0, count, length)
            else:
                pixels, valid = canvas.read(0, start, length, count)
                pixels, valid = np.ascontiguousarray(pixels.swapaxes(0, 1)), np.ascontiguousarray(valid.T)
            yield Strip(first, (above, below), pixels, valid)


@contextmanager
def opened(source: Path | Pixels) -> Iterator[Canvas]:
    """Open an image: an array uint8 (H, W, 3) or (H, W), or a file that GDAL reads.

    A file is read in windows and never held whole; one that is stored in whole rows (PNG, JPEG) and large is first
    written anew in tiles, to a temporary file.

    Raises:
        RequestError: If it cannot be read, or is not of 8-bit grey or RGB.
    """
    if not isinstance(source, Path):
        yield _of_array(np.asarray(source))
        return
    import rasterio
    from rasterio.errors import RasterioError

    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_CACHE_MIB))
        if not source.is_file():
            raise RequestError(f"{source}: there is no such file; give a GeoTIFF, PNG or JPEG")
        try:
            dataset = stack.enter_context(_without_warnings(rasterio.open, source))
        except RasterioError as error:
            raise RequestError(f"{source} cannot be read ({error}); give a GeoTIFF, PNG or JPEG") from error
        _refuse_other_pixels(source, dataset)
        try:
            if any(width >= dataset.width for _, width in dataset.block_shapes):
                if dataset.width * dataset.height <= _IN_MEMORY_PIXELS:
                    whole = _read(dataset, 0, 0, dataset.height, dataset.width)
                    yield _of_array(*whole, name=source.name)
                    return
                dataset = stack.enter_context(_in_tiles(dataset, stack))
            read = _reader(dataset)
            yield Canvas(source.name, dataset.height, dataset.width, read)
        except RasterioError as error:
            raise RequestError(f"{source} is damaged ({error}); make it anew") from error


def _of_array(pixels: Pixels, valid: Mask | None = None, name: str = "array") -> Canvas:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise RequestError(f"an array {pixels.dtype} {pixels.shape} was given; give uint8 (height, width, 3)")
    if not pixels.size:
        raise RequestError(f"an array of shape {pixels.shape} was given, which has no pixels")
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    known = np.ones(colours.shape[:2], dtype=np.bool_) if valid is None else valid

    def read(row: int, column: int, height: int, width: int) -> tuple[Pixels, Mask]:
        place = np.s_[row : row + height, column : column + width]
        return colours[place], known[place]

    return Canvas(name, len(colours), colours.shape[1], read)


def _refuse_other_pixels(source: Path, dataset: Any) -> None:
    from rasterio.enums import ColorInterp

    if set(dataset.dtypes) != {"uint8"}:
        raise RequestError(f"{source} has pixels of {dataset.dtypes[0]}; give an image of 8-bit grey or RGB")
    if dataset.colorinterp[0] == ColorInterp.palette:
        raise RequestError(f"{source} has a palette; convert it to RGB")


def _reader(dataset: Any) -> Callable[[int, int, int, int], tuple[Pixels, Mask]]:
    return lambda row, column, height, width: _read(dataset, row, column, height, width)


def _read(dataset: Any, row: int, column: int, height: int, width: int) -> tuple[Pixels, Mask]:
    from rasterio.windows import Window

    window = Window(column, row, width, height)
    colours = dataset.count - any(each.name == "alpha" for each in dataset.colorinterp)
    bands = [1, 2, 3] if colours >= 3 else [1, 1, 1]
    pixels = np.moveaxis(dataset.read(bands, window=window), 0, -1)
    return pixels, dataset.dataset_mask(window=window) > 0


@contextmanager
def _in_tiles(dataset: Any, stack: ExitStack) -> Iterator[Any]:
    """Write an image anew in tiles, so that strips of columns do not read it whole each time."""
    import rasterio
    from rasterio.shutil import copy

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="text2earth-")))
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "zlevel": 1}
    copy(dataset, folder / "tiled.tif", driver="GTiff", BIGTIFF="IF_SAFER", **options)
    with _without_warnings(rasterio.open, folder / "tiled.tif") as tiled:
        yield tiled


def _without_warnings(open_: Callable[..., Any], path: Path) -> Any:
    """Open without the warning that a picture has no place on Earth."""
    import warnings

    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return open_(path)
