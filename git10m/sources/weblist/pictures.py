"""Images as lists have them: those that tile servers give, and TIFF and BMP, which older sets are published in."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from git10m.sources.served import Served, decode

__all__ = ["decode_picture"]

_MOST_PX = 8192
_MAGIC = (b"II*\x00", b"MM\x00*", b"BM")
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}


def decode_picture(data: bytes, *, fill: tuple[int, int, int]) -> Served:
    """Decode a JPEG, PNG, WebP, TIFF or BMP image; of TIFF those of 8 bits, in grey or colour.

    Args:
        data: The whole file.
        fill: RGB of transparent pixels.

    Raises:
        ValueError: If it is no such image, or not whole; says why in a few words.
    """
    if not data.startswith(_MAGIC):
        return decode(data, fill=fill)
    name = "BMP" if data.startswith(b"BM") else "TIFF"
    try:
        # warnings are of odd tags; what counts is whether the pixels can be read
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=[name]) as image:
            if max(image.size) > _MOST_PX:
                raise ValueError(f"{image.width}×{image.height} pixels are too many for an image of a list")
            if image.mode not in _MODES:
                raise ValueError(f"a TIFF image of mode {image.mode}; those of 8 bits, grey or colour, are read")
            rgba = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        told = str(error).replace("<_io.BytesIO object at ", "").split(" 0x", maxsplit=1)[0]
        raise ValueError(f"a {name} image that cannot be read ({told or 'damaged'})") from error
    valid = rgba[..., 3] >= 128
    pixels = np.where(valid[..., None], rgba[..., :3], np.array(fill, dtype=np.uint8))
    return Served(np.ascontiguousarray(pixels), valid, None)
