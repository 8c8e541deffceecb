"""Which things can be seen in a tile: kinds, how many, the name of the largest, and where they lie.

A thing counts where it is large enough for the tile's true ground resolution (`object_store`), reaches well into the
tile, and lies in the part of it that has pixels.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import weakref
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from git10m import recipe
from git10m.captions.object_layers import check_layer, object_files, read_objects
from git10m.captions.object_store import MIN_AREA_PX, Found, ObjectStore, write_store
from git10m.captions.osm_extract import Bounds, is_osm_file, stated_box
from git10m.captions.vocabulary import KINDS, TABLE_VERSION
from git10m.grid import FloatArray, Tile, pixel_size_m
from git10m.vectors import at_hand, layer_digest

__all__ = ["MAX_KINDS", "MIN_GROUND_SHARE", "MIN_LINE_SHARE", "MIN_PART_SHARE", "Objects", "View", "prepare_objects"]

MAX_KINDS = 12
"""Most kinds that are listed of a tile."""
RIM = 1 / 32
"""What does not reach farther into a tile than this part of its side is left out: 8 pixels of 256."""
MIN_GROUND_SHARE = 0.01
"""Least share of a tile that a stretch of ground ("forest") covers where it is listed."""
MIN_LINE_SHARE = 1 / 8
"""Least length of lines of a kind, as a share of the tile's side."""
MIN_PART_SHARE = 0.6
"""A kind lies in a quarter, or in the centre, when that holds at least this share of it."""

_PARTS = ("north-west", "north-east", "south-west", "south-east", "centre")
_SHORT_LINES = frozenset({"bridge", "pier", "dam", "weir", "breakwater"})
"""Lines that are short by nature: a few pixels show them."""
_SHORT_PX = 6.0
_STORE_VERSION = "1"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """A tile as objects are looked for in it.

    Args:
        tile: Its place.
        tile_size: Pixels a side.
        coarser: Pixel of the source over that of the tile, at least 1: what was enlarged shows no more.
        valid: Where the tile has pixels, as a square grid of any size, north-west first; None: everywhere.
    """

    tile: Tile
    tile_size: int
    coarser: float = 1.0
    valid: Mask | None = None

    @property
    def pixel_m(self) -> float:
        """Pixel in EPSG:3857 metres that decides what can be seen."""
        return self.coarser * pixel_size_m(self.tile.level, tile_size=self.tile_size)


def prepare_objects(
    layers: Sequence[recipe.Objects], *, store: Path, bounds: Bounds | None = None, looking: bool = False
) -> list[str]:
    """Read the objects of a recipe's layers into stores, those that are not there already.

    Args:
        layers: With absolute paths.
        store: Folder of the stores. Only one process may write there at a time.
        bounds: What lies outside is left out.
        looking: Only look at what can be told without reading the files whole.

    Returns:
        A digest of each file's content, in the order of layers and files.

    Raises:
        RecipeError: If a path matches no file, a column is missing, or nothing says what features are.
        SourceError: If a file cannot be read to its end.
    """
    digests = []
    for layer in layers:
        for path in object_files(layer):
            check_layer(layer, path)
            digest = layer_digest(path)
            digests.append(digest)
            if not looking:
                _write(layer, path, store, digest=digest, bounds=bounds)
    return digests


class Objects:
    """Objects of many tiles, out of stores.

    Args:
        layers: With absolute paths.
        store: Folder of the stores; None: they are written to a temporary one. Stores that are missing are written.

    Raises:
        RecipeError: As `prepare_objects`.
        SourceError: If a file cannot be read.
    """

    def __init__(self, layers: Sequence[recipe.Objects], *, store: Path | None = None) -> None:
        if store is None:
            store = Path(tempfile.mkdtemp(prefix="git10m-objects-"))
            weakref.finalize(self, shutil.rmtree, store, ignore_errors=True)
        self._stores = []
        for layer in layers:
            for path in object_files(layer):
                digest = layer_digest(path)
                folder = _folder(layer, store, digest=digest)
                if not folder.exists():
                    _write(layer, path, store, digest=digest, bounds=None)
                self._stores.append(ObjectStore(folder))

    def of(self, views: Sequence[View]) -> list[list[dict[str, Any]] | None]:
        """Return ``objects`` of ``records.FACTS`` for each view; None where no layer covers its centre.

        Args:
            views: Neighbouring tiles of one level and size, at least one.
        """
        boxes = np.array([view.tile.bounds_m for view in views])
        whole = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
        pixel_m = min(view.pixel_m for view in views)
        seen: list[dict[str, _Sum]] = [defaultdict(_Sum) for _ in views]
        known = np.zeros(len(views), dtype=bool)
        told: set[tuple[Any, ...]] = set()
        for store in self._stores:
            known |= [_covers(store.covered, view.tile) for view in views]
            found = store.near(whole, pixel_m=pixel_m)
            if len(self._stores) > 1:
                found = _new(found, told)
            if len(found.object):
                _look(found, views, boxes, seen)
        return [
            _listed(sums, view) if covered else None for sums, view, covered in zip(seen, views, known, strict=True)
        ]


