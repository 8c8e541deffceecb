"""Counts and quantiles of a finished dataset, from its small files alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from git10m.errors import DatasetError
from git10m.publish import read_manifest

__all__ = ["COUNTED", "MEASURED", "Collected", "collect", "open_table", "summarise", "summary_of"]

COUNTED = ("level", "source_id", "split", "licence", "caption_source")
"""Columns of the index whose values are counted."""

MEASURED = (
    "gsd_m",
    "native_gsd_m",
    "valid_fraction",
    "caption_length",
    "img_quality_score",
    "entropy",
    "sharpness",
    "contrast",
    "brightness",
    "saturation",
    "clipped",
    "noise",
    "blockiness",
    "haze",
    "white_fraction",
    "water_fraction",
    "scene_cloud",
)
"""Columns of the index whose distribution is told."""

QUANTILES = {"min": 0.0, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}

IntArray = npt.NDArray[np.int32]


@dataclass(slots=True)
class Collected:
    """What one pass over the columns of a dataset finds.

    Attributes:
        manifest: The folder's ``manifest.json``.
        counts: For each column of ``COUNTED``, rows by value (None: not stated).
        values: For each column of ``MEASURED``, its values that are not null, float32.
        strata: (level, source) of every row, as a number that ``stratum_names`` explains; in file order.
        stratum_names: (level, source_id) by number.
        tiles: (rows, 3) level, x, y of the rows that have a place.
        refused: (tiles, 3) level, x, y of planned tiles that did not become rows.
        reasons: Rejections by (verdict, reason).
        reason_strata: Verdict and reason of every rejection, as a number, in file order.
        reason_names: (verdict, reason) by number.
        first, last: Earliest and latest acquisition.
        bounds: (west, south, east, north) in degrees of all rows with a place.
    """

    manifest: dict[str, Any]
    counts: dict[str, Counter[Any]]
    values: dict[str, npt.NDArray[np.float32]]
    strata: IntArray
    stratum_names: list[tuple[Any, Any]]
    tiles: IntArray
    refused: IntArray
    reasons: Counter[tuple[str, str]]
    reason_strata: IntArray
    reason_names: list[tuple[Any, Any]]
    first: datetime | None = None
    last: datetime | None = None
    bounds: tuple[float, float, float, float] | None = None

    @property
    def rows(self) -> int:
        """Rows of the index."""
        return len(self.strata)

    def rejected(self, verdict: str) -> dict[str, int]:
        """Return rejections of one verdict by reason, most frequent first."""
        found = [(reason, count) for (given, reason), count in self.reasons.items() if given == verdict]
        return dict(sorted(found, key=lambda entry: (-entry[1], entry[0])))


def open_table(folder: Path, name: str) -> pq.ParquetFile:
    """Open a parquet file of a dataset folder.

    Raises:
        DatasetError: If it is missing or no parquet file.
    """
    try:
        return pq.ParquetFile(folder / name)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(
            f"{folder / name}: cannot be read ({error}); a finished dataset has this file: run the build to its end"
        ) from error


def collect(folder: Path) -> Collected:
    """Read what reports need of a dataset in one pass over the index and one over the rejections.

    Memory is a few bytes a row; images are not touched.

    Raises:
        DatasetError: If the folder is no finished dataset.
    """
    manifest = read_manifest(folder)
    index = _Pass(keys=("level", "source_id"))
    with open_table(folder, "index.parquet") as file:
        names = ["level", "x", "y", "source_id", "split", "licence", "caption_source", "acquired_at", "bbox"]
        for batch in file.iter_batches(columns=[*names, *MEASURED]):
            index.add(batch)
    refusals = _Pass(keys=("verdict", "reason"))
    with open_table(folder, "rejected.parquet") as file:
        for batch in file.iter_batches(columns=["level", "x", "y", "verdict", "reason"]):
            refusals.add(batch)
    reasons = Counter({refusals.names[code]: int(n) for code, n in enumerate(np.bincount(refusals.all_codes()))})
    boxes = np.array(index.boxes).reshape(-1, 4)
    west_south, east_north = boxes[:, :2], boxes[:, 2:]
    return Collected(
        manifest=manifest,
        counts={name: index.counts.get(name, Counter()) for name in COUNTED},
        values={name: _joined(index.values.get(name, []), np.float32) for name in MEASURED},
        strata=index.all_codes(),
        stratum_names=index.names,
        tiles=index.all_tiles(),
        refused=refusals.all_tiles(),
        reasons=reasons,
        reason_strata=refusals.all_codes(),
        reason_names=refusals.names,
        first=min(index.dates, default=None),
        last=max(index.dates, default=None),
        bounds=(*west_south.min(axis=0).tolist(), *east_north.max(axis=0).tolist()) if len(boxes) else None,
    )


def summarise(folder: Path) -> dict[str, Any]:
    """Return counts and quantiles of a dataset as plain values, ready for JSON.

    Keys: ``name``, ``version``, ``synthetic``, ``fingerprint``; ``accounting`` (planned, kept, dropped, failed by
    reason, and ``balanced``: whether planned = kept + dropped + failed, the files holding just as many);
    ``counts`` (rows by value of the columns in ``COUNTED``); ``quantiles`` (of the columns in ``MEASURED`` that
    have values); ``bounds`` in degrees; ``acquired`` (first and last, ISO 8601); ``bytes`` of the shards;
    ``items`` (read, unread).

    Raises:
        DatasetError: If the folder is no finished dataset.
    """
    return summary_of(collect(folder))


def summary_of(found: Collected) -> dict[str, Any]:
    """Return what `summarise` returns, from columns that are already read."""
    manifest = found.manifest
    files: Mapping[str, Any] = manifest.get("files", {})
    unread = sum(item.get("error") is not None for item in manifest.get("items", []))
    return {
        "name": manifest["name"],
        "version": manifest.get("version"),
        "synthetic": bool(manifest.get("synthetic")),
        "fingerprint": manifest.get("fingerprint"),
        "accounting": _accounting(found),
        "counts": {name: _plain(counts) for name, counts in found.counts.items()},
        "quantiles": {name: _quantiles(values) for name, values in found.values.items() if len(values)},
        "bounds": found.bounds,
        "acquired": {"first": _iso(found.first), "last": _iso(found.last)},
        "bytes": sum(int(facts.get("bytes", 0)) for name, facts in files.items() if name.startswith("data/")),
        "items": {"read": len(manifest.get("items", [])) - unread, "unread": unread},
    }


@dataclass(slots=True)
class _Pass:
    """Collects the columns of one file, batch by batch."""

    keys: tuple[str, str]
    counts: dict[str, Counter[Any]] = field(default_factory=dict)
    values: dict[str, list[npt.NDArray[Any]]] = field(default_factory=dict)
    names: list[tuple[Any, Any]] = field(default_factory=list)
    codes: list[IntArray] = field(default_factory=list)
    tiles: list[IntArray] = field(default_factory=list)
    dates: list[datetime] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch) -> None:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        self._add_strata(columns)
        placed = batch.filter(pc.is_valid(columns["x"]))
        self.tiles.append(
            np.stack([placed.column(name).to_numpy(zero_copy_only=False) for name in ("level", "x", "y")], axis=1)
        )
        for name in COUNTED:
            if name in columns:
                counts = self.counts.setdefault(name, Counter())
                counts.update({e["values"].as_py(): e["counts"].as_py() for e in columns[name].value_counts()})
        for name in MEASURED:
            if name in columns:
                values = columns[name].drop_null().to_numpy(zero_copy_only=False)
                self.values.setdefault(name, []).append(values.astype(np.float32))
        if "acquired_at" in columns and columns["acquired_at"].null_count < len(batch):
            span = pc.min_max(columns["acquired_at"]).as_py()
            self.dates += [span["min"], span["max"]]
        if "bbox" in columns and len(box := columns["bbox"].drop_null()):
            lows = [pc.min(box.field(side)).as_py() for side in ("xmin", "ymin")]
            self.boxes.append([*lows, *(pc.max(box.field(side)).as_py() for side in ("xmax", "ymax"))])

    def _add_strata(self, columns: Mapping[str, pa.Array]) -> None:
        """Number each pair of values of the two key columns, in the order in which pairs first appear."""
        first, second = (columns[key].dictionary_encode("encode") for key in self.keys)
        width = len(second.dictionary) + 1
        pairs = first.indices.to_numpy(zero_copy_only=False) * width + second.indices.to_numpy(zero_copy_only=False)
        present, position = np.unique(pairs, return_inverse=True)
        numbers = np.empty(len(present), np.int32)
        for at, pair in enumerate(present.tolist()):
            name = (first.dictionary[pair // width].as_py(), second.dictionary[pair % width].as_py())
            if name not in self.names:
                self.names.append(name)
            numbers[at] = self.names.index(name)
        self.codes.append(numbers[position])

    def all_codes(self) -> IntArray:
        return _joined(self.codes, np.int32)

    def all_tiles(self) -> IntArray:
        return _joined(self.tiles, np.int32).reshape(-1, 3)


def _joined(parts: list[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.empty(0, dtype)


def _accounting(found: Collected) -> dict[str, Any]:
    counts = found.manifest["counts"]
    dropped, failed = found.rejected("dropped"), found.rejected("failed")
    planned, kept = int(counts["planned"]), int(counts["kept"])
    agree = kept == found.rows and counts.get("dropped", {}) == dropped and counts.get("failed", {}) == failed
    return {
        "planned": planned,
        "kept": kept,
        "dropped": dropped,
        "failed": failed,
        "balanced": agree and planned == kept + sum(dropped.values()) + sum(failed.values()),
    }


def _plain(counts: Counter[Any]) -> dict[str, int]:
    """Order counts by value where values are numbers, else by falling count; JSON has text keys only."""
    numeric = all(isinstance(value, int) for value in counts)
    ordered = sorted(counts.items(), key=(lambda e: e[0]) if numeric else (lambda e: (-e[1], str(e[0]))))
    return {"not stated" if value is None else str(value): int(count) for value, count in ordered}


def _quantiles(values: npt.NDArray[np.float32]) -> dict[str, float]:
    numbers = np.quantile(values.astype(np.float64), list(QUANTILES.values()))
    found = {name: float(number) for name, number in zip(QUANTILES, numbers, strict=True)}
    return {"count": len(values), "mean": float(values.mean(dtype=np.float64)), **found}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
