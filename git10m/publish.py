"""What makes a folder of shards a dataset that others can use: its index and its card.

Both are made from what the build left in the folder (``data/``, ``manifest.json``), hold no date or machine name,
and so come out byte for byte the same however often they are written.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from git10m import records
from git10m.errors import DatasetError, VerificationError
from git10m.shards import ShardWriter, atomic_file

__all__ = ["INDEX_COLUMNS", "SPLITS", "index_schema", "read_manifest", "write_card", "write_index", "write_text"]

SPLITS = ("train", "validation", "test")
"""Splits in the order in which they are listed."""

INDEX_COLUMNS = {
    "file": records.Column(pa.string(), "shard that holds the row, relative to the dataset's folder"),
    "row": records.Column(pa.int32(), "position of the row in that shard, from 0"),
}
"""Columns that the index has beside those of ``records.Row`` (which it has without ``image``)."""

INDEX_GROUP_ROWS = 20_000
"""Rows of a row group of the index: some MB, and few enough for a bounding box to skip most of the file."""

Bounds = tuple[float, float, float, float]


def index_schema(*, bounds: Bounds | None = None) -> pa.Schema:
    """Return the Arrow schema of ``index.parquet``: every column of a row but the image, then ``INDEX_COLUMNS``.

    Args:
        bounds: (west, south, east, north) of the rows in degrees, noted in the GeoParquet metadata.
    """
    rows = records.schema(bounds=bounds, without=("image",))
    fields = [*rows, *(pa.field(name, column.type) for name, column in INDEX_COLUMNS.items())]
    features = records.huggingface_metadata({field.name: field.type for field in fields})
    return pa.schema(fields, metadata={**rows.metadata, b"huggingface": json.dumps(features).encode()})


def write_index(data_files: Sequence[Path], path: Path) -> None:
    """Write ``index.parquet``: the rows of all shards without their images, as GeoParquet 1.1.

    Rows come in the order of the files. Only small columns are read, one batch at a time, so memory does not grow
    with the number of rows; the bytes depend on the shards and the version of pyarrow alone.

    Args:
        data_files: Shards, in order.
        path: File to write, in the dataset's folder; an older one is replaced in one step.

    Raises:
        VerificationError: If a shard is no parquet file, or lacks a column of ``records.Row``.
    """
    names = [field.name for field in records.schema(without=("image",))]
    arrow = index_schema(bounds=_bounds(data_files, names))
    with ShardWriter(path, schema=arrow, row_group_rows=INDEX_GROUP_ROWS) as writer:
        for table in _indexed(data_files, names):
            writer.write(table.cast(arrow))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read ``manifest.json`` of a dataset folder.

    Raises:
        DatasetError: If there is none, or it is not one of ours.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(
            f"{folder}: cannot read manifest.json ({error}); give the folder of a finished build"
        ) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("counts"), dict) or "name" not in manifest:
        raise DatasetError(f"{path}: no dataset's manifest (it has no name and counts); build the dataset again")
    return manifest


def write_card(folder: Path) -> None:
    """Write ``README.md``: the dataset card, with the front matter by which ``datasets`` finds the shards.

    Args:
        folder: Finished dataset folder, with its ``manifest.json``.

    Raises:
        DatasetError: If the folder has no readable manifest.
    """
    manifest = read_manifest(folder)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("git10m", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; `cell` and `json` below make text safe where it stands.
    )
    environment.filters.update(cell=_cell, json=_json, thousands="{:,}".format)
    write_text(folder / "README.md", environment.get_template("card.md.j2").render(**_card_values(manifest)))


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step: a reader sees the old file or the new one, never half of it."""
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


def _opened(path: Path, names: Sequence[str]) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise VerificationError(f"{path}: not a readable parquet file ({error}); build the dataset again") from error
    if missing := [name for name in names if name not in file.schema_arrow.names]:
        file.close()
        raise VerificationError(f"{path}: has no column {', '.join(missing)}; write it with this version's build")
    return file


def _bounds(data_files: Sequence[Path], names: Sequence[str]) -> Bounds | None:
    """Return (west, south, east, north) over all rows with a place; refuses shards that lack one of the columns."""
    lows: list[tuple[float, float]] = []
    highs: list[tuple[float, float]] = []
    for path in data_files:
        with _opened(path, names) as file:
            for batch in file.iter_batches(columns=["bbox"]):
                box = batch.column("bbox").drop_null()
                if len(box):
                    lows.append((pc.min(box.field("xmin")).as_py(), pc.min(box.field("ymin")).as_py()))
                    highs.append((pc.max(box.field("xmax")).as_py(), pc.max(box.field("ymax")).as_py()))
    if not lows:
        return None
    west, south = (min(values) for values in zip(*lows, strict=True))
    east, north = (max(values) for values in zip(*highs, strict=True))
    return west, south, east, north


