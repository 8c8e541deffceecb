"""Vectors of images in files: beside the rows of a unit, and tables of them that a user brings along.

Vectors are stored as float16 in NumPy's own format and read through the page cache, so that they take no memory of
their own; half precision changes a cosine by less than 0.0005.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from git10m.curation.encoders import unit_vectors
from git10m.errors import RecipeError
from git10m.shards import atomic_file, file_sha256
from git10m.sources.files import expand

__all__ = ["KEYS", "GivenVectors", "VectorFiles", "find_vectors", "gather_vectors", "write_vectors"]

Halves = npt.NDArray[np.float16]

KEYS = ("sha256", "img_name", "Google_location")
"""Columns that tell whose a vector is; the first that a file has counts."""

_OPEN_FILES, _ROWS = 256, 4096
_NAMED = 3


class VectorFiles:
    """Vectors of rows that stand in many files; NaN where a row has none.

    Args:
        files: One a unit: arrays (N, D), or of records with a field ``vector`` (D,).
        unit: Of every row, (N,).
        position: Of every row in its file, (N,).
    """

    def __init__(self, files: Sequence[Path], unit: npt.NDArray[Any], position: npt.NDArray[Any]) -> None:
        self._files, self._unit, self._position = files, unit, position
        self._open: OrderedDict[int, Halves] = OrderedDict()

    def take(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the unit vectors of some rows, float32 (N, D)."""
        units = self._unit[rows]
        found: npt.NDArray[np.float32] | None = None
        for unit in np.unique(units).tolist():
            held = self._file(unit)
            if found is None:
                found = np.empty((len(rows), held.shape[1]), dtype=np.float32)
            own = units == unit
            found[own] = held[self._position[rows[own]]]
        return unit_vectors(found if found is not None else np.empty((0, 1), dtype=np.float32))

    def known(self) -> npt.NDArray[np.bool_]:
        """Tell which rows have a vector, (N,)."""
        known = np.zeros(len(self._unit), dtype=bool)
        for start in range(0, len(known), _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(known)))
            known[rows] = np.isfinite(self.take(rows)).all(axis=1)
        return known

    def _file(self, unit: int) -> Halves:
        if unit not in self._open:
            held = np.load(self._files[unit], mmap_mode="r", allow_pickle=False)
            self._open[unit] = held["vector"] if held.dtype.names else held
            if len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)
        self._open.move_to_end(unit)
        return self._open[unit]


def write_vectors(path: Path, vectors: npt.NDArray[Any]) -> None:
    """Write vectors (N, D) as float16, atomically."""
    with atomic_file(path) as file:
        np.save(file, vectors.astype(np.float16), allow_pickle=False)


@dataclass(frozen=True)
class GivenVectors:
    """Vectors that a user brought along, sorted for look-ups.

    Attributes:
        name: What they are called in messages.
        key: Column that tells whose they are.
        folder: Where ``given.npy`` and ``keys.npy`` are.
        count: How many.
        dimensions: Numbers of a vector.
        digest: Of their content.
    """

    name: str
    key: str
    folder: Path
    count: int
    dimensions: int
    digest: str

    def find(self, keys: Sequence[str | None]) -> Halves:
        """Return the vectors of some keys, float16 (N, D); NaN where there is none."""
        held = np.load(self.folder / "keys.npy", mmap_mode="r", allow_pickle=False)
        vectors = np.load(self.folder / "given.npy", mmap_mode="r", allow_pickle=False)
        found = np.full((len(keys), self.dimensions), np.nan, dtype=np.float16)
        asked = np.array([_number(key) if key is not None else 0 for key in keys], dtype=np.uint64)
        at = np.minimum(np.searchsorted(held["key"], asked), len(held) - 1)
        hit = (held["key"][at] == asked) & np.array([key is not None for key in keys], dtype=bool)
        found[hit] = vectors[held["row"][at[hit]]]
        return found

    def example(self) -> str:
        """Return one of its keys, for messages."""
        return (self.folder / "example.txt").read_text(encoding="utf-8")


def find_vectors(path: Any) -> list[Path]:
    """List the parquet files of given vectors and check their columns, without reading them.

    Args:
        path: A file, folder or glob, or several.

    Raises:
        RecipeError: If there is none, or one without a key or without ``embedding``.
    """
    files = [Path(file) for _, file in expand(path) if str(file).endswith(".parquet")]
    if not files:
        raise RecipeError(f"curation.embedding: embeddings = {path!r} leads to no parquet file")
    for file in files:
        try:
            names = pq.read_schema(file).names
        except (OSError, pa.ArrowException) as error:
            raise RecipeError(f"{file.name}: cannot be read as a parquet file ({error}); write it again") from error
        if "embedding" not in names or not set(KEYS) & set(names):
            raise RecipeError(
                f"{file.name}: has the columns {', '.join(names[:8])}; embeddings need a column embedding (a list of "
                f"numbers), and one of {', '.join(KEYS)} to tell whose they are"
            )
    return files


