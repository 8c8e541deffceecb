"""STAC items and catalogs made for a test, around made rasters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rasterio
from rasterio.warp import transform_bounds

from git10m.recipe import StacSource
from git10m.sources import Failure, Request, Sample
from git10m.sources.mosaic import Mosaic, group_scenes
from git10m.sources.raster import Scene
from git10m.sources.stac import stac_scenes

__all__ = ["asset", "catalog", "feature", "item", "scenes", "source", "stac_mosaic", "write_json"]


def asset(path: Path | str, *, href: str | None = None, stated: bool = True, **said: Any) -> dict[str, Any]:
    """An asset of a raster; ``stated``: with the projection extension."""
    with rasterio.open(path) as raster:
        found: dict[str, Any] = {
            "href": href or str(path),
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
        }
        if stated:
            found |= {
                "proj:code": f"EPSG:{raster.crs.to_epsg()}",
                "proj:shape": [raster.height, raster.width],
                "proj:transform": list(raster.transform)[:6],
                "bands": [{"name": f"b{i}", "data_type": raster.dtypes[i - 1]} for i in raster.indexes],
            }
    return {name: value for name, value in (found | said).items() if value is not None}


def feature(path: Path | str) -> dict[str, Any]:
    """Geometry and box of a raster."""
    with rasterio.open(path) as raster:
        west, south, east, north = transform_bounds(raster.crs, "EPSG:4326", *raster.bounds, densify_pts=21)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [west, south, east, north]}


def item(
    path: Path | str, name: str = "scene", *, assets: Mapping[str, Any] | None = None, **properties: Any
) -> dict[str, Any]:
    """An item around a raster, its only asset ``image`` where none are given."""
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "collection": properties.pop("collection", "made"),
        **feature(path),
        "properties": {"datetime": "2021-06-01T10:30:00Z", **properties},
        "links": [],
        "assets": dict(assets) if assets is not None else {"image": asset(path)},
    }


def catalog(name: str, *hrefs: str, rel: str = "item", **said: Any) -> dict[str, Any]:
    """A static catalog with links."""
    links = [{"rel": rel, "href": href} for href in hrefs]
    return {"type": "Catalog", "stac_version": "1.1.0", "id": name, "description": name, "links": links, **said}


def write_json(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def source(address: Path | str, **said: Any) -> StacSource:
    """Source of a recipe, checked as a recipe's would be."""
    return StacSource.model_validate({"id": "made", "kind": "stac", "address": str(address), **said})


def scenes(address: Path | str, store: Path, *, area: Any = None, **said: Any) -> list[Scene]:
    """Scenes of a catalog, none of which may be refused."""
    found = stac_scenes(source(address, **said), area=area, store=store)
    assert [each.error for each in found if each.error] == []
    return [each.scene for each in found if each.scene is not None]


def stac_mosaic(found: Sequence[Scene]) -> Mosaic:
    """Scenes as the imagery of a build."""
    groups = group_scenes(found, source_order=[each.source.id for each in found])
    return Mosaic(tuple(found), tuple(groups), tile_size=256, oversample=False, fill=(0, 0, 0))


def read_all(made: Mosaic, tile: Any) -> list[Sample | Failure]:
    """One tile of every group."""
    return list(made.read([Request(tile, group) for group in range(len(made.groups))]))
