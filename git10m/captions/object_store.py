"""Objects of whole extracts, kept on the disk so that a few tiles are asked for in milliseconds.

A store is a folder: Arrow batches of at most 2,048 objects, a table of the box around each, and a note of what it was
made of. Objects stand by the coarsest pixel at which they can be seen (in octaves), then along a Z-order curve: a
coarse tile reads the few large things there, not a million houses. Large shapes are cut into pieces, so that no tile
has to clip a forest of a thousand hectares. It is written once, with memory for one cell of the map at a time, and read
through a memory map by as many workers as there are.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from git10m.captions.osm_extract import Batch, Bounds
from git10m.captions.vocabulary import KINDS
from git10m.grid import EARTH_RADIUS_M, HALF_WORLD_M, FloatArray, quadkey_number

__all__ = ["LINE_SHARE", "MIN_AREA_PX", "MIN_POINT_PX", "MIN_WIDTH_PX", "Found", "ObjectStore", "write_store"]

MIN_AREA_PX = 9.0
"""Least pixels that an area covers where it can be seen: 3 × 3."""
MIN_WIDTH_PX = 0.5
"""Least mean width in pixels of an area: a lane of grass is longer than a pixel and still not seen."""
LINE_SHARE = 0.5
"""Least width of a line, as a share of a pixel."""
MIN_POINT_PX = 3.0
"""Least diameter in pixels of what is mapped as a point."""

_GROUP_ROWS = 2048
_SPILL_ROWS = 200_000
_CELL_LEVEL, _ORDER_LEVEL = 12, 22
_MOST_VERTICES = 256
_KEPT_GROUPS = 64

_SCHEMA = pa.schema(
    [
        ("object", pa.int64()),
        ("kind", pa.int16()),
        ("coarsest_m", pa.float32()),
        *((name, pa.float64()) for name in ("west", "south", "east", "north")),
        ("order", pa.int64()),
        ("name", pa.string()),
        ("wkb", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Found:
    """Pieces of objects that may touch a box.

    Attributes:
        object: Number of the object in its store; pieces of one share it.
        kind: Name of the kind of each.
        name: Proper name of each, or None.
        coarsest_m: Largest pixel in EPSG:3857 metres at which it can be seen.
        geometry: Shapely geometries in EPSG:3857.
    """

    object: npt.NDArray[np.int64]
    kind: npt.NDArray[Any]
    name: npt.NDArray[Any]
    coarsest_m: FloatArray
    geometry: npt.NDArray[Any]


class ObjectStore:
    """A store that was written by `write_store`; safe to open in many processes.

    Args:
        folder: The store.
    """

    def __init__(self, folder: Path) -> None:
        self.note: dict[str, Any] = json.loads((folder / "note.json").read_text(encoding="utf-8"))
        self._kinds = np.array(self.note["kinds"], dtype=object)
        self._groups: FloatArray = np.load(folder / "groups.npy")
        self._file = pa.ipc.open_file(pa.memory_map(str(folder / "objects.arrow")))
        self._read: OrderedDict[int, tuple[Found, FloatArray]] = OrderedDict()

    @property
    def covered(self) -> Bounds | None:
        """Box in degrees that the source says it covers; None: everywhere."""
        return None if self.note["covers"] is None else tuple(self.note["covers"])

    def near(self, bounds_m: tuple[float, float, float, float], *, pixel_m: float) -> Found:
        """Return what can be seen at a pixel size and has a box that meets another, in the store's order.

        Args:
            bounds_m: (west, south, east, north) in EPSG:3857 metres.
            pixel_m: Pixel in EPSG:3857 metres.
        """
        west, south, east, north = bounds_m
        groups = self._groups
        meets = (groups[:, 0] <= east) & (groups[:, 2] >= west) & (groups[:, 1] <= north) & (groups[:, 3] >= south)
        parts = []
        for number in np.flatnonzero(meets & (groups[:, 4] >= pixel_m)).tolist():
            found, box = self._group(number)
            kept = np.flatnonzero(
                (box[:, 0] <= east)
                & (box[:, 2] >= west)
                & (box[:, 1] <= north)
                & (box[:, 3] >= south)
                & (found.coarsest_m >= pixel_m)
            )
            parts.append([getattr(found, name)[kept] for name in _COLUMNS])
        if not parts:
            return Found(*(np.empty(0, dtype=kind) for kind in _TYPES))
        return Found(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _group(self, number: int) -> tuple[Found, FloatArray]:
        if number in self._read:
            self._read.move_to_end(number)
            return self._read[number]
        batch = self._file.get_batch(number)
        box = np.column_stack([batch[name].to_numpy() for name in ("west", "south", "east", "north")])
        found = Found(
            object=batch["object"].to_numpy(),
            kind=self._kinds[batch["kind"].to_numpy()],
            name=np.array(batch["name"].to_pylist(), dtype=object),
            coarsest_m=batch["coarsest_m"].to_numpy().astype(np.float64),
            geometry=shapely.from_wkb(np.array(batch["wkb"].to_pylist(), dtype=object)),
        )
        self._read[number] = found, box
        if len(self._read) > _KEPT_GROUPS:
            self._read.popitem(last=False)
        return found, box


_COLUMNS = ("object", "kind", "name", "coarsest_m", "geometry")
_TYPES = (np.int64, object, object, np.float64, object)


def write_store(
    batches: Iterable[Batch], folder: Path, *, note: dict[str, Any], covers: Bounds | None = None
) -> dict[str, Any]:
    """Write a store; it appears whole or not at all.

    Args:
        batches: All objects, in any order.
        folder: The store; one that is there is replaced.
        note: What it is made of, kept in its note.
        covers: Box in degrees outside which nothing is known.

    Returns:
        The store's note.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", suffix=".part", dir=folder.parent) as part:
        place = Path(part, "store")
        place.mkdir()
        kinds: dict[str, int] = {}
        with _Spill(Path(part, "spill.arrow")) as spill:
            first = 0
            for batch in batches:
                spill.add(_rows(batch, kinds=kinds, first=first))
                first += len(batch.kinds)
        groups = _write_groups(spill, place / "objects.arrow")
        np.save(place / "groups.npy", groups)
        full = {**note, "kinds": list(kinds), "objects": first, "covers": covers}
        (place / "note.json").write_text(json.dumps(full, indent=2, ensure_ascii=False), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        place.rename(folder)
    return full


def _rows(batch: Batch, *, kinds: dict[str, int], first: int) -> pa.Table:
    """Return the rows of a batch: measured, and cut into pieces where they are large."""
    geometries = batch.geometries.copy()
    broken = ~shapely.is_valid(geometries)
    geometries[broken] = shapely.make_valid(geometries[broken])
    coarsest = _coarsest_m(geometries, batch)
    whole = np.arange(len(geometries))
    large = shapely.get_num_coordinates(geometries) > _MOST_VERTICES
    if large.any():
        cut = [(i, piece) for i in np.flatnonzero(large).tolist() for piece in _pieces(geometries[i])]
        whole = np.concatenate([whole[~large], np.array([i for i, _ in cut], dtype=np.int64)])
        pieces = np.empty(len(cut), dtype=object)
        pieces[:] = [piece for _, piece in cut]
        geometries = np.concatenate([geometries[~large], pieces])
    box = shapely.bounds(geometries)
    numbers = np.array([kinds.setdefault(kind, len(kinds)) for kind in batch.kinds], dtype=np.int16)
    table = pa.table(
        [
            pa.array(first + whole),
            pa.array(numbers[whole]),
            pa.array(coarsest[whole].astype(np.float32)),
            *(pa.array(box[:, i]) for i in range(4)),
            pa.array(_order(box)),
            pa.array([batch.names[i] for i in whole.tolist()], pa.string()),
            pa.array(shapely.to_wkb(geometries), pa.binary()),
        ],
        schema=_SCHEMA,
    )
    # What lies nowhere, or can be seen at no pixel of the grid, would only take room.
    kept = np.isfinite(box).all(axis=1) & (coarsest[whole] > 0.01)
    return table.filter(pa.array(kept))


def _coarsest_m(geometries: npt.NDArray[Any], batch: Batch) -> FloatArray:
    """Return the largest pixel, in EPSG:3857 metres, at which each object can be seen."""
    box = shapely.bounds(geometries)
    # A metre on the ground is 1 / cos(latitude) metres of the projection.
    stretch = np.cosh(np.clip((box[:, 1] + box[:, 3]) / 2.0, -HALF_WORLD_M, HALF_WORLD_M) / EARTH_RADIUS_M)
    dimension = shapely.get_dimensions(geometries)
    area, length = shapely.area(geometries), shapely.length(geometries)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_width = np.where(length > 0, 2.0 * area / length, 0.0)
    areas = np.minimum(np.sqrt(area / MIN_AREA_PX), mean_width / MIN_WIDTH_PX)
    typical = [KINDS.get(kind) for kind in batch.kinds]
    widths = np.array([(kind.width_m if kind is not None else None) or 0.0 for kind in typical])
    sizes = np.array([(kind.size_m if kind is not None else None) or 0.0 for kind in typical])
    stated = np.isfinite(batch.widths_m)
    lines = np.where(stated, batch.widths_m, widths) * stretch / LINE_SHARE
    points = np.where(stated, batch.widths_m, sizes) * stretch / MIN_POINT_PX
    return np.asarray(np.select([dimension == 2, dimension == 1], [areas, lines], points), dtype=np.float64)


def _pieces(geometry: Any) -> list[Any]:
    """Cut a shape across its longer side until no piece has many vertices."""
    if shapely.get_num_coordinates(geometry) <= _MOST_VERTICES:
        return [geometry]
    west, south, east, north = geometry.bounds
    middle_x, middle_y = (west + east) / 2.0, (south + north) / 2.0
    wide = east - west >= north - south
    halves = (
        ((west, south, middle_x, north), (middle_x, south, east, north))
        if wide
        else ((west, south, east, middle_y), (west, middle_y, east, north))
    )
    if not (west < middle_x < east if wide else south < middle_y < north):
        return [geometry]
    dimension = shapely.get_dimensions(geometry)
    found: list[Any] = []
    for half in halves:
        for piece in shapely.get_parts(shapely.intersection(geometry, shapely.box(*half))):
            if not piece.is_empty and shapely.get_dimensions(piece) == dimension:
                found.extend(_pieces(piece))
    return found


def _order(box: FloatArray) -> npt.NDArray[np.int64]:
    """Return where the middles of boxes stand on a Z-order curve."""
    side = float(1 << _ORDER_LEVEL)
    x = (np.nan_to_num((box[:, 0] + box[:, 2]) / 2.0) + HALF_WORLD_M) / (2.0 * HALF_WORLD_M)
    y = (HALF_WORLD_M - np.nan_to_num((box[:, 1] + box[:, 3]) / 2.0)) / (2.0 * HALF_WORLD_M)
    column, row = (np.clip((value * side).astype(np.int64), 0, int(side) - 1) for value in (x, y))
    return quadkey_number(column, row)


class _Spill:
    """Rows in a temporary file, by cell of the map: what is read in any order is written in the map's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[pa.Table] = []
        self._cells: dict[int, list[int]] = {}
        self._batches = 0

    def __enter__(self) -> _Spill:
        self._writer = pa.ipc.new_file(str(self._path), _SCHEMA)
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, rows: pa.Table) -> None:
        """Take in rows; many at once go to the file."""
        self._waiting.append(rows)
        if sum(table.num_rows for table in self._waiting) >= _SPILL_ROWS:
            self._flush()

    def cells(self) -> Iterator[pa.Table]:
        """Yield the rows of each cell in order, once the file is closed."""
        with pa.memory_map(str(self._path)) as source, pa.ipc.open_file(source) as file:
            for cell in sorted(self._cells):
                yield pa.Table.from_batches([file.get_batch(i) for i in self._cells[cell]], schema=_SCHEMA)

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = pa.concat_tables(self._waiting)
        self._waiting = []
        if not rows.num_rows:
            return
        cell = rows["order"].to_numpy() >> (2 * (_ORDER_LEVEL - _CELL_LEVEL))
        order = np.argsort(cell, kind="stable")
        rows, cell = rows.take(pa.array(order)).combine_chunks(), cell[order]
        starts = np.flatnonzero(np.diff(cell, prepend=-1)).tolist()
        for start, stop in zip(starts, [*starts[1:], len(cell)], strict=True):
            self._writer.write_table(rows.slice(start, stop - start), max_chunksize=stop - start)
            self._cells.setdefault(int(cell[start]), []).append(self._batches)
            self._batches += 1


def _write_groups(spill: _Spill, path: Path) -> FloatArray:
    """Write the rows of a spill in their final order; return box and coarsest pixel of each group of them."""
    groups: list[list[float]] = []
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(str(path), _SCHEMA, options=options) as writer:
        for cell in spill.cells():
            for group in _grouped(cell):
                writer.write_table(group, max_chunksize=_GROUP_ROWS)
                low = [group[name].to_numpy().min() for name in ("west", "south")]
                high = [group[name].to_numpy().max() for name in ("east", "north", "coarsest_m")]
                groups.append([*low, *high])
    return np.array(groups, dtype=np.float64).reshape(-1, 5)


def _grouped(cell: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows of a cell by octaves of the pixel at which they can be seen, coarse first, then by the curve."""
    octave = np.floor(np.log2(cell["coarsest_m"].to_numpy()))
    # Objects that came first stand first among equals.
    order = np.lexsort([cell["object"].to_numpy(), cell["order"].to_numpy(), -octave])
    rows, octave = cell.take(pa.array(order)).combine_chunks(), octave[order]
    changes = np.flatnonzero(np.diff(octave, prepend=np.inf)).tolist()
    for start, stop in zip(changes, [*changes[1:], len(octave)], strict=True):
        for first in range(start, stop, _GROUP_ROWS):
            yield rows.slice(first, min(_GROUP_ROWS, stop - first))
