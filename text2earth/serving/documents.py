"""What clients read before they ask for tiles: TileJSON 3.0, and WMTS 1.0 capabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

from git10m.grid import HALF_WORLD_M, MAX_LATITUDE
from text2earth.serving.worlds import Chosen

__all__ = ["ATTRIBUTION", "Offer", "tilejson", "wmts_capabilities"]

ATTRIBUTION = "Synthetic imagery, made by a generative model: it shows no real place"
_PIXEL_M = 0.00028
"""Width of a pixel on the screen that WMTS reckons its scale denominators with."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A world as it is offered.

    Args:
        chosen: The world.
        version: Of its pixels.
        levels: That are painted; nothing is averaged up from below the first.
        model: Name of it.
        address: Of the server, without a slash at its end.
    """

    chosen: Chosen
    version: str
    levels: range
    model: str
    address: str

    @property
    def query(self) -> str:
        """What names the world in the address of a tile."""
        chosen = self.chosen
        areas = [f"{area.west},{area.south},{area.east},{area.north},{area.prompt}" for area in chosen.areas]
        named = [("prompt", chosen.prompt), ("seed", str(chosen.seed)), *(("area", area) for area in areas)]
        return urlencode([*named, ("v", self.version)])


def tilejson(offer: Offer) -> dict[str, Any]:
    """Return the TileJSON of a world."""
    chosen, levels = offer.chosen, offer.levels
    return {
        "tilejson": "3.0.0",
        "name": f"Synthetic world by {offer.model}, seed {chosen.seed}",
        "description": f"{ATTRIBUTION}. Prompt: {chosen.prompt or '(none)'}",
        "attribution": ATTRIBUTION,
        "version": "1.0.0",
        "scheme": "xyz",
        "tiles": [f"{offer.address}/tiles/{{z}}/{{x}}/{{y}}.png?{offer.query}"],
        "minzoom": levels[0],
        "maxzoom": levels[-1],
        "bounds": [-180, -round(MAX_LATITUDE, 6), 180, round(MAX_LATITUDE, 6)],
        "center": [0, 0, levels[0]],
        "synthetic": True,
        "model": offer.model,
        "prompt": chosen.prompt,
        "seed": chosen.seed,
        "areas": chosen.geojson(),
        "world": offer.version,
    }


def wmts_capabilities(offer: Offer) -> str:
    """Return WMTS capabilities with one layer on the levels of WebMercatorQuad that are painted."""
    formats = {"image/png": "png", "image/webp": "webp", "image/jpeg": "jpg"}
    resources = "".join(
        f'<ResourceURL format="{media}" resourceType="tile" '
        f'template="{escape(offer.address)}/tiles/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.{ending}?{escape(offer.query)}"/>'
        for media, ending in formats.items()
    )
    title = f"Synthetic world by {offer.model}"
    url = quoteattr(f"{offer.address}/WMTSCapabilities.xml?{offer.query}")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Capabilities xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink" version="1.0.0">'
        f"<ows:ServiceIdentification><ows:Title>{escape(title)}</ows:Title>"
        f"<ows:Abstract>{escape(ATTRIBUTION)}</ows:Abstract><ows:ServiceType>OGC WMTS</ows:ServiceType>"
        "<ows:ServiceTypeVersion>1.0.0</ows:ServiceTypeVersion></ows:ServiceIdentification>"
        f"<Contents><Layer><ows:Title>{escape(title)}</ows:Title><ows:Abstract>{escape(ATTRIBUTION)}</ows:Abstract>"
        f"<ows:WGS84BoundingBox><ows:LowerCorner>-180 {-MAX_LATITUDE:.6f}</ows:LowerCorner>"
        f"<ows:UpperCorner>180 {MAX_LATITUDE:.6f}</ows:UpperCorner></ows:WGS84BoundingBox>"
        "<ows:Identifier>world</ows:Identifier>"
        '<Style isDefault="true"><ows:Identifier>default</ows:Identifier></Style>'
        + "".join(f"<Format>{media}</Format>" for media in formats)
        + f"<TileMatrixSetLink><TileMatrixSet>WebMercatorQuad</TileMatrixSet></TileMatrixSetLink>{resources}</Layer>"
        "<TileMatrixSet><ows:Identifier>WebMercatorQuad</ows:Identifier>"
        "<ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>"
        + "".join(_matrix(level) for level in offer.levels)
        + f"</TileMatrixSet></Contents><ServiceMetadataURL xlink:href={url}/></Capabilities>"
    )


def _matrix(level: int) -> str:
    scale = 2 * HALF_WORLD_M / (256 << level) / _PIXEL_M
    corner = math.floor(HALF_WORLD_M * 1e8) / 1e8
    return (
        f"<TileMatrix><ows:Identifier>{level}</ows:Identifier><ScaleDenominator>{scale!r}</ScaleDenominator>"
        f"<TopLeftCorner>{-corner!r} {corner!r}</TopLeftCorner><TileWidth>256</TileWidth><TileHeight>256</TileHeight>"
        f"<MatrixWidth>{1 << level}</MatrixWidth><MatrixHeight>{1 << level}</MatrixHeight></TileMatrix>"
    )
