"""A few tiles of every source as one picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from git10m.building.inputs import Inputs
from git10m.planning.outlook import reached
from git10m.sampling import Plan
from git10m.shards import atomic_file
from git10m.sources import Failure, Request, Sample

__all__ = ["chosen", "write_preview"]

_SIDE, _GAP, _LINE, _LINES, _HEAD = 256, 16, 17, 5, 34
_INK, _SOFT, _PAPER, _EMPTY = (28, 34, 38), (96, 106, 112), (255, 255, 255), (236, 238, 239)
_WRAP = 38
_DATES, _LEVELS = 3, 3
_WHOLE = 9
"""A level with so many tiles is likely to have one that is whole, in the middle of 3 × 3."""


def write_preview(inputs: Inputs, plan: Plan, path: Path, *, tiles: int = 4) -> dict[str, Any]:
    """Read a few tiles of each layer and date, and write them as one PNG.

    Args:
        inputs: Of a build.
        plan: Its tiles.
        path: File to write; its folder exists.
        tiles: Of each layer and date, spread over its levels.

    Returns:
        What is shown: tiles by layer, and how many could not be read.
    """
    rows = [(source, list(inputs.imagery.read(chosen(plan, at, tiles)))) for source, at in _rows(inputs, plan)]
    font, bold = ImageFont.load_default(13), ImageFont.load_default(17)
    height = _HEAD + _SIDE + _LINES * _LINE + _GAP
    picture = Image.new("RGB", (tiles * (_SIDE + _GAP) + _GAP, max(1, len(rows)) * height + _GAP), _PAPER)
    draw = ImageDraw.Draw(picture)
    for number, (head, results) in enumerate(rows):
        top = number * height + _GAP
        draw.text((_GAP, top), head, font=bold, fill=_INK)
        for column, result in enumerate(results):
            corner = (_GAP + column * (_SIDE + _GAP), top + _HEAD - 4)
            _show(picture, draw, corner, result)
            for line, text in enumerate(_captions(result)):
                at = (corner[0], corner[1] + _SIDE + 4 + line * _LINE)
                draw.text(at, text, font=font, fill=_INK if line == 0 else _SOFT)
    with atomic_file(path) as file:
        picture.save(file, "png")
    read = [result for _, results in rows for result in results]
    return {
        "preview": str(path),
        "tiles": sum(isinstance(result, Sample) for result in read),
        "failed": [result.detail for result in read if isinstance(result, Failure)],
    }


def _rows(inputs: Inputs, plan: Plan) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Yield a head, and the positions of the tiles to choose from, for each source and up to three of its dates."""
    for source in inputs.recipe.source:
        at = np.flatnonzero(reached(source, inputs, plan))
        groups = np.unique(plan.group[at])
        for group in groups[np.linspace(0, len(groups) - 1, min(_DATES, len(groups))).round().astype(int)].tolist():
            found = inputs.imagery.groups[group]
            parts = [source.id] if found.layer in {"imagery", source.id} else [source.id, found.layer]
            date = [str(found.acquired_at.date())] if found.acquired_at else []
            yield " · ".join([*parts, *date]), at[plan.group[at] == group]


def chosen(plan: Plan, own: npt.NDArray[np.int64], count: int) -> list[Request]:
    """Return requests near the middle of some tiles, on the finest, a middle and the coarsest level that have enough.

    Args:
        plan: All tiles.
        own: Positions of the tiles to choose from.
        count: How many.
    """
    found, counts = np.unique(plan.level[own], return_counts=True)
    # Of few tiles most lie on the edge and are nearly empty: no picture of a source.
    levels = (found[counts >= _WHOLE] if (counts >= _WHOLE).any() else found[-1:])[::-1]
    picked = levels[np.linspace(0, len(levels) - 1, min(_LEVELS, count, len(levels))).round().astype(int)]
    shares = [len(part) for part in np.array_split(np.arange(count), len(picked))]  # the finest gets what is over
    requests: list[Request] = []
    for level, share in zip(picked.tolist(), shares, strict=True):
        at = own[plan.level[own] == level]
        x, y = plan.x[at].astype(np.float64), plan.y[at].astype(np.float64)
        far = np.maximum(np.abs(x - np.median(x)), np.abs(y - np.median(y)))
        nearest = at[np.lexsort((plan.entry[at], y, x, far))[:share]]
        requests += [request for i in np.sort(nearest).tolist() for request in plan.requests(i, i + 1)]
    return requests


def _show(picture: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], result: Sample | Failure) -> None:
    if isinstance(result, Failure):
        draw.rectangle((*corner, corner[0] + _SIDE - 1, corner[1] + _SIDE - 1), fill=_EMPTY)
        text = textwrap.fill(f"{result.reason}: {result.detail}", 36, max_lines=12, placeholder=" …")
        draw.multiline_text((corner[0] + 8, corner[1] + 8), text, font=ImageFont.load_default(12), fill=_SOFT)
        return
    tile = Image.fromarray(np.where(result.valid[..., None], result.pixels, np.uint8(_EMPTY[0])))
    tile.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    picture.paste(tile, corner)


def _captions(result: Sample | Failure) -> Iterator[str]:
    """Yield at most five lines that fit under a tile."""
    tile = result.request.tile
    lines = [f"level {tile.level} · {tile.name}" if tile is not None else "level unknown"]
    if isinstance(result, Sample):
        main = result.contributions[0]
        size = f"{tile.gsd_m(result.valid.shape[0]):.3g} m/px" if tile is not None else "resolution unknown"
        lines.append(f"{size}, {result.valid.mean():.0%} valid, {result.valid.shape[1]} px")
        if main.moment is not None:
            lines.append(f"{main.moment.at:%Y-%m-%d}")
        lines.append(main.licence or "licence not stated")
        if result.given is not None and result.given.captions:
            lines.append(result.given.captions[0])
    yield from (textwrap.shorten(line, _WRAP, placeholder=" …") for line in lines[:_LINES])
