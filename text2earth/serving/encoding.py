"""Pixels as files, each marked synthetic; lossy ones are encoded from the lossless pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from PIL import __version__ as pillow_version
from PIL import features

from text2earth.errors import RequestError
from text2earth.provenance import MEDIA_TYPES as OF_PICTURES
from text2earth.provenance import Origin, encode, mark_geotiff
from text2earth.serving.pictures import Picture
from text2earth.serving.worlds import Chosen, Pixels

__all__ = ["FORMATS", "MEDIA_TYPES", "Format", "encode_geotiff", "encode_tile", "encoders", "format_of", "origin_of"]

Format = Literal["png", "webp", "jpg", "tif"]
FORMATS: tuple[Format, ...] = get_args(Format)
MEDIA_TYPES: Mapping[Format, str] = {
    "png": OF_PICTURES["png"],
    "webp": OF_PICTURES["webp"],
    "jpg": OF_PICTURES["jpg"],
    "tif": "image/tiff; application=geotiff",
}
WEBP_QUALITY = 90
_OTHER_NAMES: dict[str, Format] = {"jpeg": "jpg", "tiff": "tif"}


def format_of(name: str, *, of: tuple[Format, ...] = FORMATS) -> Format:
    """Return the format of an ending.

    Raises:
        RequestError: If it is none of them.
    """
    found = _OTHER_NAMES.get(name.lower(), name.lower())
    for known in of:
        if found == known:
            return known
    raise RequestError(f"format {name!r} was asked for; there are {', '.join(of)}")


def origin_of(chosen: Chosen, *, model: str, version: str, level: int) -> Origin:
    """Return how pixels of a world were made."""
    areas = json.dumps([[area.west, area.south, area.east, area.north, area.prompt] for area in chosen.areas])
    further = (("areas", areas),) if chosen.areas else ()
    return Origin(model, chosen.prompt, level, chosen.seed, further=further, model_hash=version)


def encoders() -> str:
    """Return what the bytes of a file depend on beside its pixels."""
    libraries = {name: features.version(name) for name in ("zlib", "jpg", "libjpeg_turbo", "webp")}
    return json.dumps({"pillow": pillow_version, **libraries})


def encode_tile(pixels: Pixels, kind: Format, *, origin: Origin) -> bytes:
    """Return pixels (H, W, 3) as a PNG, which loses nothing, or as WebP or JPEG of quality 90."""
    if kind == "tif":
        raise RequestError("a tile is no GeoTIFF; ask for one with /image")
    return encode(pixels, kind, origin=origin, quality=WEBP_QUALITY if kind == "webp" else None)


def encode_geotiff(pixels: Pixels, *, picture: Picture, origin: Origin) -> bytes:
    """Return pixels (H, W, 3) as a tiled GeoTIFF in EPSG:3857 with overviews, marked synthetic."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.io import MemoryFile
    from rasterio.transform import from_bounds

    height, width = pixels.shape[:2]
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "RGB", "crs": "EPSG:3857"}
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "predictor": 2}
    transform = from_bounds(*picture.bounds_m, width, height)
    with rasterio.Env(GDAL_NUM_THREADS="1"), MemoryFile() as memory:
        with memory.open(**profile, **layout, width=width, height=height, transform=transform) as target:
            target.write(np.moveaxis(pixels, -1, 0))
            mark_geotiff(target, origin=origin)
            factors = [factor for factor in (2, 4, 8, 16) if max(width, height) // factor >= 256]
            if factors:
                target.build_overviews(factors, Resampling.average)
        return bytes(memory.read())
