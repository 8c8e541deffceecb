"""The outlook as a page: numbers, a map of the planned tiles, licences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from git10m.planning.outlook import Outlook
from git10m.publish import write_text
from git10m.report.footprints import Cells, places, position
from git10m.report.maps import Colours, level_colour, place_map, world_map
from git10m.report.page import page_environment
from git10m.sampling import Plan

__all__ = ["in_words", "size_in_words", "time_in_words", "write_plan"]

_DRAWN = 200_000
"""More tiles than this are drawn as their parents."""
_PLACES = 12


def write_plan(outlook: Outlook, plan: Plan, path: Path, *, name: str) -> None:
    """Write the outlook as one HTML file that needs no other.

    Args:
        outlook: What a build would do.
        plan: Its tiles.
        path: File to write; its folder exists.
        name: Of the dataset.
    """
    environment = page_environment()
    environment.filters.update(size=size_in_words, duration=time_in_words)
    write_text(path, environment.get_template("plan.html.j2").render(name=name, outlook=outlook, map=_maps(plan)))


def in_words(outlook: Outlook) -> list[str]:
    """Return the outlook as lines of plain text."""
    lines = [f"{outlook.tiles:,} tiles" + (f" from {outlook.scenes:,} scenes" if outlook.scenes else "")]
    lines += [f"  level {level}: {count:,}" for level, count in outlook.levels.items()]
    lines += [f"  {layer}: {count:,}" for layer, count in outlook.layers.items()]
    for source in outlook.sources:
        said = [f"{source.tiles:,} tiles"]
        if source.requests is None:
            said.append("requests cannot be told")
        elif source.requests:
            said.append(f"{source.requests:,} requests")
        if source.download_bytes:
            said.append(f"about {size_in_words(source.download_bytes)} to fetch")
        if source.hours is not None:
            said.append(f"at least {time_in_words(source.hours)} at the rate that is allowed")
        lines.append(f"source {source.id} ({source.kind}): {', '.join(said)}")
    disk = ", ".join(f"{name} {size_in_words(size)}" for name, size in outlook.disk_bytes.items() if size)
    lines.append(f"disk, about: {disk}")
    for licence, attribution in outlook.licences:
        lines.append(f"licence: {licence or 'not stated'}" + (f" ({attribution})" if attribution else ""))
    return lines


def size_in_words(size: float) -> str:
    """Write a number of bytes, e.g. ``"37.5 GB"``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def time_in_words(hours: float) -> str:
    """Write a time, e.g. ``"3.2 hours"``."""
    for factor, unit, below in ((3600, "seconds", 90 / 3600), (60, "minutes", 1.5), (1, "hours", 48)):
        if hours < below:
            return f"{hours * factor:.3g} {unit}"
    return f"{hours / 24:,.3g} days"


def _maps(plan: Plan) -> dict[str, Any] | None:
    """Return the drawings of where tiles are; None where none has a place."""
    tiles = _drawn(plan)
    groups = places(Cells.of_tiles(tiles))
    if not groups:
        return None
    levels = sorted(np.unique(tiles[:, 0]).tolist())
    nothing = Cells.of_tiles(np.empty((0, 3), dtype=np.int32))
    return {
        "world": world_map(groups, numbered=_PLACES),
        "legend": [(level, level_colour(level, levels)) for level in levels],
        "parents": len(tiles) < len(np.flatnonzero(plan.level > 0)),
        "places": [
            {
                "number": place.number,
                "title": position(*place.centre),
                "drawing": place_map(place, colours=Colours(levels), refused=nothing, towns=True),
            }
            for place in groups[:_PLACES]
        ],
        "more": max(len(groups) - _PLACES, 0),
    }


def _drawn(plan: Plan) -> Any:
    """Return (level, x, y) of each place that is drawn: tiles once for all dates, or their parents."""
    found = []
    for level in np.unique(plan.level[plan.level > 0]).tolist():
        at = np.flatnonzero(plan.level == level)
        # So far up that not even a plan of every tile there could be too many to draw.
        up = 0
        while len(at) >> (2 * up) > _DRAWN and level - up > 1:
            up += 1
        pieces = (at[start : start + _DRAWN] for start in range(0, len(at), _DRAWN))
        parents = [np.unique((plan.x[piece].astype(np.int64) >> up) << 32 | (plan.y[piece] >> up)) for piece in pieces]
        key = np.unique(np.concatenate(parents))
        found.append(np.stack([np.full(len(key), level - up), key >> 32, key & 0xFFFFFFFF], axis=1))
    tiles = np.concatenate(found).astype(np.int32) if found else np.empty((0, 3), dtype=np.int32)
    return np.unique(tiles, axis=0)
