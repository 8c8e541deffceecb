"""Sets of images that the dataset must have none of: other builds, and what models are evaluated on."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from git10m.building.encoding import Encoding
from git10m.curation.duplicates import perceptual_hashes
from git10m.curation.near_duplicates import Hashes
from git10m.curation.pictures import decoded
from git10m.curation.quality import measure
from git10m.engine import lock
from git10m.errors import RecipeError, SourceError
from git10m.recipe import Against, is_address
from git10m.shards import ShardWriter, atomic_file, data_files, read_tables

__all__ = ["KnownImages", "KnownSet", "listed", "open_known"]

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
_DIGEST_BYTES = 16
_DIGEST = f"S{_DIGEST_BYTES}"
_MEASURED = ("sha256", "phash", "phash256", "entropy")
_BATCH, _VECTORS_AT_ONCE = 1000, 100


@dataclass(frozen=True)
class KnownSet:
    """A set of images, by what tells them apart.

    Attributes:
        name: What it is called.
        evaluation: Whether models are evaluated on it.
        folder: Where its images are.
        table: File with a row an image: its file, its row there (−1: an image file), and its hashes.
        digest: Of the images.
        vectors: File with a vector an image, in the order of ``table``; None: embeddings are not compared.
    """

    name: str
    evaluation: bool
    folder: Path
    table: Path
    digest: str
    vectors: Path | None = None

    def read(self) -> KnownImages:
        """Return what is known of the images."""
        table = pq.read_table(self.table)
        return KnownImages(
            files=table["file"].combine_chunks().dictionary_encode(),
            rows=table["row"].to_numpy(),
            digests=np.array([bytes.fromhex(text.as_py()[: 2 * _DIGEST_BYTES]) for text in table["sha256"]], _DIGEST),
            hashes=Hashes.parsed(table["phash"].to_pylist(), table["phash256"].to_pylist()),
            entropy=table["entropy"].to_numpy(),
        )


@dataclass(frozen=True, slots=True)
class KnownImages:
    """What tells the images of a set apart; arrays of one length.

    Attributes:
        files: Names within the folder, encoded as a dictionary.
        rows: Rows of a parquet file; −1: an image file.
        digests: The first 16 bytes of SHA-256.
        hashes: Perceptual hashes.
        entropy: Of luma, in bits.
    """

    files: pa.DictionaryArray
    rows: npt.NDArray[np.int32]
    digests: npt.NDArray[np.void]
    hashes: Hashes
    entropy: npt.NDArray[np.float32]

    def file(self, number: int) -> str:
        """Return the name of an image's file."""
        name: str = self.files[number].as_py()
        return name

    def named(self, number: int) -> str:
        """Return the name of an image: its file, and its row there."""
        row = int(self.rows[number])
        return self.file(number) if row < 0 else f"{self.file(number)}, row {row}"


