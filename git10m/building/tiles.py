"""The first pass: pixels, metadata, measures and hashes of a unit of tiles."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import rasterio

from git10m import records
from git10m.building.encoding import Encoding, UnitVectors
from git10m.building.workspace import Workspace, write_json
from git10m.captions.facts import VALID_CELLS
from git10m.curation.masks import packed
from git10m.curation.quality import measure
from git10m.curation.verdicts import aesthetic_limit, judge, verdict_of
from git10m.errors import BuildError
from git10m.metadata import SUFFIXES, encode, rejection, row_of, thumbnail
from git10m.recipe import Recipe
from git10m.records import Rejection, Row
from git10m.sampling import Plan, major_tom_cells
from git10m.shards import ShardWriter, file_sha256
from git10m.sources import Failure, Request, Sample
from git10m.sources.collection import Collection
from git10m.sources.modalities import ModalityReader, Seen
from git10m.sources.mosaic import BLOCK_TILES

__all__ = ["MASK", "FetchPass", "TilePass", "unit_digests", "unit_schema"]

MASK = pa.field("mask", pa.binary())
"""Column of a unit's rows: which pixels have data, packed; null where all have."""

_BUFFERED_ROWS = 100
_DECODED_BYTES = 128 * 2**20
"""Decoded imagery that a worker keeps: a few times what a block of 8×8 tiles needs of 16-bit imagery."""


