"""After the passes: rejections, index, manifest, card and report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely

from git10m import records
from git10m.building.barrier import DROP_REASONS, Decisions
from git10m.building.enhancing import EnhancePass, enhanced_note
from git10m.building.first_pass import ShardPlan
from git10m.building.inputs import Inputs, Item, versions
from git10m.building.workspace import Workspace, read_json, write_json
from git10m.captions.credits import credited, fact_sources
from git10m.captions.vlm.ledger import summed
from git10m.curation.pictures import decoded
from git10m.errors import BuildError
from git10m.grid import Tile
from git10m.metadata import rejection, thumbnail
from git10m.publish import write_card, write_index
from git10m.records import Rejection
from git10m.report import write_report
from git10m.shards import ShardWriter, data_files, file_sha256
from git10m.sources import Request, credit

__all__ = ["caption_counts", "finish", "mentioned", "write_rejected"]


def finish(
    workspace: Workspace,
    inputs: Inputs,
    decisions: Decisions,
    shards: Sequence[ShardPlan],
    *,
    units: Sequence[Mapping[str, Any]],
    said: Mapping[str, Any],
    enhancing: EnhancePass | None = None,
) -> dict[str, Any]:
    """Write everything beside the shards; the manifest is last of what has a promise, the report follows.

    Args:
        workspace: The build's folder.
        inputs: What went in.
        decisions: Of the barrier.
        shards: Final shards, all written.
        units: Counts of every unit of the first pass.
        said: The recipe as its author wrote it, without values given from outside.
        enhancing: The pass that restored tiles, where one did.

    Returns:
        The manifest.

    Raises:
        BuildError: If planned tiles are not all kept, dropped or failed.
    """
    wanted = {f"{shard.name}.parquet" for shard in shards}
    for stale in workspace.data.glob("*.parquet"):
        if stale.name not in wanted:
            stale.unlink()
    files = data_files(workspace.folder)
    write_rejected(workspace, inputs, decisions, units=len(units))
    write_index(files, workspace.folder / "index.parquet")
    manifest = _manifest(workspace, inputs, decisions, shards, units=units, said=said)
    if enhancing is not None:
        manifest["enhancement"] = enhanced_note(enhancing, workspace.folder / "index.parquet")
    write_json(workspace.manifest, manifest)
    write_card(workspace.folder)
    write_report(workspace.folder)
    return manifest


def write_rejected(workspace: Workspace, inputs: Inputs, decisions: Decisions, *, units: int) -> None:
    """Gather what the first pass and the barrier turned away into ``rejected.parquet``, unit by unit."""
    schema = records.schema(Rejection)
    with ShardWriter(workspace.folder / "rejected.parquet", schema=schema) as writer:
        dropped = np.flatnonzero(decisions.drop)
        dropped = dropped[np.argsort(decisions.unit[dropped], kind="stable")]
        starts = np.searchsorted(decisions.unit[dropped], np.arange(units + 1))
        names = _staying(workspace, decisions)
        for unit in range(units):
            first_pass = pq.read_table(workspace.unit(unit, "rejected.parquet")).cast(schema)
            later = dropped[starts[unit] : starts[unit + 1]]
            found = _barrier_rejections(workspace, inputs, decisions, unit, later, names=names)
            barrier = records.table(found, record=Rejection)
            both = pa.concat_tables([first_pass, barrier])
            keys = [(name, "ascending") for name in ("level", "Google_location", "acquired_at", "item")]
            writer.write(both.take(pc.sort_indices(both, sort_keys=keys)))


def _barrier_rejections(
    workspace: Workspace,
    inputs: Inputs,
    decisions: Decisions,
    unit: int,
    rows: npt.NDArray[np.int64],
    *,
    names: Mapping[int, str],
) -> Iterator[Rejection]:
    for row, found in _dropped(workspace.unit(unit, "rows.parquet"), decisions, rows):
        group = inputs.imagery.groups[found["group"]]
        level, x, y = (int(values[row]) for values in (decisions.level, decisions.x, decisions.y))
        tile = Tile(level, x, y) if x >= 0 else None
        listed = inputs.imagery.entries(found["group"]) is not None
        alike = decisions.alike.get(row)
        pixels = decoded(found["image"]["bytes"])
        yield rejection(
            Request(tile, found["group"]),
            verdict="dropped",
            reason=DROP_REASONS[int(decisions.drop[row])],
            detail=_why(decisions, row, names),
            source_id=found["source_id"],
            layer=group.layer,
            acquired_at=group.acquired_at,
            valid_fraction=found["valid_fraction"],
            thumbnail={"bytes": thumbnail(pixels), "path": f"{Path(found['img_name']).stem}.jpg"},
            item=found["img_name"] if listed else None,
            duplicate_of=None if alike is None else alike.known or names[alike.of],
        )


def _dropped(path: Path, decisions: Decisions, rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield what a unit's file holds of some rows; a row group at a time, for a unit's images fill a machine."""
    if not len(rows):
        return
    rows = rows[np.argsort(decisions.position[rows])]
    with pq.ParquetFile(path) as file:
        ends = np.cumsum([file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)])
        groups = np.searchsorted(ends, decisions.position[rows], side="right")
        for group in np.unique(groups).tolist():
            table = file.read_row_group(group, columns=["image", "img_name", "source_id", "valid_fraction", "group"])
            first = int(ends[group - 1]) if group else 0
            for row in rows[groups == group].tolist():
                at = int(decisions.position[row]) - first
                yield row, {name: table[name][at].as_py() for name in table.column_names}


