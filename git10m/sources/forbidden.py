"""Tile servers whose terms forbid bulk download."""

from __future__ import annotations

from git10m.errors import RecipeError

__all__ = ["FORBIDDEN", "require_permission"]

FORBIDDEN = {
    "openstreetmap.org": "OpenStreetMap's standard tiles",
    "openstreetmap.fr": "OpenStreetMap France's tiles",
    "opentopomap.org": "OpenTopoMap",
    "google.com": "Google Maps",
    "tile.googleapis.com": "Google Maps",
    "maps.googleapis.com": "Google Maps",
    **{f"{name}{i}.googleapis.com": "Google Maps" for name in ("khms", "mt", "mts") for i in range(4)},
    "earthengine.googleapis.com": "Google Earth Engine",
    "gstatic.com": "Google Maps",
    "virtualearth.net": "Bing Maps",
    "arcgisonline.com": "Esri's basemaps",
    "basemaps.arcgis.com": "Esri's basemaps",
    "basemaps-api.arcgis.com": "Esri's basemaps",
    "basemapstyles-api.arcgis.com": "Esri's basemaps",
    "ibasemaps-api.arcgis.com": "Esri's basemaps",
    "mapbox.com": "Mapbox",
    "maptiler.com": "MapTiler",
    "thunderforest.com": "Thunderforest",
    "stadiamaps.com": "Stadia Maps",
    "stamen.com": "Stamen",
    "cartocdn.com": "CARTO's basemaps",
    "hereapi.com": "HERE",
    "here.com": "HERE",
    "tomtom.com": "TomTom",
    "apple-mapkit.com": "Apple Maps",
    "yandex.net": "Yandex Maps",
    "yandex.ru": "Yandex Maps",
    "tianditu.gov.cn": "Tianditu",
    "autonavi.com": "Amap",
    "bdimg.com": "Baidu Maps",
    "planet.com": "Planet's basemaps",
}
"""Domains of basemaps that may be looked at, but not collected, and whose they are.

Where a firm also keeps what others own (files in Google's storage, tile layers of an ArcGIS organisation), only the
hosts of its basemaps are named.
"""


def require_permission(host: str | None, *, permission: str | None, source_id: str) -> None:
    """Refuse a server whose terms forbid bulk download, unless somebody permitted it.

    Raises:
        RecipeError: If the host is one of `FORBIDDEN`, or below one, and the recipe names no permission.
    """
    parts = (host or "").lower().split(".")
    domain = next((name for i in range(len(parts)) if (name := ".".join(parts[i:])) in FORBIDDEN), None)
    if domain is not None and not (permission and permission.strip()):
        raise RecipeError(
            f"source {source_id!r}: the terms of {FORBIDDEN[domain]} ({host}) forbid bulk download. Use openly "
            "licensed imagery (git10m's catalogs name some), or, if you were permitted, say by whom and when: "
            'permission = "letter of …, 2026-05-04"'
        )
