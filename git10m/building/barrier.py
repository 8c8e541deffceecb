"""Between the passes: what only the whole set can decide, from columns alone.

Duplicates, pairing of levels, splits, and the final order of rows. Every choice follows the score and the order of rows
(level, quadkey, acquired_at, source_id), never the order in which units were done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from git10m.building.alike import Alike, Comparison
from git10m.building.encoding import Encoding, without_vector
from git10m.building.families import paired
from git10m.building.known import KnownSet
from git10m.building.workspace import Workspace
from git10m.captions.facts import FactFinder, Subject
from git10m.curation.duplicates import placeholders
from git10m.curation.near_duplicates import Hashes
from git10m.curation.quotas import over_quota, over_share_of_clusters
from git10m.curation.splits import SPLITS, near_held_out, split_codes, stratified_codes, unplaced_split
from git10m.curation.vectors import VectorFiles
from git10m.grid import IntArray, Tile, quadkey_number
from git10m.recipe import Quota, Recipe

__all__ = ["DROP_REASONS", "Decisions", "decide"]

DROP_REASONS = (
    "",
    "exact_duplicate",
    "unpaired",
    "placeholder",
    "same_place",
    "near_duplicate",
    "evaluation_set",
    "other_dataset",
    "held_out_copy",
    "split_buffer",
    "quota",
    "low_similarity",
)
"""Why a barrier drops a row; position 0 is a row that is kept."""

_DIGEST_BYTES = 16
"""Of SHA-256; two of 10**7 images agree by chance with a probability of 10**-25."""
_COLUMNS = (
    *("level", "x", "y", "acquired_at", "source_id", "sha256", "group", "split"),
    *("phash", "phash256", "entropy", "img_quality_score", "width", "height"),
)
_WHOLE_SIDE = 256
"""Pixels a side of a tile; an image with fewer has less to show."""
_WHOLE_NUMBERS = ("level", "x", "y", "group", "width")
_COVER_ROWS = 1000
_SERVED_KINDS = frozenset({"xyz", "wmts", "archive"})
"""Kinds whose tiles come ready-made, among them pictures that say that there is none."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What becomes of every row of the first pass; arrays of one length, in final order.

    Attributes:
        unit: Unit that holds the row.
        position: Row within the unit.
        level: Level.
        x: Column; −1 where the place is unknown.
        y: Row of the grid; −1 where the place is unknown.
        group: Group of imagery that it is of.
        drop: Position in `DROP_REASONS`.
        alike: For each row that goes because it is like another, which.
        beyond: For each row that goes for a quota or for its caption, which quota, or what was measured.
        split: Position in `SPLITS`.
        without_vector: How many rows have no embedding, and some of their names; None: none were asked for.
    """

    unit: npt.NDArray[np.int32]
    position: npt.NDArray[np.int32]
    level: npt.NDArray[np.int64]
    x: IntArray
    y: IntArray
    group: IntArray
    drop: npt.NDArray[np.int8]
    alike: Mapping[int, Alike]
    beyond: Mapping[int, str]
    split: npt.NDArray[np.int8]
    without_vector: Mapping[str, Any] | None = None

    def shards(self, shard_rows: int) -> dict[str, npt.NDArray[np.int64]]:
        """Return, by file name, the positions here of the rows of every final shard."""
        found = {}
        for code, name in enumerate(SPLITS):
            kept = np.flatnonzero((self.drop == 0) & (self.split == code))
            count = -(-len(kept) // shard_rows)
            for i in range(count):
                found[f"{name}-{i:05d}-of-{count:05d}"] = kept[i * shard_rows : (i + 1) * shard_rows]
        return found

    def bounds(self, rows: npt.NDArray[np.int64]) -> tuple[float, float, float, float] | None:
        """Return (west, south, east, north) in degrees around some rows; None where none of them has a place."""
        rows = rows[self.x[rows] >= 0]
        if not len(rows):
            return None
        side = np.exp2(self.level[rows])
        west, east = 360.0 * self.x[rows] / side - 180.0, 360.0 * (self.x[rows] + 1) / side - 180.0
        north, south = (
            np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * (self.y[rows] + edge) / side)))) for edge in (0, 1)
        )
        return float(west.min()), float(south.min()), float(east.max()), float(north.max())

    def origin(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Return the (unit, position) of some rows, (N, 2)."""
        return np.stack([self.unit[rows], self.position[rows]], axis=1)


