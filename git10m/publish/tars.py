"""Export to WebDataset: tars of images as they are stored, captions as text and all other columns as JSON.

A tar holds the row groups that a plan gives it, in their order, with headers that tell nothing of the machine: the same
dataset gives the same bytes. A sample's key is its number in the dataset and what is readable of its file name; keys
have no dot, for readers take all behind the first one for the kind of file.
"""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from git10m import records
from git10m.errors import VerificationError
from git10m.publish.selection import Selection
from git10m.publish.survey import batches
from git10m.publish.witnesses import witnesses
from git10m.shards import atomic_file

__all__ = ["MOST_BYTES", "Tar", "features", "plan_tars", "write_tar"]

MOST_BYTES = 2**30
"""Of the images of one tar; a row group is never cut, so a tar can pass it by one."""
_OTHER_BYTES = 4_000
"""Of a sample beside its image: two headers, a caption, the JSON."""
_KEY_CHARACTERS = 60
_ENDINGS = ("jpg", "png", "webp")
_NOT_THERE = 255
_AT_ONCE = 100
"""Rows that are Python objects at a time: some MB of images."""


@dataclass(frozen=True, slots=True)
class Tar:
    """What goes into one tar.

    Attributes:
        name: Of the file, ``"data/train-000000.tar"``.
        ending: Of its images, ``"jpg"``: readers want all samples of a tar alike.
        parts: (shard, row group, number of its first row in the dataset), in order.
        first: (shard, row in it, number in the dataset) of the rows that stand before all others.
        moved: (shard, row) of rows that stand first, in this tar or another, and nowhere else.
    """

    name: str
    ending: str
    parts: tuple[tuple[str, int, int], ...]
    first: tuple[tuple[str, int, int], ...] = ()
    moved: frozenset[tuple[str, int]] = frozenset()


def plan_tars(selection: Selection, *, most_bytes: int = MOST_BYTES) -> list[Tar]:
    """Divide the published rows into tars, by split and by kind of image.

    Args:
        selection: What is published.
        most_bytes: Images of a tar, about.
    """
    codes = _endings(selection)
    filling: dict[tuple[str, str], list[list[tuple[str, int, int]]]] = {}
    weight: dict[tuple[str, str], float] = {}
    first, every, begins = 0, set(), dict[str, int]()
    for shard in selection.names:
        begins[shard] = first
        split = PurePosixPath(shard).name.split("-")[0]
        for group, start, rows, size in _groups(selection.folder / shard):
            for code in np.unique(codes[shard][start : start + rows]).tolist():
                if code == _NOT_THERE:
                    continue
                every.add(_ENDINGS[code])
                key = (split, _ENDINGS[code])
                if key not in filling or weight[key] + size > most_bytes:
                    filling.setdefault(key, []).append([])
                    weight[key] = 0.0
                filling[key][-1].append((shard, group, first + start))
                weight[key] += size
        first += len(codes[shard])
    index = selection.folder / "index.parquet"
    leading = {
        (split, _ENDINGS[kind]): tuple((each.shard, each.row, begins[each.shard] + each.row) for each in found)
        for (split, kind), found in witnesses(index, without=selection.refused, kinds=codes).items()
    }
    moved = frozenset((shard, row) for rows in leading.values() for shard, row, _ in rows)
    return [
        Tar(
            f"data/{split}-{f'{ending}-' if len(every) > 1 else ''}{number:06d}.tar",
            ending,
            tuple(parts),
            first=leading.get((split, ending), ()) if number == 0 else (),
            moved=moved,
        )
        for (split, ending), tars in filling.items()
        for number, parts in enumerate(tars)
    ]


