"""The capabilities document of a WMTS: which layer, which grid, which addresses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

from git10m.errors import RecipeError, SourceError
from git10m.grid import HALF_WORLD_M, MAX_LEVEL
from git10m.recipe import WmtsSource
from git10m.sources.tile_server.documents import kept_document, name_of, with_own_query
from git10m.sources.tile_server.template import Template

__all__ = ["Capabilities", "read_capabilities"]

_METRES_PER_PIXEL = 0.00028
"""Standardised size of a rendered pixel, by which WMTS states scale denominators (OGC 07-057r7)."""
_MERCATOR = ("3857", "900913", "102100", "102113", "3785")
_FORMATS = ("image/jpeg", "image/jpg", "image/png", "image/png8", "image/webp", "image/vnd.jpeg-png", "image/jpgpng")
_WMTS = "{http://www.opengis.net/wmts/1.0}"


@dataclass(frozen=True)
class Capabilities:
    """What a recipe's layer of a WMTS is.

    Attributes:
        template: How its tiles are named.
        tile_px: Pixels a side.
        zooms: First and last zoom.
        bounds: (west, south, east, north) in degrees, where it is stated.
    """

    template: Template
    tile_px: int
    zooms: tuple[int, int]
    bounds: tuple[float, float, float, float] | None


def read_capabilities(source: WmtsSource, *, store: Path) -> Capabilities:
    """Read a capabilities document; it is kept, so that an interrupted build goes on with the same.

    Raises:
        RecipeError: If the layer, matrix set, style or format is not there, or the grid is not web mercator's.
        SourceError: If the document cannot be had, or is no WMTS capabilities.
    """
    from owslib.wmts import WebMapTileService  # noqa: PLC0415 - half a second that only WMTS needs

    kept = store / "capabilities.xml"
    document = kept_document(source, source.address, kept=kept, what="its capabilities")
    name = name_of(source.address)
    try:
        service = WebMapTileService(source.address, xml=_with_defaults(document))
    except Exception as error:
        raise SourceError(
            f"{name}: is no WMTS capabilities document ({_first_line(error)}); give the address that ends in "
            "WMTSCapabilities.xml or service=WMTS&request=GetCapabilities"
        ) from error
    layer = _chosen("layer", source.wmts_layer, service.contents, source, key="wmts_layer")
    matrix_set, zooms, tile_px, matrices = _matrix_set(source, service, layer)
    style = _style(source, layer)
    url = with_own_query(_url(source, service, layer, matrix_set, style), source.address)
    box = getattr(layer, "boundingBoxWGS84", None)
    bounds = (float(box[0]), max(-90.0, float(box[1])), float(box[2]), min(90.0, float(box[3]))) if box else None
    return Capabilities(Template(url, matrices=matrices), tile_px, zooms, bounds)


def _matrix_set(source: WmtsSource, service: Any, layer: Any) -> tuple[str, tuple[int, int], int, dict[int, str]]:
    """Return the matrix set's name, its first and last zoom, tile size, and the name of each zoom."""
    offered = list(layer.tilematrixsetlinks)
    if source.matrix_set is not None and source.matrix_set not in offered:
        raise RecipeError(f"source {source.id!r}: no matrix_set {source.matrix_set!r}; there are {', '.join(offered)}")
    reasons = []
    for name in [source.matrix_set] if source.matrix_set is not None else offered:
        found = _zooms(service.tilematrixsets[name], layer.tilematrixsetlinks[name])
        if not isinstance(found, str):
            size, matrices = found
            return name, (min(matrices), max(matrices)), size, matrices
        reasons.append(f"{name} ({found})")
    raise RecipeError(
        f"source {source.id!r}: no tile matrix set of layer {layer.id!r} is web mercator's grid: {'; '.join(reasons)}. "
        'GDAL can warp other grids: use kind = "raster" with path = an XML file of its WMTS driver'
    )


def _zooms(matrix_set: Any, link: Any) -> tuple[int, dict[int, str]] | str:
    """Return tile size and name of each zoom of a matrix set, or why it is not web mercator's grid."""
    if not any(code in str(matrix_set.crs) for code in _MERCATOR):
        return f"{str(matrix_set.crs).rpartition('/')[2].rpartition(':')[2]}"
    limits = set(getattr(link, "tilematrixlimits", None) or {})
    matrices: dict[int, str] = {}
    sizes = set()
    for name, matrix in matrix_set.tilematrix.items():
        # A tile of zoom z spans the world's width / 2**z, whatever its pixels.
        span_m = matrix.scaledenominator * _METRES_PER_PIXEL * matrix.tilewidth
        zoom = math.log2(2 * HALF_WORLD_M / span_m)
        left, top = matrix.topleftcorner
        off = max(abs(left + HALF_WORLD_M), abs(top - HALF_WORLD_M)) / span_m
        if abs(zoom - round(zoom)) > 1e-3 or round(zoom) < 0 or off > 1e-3 * 2 ** round(zoom) / 256:
            continue
        if round(zoom) <= MAX_LEVEL + 1 and (not limits or name in limits):
            matrices[round(zoom)] = name
            sizes.add(matrix.tilewidth)
    if not matrices:
        return "its tiles do not lie on the grid"
    if len(sizes) > 1 or not sizes <= {256, 512}:
        return f"tiles of {'/'.join(map(str, sorted(sizes)))} pixels"
    return sizes.pop(), matrices


