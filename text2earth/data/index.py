"""Which rows there are to train on: a scan of the columns of a dataset, never of its images.

Understood are a dataset folder of ``git10m build`` (``DIR/data/{split}-*.parquet`` beside ``DIR/manifest.json``), any
other folder, file or glob of parquet or Arrow with the same columns, and Git-10M's own columns, whose level is read
from ``Google_location``, else from ``resolution``, or, in its older form, from the prefix of ``text``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from text2earth.data.credits import Credit, DatasetIdentity, credits_of, joint_identity
from text2earth.data.files import ShardFile, find_shards, read_json
from text2earth.data.filters import RowFilter, columns_of, kept
from text2earth.data.formats import Shard, open_shard
from text2earth.data.index_cache import SavedIndex, index_key, load_index, save_index
from text2earth.errors import ShardError

__all__ = ["CAPTION_COLUMNS", "MixedSet", "ShardIndex", "mixture", "scan"]

CAPTION_COLUMNS = ("caption", "text")
"""Where a caption stands: in the first of these that a file has."""
_ALWAYS = ("level", "split", "img_quality_score", "sources", "source_id", "licence", "attribution", "synthetic")
_PLACES = ("Google_location", "resolution")
_READERS = 8
"""Files whose columns are read at once."""


@dataclass(frozen=True, slots=True)
class MixedSet:
    """One dataset of a mixture.

    Args:
        groups: Groups of rows up to the end of this dataset.
        weight: Its share of the draws, relative to the others'; None leaves each to its number of rows.
    """

    groups: int
    weight: float | None


@dataclass(frozen=True, slots=True, eq=False)
class ShardIndex:
    """Rows to train on, by file and group of rows (a row group, or a record batch).

    Args:
        files: Every file.
        group_file: Number of each group's file, int32 (G,).
        group_number: Number of each group in its file, int64 (G,).
        ends: End of each group's rows in the two arrays that follow, int64 (G,).
        row: Rows that pass the filter, within their groups, ascending, uint32 (N,).
        level: Their levels, 0 where not known, uint8 (N,).
        sets: Datasets that are mixed, in order; one alone has no weight.
        identity: What a card says of them.
        temperature: T of the levels' balance; each is drawn in proportion to its rows to the power 1/T.
    """

    files: tuple[ShardFile, ...]
    group_file: npt.NDArray[np.int32]
    group_number: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    row: npt.NDArray[np.uint32]
    level: npt.NDArray[np.uint8]
    sets: tuple[MixedSet, ...]
    identity: DatasetIdentity
    temperature: float = 1.0

    @property
    def rows(self) -> int:
        """Number of rows, which is the length of an epoch."""
        return self.identity.rows

    @property
    def groups(self) -> int:
        """Number of groups of rows."""
        return len(self.ends)

    def span(self, group: int) -> slice:
        """Return where a group's rows stand in ``row`` and ``level``."""
        return slice(int(self.ends[group - 1]) if group else 0, int(self.ends[group]))

    def file_of(self, group: int) -> ShardFile:
        """Return the file of a group."""
        return self.files[int(self.group_file[group])]

    def read_group(self, group: int, *, columns: Sequence[str]) -> pa.Table:
        """Read columns of a group (all its rows, kept or not); those that its file lacks are left out."""
        with open_shard(self.file_of(group).path) as shard:
            return shard.read(int(self.group_number[group]), columns=columns)

    def captions(self) -> Iterable[str]:
        """Yield the caption of every kept row, in file order."""
        for group in range(self.groups):
            table = self.read_group(group, columns=CAPTION_COLUMNS)
            column = next(table[name] for name in CAPTION_COLUMNS if name in table.column_names)
            yield from (caption or "" for caption in column.take(pa.array(self.row[self.span(group)])).to_pylist())

    def name_of(self, group: int, row: int) -> str:
        """Return where a row stands, as file, group and row."""
        return f"{self.file_of(group).name}, row group {self.group_number[group]}, row {row}"