def gather_vectors(files: Sequence[Path], *, folder: Path) -> GivenVectors:
    """Sort given vectors into a file that is read without loading it, or take up what was sorted before.

    Args:
        files: Of `find_vectors`.
        folder: Where the sorted ones go.

    Raises:
        RecipeError: If vectors differ in length, are no numbers, or two of one key differ.
    """
    stamp = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    note = folder / "given.json"
    if note.is_file():
        said = json.loads(note.read_text(encoding="utf-8"))
        if said.pop("stamp") == json.loads(json.dumps(stamp)):
            return GivenVectors(folder=folder, **said)
    folder.mkdir(parents=True, exist_ok=True)
    key = next(key for key in KEYS if all(key in pq.read_schema(file).names for file in files))
    count = sum(pq.read_metadata(file).num_rows for file in files)
    keys = np.empty(count, dtype=[("key", np.uint64), ("row", np.int64)])
    dimensions, start = 0, 0
    with atomic_file(folder / "given.npy") as out:
        for names, vectors in _parts(files, key):
            if not dimensions:
                dimensions = vectors.shape[1]
                _write_header(out, (count, dimensions))
            if vectors.shape[1] != dimensions:
                raise RecipeError(
                    f"curation.embedding: the vector of {key} {names[0]} has {vectors.shape[1]} numbers, others have "
                    f"{dimensions}; they come of different models"
                )
            out.write(_checked(names, vectors, key).tobytes())
            part = slice(start, start + len(names))
            keys["key"][part], keys["row"][part] = [_number(name) for name in names], range(part.start, part.stop)
            start += len(names)
    if not count:
        raise RecipeError(f"{files[0].name}: holds no vector")
    keys.sort(order=["key", "row"])
    _refuse_ambiguous(keys, folder, key)
    with atomic_file(folder / "keys.npy") as file:
        np.save(file, keys, allow_pickle=False)
    (folder / "example.txt").write_text(names[-1], encoding="utf-8")
    digest = hashlib.sha256((file_sha256(folder / "given.npy") + file_sha256(folder / "keys.npy")).encode())
    said = {"name": files[0].name, "key": key, "count": count, "dimensions": dimensions, "digest": digest.hexdigest()}
    with atomic_file(note) as file:
        file.write(json.dumps({"stamp": stamp, **said}).encode())
    return GivenVectors(folder=folder, **said)


def _parts(files: Sequence[Path], key: str) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
    """Yield keys and vectors, some thousand at a time."""
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS, columns=[key, "embedding"]):
                names = [str(name) for name in batch.column(batch.schema.get_field_index(key)).to_pylist()]
                column = batch.column(batch.schema.get_field_index("embedding"))
                lengths = pc.list_value_length(column)
                if column.null_count or pc.min(lengths).as_py() != pc.max(lengths).as_py():
                    odd = names[int(np.argmax(pc.fill_null(lengths, 0).to_numpy() != pc.max(lengths).as_py()))]
                    raise RecipeError(
                        f"{path.name}: vectors must all be there and of one length; that of {key} {odd} is not. Remove "
                        "the row, or compute it again"
                    )
                flat = pc.list_flatten(column).to_numpy(zero_copy_only=False).astype(np.float32)
                yield names, flat.reshape(len(names), -1)


def _checked(names: Sequence[str], vectors: npt.NDArray[np.float32], key: str) -> Halves:
    unit = unit_vectors(vectors)
    faulty = np.flatnonzero(~np.isfinite(unit).all(axis=1))
    if len(faulty):
        shown = ", ".join(names[i] for i in faulty[:_NAMED].tolist())
        raise RecipeError(
            f"curation.embedding: {len(faulty)} vectors hold NaN, infinite numbers or nothing but zeros, e.g. of "
            f"{key} {shown}; remove those rows, or compute them again"
        )
    return unit.astype(np.float16)


def _refuse_ambiguous(keys: npt.NDArray[np.void], folder: Path, key: str) -> None:
    """Images with the same bytes may stand twice, with one vector; other keys name one image."""
    again = np.flatnonzero(keys["key"][1:] == keys["key"][:-1])
    vectors = np.load(folder / "given.npy", mmap_mode="r", allow_pickle=False)
    for i in again.tolist():
        one, other = (vectors[int(keys["row"][at])].astype(np.float32) for at in (i, i + 1))
        if float(one @ other) < 0.999:
            (folder / "given.npy").unlink()
            raise RecipeError(
                f"curation.embedding: {len(again)} vectors have the {key} of another and differ from it (rows "
                f"{keys['row'][i]} and {keys['row'][i + 1]}); a key must name one image: give sha256 or img_name"
            )


def _write_header(out: Any, shape: tuple[int, int]) -> None:
    np.lib.format.write_array_header_1_0(out, {"descr": "<f2", "fortran_order": False, "shape": shape})


def _number(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
