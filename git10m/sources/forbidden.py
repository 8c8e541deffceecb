"""Tile servers whose terms forbid bulk download."""

from __future__ import annotations

from urllib.parse import urlsplit

from git10m.errors import RecipeError

__all__ = ["FORBIDDEN", "require_permission"]

FORBIDDEN = {
    "openstreetmap.org": "OpenStreetMap's standard tiles",
    "openstreetmap.fr": "OpenStreetMap France's tiles",
    "opentopomap.org": "OpenTopoMap",
    "google.com": "Google Maps",
    "googleapis.com": "Google Maps",
    "gstatic.com": "Google Maps",
    "virtualearth.net": "Bing Maps",
    "arcgisonline.com": "Esri's basemaps",
    "arcgis.com": "Esri's basemaps",
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
"""Domains of basemaps that may be looked at, but not collected, and whose they are."""


def require_permission(url: str, *, permission: str | None, source_id: str) -> None:
    """Refuse a server whose terms forbid bulk download, unless somebody permitted it.

    Raises:
        RecipeError: If the server is one of `FORBIDDEN` and the recipe names no permission.
    """
    host = (urlsplit(url).hostname or "").lower()
    domain = next((domain for domain in FORBIDDEN if host == domain or host.endswith(f".{domain}")), None)
    if domain is not None and not (permission and permission.strip()):
        raise RecipeError(
            f"source {source_id!r}: the terms of {FORBIDDEN[domain]} ({host}) forbid bulk download. Use openly "
            "licensed imagery (git10m's catalogs name some), or, if you were permitted, say by whom and when: "
            'permission = "letter of …, 2026-05-04"'
        )
