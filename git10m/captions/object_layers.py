"""Objects out of files: extracts of OpenStreetMap through pyosmium, any other vector layer through GDAL.

What a feature of another layer is stands in the recipe (``kind``, ``attribute``), or in columns that are named like
tags of OpenStreetMap.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import shapely

from git10m import recipe
from git10m.captions.osm_extract import (
    BATCH,
    TAGS,
    Batch,
    Bounds,
    Shape,
    is_osm_file,
    need_osmium,
    osm_name,
    read_osm,
    stated_box,
    within,
)
from git10m.captions.vocabulary import KINDS, OSM_KEYS, kinds_of, stated_width_m
from git10m.captions.wording import tidy
from git10m.errors import RecipeError, SourceError
from git10m.recipe import shown
from git10m.vectors import mercator

__all__ = ["check_layer", "object_files", "read_objects"]

VECTOR_SUFFIXES = frozenset(
    {".pbf", ".osm", ".bz2", ".geojson", ".json", ".gpkg", ".fgb", ".shp", ".parquet", ".gml", ".kml"}
)
"""What is taken from a folder."""

_BAGS = ("other_tags", "tags", "all_tags")
"""Columns in which GDAL, osm2pgsql and others put what has no column of its own."""


def object_files(layer: recipe.Objects) -> list[str]:
    """List the files of a layer, each once.

    Raises:
        RecipeError: If there are none.
    """
    from git10m.sources.files import expand  # noqa: PLC0415

    found = [file for _, file in expand(layer.path, suffixes=VECTOR_SUFFIXES)]
    if not found:
        raise RecipeError(f"captions.objects.path = {layer.path!r} matches no file; give an .osm.pbf or a vector file")
    return list(dict.fromkeys(found))


def check_layer(layer: recipe.Objects, path: str) -> None:
    """Look at what can be told of a file without reading it whole: its format, columns, CRS.

    Raises:
        RecipeError: If a column is missing, nothing says what its features are, or an extra is not installed.
        SourceError: If the file cannot be opened, or states no CRS.
    """
    if is_osm_file(path):
        need_osmium()
        if layer.kind is not None or layer.attribute is not None:
            raise RecipeError(
                f"{shown(path)}: the tags of an extract of OpenStreetMap say what things are; leave kind and attribute "
                "away"
            )
        if "://" not in path:
            stated_box(path)
        return
    if "://" not in path:
        _layout(layer, path)


def read_objects(layer: recipe.Objects, path: str, *, bounds: Bounds | None, scratch: Path) -> Iterator[Batch]:
    """Yield the objects of a file, batch by batch, in the file's order.

    Args:
        layer: How it is read.
        path: The file.
        bounds: What lies outside is left out; None: all is taken.
        scratch: Folder for temporary files.

    Raises:
        RecipeError: If nothing in the file is of a known kind because the recipe misses its column's values.
        SourceError: If it cannot be read to its end.
    """
    if is_osm_file(path):
        yield from read_osm(path, bounds=bounds, scratch=scratch)
    else:
        yield from _read_layer(layer, path, bounds=bounds)


# --- any other layer -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """How a layer says what its features are.

    Attributes:
        tags: Column by tag of OpenStreetMap, where the layer has such columns.
        bags: Columns that hold several tags as text.
        name: Column of names, if there is one.
        crs: Of the layer.
        count: Features; −1 where the format does not say.
    """

    tags: Mapping[str, str]
    bags: tuple[str, ...]
    name: str | None
    crs: Any
    count: int

    def columns(self, layer: recipe.Objects) -> list[str]:
        """Return the columns to read, each once."""
        asked = [layer.attribute, self.name, *self.tags.values(), *self.bags]
        return list(dict.fromkeys(column for column in asked if column is not None))


def _layout(layer: recipe.Objects, path: str) -> _Layout:
    columns, crs, count = _parquet_info(path) if _is_parquet(path) else _gdal_info(layer, path)
    if crs is None:
        raise SourceError(f"{shown(path)}: the layer states no coordinate reference system; add one to it")
    for column in (layer.attribute, layer.name):
        if column is not None and column not in columns:
            raise RecipeError(f"{shown(path)}: no column {column!r}; the layer has {', '.join(columns) or 'none'}")
    name = layer.name or next((column for column in columns if column.lower() == "name"), None)
    if layer.kind is not None or layer.attribute is not None:
        return _Layout({}, (), name, crs, count)
    tags = {tag: column for tag in TAGS if (column := _column_of(tag, columns)) is not None}
    bags = tuple(column for column in columns if column in _BAGS)
    if not set(tags) & set(OSM_KEYS) and not bags:
        raise RecipeError(
            f"{shown(path)}: nothing says what its features are: it has no column of OpenStreetMap "
            f"(building, highway, …) but {', '.join(columns) or 'none'}; "
            'say kind = "building", or attribute = "COLUMN" with kinds = {VALUE = "lake"}'
        )
    return _Layout(tags, bags, name, crs, count)


def _column_of(tag: str, columns: Sequence[str]) -> str | None:
    """Return the column of a tag; shapefiles cut names to ten characters and know no colon."""
    short = tag.replace(":", "_")
    return next(
        (column for column in columns if column in {tag, short} or (column == short[:10] and short != tag)), None
    )


def _gdal_info(layer: recipe.Objects, path: str) -> tuple[list[str], Any, int]:
    try:
        info = pyogrio.read_info(path, layer=layer.layer, force_feature_count=False)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError, OSError) as error:
        said = str(error).replace(path, shown(path))
        raise SourceError(
            f"{shown(path)}: cannot be read as a vector file ({said}); give .osm.pbf, GeoPackage, FlatGeobuf, "
            "GeoJSON, GeoParquet or a shapefile"
        ) from error
    if info["geometry_type"] is None:
        raise SourceError(f"{shown(path)}: the layer has no geometry; give one of polygons, lines or points")
    return [str(column) for column in info["fields"]], info["crs"], int(info["features"])


def _is_parquet(path: str) -> bool:
    return shown(path).lower().endswith((".parquet", ".geoparquet"))


def _parquet_info(path: str) -> tuple[list[str], Any, int]:
    """Return columns, CRS and rows of a GeoParquet file."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (OSError, pa.ArrowInvalid) as error:
        raise SourceError(f"{shown(path)}: not a readable parquet file ({error}); fetch it again") from error
    geo = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    column = geo.get("columns", {}).get(geo.get("primary_column"))
    if column is None or column.get("encoding") != "WKB":
        raise SourceError(f"{shown(path)}: not GeoParquet with a geometry column of WKB; write it with geopandas")
    crs = column.get("crs", "OGC:CRS84")
    return [name for name in schema.names if name != geo["primary_column"]], crs, rows