def decide(
    workspace: Workspace,
    recipe: Recipe,
    *,
    units: int,
    levels: Mapping[int, Sequence[int]],
    known: Sequence[KnownSet] = (),
    encoding: Encoding | None = None,
) -> Decisions:
    """Read the columns of all units and decide; at most about 200 bytes a row are held.

    Args:
        workspace: With every unit of the first pass done.
        recipe: What was asked.
        units: How many units.
        levels: Planned levels of each group, rising.
        known: Sets that no row may be like.
        encoding: Models that told of every image in the first pass.

    Raises:
        BuildError: If vectors were brought along, and no image has one; or one has none and the recipe says
            ``on_error = "stop"``.
    """
    source_ids = sorted(source.id for source in recipe.source)
    measured = {quota.measure for quota in recipe.curation.quotas if quota.measure is not None}
    columns = _columns(workspace, units, source_ids=source_ids, measured=measured)
    placed = columns["x"] >= 0
    address = np.where(placed, quadkey_number(np.maximum(columns["x"], 0), np.maximum(columns["y"], 0)), -1)
    order = np.lexsort((columns["source"], columns["acquired"], address, columns["level"]))
    columns = {name: values[order] for name, values in columns.items()}
    drop = np.zeros(len(order), dtype=np.int8)
    drop[_placeholders(columns, recipe, source_ids)] = DROP_REASONS.index("placeholder")
    vectors = None
    if encoding is not None and encoding.dimensions:
        files = [encoding.path(workspace, unit) for unit in range(units)]
        vectors = VectorFiles(files, columns["unit"].astype(np.int32), columns["position"].astype(np.int32))
    comparison = Comparison(workspace, columns, recipe.curation.duplicates, vectors=vectors)
    without = without_vector(workspace, columns, recipe, comparison.embedded) if vectors is not None else None
    alike, beyond, split = _drop(comparison, columns, recipe, drop, levels=levels, known=known)
    return Decisions(
        unit=columns["unit"].astype(np.int32),
        position=columns["position"].astype(np.int32),
        level=columns["level"],
        x=columns["x"],
        y=columns["y"],
        group=columns["group"],
        drop=drop,
        alike=alike,
        beyond=beyond,
        split=split,
        without_vector=without,
    )


def _drop(
    comparison: Comparison,
    columns: dict[str, npt.NDArray[Any]],
    recipe: Recipe,
    drop: npt.NDArray[np.int8],
    *,
    levels: Mapping[int, Sequence[int]],
    known: Sequence[KnownSet],
) -> tuple[dict[int, Alike], dict[int, str], npt.NDArray[np.int8]]:
    """Mark what goes: what is like another, is too much of its kind, lost its family, or lies too near a split.

    A tile must not yield to one that goes for want of its family, so families are looked at first, and once more when
    the copies are gone.

    Returns:
        What is like which, what is beyond which quota, and the split of every row.
    """
    rules = recipe.curation.duplicates
    alike: dict[int, Alike] = {}

    def mark(found: Mapping[int, Alike]) -> None:
        for row, why in found.items():
            drop[row] = DROP_REASONS.index(why.reason)
        alike.update(found)

    def mark_torn() -> None:
        if recipe.tiles.levels_paired:
            drop[(drop == 0) & ~paired(columns, drop == 0, levels)] = DROP_REASONS.index("unpaired")

    for each in known:
        mark(comparison.with_known(each, drop == 0))
        mark(comparison.with_known_vectors(each, drop == 0))
    mark_torn()
    if rules.exact:
        mark(comparison.exact(drop == 0))
    if rules.same_place != "all":
        mark(comparison.same_place(drop == 0))
    divided = recipe.splits.validation + recipe.splits.test > 0
    near = comparison.near(drop == 0) if rules.near or divided else {}
    if rules.near:
        mark(near)
    mark(comparison.near_by_vector(drop == 0))
    mark_torn()
    beyond = _beyond_quotas(columns, recipe, comparison, drop)
    mark_torn()
    split = _splits(columns, recipe, drop == 0)
    mark(_part_copies(columns, split, near, drop == 0))
    if recipe.splits.embedding is not None:
        groups = comparison.groups_by_vector(drop == 0, least=recipe.splits.embedding)
        mark(_part_copies(columns, split, groups, drop == 0))
        sides = ((drop == 0) & (split == 0), (drop == 0) & (split > 0))
        mark(comparison.held_out_by_vector(*sides, least=recipe.splits.embedding))
    if recipe.splits.buffer_m:
        drop[_in_buffer(columns, split, recipe, drop == 0)] = DROP_REASONS.index("split_buffer")
        mark_torn()
    return alike, beyond, split