def scan(path: str, *, rows: RowFilter) -> ShardIndex:
    """Find the rows of a dataset that pass a filter.

    What was found is kept in the user's cache and used again while no file's name, size or time has changed.

    Args:
        path: Dataset folder, folder, file or glob of parquet or Arrow; a path or an address.
        rows: The filter.

    Raises:
        ShardError: If there is no file of rows, a file lacks image or caption, or no row passes.
    """
    root, files = find_shards(path, split=rows.split)
    manifest = read_json(root, "manifest.json")
    key = index_key(files, rows, manifest)
    saved = load_index(key)
    if saved is None:
        saved = _saved(files, rows=rows)
        save_index(key, saved)
    if not saved.rows:
        raise ShardError(f"no row of {path} passes the filter ({rows}); loosen it or look at 'git10m stats'")
    identity = DatasetIdentity(
        name=str(manifest.get("name") or root.rsplit("/", 1)[-1]),
        version=str(manifest.get("version") or ""),
        fingerprint=str(manifest.get("fingerprint") or saved.fingerprint),
        rows=saved.rows,
        levels=_level_counts(saved.level),
        credits=saved.credits,
        synthetic=saved.synthetic,
    )
    return ShardIndex(
        files=tuple(files),
        group_file=saved.group_file,
        group_number=saved.group_number,
        ends=saved.ends,
        row=saved.row,
        level=saved.level,
        sets=(MixedSet(len(saved.ends), None),),
        identity=identity,
    )