def _new(found: Found, told: set[tuple[Any, ...]]) -> Found:
    """Leave out what another file has told already: neighbouring extracts share what crosses their border."""
    box = np.round(shapely.bounds(found.geometry), 1).tolist()
    keys = [(kind, *corners) for kind, corners in zip(found.kind.tolist(), box, strict=True)]
    kept = np.array([i for i, key in enumerate(keys) if key not in told], dtype=np.int64)
    told.update(keys)
    return Found(*(getattr(found, field.name)[kept] for field in fields(Found)))


class _Sum:
    """What was seen of one kind in one tile.

    Attributes:
        count: Separate things.
        size: Area in tiles, or length in sides, by proper name; None for those without one, each for itself.
        parts: Of each part of the tile, how much of it all.
        ground: Area in tiles.
        length: In sides of the tile.
    """

    def __init__(self) -> None:
        self.count = 0
        self.parts = np.zeros(5)
        self.ground = 0.0
        self.length = 0.0
        self.named: dict[str, float] = {}
        self.unnamed = 0.0


def _look(found: Found, views: Sequence[View], boxes: FloatArray, seen: Sequence[dict[str, _Sum]]) -> None:
    """Add to what is seen in each view."""
    side = boxes[0, 2] - boxes[0, 0]
    rim = RIM * side
    inner = shapely.box(boxes[:, 0] + rim, boxes[:, 1] + rim, boxes[:, 2] - rim, boxes[:, 3] - rim)
    tile, piece = shapely.STRtree(found.geometry).query(inner, predicate="intersects")
    large = found.coarsest_m[piece] >= np.array([view.pixel_m for view in views])[tile]
    tile, piece = tile[large], piece[large]
    if not len(tile):
        return
    size, parts = _measured(found.geometry[piece], boxes[tile], side)
    valid = _on_pixels(found.geometry[piece], boxes[tile], [views[i].valid for i in tile.tolist()])
    # Pieces of one object are one thing; objects keep their order.
    keys = np.column_stack([tile, found.object[piece]])
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    group = group.ravel()
    sizes = np.bincount(group, size)
    shares = np.column_stack([np.bincount(group, parts[:, i]) for i in range(5)])
    valids = np.bincount(group, valid * np.maximum(size, 1e-12)) / np.bincount(group, np.maximum(size, 1e-12))
    dimension = shapely.get_dimensions(found.geometry[piece[first]])
    for i, at in enumerate(first.tolist()):
        view = views[tile[at]]
        least_px = 0.0 if dimension[i] < 2 else MIN_AREA_PX * view.coarser**2
        if valids[i] < 0.5 or sizes[i] * view.tile_size**2 < least_px:
            continue
        kind, name = str(found.kind[piece[at]]), found.name[piece[at]]
        _add(seen[tile[at]][kind], kind, name, size=float(sizes[i]), parts=shares[i], dimension=int(dimension[i]))


def _add(total: _Sum, kind: str, name: str | None, *, size: float, parts: FloatArray, dimension: int) -> None:
    total.count += 1
    total.ground += size if dimension == 2 else 0.0
    total.length += size if dimension == 1 else 0.0
    # Of what is counted each counts as one, of the rest each by its size.
    total.parts += parts if _is_counted(kind) else parts * size
    if name is None:
        total.unnamed = max(total.unnamed, size)
    else:
        total.named[name] = total.named.get(name, 0.0) + size


def _measured(geometry: npt.NDArray[Any], boxes: FloatArray, side: float) -> tuple[FloatArray, FloatArray]:
    """Return the size of each geometry within its box, and the share of that in each part of it.

    Sizes are areas in boxes, lengths in sides, 0 for points; shape (n,) and (n, 5).
    """
    dimension = shapely.get_dimensions(geometry)
    bounds = shapely.bounds(geometry)
    sticks_out = (bounds[:, :2] < boxes[:, :2]).any(axis=1) | (bounds[:, 2:] > boxes[:, 2:]).any(axis=1)
    clipped = geometry.copy()
    clipped[sticks_out] = shapely.intersection(geometry[sticks_out], shapely.box(*boxes[sticks_out].T))
    size = _size(clipped, dimension, side)
    # What is small lies where its middle does; for what is large the parts are measured.
    parts = np.zeros((len(geometry), 5))
    small = (np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]) < side / 16) | (size <= 0)
    middle = shapely.get_coordinates(shapely.centroid(clipped[small]))
    u, v = ((middle[:, 0] - boxes[small, 0]) / side, (boxes[small, 3] - middle[:, 1]) / side)
    parts[small] = np.column_stack(
        [
            *((u < 0.5) & (v < 0.5), (u >= 0.5) & (v < 0.5), (u < 0.5) & (v >= 0.5), (u >= 0.5) & (v >= 0.5)),
            # What lies in the middle is in a quarter, too; the centre is said of it first.
            _inner(u, v, 0.25) + 0.001 * _inner(u, v, 0.15),
        ]
    )
    large = np.flatnonzero(~small)
    for i, (left, top, right, bottom) in enumerate(_PART_BOXES):
        west, north = boxes[large, 0], boxes[large, 3]
        box = shapely.box(west + left * side, north - bottom * side, west + right * side, north - top * side)
        held = _size(shapely.intersection(clipped[large], box), dimension[large], side)
        parts[large, i] = held / size[large]
    return size, parts