def _beyond_quotas(
    columns: dict[str, npt.NDArray[Any]], recipe: Recipe, comparison: Comparison, drop: npt.NDArray[np.int8]
) -> dict[int, str]:
    """Mark the rows of which there are too many of one kind; return the quota of each."""
    beyond: dict[int, str] = {}
    rank = comparison.rank
    for quota in recipe.curation.quotas:
        if quota.clusters is not None:
            labels = comparison.clusters(drop == 0, count=quota.clusters)
            rows = over_share_of_clusters(labels, drop == 0, rank, most=quota.most)
            drop[rows] = DROP_REASONS.index("quota")
            asked = f"of {quota.clusters}: at most {quota.most:.3g} of the dataset is asked"
            beyond.update({row: f"cluster {labels[row] + 1} {asked}" for row in rows.tolist()})
            continue
        values = columns[quota.measure] if quota.measure is not None else _cover(columns, recipe, quota, drop == 0)
        # What is not known is of no kind.
        least, largest = (
            (-np.inf if quota.above is None else quota.above),
            (np.inf if quota.below is None else quota.below),
        )
        kind = (values >= least) & (values <= largest)
        rows = over_quota(kind, drop == 0, rank, most=quota.most)
        drop[rows] = DROP_REASONS.index("quota")
        beyond.update(dict.fromkeys(rows.tolist(), f"{quota.kind}: at most {quota.most:.3g} of the dataset is asked"))
    return beyond


