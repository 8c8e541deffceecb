"""Vector layers that a recipe names, read whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio.errors

from git10m.errors import RecipeError, SourceError

__all__ = ["read_vector", "tidy"]


def read_vector(path: str, *, columns: Sequence[str]) -> geopandas.GeoDataFrame:
    """Read a vector layer, in the CRS that it states.

    Args:
        path: File that GDAL reads.
        columns: Attributes that it must have.

    Raises:
        RecipeError: If a column is missing.
        SourceError: If the file cannot be read, has no geometry, or states no coordinate reference system.
    """
    try:
        frame = geopandas.read_file(path)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise SourceError(f"{path}: the vector layer cannot be read ({error}); name a file that GDAL reads") from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise SourceError(f"{path}: the layer has no geometry; name a layer of points or polygons")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        known = ", ".join(str(column) for column in frame.columns if column != frame.geometry.name)
        raise RecipeError(f"{path}: no column {missing[0]!r}; the layer has {known or 'none'}")
    if frame.crs is None:
        raise SourceError(f"{path}: the layer states no coordinate reference system; add one to it")
    return frame


def tidy(value: Any) -> str | None:
    """Return a value as text with single spaces, a list as its items; None for null and for nothing but spaces."""
    if isinstance(value, list | tuple | np.ndarray):
        return " and ".join(text for item in value if (text := tidy(item)) is not None) or None
    if pandas.isna(value):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # integers with nulls among them arrive as floats
    return " ".join(str(value).split()) or None
