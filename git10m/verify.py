"""Checks every promise that a finished dataset makes, and names what is broken."""

from __future__ import annotations

import hashlib
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from git10m import records
from git10m.curation.duplicates import perceptual_hashes
from git10m.curation.near_duplicates import LEAST_ENTROPY, Detail, Hashes, known_copies, likeness
from git10m.curation.pictures import Pictures, decoded
from git10m.curation.quality import measure
from git10m.curation.splits import SPLITS
from git10m.engine import Engine, map_shards
from git10m.grid import Tile, nominal_resolution_m
from git10m.metadata import place_columns
from git10m.publish import index_schema, read_manifest
from git10m.recipe.curation import Duplicates
from git10m.records import PLACE_COLUMNS, Rejection
from git10m.shards import data_files, file_sha256, read_tables

__all__ = ["Finding", "verify"]

_MOST_PER_FILE = 20
_DEGREES = 1e-9
_HASH_BITS, _SCORE = 6, 0.1
"""What a picture's hash and score may differ by when it is decoded elsewhere."""
_READ_ERRORS = (OSError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise.

    Attributes:
        where: File, and row where there is one.
        what: What was found and what was expected.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def verify(folder: Path, *, engine: Engine | None = None) -> list[Finding]:
    """Check a dataset: files and hashes, schema, every row and image, order, splits, index and accounting.

    Args:
        folder: The dataset.
        engine: Where shards are checked; None: in this process.

    Returns:
        What is broken, at most 20 findings a file; empty for a dataset that keeps its promises.

    Raises:
        DatasetError: If the folder is no finished dataset.
    """
    manifest = read_manifest(folder)
    if not isinstance(manifest.get("files"), dict):
        return [Finding("manifest.json", "lists no files with their hashes; build the dataset again")]
    findings = list(_check_files(folder, manifest))
    if "unfinished" in manifest:
        again = f"{manifest['unfinished']} was interrupted and has replaced a part; run it again"
        findings.insert(0, Finding("manifest.json", f"the dataset is unfinished: {again}"))
    if any("missing" in finding.what for finding in findings) or _form(manifest) != "hub":
        return findings  # of an export there is no more to promise than that its files are what was sent
    shards = data_files(folder)
    per_shard = dict(map_shards(_ShardCheck(folder, tuple(shards)), range(len(shards)), engine or Engine()))
    findings += [finding for number in sorted(per_shard) for finding in per_shard[number]]
    findings += _guarded("index.parquet", lambda: _check_index(folder, shards))
    findings += _guarded("index.parquet", lambda: _check_whole(folder, manifest))
    findings += _guarded("index.parquet", lambda: _check_leakage(folder, manifest, shards))
    findings += _guarded("manifest.json", lambda: _check_accounting(folder, manifest))
    return findings


def _check_files(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    published = manifest.get("published") or {}
    listed: Mapping[str, Any] = {**manifest["files"], **(published.get("files") or {})}
    for name, note in listed.items():
        path = folder / name
        if not path.is_file():
            yield Finding(name, "is missing; the manifest lists it")
        elif (size := path.stat().st_size) != note["bytes"]:
            yield Finding(name, f"has {size} bytes, the manifest says {note['bytes']}")
        elif file_sha256(path) != note["sha256"]:
            yield Finding(name, "its SHA-256 differs from the manifest's: it was changed or damaged")
        elif path.suffix == ".parquet":
            yield from _guarded(name, lambda path=path, name=name, note=note: _check_rows(path, name, note["rows"]))
    for path in sorted((folder / "data").glob("*")):
        if f"data/{path.name}" not in listed:
            yield Finding(f"data/{path.name}", "is not in the manifest")
    expected = ["README.md", *(["index.parquet"] if _form(manifest) == "hub" else [])]
    for name in [*expected, *([] if published else ["rejected.parquet"])]:
        if name not in listed and not (folder / name).is_file():
            yield Finding(name, "is missing")


def _form(manifest: Mapping[str, Any]) -> str:
    """Return in which form a dataset was published; as it was built, it is ready for the hub."""
    return str((manifest.get("published") or {}).get("form", "hub"))


def _check_rows(path: Path, name: str, noted: int) -> Iterator[Finding]:
    if (rows := pq.read_metadata(path).num_rows) != noted:
        yield Finding(name, f"has {rows} rows, the manifest says {noted}")


@dataclass(frozen=True, slots=True)
class _ShardCheck:
    """Checks every row of one shard; picklable work for `engine.map_shards`."""

    folder: Path
    shards: tuple[Path, ...]

    def __call__(self, number: int) -> list[Finding]:
        path = self.shards[number]
        name = path.relative_to(self.folder).as_posix()
        found: list[Finding] = []
        for finding in _guarded(name, lambda: _check_shard(path, name)):
            found.append(finding)
            if len(found) == _MOST_PER_FILE:
                found.append(Finding(name, "and perhaps more; only the first findings of a file are named"))
                break
        return found


def _guarded(name: str, check: Any) -> Iterator[Finding]:
    """Run a check; a file that cannot be read is a finding, not a traceback."""
    try:
        yield from check()
    except _READ_ERRORS as error:
        yield Finding(name, f"cannot be read: {str(error).splitlines()[0]}")


def _check_shard(path: Path, name: str) -> Iterator[Finding]:
    found = pq.read_schema(path)
    modalities = records.modalities_of(found)
    expected = records.schema(modalities=modalities, embedding=records.embedding_of(found))
    yield from _check_schema(found, expected, name)
    if set(expected.names) - set(found.names):
        return  # rows of another version cannot be judged
    split = path.name.split("-", maxsplit=1)[0]
    start = 0
    last: tuple[Any, ...] = ()
    for table in read_tables(path):
        for offset, row in enumerate(table.to_pylist()):
            where = f"{name} row {start + offset} ({row['img_name']})"
            yield from (Finding(where, what) for what in _row_faults(row, split))
            yield from (Finding(where, what) for name_ in modalities for what in _modality_faults(row, name_))
            key = _order_key(row)
            if last and key < last:
                yield Finding(where, "stands out of order; rows are sorted by level, quadkey, acquired_at, source_id")
            last = key
        start += table.num_rows


def _check_schema(found: pa.Schema, expected: pa.Schema, name: str) -> Iterator[Finding]:
    if found.names != expected.names:
        missing, extra = set(expected.names) - set(found.names), set(found.names) - set(expected.names)
        yield Finding(name, f"columns differ: missing {sorted(missing)}, unknown {sorted(extra)}, or another order")
        return
    for field in expected:
        if found.field(field.name).type != field.type:
            yield Finding(name, f"column {field.name} is {found.field(field.name).type}, expected {field.type}")
    metadata, wanted = found.metadata or {}, expected.metadata or {}
    if metadata.get(b"huggingface") != wanted.get(b"huggingface"):
        yield Finding(name, "its Hugging Face metadata differ from the schema's")
    if b"geo" in wanted and b"geo" not in metadata:
        yield Finding(name, "has no GeoParquet metadata")


def _row_faults(row: Mapping[str, Any], split: str) -> Iterator[str]:
    yield from _image_faults(row)
    yield from _place_faults(row)
    if row["enhanced"] is not None:
        yield from _enhanced_faults(row)
    if row["split"] != split:
        yield f"split is {row['split']!r} in a file of {split!r}"
    words = len(row["caption"].split()) if row["caption"] is not None else None
    if row["caption_length"] != words:
        yield f"caption_length is {row['caption_length']}, the caption has {words} words"
    if row["valid_fraction"] is not None and not 0.0 <= row["valid_fraction"] <= 1.0:
        yield f"valid_fraction {row['valid_fraction']} is outside 0–1"
    shares = [part["share"] for part in row["sources"] or ()]
    if shares and (abs(sum(shares) - 1.0) > 1e-3 or shares != sorted(shares, reverse=True)):
        yield f"shares of its sources {shares} do not fall, or do not add up to 1"


def _image_faults(row: Mapping[str, Any]) -> Iterator[str]:
    image = row["image"] or {}
    encoded = image.get("bytes") or b""
    if image.get("path") != row["img_name"]:
        yield f"image.path {image.get('path')!r} differs from img_name"
    if hashlib.sha256(encoded).hexdigest() != row["sha256"]:
        yield "sha256 differs from the image's bytes"
    decoded = _decoded(encoded)
    if isinstance(decoded, str):
        yield f"its image does not decode ({decoded})"
    elif decoded != (row["width"], row["height"], "RGB"):
        width, height, mode = decoded
        yield f"its image is {width}×{height} {mode}, the row says {row['width']}×{row['height']} RGB"


def _enhanced_faults(row: Mapping[str, Any]) -> Iterator[str]:
    """Check that a restored row's hashes and score are those of the picture that is stored, not of the one before."""
    if not re.fullmatch(r"[a-z0-9-]+:[0-9a-f]{8}", row["enhanced"]):
        yield f"enhanced is {row['enhanced']!r}, expected a restorer and its weights' hash, as rrdb-x2:1f2e3d4c"
    try:
        pixels = decoded((row["image"] or {}).get("bytes") or b"")
    except (OSError, ValueError, SyntaxError):
        return  # said of every image
    phash = perceptual_hashes(pixels)[0]
    # Other versions of libjpeg decode a little otherwise.
    if row["phash"] is None or (int(row["phash"], 16) ^ int(phash, 16)).bit_count() > _HASH_BITS:
        yield f"is enhanced, and its picture's phash is {phash}, the row says {row['phash']}"
    if row["valid_fraction"] == 1.0:
        score = measure(pixels, np.ones(pixels.shape[:2], dtype=bool)).score
        if None in (score, row["img_quality_score"]) or abs(score - row["img_quality_score"]) > _SCORE:
            yield f"is enhanced, and its picture scores {score:.2f}, the row says {row['img_quality_score']}"


def _modality_faults(row: Mapping[str, Any], name: str) -> Iterator[str]:
    """Check a further image: it may be missing, but is else of the image's size."""
    image = row[records.modality_column(name)]
    if image is None:
        return
    decoded = _decoded(image.get("bytes") or b"")
    if isinstance(decoded, str):
        yield f"its {name} image does not decode ({decoded})"
    elif decoded[:2] != (row["width"], row["height"]) or decoded[2] not in {"L", "RGB"}:
        yield f"its {name} image is {decoded[0]}×{decoded[1]} {decoded[2]}, the row says {row['width']}×{row['height']}"


def _decoded(encoded: bytes) -> tuple[int, int, str] | str:
    """Return (width, height, mode) of an image that decodes, or why it does not."""
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            picture.load()
            return *picture.size, picture.mode
    except (OSError, ValueError, SyntaxError) as error:
        return str(error)


def _place_faults(row: Mapping[str, Any]) -> Iterator[str]:
    if row["level"] == 0:
        placed = [name for name in PLACE_COLUMNS if row[name] is not None]
        if placed:
            yield f"level 0 (unknown resolution) but has {', '.join(placed)}"
        return
    if row["x"] is None:  # the level is known, the place is not
        placed = [name for name in PLACE_COLUMNS if name != "resolution" and row[name] is not None]
        if placed or not _same(row["resolution"], nominal_resolution_m(row["level"])):
            yield f"level {row['level']} without a place, but has {', '.join(placed) or 'another resolution'}"
        return
    try:
        tile = Tile(row["level"], row["x"], row["y"])
    except (TypeError, ValueError) as error:
        yield f"is no tile: {error}"
        return
    for name, value in place_columns(tile).items():
        if not _same(row[name], value):
            shown = "another outline" if name == "geometry" else row[name]
            yield f"{name} is {shown}, tile {tile.name} has {'its own' if name == 'geometry' else value}"
    if not _same(row["gsd_m"], tile.gsd_m(row["width"])):
        yield f"gsd_m is {row['gsd_m']}, at that latitude it is {tile.gsd_m(row['width']):.6g}"


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return found is not None and abs(found - expected) <= _DEGREES * max(1.0, abs(expected))
    if isinstance(expected, dict):
        return found is not None and all(_same(found.get(key), value) for key, value in expected.items())
    return bool(found == expected)


def _order_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    acquired = row["acquired_at"].timestamp() if row["acquired_at"] is not None else float("-inf")
    return row["level"], row["quadkey"] or "", acquired, row["source_id"]


def _check_index(folder: Path, shards: Sequence[Path]) -> Iterator[Finding]:
    """Compare the index with the shards, column by column."""
    index = pq.read_table(folder / "index.parquet")
    yield from _check_schema(index.schema, index_schema(), "index.parquet")
    start = 0
    for path in shards:
        name = path.relative_to(folder).as_posix()
        schema = pq.read_schema(path)
        columns = [field.name for field in schema if field.type != records.IMAGE and field.name != "embedding"]
        rows = pq.read_table(path, columns=columns)
        part = index.slice(start, rows.num_rows)
        rows = rows.append_column("file", pa.array([name] * rows.num_rows, pa.string()))
        rows = rows.append_column("row", pa.array(np.arange(rows.num_rows, dtype=np.int32)))
        differing = [
            column for column in rows.column_names if column not in part.column_names or part[column] != rows[column]
        ]
        if differing:
            yield Finding("index.parquet", f"differs from {name} in {', '.join(differing[:6])}")
        start += rows.num_rows
    if start != index.num_rows:
        yield Finding("index.parquet", f"has {index.num_rows} rows, the shards have {start}")


def _check_whole(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """Check what holds across shards: unique names, and no ground in two splits."""
    index = pq.read_table(folder / "index.parquet", columns=["img_name", "level", "x", "y", "split"])
    counts = pc.value_counts(index["img_name"])
    repeated = counts.filter(pc.greater(pc.struct_field(counts, "counts"), 1)).to_pylist()
    for entry in repeated[:_MOST_PER_FILE]:
        yield Finding("index.parquet", f"img_name {entry['values']} stands {entry['counts']} times; names are unique")
    placed = index.filter(pc.is_valid(index["x"]))
    if not placed.num_rows:
        return
    level, x, y = (placed[name].to_numpy().astype(np.int64) for name in ("level", "x", "y"))
    coarsest = int(level.min())
    cells = ((x >> (level - coarsest)) << 32) | (y >> (level - coarsest))
    codes = pc.index_in(placed["split"], pa.array(SPLITS)).to_numpy(zero_copy_only=False)
    pairs = np.unique(np.stack([cells, codes.astype(np.int64)]), axis=1)
    shared, times = np.unique(pairs[0], return_counts=True)
    for cell in shared[times > 1][:_MOST_PER_FILE].tolist():
        yield Finding("data", f"cell {coarsest}_{cell >> 32}_{cell & 0xFFFFFFFF} lies in more than one split")


def _check_leakage(folder: Path, manifest: Mapping[str, Any], shards: Sequence[Path]) -> Iterator[Finding]:
    """Check that no image of validation or test is nearly one that is trained on: hashes first, then the pixels."""
    index = pq.read_table(folder / "index.parquet", columns=["img_name", "split", "phash", "phash256", "entropy"])
    telling = index["entropy"].to_numpy() >= LEAST_ENTROPY
    trained = index["split"].to_numpy(zero_copy_only=False) == "train"
    rows, held = np.flatnonzero(telling & trained), np.flatnonzero(telling & ~trained)
    if not len(held):  # nor are there hashes in images that a model painted
        return
    hashes = Hashes.parsed(index["phash"].to_pylist(), index["phash256"].to_pylist())
    ends = np.cumsum([pq.read_metadata(path).num_rows for path in shards])
    pictures = Pictures()

    def shown(row: int) -> Detail | None:
        shard = int(np.searchsorted(ends, row, side="right"))
        return pictures.detail(shards[shard], row - (int(ends[shard - 1]) if shard else 0))

    def alike(other: int, row: int) -> float:
        return likeness(shown(other), shown(row))

    duplicates = Duplicates()  # of what no recipe made, as images that a model painted
    if "inputs" in manifest:
        duplicates = Duplicates.model_validate(manifest["inputs"]["recipe"]["curation"]["duplicates"])
    found = known_copies(hashes, hashes, alike, least=duplicates.least_likeness, rows=rows, known_rows=held)
    for row, (other, how) in itertools.islice(found.items(), _MOST_PER_FILE):
        trained_on, kept_back, split = index["img_name"][row], index["img_name"][other], index["split"][other]
        yield Finding("data", f"{trained_on} is trained on and nearly {kept_back} of {split} (likeness {how:.2f})")


def _check_accounting(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    counts = manifest["counts"]
    noted = Counter({("dropped", reason): count for reason, count in counts["dropped"].items()})
    noted.update({("failed", reason): count for reason, count in counts["failed"].items()})
    if "published" not in manifest or (folder / "rejected.parquet").is_file():
        yield from _guarded("rejected.parquet", lambda: _check_rejected(folder / "rejected.parquet", noted))
    index = pq.read_table(folder / "index.parquet", columns=["split", "level", "source_id", "enhanced"])
    if counts["kept"] != index.num_rows:
        yield Finding("manifest.json", f"counts {counts['kept']} kept rows, the index has {index.num_rows}")
    for name, column in (("splits", "split"), ("levels", "level"), ("sources", "source_id")):
        there = {str(value): count for value, count in Counter(index[column].to_pylist()).items()}
        if counts[name] != there:
            yield Finding("manifest.json", f"counts {name} {counts[name]}, the index has {there}")
    restored, said = index["enhanced"].drop_null().unique().to_pylist(), manifest.get("enhancement") or {}
    rows = len(index) - index["enhanced"].null_count
    # A publication may leave rows behind.
    counted = rows == said.get("rows", 0) or ("published" in manifest and rows < said.get("rows", 0))
    if not counted or restored not in ([], [said.get("restorer")]):
        yield Finding(
            "manifest.json",
            f"counts {said.get('rows', 0)} rows enhanced by {said.get('restorer')}, the index has {rows} by {restored}",
        )
    if counts["planned"] != counts["kept"] + noted.total():
        yield Finding(
            "manifest.json", f"planned {counts['planned']} ≠ kept {counts['kept']} + dropped and failed {noted.total()}"
        )


def _check_rejected(path: Path, noted: Counter[tuple[str, str]]) -> Iterator[Finding]:
    rejected = pq.read_table(path, columns=["verdict", "reason"])
    yield from _check_schema(pq.read_schema(path), records.schema(Rejection), "rejected.parquet")
    found = Counter(zip(rejected["verdict"].to_pylist(), rejected["reason"].to_pylist(), strict=True))
    if found != noted:
        yield Finding("rejected.parquet", f"holds {dict(found)}, the manifest counts {dict(noted)}")