def _indexed(data_files: Sequence[Path], names: list[str]) -> Iterator[pa.Table]:
    """Yield the rows of the shards without images, each with its file and position."""
    for path in data_files:
        position = 0
        with _opened(path, names) as file:
            for batch in file.iter_batches(columns=names, batch_size=INDEX_GROUP_ROWS):
                # `iter_batches` keeps the file's order of columns, which need not be ours.
                table = pa.Table.from_batches([batch]).select(names)
                where = pa.array([f"{path.parent.name}/{path.name}"] * len(batch), pa.string())
                rows = pa.array(range(position, position + len(batch)), pa.int32())
                yield table.append_column("file", where).append_column("row", rows)
                position += len(batch)


_HUB_LICENCES = {
    "apache-2.0": "apache-2.0",
    "cc-by-2.0": "cc-by-2.0",
    "cc-by-3.0": "cc-by-3.0",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0": "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-4.0": "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0": "cc-by-nd-4.0",
    "cc-by-sa-3.0": "cc-by-sa-3.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
    "cc0-1.0": "cc0-1.0",
    "cdla-permissive-2.0": "cdla-permissive-2.0",
    "etalab-2.0": "etalab-2.0",
    "mit": "mit",
    "odbl-1.0": "odbl",
    "odc-by-1.0": "odc-by",
    "pddl-1.0": "pddl",
}
"""The hub's names of licences that imagery comes under, by SPDX identifier in small letters."""

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)


def _card_values(manifest: Mapping[str, Any]) -> dict[str, Any]:
    counts, files = manifest["counts"], manifest.get("files", {})
    shards = {name: facts for name, facts in files.items() if name.startswith("data/")}
    kept = int(counts["kept"])
    recipe = manifest.get("recipe") or {}
    return {
        "manifest": manifest,
        "counts": counts,
        "dropped": sum(counts.get("dropped", {}).values()),
        "failed": sum(counts.get("failed", {}).values()),
        "levels": sorted(counts.get("levels", {}).items(), key=lambda entry: int(entry[0])),
        "splits": _splits(counts.get("splits", {}), shards),
        "megabytes": sum(int(facts.get("bytes", 0)) for facts in shards.values()) / 1e6,
        "sources": _sources(manifest),
        "licence": _hub_licence(manifest.get("licences", [])),
        "licence_name": _licence_name(manifest.get("licences", [])),
        "size": next((name for limit, name in _SIZES if kept < limit), "n>1T" if kept >= 10**12 else "1B<n<10B"),
        "columns": {**records.columns(), **INDEX_COLUMNS},
        "index_only": set(INDEX_COLUMNS),
        "lossy": (recipe.get("image") or {}).get("format", "jpeg") != "png",
        "oversample": bool((recipe.get("tiles") or {}).get("oversample")),
        "has_places": any(int(level) > 0 for level in counts.get("levels", {})),
    }


def _splits(counts: Mapping[str, int], shards: Mapping[str, Any]) -> list[tuple[str, int]]:
    """List the splits that have rows: `datasets` fails on a pattern without files, and on files without rows."""
    present = {PurePosixPath(name).name.split("-")[0] for name, facts in shards.items() if facts.get("rows")}
    return [(split, int(counts.get(split, 0))) for split in SPLITS if split in present]


def _sources(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Group the files that were read by source, licence and credit line."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for item in manifest.get("items", []):
        licence, credit = item.get("licence") or "not stated", item.get("attribution") or "none asked for"
        group = groups.setdefault(
            (item["source_id"], licence, credit),
            {"id": item["source_id"], "licence": licence, "attribution": credit, "files": 0, "unread": 0},
        )
        group["files"] += 1
        group["unread"] += item.get("error") is not None
    rows = manifest["counts"].get("sources", {})
    return [{**group, "rows": int(rows.get(group["id"], 0))} for _, group in sorted(groups.items())]


def _hub_licence(licences: Sequence[str | None]) -> list[str]:
    """Name licences as the hub does; one that it has no name for makes the whole ``other``."""
    known = sorted({_HUB_LICENCES.get((licence or "").lower(), "other") for licence in licences})
    return known if known and "other" not in known else ["other" if licences else "unknown"]


def _licence_name(licences: Sequence[str | None]) -> str:
    """Name what the hub calls ``other``, in its form: small letters, digits, dots and hyphens."""
    if len(licences) != 1:
        return "several-see-below"
    return re.sub(r"[^a-z0-9.]+", "-", (licences[0] or "not stated").lower()).strip("-")[:60]


def _cell(value: Any) -> str:
    """Make text safe inside a Markdown table."""
    return html.escape(" ".join(str(value).split()), quote=False).replace("|", "\\|")


def _json(value: Any) -> str:
    """Write a value as JSON, which YAML reads too."""
    return json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, dict) else None)
