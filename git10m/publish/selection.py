"""Which rows of a dataset are published, and the dataset that is left when some are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from git10m import records
from git10m.errors import LicenceError
from git10m.publish.index import INDEX_GROUP_ROWS, SPLITS, index_schema
from git10m.publish.licences import refusal
from git10m.publish.survey import Survey, batches, refused_rows, survey
from git10m.records import Rejection
from git10m.shards import ShardWriter, read_tables

__all__ = ["Selection", "left_over", "select", "write_left_index", "write_left_rejected", "write_left_shard"]


@dataclass(frozen=True)
class Selection:
    """Rows that are published.

    Attributes:
        folder: The dataset.
        refused: Names of the licences whose rows stay behind; empty where all rows go.
        survey: Of the rows that are published.
        kept: By shard (``"data/NAME"``), bool (rows,); without an entry all of a shard's rows go.
        names: New name of each shard that has rows left, by its old one, in order.
        removed: Rows that stay behind, by the licence that they hold something of.
    """

    folder: Path
    refused: frozenset[str]
    survey: Survey
    kept: Mapping[str, npt.NDArray[np.bool_]]
    names: Mapping[str, str]
    removed: Mapping[str, int]

    def tables(self, shard: str, *, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the published rows of a shard, a row group at a time."""
        mask, start = self.kept.get(shard), 0
        for table in read_tables(self.folder / shard, columns=columns):
            part = None if mask is None else mask[start : start + table.num_rows]
            start += table.num_rows
            yield table if part is None else table.filter(pa.array(part))

    def rows(self, shard: str) -> int:
        """Count the published rows of a shard."""
        mask = self.kept.get(shard)
        return int(mask.sum()) if mask is not None else int(pq.read_metadata(self.folder / shard).num_rows)


def select(folder: Path, manifest: Mapping[str, Any], *, refused: Collection[str], whole: Survey) -> Selection:
    """Choose the rows that hold nothing of some licences.

    Args:
        folder: The dataset.
        manifest: Of it.
        refused: Names of licences.
        whole: Survey of all rows.

    Raises:
        LicenceError: If no row is left.
    """
    shards = [name for name in manifest["files"] if name.startswith("data/")]
    if not refused:
        return Selection(folder, frozenset(), whole, {}, {name: name for name in shards}, {})
    masks: dict[str, list[npt.NDArray[np.bool_]]] = {}
    for table in batches(folder / "index.parquet", ["licence", "sources", "file"]):
        keep, files = ~refused_rows(table, refused), table["file"].combine_chunks().dictionary_encode()
        codes = files.indices.to_numpy()
        for code, name in enumerate(files.dictionary.to_pylist()):
            masks.setdefault(name, []).append(keep[codes == code])
    kept = {name: np.concatenate(parts) for name, parts in masks.items()}
    left = [name for name in shards if name in kept and kept[name].any()]
    if not left:
        raise LicenceError(f"{folder}: no row is left without what is under {', '.join(sorted(refused))}")
    removed = {name: whole.licences[name] for name in sorted(refused) if whole.licences[name]}
    rest = survey(folder / "index.parquet", without=refused)
    only = {name: mask for name, mask in kept.items() if not mask.all()}
    return Selection(folder, frozenset(refused), rest, only, _renumbered(left), removed)


def left_over(manifest: Mapping[str, Any], selection: Selection) -> dict[str, Any]:
    """Return the manifest of the rows that are left: those that stay behind count as dropped for their licence."""
    if not selection.refused:
        return dict(manifest)
    counts, found = dict(manifest["counts"]), selection.survey
    removed = int(counts["kept"]) - found.rows
    counts["kept"] = found.rows
    counts["dropped"] = dict(sorted(Counter({**counts["dropped"]} | {"licence": removed}).items()))
    counts["splits"] = dict(sorted(found.splits.items()))
    counts["levels"] = {str(level): rows for level, rows in sorted(found.levels.items())}
    counts["sources"] = dict(sorted(found.sources.items()))
    return {
        **manifest,
        "counts": counts,
        "licences": sorted({text for texts in found.wordings.values() for text in texts}),
        "attributions": sorted({credit for _, credit in found.credits if credit}),
        "synthetic": found.synthetic > 0,
    }


