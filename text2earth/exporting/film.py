"""Frames as a film: GIF with Pillow, MP4 (H.264) with PyAV, both marked synthetic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import GifImagePlugin, Image

from text2earth.errors import ExportError
from text2earth.provenance import Origin, gif_block, mp4_box

__all__ = ["require_video", "write_gif", "write_mp4"]

Pixels = npt.NDArray[np.uint8]

_GIF_HEADER_BYTES = 13


def write_gif(frames: Iterable[Pixels], path: Path, *, fps: float, origin: Origin) -> None:
    """Write frames, uint8 (H, W, 3), as a GIF that repeats; one frame is in memory at a time.

    A frame lasts a whole number of hundredths of a second, and has 256 colours of its own.
    """
    duration_ms = 10 * max(2, round(100.0 / fps))  # browsers play what is shorter than 20 ms at 100 ms
    rest = iter(frames)
    first = _paletted(next(rest))
    with path.open("wb") as file:
        file.write(b"".join(_start(first, origin)))
        for frame in chain([first], map(_paletted, rest)):
            # Pillow's own way to many frames keeps them all.
            file.write(b"".join(GifImagePlugin.getdata(frame, duration=duration_ms, include_color_table=True)))
        file.write(b";")


def _start(frame: Image.Image, origin: Origin) -> Iterator[bytes]:
    blocks, _ = GifImagePlugin.getheader(frame.copy(), info={"loop": 0, "comment": origin.tags()["DESCRIPTION"]})
    header = b"".join(blocks)
    # The colours of all frames follow the header; the marks come between them and the rest.
    colours = 3 << ((header[10] & 7) + 1) if header[10] & 0x80 else 0
    yield header[: _GIF_HEADER_BYTES + colours]
    yield gif_block(origin)
    yield header[_GIF_HEADER_BYTES + colours :]


def _paletted(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)


def require_video() -> Any:
    """Return the module ``av``.

    Raises:
        ExportError: If it is not installed.
    """
    try:
        return import_module("av")
    except ImportError as error:
        raise ExportError("an .mp4 needs PyAV: pip install 'git10m[video]'; a .gif needs nothing further") from error


def write_mp4(frames: Iterable[Pixels], path: Path, *, fps: float, origin: Origin) -> None:
    """Write frames, uint8 (H, W, 3) of even size, as an MP4 that browsers play; a few frames are in memory at a time.

    H.264 in 4:2:0, BT.709, quality 18 (hardly to be told from the original); the index lies at the beginning.
    """
    av = require_video()
    rate = Fraction(fps).limit_denominator(1001)
    tags = origin.tags()
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        container.metadata["title"] = f"Synthetic imagery by the generative model {tags['MODEL']}"
        container.metadata["comment"] = tags["DESCRIPTION"]
        container.metadata["description"] = tags["PROMPT"]
        stream = None
        for pixels in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "medium"})
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
            container.mux(stream.encode(_frame(av, pixels)))
        if stream is not None:
            container.mux(stream.encode(None))
    with path.open("ab") as file:
        file.write(mp4_box(origin))


def _frame(av: Any, pixels: Pixels) -> Any:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
