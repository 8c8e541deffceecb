"""Pictures that say that they are synthetic: PNG, WebP, JPEG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from git10m.shards import atomic_file
from text2earth.errors import RequestError
from text2earth.provenance.origin import Origin, xmp_packet

__all__ = ["MEDIA_TYPES", "PICTURE_KINDS", "PictureKind", "check_kind", "encode", "encode_png", "write_png"]

PictureKind = Literal["png", "webp", "jpg"]

PICTURE_KINDS: tuple[PictureKind, ...] = get_args(PictureKind)
"""Kinds of picture, by the ending of their names."""

MEDIA_TYPES: Mapping[PictureKind, str] = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg"}

JPEG_QUALITY = 90

Pixels = npt.NDArray[np.uint8]


def encode(pixels: Pixels, kind: PictureKind, *, origin: Origin, quality: int | None = None) -> bytes:
    """Return pixels as the bytes of a picture that is marked synthetic; equal pixels give equal bytes.

    Args:
        pixels: uint8 (H, W, 3); a PNG also of one band (H, W).
        kind: Of picture.
        origin: How they were made.
        quality: 1…100 of WebP and JPEG; left out, WebP is lossless and JPEG has 90. A PNG has none.

    Raises:
        RequestError: If there is no such kind, or no such quality.
    """
    check_kind(kind, quality)
    if kind == "png":
        return encode_png(pixels, origin=origin)
    settings: dict[str, Any] = {"quality": quality if kind == "webp" else quality or JPEG_QUALITY}
    if kind == "webp":
        # Of a lossless picture both are effort: within 5 % of the smallest, and ten times as fast.
        settings = {"lossless": True, "quality": 50, "method": 2} if quality is None else settings
    encoded = io.BytesIO()
    packet = xmp_packet(origin).encode()
    Image.fromarray(pixels).save(encoded, "WEBP" if kind == "webp" else "JPEG", xmp=packet, **settings)
    return encoded.getvalue()


def encode_png(pixels: Pixels, *, origin: Origin) -> bytes:
    """Return uint8 pixels (H, W, 3), or one band (H, W), as the bytes of a PNG that is marked synthetic."""
    info = PngInfo()
    for name, value in origin.tags().items():
        info.add_itxt(name, value)
    info.add_itxt("XML:com.adobe.xmp", xmp_packet(origin))
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", pnginfo=info)
    return encoded.getvalue()


def write_png(pixels: Pixels, path: Path, *, origin: Origin) -> None:
    """Write uint8 pixels (H, W, 3), or one band (H, W), as a PNG that is marked synthetic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(encode_png(pixels, origin=origin))


def check_kind(kind: str, quality: int | None) -> None:
    """Refuse a kind or a quality that pictures do not have; see ``encode``.

    Raises:
        RequestError: If it is refused.
    """
    if kind not in PICTURE_KINDS:
        raise RequestError(f"pictures of kind {kind!r} were asked for; there are {', '.join(PICTURE_KINDS)}")
    if quality is not None and kind == "png":
        raise RequestError(
            f"quality {quality} was given for PNG, which loses nothing; leave it out, or take webp or jpg"
        )
    if quality is not None and not 1 <= quality <= 100:
        raise RequestError(f"quality {quality} was given; it is 1–100")