def write_left_shard(selection: Selection, shard: str, path: Path) -> None:
    """Write the rows of a shard that are left; its schema and metadata stay."""
    with ShardWriter(path, schema=pq.read_schema(selection.folder / shard)) as writer:
        for table in selection.tables(shard):
            writer.write(table)


def write_left_index(selection: Selection, path: Path) -> None:
    """Write the index of the rows that are left, with the files and positions that they have now."""
    old = pq.read_schema(selection.folder / "index.parquet")
    schema = index_schema(bounds=selection.survey.bounds)
    position: Counter[str] = Counter()
    with ShardWriter(path, schema=schema, row_group_rows=INDEX_GROUP_ROWS) as writer:
        for table in batches(selection.folder / "index.parquet", old.names, without=selection.refused):
            files = table["file"].to_pylist()
            rows = []
            for name in files:
                rows.append(position[name])
                position[name] += 1
            named = pa.array([selection.names[name] for name in files], pa.string())
            moved = table.set_column(table.schema.get_field_index("file"), "file", named)
            moved = moved.set_column(moved.schema.get_field_index("row"), "row", pa.array(rows, pa.int32()))
            writer.write(moved.select(schema.names).cast(schema))


def write_left_rejected(
    selection: Selection, manifest: Mapping[str, Any], path: Path, *, showable: Collection[str]
) -> None:
    """Write ``rejected.parquet`` for publication: without pictures that may not be shown, with the rows left behind.

    Args:
        selection: What is published.
        manifest: Of the whole dataset.
        path: File to write.
        showable: Layers of the recipe all of whose sources may be published; others lose their thumbnails.
    """
    schema = records.schema(Rejection)
    with ShardWriter(path, schema=schema) as writer:
        for table in read_tables(selection.folder / "rejected.parquet"):
            allowed = np.isin(table["layer"].to_numpy(zero_copy_only=False), sorted(showable))
            shown = [
                image if keep else None for image, keep in zip(table["thumbnail"].to_pylist(), allowed, strict=True)
            ]
            at = table.schema.get_field_index("thumbnail")
            writer.write(table.set_column(at, schema.field("thumbnail"), pa.array(shown, records.IMAGE)).cast(schema))
        for left_behind in _left_behind(selection, layers_of(manifest)):
            writer.write(records.table(left_behind, record=Rejection))


def layers_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the layer of each source of the recipe that a dataset was built from."""
    recipe = (manifest.get("inputs") or {}).get("recipe") or manifest.get("recipe") or {}
    return {str(source.get("id")): str(source.get("layer") or "imagery") for source in recipe.get("source") or []}


def _left_behind(selection: Selection, layers: Mapping[str, str]) -> Iterator[list[Rejection]]:
    if not selection.refused:
        return
    columns = ["source_id", "Google_location", "level", "x", "y", "lon", "lat", "acquired_at", "valid_fraction"]
    for table in batches(selection.folder / "index.parquet", [*columns, "img_name", "licence", "sources"]):
        rows = table.filter(pa.array(refused_rows(table, selection.refused)))
        parts = [{part["licence"] for part in sources or ()} for sources in rows["sources"].to_pylist()]
        stated = [{own, *given} for own, given in zip(rows["licence"].to_pylist(), parts, strict=True)]
        yield [
            Rejection(
                **{name: entry[name] for name in columns},
                layer=layers.get(entry["source_id"], "imagery"),
                item=entry["img_name"],
                verdict="dropped",
                reason="licence",
                detail=_why(licences),
            )
            for entry, licences in zip(rows.select([*columns, "img_name"]).to_pylist(), stated, strict=True)
        ]


def _why(licences: set[str | None]) -> str:
    reasons = sorted(f"{said or 'unstated'}: {why}" for said in licences if (why := refusal(said)) is not None)
    return "; ".join(reasons) or "left out of this publication"


def _renumbered(names: list[str]) -> dict[str, str]:
    """Number the shards of each split anew: ``datasets`` takes neither gaps nor files without rows."""
    by_split: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in names:
        by_split[PurePosixPath(name).name.split("-")[0]].append(name)
    return {
        old: f"data/{split}-{number:05d}-of-{len(shards):05d}.parquet"
        for split, shards in by_split.items()
        for number, old in enumerate(shards)
    }