def _why(decisions: Decisions, row: int, names: Mapping[int, str]) -> str:
    reason, alike = DROP_REASONS[int(decisions.drop[row])], decisions.alike.get(row)
    if reason == "placeholder":
        return "the same bytes come at distant places: they stand for missing imagery"
    if row in decisions.beyond:
        return decisions.beyond[row]
    if reason == "split_buffer":
        return "too near to a cell of validation or test"
    if alike is None:
        return "its parent or one of its children is missing"
    if alike.known is not None:
        what = alike.known
    else:
        level, x, y = (int(values[alike.of]) for values in (decisions.level, decisions.x, decisions.y))
        what = f"tile {level}_{x}_{y}" if x >= 0 else names[alike.of]
    if alike.cosine is not None or alike.likeness is not None:
        how = f"likeness {alike.likeness:.2f}" if alike.cosine is None else f"cosine {alike.cosine:.3f}"
        return f"{how} to {what}"
    return "a better picture of this place stays" if reason == "same_place" else f"the same bytes as {what}"


def _staying(workspace: Workspace, decisions: Decisions) -> dict[int, str]:
    """Return the names of the images that others went for, by row."""
    rows = np.unique([alike.of for alike in decisions.alike.values() if alike.of >= 0]).astype(np.int64)
    names: dict[int, str] = {}
    for unit in np.unique(decisions.unit[rows]).tolist():
        there = pq.read_table(workspace.unit(unit, "rows.parquet"), columns=["img_name"])["img_name"]
        for row in rows[decisions.unit[rows] == unit].tolist():
            names[row] = there[int(decisions.position[row])].as_py()
    return names


def _manifest(
    workspace: Workspace,
    inputs: Inputs,
    decisions: Decisions,
    shards: Sequence[ShardPlan],
    *,
    units: Sequence[Mapping[str, Any]],
    said: Mapping[str, Any],
) -> dict[str, Any]:
    recipe = inputs.recipe
    index = pq.read_table(
        workspace.folder / "index.parquet",
        columns=["level", "source_id", "split", "licence", "attribution", "synthetic", "sources"],
    )
    facts = fact_sources(recipe.captions, placed=bool(pc.any(pc.greater(index["level"], 0)).as_py()))
    files = {f"data/{shard.name}.parquet": _file_note(workspace, shard) for shard in shards}
    for name in ("index.parquet", "rejected.parquet"):
        path = workspace.folder / name
        rows = pq.read_metadata(path).num_rows
        files[name] = {"sha256": file_sha256(path), "rows": rows, "bytes": path.stat().st_size}
    return {
        "name": recipe.name,
        "version": recipe.version,
        "description": recipe.description,
        "git10m_version": versions()["git10m"],
        "fingerprint": inputs.fingerprint,
        "inputs": inputs.identity,
        "recipe": said,
        "synthetic": bool(pc.any(index["synthetic"]).as_py()),
        "counts": _counts(index, decisions, units),
        "captions": caption_counts(workspace.folder / "index.parquet", workspace.answers),
        "files": files,
        "items": [_item_note(item) for item in inputs.items],
        "modalities": inputs.modality_notes,
        "embedding": decisions.without_vector,
        "captions_cut": _captions_cut(workspace, shards),
        "licences": mentioned(index, "licence"),
        "attributions": sorted({*mentioned(index, "attribution"), *credited(facts)}),
        "fact_sources": facts,
        "versions": versions(),
    }


