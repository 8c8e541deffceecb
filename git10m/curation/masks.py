"""Masks of pixels that have data, as they stand in a unit's rows."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

__all__ = ["packed", "unpacked"]

Mask = npt.NDArray[np.bool_]


def packed(valid: Mask) -> bytes | None:
    """Return a mask in few bytes; None where all pixels have data."""
    return None if valid.all() else zlib.compress(np.packbits(valid).tobytes(), 6)


def unpacked(kept: bytes | None, height: int, width: int) -> Mask:
    """Return a mask as bool (height, width)."""
    if kept is None:
        return np.ones((height, width), dtype=bool)
    bits = np.frombuffer(zlib.decompress(kept), dtype=np.uint8)
    return np.unpackbits(bits, count=height * width).astype(bool).reshape(height, width)
