"""A STAC Item beside a GeoTIFF: where it lies, and that it is synthetic."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from git10m.grid import HALF_WORLD_M
from git10m.shards import atomic_file
from text2earth.provenance.origin import DIGITAL_SOURCE_TYPE, Origin

__all__ = ["stac_item", "stac_path", "write_stac_item"]

_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"

Bounds = tuple[float, float, float, float]


def stac_path(path: Path) -> Path:
    """Return where the Item of a GeoTIFF is written: ``a.tif`` has ``a.stac.json``."""
    return path.with_suffix(".stac.json")


def write_stac_item(path: Path, *, origin: Origin, called: Path | None = None) -> None:
    """Write the Item of a GeoTIFF that is there.

    Args:
        path: The GeoTIFF.
        origin: How it was made.
        called: Its name, where it still has another one.
    """
    item = stac_item(path, origin=origin, called=called)
    with atomic_file(stac_path(called or path)) as file:
        file.write(json.dumps(item, indent=2, ensure_ascii=False).encode())


def stac_item(path: Path, *, origin: Origin, called: Path | None = None) -> dict[str, Any]:
    """Return a GeoTIFF as a STAC 1.1 Item; see ``write_stac_item``.

    The moment is that of making: a synthetic image was never acquired.
    """
    import rasterio

    name = (called or path).name
    with rasterio.open(path) as found:
        place = _place(found)
        asset: dict[str, Any] = {
            "href": f"./{name}",
            "type": "image/tiff; application=geotiff"
            + ("; profile=cloud-optimized" if found.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG" else ""),
            "roles": ["data"],
        }
    tags = origin.tags()
    own = {f"text2earth:{key.lower()}": tags[key] for key in ("MODEL", "MODEL_HASH", "PROMPT") if key in tags}
    made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    properties = {
        "datetime": made,
        "created": made,
        "title": f"Synthetic image by the generative model {tags['MODEL']}",
        "description": tags["DESCRIPTION"],
        "keywords": ["synthetic"],
        **place.pop("properties"),
        "text2earth:synthetic": True,
        "text2earth:digital_source_type": DIGITAL_SOURCE_TYPE,
        "text2earth:software": origin.software,
        "text2earth:level": origin.level,
        "text2earth:seed": origin.seed,
        **own,
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [_PROJECTION],
        "id": Path(name).stem,
        **place,
        "properties": properties,
        "links": [],
        "assets": {"image": asset},
    }


def _place(found: Any) -> dict[str, Any]:
    """Return the geometry, and the properties of the projection, of an open raster."""
    bounds: Bounds = tuple(found.bounds)
    properties: dict[str, Any] = {
        "proj:shape": [found.height, found.width],
        "proj:transform": list(found.transform)[:6],
        "proj:bbox": list(bounds),
    }
    if found.crs is None:
        return {"geometry": None, "properties": {"proj:code": None, **properties}}
    code = found.crs.to_epsg()
    named = {"proj:code": f"EPSG:{code}"} if code else {"proj:code": None, "proj:wkt2": found.crs.to_wkt()}
    west, south, east, north = _degrees(bounds, found.crs)
    turned = (
        [(west, south, east, north)] if west <= east else [(west, south, 180.0, north), (-180.0, south, east, north)]
    )
    rings = [[[[w, s], [e, s], [e, n], [w, n], [w, s]]] for w, s, e, n in turned]
    geometry = (
        {"type": "Polygon", "coordinates": rings[0]}
        if len(rings) == 1
        else {"type": "MultiPolygon", "coordinates": rings}
    )
    return {"bbox": [west, south, east, north], "geometry": geometry, "properties": {**named, **properties}}


def _degrees(bounds: Bounds, crs: Any) -> Bounds:
    """Return bounds as (west, south, east, north) in degrees; west > east across the antimeridian."""
    if crs.to_epsg() != 3857:
        from rasterio.warp import transform_bounds

        west, south, east, north = transform_bounds(crs, "EPSG:4326", *bounds)
        return west, south, east, north
    left, bottom, right, top = (each / HALF_WORLD_M for each in bounds)
    south, north = (math.degrees(math.atan(math.sinh(math.pi * each))) for each in (bottom, top))
    if right - left >= 2.0 - 1e-9:
        return -180.0, south, 180.0, north
    # A world that goes round: an image may begin before the antimeridian, or end behind it.
    turns = 2.0 * math.floor((left + 1.0) / 2.0 + 1e-12)
    left, right = left - turns, right - turns
    return 180.0 * left, south, 180.0 * (right if right <= 1.0 + 1e-12 else right - 2.0), north
