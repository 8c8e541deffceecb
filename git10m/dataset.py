"""A finished dataset, for reading."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from git10m.publish import read_manifest
from git10m.shards import read_tables

__all__ = ["Dataset"]


class Dataset:
    """Rows of a dataset by position, in the order of its shards, with decoded images.

    Args:
        folder: Dataset folder, as ``git10m build`` makes it.

    Raises:
        DatasetError: If the folder holds no finished dataset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)

    @cached_property
    def index(self) -> Any:
        """All rows without images as a ``geopandas.GeoDataFrame`` (EPSG:4326)."""
        import geopandas  # noqa: PLC0415 - half a second that plain reading does not need

        return geopandas.read_parquet(self.folder / "index.parquet")

    def __len__(self) -> int:
        return int(self.manifest["counts"]["kept"])

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Return one row; ``row["image"]`` is a ``PIL.Image``. Reads one row group.

        Raises:
            IndexError: If there is no such row.
        """
        at = position + len(self) if position < 0 else position
        if not 0 <= at < len(self):
            raise IndexError(f"row {position} of a dataset of {len(self)} rows")
        file, row = (self._place[name][at].as_py() for name in ("file", "row"))
        reader = _reader(self.folder / file)
        groups = np.cumsum([reader.metadata.row_group(i).num_rows for i in range(reader.num_row_groups)])
        group = int(np.searchsorted(groups, row, side="right"))
        within = row - (int(groups[group - 1]) if group else 0)
        found: dict[str, Any] = reader.read_row_group(group).slice(within, 1).to_pylist()[0]
        return _decoded(found)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for name in self.manifest["files"]:
            if name.startswith("data/"):
                for table in read_tables(self.folder / name):
                    yield from (_decoded(row) for row in table.to_pylist())

    def __repr__(self) -> str:
        counts = self.manifest["counts"]
        return f"Dataset({self.manifest['name']!r}, {counts['kept']} rows, levels {', '.join(counts['levels'])})"

    @cached_property
    def _place(self) -> pa.Table:
        return pq.read_table(self.folder / "index.parquet", columns=["file", "row"])


@lru_cache(maxsize=16)
def _reader(path: Path) -> Any:
    return pq.ParquetFile(path)


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    """Open the image of a row, and its further ones."""
    return {
        name: _opened(value) if name == "image" or name.startswith("image_") else value for name, value in row.items()
    }


def _opened(image: dict[str, Any] | None) -> Image.Image | None:
    if image is None:
        return None
    with Image.open(io.BytesIO(image["bytes"])) as opened:
        opened.load()
        return opened