def listed(against: Against) -> list[Path]:
    """List the files of a set, without reading them.

    Raises:
        RecipeError: If there is no such folder, or no image in it.
        SourceError: If a parquet file cannot be read.
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
    return files


def open_known(against: Against, *, store: Path, encoding: Encoding | None = None) -> KnownSet:
    """Hash the images of a set, or take up what was found before if its files are the same.

    Args:
        against: What the recipe says of it, with an absolute path.
        store: Folder for the hashes and vectors.
        encoding: The model whose vectors are compared; None: none are.

    Raises:
        RecipeError: As `listed` does; or if vectors were brought along, and the set has none.
        SourceError: If one of its files is no image.
    """
    folder, files = Path(against.path), listed(against)
    stamp = json.dumps([(file.relative_to(folder).as_posix(), _stamp(file)) for file in files]).encode()
    path = store / f"{against.name}.parquet"
    store.mkdir(parents=True, exist_ok=True)
    with lock(store / f"{against.name}.lock", wait=True):  # ranks of one job start together
        if not path.exists() or (pq.read_schema(path).metadata or {}).get(b"files") != stamp:
            with ShardWriter(path, schema=_SCHEMA.with_metadata({b"files": stamp}), row_group_rows=_BATCH) as writer:
                for file in tqdm(files, desc=f"hashing {against.name}", unit="file"):
                    for table in _tables(file, folder):
                        writer.write(table)
        digests = sorted(pq.read_table(path, columns=["sha256"])["sha256"].to_pylist())
        digest = hashlib.sha256("".join(digests).encode()).hexdigest()
        found = KnownSet(against.name, against.evaluation, folder, path, digest)
        if encoding is None:
            return found
        mark = hashlib.sha256(stamp + encoding.digest.encode()).hexdigest()[:12]
        return replace(found, vectors=_with_vectors(found, encoding, store / f"{against.name}.vectors-{mark}.npy"))


def _with_vectors(known: KnownSet, encoding: Encoding, path: Path) -> Path:
    """Write the vectors of a set, in the order of its table, unless they are there."""
    if path.exists():
        return path
    rows = pq.read_metadata(known.table).num_rows
    there = 0
    with atomic_file(path) as out, tqdm(total=rows, desc=f"embedding {known.name}", unit="image") as bar:
        shape = (rows, encoding.dimensions)
        np.lib.format.write_array_header_1_0(out, {"descr": "<f2", "fortran_order": False, "shape": shape})
        for part in _batched(_images(known, encoding), _VECTORS_AT_ONCE):
            vectors = encoding.vectors_of([image for image, _ in part], [key for _, key in part])
            there += int(np.isfinite(vectors).all(axis=1).sum())
            out.write(vectors.astype("<f2").tobytes())
            bar.update(len(part))
    if encoding.given is not None and not there:
        path.unlink()
        raise RecipeError(
            f"curation.against {known.name!r}: none of its {rows} images has a vector in {encoding.given.name}, whose "
            f"{encoding.given.key} are e.g. {encoding.given.example()}; add them under the images' "
            f"{'SHA-256' if encoding.given.key == 'sha256' else 'file names'}, or give an encoder"
        )
    return path


def _images(known: KnownSet, encoding: Encoding) -> Iterator[tuple[bytes, str | None]]:
    """Yield the images of a set, in the order of its table, each with what given vectors know it by."""
    by_bytes = encoding.given is not None and encoding.given.key == "sha256"
    last: tuple[str, Iterator[Any]] = "", iter(())
    for table in read_tables(known.table, columns=["file", "row", "sha256"]):
        for entry in table.to_pylist():
            file = known.folder / entry["file"]
            if entry["row"] < 0:
                image, name = file.read_bytes(), file.name
            else:
                if entry["file"] != last[0]:
                    groups = read_tables(file, columns=["image"])
                    last = entry["file"], (image for group in groups for image in group["image"].to_pylist())
                found = next(last[1])
                image, name = _bytes_of(found, entry["file"]), found.get("path")
            yield image, entry["sha256"] if by_bytes else name


def _batched(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while part := list(itertools.islice(items, size)):
        yield part


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


def _tables(file: Path, folder: Path) -> Iterator[pa.Table]:
    """Yield the rows of a file, with hashes that it has already, or else of its images."""
    name, first = file.relative_to(folder).as_posix(), 0
    if file.suffix != ".parquet":
        yield pa.Table.from_pylist([{"file": name, "row": -1, **_measured(file.read_bytes(), name)}], schema=_SCHEMA)
        return
    known = set(pq.read_schema(file).names).issuperset(_MEASURED)
    for table in read_tables(file, columns=list(_MEASURED) if known else ["image"]):
        if not known:
            images = (image.as_py() for image in table["image"])
            found = [_measured(_bytes_of(image, where), where) for image, where in _numbered(images, name, first)]
            table = pa.Table.from_pylist(found)  # noqa: PLW2901 - from here on the same kind of table
        rows = pa.array(range(first, first + table.num_rows), type=pa.int32())
        columns = [pa.array([name] * table.num_rows), rows, *(table[column] for column in _MEASURED)]
        yield pa.table(columns, names=_SCHEMA.names).cast(_SCHEMA)
        first += table.num_rows


def _numbered(images: Iterable[Any], name: str, first: int) -> Iterator[tuple[Any, str]]:
    for number, image in enumerate(images, start=first):
        yield image, f"{name}, row {number}"


def _bytes_of(image: Any, where: str) -> bytes:
    if image is None or image["bytes"] is None:
        raise SourceError(f"{where}: has no image; remove the row, or name another folder")
    encoded: bytes = image["bytes"]
    return encoded


def _measured(encoded: bytes, name: str) -> dict[str, Any]:
    try:
        pixels = decoded(encoded)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise SourceError(f"{name}: cannot be read as an image ({error}); mend or remove it") from error
    phash, phash256 = perceptual_hashes(pixels)
    entropy = measure(pixels, np.ones(pixels.shape[:2], dtype=bool)).entropy
    found: Sequence[Any] = (hashlib.sha256(encoded).hexdigest(), phash, phash256, entropy)
    return dict(zip(_MEASURED, found, strict=True))