def caption_counts(index: Path, answers: Path, *, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return who wrote the captions of a dataset, and what was asked of servers for that.

    Args:
        index: ``index.parquet``.
        answers: Folder of the ledger.
        before: Manifest of before; what it says of servers stays where the ledger was deleted.
    """
    pairs: Counter[tuple[str | None, str | None]] = Counter()
    rows = several = 0
    with pq.ParquetFile(index) as file:
        # A group at a time: the words of all captions fill a machine.
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["caption", "caption_source", "caption_version", "captions"])
            rows += table.num_rows
            several += pc.sum(pc.list_value_length(table["captions"])).as_py() or 0
            told = table.filter(pc.is_valid(table["caption"]))
            pairs.update(zip(told["caption_source"].to_pylist(), told["caption_version"].to_pylist(), strict=True))
    writers = [
        {"source": source, "version": version, "rows": count}
        for (source, version), count in sorted(pairs.items(), key=lambda entry: tuple(str(part) for part in entry[0]))
    ]
    noted = ((before or {}).get("captions") or {}).get("requests")
    return {
        "rows": pairs.total(),
        "without": rows - pairs.total(),
        "several": several,
        "writers": writers,
        "requests": summed(answers) or noted,
    }


def _counts(index: pa.Table, decisions: Decisions, units: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the passes and check that every planned tile ended as exactly one thing."""
    dropped: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for unit in units:
        dropped.update(unit["dropped"])
        failed.update(unit["failed"])
    for code, reason in enumerate(DROP_REASONS[1:], start=1):
        if count := int((decisions.drop == code).sum()):
            dropped[reason] += count
    planned, kept = sum(unit["planned"] for unit in units), index.num_rows
    if planned != kept + dropped.total() + failed.total():
        raise BuildError(
            f"planned {planned} ≠ kept {kept} + dropped {dropped.total()} + failed {failed.total()}; "
            "this is a fault of git10m, please report it"
        )

    def by(column: str) -> dict[str, int]:
        return {str(key): count for key, count in sorted(Counter(index[column].to_pylist()).items())}

    return {
        "planned": planned,
        "kept": kept,
        "dropped": dict(sorted(dropped.items())),
        "failed": dict(sorted(failed.items())),
        "splits": by("split"),
        "levels": {str(k): v for k, v in sorted(Counter(index["level"].to_pylist()).items())},
        "sources": by("source_id"),
    }


def _captions_cut(workspace: Workspace, shards: Sequence[ShardPlan]) -> dict[str, int]:
    """Add up, by model of similarity, the captions that did not fit into its window."""
    cut: Counter[str] = Counter()
    for name in sorted({shard.captions for shard in shards}):
        cut.update((read_json(workspace.captions(name, "done.json")) or {}).get("cut", {}))
    return dict(sorted(cut.items()))


def _file_note(workspace: Workspace, shard: ShardPlan) -> dict[str, Any]:
    done = read_json(workspace.shard(shard.name, "done.json")) or {}
    return {name: done[name] for name in ("sha256", "rows", "bytes")}


def _item_note(item: Item) -> dict[str, Any]:
    note: dict[str, Any] = {"source_id": item.source_id, "item": item.name, "error": item.error}
    scene = item.scene
    if scene is not None:
        note |= {
            "crs": scene.crs_name,
            "native_gsd_m": round(scene.native_gsd_m, 6),
            "width": scene.width,
            "height": scene.height,
            "bands": [band.index for band in scene.bands],
            "scale": [list(pair) for pair in scene.scale] if scene.scale else None,
            "acquired_at": scene.moment.at.isoformat() if scene.moment else None,
            "acquired_precision": scene.moment.precision if scene.moment else None,
            "licence": scene.licence,
            "attribution": credit(scene.attribution, scene.moment),
            "synthetic": scene.synthetic,
            "footprint": shapely.to_wkt(shapely.simplify(shapely.from_wkb(scene.outline_wkb), 1e-5), 6),
        }
    return note


def mentioned(index: pa.Table, column: str) -> list[str]:
    """List the licences or attributions of every contribution to any row."""
    parts = pc.list_flatten(index["sources"])
    return sorted({value for value in pc.unique(pc.struct_field(parts, column)).to_pylist() if value})
