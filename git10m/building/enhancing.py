"""Between the first barrier and the captions: tiles that stay and are poor are restored, beside their unit.

A unit's restored rows stand in a file of their own, ``work/enhanced/00012.parquet``: positions in the unit, and the
columns that change. Whoever reads rows of the first pass reads these in their place, so that captions are written of
the picture that is stored, and every picture is restored once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from git10m import records
from git10m.building.barrier import Decisions
from git10m.building.tiles import MASK
from git10m.building.workspace import Workspace, read_json, write_json
from git10m.curation.duplicates import perceptual_hashes
from git10m.curation.enhancement import Restorer, asked_for, averaged
from git10m.curation.masks import unpacked
from git10m.curation.pictures import decoded
from git10m.curation.quality import MEASURED, measure
from git10m.grid import Tile
from git10m.metadata import SUFFIXES, encode
from git10m.recipe import Enhancement, Recipe
from git10m.shards import ShardWriter, atomic_file, file_sha256

__all__ = ["EnhancePass", "UnitPlan", "enhanced_note", "plan_enhancement", "with_enhanced"]

_CHANGED = (
    *("image", "img_quality_score", "width", "height", "gsd_m", "sha256", "phash", "phash256"),
    *MEASURED,
    "aesthetic_score",
    "enhanced",
)
_NEEDED = (
    *("image", "img_name", "level", "x", "y", "width", "height", "gsd_m", "img_quality_score"),
    *("sharpness", "noise", "blockiness"),
    MASK.name,
)
_GROUP_ROWS = 50
_FORMATS = {suffix: name for name, suffix in SUFFIXES.items()}

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """What is to be looked at of one unit of the first pass.

    Attributes:
        digest: Of the unit's rows, of which of them stay, and of the weights.
        rows: How many stay.
    """

    digest: str
    rows: int


@dataclass(frozen=True)
class EnhancePass:
    """Restores the poor tiles of one unit; picklable work for `engine.map_shards`.

    Attributes:
        workspace: Where files go.
        recipe: With absolute paths, and a table for enhancement.
        restorer: The weights.
        shards: All units.
    """

    workspace: Workspace
    recipe: Recipe
    restorer: Restorer
    shards: tuple[UnitPlan, ...]

    def __call__(self, number: int) -> dict[str, Any]:
        """Write the unit's restored rows, then the file that means done."""
        if (finished := self.done(number)) is not None:
            return finished  # by another rank, meanwhile
        kept = np.load(self.workspace.enhanced(number, "rows.npy"))
        path, tried, scores = self.workspace.enhanced(number, "parquet"), 0, [0.0, 0.0]
        schema = _schema()
        with ShardWriter(path, schema=schema, row_group_rows=_GROUP_ROWS) as writer:
            for row, position in _rows(self.workspace.unit(number, "rows.parquet"), kept):
                if asked_for(row, self.rules):
                    tried += 1
                    if (found := self._restored(row)) is not None:
                        scores = [scores[0] + row["img_quality_score"], scores[1] + found["img_quality_score"]]
                        writer.write(pa.Table.from_pylist([{"position": position, **found}], schema=schema))
        plan = self.shards[number]
        done = {
            "digest": plan.digest,
            "rows": plan.rows,
            "tried": tried,
            "enhanced": writer.rows,
            "scores": scores,
            "sha256": file_sha256(path),
        }
        write_json(self.workspace.enhanced(number, "done.json"), done)
        return done

    def done(self, number: int) -> dict[str, Any] | None:
        """Return the note of a unit that was gone through, if it is of these rows and weights; else None."""
        done = read_json(self.workspace.enhanced(number, "done.json"))
        there = self.workspace.enhanced(number, "parquet").exists()
        return done if there and done is not None and done["digest"] == self.shards[number].digest else None

    @property
    def rules(self) -> Enhancement:
        """What the recipe says of enhancement."""
        rules = self.recipe.curation.enhancement
        assert rules is not None
        return rules

    def _restored(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the columns of a restored row; None where the picture is no better, and stays as it was."""
        pixels = decoded(row["image"]["bytes"])
        valid = unpacked(row[MASK.name], *pixels.shape[:2])
        before = measure(pixels, valid).score
        if before is None:
            return None  # a set says what its score is; the picture is too small to be scored anew
        found = self.restorer.restored(pixels, valid)
        small, small_valid = averaged(found, self.restorer.scale), valid
        if self.rules.size == "double":
            # Scores of other sizes cannot be compared: the tile's own size decides.
            if (measure(self._stored(small, valid, row)[1], valid).score or 0.0) <= before:
                return None
            small, small_valid = averaged(found, 1), valid.repeat(2, axis=0).repeat(2, axis=1)
        encoded, stored = self._stored(small, small_valid, row)
        measures = measure(stored, small_valid)
        if self.rules.size == "tile" and (measures.score or 0.0) <= before:
            return None
        height, width = small_valid.shape
        phash, phash256 = perceptual_hashes(stored)
        placed = row["x"] is not None
        return {
            "image": {"bytes": encoded, "path": row["img_name"]},
            "img_quality_score": measures.score,
            "width": width,
            "height": height,
            "gsd_m": Tile(row["level"], row["x"], row["y"]).gsd_m(width) if placed else row["gsd_m"],
            "sha256": hashlib.sha256(encoded).hexdigest(),
            "phash": phash,
            "phash256": phash256,
            **{name: getattr(measures, name) for name in MEASURED},
            "aesthetic_score": None,  # what there was is the observed picture's
            "enhanced": self.restorer.name,
        }

    def _stored(
        self, pixels: npt.NDArray[np.uint8], valid: Mask, row: Mapping[str, Any]
    ) -> tuple[bytes, npt.NDArray[np.uint8]]:
        """Encode a picture in its row's format; return the bytes, and the picture that comes out of them."""
        fill = np.array(self.recipe.image.fill, dtype=np.uint8)
        form = _FORMATS[Path(row["img_name"]).suffix]
        encoded = encode(
            np.where(valid[..., None], pixels, fill), self.recipe.image.model_copy(update={"format": form})
        )
        return encoded, decoded(encoded)


def plan_enhancement(
    workspace: Workspace, decisions: Decisions, *, counts: Sequence[Mapping[str, Any]], restorer: Restorer
) -> tuple[UnitPlan, ...]:
    """Write which rows of each unit stay, and so may be restored.

    Args:
        workspace: Where to.
        decisions: Of the first barrier.
        counts: Of every unit of the first pass.
        restorer: The weights.
    """
    kept = np.flatnonzero(decisions.drop == 0)
    kept = kept[np.lexsort((decisions.position[kept], decisions.unit[kept]))]
    ends = np.searchsorted(decisions.unit[kept], np.arange(len(counts) + 1))
    plans = []
    for unit, count in enumerate(counts):
        positions = decisions.position[kept[ends[unit] : ends[unit + 1]]]
        digest = hashlib.sha256(f"{count['sha256']}{restorer.sha256}".encode() + positions.tobytes()).hexdigest()
        plans.append(UnitPlan(digest, len(positions)))
        with atomic_file(workspace.enhanced(unit, "rows.npy")) as file:
            np.save(file, positions)
    return tuple(plans)


def with_enhanced(table: pa.Table, positions: npt.NDArray[np.int32], path: Path) -> pa.Table:
    """Put restored rows in the place of a unit's own.

    Args:
        table: Rows of a unit, some or all columns.
        positions: Of the rows in the unit.
        path: The unit's restored rows; where there is no such file, none are.
    """
    if not path.exists():
        return table
    with pq.ParquetFile(path) as file:
        there = file.read(columns=["position"])["position"].to_numpy()
        at = np.searchsorted(there, positions)
        at = np.minimum(at, max(0, len(there) - 1))
        if not len(there) or not len(found := np.flatnonzero(there[at] == positions)):
            return table
        changed = [name for name in _CHANGED if name in table.column_names]
        groups, within = np.unique(at[found] // _GROUP_ROWS, return_inverse=True)
        restored = file.read_row_groups(groups.tolist(), columns=changed)
    source = np.arange(table.num_rows)
    source[found] = table.num_rows + within * _GROUP_ROWS + at[found] % _GROUP_ROWS
    for name in changed:
        column = table.schema.get_field_index(name)
        both = pa.chunked_array([*table[name].chunks, *restored[name].chunks], type=table.schema.field(name).type)
        table = table.set_column(column, table.schema.field(column), both.take(pa.array(source)))
    return table


def enhanced_note(enhancement: EnhancePass, index: Path) -> dict[str, Any]:
    """Return what the manifest says: by what, how many rows, how many more were tried and came out no better, scores.

    Args:
        enhancement: The pass, done.
        index: File with all rows.
    """
    column = pq.read_table(index, columns=["enhanced"])["enhanced"]
    notes = [enhancement.done(number) or {} for number in range(len(enhancement.shards))]
    rows, made = len(column) - column.null_count, sum(note.get("enhanced", 0) for note in notes)
    # Of all that were restored: what goes later for its caption is among them.
    sums = [sum(note.get("scores", (0.0, 0.0))[i] for note in notes) for i in (0, 1)]
    return {
        "restorer": enhancement.restorer.name,
        **enhancement.restorer.identity,
        "size": enhancement.rules.size,
        "rows": rows,
        "no_better": sum(note.get("tried", 0) for note in notes) - made,
        "mean_score": [round(each / made, 3) for each in sums] if made else None,
    }


def _schema() -> pa.Schema:
    known = records.columns()
    return pa.schema([("position", pa.int32()), *((name, known[name].type) for name in _CHANGED)])


def _rows(path: Path, positions: npt.NDArray[np.int32]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield some rows of a unit with their positions, a row group at a time; positions rise."""
    first = 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            own = positions[(positions >= first) & (positions < end)]
            if len(own):
                table = file.read_row_group(group, columns=list(_NEEDED)).take(pa.array(own - first))
                yield from zip(table.to_pylist(), own.tolist(), strict=True)
            first = end
