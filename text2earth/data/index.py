"""Which rows there are to train on: a scan of the columns of a dataset, never of its images.

Three forms are understood: a dataset folder of ``git10m build`` (``DIR/data/{split}-*.parquet`` beside
``DIR/manifest.json``), any other folder, file or glob of parquet with the same columns, and Git-10M's own seven
columns, whose level is read from ``Google_location`` or, in its older form, from the prefix of ``text``.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from text2earth.errors import ShardError

__all__ = ["Credit", "DatasetIdentity", "RowFilter", "RowGroup", "ShardIndex", "scan"]

_NOT_SHARDS = {"index.parquet", "rejected.parquet"}


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows to keep.

    Args:
        split: Split to train on; a set without a ``split`` column is all ``"train"``.
        levels: Levels of the rows, before any view; empty keeps all. 0 is the unknown resolution.
        min_quality: Least ``img_quality_score``; a row without a score is left out if it is given.
    """

    split: str = "train"
    levels: tuple[int, ...] = ()
    min_quality: float | None = None


@dataclass(frozen=True, slots=True, order=True)
class Credit:
    """Whose imagery it is."""

    source_id: str
    licence: str
    attribution: str


@dataclass(frozen=True, slots=True)
class DatasetIdentity:
    """What a model card says of its training data.

    Args:
        name: From the manifest, else of the folder.
        version: From the manifest, else ``""``.
        fingerprint: The manifest's, else a hash of the files' names, sizes and rows.
        rows: Rows that pass the filter.
        levels: Rows of each level.
        credits: Every source, its licence and its credit line.
        synthetic: Whether any row's pixels were computed, not observed.
    """

    name: str
    version: str
    fingerprint: str
    rows: int
    levels: tuple[tuple[int, int], ...]
    credits: tuple[Credit, ...]
    synthetic: bool


