"""Git-10M itself: parquet or Arrow files, in the newer form or the older one.

The newer form has columns ``caption``, ``Google_location``, ``img_quality_score``, …; the older one column ``text``:
"{level}_GOOGLE_LEVEL_{caption}", level 0 where the resolution is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from git10m.errors import RecipeError, SourceError
from git10m.grid import MAX_LEVEL
from git10m.recipe import PairsSource, shown
from git10m.sources.files import expand
from git10m.sources.pairs.annotations import Described, placed, split_of

__all__ = ["described_rows", "image_bytes", "table_files"]

_SUFFIXES = frozenset({".parquet", ".arrow"})
_OLDER = re.compile(r"\s*(\d+)_GOOGLE_LEVEL_(.*)", re.DOTALL)
_USED = ("img_name", "caption", "text", "Google_location", "img_quality_score", "resolution", "split")
_READ_ERRORS = (OSError, pa.ArrowException)


def table_files(source: PairsSource) -> list[str]:
    """List the files of a set, by name.

    Raises:
        RecipeError: If there are none.
    """
    found = [file for path in source.paths for _, file in expand(path, suffixes=_SUFFIXES)]
    if not found:
        raise RecipeError(f"source {source.id!r}: {source.path} matches no parquet or Arrow file; check the path")
    return found


def described_rows(files: Sequence[str]) -> Iterator[Described]:
    """Yield the rows of all files, in order, without reading an image.

    Raises:
        SourceError: If a file cannot be read.
        RecipeError: If it has no images or no captions.
    """
    for number, file in enumerate(files):
        row = 0
        for table in _parts(file):
            for said in table.to_pylist():
                yield _described(said, number, row, f"{shown(file)}, row {row}")
                row += 1


def image_bytes(file: str, rows: Sequence[int]) -> dict[int, bytes | None]:
    """Return the bytes of the images of some rows.

    Raises:
        SourceError: If the file cannot be read.
    """
    found: dict[int, bytes | None] = {}
    try:
        first = 0
        wanted = np.array(sorted(rows))
        for number, length in enumerate(_lengths(file)):
            here = wanted[(wanted >= first) & (wanted < first + length)] - first
            if len(here):
                for row, image in zip(
                    here.tolist(), _column(file, number).take(pa.array(here)).to_pylist(), strict=True
                ):
                    found[first + row] = image.get("bytes") if isinstance(image, dict) else image
            first += length
    except _READ_ERRORS as error:
        raise _broken(file, error) from error
    return found


def _described(said: dict[str, Any], number: int, row: int, where: str) -> Described:
    text, level = said.get("caption"), 0
    if text is None and (older := _OLDER.fullmatch(said.get("text") or "")):
        level, text = int(older.group(1)), older.group(2)
        if level > MAX_LEVEL:
            raise RecipeError(f"{where}: level {level} of its text is none; levels go up to {MAX_LEVEL}")
    elif text is None:
        text = said.get("text")
    captions = [" ".join(text.split())] if text and text.strip() else []
    name = said.get("img_name") or f"{where.partition(',')[0].rsplit('.', 1)[0]}_{row:07d}"
    place = placed(said.get("Google_location"), where=where)
    if place is None and level == 0 and said.get("resolution"):
        level = _level_of(float(said["resolution"]))
    described = Described(name, captions, split_of(said.get("split")), level, file=number, row=row)
    described.quality = said.get("img_quality_score")
    if place is not None:
        described.level, described.x, described.y = place
    return described


def _level_of(resolution: float) -> int:
    """Return the level of a nominal resolution 2 ** (17 − level); 0 where it is none."""
    if not resolution > 0:
        return 0
    level = 17 - np.log2(resolution)
    return round(level) if abs(level - round(level)) < 1e-6 and 1 <= round(level) <= MAX_LEVEL else 0


def _parts(file: str) -> Iterator[Any]:
    """Yield the small columns of a file, part by part."""
    try:
        if not file.endswith(".parquet"):
            for batch in _batches(file):
                _check(batch.schema, file)
                yield batch.select([name for name in batch.schema.names if name in _USED])
            return
        opened = pq.ParquetFile(file)
        _check(opened.schema_arrow, file)
        names = [name for name in opened.schema_arrow.names if name in _USED]
        yield from opened.iter_batches(batch_size=4096, columns=names)
    except _READ_ERRORS as error:
        raise _broken(file, error) from error


def _check(schema: pa.Schema, file: str) -> None:
    if "image" not in schema.names or not {"caption", "text"} & set(schema.names):
        raise RecipeError(
            f"{shown(file)}: is not in the form of Git-10M: expected columns image and caption (or text), found "
            f"{', '.join(schema.names)}"
        )


@lru_cache(maxsize=8)
def _batches(file: str) -> tuple[Any, ...]:
    """Return the record batches of an Arrow file or stream; they lie in the file, not in memory."""
    mapped = pa.memory_map(file)
    try:
        opened = pa.ipc.open_file(mapped)
        return tuple(opened.get_batch(i) for i in range(opened.num_record_batches))
    except pa.ArrowInvalid:
        return tuple(pa.ipc.open_stream(pa.memory_map(file)))


@lru_cache(maxsize=64)
def _parquet(file: str) -> pq.ParquetFile:
    return pq.ParquetFile(file)


def _lengths(file: str) -> list[int]:
    if not file.endswith(".parquet"):
        return [batch.num_rows for batch in _batches(file)]
    metadata = _parquet(file).metadata
    return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]


def _column(file: str, number: int) -> Any:
    if not file.endswith(".parquet"):
        return _batches(file)[number].column("image")
    return _row_group(file, number)


@lru_cache(maxsize=2)
def _row_group(file: str, number: int) -> Any:
    """Return the images of a row group; the next request is most often for the same."""
    return _parquet(file).read_row_group(number, columns=["image"]).column("image").combine_chunks()


def _broken(file: str, error: Exception) -> SourceError:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return SourceError(f"{shown(file)}: cannot be read ({line}); it may be truncated: fetch it again")
