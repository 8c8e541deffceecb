"""The pictures of the report: rows and rejections drawn from all, with everything that is known of each."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from git10m.records import modality_column
from git10m.report.summary import Collected, open_table

__all__ = ["Refused", "Shown", "chosen_refusals", "chosen_tiles", "data_uri"]

PICTURES_BYTES = 4_600_000
"""Of all pictures of the gallery together, as they stand in the page."""
_SIZES = ((224, 80), (224, 68), (192, 60), (160, 55), (128, 50), (96, 45))
"""Pixels a side and quality of pictures: the first with which all of them fit."""
_SMALL = (112, 62)
"""Of further images, and of what others are alike to."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A row of the gallery.

    Attributes:
        values: Its columns, as in the index.
        picture: Data address of its image; None where it does not decode.
        further: Data addresses of its further images, by modality.
    """

    values: Mapping[str, Any]
    picture: str | None
    further: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Refused:
    """A planned tile that did not become a row.

    Attributes:
        values: Its columns, as in ``rejected.parquet``.
        picture: Data address of its thumbnail; None where nothing was read.
        twin: Data address of the image that it is like, where that is a row; None where it is not.
        twin_values: Columns of that row.
    """

    values: Mapping[str, Any]
    picture: str | None
    twin: str | None
    twin_values: Mapping[str, Any] | None


def chosen_tiles(folder: Path, found: Collected) -> list[Shown]:
    """Return the rows that were drawn, by level and then place; the same ones for the same dataset."""
    with open_table(folder, "index.parquet") as index:
        names = [name for name in index.schema_arrow.names if name not in {"geometry", "bbox", "embedding"}]
        entries = list(_rows(index, found.chosen, names))
    modalities = sorted(found.manifest.get("modalities") or {})
    images = _images(folder, entries, [modality_column(name) for name in modalities])
    pictures = _pictures([image["image"] for image in images])
    shown = [
        Shown(
            entry,
            picture,
            {name: _picture(image.get(modality_column(name)), *_SMALL) for name in modalities},
        )
        for entry, picture, image in zip(entries, pictures, images, strict=True)
    ]
    # Files are sorted one by one, and each split has files of its own.
    return sorted(shown, key=lambda e: (e.values["level"], e.values["quadkey"] or "", e.values["img_name"]))


def chosen_refusals(folder: Path, found: Collected) -> list[Refused]:
    """Return the rejections that were drawn, by verdict and reason."""
    with open_table(folder, "rejected.parquet") as file:
        entries = list(_rows(file, found.chosen_refusals, file.schema_arrow.names))
    twins = _named(folder, {entry["duplicate_of"] for entry in entries if entry.get("duplicate_of")})
    refused = []
    for entry in sorted(entries, key=lambda entry: (entry["verdict"], entry["reason"])):
        twin, values = twins.get(entry.get("duplicate_of") or "", (None, None))
        refused.append(Refused(entry, _picture(entry["thumbnail"], 64, 70), twin, values))
    return refused


def data_uri(content: bytes, *, kind: str) -> str:
    """Return bytes as an address that needs no file, e.g. ``data:image/webp;base64,…``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _images(folder: Path, entries: Sequence[Mapping[str, Any]], further: Sequence[str]) -> list[dict[str, Any]]:
    """Return the image columns of some rows of the index, read a row group of a shard at a time."""
    wanted: dict[str, list[int]] = {}
    for entry in entries:
        wanted.setdefault(entry["file"], []).append(entry["row"])
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for name, rows in wanted.items():
        with open_table(folder, name) as shard:
            columns = ["image", *(column for column in further if column in shard.schema_arrow.names)]
            for row, record in zip(sorted(rows), _rows(shard, sorted(rows), columns), strict=True):
                found[name, row] = record
    return [found[entry["file"], entry["row"]] for entry in entries]


def _named(folder: Path, names: set[str]) -> dict[str, tuple[str | None, Mapping[str, Any]]]:
    """Return pictures and columns of images by their names; those of other sets, in no shard, are left out."""
    if not names:
        return {}
    entries: list[dict[str, Any]] = []
    columns = ["img_name", "file", "row", "level", "Google_location", "source_id", "acquired_at", "acquired_precision"]
    columns += ["img_quality_score", "split", "lon", "lat"]
    with open_table(folder, "index.parquet") as index:
        for batch in index.iter_batches(columns=columns):
            here = pa.Table.from_batches([batch])
            entries += here.filter(pc.is_in(here["img_name"], pa.array(sorted(names)))).to_pylist()
    images = _images(folder, entries, ())
    return {e["img_name"]: (_picture(image["image"], *_SMALL), e) for e, image in zip(entries, images, strict=True)}


def _rows(file: pq.ParquetFile, rows: Sequence[int], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield rows by rising number, reading only the row groups that hold one."""
    first = 0
    waiting = list(rows)
    for number in range(file.num_row_groups):
        length = file.metadata.row_group(number).num_rows
        here = [row - first for row in waiting if row < first + length]
        if here:
            waiting = waiting[len(here) :]
            yield from file.read_row_group(number, columns=list(columns)).take(here).to_pylist()
        first += length


def _pictures(images: Sequence[Mapping[str, Any] | None]) -> list[str | None]:
    """Return images as WebP data addresses, as large as all of them together may be; None for one that is broken."""
    opened = [_decoded(image, _SIZES[0][0]) for image in images]
    for side, quality in _SIZES:
        last = (side, quality) == _SIZES[-1]
        # A few tell whether trying all is worth it.
        few = [len(_encoded(picture, side, quality)) for picture in opened[::12] if picture is not None]
        if not last and sum(few) * 12 * 4 / 3 > 1.2 * PICTURES_BYTES:
            continue
        encoded: list[str | None] = []
        room = PICTURES_BYTES
        for picture in opened:
            encoded.append(None if picture is None else data_uri(_encoded(picture, side, quality), kind="webp"))
            room -= len(encoded[-1] or "")
            if room < 0 and not last:
                break
        if len(encoded) == len(opened):
            break
    return encoded


def _picture(image: Mapping[str, Any] | None, side: int, quality: int) -> str | None:
    picture = _decoded(image, side)
    return None if picture is None else data_uri(_encoded(picture, side, quality), kind="webp")


def _decoded(image: Mapping[str, Any] | None, side: int) -> Image.Image | None:
    """Return an image, at most ``side`` pixels wide and high; None if it does not decode."""
    if image is None or image["bytes"] is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(image["bytes"])).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # Pillow's names for every kind of broken image; `git10m verify` is what names them.
        return None
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _encoded(picture: Image.Image, side: int, quality: int) -> bytes:
    smaller = picture.copy()
    smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    smaller.save(stream, format="WEBP", quality=quality, method=4)
    return stream.getvalue()
