"""Counts and distributions of a finished dataset, from its small files alone."""

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

from git10m import records
from git10m.captions.rates import COLUMNS, GROUPS, Rate, hallucination_rates
from git10m.errors import DatasetError
from git10m.publish import SPLITS, read_manifest
from git10m.report.footprints import Footprints
from git10m.report.story import passes, steps
from git10m.report.tally import Facets, Sampler, Spread
from git10m.report.wording import WordingTally

__all__ = ["COUNTED", "FACETS", "MEASURED", "Collected", "check_of", "collect", "open_table", "summarise", "summary_of"]

FACETS = ("level", "source_id", "split", "licence", "class", "caption_source", "flags")
"""What rows are counted by, each alone and all together. ``class`` is the land cover of the largest share, ``flags``
says whether the caption was checked and found ``clean`` or ``flagged``."""

COUNTED = (*FACETS, "enhanced", "year")
"""What rows are counted by alone."""

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
    "aesthetic_score",
    "similarity_clip",
    "similarity_siglip",
)
"""Columns of the index whose distribution is told."""

QUANTILES = {"min": 0.0, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
TILES, REFUSALS = 240, 160
"""Rows and rejections that are drawn for the gallery."""
REMEMBERED = 262_144
"""Values of a column from which quantiles are taken; of a longer one every second, third … is remembered."""
READ_CAPTIONS = 50_000
"""Captions that are read word by word, spread evenly."""
_BATCH_ROWS = 32_768


@dataclass(slots=True)
class Collected:
    """What one pass over the columns of a dataset finds, in memory that does not grow with its rows.

    Attributes:
        manifest: The folder's ``manifest.json``.
        rows: Rows of the index.
        counts: For each of ``COUNTED``, rows by value (None: not stated).
        facets: Rows by `FACETS`.
        spreads: For each column of ``MEASURED``, its values.
        checks: Rows whose caption a check flagged, by check.
        rates: Captions that could be held against facts, and those that contradict them, by (group, name).
        wording: Of the captions.
        cells: Where rows are.
        chosen: Rows for the gallery, evenly over levels, sources, splits and what checks say, else at random.
        reasons: Rejections by (verdict, reason).
        refused: Where planned tiles are that did not become rows.
        chosen_refusals: Rejections for the gallery, evenly over verdicts and reasons, else at random.
        first, last: Earliest and latest acquisition.
        bounds: (west, south, east, north) in degrees of all rows with a place.
    """

    manifest: dict[str, Any]
    rows: int
    counts: dict[str, Counter[Any]]
    facets: Facets
    spreads: dict[str, Spread]
    checks: Counter[str]
    rates: dict[tuple[str, str], Rate]
    wording: WordingTally
    cells: Footprints
    chosen: list[int]
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Footprints = field(default_factory=Footprints)
    chosen_refusals: list[int] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None
    bounds: tuple[float, float, float, float] | None = None

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


def collect(folder: Path, *, seed: int = 0) -> Collected:
    """Read what reports need of a dataset in one pass over the index and one over the rejections.

    Memory does not grow with the rows; images are not touched.

    Args:
        folder: Finished dataset folder.
        seed: Of the draw of rows and rejections for the gallery.

    Raises:
        DatasetError: If the folder is no finished dataset.
    """
    manifest = read_manifest(folder)
    with open_table(folder, "index.parquet") as file:
        found = _IndexPass(file.metadata.num_rows, seed=seed)
        _read(file, found.add, {**_types(records.Row), "file": pa.string()}, _INDEX_COLUMNS)
    collected = found.collected(manifest)
    sampler = Sampler(REFUSALS, seed=seed)
    facets = Facets(("verdict", "reason"))

    def add(columns: dict[str, pa.Array]) -> None:
        sampler.add(facets.add({name: columns[name] for name in facets.names}))
        collected.refused.add(_tiles(columns)[0])

    with open_table(folder, "rejected.parquet") as file:
        _read(file, add, _types(records.Rejection), ("level", "x", "y", "verdict", "reason"))
    collected.reasons.update({(verdict, reason): count for (verdict, reason), count in facets.crossed().items()})
    collected.chosen_refusals = sampler.chosen()
    return collected


def summarise(folder: Path) -> dict[str, Any]:
    """Return counts and distributions of a dataset as plain values, ready for JSON.

    Keys: ``name``, ``version``, ``synthetic``, ``fingerprint``; ``accounting`` (planned, kept, dropped, failed by
    reason, ``balanced``: whether planned = kept + dropped + failed, the files holding just as many, ``passes`` and
    ``steps``: the same by pass and by step of the build); ``counts`` (rows by value of the columns in ``COUNTED``);
    ``quantiles`` (of the columns in ``MEASURED`` that have values); ``captions`` (rows with one, figures of the texts
    by caption source and by source); ``checks`` (captions checked and flagged, by check, and rates of
    `captions.rates`); ``requests`` (what was asked of servers for captions, with its cost; null: nothing); ``bounds``
    in degrees; ``acquired`` (first and last, ISO 8601); ``bytes`` of the shards; ``items`` (read, unread).

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
        "quantiles": {name: _quantiles(spread) for name, spread in found.spreads.items() if spread.count},
        "captions": _captions(found),
        "checks": _checks(found),
        "requests": (manifest.get("captions") or {}).get("requests"),
        "bounds": found.bounds,
        "acquired": {"first": _iso(found.first), "last": _iso(found.last)},
        "bytes": sum(int(facts.get("bytes", 0)) for name, facts in files.items() if name.startswith("data/")),
        "items": {"read": len(manifest.get("items", [])) - unread, "unread": unread},
    }


def check_of(flag: str) -> str:
    """Return the check that a flag of a caption is of."""
    return flag.partition(":")[0].strip()


_INDEX_COLUMNS = (
    *("level", "x", "y", "source_id", "split", "licence", "caption_source", "acquired_at", "bbox"),
    *("caption", "caption_facts", "caption_flags", "enhanced"),
    *MEASURED,
)


class _IndexPass:
    """Collects the columns of the index, batch by batch."""

    def __init__(self, rows: int, *, seed: int) -> None:
        self.rows = rows
        self.facets = Facets(FACETS)
        self.further = Facets(("enhanced", "year"))
        self.spreads = {name: Spread(-(-rows // REMEMBERED) or 1) for name in MEASURED}
        self.checks: Counter[str] = Counter()
        self.rates: dict[tuple[str, str], Rate] = {}
        self.wording = WordingTally(-(-rows // READ_CAPTIONS) or 1)
        self.cells = Footprints()
        self.sampler = Sampler(TILES, seed=seed)
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.box: tuple[float, float, float, float] | None = None

    def add(self, columns: dict[str, pa.Array]) -> None:
        given = {
            **columns,
            "class": _largest_cover(columns["caption_facts"]),
            "flags": _state(columns["caption_flags"]),
        }
        combined = self.facets.add({name: given[name] for name in FACETS})
        self.further.add({"enhanced": columns["enhanced"], "year": pc.year(columns["acquired_at"])})
        # Licences, classes and writers would share the few pictures out too thinly.
        strata = np.zeros_like(combined)
        for name in ("level", "source_id", "split", "flags"):
            strata = strata << 8 | self.facets.code(name, combined)
        self.sampler.add(strata)
        tiles, placed = _tiles(columns)
        splits = np.array([_split_number(name) for name in self.facets.values("split")] or [3], np.int64)
        self.cells.add(
            tiles,
            source=self.facets.code("source_id", combined)[placed],
            split=splits[np.minimum(self.facets.code("split", combined)[placed], len(splits) - 1)],
        )
        for name in MEASURED:
            self.spreads[name].add(columns[name].cast(pa.float64()).to_numpy(zero_copy_only=False))
        self.wording.add(columns["caption"], by={name: columns[name] for name in ("caption_source", "source_id")})
        self._add_checks(given)
        self._add_extent(columns)

    def _add_checks(self, columns: Mapping[str, pa.Array]) -> None:
        flagged = pc.fill_null(pc.greater(pc.list_value_length(columns["caption_flags"]), 0), False)
        for flags in columns["caption_flags"].filter(flagged).to_pylist():
            self.checks.update({check_of(flag) for flag in flags if flag})
        for rate in hallucination_rates([pa.table({name: columns[name] for name in COLUMNS})]):
            key = rate.group, rate.name
            before = self.rates.get(key, Rate(*key, 0, 0))
            self.rates[key] = Rate(*key, before.verifiable + rate.verifiable, before.contradicted + rate.contradicted)

    def _add_extent(self, columns: Mapping[str, pa.Array]) -> None:
        span = pc.min_max(columns["acquired_at"]).as_py()
        if span["min"] is not None:
            self.first = min(span["min"], self.first or span["min"])
            self.last = max(span["max"], self.last or span["max"])
        box = columns["bbox"].drop_null()
        if len(box):
            here = [pc.min(box.field(side)).as_py() for side in ("xmin", "ymin")]
            here += [pc.max(box.field(side)).as_py() for side in ("xmax", "ymax")]
            west, south, east, north = self.box or here
            self.box = min(west, here[0]), min(south, here[1]), max(east, here[2]), max(north, here[3])

    def collected(self, manifest: dict[str, Any]) -> Collected:
        return Collected(
            manifest=manifest,
            rows=self.rows,
            counts={**self.facets.counts, **self.further.counts},
            facets=self.facets,
            spreads=self.spreads,
            checks=self.checks,
            rates=self.rates,
            wording=self.wording,
            cells=self.cells,
            chosen=self.sampler.chosen(),
            first=self.first,
            last=self.last,
            bounds=self.box,
        )


def _types(record: type[records.Row] | type[records.Rejection]) -> dict[str, pa.DataType]:
    return {name: column.type for name, column in records.columns(record).items()}


def _read(file: pq.ParquetFile, add: Any, types: Mapping[str, pa.DataType], names: tuple[str, ...]) -> None:
    """Give the columns of a file on, batch by batch; those that an older file lacks are null."""
    present = [name for name in names if name in file.schema_arrow.names]
    for batch in file.iter_batches(columns=present, batch_size=_BATCH_ROWS):
        if len(batch):
            wanted = pa.schema([(name, types[name]) for name in names])
            table = records.conformed(pa.Table.from_batches([batch]), wanted).combine_chunks()
            add({name: table[name].chunk(0) for name in names})


def _tiles(columns: Mapping[str, pa.Array]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return (tiles, 3) level, x, y of the rows that have a place, and which rows these are."""
    placed = pc.and_(columns["x"].is_valid(), pc.greater(columns["level"], 0)).to_numpy(zero_copy_only=False)
    parts = [columns[name].fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64) for name in ("level", "x", "y")]
    return np.stack(parts, axis=1)[placed], placed


