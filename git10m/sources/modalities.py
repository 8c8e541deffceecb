"""Further images of every tile on the same grid: near infrared, panchromatic, radar, elevation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.recipe import Modality, Percentiles, SceneSource
from git10m.sources import Failure, Group, Request, Sample
from git10m.sources.mosaic import Mosaic, group_scenes
from git10m.sources.raster import Scene

__all__ = ["ModalityReader", "Seen", "modality_source", "open_modality"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a modality shows of a tile.

    Attributes:
        pixels: uint8 (H, W) of one band, or (H, W, 3).
        valid: bool (H, W), true where there is data.
        native_gsd_m: Of the largest contribution.
    """

    pixels: npt.NDArray[np.uint8]
    valid: npt.NDArray[np.bool_]
    native_gsd_m: float | None


@dataclass(frozen=True)
class ModalityReader:
    """Reads one modality for the tiles of any group of the build.

    Attributes:
        modality: As the recipe says.
        mosaic: Its scenes: first a group of all of them, then one for each date.
        group_of: Group of the mosaic for each group of the build's imagery.
        note: Source, bands and stretch, for the metadata of files.
    """

    modality: Modality
    mosaic: Mosaic
    group_of: tuple[int, ...]
    note: Mapping[str, Any]

    def read(self, requests: Sequence[Request]) -> Iterator[Seen | str | None]:
        """Yield what each tile shows, in order; why there is nothing, as text; None for a request without a tile."""
        placed = [Request(each.placed, self.group_of[each.group]) for each in requests if each.tile is not None]
        found = self.mosaic.read(placed)
        for request in requests:
            yield None if request.tile is None else self._seen(next(found))

    def _seen(self, result: Sample | Failure) -> Seen | str:
        if isinstance(result, Failure):
            return result.detail
        main = result.contributions[0]
        bands = len(self.mosaic.scenes[0].bands)
        pixels = result.pixels if bands == 3 else np.ascontiguousarray(result.pixels[..., 0])
        return Seen(pixels, result.valid, main.native_gsd_m)


def modality_source(source: SceneSource, modality: Modality) -> SceneSource:
    """Return a source as its modality reads it: other bands, another stretch, at any level."""
    same_bands = modality.bands is None or modality.bands == source.bands
    said = {
        "bands": modality.bands if modality.bands is not None else source.bands,
        "scale": modality.scale if modality.scale is not None else source.scale if same_bands else None,
        "decibels": source.decibels if modality.decibels is None else modality.decibels,
        "dates": "separate",
        "levels": None,
        "layer": modality.name.replace("_", "-"),
    }
    return source.model_copy(update=said)


def open_modality(
    modality: Modality, scenes: Sequence[Scene], *, digests: Sequence[str], groups: Sequence[Group], tile_size: int
) -> ModalityReader:
    """Prepare a modality.

    Tiles of one date are paired with the scenes of that date, else with those nearest in time; undated tiles with all
    scenes, in order of priority. Whatever its own resolution, a modality is resampled to the tile's grid.

    Args:
        modality: As the recipe says.
        scenes: Of `modality_source`; at least one.
        digests: Of their content.
        groups: Of the build's imagery.
        tile_size: Pixels a side of a tile.
    """
    source = scenes[0].source
    dated = group_scenes(scenes, source_order=[source.id])
    ordered = sorted(range(len(scenes)), key=lambda index: (scenes[index].rank, scenes[index].name))
    everything = Group(source.layer, None, source.id, tuple(ordered))
    own = [everything, *(group for group in dated if group.acquired_at is not None)]
    mosaic = Mosaic(tuple(scenes), tuple(own), tile_size, oversample=True, fill=(0, 0, 0), digests=tuple(digests))
    scale: Any = source.scale
    note = {
        "source": source.id,
        "bands": list(source.bands) if source.bands is not None else None,
        "scale": {"percentiles": list(scale.percentiles)} if isinstance(scale, Percentiles) else scale,
        "decibels": source.decibels,
    }
    return ModalityReader(modality, mosaic, tuple(_nearest(own, group) for group in groups), note)


def _nearest(own: Sequence[Group], group: Group) -> int:
    """Return the group of a modality that is nearest in time; the one of all scenes where a date is unknown."""
    if group.acquired_at is None or len(own) == 1:
        return 0
    at = group.acquired_at
    distance = {i: abs((found.acquired_at - at).total_seconds()) for i, found in enumerate(own) if found.acquired_at}
    return min(distance, key=lambda i: (distance[i], i))
