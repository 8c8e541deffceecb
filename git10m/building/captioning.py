"""The second pass, its first step: facts and captions of a shard's rows, as columns without images.

Captions come before the final rows, for a look at all of them may drop rows: `dropped_for_captions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from git10m import records
from git10m.building.barrier import DROP_REASONS, Decisions
from git10m.building.families import paired
from git10m.building.first_pass import ShardPlan, first_pass_rows
from git10m.building.workspace import Workspace, read_json, write_json
from git10m.captions.similarity import least_similar
from git10m.captions.writing import CAPTION_COLUMNS, INPUT_COLUMNS, Captioner
from git10m.recipe import Captions, Recipe
from git10m.shards import ShardWriter, atomic_file, file_sha256

__all__ = ["CAPTION_COLUMNS", "CaptionPass", "caption_schema", "dropped_for_captions", "plan_captions", "plan_rows"]

_JUDGED = ("caption_source", "similarity_clip", "similarity_siglip")
"""Columns that `dropped_for_captions` sees: of all rows at once, so no words."""


@dataclass(frozen=True)
class CaptionPass:
    """Captions the rows of one shard; picklable work for `engine.map_shards`.

    Attributes:
        workspace: Where files go.
        recipe: With absolute paths.
        shards: All shards, as the first barrier has them.
    """

    workspace: Workspace
    recipe: Recipe
    shards: tuple[ShardPlan, ...]

    def __call__(self, number: int) -> dict[str, Any]:
        """Write the shard's captions, then the file that means done."""
        if (finished := self.done(number)) is not None:
            return finished  # by another rank, meanwhile
        shard = self.shards[number]
        path = self.workspace.captions(shard.name, "parquet")
        where = np.load(self.workspace.captions(shard.name, "rows.npy"))
        columns = [*INPUT_COLUMNS, "valid_cells", *(["image"] if self._captioner.needs_images else [])]
        before = self._captioner.cut
        with ShardWriter(path, schema=caption_schema()) as writer:
            for table in first_pass_rows(self.workspace, where, columns=columns):
                writer.write(self._captioner.captioned(table))
        done = {"digest": shard.digest, "rows": writer.rows, "sha256": file_sha256(path)}
        if cut := dict(self._captioner.cut - before):
            done["cut"] = cut
        write_json(self.workspace.captions(shard.name, "done.json"), done)
        return done

    def done(self, number: int) -> dict[str, Any] | None:
        """Return the note of a shard whose captions are there and made of these rows, by this recipe; else None."""
        shard = self.shards[number]
        done = read_json(self.workspace.captions(shard.name, "done.json"))
        there = self.workspace.captions(shard.name, "parquet").exists()
        return done if there and done is not None and done["digest"] == shard.digest else None

    @cached_property
    def _captioner(self) -> Captioner:
        return Captioner(self.recipe.captions, work=self.workspace.work)


def caption_schema() -> pa.Schema:
    """Return the schema of a shard's captions."""
    known = records.columns()
    return pa.schema([pa.field(name, known[name].type) for name in CAPTION_COLUMNS])


def plan_captions(
    workspace: Workspace, decisions: Decisions, *, shard_rows: int, counts: Sequence[Mapping[str, Any]], wording: str
) -> list[ShardPlan]:
    """Write which rows go into each shard of captions.

    Args:
        workspace: Where to.
        decisions: Of the first barrier.
        shard_rows: Most rows of a shard.
        counts: Of every unit of the first pass.
        wording: Digest of all that decides about captions beside the rows.
    """
    plans = []
    for name, rows in decisions.shards(shard_rows).items():
        origin = decisions.origin(rows)
        digest = hashlib.sha256(origin.tobytes())
        for unit in np.unique(origin[:, 0]).tolist():
            digest.update(counts[unit]["sha256"].encode())
        digest.update(wording.encode())
        plans.append(ShardPlan(name, decisions.bounds(rows), digest.hexdigest(), len(rows), captions=name))
        with atomic_file(workspace.captions(name, "rows.npy")) as file:
            np.save(file, origin)
    return plans


def plan_rows(
    workspace: Workspace,
    recipe: Recipe,
    decisions: Decisions,
    second: CaptionPass,
    *,
    levels: Mapping[int, Sequence[int]],
) -> tuple[Decisions, list[ShardPlan]]:
    """Look at all captions, drop rows for them, and write which rows go into each final shard.

    A shard that loses rows is shorter; one that loses all is left out, and those after it move up.

    Args:
        workspace: With the captions of every shard.
        recipe: What was asked.
        decisions: Of the first barrier.
        second: The pass that wrote the captions.
        levels: Planned levels of each group, rising.

    Returns:
        The decisions with what goes for its caption, and the final shards.
    """
    members = decisions.shards(recipe.output.shard_rows)
    order = np.concatenate([members[shard.name] for shard in second.shards])
    drop, beyond = decisions.drop.copy(), dict(decisions.beyond)
    judged = pa.concat_tables(
        pq.read_table(workspace.captions(shard.name, "parquet"), columns=list(_JUDGED)) for shard in second.shards
    )
    for position, detail in dropped_for_captions(judged, recipe.captions).items():
        drop[order[position]] = DROP_REASONS.index("low_similarity")
        beyond[int(order[position])] = detail
    if recipe.tiles.levels_paired and len(beyond) > len(decisions.beyond):
        columns = {name: getattr(decisions, name) for name in ("level", "x", "y", "group")}
        drop[(drop == 0) & ~paired(columns, drop == 0, levels)] = DROP_REASONS.index("unpaired")
    after = replace(decisions, drop=drop, beyond=beyond)
    plans = []
    for number, shard in enumerate(second.shards):
        staying = np.flatnonzero(drop[members[shard.name]] == 0)
        if not len(staying):
            continue
        rows = members[shard.name][staying]
        where = np.column_stack([decisions.origin(rows), staying]).astype(np.int32)
        captions = (second.done(number) or {})["sha256"]
        digest = hashlib.sha256(f"{shard.digest}{captions}".encode() + where.tobytes()).hexdigest()
        plans.append((where, ShardPlan(shard.name, decisions.bounds(rows), digest, len(rows), captions=shard.name)))
    return after, [_planned(workspace, where, plan) for where, plan in _renumbered(plans)]


def dropped_for_captions(captions: pa.Table, rules: Captions) -> dict[int, str]:
    """Return which rows go for their caption, each with what was measured.

    Args:
        captions: Columns of all rows that the first barrier keeps, in the order of shards: caption_source,
            similarity_clip, similarity_siglip.
        rules: What the recipe says of captions.

    Returns:
        Detail by row of the table; the reason is ``"low_similarity"``.
    """
    return least_similar(captions, rules.similarity) if rules.similarity is not None else {}


def _renumbered(plans: list[tuple[Any, ShardPlan]]) -> list[tuple[Any, ShardPlan]]:
    """Number the shards of each split from 0 without gaps."""
    counts: dict[str, int] = {}
    for _, plan in plans:
        split = plan.name.split("-")[0]
        counts[split] = counts.get(split, 0) + 1
    seen: dict[str, int] = {}
    found = []
    for where, plan in plans:
        split = plan.name.split("-")[0]
        number = seen[split] = seen.get(split, -1) + 1
        found.append((where, replace(plan, name=f"{split}-{number:05d}-of-{counts[split]:05d}")))
    return found


def _planned(workspace: Workspace, where: Any, plan: ShardPlan) -> ShardPlan:
    with atomic_file(workspace.shard(plan.name, "rows.npy")) as file:
        np.save(file, where)
    return plan