def _split_number(name: str | None) -> int:
    return SPLITS.index(name) if name in SPLITS else len(SPLITS)


def _largest_cover(facts: pa.Array) -> pa.Array:
    """Return the name of the land cover with the largest share of each row; null where nothing is known."""
    covers = pc.struct_field(facts, "land_cover")
    lengths = pc.fill_null(pc.list_value_length(covers), 0).to_numpy(zero_copy_only=False)
    known = np.flatnonzero(lengths > 0)
    names, shares = (pc.struct_field(pc.list_flatten(covers), part) for part in ("name", "share"))
    starts = np.cumsum(lengths) - lengths
    weight = shares.fill_null(0).to_numpy(zero_copy_only=False)
    # They come by falling share; whoever writes them otherwise gets the largest all the same.
    order = np.lexsort((np.arange(len(weight)), -weight, np.repeat(np.arange(len(lengths)), lengths)))
    at = np.full(len(lengths), -1, np.int64)
    at[known] = order[starts[known]]
    return names.take(pa.array(at, mask=at < 0))


def _state(flags: pa.Array) -> pa.Array:
    """Return whether captions were checked and found clean or flagged; null: not checked."""
    lengths = pc.list_value_length(flags)
    return pc.if_else(pc.greater(lengths, 0), "flagged", pc.if_else(pc.equal(lengths, 0), "clean", None))


