"""Builds a dataset: two passes over shards with barriers between, resumable at any instant.

    scenes ─► plan ─► pass 1, a unit at a time: pixels, metadata, measures, hashes
                   ─► barrier, on columns: duplicates, pairing, splits, order
                   ─► pass 2, a shard at a time: facts, captions
                   ─► barrier, on captions and their scores
                   ─► pass 2 goes on, a shard at a time: final rows
                   ─► rejections, index, manifest, card, report

Every file appears whole or not at all, and a unit or shard counts as done when its ``done.json`` stands. Same recipe,
inputs and versions give the same bytes, whatever the workers, the engine and the number of interruptions.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from git10m.building.barrier import DROP_REASONS, Decisions, decide
from git10m.building.captioning import CaptionPass, plan_captions, plan_rows
from git10m.building.encoding import said_without_vector
from git10m.building.enhancing import EnhancePass, plan_enhancement
from git10m.building.finish import finish
from git10m.building.first_pass import ShardPlan
from git10m.building.inputs import Inputs, Item, gather
from git10m.building.rows import RowPass
from git10m.building.tiles import FetchPass, TilePass, unit_digests
from git10m.building.workspace import Workspace, read_json, write_json
from git10m.captions.writing import check_writer
from git10m.engine import Engine, lock, map_shards, rank_of_job
from git10m.errors import BuildError, DatasetError, RecipeError, RegionError
from git10m.grid import MAX_LEVEL
from git10m.recipe import Recipe, WebListSource
from git10m.sampling import Plan, plan_tiles, sampled

__all__ = ["BuildResult", "build", "build_status", "fetch", "prepare"]

_UNITS, _LEAST_UNIT_ROWS, _MOST_UNIT_ROWS = 64, 64, 1024


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build came to.

    Attributes:
        folder: The dataset.
        manifest: Its manifest; None where other ranks of the job are still at work.
        skipped: Scenes that could not be used, with the reason.
        fresh: False when the dataset was there already.
    """

    folder: Path
    manifest: Mapping[str, Any] | None
    skipped: tuple[str, ...]
    fresh: bool

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know of a finished build beside its counts, in sentences."""
        manifest = self.manifest or {}
        found, lacking = [], manifest.get("embedding") or {}
        if lacking.get("without"):
            found.append(said_without_vector(lacking) + "; they are compared by their pixels alone")
        for kind, count in (manifest.get("captions_cut") or {}).items():
            found.append(f"{count} captions are longer than the {kind} model reads; their beginnings were scored")
        return tuple(found)


def prepare(recipe: Recipe, *, root: Path, folder: Path, limit: int | None = None) -> tuple[Inputs, Plan]:
    """Find all imagery of a build and list its tiles; only computed scenes and answers of catalogs are written.

    Args and errors as in `build`.
    """
    try:
        inputs = gather(recipe, root=root, workspace=Workspace(folder), limit=limit, looking=True)
    except OSError as error:
        raise BuildError(_disk_fault(error, folder)) from error
    return inputs, _plan(inputs, limit)


def build(
    recipe: Recipe,
    *,
    root: Path,
    folder: Path,
    engine: Engine | None = None,
    limit: int | None = None,
    retry_failed: bool = False,
    said: Mapping[str, Any] | None = None,
) -> BuildResult:
    """Build a dataset, or go on where an interrupted build stopped.

    Args:
        recipe: What to build.
        root: Folder that the recipe's relative paths start from.
        folder: Where the dataset goes.
        engine: Where the work runs; None: in this process.
        limit: Build at most so many tiles, spread evenly over the plan.
        retry_failed: Read the tiles again that could not be read before, and take in files that were repaired:
            scenes of the same names may have other content. Only what they touch is made again.
        said: The recipe as written, for the manifest; None: the recipe without its paths.

    Raises:
        RequestError: If the recipe leads nowhere, or the folder holds another build.
        BuildError: If the work cannot go on; run it again to resume.
    """
    workspace, engine = Workspace(folder), engine or Engine()
    if engine.name == "rank":
        rank_of_job()  # a missing variable is said at once
    try:
        with workspace.locked(shared=engine.name == "rank"):
            inputs = gather(recipe, root=root, workspace=workspace, limit=limit)
            workspace.claim(inputs.fingerprint, inputs.identity, repaired=retry_failed)
            workspace.prepare()
            if engine.name != "rank":
                workspace.sweep()
            if retry_failed:
                _forget_failed(workspace)
            if (manifest := _finished(workspace, inputs)) is not None:
                return BuildResult(folder, manifest, _skipped(inputs.items), fresh=False)
            _fetch_lists(inputs, retry_failed=retry_failed)
            check_writer(inputs.recipe.captions, key=True)
            manifest = _run(workspace, inputs, engine, limit, said if said is not None else recipe.canonical())
    except OSError as error:
        raise BuildError(_disk_fault(error, folder)) from error
    return BuildResult(folder, manifest, _skipped(inputs.items), fresh=True)


def fetch(
    recipe: Recipe,
    *,
    root: Path,
    folder: Path,
    engine: Engine | None = None,
    limit: int | None = None,
    retry_failed: bool = False,
) -> int:
    """Fetch what a build needs from tile servers and URL lists, and build nothing; a later build goes on from there.

    Args and errors as in `build`.

    Returns:
        How many tiles and images came new.
    """
    workspace = Workspace(folder)
    try:
        with workspace.locked(shared=engine is not None and engine.name == "rank"):
            inputs = gather(recipe, root=root, workspace=workspace, limit=limit, looking=True)
            count = _fetch_lists(inputs, retry_failed=retry_failed)
            plan = _plan(inputs, limit)
            bounds = plan.unit_bounds(_unit_rows(plan))
            work = FetchPass(inputs.imagery, plan, tuple(bounds))
            with tqdm(total=len(plan), desc="fetching", unit="tile") as bar:
                for _, (tiles, fresh) in map_shards(work, range(len(bounds) - 1), engine or Engine()):
                    bar.update(tiles)
                    count += fresh
    except OSError as error:
        raise BuildError(_disk_fault(error, folder)) from error
    return count


def build_status(folder: Path) -> dict[str, Any]:
    """Return how far a build is: units of both passes, done and planned, and whether it is finished.

    Raises:
        DatasetError: If no build was begun in the folder.
    """
    workspace = Workspace(folder)
    note, manifest = read_json(workspace.note), read_json(workspace.manifest)
    if note is None and manifest is None:
        raise DatasetError(f"{folder}: holds no dataset and no build; give the --output of git10m build")
    note = note or {}
    tiles_done = len(list((workspace.work / "tiles").glob("*.done.json")))
    captions_done = len(list((workspace.work / "captions").glob("*.done.json")))
    rows_done = len(list((workspace.work / "rows").glob("*.done.json")))
    return {
        "finished": manifest is not None and "unfinished" not in manifest,
        "counts": manifest["counts"] if manifest is not None else None,
        "units": {"done": tiles_done, "planned": note.get("units")},
        "captions": {"done": captions_done, "planned": note.get("captions")},
        "shards": {"done": rows_done, "planned": note.get("shards")},
    }


def _run(
    workspace: Workspace, inputs: Inputs, engine: Engine, limit: int | None, said: Mapping[str, Any]
) -> dict[str, Any] | None:
    plan = _plan(inputs, limit)
    bounds = plan.unit_bounds(_unit_rows(plan))
    digests = unit_digests(inputs.imagery, plan, bounds, further=inputs.further_digest)
    if inputs.encoding is not None:
        inputs.encoding.check(len(plan))
    parts = inputs.imagery, inputs.modalities, plan, tuple(bounds), digests, inputs.encoding
    first = TilePass(workspace, inputs.recipe, *parts)
    _note(workspace, units=len(digests))
    pending = [unit for unit, done in enumerate(_unit_counts(workspace, digests)) if done is None]
    with tqdm(total=len(plan), initial=len(plan) - _rows_of(bounds, pending), desc="tiles", unit="tile") as bar:
        for _, done in map_shards(first, pending, engine):
            bar.update(done["planned"])
    counts = [done for done in _unit_counts(workspace, digests) if done is not None]
    if len(counts) < len(digests):
        return None  # the rank that ends last goes on
    levels = _levels_of_groups(plan)
    units, known, encoding = len(digests), inputs.known, inputs.encoding
    decisions = decide(workspace, inputs.recipe, units=units, levels=levels, known=known, encoding=encoding)
    enhancing = None
    if inputs.restorer is not None:
        plans = plan_enhancement(workspace, decisions, counts=counts, restorer=inputs.restorer)
        enhancing = EnhancePass(workspace, inputs.recipe, inputs.restorer, plans)
        if not _for_all(enhancing, engine, claims=workspace.work / "enhanced", desc="enhancement"):
            return None
    second = CaptionPass(workspace, inputs.recipe, tuple(_caption_plans(workspace, inputs, decisions, counts)))
    if not _for_all(second, engine, claims=workspace.work / "captions", desc="captions"):
        return None
    decisions, shards = plan_rows(workspace, inputs.recipe, decisions, second, levels=levels)
    if not shards:
        raise BuildError(_nothing_kept(workspace, decisions, counts))
    _note(workspace, shards=len(shards))
    third = RowPass(workspace, inputs.recipe, tuple(shards), inputs.modality_notes, inputs.encoding)
    if not _for_all(third, engine, claims=workspace.work / "rows", desc="rows"):
        return None
    with lock(workspace.work / "finish.lock") as held:
        if not held:
            return None
        return finish(workspace, inputs, decisions, shards, units=counts, said=said, enhancing=enhancing)


def _unit_rows(plan: Plan) -> int:
    return min(_MOST_UNIT_ROWS, max(_LEAST_UNIT_ROWS, len(plan) // _UNITS))


def _fetch_lists(inputs: Inputs, *, retry_failed: bool) -> int:
    """Fetch the images of URL lists: in this process alone, once, before anything is read; return how many came."""
    if not any(isinstance(source, WebListSource) for source in inputs.recipe.source):
        return 0
    from git10m.sources.weblist import WebList  # noqa: PLC0415 - only such recipes need its libraries
    from git10m.sources.weblist import fetch as fetch_list  # noqa: PLC0415

    lists = (part for part in inputs.imagery.parts if isinstance(part, WebList))
    return sum(fetch_list(each, retry_failed=retry_failed).had for each in lists)


def _nothing(inputs: Inputs) -> str:
    """Say why a plan is empty: what there is, beside what was asked for."""
    imagery, wanted = inputs.imagery, range(1, MAX_LEVEL + 1)
    resolutions = sorted({f"{item.scene.native_gsd_m:.3g} m" for item in inputs.items if item.scene is not None})
    there = [f"scenes of {', '.join(resolutions[:8])}"] if resolutions else []
    for number, group in enumerate(imagery.groups):
        if not group.scenes and len(there) < 8:
            levels = sorted(imagery.levels(number, wanted))
            there.append(f"{group.source_id} with levels {levels[0]}–{levels[-1]}" if levels else group.source_id)
    where = " touches the region" if inputs.area is not None else " is there"
    return (
        f"nothing to build: at levels {list(inputs.recipe.tiles.levels)} no imagery{where}; there are "
        f"{'; '.join(there)}. Widen the region, name other levels, or (for scenes) say oversample = true"
    )


def _plan(inputs: Inputs, limit: int | None) -> Plan:
    plan = plan_tiles(inputs.imagery, inputs.recipe.tiles, area=inputs.area)
    plan = sampled(plan, inputs.recipe.sampling)
    if not len(plan):
        raise RegionError(_nothing(inputs))
    if limit is not None and inputs.recipe.tiles.levels_paired:
        raise RecipeError(
            f"a limit of {limit} tiles would tear apart the families that levels_paired = true promises; "
            "give a smaller region instead, or leave one of the two out"
        )
    return plan.thinned(limit) if limit is not None else plan


def _unit_counts(workspace: Workspace, digests: Sequence[str]) -> list[dict[str, Any] | None]:
    """Return the counts of each unit; None where it is not done, or was made of other scenes."""
    notes = (read_json(workspace.unit(unit, "done.json")) for unit in range(len(digests)))
    return [
        note if note is not None and note["digest"] == digest else None
        for note, digest in zip(notes, digests, strict=True)
    ]


def _levels_of_groups(plan: Plan) -> dict[int, list[int]]:
    """Return the planned levels of each group, rising."""
    return {group: np.unique(plan.level[plan.group == group]).tolist() for group in np.unique(plan.group).tolist()}


def _caption_plans(
    workspace: Workspace, inputs: Inputs, decisions: Decisions, counts: Sequence[Mapping[str, Any]]
) -> list[ShardPlan]:
    shard_rows, wording = inputs.recipe.output.shard_rows, inputs.wording_digest
    plans = plan_captions(workspace, decisions, shard_rows=shard_rows, counts=counts, wording=wording)
    if not plans:
        raise BuildError(_nothing_kept(workspace, decisions, counts))
    _note(workspace, captions=len(plans))
    return plans


def _for_all(step: EnhancePass | CaptionPass | RowPass, engine: Engine, *, claims: Path, desc: str) -> bool:
    """Run a step of the second pass; tell whether all its shards are there, which a rank's may not be."""
    waiting = [number for number in range(len(step.shards)) if step.done(number) is None]
    total = sum(shard.rows for shard in step.shards)
    left = sum(step.shards[number].rows for number in waiting)
    with tqdm(total=total, initial=total - left, desc=desc, unit="row") as bar:
        for _, done in map_shards(step, waiting, engine, claims=claims):
            bar.update(done["rows"])
    return all(step.done(number) is not None for number in waiting)