def mixture(
    indexes: Sequence[ShardIndex], *, weights: Sequence[float] | None = None, temperature: float = 1.0
) -> ShardIndex:
    """Return the rows of several datasets as one, with a weight each, and the balance of their levels.

    Args:
        indexes: The datasets.
        weights: Share of each in the draws, relative to each other, above 0; without them each row weighs the same.
        temperature: At least 1. Within a dataset a level of n rows is drawn in proportion to n^(1/T): 1 leaves
            them as they are, a large T draws all levels equally often.

    Raises:
        ShardError: If there is no dataset, or a weight or the temperature is impossible.
    """
    if not indexes:
        raise ShardError("a mixture of no dataset was asked for; give at least one")
    if not temperature >= 1.0:
        raise ShardError(f"temperature {temperature} was given; it is 1 (levels as they are) or more")
    if weights is not None and (len(weights) != len(indexes) or not all(weight > 0.0 for weight in weights)):
        raise ShardError(f"weights {list(weights)} were given for {len(indexes)} datasets; each has one, above 0")
    if len(indexes) == 1:
        return replace(indexes[0], temperature=temperature)
    files, groups, rows = 0, 0, 0
    sets, parts = [], []
    for number, index in enumerate(indexes):
        groups += index.groups
        sets.append(MixedSet(groups, None if weights is None else weights[number]))
        parts.append((index.group_file + np.int32(files), index.group_number, index.ends + rows))
        files, rows = files + len(index.files), rows + index.rows
    return ShardIndex(
        files=tuple(file for index in indexes for file in index.files),
        group_file=np.concatenate([part[0] for part in parts]),
        group_number=np.concatenate([part[1] for part in parts]),
        ends=np.concatenate([part[2] for part in parts]),
        row=np.concatenate([index.row for index in indexes]),
        level=np.concatenate([index.level for index in indexes]),
        sets=tuple(sets),
        identity=joint_identity([index.identity for index in indexes], weights=weights),
        temperature=temperature,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What one file holds."""

    rows: int
    groups: list[tuple[int, npt.NDArray[np.uint32], npt.NDArray[np.uint8]]]
    credits: set[Credit]
    synthetic: bool


def _saved(files: Sequence[ShardFile], *, rows: RowFilter) -> SavedIndex:
    """Read the columns of every file."""
    digest = hashlib.sha256()
    group_file: list[int] = []
    groups: list[tuple[int, npt.NDArray[np.uint32], npt.NDArray[np.uint8]]] = []
    credits: set[Credit] = set()
    synthetic = False
    for number, (file, found) in enumerate(zip(files, _every(files, rows), strict=True)):
        digest.update(f"{file.name} {file.size} {found.rows}\n".encode())
        group_file += [number] * len(found.groups)
        groups += found.groups
        credits |= found.credits
        synthetic = synthetic or found.synthetic
    return SavedIndex(
        group_file=np.array(group_file, dtype=np.int32),
        group_number=np.array([number for number, _, _ in groups], dtype=np.int64),
        ends=np.cumsum([len(kept_rows) for _, kept_rows, _ in groups], dtype=np.int64),
        row=np.concatenate([np.empty(0, np.uint32), *(kept_rows for _, kept_rows, _ in groups)]),
        level=np.concatenate([np.empty(0, np.uint8), *(levels for _, _, levels in groups)]),
        credits=tuple(sorted(credits)),
        synthetic=synthetic,
        fingerprint=digest.hexdigest(),
    )


def _every(files: Sequence[ShardFile], rows: RowFilter) -> Iterator[_Found]:
    with ThreadPoolExecutor(_READERS) as pool:
        yield from pool.map(lambda file: _scanned(file, rows=rows), files)


def _scanned(file: ShardFile, *, rows: RowFilter) -> _Found:
    with open_shard(file.path) as shard:
        columns = _columns(shard, rows, name=file.path)
        found = _Found(0, [], set(), False)
        total, synthetic = 0, False
        try:
            for number in shard.numbers():
                table = shard.read(number, columns=columns)
                total += table.num_rows
                levels = _levels(table)
                passing = kept(table, rows, levels=levels)
                found.credits.update(credits_of(table))
                synthetic = synthetic or _any_true(table, "synthetic")
                if len(passing):
                    found.groups.append((number, passing, levels[passing]))
        except (OSError, pa.ArrowException) as error:
            raise ShardError(f"{file.path} is damaged ({error}); build or fetch it again") from error
        return replace(found, rows=total, synthetic=synthetic)


def _columns(shard: Shard, rows: RowFilter, *, name: str) -> list[str]:
    """Return what a row is chosen and credited by; refuse a file without images or captions."""
    has = set(shard.schema.names)
    if "image" not in has or not has & set(CAPTION_COLUMNS):
        raise ShardError(f"{name} has the columns {sorted(has)}; 'image' and 'caption' (or 'text') are needed")
    wanted = dict.fromkeys((*_ALWAYS, *(each for each in columns_of(rows.where) if each.split(".")[0] != "image")))
    wanted |= dict.fromkeys(f"image_{each}.path" for each in rows.images)
    if "level" not in has:
        wanted |= dict.fromkeys(_PLACES if has & set(_PLACES) else ("text",))
    return list(wanted)


def _levels(table: pa.Table) -> npt.NDArray[np.uint8]:
    """Return the level of every row, 0 where it is not known."""
    found = np.zeros(table.num_rows, dtype=np.uint8)
    if "level" in table.column_names:
        return _filled(found, table["level"])
    if "Google_location" in table.column_names:
        texts = table["Google_location"].cast(pa.string())
        found = _filled(found, _first_number(texts, r"^(?P<level>\d{1,2})_\d+_\d+$"))
    if "resolution" in table.column_names:
        halvings = pc.subtract(17.0, pc.log2(table["resolution"].cast(pa.float64())))
        known = pc.and_(pc.greater_equal(halvings, 0.5), pc.less_equal(halvings, 22.5))
        found = _filled(found, pc.round(pc.if_else(known, halvings, pa.scalar(None, pa.float64()))))
    if "text" in table.column_names and not {"Google_location", "resolution"} & set(table.column_names):
        texts = table["text"].cast(pa.string())
        found = _filled(found, _first_number(texts, r"^\s*(?P<level>\d{1,2})_GOOGLE_LEVEL_"))
    return found


def _filled(found: npt.NDArray[np.uint8], levels: Any) -> npt.NDArray[np.uint8]:
    """Take levels where none was found yet; what is no level at all stays unknown."""
    given = np.asarray(pc.fill_null(levels.cast(pa.int64()), 0))
    usable = (found == 0) & (given > 0) & (given < 256)
    return np.where(usable, given, found).astype(np.uint8)


def _first_number(texts: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.struct_field(pc.extract_regex(texts, pattern), "level").cast(pa.int16())


def _any_true(table: pa.Table, column: str) -> bool:
    return column in table.column_names and bool(pc.any(table[column]).as_py())


def _level_counts(levels: npt.NDArray[np.uint8]) -> tuple[tuple[int, int], ...]:
    counts = np.bincount(levels, minlength=1)
    return tuple((level, int(count)) for level, count in enumerate(counts) if count)