def _with_defaults(document: bytes) -> bytes:
    """Give dimensions that state no default an empty one, without which OWSLib refuses the document."""
    root = ElementTree.fromstring(document)
    for dimension in root.iter(f"{_WMTS}Dimension"):
        if dimension.find(f"{_WMTS}Default") is None:
            ElementTree.SubElement(dimension, f"{_WMTS}Default")
    found: bytes = ElementTree.tostring(root)
    return found


def _style(source: WmtsSource, layer: Any) -> str:
    """Return the recipe's style, else the default, else the first; the identifier may be empty."""
    styles = {name or "": said for name, said in layer.styles.items()}
    if source.style is not None:
        if styles and source.style not in styles:
            raise RecipeError(f"source {source.id!r}: no style {source.style!r}; there are {', '.join(styles)}")
        return source.style
    default = next((name for name, said in styles.items() if said.get("isDefault")), None)
    return default if default is not None else next(iter(styles), "default")


def _url(source: WmtsSource, service: Any, layer: Any, matrix_set: str, style: str) -> str:
    """Return the address template, RESTful where the server has one, else by key and value."""
    media = _media(source, layer)
    dimensions = _dimensions(source, layer)
    resources = [found for found in layer.resourceURLs if found.get("resourceType") == "tile"]
    fitting = [found for found in resources if found.get("format") == media] or resources
    if fitting:
        filled = {"tilematrixset": matrix_set, "style": style, "layer": layer.id}
        filled |= {name.lower(): value for name, value in dimensions.items()}
        filled |= {"tilematrix": "{z}", "tilecol": "{x}", "tilerow": "{y}"}
        # Servers are careless with capitals here.
        template = re.sub(r"\{(\w+)\}", lambda part: filled.get(part[1].lower(), part[0]), str(fitting[0]["template"]))
        if unknown := set(re.findall(r"\{(\w+)\}", template)) - {"z", "x", "y"}:
            raise SourceError(
                f"{name_of(source.address)}: the addresses of layer {layer.id!r} hold {{{sorted(unknown)[0]}}}, which "
                "the document does not explain"
            )
        return template
    asked = {
        "SERVICE": "WMTS",
        "REQUEST": "GetTile",
        "VERSION": "1.0.0",
        "LAYER": layer.id,
        "STYLE": style,
        "TILEMATRIXSET": matrix_set,
        "FORMAT": media,
        **{name.upper(): value for name, value in dimensions.items()},
    }
    base = _get_tile(service) or source.address.partition("?")[0]
    joint = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return f"{base}{joint}{urlencode(asked)}&TILEMATRIX={{z}}&TILECOL={{x}}&TILEROW={{y}}"


def _media(source: WmtsSource, layer: Any) -> str:
    """Return the recipe's format, else the layer's first that is read."""
    formats = list(layer.formats)
    shown = ", ".join(formats)
    if source.format is not None:
        if formats and source.format not in formats:
            raise RecipeError(f"source {source.id!r}: no format {source.format!r}; there are {shown}")
        return source.format
    known = [name for name in formats if name in _FORMATS]
    if formats and not known:
        raise RecipeError(f"source {source.id!r}: layer {layer.id!r} has {shown}; expected JPEG, PNG or WebP")
    return next(iter(known), "image/png")


def _get_tile(service: Any) -> str | None:
    """Return the address for GetTile by key and value, where the document states one."""
    operation = next((each for each in getattr(service, "operations", []) if each.name == "GetTile"), None)
    methods = [each for each in (operation.methods if operation is not None else []) if each.get("type") == "Get"]

    def encodings(method: Any) -> set[str]:
        return {str(value).upper() for limit in method.get("constraints") or [] for value in limit.values}

    # An address without constraints is meant for all encodings.
    fitting = [each for each in methods if "KVP" in encodings(each)] + [each for each in methods if not encodings(each)]
    return str(next(iter(fitting + methods))["url"]) if methods else None


def _dimensions(source: WmtsSource, layer: Any) -> dict[str, str]:
    """Return a value of each dimension of a layer: the recipe's, else its default."""
    offered: dict[str, Any] = dict(getattr(layer, "dimensions", None) or {})
    lower = {name.lower(): value for name, value in source.dimensions.items()}
    if unknown := [name for name in source.dimensions if name.lower() not in {known.lower() for known in offered}]:
        known = ", ".join(offered) or "none"
        raise RecipeError(f"source {source.id!r}: no dimension {unknown[0]!r}; the layer has {known}")
    found = {}
    for name, said in offered.items():
        value = lower.get(name.lower()) or said.get("default")
        if not value:
            raise RecipeError(f'source {source.id!r}: say which {name}: dimensions = {{{name} = "…"}}')
        found[name] = str(value)
    return found


def _chosen(what: str, wanted: str | None, offered: Any, source: WmtsSource, *, key: str) -> Any:
    names = list(offered)
    shown = ", ".join(names[:20]) + (f" … ({len(names)})" if len(names) > 20 else "")
    if wanted is None and len(names) != 1:
        raise RecipeError(f"source {source.id!r}: say which {what}: {key} = …; there are {shown or 'none'}")
    if wanted is not None and wanted not in offered:
        raise RecipeError(f"source {source.id!r}: no {what} {wanted!r}; there are {shown}")
    return offered[wanted if wanted is not None else names[0]]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