def _nothing_kept(workspace: Workspace, decisions: Decisions, counts: Sequence[Mapping[str, Any]]) -> str:
    lost: Counter[str] = Counter()
    for unit in counts:
        lost.update(unit["dropped"])
        lost.update(unit["failed"])
    lost.update({reason: int((decisions.drop == code).sum()) for code, reason in enumerate(DROP_REASONS) if code})
    reasons = ", ".join(f"{reason} {count}" for reason, count in lost.most_common() if count)
    commonest, _ = lost.most_common(1)[0]
    planned = sum(unit["planned"] for unit in counts)
    example = _detail_of(workspace, commonest, counts)
    return (
        f"no tile was kept of {planned} planned: {reasons}{f' (for example {example})' if example else ''}; loosen the "
        "rules that drop them; what failed is read again with --retry-failed, once that is mended"
    )


def _detail_of(workspace: Workspace, reason: str, counts: Sequence[Mapping[str, Any]]) -> str | None:
    """Return what was noted of the first tile that was lost for a reason."""
    for number, unit in enumerate(counts):
        if reason in unit["dropped"] or reason in unit["failed"]:
            noted = pq.read_table(workspace.unit(number, "rejected.parquet"), columns=["reason", "detail"]).to_pylist()
            return next((row["detail"] for row in noted if row["reason"] == reason), None)
    return None