_PART_BOXES = ((0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1), (0.25, 0.25, 0.75, 0.75))
"""Left, top, right and bottom of each part, in sides of the tile."""


def _inner(u: FloatArray, v: FloatArray, reach: float) -> FloatArray:
    return ((np.abs(u - 0.5) < reach) & (np.abs(v - 0.5) < reach)).astype(np.float64)


def _size(geometry: npt.NDArray[Any], dimension: npt.NDArray[Any], side: float) -> FloatArray:
    return np.asarray(
        np.select(
            [dimension == 2, dimension == 1], [shapely.area(geometry) / side**2, shapely.length(geometry) / side]
        ),
        dtype=np.float64,
    )


def _on_pixels(geometry: npt.NDArray[Any], boxes: FloatArray, valid: Sequence[Mask | None]) -> FloatArray:
    """Return the share of each geometry's box that has pixels, 0–1."""
    share = np.ones(len(geometry))
    for i in (i for i, mask in enumerate(valid) if mask is not None):
        mask = valid[i]
        assert mask is not None
        cells = mask.shape[0]
        west, _, east, north = boxes[i]
        west_at, south_at, east_at, north_at = geometry[i].bounds
        scale = cells / (east - west)
        left, right = _cells((west_at - west) * scale, (east_at - west) * scale, cells)
        top, bottom = _cells((north - north_at) * scale, (north - south_at) * scale, cells)
        share[i] = mask[top:bottom, left:right].mean()
    return share


def _cells(low: float, high: float, cells: int) -> tuple[int, int]:
    """Return the range of cells, at least one, that an interval touches."""
    first = min(max(int(np.floor(low)), 0), cells - 1)
    return first, max(first + 1, min(int(np.ceil(high)), cells))


def _listed(sums: Mapping[str, _Sum], view: View) -> list[dict[str, Any]]:
    """Return the kinds that a view shows, the most telling first."""
    found = []
    for kind, total in sums.items():
        counted = _is_counted(kind)
        if not counted and total.ground < MIN_GROUND_SHARE and total.length < _least_length(kind, view):
            continue
        if counted and not total.ground and total.length and total.length < _least_length(kind, view):
            continue
        held = total.parts.sum() - total.parts[4]  # the quarters add up to all of it
        best = int(np.argmax(total.parts))
        part = _PARTS[best] if held > 0 and total.parts[best] >= MIN_PART_SHARE * held else None
        count = total.count if counted else None
        found.append({"kind": kind, "count": count, "name": _name(total), "part": part})
    return sorted(found, key=lambda entry: _rank(str(entry["kind"])))[:MAX_KINDS]


def _least_length(kind: str, view: View) -> float:
    return _SHORT_PX / view.tile_size if kind in _SHORT_LINES else MIN_LINE_SHARE


def _name(total: _Sum) -> str | None:
    """Return the name of the largest, where the largest has one."""
    if not total.named:
        return None
    name, size = max(total.named.items(), key=lambda each: (each[1], each[0]))
    return name if size >= total.unnamed else None


def _is_counted(kind: str) -> bool:
    """Tell whether separate ones of a kind are counted; what the table does not know is."""
    return kind not in KINDS or KINDS[kind].plural is not None


_RANKS = {kind: rank for rank, kind in enumerate(KINDS)}


def _rank(kind: str) -> tuple[int, str]:
    # What a recipe names itself is what its maker cares for.
    return _RANKS.get(kind, -1), kind


def _covers(box: Bounds | None, tile: Tile) -> bool:
    if box is None:
        return True
    lon, lat = tile.centre
    return box[0] <= lon <= box[2] and box[1] <= lat <= box[3]


def _folder(layer: recipe.Objects, store: Path, *, digest: str) -> Path:
    said = layer.model_dump(mode="json", exclude={"path", "licence", "attribution"})
    made_of = json.dumps([digest, said, TABLE_VERSION, _STORE_VERSION], sort_keys=True)
    return store / f"objects-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"


def _write(layer: recipe.Objects, path: str, store: Path, *, digest: str, bounds: Bounds | None) -> None:
    """Write the store of a file, unless one is there that holds all that is asked for."""
    folder = _folder(layer, store, digest=digest)
    if (folder / "note.json").exists():
        held = json.loads((folder / "note.json").read_text(encoding="utf-8"))["bounds"]
        if held is None or (bounds is not None and _holds(tuple(held), bounds)):
            return
    store.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".reading-", suffix=".part", dir=store) as scratch,
        at_hand(path, folder=Path(scratch)) as file,
    ):
        batches = read_objects(layer, file, bounds=bounds, scratch=Path(scratch))
        covers = stated_box(file) if is_osm_file(file) else None
        write_store(batches, folder, note={"bounds": bounds}, covers=covers)


def _holds(outer: Sequence[float], inner: Bounds) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]
