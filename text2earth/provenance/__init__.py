"""Marks of synthetic origin, in every format that an image is written to.

Every picture carries an XMP packet with IPTC's ``DigitalSourceType``; a PNG has the same as text, a GeoTIFF as tags
and as a STAC Item beside it, a film in a block or box of its own. The values are those that newsrooms and stock
agencies read (IPTC Photo Metadata Standard 2025.1).
"""

from text2earth.provenance.films import gif_block, mp4_box
from text2earth.provenance.geotiff import footprint_m, mark_geotiff, write_geotiff, write_geotiff_like
from text2earth.provenance.origin import DIGITAL_SOURCE_TYPE, Origin, PaintedWorld, xmp_packet
from text2earth.provenance.pictures import (
    MEDIA_TYPES,
    PICTURE_KINDS,
    PictureKind,
    check_kind,
    encode,
    encode_png,
    write_png,
)
from text2earth.provenance.stac import stac_item, stac_path, write_stac_item

__all__ = [
    "DIGITAL_SOURCE_TYPE",
    "MEDIA_TYPES",
    "PICTURE_KINDS",
    "Origin",
    "PaintedWorld",
    "PictureKind",
    "check_kind",
    "encode",
    "encode_png",
    "footprint_m",
    "gif_block",
    "mark_geotiff",
    "mp4_box",
    "stac_item",
    "stac_path",
    "write_geotiff",
    "write_geotiff_like",
    "write_png",
    "write_stac_item",
    "xmp_packet",
]
