"""Vector layers at paths and addresses: GeoJSON, GeoPackage, whatever GDAL reads."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from git10m.errors import RecipeError, SourceError
from git10m.grid import MAX_LATITUDE
from git10m.recipe import is_address, shown
from git10m.remote import content_digest, copy_file

if TYPE_CHECKING:
    import geopandas

__all__ = ["at_hand", "layer_digest", "mercator", "read_vectors"]


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
    with at_hand(path) as file:
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


def mercator(geometries: npt.NDArray[Any], *, crs: Any = "OGC:CRS84") -> npt.NDArray[Any]:
    """Project geometries to EPSG:3857; long edges get vertices, for a straight edge bends under projection.

    Args:
        geometries: Of shapely, shape (n,).
        crs: Their coordinate reference system, as pyproj understands it.
    """
    system = pyproj.CRS.from_user_input(crs)
    if system.is_geographic:
        flat = shapely.intersection(geometries, _MAP) if _beyond(geometries) else geometries
        flat = shapely.segmentize(flat, 0.05)
    else:
        flat = shapely.segmentize(geometries, 5000.0 / system.axis_info[0].unit_conversion_factor)
    project = pyproj.Transformer.from_crs(system, "EPSG:3857", always_xy=True)

    def moved(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(project.transform(points[:, 0], points[:, 1]))

    projected: npt.NDArray[Any] = shapely.transform(flat, moved)
    return projected


_MAP = shapely.box(-180.0, -MAX_LATITUDE, 180.0, MAX_LATITUDE)


def _beyond(geometries: npt.NDArray[Any]) -> bool:
    """Tell whether any geometry in degrees reaches beyond the map."""
    box = shapely.total_bounds(geometries)
    return bool(box[0] < -180.0 or box[1] < -MAX_LATITUDE or box[2] > 180.0 or box[3] > MAX_LATITUDE)


def layer_digest(path: str) -> str:
    """Return a digest of a vector file's content, as `remote.content_digest`; of a shapefile with all its parts."""
    if path.lower().endswith(".shp") and not is_address(path):
        parts = sorted(part for part in Path(path).parent.glob(f"{glob.escape(Path(path).stem)}.*") if part.is_file())
        return "/".join(f"{part.suffix.lower()}={content_digest(str(part))}" for part in parts)
    return content_digest(path)


@contextmanager
def at_hand(path: str, *, folder: Path | None = None) -> Iterator[str]:
    """Yield the path of a file, for an address that of a copy, whose name tells GDAL its format.

    Args:
        path: File or address.
        folder: Where a copy goes for as long as it is needed; None: the system's folder for such.

    Raises:
        SourceError: If an address does not give its file.
    """
    if not path.startswith(("http://", "https://", "s3://")):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="git10m-layer-", dir=folder) as place:
        copy = Path(place, shown(path))
        copy_file(path, copy)
        yield str(copy)