def _accounting(found: Collected) -> dict[str, Any]:
    counts = found.manifest["counts"]
    dropped, failed = found.rejected("dropped"), found.rejected("failed")
    planned, kept = int(counts["planned"]), int(counts["kept"])
    agree = kept == found.rows and counts.get("dropped", {}) == dropped and counts.get("failed", {}) == failed
    accounting = {
        "planned": planned,
        "kept": kept,
        "dropped": dropped,
        "failed": failed,
        "balanced": agree and planned == kept + sum(dropped.values()) + sum(failed.values()),
    }
    return {**accounting, "passes": passes(accounting), "steps": steps(accounting)}


def _captions(found: Collected) -> dict[str, Any]:
    by = {
        name: {value: each.as_json() for value, each in found.wording.of(name).items()}
        for name in ("caption_source", "source_id")
    }
    return {"rows": sum(each["captions"] for each in by["source_id"].values()), **by}


def _checks(found: Collected) -> dict[str, Any]:
    """Return how many captions were checked and flagged, and the rates of those that facts do not bear out."""
    state = found.counts["flags"]
    rates = sorted(found.rates.values(), key=lambda rate: (GROUPS.index(rate.group), -rate.verifiable, rate.name))
    return {
        "checked": sum(count for value, count in state.items() if value is not None),
        "flagged": state["flagged"],
        "by_check": dict(sorted(found.checks.items(), key=lambda entry: (-entry[1], entry[0]))),
        "hallucination": [rate.as_json() for rate in rates if rate.verifiable],
    }


def _plain(counts: Counter[Any]) -> dict[str, int]:
    """Order counts by value where values are numbers, else by falling count; JSON has text keys only."""
    numeric = all(value is None or isinstance(value, int) for value in counts)
    rising = sorted(counts.items(), key=lambda e: (e[0] is None, e[0] or 0)) if numeric else None
    ordered = rising or sorted(counts.items(), key=lambda e: (-e[1], _text(e[0])))
    return {_text(value): int(count) for value, count in ordered}


def _text(value: Any) -> str:
    return "not stated" if value is None else str(value)


def _quantiles(spread: Spread) -> dict[str, float]:
    numbers = np.quantile(spread.values().astype(np.float64), list(QUANTILES.values()))
    found = {name: float(number) for name, number in zip(QUANTILES, numbers, strict=True)}
    return {"count": spread.count, "mean": spread.mean, **found, "min": spread.least, "max": spread.largest}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
