"""A finished dataset folder of some sixty tiles, written without the build: what report, card and index start from."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from PIL import Image

from git10m import records
from git10m.grid import Tile, nominal_resolution_m
from git10m.publish import write_card, write_index

HOSTILE_CAPTION = 'Fields <script>alert("x")</script> & a road | seen from above.'
SPLITS = {1: "validation", 3: "test"}


@dataclass
class Contents:
    """Rows and rejections of a dataset under construction."""

    rows: list[records.Row] = field(default_factory=list)
    rejections: list[records.Rejection] = field(default_factory=list)


def landscape(tile: Tile, *, size: int = 256) -> Image.Image:
    """Paint hills and fields that continue from tile to tile and from level to level."""
    west, south, east, north = tile.bounds_m
    x = np.linspace(west, east, size, endpoint=False)[None, :] / 300.0
    y = np.linspace(north, south, size, endpoint=False)[:, None] / 300.0
    height = np.sin(x + np.cos(y * 0.7)) + np.sin(y * 1.3 + np.sin(x * 0.4))
    parcels = (np.floor(x * 2) * 7 + np.floor(y * 2) * 13) % 5
    rgb = np.stack([90 + 25 * height + 9 * parcels, 110 + 30 * height, 70 + 15 * height - 6 * parcels], axis=-1)
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, *, quality: int = 90) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=quality)
    return stream.getvalue()


def make_row(tile: Tile, *, source_id: str, caption: str | None, date: datetime | None, image: bytes) -> records.Row:
    west, south, east, north = tile.bounds
    cell = tile.parent(max(tile.level - 12, 0))
    name = f"{tile.name}_{source_id}.jpg"
    return records.Row(
        image={"bytes": image, "path": name},
        img_name=name,
        caption=caption,
        caption_length=len(caption.split()) if caption else None,
        resolution=nominal_resolution_m(tile.level),
        Google_location=tile.name,
        quadkey=tile.quadkey,
        level=tile.level,
        x=tile.x,
        y=tile.y,
        lon=tile.centre[0],
        lat=tile.centre[1],
        gsd_m=tile.gsd_m(),
        native_gsd_m=4.0,
        width=256,
        height=256,
        geometry=shapely.box(west, south, east, north, ccw=True).wkb,
        bbox={"xmin": west, "ymin": south, "xmax": east, "ymax": north},
        source_id=source_id,
        source_item=f"{source_id}.tif",
        licence="CC0-1.0" if source_id == "north" else "CC-BY-4.0",
        attribution=f"The {source_id} survey",
        acquired_at=date,
        sources=[],
        sha256=hashlib.sha256(image).hexdigest(),
        valid_fraction=1.0 - (tile.x % 3) / 100,
        caption_source="template",
        split=SPLITS.get((cell.x + cell.y) % 4, "train"),
    )


def block(contents: Contents, *, lon: float, lat: float, level: int, side: int, source_id: str) -> None:
    """Add a block of tiles around a point; the last column is rejected."""
    corner = Tile.from_lonlat(lon, lat, level)
    date = datetime(2020, 7, 14, tzinfo=UTC) if source_id == "north" else None
    for index in range(side * side):
        tile = Tile(level, corner.x + index % side, corner.y + index // side)
        image = landscape(tile)
        if index % side == side - 1:
            failed = index == side - 1
            contents.rejections.append(
                records.Rejection(
                    source_id=source_id,
                    layer="imagery",
                    Google_location=tile.name,
                    level=level,
                    x=tile.x,
                    y=tile.y,
                    lon=tile.centre[0],
                    lat=tile.centre[1],
                    verdict="failed" if failed else "dropped",
                    reason="read" if failed else "valid_fraction",
                    detail="block 3 is truncated" if failed else "0.41 < 0.95",
                    valid_fraction=None if failed else 0.41,
                    thumbnail=None
                    if failed
                    else {"bytes": encoded(image.resize((64, 64))), "path": f"{tile.name}.jpg"},
                )
            )
            continue
        words = "a summer day" if date else "an unknown day"
        caption = HOSTILE_CAPTION if index == 0 else f"Fields and low hills at level {level} on {words}, tile {index}."
        contents.rows.append(
            make_row(tile, source_id=source_id, caption=caption, date=date, image=encoded(image)),
        )


def without_place(row: records.Row) -> records.Row:
    """Turn a row into one of level 0: an image whose resolution nobody knows."""
    nothing = dict.fromkeys(records.PLACE_COLUMNS)
    return replace(row, **nothing, level=0, img_name="unplaced.jpg", caption=None, caption_length=None, licence=None)


def write_dataset(folder: Path, contents: Contents, *, synthetic: bool, row_group_rows: int = 7) -> Path:
    """Write shards, index, rejections, manifest and card as a build does."""
    (folder / "data").mkdir(parents=True)
    rows = [replace(row, synthetic=synthetic) for row in contents.rows]
    rows.sort(key=lambda row: (row.level, row.quadkey or "", row.source_id))
    shards: list[Path] = []
    for split in ("train", "validation", "test"):
        chosen = [row for row in rows if row.split == split]
        halves = [chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :]] if split == "train" else [chosen]
        for number, part in enumerate(halves if chosen else []):
            path = folder / "data" / f"{split}-{number:05d}-of-{len(halves):05d}.parquet"
            pq.write_table(records.table(part), path, row_group_size=row_group_rows)
            shards.append(path)
    pq.write_table(records.table(contents.rejections, record=records.Rejection), folder / "rejected.parquet")
    write_index(shards, folder / "index.parquet")
    manifest = make_manifest(rows, contents.rejections, synthetic=synthetic)
    manifest["files"] = {
        path.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "rows": pq.read_metadata(path).num_rows,
            "bytes": path.stat().st_size,
        }
        for path in [*shards, folder / "index.parquet"]
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    write_card(folder)
    return folder


def make_manifest(rows: list[records.Row], rejections: list[records.Rejection], *, synthetic: bool) -> dict:
    reasons = {
        verdict: Counter(r.reason for r in rejections if r.verdict == verdict) for verdict in ("dropped", "failed")
    }
    items = [
        {
            "source_id": source,
            "item": f"{source}{suffix}.tif",
            "crs": None if suffix else "EPSG:32633",
            "native_gsd_m": None if suffix else 4.0,
            "width": None if suffix else 3000,
            "height": None if suffix else 2000,
            "bands": None if suffix else [1, 2, 3],
            "scale": None,
            "acquired_at": None,
            "licence": "CC0-1.0" if source == "north" else "CC-BY-4.0",
            "attribution": f"The {source} survey",
            "error": "not a raster: the file begins with <html>" if suffix else None,
        }
        for source, suffix in (("north", ""), ("south", ""), ("south", "-broken"))
    ]
    return {
        "name": "small",
        "version": "1.0",
        "description": "Sixty tiles for the tests.",
        "git10m_version": "0.1.0",
        "fingerprint": "0123456789abcdef",
        "recipe": {"name": "small", "tiles": {"levels": [14, 15], "oversample": False}, "image": {"format": "jpeg"}},
        "synthetic": synthetic,
        "counts": {
            "planned": len(rows) + len(rejections),
            "kept": len(rows),
            "dropped": dict(reasons["dropped"]),
            "failed": dict(reasons["failed"]),
            "splits": dict(Counter(row.split for row in rows)),
            "levels": {str(level): n for level, n in sorted(Counter(row.level for row in rows).items())},
            "sources": dict(Counter(row.source_id for row in rows)),
        },
        "items": items,
        "licences": ["CC-BY-4.0", "CC0-1.0"],
        "attributions": ["The north survey", "The south survey"],
        "versions": {"python": "3.11", "rasterio": "1.4"},
    }


def small_contents() -> Contents:
    contents = Contents()
    block(contents, lon=14.40, lat=50.05, level=14, side=5, source_id="north")
    block(contents, lon=14.40, lat=50.05, level=15, side=5, source_id="north")
    block(contents, lon=-71.30, lat=-33.45, level=15, side=4, source_id="south")
    contents.rows.append(without_place(contents.rows[3]))
    return contents


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset folder; shared by tests, so none of them changes it."""
    return write_dataset(tmp_path_factory.mktemp("small") / "dataset", small_contents(), synthetic=False)


@pytest.fixture(scope="session")
def synthetic_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, marked as computed imagery."""
    return write_dataset(tmp_path_factory.mktemp("computed") / "dataset", small_contents(), synthetic=True)
