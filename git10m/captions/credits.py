"""Where facts come from, under which licence, and who is to be named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from git10m import recipe
from git10m.captions.osm_extract import is_osm_file
from git10m.recipe import shown

__all__ = ["OSM_CREDIT", "credited", "fact_sources"]

OSM_CREDIT = "© OpenStreetMap contributors"
"""As https://www.openstreetmap.org/copyright asks."""

_GEONAMES = ("GeoNames", "CC-BY-4.0", "GeoNames (https://www.geonames.org)")
_KNOWN = {
    "WorldCover": (
        "CC-BY-4.0",
        "© ESA WorldCover project, contains modified Copernicus Sentinel data processed by the ESA WorldCover "
        "consortium",
    ),
    "Copernicus_DSM": (
        "Copernicus DEM licence",
        "© DLR e.V. 2010–2014 and © Airbus Defence and Space GmbH 2014–2018, provided under COPERNICUS by the European "
        "Union and ESA; all rights reserved",
    ),
}
"""Licence and credit line of well-known files, by a part of their names."""

Layer = recipe.LandCover | recipe.Areas | recipe.Objects | recipe.Relief


def fact_sources(captions: recipe.Captions, *, placed: bool = True) -> list[dict[str, str | None]]:
    """List what a recipe's facts come from: ``kind``, ``name`` of the file, ``licence`` and ``attribution``.

    A licence or credit line that the recipe does not state is None, but for OpenStreetMap, ESA WorldCover, Copernicus'
    elevation model and GeoNames, which are known.

    Args:
        captions: What the recipe says of captions.
        placed: Whether any image has a place; without one there are no facts of this kind.
    """
    if not placed:
        return []
    listed: list[tuple[str, Layer]] = [("areas", layer) for layer in captions.areas if layer.kind == "area"]
    places: list[tuple[str, Layer]] = [("places", layer) for layer in captions.areas if layer.kind == "place"]
    if captions.land_cover is not None:
        listed.append(("land cover", captions.land_cover))
    listed += [("objects", layer) for layer in captions.objects]
    if captions.relief is not None:
        listed.append(("relief", captions.relief))
    found = [_source(kind, layer, path) for kind, layer in [*places, *listed] for path in _paths(layer)]
    if not places:
        name, licence, credit = _GEONAMES
        found.insert(0, {"kind": "places", "name": name, "licence": licence, "attribution": credit})
    return found


def credited(sources: Iterable[Mapping[str, str | None]]) -> set[str]:
    """Return the credit lines of some sources."""
    return {credit for source in sources if (credit := source["attribution"])}


def _paths(layer: Layer) -> tuple[str, ...]:
    return layer.path if isinstance(layer.path, tuple) else (layer.path,)


def _source(kind: str, layer: Layer, path: str) -> dict[str, str | None]:
    licence, credit = layer.licence, layer.attribution
    if isinstance(layer, recipe.Objects) and _is_osm(layer, path):
        licence, credit = licence or "ODbL-1.0", credit or OSM_CREDIT
    for mark, (known_licence, known_credit) in _KNOWN.items():
        if mark.lower() in path.lower():
            licence, credit = licence or known_licence, credit or known_credit
    return {"kind": kind, "name": shown(path), "licence": licence, "attribution": credit}


def _is_osm(layer: recipe.Objects, path: str) -> bool:
    """Tell OpenStreetMap's own files, and layers whose columns are its tags."""
    return is_osm_file(path) or (layer.kind is None and layer.attribute is None)