def _cover(
    columns: dict[str, npt.NDArray[Any]], recipe: Recipe, quota: Quota, staying: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the share of each row that a class covers; NaN where nothing tells."""
    shares = np.full(len(staying), np.nan)
    finder = FactFinder(recipe.captions)
    rows = np.flatnonzero(staying & (columns["x"] >= 0))
    for start in range(0, len(rows), _COVER_ROWS):
        chunk = rows[start : start + _COVER_ROWS]
        places = zip(*(columns[name][chunk].tolist() for name in ("level", "x", "y", "width")), strict=True)
        subjects = [
            Subject(Tile(level, x, y), width, acquired_at=None, platform=None, sensor=None, synthetic=False)
            for level, x, y, width in places
        ]
        for row, found in zip(chunk.tolist(), finder.land_cover(subjects), strict=True):
            if found is not None:
                shares[row] = sum(part["share"] for part in found if part["name"] == quota.cover)
    return shares


def _part_copies(
    columns: dict[str, npt.NDArray[Any]],
    split: npt.NDArray[np.int8],
    near: Mapping[int, Alike],
    staying: npt.NDArray[np.bool_],
) -> dict[int, Alike]:
    """Bring copies that stay into one split: those that no place or set binds move, of others the trained ones go."""
    groups: dict[int, list[int]] = {}
    for row, why in near.items():
        if staying[row] and staying[why.of]:
            groups.setdefault(why.of, [why.of]).append(row)
    leaks: dict[int, Alike] = {}
    for first, rows in groups.items():
        bound = [row for row in rows if columns["x"][row] >= 0 or columns["given_split"][row] >= 0]
        held = [row for row in bound if split[row] > 0]
        for row in rows:
            if row not in bound:
                split[row] = split[held[0] if held else bound[0] if bound else first]
            elif held and split[row] == 0:
                leaks[row] = replace(near[row if row != first else held[0]], reason="held_out_copy", of=held[0])
    return leaks


def _in_buffer(
    columns: dict[str, npt.NDArray[Any]],
    split: npt.NDArray[np.int8],
    recipe: Recipe,
    staying: npt.NDArray[np.bool_],
) -> IntArray:
    """Return the training rows too near to a cell of another split."""
    rows = np.flatnonzero(staying & (columns["x"] >= 0))
    level, x, y = (columns[name][rows] for name in ("level", "x", "y"))
    cell_level = min(recipe.cell_level, int(level.min(initial=recipe.cell_level)))
    return rows[near_held_out(level, x, y, split[rows], cell_level=cell_level, buffer_m=recipe.splits.buffer_m)]


def _placeholders(
    columns: dict[str, npt.NDArray[Any]], recipe: Recipe, source_ids: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Return the positions of ready-made tiles that stand for missing imagery."""
    kinds = {source.id: source.kind for source in recipe.source}
    served = [number for number, name in enumerate(source_ids) if kinds[name] in _SERVED_KINDS]
    rows = np.flatnonzero(np.isin(columns["source"], served) & (columns["x"] >= 0))
    found = placeholders(*(columns[name][rows] for name in ("sha256", "level", "x", "y", "source")))
    return rows[found]


def _splits(
    columns: dict[str, npt.NDArray[Any]], recipe: Recipe, staying: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int8]:
    """Return the split of every row: as its set says, by its cell, or where it has no place by its bytes."""
    split = columns["given_split"].astype(np.int8)
    undecided = (split < 0) & (columns["x"] >= 0)
    # Which cells are held out depends on other rows only where levels are balanced: then on those that stay.
    placed = np.flatnonzero(undecided & staying if recipe.splits.stratified else undecided)
    level, x, y = (columns[name][placed] for name in ("level", "x", "y"))
    # The tiles of a list may be coarser than any level that the recipe names.
    cell_level = min(recipe.cell_level, int(level.min(initial=recipe.cell_level)))
    divide = stratified_codes if recipe.splits.stratified else split_codes
    split[placed] = divide(level, x, y, cell_level=cell_level, splits=recipe.splits)
    for row in np.flatnonzero(split < 0).tolist():
        split[row] = SPLITS.index(unplaced_split(bytes(columns["sha256"][row]), recipe.splits))
    return split


def _columns(
    workspace: Workspace, units: int, *, source_ids: Sequence[str], measured: Iterable[str]
) -> dict[str, npt.NDArray[Any]]:
    """Read the decisive columns of every unit as arrays, and the measures that quotas ask for."""
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    for unit in range(units):
        table = pq.read_table(workspace.unit(unit, "rows.parquet"), columns=sorted({*_COLUMNS, *measured}))
        digests = b"".join(bytes.fromhex(text[: 2 * _DIGEST_BYTES]) for text in table["sha256"].to_pylist())
        given = pc.index_in(table["split"], value_set=pa.array(SPLITS))
        hashes = Hashes.parsed(*(table[name].to_pylist() for name in ("phash", "phash256")))
        found = {
            **{name: table[name].to_numpy().astype(np.float64) for name in measured},
            **{name: pc.fill_null(table[name], -1).to_numpy().astype(np.int64) for name in _WHOLE_NUMBERS},
            "given_split": pc.fill_null(given, -1).to_numpy().astype(np.int64),
            # Undated rows come before dated ones.
            "acquired": pc.fill_null(table["acquired_at"].cast("int64"), np.iinfo(np.int64).min).to_numpy(),
            "source": np.searchsorted(source_ids, table["source_id"].to_numpy(zero_copy_only=False).astype(str)),
            "sha256": np.frombuffer(digests, dtype=f"S{_DIGEST_BYTES}"),
            "phash": hashes.coarse,
            "phash256": hashes.fine,
            "entropy": table["entropy"].to_numpy(),
            "quality": _quality(table),
            "unit": np.full(table.num_rows, unit, dtype=np.int64),
            "position": np.arange(table.num_rows, dtype=np.int64),
        }
        for name, values in found.items():
            parts.setdefault(name, []).append(values)
    return {name: np.concatenate(found) for name, found in parts.items()}


def _quality(table: pa.Table) -> npt.NDArray[np.float64]:
    """Return by what the best of several alike is told: the score, less for small images, which look crisper."""
    side = np.sqrt(table["width"].to_numpy().astype(np.float64) * table["height"].to_numpy())
    score: npt.NDArray[np.float64] = pc.fill_null(table["img_quality_score"], -1.0).to_numpy()
    weighed: npt.NDArray[np.float64] = score * np.minimum(1.0, side / _WHOLE_SIDE)
    return weighed
