"""Marks of synthetic origin, in every format that an image is written to.

A PNG carries text chunks and an XMP packet with IPTC's ``DigitalSourceType``; a GeoTIFF carries the same as tags.
The values are those that newsrooms and stock agencies read (IPTC Photo Metadata Standard 2022.1).
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from git10m.grid import HALF_WORLD_M, MAX_LATITUDE, MAX_LEVEL, lonlat_to_xy, pixel_size_m
from text2earth.errors import RequestError

__all__ = [
    "DIGITAL_SOURCE_TYPE",
    "Origin",
    "encode_png",
    "footprint_m",
    "write_geotiff",
    "write_geotiff_like",
    "write_png",
]

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for media made by a model that learnt from sampled content."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Origin:
    """How an image was made.

    Args:
        model: Name or folder name of the model.
        prompt: Text that it was asked with.
        level: Zoom level 0…22; 0 is unknown.
        seed: Of the initial noise.
        steps: Denoising steps.
        guidance_scale: Of the text.
        further: Conditions beside text and level, as (name, value).
    """

    model: str
    prompt: str
    level: int
    seed: int
    steps: int
    guidance_scale: float
    further: tuple[tuple[str, str], ...] = ()

    def tags(self) -> dict[str, str]:
        """Return it as text tags; the first one says what matters."""
        return {
            "SYNTHETIC": "YES",
            "DESCRIPTION": "Synthetic image made by a generative model; it shows no real place.",
            "DIGITAL_SOURCE_TYPE": DIGITAL_SOURCE_TYPE,
            "SOFTWARE": f"text2earth {_version()}",
            "MODEL": self.model,
            "PROMPT": self.prompt,
            "LEVEL": str(self.level),
            "SEED": str(self.seed),
            "STEPS": str(self.steps),
            "GUIDANCE_SCALE": str(self.guidance_scale),
            **{name.upper(): value for name, value in self.further},
        }


def write_png(pixels: Pixels, path: Path, *, origin: Origin) -> None:
    """Write uint8 pixels (H, W, 3), or one band (H, W), as a PNG that is marked synthetic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels, origin=origin))


def encode_png(pixels: Pixels, *, origin: Origin) -> bytes:
    """Return uint8 pixels (H, W, 3), or one band (H, W), as the bytes of a PNG that is marked synthetic."""
    info = PngInfo()
    for name, value in origin.tags().items():
        info.add_itxt(name, value)
    info.add_itxt("XML:com.adobe.xmp", _xmp(origin))
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", pnginfo=info)
    return encoded.getvalue()


def write_geotiff(
    pixels: Pixels, path: Path, *, origin: Origin, lon: float, lat: float, band: str | None = None
) -> None:
    """Write uint8 pixels (H, W, 3), or one band (H, W), as a GeoTIFF in EPSG:3857 that is marked synthetic.

    The pixel size is that of the level's 256-px tiles, and the pixels lie on the level's own grid: the centre is
    the point (lon, lat), moved by at most half a pixel in each axis. ``band`` is the name of a single band.

    Raises:
        RequestError: If the level is 0, or the image would leave the EPSG:3857 square.
    """
    import rasterio
    from rasterio.transform import from_origin

    height, width = pixels.shape[:2]
    west, _, _, north = footprint_m(origin.level, lon=lon, lat=lat, width=width, height=height)
    size = pixel_size_m(origin.level)
    bands = np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[None]
    photometric = "RGB" if len(bands) == 3 else "MINISBLACK"
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": len(bands),
        "crs": "EPSG:3857",
        "photometric": photometric,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        **profile,
        width=width,
        height=height,
        transform=from_origin(west, north, size, size),
        compress="deflate",
    ) as target:
        target.write(bands)
        if band is not None:
            target.set_band_description(1, band)
        target.update_tags(**origin.tags())


def write_geotiff_like(pixels: Pixels, path: Path, *, origin: Origin, like: Path) -> None:
    """Write uint8 pixels (H, W, 3) as a GeoTIFF with the place of another one, marked synthetic.

    Args:
        pixels: Of the other's size.
        path: Where to.
        origin: How they were made.
        like: GeoTIFF whose coordinate reference system and transform are taken.
    """
    import rasterio

    height, width = pixels.shape[:2]
    with rasterio.open(like) as source:
        place = {"crs": source.crs, "transform": source.transform}
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "RGB", "compress": "deflate", **place}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile, width=width, height=height) as target:
        target.write(np.moveaxis(pixels, -1, 0))
        target.update_tags(**origin.tags())


def footprint_m(level: int, *, lon: float, lat: float, width: int, height: int) -> tuple[float, float, float, float]:
    """Return (west, south, east, north) in EPSG:3857 metres of an image on the level's pixel grid.

    Args:
        level: 1…22.
        lon: Longitude of the centre, degrees.
        lat: Latitude of the centre, degrees.
        width: Pixels.
        height: Pixels.

    Raises:
        RequestError: If there is no such place on the grid.
    """
    if not 1 <= level <= MAX_LEVEL:
        raise RequestError(f"a georeferenced image needs a level of 1–{MAX_LEVEL}, {level} was given; add --level")
    if not (-180.0 <= lon <= 180.0 and abs(lat) <= MAX_LATITUDE):
        raise RequestError(
            f"lon {lon}, lat {lat} were given; lon is −180…180 and lat −{MAX_LATITUDE:.4f}…{MAX_LATITUDE:.4f} degrees"
        )
    size = pixel_size_m(level)
    across, down = (float(part) for part in lonlat_to_xy(lon, lat))
    side = 256 * (1 << level)
    left, top = math.floor(across * side - width / 2 + 0.5), math.floor(down * side - height / 2 + 0.5)
    if left < 0 or top < 0 or left + width > side or top + height > side:
        raise RequestError(
            f"{width}×{height} px of level {level} around lon {lon}, lat {lat} leave the EPSG:3857 square; "
            "choose another centre, a smaller size or a finer level"
        )
    west, north = left * size - HALF_WORLD_M, HALF_WORLD_M - top * size
    return west, north - height * size, west + width * size, north


def _xmp(origin: Origin) -> str:
    """Return an XMP packet (ISO 16684-1) with the source type, the tool and the prompt."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about=""'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        f" xmp:CreatorTool={quoteattr(f'text2earth {_version()}, model {origin.model}')}"
        f" Iptc4xmpExt:DigitalSourceType={quoteattr(DIGITAL_SOURCE_TYPE)}>"
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{escape(origin.prompt)}</rdf:li></rdf:Alt>'
        "</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="r"?>'
    )


def _version() -> str:
    try:
        return version("git10m")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
