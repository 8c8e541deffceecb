"""A canvas of any size: painted piece by piece, on disk as it is painted, and in the end one COG.

Pieces are small GeoTIFFs in a folder beside the target, each whole or not there, so that a killed canvas goes on
where it was. A virtual mosaic of them is what GDAL makes the COG of: no more than a piece is ever in memory.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from text2earth.errors import ExportError
from text2earth.exporting.cog import BLOCK, CACHE_MB, cloud_optimised, placed
from text2earth.provenance import Origin, PaintedWorld, footprint_m, mark_geotiff, write_stac_item
from text2earth.world.box import Box

__all__ = ["Canvas", "CanvasWorld", "box_around", "write_canvas"]

Pixels = npt.NDArray[np.uint8]

_PIECE_PX = 512


class CanvasWorld(PaintedWorld, Protocol):
    """What a canvas needs of a world."""

    @property
    def minzoom(self) -> int:
        """First zoom."""

    @property
    def maxzoom(self) -> int:
        """Last zoom."""

    def region(self, z: int, box: Box) -> Pixels:
        """Return the pixels of a box of a zoom's plane, uint8 (height, width, 3)."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is painted.

    Args:
        level: Zoom level.
        box: Pixels of its plane.
    """

    level: int
    box: Box

    def pieces(self) -> list[Box]:
        """Return the boxes that are painted one after another, row by row."""
        return [
            Box(x, y, min(_PIECE_PX, self.box.right - x), min(_PIECE_PX, self.box.bottom - y))
            for y in range(self.box.y, self.box.bottom, _PIECE_PX)
            for x in range(self.box.x, self.box.right, _PIECE_PX)
        ]


def box_around(*, level: int, lon: float, lat: float, width: int, height: int) -> Box:
    """Return the box of a level's plane whose centre is a place, to half a pixel.

    Raises:
        RequestError: If it would leave the world.
    """
    from git10m.grid import HALF_WORLD_M, pixel_size_m

    west, _, _, north = footprint_m(level, lon=lon, lat=lat, width=width, height=height)
    size = pixel_size_m(level)
    return Box(round((west + HALF_WORLD_M) / size), round((HALF_WORLD_M - north) / size), width, height)


def write_canvas(world: CanvasWorld, path: Path, *, canvas: Canvas) -> dict[str, Any]:
    """Write a canvas as a lossless COG in EPSG:3857, marked synthetic; a killed one goes on.

    Args:
        world: Paints it.
        path: Where to; the pieces stand in a folder of the same name and ``.pieces`` meanwhile.
        canvas: What.

    Returns:
        Pieces in all and painted now, and bytes of the file.

    Raises:
        ExportError: If the world has no such level, the file exists, or pieces of another canvas or process are there.
    """
    import rasterio

    if not world.minzoom <= canvas.level <= world.maxzoom:
        raise ExportError(f"--level {canvas.level} was given; this world has {world.minzoom}–{world.maxzoom}")
    if path.exists():
        raise ExportError(f"--out {path} exists; remove it, or choose another name")
    folder = path.with_name(f"{path.name}.pieces")
    origin = Origin.of_world(world, level=canvas.level)
    with _held(folder, _identity(world, canvas)), rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
        painted = _painted(world, canvas, folder)
        temporary = folder / "whole.tif"
        temporary.unlink(missing_ok=True)  # of a process that was killed
        mosaic = folder / "mosaic.vrt"
        _write_mosaic(mosaic, canvas, origin=origin)
        cloud_optimised(mosaic, temporary)
        write_stac_item(temporary, origin=origin, called=path)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        shutil.rmtree(folder)
    return {"pieces": len(canvas.pieces()), "painted": painted, "bytes": path.stat().st_size}


@contextmanager
def _held(folder: Path, identity: dict[str, Any]) -> Iterator[None]:
    """Hold the folder of a canvas's pieces, alone, until the process ends however it does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "canvas.json").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ExportError(
                f"{folder} is written by another process; wait for it, or choose another --out"
            ) from error
        file.seek(0)
        found, wanted = file.read(), json.dumps(identity, sort_keys=True)
        if found not in ("", wanted) and wanted.startswith(found):
            found = ""  # its writer was killed before there was any piece
        if not found:
            file.truncate(0)
            file.write(wanted)
            file.flush()
        elif found != wanted:
            raise ExportError(
                f"{folder} holds pieces of another canvas ({found[:200]}); remove it, or choose another --out"
            )
        yield


