"""The Major TOM grid (Francis & Czerkawski 2024, arXiv 2402.12095): cells of about equal size all over the globe.

Rows lie evenly between the poles, as many as it takes for a height of at most D km on a sphere of 6,378.137 km; each
row has as many columns of equal width as its southern edge needs. A cell is named by its south-west corner:
``"0U_0R"`` north-east of the origin, ``"1D_1L"`` south-west of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.grid import FloatArray, IntArray

__all__ = ["cell_centres", "cell_indices", "major_tom_cells"]

_RADIUS_KM = 6378.137


def cell_indices(lon: FloatArray, lat: FloatArray, *, cell_km: float) -> tuple[IntArray, IntArray]:
    """Return (row, column) of the cells that hold some points; rows count northward, columns eastward from 0.

    Args:
        lon: Degrees, −180…180.
        lat: Degrees.
        cell_km: D, kilometres.
    """
    height = _row_height(cell_km)
    row = np.floor(lat / height).astype(np.int64)
    columns = _columns(row * height, cell_km)
    column = np.floor(lon * columns / 360.0).astype(np.int64)
    # With an odd number of columns one cell lies across the antimeridian; it counts as the easternmost.
    column = np.where(column < -(columns // 2), column + columns, column)
    return row, column


def cell_centres(row: IntArray, column: IntArray, *, cell_km: float) -> tuple[FloatArray, FloatArray]:
    """Return (lon, lat) of the centres of cells."""
    height = _row_height(cell_km)
    width = 360.0 / _columns(row * height, cell_km)
    lon = (column + 0.5) * width
    return np.where(lon > 180.0, lon - 360.0, lon).astype(np.float64), ((row + 0.5) * height).astype(np.float64)


def major_tom_cells(lon: FloatArray, lat: FloatArray, *, cell_km: float) -> list[str]:
    """Return the names of the cells that hold some points in degrees, e.g. ``"922D_249L"``."""
    row, column = cell_indices(lon, lat, cell_km=cell_km)
    return [
        f"{abs(r)}{'U' if r >= 0 else 'D'}_{abs(c)}{'R' if c >= 0 else 'L'}"
        for r, c in zip(row.tolist(), column.tolist(), strict=True)
    ]


def _row_height(cell_km: float) -> float:
    return float(180.0 / np.ceil(np.pi * _RADIUS_KM / cell_km))


def _columns(lat: npt.NDArray[np.floating[Any]], cell_km: float) -> npt.NDArray[np.int64]:
    around_km = 2.0 * np.pi * _RADIUS_KM * np.cos(np.radians(lat))
    columns: IntArray = np.maximum(1, np.ceil(around_km / cell_km)).astype(np.int64)
    return columns