@dataclass(frozen=True, slots=True)
class RowGroup:
    """The rows of one row group that pass the filter.

    Args:
        file: Number of the file.
        number: Number of the row group in it.
        rows: Rows in the group, ascending, int32 (n,).
        levels: Their levels, int16 (n,).
    """

    file: int
    number: int
    rows: npt.NDArray[np.int32]
    levels: npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Rows to train on, by file and row group."""

    files: tuple[Path, ...]
    groups: tuple[RowGroup, ...]
    caption_column: str
    identity: DatasetIdentity

    @property
    def rows(self) -> int:
        """Number of rows of an epoch."""
        return self.identity.rows

    def read_group(self, group: int) -> pa.Table:
        """Read images, names and captions of a row group (all its rows, kept or not)."""
        place = self.groups[group]
        with pq.ParquetFile(self.files[place.file]) as file:
            names = set(file.schema_arrow.names)
            wanted = [name for name in ("image", "img_name", self.caption_column) if name in names]
            return file.read_row_group(place.number, columns=wanted)

    def captions(self) -> Iterable[str]:
        """Yield the caption of every kept row, in file order."""
        for place in self.groups:
            with pq.ParquetFile(self.files[place.file]) as file:
                column = file.read_row_group(place.number, columns=[self.caption_column])[self.caption_column]
                yield from (caption or "" for caption in column.take(pa.array(place.rows)).to_pylist())

    def name_in(self, record: dict[str, Any], group: int, row: int) -> str:
        """Return the ``img_name`` of a record that was read, else its place."""
        return str(record.get("img_name") or self.name_of(group, row))

    def name_of(self, group: int, row: int) -> str:
        """Return where a row stands, as file, row group and row."""
        place = self.groups[group]
        return f"{self.files[place.file].name}, row group {place.number}, row {row}"


def scan(path: str, *, rows: RowFilter) -> ShardIndex:
    """Find the rows of a dataset that pass a filter.

    Args:
        path: Dataset folder, folder, file or glob of parquet.
        rows: The filter.

    Raises:
        ShardError: If there is no parquet file, a file lacks image or caption, or no row passes.
    """
    root, files = _find_files(path, split=rows.split)
    groups: list[RowGroup] = []
    credits: set[Credit] = set()
    captions: set[str] = set()
    synthetic, digest = False, hashlib.sha256()
    for number, name in enumerate(files):
        with _open(name) as file:
            captions.add(_caption_column(file, name))
            digest.update(f"{name.name} {name.stat().st_size} {file.metadata.num_rows}\n".encode())
            for group in range(file.num_row_groups):
                table = _columns(file, group)
                kept = _kept(table, rows)
                credits |= _credits(table)
                synthetic = synthetic or _any_true(table, "synthetic")
                if len(kept):
                    groups.append(RowGroup(number, group, kept, _levels(table)[kept]))
    if len(captions) != 1:
        raise ShardError(f"{path}: some files hold 'caption' and some 'text'; train on one form at a time")
    counts = _level_counts(groups)
    total = sum(count for _, count in counts)
    if not total:
        raise ShardError(f"no row of {path} passes the filter {rows}; loosen it or look at 'git10m stats'")
    manifest = _manifest(root)
    identity = DatasetIdentity(
        name=str(manifest.get("name") or root.name),
        version=str(manifest.get("version") or ""),
        fingerprint=str(manifest.get("fingerprint") or digest.hexdigest()),
        rows=total,
        levels=counts,
        credits=tuple(sorted(credits)),
        synthetic=synthetic,
    )
    return ShardIndex(tuple(files), tuple(groups), captions.pop(), identity)


def _find_files(path: str, *, split: str) -> tuple[Path, list[Path]]:
    """Return the folder that names the dataset, and its shards in order."""
    root = Path(path)
    if (root / "data").is_dir():
        files = sorted((root / "data").glob(f"{split}-*.parquet"))
        expected = f"{root / 'data'}/{split}-*.parquet"
    elif root.is_dir():
        files = sorted(file for file in root.rglob("*.parquet") if file.name not in _NOT_SHARDS)
        expected = f"{root}/**/*.parquet"
    elif root.is_file():
        files, expected, root = [root], path, root.parent
    else:
        files, expected = [Path(name) for name in sorted(glob.glob(path, recursive=True))], path  # noqa: PTH207
        root = files[0].parent if files else root
    if not files:
        raise ShardError(f"{path} was given as dataset, but there is no file {expected}; build it with 'git10m build'")
    return root, files


def _open(name: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(name)
    except (OSError, pa.ArrowInvalid) as error:
        raise ShardError(f"{name} is not a readable parquet file ({error}); build or fetch it again") from error


def _caption_column(file: pq.ParquetFile, name: Path) -> str:
    found = set(file.schema_arrow.names)
    for column in ("caption", "text"):
        if {"image", column} <= found:
            return column
    raise ShardError(f"{name} has the columns {sorted(found)}; 'image' and 'caption' (or 'text') are needed")


def _columns(file: pq.ParquetFile, group: int) -> pa.Table:
    """Read what a row is chosen and credited by."""
    wanted = {"level", "Google_location", "text", "split", "img_quality_score", "sources"}
    wanted |= {"source_id", "licence", "attribution", "synthetic"}
    return file.read_row_group(group, columns=[name for name in file.schema_arrow.names if name in wanted])


def _levels(table: pa.Table) -> npt.NDArray[np.int16]:
    """Return the level of every row, 0 where it is not known."""
    if "level" in table.column_names:
        levels = table["level"]
    elif "Google_location" in table.column_names:
        levels = _first_number(table["Google_location"].cast(pa.string()), r"^(?P<level>\d{1,2})_\d+_\d+$")
    elif "text" in table.column_names:
        levels = _first_number(table["text"].cast(pa.string()), r"^\s*(?P<level>\d{1,2})_GOOGLE_LEVEL_")
    else:
        return np.zeros(table.num_rows, dtype=np.int16)
    return np.asarray(pc.fill_null(levels.cast(pa.int16()), 0).to_numpy(), dtype=np.int16)


def _first_number(texts: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.struct_field(pc.extract_regex(texts, pattern), "level").cast(pa.int16())


def _kept(table: pa.Table, rows: RowFilter) -> npt.NDArray[np.int32]:
    """Return the numbers of the rows that pass."""
    keep = np.ones(table.num_rows, dtype=bool)
    if rows.levels:
        keep &= np.isin(_levels(table), rows.levels)
    if "split" in table.column_names:
        keep &= pc.fill_null(pc.equal(table["split"], rows.split), False).to_numpy()
    elif rows.split != "train":
        keep[:] = False
    if rows.min_quality is not None:
        if "img_quality_score" not in table.column_names:
            raise ShardError("min_quality was given, but the rows have no img_quality_score; leave it out")
        keep &= pc.fill_null(pc.greater_equal(table["img_quality_score"], rows.min_quality), False).to_numpy()
    return np.flatnonzero(keep).astype(np.int32)


def _credits(table: pa.Table) -> set[Credit]:
    """Return whose imagery a row group holds, small shares of mosaics included."""
    found: set[Credit] = set()
    if {"source_id", "licence", "attribution"} <= set(table.column_names):
        distinct = table.select(["source_id", "licence", "attribution"])
        found |= _distinct(distinct)
    if "sources" in table.column_names:
        parts = pc.list_flatten(table["sources"].combine_chunks())
        fields = {name: pc.struct_field(parts, name) for name in ("source_id", "licence", "attribution")}
        found |= _distinct(pa.table(fields))
    return found


def _distinct(table: pa.Table) -> set[Credit]:
    rows = table.group_by(table.column_names).aggregate([]).to_pylist()
    return {Credit(*(str(row[name] or "") for name in ("source_id", "licence", "attribution"))) for row in rows}


def _any_true(table: pa.Table, column: str) -> bool:
    return column in table.column_names and bool(pc.any(table[column]).as_py())


def _level_counts(groups: list[RowGroup]) -> tuple[tuple[int, int], ...]:
    if not groups:
        return ()
    levels, counts = np.unique(np.concatenate([group.levels for group in groups]), return_counts=True)
    return tuple(zip(levels.tolist(), counts.tolist(), strict=True))


def _manifest(root: Path) -> dict[str, Any]:
    name = root / "manifest.json"
    if not name.is_file():
        return {}
    found: dict[str, Any] = json.loads(name.read_text(encoding="utf-8"))
    return found
