"""What a scan found, kept in the user's cache: ten thousand shards are then opened without reading one.

An entry is one Arrow file, mapped into memory. Its name is a hash of every shard's name, size and time of change, of
the filter and of the manifest, so that an entry is never out of date; the oldest go when there are many. The folder
is ``$TEXT2EARTH_CACHE``, else ``text2earth`` in the user's cache folder; where it cannot be written, nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from text2earth.data.credits import Credit
from text2earth.data.files import ShardFile
from text2earth.data.filters import RowFilter

__all__ = ["SavedIndex", "cache_folder", "index_key", "load_index", "save_index"]

_VERSION = 1
_MOST_ENTRIES = 64
_ARRAYS = ("group_file", "group_number", "ends", "row", "level")


@dataclass(frozen=True, slots=True, eq=False)
class SavedIndex:
    """What a scan found; the arrays are those of ``ShardIndex``."""

    group_file: npt.NDArray[np.int32]
    group_number: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    row: npt.NDArray[np.uint32]
    level: npt.NDArray[np.uint8]
    credits: tuple[Credit, ...]
    synthetic: bool
    fingerprint: str

    @property
    def rows(self) -> int:
        """Number of rows that pass the filter."""
        return len(self.row)


def cache_folder() -> Path:
    """Return the folder of the cache, which need not be there."""
    given = os.environ.get("TEXT2EARTH_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "text2earth"


def index_key(files: Sequence[ShardFile], rows: RowFilter, manifest: Mapping[str, Any]) -> str:
    """Return the name of the entry of a scan."""
    digest = hashlib.sha256(f"{_VERSION} {rows} {json.dumps(manifest, sort_keys=True)}\n".encode())
    digest.update("\n".join(f"{file.path} {file.size} {file.modified_ns}" for file in files).encode())
    return digest.hexdigest()


def load_index(key: str) -> SavedIndex | None:
    """Return an entry, or None if there is none that can be read."""
    try:
        with pa.memory_map(str(_entry(key))) as file:
            table = pa.ipc.open_file(file).read_all()
            said = json.loads(table.schema.metadata[b"text2earth"])
            arrays = {name: np.asarray(table[name].chunk(0).values) for name in _ARRAYS}
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    with suppress(OSError):
        os.utime(_entry(key))
    return SavedIndex(
        **arrays,
        credits=tuple(Credit(*credit) for credit in said["credits"]),
        synthetic=said["synthetic"],
        fingerprint=said["fingerprint"],
    )


def save_index(key: str, index: SavedIndex) -> None:
    """Keep an entry, where the folder can be written."""
    said = {
        "credits": [[getattr(credit, field.name) for field in fields(credit)] for credit in index.credits],
        "synthetic": index.synthetic,
        "fingerprint": index.fingerprint,
    }
    columns = {}
    for name in _ARRAYS:
        values = pa.array(getattr(index, name))
        columns[name] = pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)
    table = pa.table(columns).replace_schema_metadata({"text2earth": json.dumps(said)})
    path = _entry(key)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(str(fresh), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        fresh.replace(path)
        for old in sorted(path.parent.glob("*.arrow"), key=lambda each: -each.stat().st_mtime)[_MOST_ENTRIES:]:
            old.unlink(missing_ok=True)


def _entry(key: str) -> Path:
    return cache_folder() / "indexes" / f"{key}.arrow"
