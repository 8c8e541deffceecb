"""Tiles, requests, bytes, time and disk of a build, from its plan alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from git10m.building import prepare
from git10m.building.inputs import Inputs
from git10m.recipe import ImageFormat, Origin, Recipe, SceneSource, TileServerSource, is_address
from git10m.sampling import Plan, plan_tiles
from git10m.sources import Group, credit
from git10m.sources.mosaic import Mosaic

__all__ = ["Outlook", "SourceOutlook", "bytes_per_pixel", "look_ahead", "reached"]

_BYTES_PER_PIXEL = {
    "jpeg": ((75, 0.238), (85, 0.312), (95, 0.531)),
    "webp": ((75, 0.165), (95, 0.394)),
    "png": ((0, 1.395),),
}
"""Means over 67 whole tiles of Landsat, Sentinel-2, NAIP and aerial imagery; busy tiles take twice as much."""
_SERVED_BYTES_PER_PIXEL = 0.25
"""Of the tiles of servers, which are most often JPEG of middling quality."""
_ROW_BYTES = 900
"""Of a row beside its images."""
_RAW_SHARE = 0.6
"""Compressed size of a remote raster's pixels over their plain size."""


@dataclass(frozen=True, slots=True)
class SourceOutlook:
    """What a build would ask of one source.

    Attributes:
        id: Source of the recipe.
        kind: Its kind.
        tiles: Planned tiles that it can add to, or images of a list; where sources share a layer, a tile counts for
            each of them.
        levels: The same by level; ``"0"`` is unknown.
        scenes: Scenes that can be read; None where it has none.
        requests: HTTP requests; None where they cannot be told.
        download_bytes: Estimate of what will be received; 0 for what is here.
        hours: At the rate that the recipe allows; None where there is no limit.
        licence: As stated.
        attribution: As stated.
    """

    id: str
    kind: str
    tiles: int
    levels: Mapping[str, int]
    scenes: int | None
    requests: int | None
    download_bytes: int
    hours: float | None
    licence: str | None
    attribution: str | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a build would do.

    Attributes:
        tiles: Planned tiles and images.
        levels: By level.
        layers: By layer and date.
        scenes: Scenes that can be read.
        sources: By source.
        licences: (licence, attribution) that will be in the dataset.
        disk_bytes: Estimates: ``cache`` (what was fetched), ``work`` (intermediate rows), ``data`` (final shards).
        skipped: Scenes that cannot be used, with the reason.
    """

    tiles: int
    levels: Mapping[str, int]
    layers: Mapping[str, int]
    scenes: int
    sources: tuple[SourceOutlook, ...]
    licences: tuple[tuple[str | None, str | None], ...]
    disk_bytes: Mapping[str, int]
    skipped: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def look_ahead(recipe: Recipe, *, root: Path, folder: Path, limit: int | None = None) -> tuple[Outlook, Inputs, Plan]:
    """Find out what a build would do; catalogs are asked, imagery is not fetched.

    Args:
        recipe: What to build.
        root: Folder that the recipe's relative paths start from.
        folder: Where the dataset would go.
        limit: Most tiles.

    Returns:
        The outlook, and what it is made from.

    Raises:
        RequestError: If the recipe leads nowhere.
        WorkError: If a catalog or file cannot be read.
    """
    inputs, plan = prepare(recipe, root=root, folder=folder, limit=limit)
    groups = inputs.imagery.groups
    per_group = np.bincount(plan.group, minlength=len(groups))
    sources = tuple(_source_outlook(source, inputs, plan) for source in inputs.recipe.source)
    tile_bytes = bytes_per_pixel(inputs.recipe.image) * inputs.recipe.tiles.size**2
    images = tile_bytes * (1 + len(inputs.modalities)) + _ROW_BYTES
    cached = (each.download_bytes for each in sources if each.kind in {"xyz", "wmts", "weblist"})
    outlook = Outlook(
        tiles=len(plan),
        levels=_by_level(plan),
        layers={_layer_name(group): int(count) for group, count in zip(groups, per_group, strict=True)},
        scenes=sum(item.scene is not None for item in inputs.items),
        sources=sources,
        licences=_licences(inputs),
        disk_bytes={"cache": sum(cached), "work": int(len(plan) * images), "data": int(len(plan) * images)},
        skipped=tuple(item.error for item in inputs.items if item.error is not None),
    )
    return outlook, inputs, plan


def bytes_per_pixel(image: ImageFormat) -> float:
    """Return the usual size of an encoded tile over its pixels."""
    quality, size = zip(*_BYTES_PER_PIXEL[image.format], strict=True)
    return float(np.interp(image.quality, quality, size))


def _source_outlook(source: Origin, inputs: Inputs, plan: Plan) -> SourceOutlook:
    mine = reached(source, inputs, plan)
    own = plan if mine.all() else plan.taken(mine)
    scenes = [item.scene for item in inputs.items if item.source_id == source.id and item.scene is not None]
    requests, received = _requests(source, own, inputs)
    rate = source.rate * _hosts(source) if isinstance(source, TileServerSource) else 0.0
    return SourceOutlook(
        id=source.id,
        kind=str(getattr(source, "kind", "")),
        tiles=len(own),
        levels=_by_level(own),
        scenes=len(scenes) if isinstance(source, SceneSource) else None,
        requests=requests,
        download_bytes=received,
        hours=requests / rate / 3600.0 if requests and rate else None,
        licence=source.licence,
        attribution=credit(source.attribution, None),
    )


def reached(source: Origin, inputs: Inputs, plan: Plan) -> Any:
    """Tell which planned tiles a source can add to, bool (N,)."""
    found = np.zeros(len(plan), dtype=bool)
    first = 0
    for part in inputs.imagery.parts:
        for number, group in enumerate(part.groups, start=first):
            members = (
                {part.scenes[i].source.id for i in group.scenes} if isinstance(part, Mosaic) else {group.source_id}
            )
            if members == {source.id}:
                found |= plan.group == number
            elif source.id in members and isinstance(part, Mosaic):
                own = tuple(i for i in group.scenes if part.scenes[i].source.id == source.id)
                alone = replace(part, groups=(replace(group, scenes=own),))
                its_own = plan_tiles(alone, inputs.recipe.tiles, area=inputs.area)
                at = np.flatnonzero(plan.group == number)
                found[at] = np.isin(_keys(plan.taken(at)), _keys(its_own))
        first += len(part.groups)
    return found


def _keys(plan: Plan) -> Any:
    return (plan.level.astype(np.int64) << 48) | (plan.x.astype(np.int64) << 24) | plan.y


def _requests(source: Origin, plan: Plan, inputs: Inputs) -> tuple[int | None, int]:
    """Return the requests that a source's tiles take, and about how many bytes come."""
    size = inputs.recipe.tiles.size
    if isinstance(source, TileServerSource):
        grid = _part(inputs, source).grid
        count = _served(plan, grid.finer)
        return count, int(count * grid.served_px**2 * _SERVED_BYTES_PER_PIXEL)
    kind = getattr(source, "kind", "")
    if kind == "weblist":
        waiting = int(_part(inputs, source).outstanding())
        return waiting, int(waiting * 256**2 * _SERVED_BYTES_PER_PIXEL)
    remote = [item.scene for item in inputs.items if item.source_id == source.id and item.scene is not None]
    remote = [scene for scene in remote if any(is_address(band.path) for band in scene.bands)]
    if remote:
        bands = max(len(scene.bands) for scene in remote)
        value_bytes = 1 if remote[0].scale is None else 2
        # Overviews keep what is read near what is shown, two to four times as many pixels.
        return None, int(len(plan) * size**2 * 3 * bands * value_bytes * _RAW_SHARE)
    held = [path for path in getattr(source, "paths", ()) if is_address(path)]
    return (None, int(len(plan) * size**2 * _SERVED_BYTES_PER_PIXEL)) if kind == "archive" and held else (0, 0)