def _identity(world: CanvasWorld, canvas: Canvas) -> dict[str, Any]:
    """Return all that the pixels of the pieces depend on."""
    box = canvas.box
    place = {"level": canvas.level, "box": [box.x, box.y, box.width, box.height], "piece": _PIECE_PX}
    return place | {"prompt": world.prompt, "seed": world.seed, "world": world.fingerprint}


def _piece_path(folder: Path, canvas: Canvas, piece: Box) -> Path:
    return folder / f"{(piece.y - canvas.box.y) // _PIECE_PX}-{(piece.x - canvas.box.x) // _PIECE_PX}.tif"


def _painted(world: CanvasWorld, canvas: Canvas, folder: Path) -> int:
    """Paint the pieces that are not there yet; return how many."""
    every = canvas.pieces()
    missing = [piece for piece in every if not _piece_path(folder, canvas, piece).exists()]
    with tqdm(total=len(every), initial=len(every) - len(missing), desc="paint", unit="piece", disable=None) as bar:
        for piece in missing:
            pixels = world.region(canvas.level, piece)
            _write_piece(pixels, _piece_path(folder, canvas, piece), place=placed(piece, zoom=canvas.level))
            bar.update()
    return len(missing)


def _write_piece(pixels: Pixels, path: Path, *, place: dict[str, Any]) -> None:
    import rasterio

    height, width = pixels.shape[:2]
    shape = {"width": width, "height": height, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    # blocks on the grid of the COG's, of a size that TIFF allows for narrow pieces too
    blocks = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "pixel"}
    temporary = path.with_suffix(".new")
    settings = {**shape, **blocks, **place, "compress": "deflate", "zlevel": 1, "predictor": 2}
    with rasterio.open(temporary, "w", driver="GTiff", **settings) as target:
        target.write(np.moveaxis(pixels, -1, 0))
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _write_mosaic(path: Path, canvas: Canvas, *, origin: Origin) -> None:
    """Write GDAL's virtual mosaic of the pieces, with the place and the marks of the whole."""
    import rasterio

    shape = {"width": canvas.box.width, "height": canvas.box.height, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="VRT", **shape, **placed(canvas.box, zoom=canvas.level)) as target:
        mark_geotiff(target, origin=origin)
    text = path.read_text(encoding="utf-8")
    for number, colour in enumerate(("Red", "Green", "Blue"), start=1):
        sources = "".join(_source(canvas, piece, path.parent, band=number) for piece in canvas.pieces())
        band = f'<VRTRasterBand dataType="Byte" band="{number}"'
        before, empty, after = text.partition(f"{band} />")
        if not empty:
            raise ExportError(f"GDAL {rasterio.__gdal_version__} wrote a virtual mosaic without an empty band {number}")
        text = f"{before}{band}><ColorInterp>{colour}</ColorInterp>{sources}</VRTRasterBand>{after}"
    path.write_text(text, encoding="utf-8")


def _source(canvas: Canvas, piece: Box, folder: Path, *, band: int) -> str:
    """Return the element of one piece in one band; its size is said, so that GDAL need not open it before its turn."""
    x, y, size = piece.x - canvas.box.x, piece.y - canvas.box.y, f'xSize="{piece.width}" ySize="{piece.height}"'
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{_piece_path(folder, canvas, piece).name}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand>"
        f'<SourceProperties RasterXSize="{piece.width}" RasterYSize="{piece.height}" DataType="Byte"'
        f' BlockXSize="{BLOCK}" BlockYSize="{BLOCK}"/>'
        f'<SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="{x}" yOff="{y}" {size}/></SimpleSource>'
    )