def _read_layer(layer: recipe.Objects, path: str, *, bounds: Bounds | None) -> Iterator[Batch]:
    layout = _layout(layer, path)
    kind_of = _kinds_by(layer, layout)
    known, seen, values = 0, 0, set[str]()
    for columns, wkb in _chunks(layer, path, layout):
        geometries = shapely.force_2d(shapely.from_wkb(wkb, on_invalid="ignore"))
        seen += len(geometries)
        batch, missed = _batch(layer, layout, columns, geometries, kind_of=kind_of, bounds=bounds)
        known += len(batch.kinds)
        values |= missed
        if batch.kinds:
            yield batch
    if 0 <= seen < layout.count:
        raise SourceError(
            f"{shown(path)}: {seen} of its {layout.count} features could be read; it may be damaged: fetch it again"
        )
    if not known and values and bounds is None:
        raise _no_kind(layer, path, values)


def _no_kind(layer: recipe.Objects, path: str, values: set[str]) -> RecipeError:
    some = ", ".join(sorted(values)[:8])
    return RecipeError(
        f"{shown(path)}: no value of {layer.attribute!r} is a known kind (there are {some}); "
        f'say what they are: kinds = {{{json.dumps(min(values), ensure_ascii=False)} = "building"}}'
    )


def _chunks(layer: recipe.Objects, path: str, layout: _Layout) -> Iterator[tuple[dict[str, list[Any]], Any]]:
    """Yield (columns by name, WKB) of some thousands of features at a time."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    names = layout.columns(layer)
    try:
        if _is_parquet(path):
            with pq.ParquetFile(path) as file:
                geometry = json.loads(file.schema_arrow.metadata[b"geo"])["primary_column"]
                for batch in file.iter_batches(BATCH, columns=[*names, geometry]):
                    yield _split(batch, names, geometry)
            return
        with pyogrio.raw.open_arrow(path, layer=layer.layer, columns=names, batch_size=BATCH, use_pyarrow=True) as (
            meta,
            reader,
        ):
            geometry = meta["geometry_name"] or "wkb_geometry"
            for batch in reader:
                yield _split(batch, names, geometry)
    except (pa.ArrowException, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, OSError) as error:
        said = str(error).replace(path, shown(path))
        raise SourceError(f"{shown(path)}: cannot be read to its end ({said}); fetch it again") from error


def _split(batch: Any, names: Sequence[str], geometry: str) -> tuple[dict[str, list[Any]], Any]:
    columns = {name: batch.column(name).to_pylist() for name in names}
    return columns, np.array(batch.column(geometry).to_pylist(), dtype=object)


def _batch(
    layer: recipe.Objects,
    layout: _Layout,
    columns: Mapping[str, list[Any]],
    geometries: npt.NDArray[Any],
    *,
    kind_of: Callable[[Mapping[str, Any], Shape], tuple[list[str], float | None]],
    bounds: Bounds | None,
) -> tuple[Batch, set[str]]:
    """Return the objects among some features, and values that are no kind."""
    usable = np.flatnonzero(~(shapely.is_missing(geometries) | shapely.is_empty(geometries)))
    projected = mercator(geometries[usable], crs=layout.crs)
    inside = within(projected, bounds, projected=True)
    shapes: tuple[Shape, ...] = ("point", "line", "area")
    kinds: list[str] = []
    rows: list[int] = []
    widths: list[float] = []
    names: list[str | None] = []
    missed: set[str] = set()
    for i in inside.tolist():
        row = {name: values[usable[i]] for name, values in columns.items()}
        shape = shapes[min(2, int(shapely.get_dimensions(projected[i])))]
        found, width = kind_of(row, shape)
        if not found and layer.attribute is not None and (value := tidy(row[layer.attribute])) is not None:
            missed.add(value)
        for kind in found:
            named = kind not in KINDS or KINDS[kind].named
            kinds.append(kind)
            rows.append(i)
            widths.append(np.nan if width is None else width)
            names.append(_layer_name(row, layout, kind) if named else None)
    return Batch(kinds, projected[np.array(rows, dtype=np.int64)], np.array(widths, dtype=np.float64), names), missed


def _layer_name(row: Mapping[str, Any], layout: _Layout, kind: str) -> str | None:
    if layout.tags:
        return osm_name(_row_tags(row, layout), kind)
    return None if layout.name is None else tidy(row[layout.name])


def _kinds_by(
    layer: recipe.Objects, layout: _Layout
) -> Callable[[Mapping[str, Any], Shape], tuple[list[str], float | None]]:
    """Return what tells the kinds of a feature, and its stated width, from its row and shape."""
    if layer.kind is not None:
        kind = layer.kind
        return lambda row, shape: ([kind], layer.size_m)
    if layer.attribute is not None:
        attribute = layer.attribute

        def by_value(row: Mapping[str, Any], shape: Shape) -> tuple[list[str], float | None]:
            value = tidy(row[attribute])
            found = value if layer.kinds is None and value in KINDS else (layer.kinds or {}).get(value or "")
            return ([] if found is None else [found]), layer.size_m

        return by_value

    def by_tags(row: Mapping[str, Any], shape: Shape) -> tuple[list[str], float | None]:
        tags = _row_tags(row, layout)
        return kinds_of(tags, shape), stated_width_m(tags)

    return by_tags


def _row_tags(row: Mapping[str, Any], layout: _Layout) -> dict[str, str]:
    tags: dict[str, str] = {}
    for bag in layout.bags:
        tags |= _bag_tags(row[bag])
    for tag, column in layout.tags.items():
        if (value := tidy(row[column])) is not None:
            tags[tag] = value
    return tags


def _bag_tags(value: Any) -> dict[str, str]:
    """Read tags from one value: hstore text as GDAL writes it, JSON, or pairs."""
    if isinstance(value, dict):
        return {str(key): str(each) for key, each in value.items()}
    if isinstance(value, list):
        return {str(key): str(each) for key, each in (pair for pair in value if len(pair) == 2)}
    if not isinstance(value, str):
        return {}
    if value.lstrip().startswith("{"):
        try:
            return _bag_tags(json.loads(value))
        except json.JSONDecodeError:
            return {}
    pairs = re.findall(r'"((?:[^"\\]|\\.)*)"\s*=>\s*"((?:[^"\\]|\\.)*)"', value)
    return {re.sub(r"\\(.)", r"\1", key): re.sub(r"\\(.)", r"\1", each) for key, each in pairs}