def _part(inputs: Inputs, source: Origin) -> Any:
    """Return the part of the imagery that a source without scenes is."""
    return next(part for part in inputs.imagery.parts if part.groups[0].source_id == source.id)


def _served(plan: Plan, finer: int) -> int:
    """Count the served tiles that some tiles are cut from or joined of."""
    if finer <= 0:
        return int(len(plan) * 4**-finer)
    count = 0
    for level in np.unique(plan.level).tolist():
        at = np.flatnonzero(plan.level == level)
        above = (plan.x[at] >> finer).astype(np.int64)
        above <<= 32
        above |= plan.y[at] >> finer
        above.sort()
        count += int((above[1:] != above[:-1]).sum()) + min(1, len(above))
    return count


def _hosts(source: TileServerSource) -> int:
    return len(getattr(source, "subdomains", ())) if "{s}" in getattr(source, "url", "") else 1


def _by_level(plan: Plan) -> dict[str, int]:
    levels, counts = np.unique(plan.level, return_counts=True)
    return {str(level): int(count) for level, count in zip(levels.tolist(), counts.tolist(), strict=True)}


def _layer_name(group: Group) -> str:
    name = group.layer if group.scenes or group.layer != "imagery" else f"{group.layer} of {group.source_id}"
    return f"{name} {group.acquired_at.date()}" if group.acquired_at else name


def _licences(inputs: Inputs) -> tuple[tuple[str | None, str | None], ...]:
    """List the licences of all scenes and of all sources that have none."""
    found: dict[tuple[str | None, str | None], None] = {}
    mosaics = [part for part in inputs.imagery.parts if isinstance(part, Mosaic)]
    scenes: Sequence[Any] = [scene for mosaic in mosaics for scene in mosaic.scenes]
    for scene in scenes:
        found[scene.licence, credit(scene.attribution, scene.moment)] = None
    for source in inputs.recipe.source:
        if not isinstance(source, SceneSource):
            found[source.licence, credit(source.attribution, None)] = None
    return tuple(sorted(found, key=lambda pair: (pair[0] or "", pair[1] or "")))