def _finished(workspace: Workspace, inputs: Inputs) -> dict[str, Any] | None:
    """Return the manifest if the folder holds this very build, whole."""
    manifest = read_json(workspace.manifest)
    if manifest is None or manifest["fingerprint"] != inputs.fingerprint or "unfinished" in manifest:
        return None
    for name, note in manifest["files"].items():
        path = workspace.folder / name
        if not path.exists() or path.stat().st_size != note["bytes"]:
            return None
    return manifest if (workspace.folder / "report.html").exists() else None


def _forget_failed(workspace: Workspace) -> None:
    """Make the units that hold tiles which could not be read or reached pending again."""
    for done in sorted((workspace.work / "tiles").glob("*.done.json")):
        failed = (read_json(done) or {}).get("failed", {})
        if failed.keys() & {"unreadable", "unreachable"}:
            workspace.manifest.unlink(missing_ok=True)  # from here on the dataset is unfinished
            done.unlink()


def _note(workspace: Workspace, **numbers: int) -> None:
    note = read_json(workspace.note) or {}
    if any(note.get(name) != number for name, number in numbers.items()):
        write_json(workspace.note, {**note, **numbers})


def _rows_of(bounds: list[int], units: list[int]) -> int:
    return sum(bounds[unit + 1] - bounds[unit] for unit in units)


def _skipped(items: tuple[Item, ...]) -> tuple[str, ...]:
    return tuple(item.error for item in items if item.error is not None)


def _disk_fault(error: OSError, folder: Path) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"{folder}: the disk is full; nothing that was finished is lost: make room and run the same command again"
        )
    return (
        f"{folder}: {error.strerror or error} ({error.filename or 'no file named'}); mend it and run the command again"
    )
