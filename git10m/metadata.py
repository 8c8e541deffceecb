"""From a sample to the columns of its row: resolution, place, time and provenance."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image

from git10m.curation.duplicates import perceptual_hashes
from git10m.curation.quality import MEASURED, Measures
from git10m.grid import Tile, nominal_resolution_m
from git10m.recipe import ImageFormat
from git10m.records import PLACE_COLUMNS, Rejection, Row
from git10m.sources import Contribution, Encoded, Given, Request, Sample

__all__ = ["SUFFIXES", "THUMBNAIL_PX", "encode", "image_name", "place_columns", "rejection", "row_of", "thumbnail"]

SUFFIXES = {"jpeg": ".jpg", "webp": ".webp", "png": ".png"}
"""Ending of a file name by format."""
THUMBNAIL_PX = 64
"""Side of the thumbnail of a rejected tile."""


def encode(pixels: npt.NDArray[np.uint8], image: ImageFormat) -> bytes:
    """Encode uint8 (H, W, 3) as RGB or (H, W) as grey; the same pixels give the same bytes."""
    options: dict[str, Any] = {
        "jpeg": {"quality": image.quality, "subsampling": 0},
        "webp": {"quality": image.quality, "method": 4},
        "png": {"compress_level": 6},
    }[image.format]
    if pixels.ndim == 2:
        options.pop("subsampling", None)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image.format, **options)
    return buffer.getvalue()


def thumbnail(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a 64-px JPEG of RGB uint8 (H, W, 3)."""
    small = Image.fromarray(pixels).resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, "jpeg", quality=85)
    return buffer.getvalue()


def image_name(request: Request, *, layer: str, main: Contribution, given: Given | None = None) -> str:
    """Return a name that is unique in a dataset, without its ending: source, layer, date and tile, or a set's own.

    Args:
        request: What was asked.
        layer: Layer of the recipe.
        main: The largest contribution.
        given: What a list says of the image.
    """
    parts = [main.source_id] if layer in {main.source_id, "imagery"} else [main.source_id, layer]
    if given is not None:
        return "_".join([*parts, re.sub(r"[/\\\s]+", "_", PurePosixPath(given.name).with_suffix("").as_posix())])
    if main.moment is not None:
        form = {"year": "%Y", "month": "%Y%m", "day": "%Y%m%d"}.get(main.moment.precision, "%Y%m%dT%H%M%S")
        parts.append(main.moment.at.strftime(form))
    return "_".join([*parts, request.placed.name])


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
    main, given = sample.contributions[0], sample.given
    height, width = sample.valid.shape
    stored = sample.encoded or Encoded(encode(sample.pixels, image), image.format)
    name = image_name(sample.request, layer=layer, main=main, given=given) + SUFFIXES[stored.format]
    phash, phash256 = perceptual_hashes(sample.pixels)
    known: dict[str, Any] = {
        "native_gsd_m": main.native_gsd_m,
        "licence": main.licence,
        "attribution": main.attribution,
        "acquired_at": main.moment.at if main.moment else None,
        "acquired_precision": main.moment.precision if main.moment else None,
        "synthetic": any(part.synthetic for part in sample.contributions),
        **_size_columns(sample, width),
        **_given_columns(given),
    }
    if known.get("img_quality_score") is None:
        known["img_quality_score"] = measures.score
    return Row(
        image={"bytes": stored.bytes, "path": name},
        img_name=name,
        width=width,
        height=height,
        source_id=main.source_id,
        source_item=main.source_item,
        sources=_sources(sample.contributions),
        sha256=hashlib.sha256(stored.bytes).hexdigest(),
        phash=phash,
        phash256=phash256,
        scene_cloud=main.scene_cloud,
        **{name: getattr(measures, name) for name in MEASURED},
        caption_facts={"platform": main.platform, "sensor": main.sensor},
        **known,
    )


def _size_columns(sample: Sample, width: int) -> dict[str, Any]:
    """Return place and resolution: of the tile, or of the level alone, or nothing but level 0."""
    tile = sample.request.tile
    if tile is not None:
        return {**place_columns(tile), "gsd_m": tile.gsd_m(width)}
    level = int(sample.given.columns.get("level") or 0) if sample.given is not None else 0
    return {"level": level, "resolution": nominal_resolution_m(level) if level else None, "native_gsd_m": None}


def _given_columns(given: Given | None) -> dict[str, Any]:
    """Return what a list says of an image: further columns, captions, split; place and level are none of these."""
    if given is None:
        return {}
    placed = {*PLACE_COLUMNS, "level"}
    found = {name: value for name, value in given.columns.items() if name not in placed and value is not None}
    if given.captions:
        found |= {
            "caption": given.captions[0],
            "caption_length": len(given.captions[0].split()),
            "caption_source": found.get("caption_source", "given"),
            "captions": list(given.captions) if len(given.captions) > 1 else None,
        }
    return found | ({"split": given.split} if given.split is not None else {})


def rejection(request: Request, *, verdict: str, reason: str, detail: str, **known: Any) -> Rejection:
    """Return the record of a tile or image that was dropped or failed; ``known`` are further fields of it."""
    tile = request.tile
    place: dict[str, Any] = {"level": 0}
    if tile is not None:
        lon, lat = tile.centre
        place = {"Google_location": tile.name, "level": tile.level, "x": tile.x, "y": tile.y, "lon": lon, "lat": lat}
    return Rejection(verdict=verdict, reason=reason, detail=detail, **{**place, **known})


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