@dataclass(frozen=True)
class TilePass:
    """Cuts, judges and encodes one unit of the plan; picklable work for `engine.map_shards`.

    Attributes:
        workspace: Where files go.
        recipe: With absolute paths.
        imagery: All that can be read.
        modalities: Further images of every tile.
        plan: All tiles.
        bounds: Positions in the plan at which units begin and end.
        digests: Of what goes into each unit; a unit that was made of other scenes is made again.
        encoding: Models that are asked of every image; None: none.
    """

    workspace: Workspace
    recipe: Recipe
    imagery: Collection
    modalities: tuple[ModalityReader, ...]
    plan: Plan
    bounds: tuple[int, ...]
    digests: tuple[str, ...]
    encoding: Encoding | None = None

    def __call__(self, unit: int) -> dict[str, Any]:
        """Write the unit's rows and rejections; the file of counts comes last and means done."""
        # Dates of one block alternate in the plan; one after the other, each is warped in one piece.
        requests = sorted(self.plan.requests(self.bounds[unit], self.bounds[unit + 1]), key=_block_of)
        counts: dict[str, Counter[str]] = {"dropped": Counter(), "failed": Counter()}
        waiting: list[_Kept] = []
        rejected: list[Rejection] = []

        def reject(rejection: Rejection) -> None:
            rejected.append(rejection)
            counts[rejection.verdict][rejection.reason] += 1

        vectors = UnitVectors(self.encoding, self.encoding.path(self.workspace, unit)) if self.encoding else None
        schema = unit_schema([reader.modality.name for reader in self.modalities])
        # GDAL would keep as much decoded imagery as a twentieth of the machine's memory, in every worker.
        with (
            rasterio.Env(GDAL_CACHEMAX=_DECODED_BYTES),
            ShardWriter(
                self.workspace.unit(unit, "rows.parquet"), schema=schema, row_group_rows=_BUFFERED_ROWS
            ) as rows,
        ):
            for result in self._read(requests):
                outcome = self._outcome(result)
                if isinstance(outcome, _Kept):
                    waiting.append(outcome)
                else:
                    reject(outcome)
                if len(waiting) >= _BUFFERED_ROWS:
                    rows.write(_table(self._told(waiting, vectors, reject), schema))
                    waiting = []
            rows.write(_table(self._told(waiting, vectors, reject), schema))
        if vectors is not None:
            vectors.write()
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

    def _told(
        self, waiting: Sequence[_Kept], vectors: UnitVectors | None, reject: Callable[[Rejection], None]
    ) -> Sequence[_Kept]:
        """Ask the models of some images, and return those that stay."""
        if vectors is None or not waiting:
            return waiting
        found = vectors.told([kept.row for kept in waiting])
        staying = []
        for number, kept in enumerate(waiting):
            score = kept.row.aesthetic_score
            if score is None and not np.isnan(found["aesthetic"][number]):
                score = float(found["aesthetic"][number])
            verdict = verdict_of([aesthetic_limit(score, self.recipe.curation.verdicts)])
            if verdict.keep or kept.otherwise is None:
                staying.append((number, replace(kept, row=replace(kept.row, aesthetic_score=score))))
            else:
                reject(replace(kept.otherwise, reason=verdict.reason, detail=verdict.detail))
        vectors.keep(found[[number for number, _ in staying]])
        return [kept for _, kept in staying]

    def _read(self, requests: Sequence[Request]) -> Iterator[Sample | Failure | Rejection]:
        """Yield what each request gives, with its modalities; a tile that lacks one that it must have is rejected."""
        results = self.imagery.read(requests)
        if not self.modalities:
            yield from results
            return
        shown = [reader.read(requests) for reader in self.modalities]
        for result, *seen in zip(results, *shown, strict=True):
            yield result if isinstance(result, Failure) else self._joined(result, seen)

    def _joined(self, sample: Sample, seen: Sequence[Seen | str | None]) -> Sample | Rejection:
        """Add modalities to a sample; where one of them has no data, none of the images shows any."""
        if sample.valid.mean() < self.recipe.tiles.min_valid:
            return sample  # it goes anyway, and for a reason of its own
        valid, images = sample.valid, {}
        for reader, found in zip(self.modalities, seen, strict=True):
            name, required = reader.modality.name, reader.modality.required
            if isinstance(found, Seen) and (valid & found.valid).mean() >= self.recipe.tiles.min_valid:
                valid = valid & found.valid
                images[name] = found.pixels
            elif required:
                why = found if isinstance(found, str) else "there is too little of it, or the image has no place"
                return self._rejection(sample, "dropped", f"modality_{name}", f"no {name}: {why}")
        for name, pixels in images.items():
            images[name] = np.where(valid if pixels.ndim == 2 else valid[..., None], pixels, np.uint8(0))
        if np.array_equal(valid, sample.valid):
            return replace(sample, modalities=images)
        fill = np.array(self.recipe.image.fill, dtype=np.uint8)
        pixels = np.where(valid[..., None], sample.pixels, fill)
        return replace(sample, pixels=pixels, valid=valid, encoded=None, modalities=images)

    def _outcome(self, result: Sample | Failure | Rejection) -> _Kept | Rejection:
        if isinstance(result, Rejection):
            return result
        if isinstance(result, Failure):
            if self.recipe.on_error == "stop" and result.reason != "no_data":
                raise BuildError(f"{result.detail} (the recipe says on_error = 'stop')")
            return self._rejection(result, "failed", result.reason, result.detail)
        measures = measure(result.pixels, result.valid)
        verdict = judge(
            measures,
            min_valid=self.recipe.tiles.min_valid,
            rules=self.recipe.curation.verdicts,
            scene_cloud=result.contributions[0].scene_cloud,
        )
        if not verdict.keep:
            return self._rejection(
                result, "dropped", verdict.reason, verdict.detail, valid_fraction=measures.valid_fraction
            )
        group = self.imagery.groups[result.request.group]
        row = replace(
            row_of(result, measures, layer=group.layer, image=self.recipe.image),
            major_tom_cell=self._cell(result.request),
        )
        image = self.recipe.image
        more = {
            name: {"bytes": encode(pixels, image), "path": f"{Path(row.img_name).stem}_{name}{SUFFIXES[image.format]}"}
            for name, pixels in result.modalities.items()
        }
        otherwise = None
        if self.recipe.curation.verdicts.min_aesthetic is not None:
            otherwise = self._rejection(result, "dropped", "aesthetic", "", valid_fraction=measures.valid_fraction)
        return _Kept(row, result.request.group, more, _valid_cells(result), packed(result.valid), otherwise)

    def _cell(self, request: Request) -> str | None:
        """Return the cell of the Major TOM grid that holds a tile's centre, where tiles are sampled on it."""
        sampling = self.recipe.sampling
        if sampling.method != "major_tom" or request.tile is None:
            return None
        lon, lat = (np.array([degrees]) for degrees in request.tile.centre)
        return major_tom_cells(lon, lat, cell_km=sampling.cell_km)[0]

    def _rejection(self, result: Sample | Failure, verdict: str, reason: str, detail: str, **known: Any) -> Rejection:
        request = result.request
        group = self.imagery.groups[request.group]
        known |= {"layer": group.layer, "acquired_at": group.acquired_at, "source_id": group.source_id}
        if isinstance(result, Sample):
            name = request.tile.name if request.tile is not None else str(request.entry)
            known["source_id"] = result.contributions[0].source_id
            known["thumbnail"] = {"bytes": thumbnail(result.pixels), "path": f"{name}.jpg"}
        if request.entry >= 0:
            given = result.given if isinstance(result, Sample) else None
            known["item"] = given.name if given is not None else f"entry {request.entry}"
        return rejection(request, verdict=verdict, reason=reason, detail=detail, **known)


