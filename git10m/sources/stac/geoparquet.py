"""Items out of stac-geoparquet: a file or a folder of them, here, on s3, or on a web server."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import shapely

from git10m.errors import SourceError
from git10m.remote import s3_file
from git10m.sources.stac.transport import Transport, without_query

__all__ = ["is_table", "table_collections", "table_items"]

_ENDINGS = (".parquet", ".geoparquet", ".gpq", ".pq")
_BATCH_ROWS = 512


def is_table(address: str) -> bool:
    """Tell a table of items by its name, or a folder that holds some."""
    folder = Path(address)
    return without_query(address).lower().endswith(_ENDINGS) or (
        folder.is_dir() and any(file.suffix in _ENDINGS for file in folder.rglob("*"))
    )


def table_items(address: str, *, transport: Transport, area: Any, store: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the items of a table whose box meets an area, batch by batch; memory stays flat.

    A file on a web server is fetched whole first.

    Raises:
        SourceError: If it cannot be read, or holds no items.
    """
    from stac_geoparquet.arrow import stac_table_to_items  # noqa: PLC0415 - it loads pandas, for half a second

    with tempfile.TemporaryDirectory(dir=store, prefix=".table-") as folder:
        try:
            table = _open(address, transport=transport, folder=Path(folder))
            lacking = {"id", "assets", "geometry"} - set(table.schema.names)
            if lacking:
                raise SourceError(
                    f"{_name(address)}: has no column {', '.join(sorted(lacking))}; expected stac-geoparquet, "
                    "a row an item"
                )
            for batch in table.to_batches(filter=_near(table.schema, area), batch_size=_BATCH_ROWS, use_threads=False):
                if batch.num_rows:
                    yield from stac_table_to_items(pa.Table.from_batches([batch]))
        except (pa.ArrowException, OSError) as error:
            why = str(error).strip().splitlines()[0][:200]
            raise SourceError(f"{_name(address)}: cannot be read as stac-geoparquet ({why}); fetch it again") from error


def table_collections(address: str) -> dict[str, Mapping[str, Any]]:
    """Return the collections that a file's metadata holds, by id; of a file on a web server none."""
    if address.startswith(("http://", "https://")):
        return {}
    try:
        where = s3_file(address) if address.startswith("s3://") else address
        metadata = pa.parquet.read_schema(where).metadata or {} if not Path(address).is_dir() else {}
        said = json.loads(metadata.get(b"stac-geoparquet", b"{}"))
    except (pa.ArrowException, OSError, ValueError):
        return {}
    listed = said.get("collections") or said.get("collection") or {}
    found = listed.values() if isinstance(listed, dict) and "id" not in listed else [listed]
    return {str(each["id"]): each for each in found if isinstance(each, dict) and "id" in each}


def _open(address: str, *, transport: Transport, folder: Path) -> Any:
    import pyarrow.dataset  # noqa: PLC0415 - only tables need it

    if address.startswith("s3://"):
        fragment = pyarrow.dataset.ParquetFileFormat().make_fragment(s3_file(address))
        return pyarrow.dataset.FileSystemDataset([fragment], fragment.physical_schema, fragment.format)
    if address.startswith(("http://", "https://")):
        return pyarrow.dataset.dataset(transport.fetch(address, folder / "items.parquet"), format="parquet")
    return pyarrow.dataset.dataset(address, format="parquet")


def _near(schema: pa.Schema, area: Any) -> Any:
    """Return the condition on the column of boxes; those of items that cross ±180° run from east to west."""
    if area is None or "bbox" not in schema.names or not pa.types.is_struct(schema.field("bbox").type):
        return None
    found = None
    for turn in (-360.0, 0.0, 360.0):
        west, south, east, north = area.bounds
        part = shapely.box(west + turn, south, east + turn, north).intersection(shapely.box(-180, -90, 180, 90))
        if part.is_empty:
            continue
        west, south, east, north = part.bounds
        box = {side: pc.field("bbox", side) for side in ("xmin", "ymin", "xmax", "ymax")}
        across = (box["xmin"] <= east) & (box["xmax"] >= west) | (box["xmin"] > box["xmax"])
        meets = across & (box["ymin"] <= north) & (box["ymax"] >= south)
        found = meets if found is None else found | meets
    return found


def _name(address: str) -> str:
    plain = without_query(address)
    return plain if "://" in plain else Path(plain).name
