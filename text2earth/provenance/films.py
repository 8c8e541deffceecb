"""The XMP packet as films hold it: a block of a GIF, a box of an MP4."""

from __future__ import annotations

import struct
import uuid

from text2earth.provenance.origin import Origin, xmp_packet

__all__ = ["gif_block", "mp4_box"]

_XMP_BOX = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")


def gif_block(origin: Origin) -> bytes:
    """Return the application extension that marks a GIF; it stands before the first frame (ISO 16684-3, 1.1.2).

    The packet is no chain of sub-blocks, as all else in a GIF. A reader that takes it for one lands in the trailer
    of descending bytes, each of which leads to the zero at its end.
    """
    trailer = bytes([1, *range(255, -1, -1), 0])
    return b"\x21\xff\x0bXMP DataXMP" + xmp_packet(origin).encode() + trailer


def mp4_box(origin: Origin) -> bytes:
    """Return the box that marks an MP4; it may be appended to the file (ISO 16684-3, 1.2.7; ISO 14496-12, ``uuid``)."""
    content = _XMP_BOX.bytes + xmp_packet(origin).encode()
    return struct.pack(">I4s", 8 + len(content), b"uuid") + content