def write_tar(selection: Selection, tar: Tar, path: Path) -> int:
    """Write one tar, a row group at a time; returns its samples."""
    samples = 0
    with atomic_file(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for key, row in _rows(selection, tar):
            for ending, content in _members(row, tar.ending):
                _add(archive, f"{key}.{ending}", content)
            samples += 1
    return samples


def features(schema: pa.Schema, ending: str) -> list[dict[str, Any]]:
    """Return the columns that ``datasets`` makes of a tar, in the form that a card's ``dataset_info`` has."""
    parts = [_feature(field.name, _json_type(field.type)) for field in schema if field.type != records.IMAGE]
    further = [f"{field.name.removeprefix('image_')}.png" for field in schema
               if field.type == records.IMAGE and field.name != "image"]  # fmt: skip
    return [
        {"name": ending, "dtype": "image"},
        *({"name": name, "dtype": "image"} for name in further),
        {"name": "txt", "dtype": "string"},
        {"name": "json", "struct": parts},
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
    ]


def _endings(selection: Selection) -> dict[str, npt.NDArray[np.uint8]]:
    """Return the kind of image of each row of each shard, `_NOT_THERE` for one that is not published."""
    sizes = {shard: pq.read_metadata(selection.folder / shard).num_rows for shard in selection.names}
    found = {shard: np.full(rows, _NOT_THERE, np.uint8) for shard, rows in sizes.items()}
    for table in batches(selection.folder / "index.parquet", ["img_name", "file", "row"], without=selection.refused):
        entries = zip(*(table[name].to_pylist() for name in ("img_name", "file", "row")), strict=True)
        for name, shard, row in entries:
            found[shard][row] = _ENDINGS.index(_ending(name))
    return found


def _groups(path: Path) -> Iterator[tuple[int, int, int, int]]:
    """Yield (row group, its first row, rows, bytes that it will have in a tar)."""
    with pq.ParquetFile(path) as file:
        start = 0
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            yield number, start, group.num_rows, _image_bytes(group) + _OTHER_BYTES * group.num_rows
            start += group.num_rows


def _ending(name: str) -> str:
    ending = PurePosixPath(name).suffix.lower().removeprefix(".")
    return ending if ending in _ENDINGS else "jpg"


def _image_bytes(group: Any) -> int:
    columns = (group.column(i) for i in range(group.num_columns))
    return sum(column.total_compressed_size for column in columns if column.path_in_schema.endswith(".bytes"))


def _rows(selection: Selection, tar: Tar) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, row) of the published rows of a tar whose image has its ending; those that stand first, first."""
    for shard, at, number in tar.first:
        row = _row(selection.folder / shard, at)
        yield _key(number, row["img_name"]), row
    for shard, group, first in tar.parts:
        with pq.ParquetFile(selection.folder / shard) as file:
            start = sum(file.metadata.row_group(i).num_rows for i in range(group))
            table = file.read_row_group(group)
        mask = selection.kept.get(shard)
        kept = np.ones(table.num_rows, bool) if mask is None else mask[start : start + table.num_rows]
        for begin in range(0, table.num_rows, _AT_ONCE):
            rows = table.slice(begin, _AT_ONCE).to_pylist()
            for at, row in enumerate(rows, start=begin):
                wanted = kept[at] and _ending(row["img_name"]) == tar.ending
                if wanted and (shard, start + at) not in tar.moved:
                    yield _key(first + at, row["img_name"]), row


def _row(path: Path, at: int) -> dict[str, Any]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if at < rows:
                found: dict[str, Any] = file.read_row_group(group).slice(at, 1).to_pylist()[0]
                return found
            at -= rows
    raise VerificationError(f"{path}: has no row {at}; build the dataset again")


def _key(number: int, name: str) -> str:
    """Return a key that is unique by its number and safe as a file name on every system."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", PurePosixPath(name).stem).strip("-_")[:_KEY_CHARACTERS]
    return f"{number:09d}_{readable}" if readable else f"{number:09d}"


def _members(row: dict[str, Any], ending: str) -> Iterator[tuple[str, bytes]]:
    image = row.pop("image") or {}
    yield ending, image.get("bytes") or b""
    for name in [name for name, value in row.items() if name.startswith("image_")]:
        further = row.pop(name) or {}
        yield f"{name.removeprefix('image_')}.{_ending(further.get('path') or 'x.png')}", further.get("bytes") or b""
    yield "txt", (row["caption"] or "").encode()
    yield "json", json.dumps(_plain(row), ensure_ascii=False, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _json_type(type_: pa.DataType) -> pa.DataType:
    """Return the type that a column has once it went through JSON."""
    if pa.types.is_struct(type_):
        return pa.struct([(field.name, _json_type(field.type)) for field in type_])
    if pa.types.is_list(type_):
        return pa.list_(_json_type(type_.value_type))
    if pa.types.is_binary(type_) or pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return pa.string()
    return type_


def _feature(name: str, type_: pa.DataType) -> dict[str, Any]:
    if pa.types.is_struct(type_):
        return {"name": name, "struct": [_feature(field.name, field.type) for field in type_]}
    if pa.types.is_list(type_):
        inner = _feature("", type_.value_type)
        inner.pop("name")
        return {"name": name, "list": inner["struct"] if "struct" in inner else inner["dtype"]}
    return {"name": name, "dtype": records.huggingface_metadata({name: type_})["info"]["features"][name]["dtype"]}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size, header.mtime, header.mode = len(content), 0, 0o644
    archive.addfile(header, io.BytesIO(content))
