"""Dataset folders of given pictures, as far as a restorer's training reads them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from git10m import records
from git10m.curation.quality import measure

__all__ = ["png", "tile_row", "write_tiles"]


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def tile_row(name: str, pixels: np.ndarray, *, split: str = "train", **columns: Any) -> records.Row:
    """A row of level 0 with a picture, scored."""
    height, width = pixels.shape[:2]
    encoded = png(pixels)
    known: dict[str, Any] = {
        "img_quality_score": measure(pixels, np.ones((height, width), dtype=bool)).score,
        "valid_fraction": 1.0,
    }
    return records.Row(
        image={"bytes": encoded, "path": name},
        img_name=name,
        level=0,
        width=width,
        height=height,
        source_id="tests",
        sha256=hashlib.sha256(encoded).hexdigest(),
        split=split,
        **{**known, **columns},
    )


def write_tiles(folder: Path, rows: Mapping[str, Iterable[records.Row]], *, group_rows: int = 8) -> Path:
    """Write ``data/SPLIT-00000-of-00001.parquet`` for each split."""
    (folder / "data").mkdir(parents=True)
    for split, listed in rows.items():
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        pq.write_table(records.table(listed), path, row_group_size=group_rows)
    return folder
