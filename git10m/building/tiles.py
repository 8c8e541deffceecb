"""The first pass: pixels, metadata, measures and hashes of a unit of tiles."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import rasterio

from git10m import records
from git10m.building.inputs import without_folders
from git10m.building.workspace import Workspace, write_json
from git10m.curation.quality import measure
from git10m.curation.verdicts import judge
from git10m.errors import BuildError
from git10m.metadata import rejection, row_of, thumbnail
from git10m.recipe import Recipe
from git10m.records import Rejection, Row
from git10m.sampling import Plan
from git10m.shards import ShardWriter, file_sha256
from git10m.sources import Failure, Request, Sample
from git10m.sources.mosaic import BLOCK_TILES, Mosaic

__all__ = ["TilePass", "unit_digests", "unit_schema"]

_BUFFERED_ROWS = 100
_DECODED_BYTES = 128 * 2**20
"""Decoded imagery that a worker keeps: a few times what a block of 8×8 tiles needs of 16-bit imagery."""


@dataclass(frozen=True)
class TilePass:
    """Cuts, judges and encodes one unit of the plan; picklable work for `engine.map_shards`.

    Attributes:
        workspace: Where files go.
        recipe: With absolute paths.
        mosaic: Scenes.
        plan: All tiles.
        bounds: Positions in the plan at which units begin and end.
        digests: Of what goes into each unit; a unit that was made of other scenes is made again.
    """

    workspace: Workspace
    recipe: Recipe
    mosaic: Mosaic
    plan: Plan
    bounds: tuple[int, ...]
    digests: tuple[str, ...]

    def __call__(self, unit: int) -> dict[str, Any]:
        """Write the unit's rows and rejections; the file of counts comes last and means done."""
        # Dates of one block alternate in the plan; one after the other, each is warped in one piece.
        requests = sorted(self.plan.requests(self.bounds[unit], self.bounds[unit + 1]), key=_block_of)
        counts: dict[str, Counter[str]] = {"dropped": Counter(), "failed": Counter()}
        waiting: list[tuple[Row, int]] = []
        rejected: list[Rejection] = []
        # GDAL would keep as much decoded imagery as a twentieth of the machine's memory, in every worker.
        with (
            rasterio.Env(GDAL_CACHEMAX=_DECODED_BYTES),
            ShardWriter(self.workspace.unit(unit, "rows.parquet"), schema=unit_schema()) as rows,
        ):
            for result in self.mosaic.read(requests):
                outcome = self._outcome(result)
                if isinstance(outcome, Row):
                    waiting.append((outcome, result.request.group))
                else:
                    rejected.append(outcome)
                    counts[outcome.verdict][outcome.reason] += 1
                if len(waiting) >= _BUFFERED_ROWS:
                    rows.write(_table(waiting))
                    waiting = []
            rows.write(_table(waiting))
        with ShardWriter(self.workspace.unit(unit, "rejected.parquet"), schema=records.schema(Rejection)) as file:
            file.write(records.table(rejected, record=Rejection))
        done = {
            "digest": self.digests[unit],
            "sha256": file_sha256(rows.path),
            "planned": len(requests),
            "kept": rows.rows,
            **{name: dict(sorted(c.items())) for name, c in counts.items()},
        }
        lost = len(requests) - rows.rows - len(rejected)
        if lost:
            raise BuildError(
                f"unit {unit}: {lost} tiles are unaccounted for; this is a fault of git10m, please report it"
            )
        write_json(self.workspace.unit(unit, "done.json"), done)
        return done

    def _outcome(self, result: Sample | Failure) -> Row | Rejection:
        group = self.mosaic.groups[result.request.group]
        known: dict[str, Any] = {"layer": group.layer, "acquired_at": group.acquired_at}
        if isinstance(result, Failure):
            detail = without_folders(result.detail, self._files(result.request.group))
            if self.recipe.on_error == "stop" and result.reason == "unreadable":
                raise BuildError(f"{detail} (the recipe says on_error = 'stop')")
            first = self.mosaic.scenes[group.scenes[0]].source.id
            return rejection(
                result.request, verdict="failed", reason=result.reason, detail=detail, source_id=first, **known
            )
        measures = measure(result.pixels, result.valid)
        verdict = judge(measures, min_valid=self.recipe.tiles.min_valid, rules=self.recipe.curation.verdicts)
        if verdict.keep:
            return row_of(result, measures, layer=group.layer, image=self.recipe.image)
        return rejection(
            result.request,
            verdict="dropped",
            reason=verdict.reason,
            detail=verdict.detail,
            source_id=result.contributions[0].source_id,
            valid_fraction=measures.valid_fraction,
            thumbnail={"bytes": thumbnail(result.pixels), "path": f"{result.request.tile.name}.jpg"},
            **known,
        )

    def _files(self, group: int) -> set[Path]:
        scenes = (self.mosaic.scenes[index] for index in self.mosaic.groups[group].scenes)
        return {Path(band.path) for scene in scenes for band in scene.bands}


def unit_digests(mosaic: Mosaic, plan: Plan, bounds: Sequence[int], *, scene_digests: Sequence[str]) -> tuple[str, ...]:
    """Return a digest of each unit's tiles and of the scenes around them."""
    around = np.array([outline.bounds for outline in mosaic.outlines])
    return tuple(
        _unit_digest(mosaic, plan, slice(start, stop), around, scene_digests)
        for start, stop in itertools.pairwise(bounds)
    )


def _unit_digest(
    mosaic: Mosaic, plan: Plan, unit: slice, around: npt.NDArray[np.float64], scene_digests: Sequence[str]
) -> str:
    columns = [np.asarray(values[unit], dtype=np.int64) for values in (plan.level, plan.x, plan.y, plan.group)]
    level, x, y, group = columns
    west, east = (360.0 * ((x + edge) / np.exp2(level)) - 180.0 for edge in (0, 1))
    north, south = (
        np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * (y + edge) / np.exp2(level))))) for edge in (0, 1)
    )
    digest = hashlib.sha256(np.stack(columns).tobytes())
    for number in np.unique(group).tolist():
        for scene in mosaic.groups[number].scenes:
            left, bottom, right, top = around[scene]
            # Longitudes of an outline may pass ±180°.
            beside = all(east.max() < left + turn or west.min() > right + turn for turn in (-360.0, 0.0, 360.0))
            if not (beside or north.max() < bottom or south.min() > top):
                digest.update(f"{number}/{scene}/{scene_digests[scene]}".encode())
    return digest.hexdigest()


def unit_schema() -> pa.Schema:
    """Return the schema of a unit's rows: a row's own, and the scene group that the barrier needs."""
    return records.schema().append(pa.field("group", pa.int32()))


def _block_of(request: Request) -> tuple[int, int, int, int]:
    """Return the key that tiles of one block and group share."""
    tile = request.tile
    return tile.level, tile.x // BLOCK_TILES, tile.y // BLOCK_TILES, request.group


def _table(waiting: list[tuple[Row, int]]) -> pa.Table:
    table = records.table(row for row, _ in waiting)
    groups = pa.array([group for _, group in waiting], type=pa.int32())
    return table.append_column(pa.field("group", pa.int32()), groups).cast(unit_schema())
