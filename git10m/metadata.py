"""From a sample to the columns of its row: resolution, place, time and provenance."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image

from git10m.curation.duplicates import perceptual_hash
from git10m.curation.quality import Measures
from git10m.grid import Tile, nominal_resolution_m
from git10m.recipe import ImageFormat
from git10m.records import Rejection, Row
from git10m.sources import Contribution, Request, Sample

__all__ = ["THUMBNAIL_PX", "encode", "image_name", "place_columns", "rejection", "row_of", "thumbnail"]

SUFFIXES = {"jpeg": ".jpg", "webp": ".webp", "png": ".png"}
THUMBNAIL_PX = 64
"""Side of the thumbnail of a rejected tile."""


def encode(pixels: npt.NDArray[np.uint8], image: ImageFormat) -> bytes:
    """Encode RGB uint8 (H, W, 3); the same pixels give the same bytes."""
    options: dict[str, Any] = {
        "jpeg": {"quality": image.quality, "subsampling": 0},
        "webp": {"quality": image.quality, "method": 4},
        "png": {"compress_level": 6},
    }[image.format]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image.format, **options)
    return buffer.getvalue()


def thumbnail(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a 64-px JPEG of RGB uint8 (H, W, 3)."""
    small = Image.fromarray(pixels).resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, "jpeg", quality=85)
    return buffer.getvalue()


def image_name(request: Request, *, layer: str, main: Contribution, suffix: str) -> str:
    """Return a file name that is unique in a dataset: source, layer, date and tile."""
    parts = [main.source_id] if layer in {main.source_id, "imagery"} else [main.source_id, layer]
    if main.moment is not None:
        form = {"year": "%Y", "month": "%Y%m", "day": "%Y%m%d"}.get(main.moment.precision, "%Y%m%dT%H%M%S")
        parts.append(main.moment.at.strftime(form))
    return "_".join([*parts, request.tile.name]) + suffix


def place_columns(tile: Tile) -> dict[str, Any]:
    """Return the columns that follow from the tile alone."""
    west, south, east, north = tile.bounds
    lon, lat = tile.centre
    return {
        "resolution": nominal_resolution_m(tile.level),
        "Google_location": tile.name,
        "quadkey": tile.quadkey,
        "level": tile.level,
        "x": tile.x,
        "y": tile.y,
        "lon": lon,
        "lat": lat,
        "geometry": shapely.to_wkb(shapely.box(west, south, east, north, ccw=True)),
        "bbox": {"xmin": west, "ymin": south, "xmax": east, "ymax": north},
    }


def row_of(sample: Sample, measures: Measures, *, layer: str, image: ImageFormat) -> Row:
    """Return the row of a sample that is kept; captions and split are added by the second pass."""
    main = sample.contributions[0]
    height, width = sample.valid.shape
    encoded = encode(sample.pixels, image)
    name = image_name(sample.request, layer=layer, main=main, suffix=SUFFIXES[image.format])
    tile = sample.request.tile
    return Row(
        image={"bytes": encoded, "path": name},
        img_name=name,
        gsd_m=tile.gsd_m(width),
        native_gsd_m=main.native_gsd_m,
        width=width,
        height=height,
        source_id=main.source_id,
        source_item=main.source_item,
        licence=main.licence,
        attribution=main.attribution,
        acquired_at=main.moment.at if main.moment else None,
        acquired_precision=main.moment.precision if main.moment else None,
        sources=_sources(sample.contributions),
        synthetic=any(part.synthetic for part in sample.contributions),
        sha256=hashlib.sha256(encoded).hexdigest(),
        phash=perceptual_hash(sample.pixels),
        valid_fraction=measures.valid_fraction,
        entropy=measures.entropy,
        sharpness=measures.sharpness,
        contrast=measures.contrast,
        brightness=measures.brightness,
        saturation=measures.saturation,
        **place_columns(tile),
    )


def rejection(request: Request, *, verdict: str, reason: str, detail: str, **known: Any) -> Rejection:
    """Return the record of a tile that was dropped or failed; ``known`` are further fields of ``Rejection``."""
    lon, lat = request.tile.centre
    return Rejection(
        Google_location=request.tile.name,
        level=request.tile.level,
        x=request.tile.x,
        y=request.tile.y,
        lon=lon,
        lat=lat,
        verdict=verdict,
        reason=reason,
        detail=detail,
        **known,
    )


def _sources(parts: Sequence[Contribution]) -> list[dict[str, Any]]:
    return [
        {
            "source_id": part.source_id,
            "source_item": part.source_item,
            "licence": part.licence,
            "attribution": part.attribution,
            "acquired_at": part.moment.at if part.moment else None,
            "share": part.share,
        }
        for part in parts
    ]
