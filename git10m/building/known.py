"""Sets of images that the dataset must have none of: other builds, and what models are evaluated on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from git10m.curation.duplicates import perceptual_hashes
from git10m.curation.near_duplicates import Hashes
from git10m.curation.pictures import decoded
from git10m.curation.quality import measure
from git10m.engine import lock
from git10m.errors import RecipeError, SourceError
from git10m.recipe import Against, is_address
from git10m.shards import data_files, read_tables, write_table

__all__ = ["KnownSet", "open_known"]

_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"})
_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int32()),
        ("sha256", pa.string()),
        ("phash", pa.string()),
        ("phash256", pa.string()),
        ("entropy", pa.float32()),
    ]
)
_MEASURED = ("sha256", "phash", "phash256", "entropy")
_BATCH = 1000


@dataclass(frozen=True)
class KnownSet:
    """A set of images, by what tells them apart.

    Attributes:
        name: What it is called.
        evaluation: Whether models are evaluated on it.
        folder: Where its images are.
        table: File with a row an image: its file, its row there (−1: an image file), and its hashes.
        digest: Of the images.
    """

    name: str
    evaluation: bool
    folder: Path
    table: Path
    digest: str

    def columns(self) -> dict[str, Any]:
        """Return files, rows, SHA-256, hashes and entropies of all images."""
        table = pq.read_table(self.table)
        return {
            "file": table["file"].to_pylist(),
            "row": table["row"].to_numpy(),
            "sha256": table["sha256"].to_pylist(),
            "hashes": Hashes.parsed(table["phash"].to_pylist(), table["phash256"].to_pylist()),
            "entropy": table["entropy"].to_numpy(),
        }


def open_known(against: Against, *, store: Path) -> KnownSet:
    """Hash the images of a set, or take up what was found before if its files are the same.

    Args:
        against: What the recipe says of it, with an absolute path.
        store: Folder for the hashes.

    Raises:
        RecipeError: If there is no such folder, or no image in it.
        SourceError: If one of its files is no image.
    """
    folder = Path(against.path)
    if is_address(against.path) or not folder.is_dir():
        raise RecipeError(
            f"curation.against {against.name!r}: {against.path} is no folder on this machine; give a dataset, or a "
            "folder with images or parquet files"
        )
    files = _files(folder)
    if not files:
        raise RecipeError(
            f"curation.against {against.name!r}: no image is in {against.path}; looked for parquet files with an image "
            f"column and for {', '.join(sorted(_IMAGES))}"
        )
    stamp = json.dumps([(file.relative_to(folder).as_posix(), _stamp(file)) for file in files]).encode()
    path = store / f"{against.name}.parquet"
    store.mkdir(parents=True, exist_ok=True)
    with lock(store / f"{against.name}.lock", wait=True):  # ranks of one job start together
        if not path.exists() or (pq.read_schema(path).metadata or {}).get(b"files") != stamp:
            rows = [
                row for file in tqdm(files, desc=f"hashing {against.name}", unit="file") for row in _rows(file, folder)
            ]
            found = pa.Table.from_pylist(rows, schema=_SCHEMA)
            write_table(found.replace_schema_metadata({b"files": stamp}), path)
    digests = sorted(pq.read_table(path, columns=["sha256"])["sha256"].to_pylist())
    return KnownSet(
        against.name, against.evaluation, folder, path, hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def _files(folder: Path) -> list[Path]:
    """List the shards of a dataset, or all parquet files, or all image files of a folder."""
    if (folder / "manifest.json").exists() and (shards := data_files(folder)):
        return shards
    everything = sorted(path for path in folder.rglob("*") if path.is_file())
    tables = [path for path in everything if path.suffix == ".parquet" and _has_images(path)]
    return tables or [path for path in everything if path.suffix.lower() in _IMAGES]


def _has_images(path: Path) -> bool:
    try:
        schema = pq.read_schema(path)
    except pa.ArrowException as error:
        raise SourceError(f"{path.name}: cannot be read as a parquet file ({error}); mend or remove it") from error
    if "image" not in schema.names:
        return False
    kind = schema.field("image").type
    return bool(pa.types.is_struct(kind)) and kind.get_field_index("bytes") >= 0


def _stamp(file: Path) -> tuple[int, int]:
    said = file.stat()
    return said.st_size, said.st_mtime_ns


def _rows(file: Path, folder: Path) -> Iterator[dict[str, Any]]:
    name = file.relative_to(folder).as_posix()
    if file.suffix != ".parquet":
        yield {"file": name, "row": -1, **_measured(file.read_bytes(), name)}
        return
    there = set(pq.read_schema(file).names)
    wanted = list(_MEASURED) if there.issuperset(_MEASURED) else ["image"]
    number = 0
    for table in read_tables(file, columns=wanted):
        for start in range(0, table.num_rows, _BATCH):
            for row in table.slice(start, _BATCH).to_pylist():
                yield {"file": name, "row": number, **_known(row, f"{name}, row {number}")}
                number += 1


def _known(row: dict[str, Any], name: str) -> dict[str, Any]:
    if "image" not in row:
        return row
    if row["image"] is None or row["image"]["bytes"] is None:
        raise SourceError(f"{name}: has no image; remove the row, or name another folder")
    return _measured(row["image"]["bytes"], name)


def _measured(encoded: bytes, name: str) -> dict[str, Any]:
    try:
        pixels = decoded(encoded)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise SourceError(f"{name}: cannot be read as an image ({error}); mend or remove it") from error
    phash, phash256 = perceptual_hashes(pixels)
    entropy = measure(pixels, np.ones(pixels.shape[:2], dtype=bool)).entropy
    found: Sequence[Any] = (hashlib.sha256(encoded).hexdigest(), phash, phash256, entropy)
    return dict(zip(_MEASURED, found, strict=True))
