"""Vector layers at paths and addresses: GeoJSON, GeoPackage, whatever GDAL reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from git10m.errors import RecipeError, SourceError
from git10m.recipe import shown
from git10m.remote import read_bytes

if TYPE_CHECKING:
    import geopandas

__all__ = ["read_vectors"]


def read_vectors(path: str, *, layer: str | None = None, columns: Sequence[str] = ()) -> geopandas.GeoDataFrame:
    """Read a vector layer whole, in the CRS that it states.

    Args:
        path: File that GDAL reads, or its address; what http and s3 hold is fetched whole.
        layer: Layer of the file; None: its first.
        columns: Attributes that it must have.

    Raises:
        RecipeError: If a column is missing.
        SourceError: If the file cannot be read, has no geometry, or states no coordinate reference system.
    """
    import geopandas  # noqa: PLC0415 - half a second that only recipes with a vector file need

    name = shown(path)
    with _at_hand(path) as file:
        try:
            frame = geopandas.read_file(file, **({} if layer is None else {"layer": layer}))
        except Exception as error:
            asked = f"layer {layer!r} of it " if layer is not None else ""
            # GDAL names the file by all of its path.
            said = str(error).replace(file, name)
            raise SourceError(
                f"{name}: {asked}cannot be read as a vector file ({said}); give GeoJSON or GeoPackage"
            ) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise SourceError(f"{name}: the layer has no geometry; give one of polygons, lines or points")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        known = ", ".join(str(column) for column in frame.columns if column != frame.geometry.name)
        raise RecipeError(f"{name}: no column {missing[0]!r}; the layer has {known or 'none'}")
    if frame.crs is None:
        raise SourceError(f"{name}: the layer states no coordinate reference system; add one to it")
    return frame


@contextmanager
def _at_hand(path: str) -> Iterator[str]:
    """Yield the path of a file, for an address that of a copy, whose name tells GDAL its format."""
    if not path.startswith(("http://", "https://", "s3://")):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="git10m-layer-") as folder:
        copy = Path(folder, shown(path))
        copy.write_bytes(read_bytes(path))
        yield str(copy)
