"""The pictures of the report: a few tiles of every level and source, and a few of every reason for refusal."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from git10m.grid import nominal_resolution_m
from git10m.report.footprints import position
from git10m.report.summary import Collected, open_table

__all__ = ["Refused", "Shown", "chosen_refusals", "chosen_tiles", "data_uri", "pick"]

TILES = 60
REFUSALS = 24
THUMBNAIL_PX = 224
CAPTION_CHARACTERS = 1_000

_DATE_FORMATS = {"year": "%Y", "month": "%Y-%m", "second": "%Y-%m-%d %H:%M UTC"}

_COLUMNS = (
    "img_name",
    "caption",
    "level",
    "Google_location",
    "quadkey",
    "lon",
    "lat",
    "gsd_m",
    "native_gsd_m",
    "source_id",
    "licence",
    "acquired_at",
    "acquired_precision",
    "split",
    "file",
    "row",
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A tile of the gallery: its picture as a data address (None: does not decode), caption and facts."""

    picture: str | None
    name: str
    level: int
    caption: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A planned tile that did not become a row; ``twin`` is the picture of the one that it is like."""

    picture: str | None
    twin: str | None
    name: str
    verdict: str
    reason: str
    detail: str
    facts: tuple[str, ...]


def pick(strata: npt.NDArray[np.int32], *, at_most: int) -> list[int]:
    """Choose row numbers, shared out evenly over strata and spread evenly within each.

    Rows are sorted by place, so an even spread along the file is one over the ground too.

    Args:
        strata: Stratum of every row, numbers from 0.
        at_most: Rows to choose.

    Returns:
        Row numbers, rising.
    """
    sizes = np.bincount(strata)
    present = np.flatnonzero(sizes)
    if len(present) > at_most:
        present = present[np.arange(at_most) * len(present) // at_most]
    shares = np.zeros(len(sizes), int)
    while shares.sum() < at_most and (short := [code for code in present if shares[code] < sizes[code]]):
        shares[short[: at_most - int(shares.sum())]] += 1
    chosen: list[int] = []
    for code in present:
        rows = np.flatnonzero(strata == code)
        chosen += rows[((np.arange(shares[code]) + 0.5) * len(rows) / shares[code]).astype(int)].tolist()
    return sorted(chosen)


def chosen_tiles(folder: Path, found: Collected) -> list[Shown]:
    """Return the gallery's tiles, by level and then place; the same ones for the same dataset."""
    with open_table(folder, "index.parquet") as index:
        entries = list(_rows(index, pick(found.strata, at_most=TILES), _COLUMNS))
    wanted: dict[str, list[int]] = {}
    for entry in entries:
        wanted.setdefault(entry["file"], []).append(entry["row"])
    pictures: dict[tuple[str, int], str | None] = {}
    for name, rows in wanted.items():
        with open_table(folder, name) as shard:
            for row, record in zip(sorted(rows), _rows(shard, sorted(rows), ["image"]), strict=True):
                pictures[name, row] = _thumbnail(record["image"])
    # Files are sorted one by one, and each split has files of its own.
    entries.sort(key=lambda entry: (entry["level"], entry["quadkey"] or "", entry["img_name"]))
    return [_shown(entry, pictures[entry["file"], entry["row"]]) for entry in entries]


def chosen_refusals(folder: Path, found: Collected) -> list[Refused]:
    """Return some rejections of every verdict and reason."""
    with open_table(folder, "rejected.parquet") as file:
        names = [name for name in file.schema_arrow.names if name not in {"x", "y", "layer"}]
        entries = list(_rows(file, pick(found.reason_strata, at_most=REFUSALS), names))
    twins = _named(folder, {entry["duplicate_of"] for entry in entries} - {None})
    return [
        Refused(
            picture=_thumbnail(entry["thumbnail"]),
            twin=twins.get(entry["duplicate_of"]),
            name=entry["Google_location"] or entry["item"] or "",
            verdict=entry["verdict"],
            reason=entry["reason"],
            detail=_cut(entry["detail"]),
            facts=(*_place(entry), entry["source_id"]),
        )
        for entry in sorted(entries, key=lambda entry: (entry["verdict"], entry["reason"]))
    ]


def data_uri(content: bytes, *, kind: str) -> str:
    """Return bytes as an address that needs no file, e.g. ``data:image/webp;base64,…``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _named(folder: Path, names: set[str]) -> dict[str, str | None]:
    """Return the pictures of images by their names; those that are in no shard, as of other sets, are left out."""
    found: dict[str, str | None] = {}
    if not names:
        return found
    where: dict[str, dict[int, str]] = {}
    with open_table(folder, "index.parquet") as index:
        for batch in index.iter_batches(columns=["img_name", "file", "row"]):
            here = pa.Table.from_batches([batch])
            for entry in here.filter(pc.is_in(here["img_name"], pa.array(sorted(names)))).to_pylist():
                where.setdefault(entry["file"], {})[entry["row"]] = entry["img_name"]
    for file, rows in where.items():
        with open_table(folder, file) as shard:
            for row, record in zip(sorted(rows), _rows(shard, sorted(rows), ["image"]), strict=True):
                found[rows[row]] = _thumbnail(record["image"])
    return found


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


def _place(entry: Mapping[str, Any]) -> tuple[str, ...]:
    if entry["lon"] is None:
        return ("place unknown",)
    return f"level {entry['level']}", position(entry["lon"], entry["lat"])


def _shown(entry: Mapping[str, Any], picture: str | None) -> Shown:
    level = int(entry["level"])
    facts = []
    if entry["gsd_m"] is not None:
        facts.append(f"{entry['gsd_m']:.3g} m/px on the ground (nominal {nominal_resolution_m(level):g})")
        if entry["native_gsd_m"] is not None and entry["native_gsd_m"] > entry["gsd_m"]:
            facts.append(f"source {entry['native_gsd_m']:.3g} m/px")
    else:
        facts.append("resolution unknown")
    if entry["lon"] is not None:
        facts.append(position(entry["lon"], entry["lat"]))
    facts.append(_date(entry["acquired_at"], entry["acquired_precision"]))
    facts += [str(entry[name]) for name in ("source_id", "licence", "split") if entry[name] is not None]
    caption = _cut(entry["caption"] or "")
    return Shown(picture, entry["Google_location"] or entry["img_name"], level, caption, tuple(facts))


def _date(moment: datetime | None, precision: str | None) -> str:
    """Write a date as exactly as it is known."""
    return "date unknown" if moment is None else moment.strftime(_DATE_FORMATS.get(precision or "day", "%Y-%m-%d"))


def _cut(text: str) -> str:
    return text if len(text) <= CAPTION_CHARACTERS else text[: CAPTION_CHARACTERS - 1] + "…"


def _thumbnail(image: Mapping[str, Any] | None) -> str | None:
    """Return an image, at most ``THUMBNAIL_PX`` a side, as a WebP data address; None if it does not decode."""
    if image is None or image["bytes"] is None:
        return None
    try:
        picture = Image.open(io.BytesIO(image["bytes"])).convert("RGB")
    except OSError:
        # Pillow's name for every kind of broken image; `git10m verify` is what names them.
        return None
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="WEBP", quality=82, method=4)
    return data_uri(stream.getvalue(), kind="webp")
