"""GeoTIFFs that say that they are synthetic: as tags, as XMP, and in a STAC Item beside them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.grid import HALF_WORLD_M, MAX_LATITUDE, MAX_LEVEL, lonlat_to_xy, pixel_size_m
from text2earth.errors import RequestError
from text2earth.provenance.origin import Origin, xmp_packet
from text2earth.provenance.stac import write_stac_item

__all__ = ["footprint_m", "mark_geotiff", "write_geotiff", "write_geotiff_like"]

Pixels = npt.NDArray[np.uint8]


def mark_geotiff(target: Any, *, origin: Origin) -> None:
    """Mark an open GeoTIFF (rasterio's writer) as synthetic: GDAL tags, TIFF's own, and XMP (tag 700)."""
    tags = origin.tags()
    target.update_tags(**tags, TIFFTAG_SOFTWARE=tags["SOFTWARE"], TIFFTAG_IMAGEDESCRIPTION=tags["DESCRIPTION"])
    # rasterio joins name and value by "=", and GDAL stores the line as it is: the packet, cut at its first "=".
    start, _, rest = xmp_packet(origin).partition("=")
    target.update_tags(ns="xml:XMP", **{start: rest})


def write_geotiff(
    pixels: Pixels, path: Path, *, origin: Origin, lon: float, lat: float, band: str | None = None
) -> None:
    """Write uint8 pixels (H, W, 3), or one band (H, W), as a GeoTIFF in EPSG:3857 that is marked synthetic.

    The pixel size is that of the level's 256-px tiles, and the pixels lie on the level's own grid: the centre is
    the point (lon, lat), moved by at most half a pixel in each axis. ``band`` is the name of a single band.

    Raises:
        RequestError: If the level is 0, or the image would leave the EPSG:3857 square.
    """
    import rasterio
    from rasterio.transform import from_origin

    height, width = pixels.shape[:2]
    west, _, _, north = footprint_m(origin.level, lon=lon, lat=lat, width=width, height=height)
    size = pixel_size_m(origin.level)
    bands = np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[None]
    photometric = "RGB" if len(bands) == 3 else "MINISBLACK"
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": len(bands),
        "crs": "EPSG:3857",
        "photometric": photometric,
    }
    profile |= {"width": width, "height": height, "compress": "deflate"}
    with (
        _whole(path, origin=origin) as name,
        rasterio.open(name, "w", **profile, transform=from_origin(west, north, size, size)) as target,
    ):
        target.write(bands)
        if band is not None:
            target.set_band_description(1, band)
        mark_geotiff(target, origin=origin)


def write_geotiff_like(pixels: Pixels, path: Path, *, origin: Origin, like: Path) -> None:
    """Write uint8 pixels (H, W, 3) as a GeoTIFF with the place of another one, marked synthetic.

    Args:
        pixels: Of the other's size.
        path: Where to.
        origin: How they were made.
        like: GeoTIFF whose coordinate reference system and transform are taken.
    """
    import rasterio

    height, width = pixels.shape[:2]
    with rasterio.open(like) as source:
        place = {"crs": source.crs, "transform": source.transform}
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "RGB", "compress": "deflate", **place}
    with (
        _whole(path, origin=origin) as name,
        rasterio.open(name, "w", **profile, width=width, height=height) as target,
    ):
        target.write(np.moveaxis(pixels, -1, 0))
        mark_geotiff(target, origin=origin)


def footprint_m(level: int, *, lon: float, lat: float, width: int, height: int) -> tuple[float, float, float, float]:
    """Return (west, south, east, north) in EPSG:3857 metres of an image on the level's pixel grid.

    Args:
        level: 1…22.
        lon: Longitude of the centre, degrees.
        lat: Latitude of the centre, degrees.
        width: Pixels.
        height: Pixels.

    Raises:
        RequestError: If there is no such place on the grid.
    """
    if not 1 <= level <= MAX_LEVEL:
        raise RequestError(f"a georeferenced image needs a level of 1–{MAX_LEVEL}, {level} was given; add --level")
    if not (-180.0 <= lon <= 180.0 and abs(lat) <= MAX_LATITUDE):
        raise RequestError(
            f"lon {lon}, lat {lat} were given; lon is −180…180 and lat −{MAX_LATITUDE:.4f}…{MAX_LATITUDE:.4f} degrees"
        )
    size = pixel_size_m(level)
    across, down = (float(part) for part in lonlat_to_xy(lon, lat))
    side = 256 * (1 << level)
    left, top = math.floor(across * side - width / 2 + 0.5), math.floor(down * side - height / 2 + 0.5)
    if left < 0 or top < 0 or left + width > side or top + height > side:
        raise RequestError(
            f"{width}×{height} px of level {level} around lon {lon}, lat {lat} leave the EPSG:3857 square; "
            "choose another centre, a smaller size or a finer level"
        )
    west, north = left * size - HALF_WORLD_M, HALF_WORLD_M - top * size
    return west, north - height * size, west + width * size, north


@contextmanager
def _whole(path: Path, *, origin: Origin) -> Iterator[Path]:
    """Give a temporary name to write a GeoTIFF to; the file gets its own name, and its Item, when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        write_stac_item(temporary, origin=origin, called=path)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