@dataclass(frozen=True)
class FetchPass:
    """Brings the imagery of one unit here and does nothing else; picklable work for `engine.map_shards`.

    Attributes:
        imagery: All that can be read.
        plan: All tiles.
        bounds: Positions in the plan at which units begin and end.
    """

    imagery: Collection
    plan: Plan
    bounds: tuple[int, ...]

    def __call__(self, unit: int) -> tuple[int, int]:
        """Return how many tiles the unit has, and how many answers came new."""
        start, stop = self.bounds[unit], self.bounds[unit + 1]
        return stop - start, self.imagery.fetch(list(self.plan.requests(start, stop)))


@dataclass(frozen=True, slots=True)
class _Kept:
    """A row, its group, its images, where it has pixels (in cells, and to the pixel), and what may yet become of it."""

    row: Row
    group: int
    images: Mapping[str, Any]
    valid: bytes | None
    mask: bytes | None
    otherwise: Rejection | None = None


def unit_digests(imagery: Collection, plan: Plan, bounds: Sequence[int], *, further: str) -> tuple[str, ...]:
    """Return a digest of each unit's tiles and of the imagery around them.

    Args:
        imagery: What is read.
        plan: All tiles.
        bounds: Positions at which units begin and end.
        further: Digest of what goes into every tile beside it.
    """
    return tuple(_unit_digest(imagery, plan, slice(start, stop), further) for start, stop in itertools.pairwise(bounds))


def _unit_digest(imagery: Collection, plan: Plan, unit: slice, further: str) -> str:
    columns = [np.asarray(values[unit], dtype=np.int64) for values in (plan.level, plan.x, plan.y, plan.group)]
    level, x, y, group = columns
    digest = hashlib.sha256(np.stack([*columns, plan.entry[unit]]).tobytes() + further.encode())
    side = np.exp2(level)
    west, east = (360.0 * ((x + edge) / side) - 180.0 for edge in (0, 1))
    north, south = (np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * (y + edge) / side)))) for edge in (0, 1))
    for number in np.unique(group).tolist():
        own = group == number
        box = float(west[own].min()), float(south[own].min()), float(east[own].max()), float(north[own].max())
        digest.update(f"{number}/{imagery.digest(number, int(level[own].max()), box)}".encode())
    return digest.hexdigest()


def unit_schema(modalities: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of a unit's rows: a row's own, further images, and what only the build needs.

    That is the group, for the barrier, and where a tile has pixels: 16×16 bits for its facts, and to the pixel for its
    enhancement; null where it is whole.
    """
    row = records.schema(modalities=dict.fromkeys(modalities))
    return row.append(pa.field("valid_cells", pa.binary())).append(MASK).append(pa.field("group", pa.int32()))


def _block_of(request: Request) -> tuple[int, int, int, int, int]:
    """Return the key that tiles of one block and group share; images of a list keep their order."""
    tile = request.tile
    if tile is None or request.entry >= 0:
        return 0, 0, 0, request.group, request.entry
    return tile.level, tile.x // BLOCK_TILES, tile.y // BLOCK_TILES, request.group, -1


def _valid_cells(sample: Sample) -> bytes | None:
    """Return which cells of 16×16 have pixels in most of them, a bit each; None where all of a tile has."""
    height, width = sample.valid.shape
    if sample.request.tile is None or height != width or height % VALID_CELLS or sample.valid.all():
        return None
    side = height // VALID_CELLS
    share = sample.valid.reshape(VALID_CELLS, side, VALID_CELLS, side).mean(axis=(1, 3))
    return np.packbits(share >= 0.5).tobytes()


def _table(waiting: Sequence[_Kept], schema: pa.Schema) -> pa.Table:
    table = records.table(kept.row for kept in waiting)
    for field in list(schema)[len(table.schema) : -3]:
        name = field.name.removeprefix(records.modality_column(""))
        table = table.append_column(field, pa.array([kept.images.get(name) for kept in waiting], type=field.type))
    valid = pa.array([kept.valid for kept in waiting], type=pa.binary())
    table = table.append_column(pa.field("valid_cells", pa.binary()), valid)
    table = table.append_column(MASK, pa.array([kept.mask for kept in waiting], type=MASK.type))
    groups = pa.array([kept.group for kept in waiting], type=pa.int32())
    return table.append_column(pa.field("group", pa.int32()), groups).cast(schema)
