"""Extracts of OpenStreetMap (.osm.pbf, .osm), read once with flat memory.

Of the two readers there are, pyosmium is taken and not GDAL's driver: it puts multipolygons together, keeps every tag
and every closed way that GDAL's table does not know for an area (storage tanks, power plants), and says when a file is
cut short, where GDAL's stream ends as if it were whole. Locations of nodes go to a file in the scratch folder, so
memory does not grow with the extract.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from git10m.captions.vocabulary import KINDS, OSM_KEYS, kinds_of, stated_width_m
from git10m.captions.wording import tidy
from git10m.errors import RecipeError, SourceError
from git10m.grid import FloatArray
from git10m.recipe import shown
from git10m.vectors import mercator

__all__ = [
    "BATCH",
    "TAGS",
    "Batch",
    "Bounds",
    "Shape",
    "is_osm_file",
    "need_osmium",
    "osm_name",
    "read_osm",
    "stated_box",
    "within",
]

Bounds = tuple[float, float, float, float]
"""(west, south, east, north) in degrees."""
Shape = Literal["area", "ring", "line", "point"]
"""What a feature is read as: see `vocabulary.kinds_of`."""

BATCH = 20_000
"""Features that are read at a time."""

_OSM_ENDINGS = (".osm.pbf", ".pbf", ".osm", ".osm.bz2", ".osm.gz", ".o5m")
_FILE_INDEX_BYTES = 96 * 2**20
"""From this size of an extract on, the locations of its nodes (16 bytes each) go to a file."""
_ASIDE = (
    *("area", "tunnel", "covered", "indoor", "location", "parking", "intermittent", "seasonal", "layer", "cutting"),
    *("width", "est_width", "lanes", "sport", "religion", "water", "generator:source", "plant:source"),
    *("disused", "abandoned", "demolished", "razed", "removed", "dismantled", "proposed", "planned", "construction"),
)
_NAMES = frozenset({"name", "name:en", "int_name", "ref"})
TAGS = (*OSM_KEYS, *_ASIDE, *sorted(_NAMES))
"""Tags that decide what a thing is, whether it can be seen, how wide it is, and its name."""

_LONGEST_NAME = 100
"""Characters; what is longer is no name."""
_KNOWN_TAGS = frozenset(TAGS)
_LINE_KEYS = ("highway", "railway", "waterway", "natural", "aeroway", "man_made")


@dataclass(frozen=True)
class Batch:
    """Some objects.

    Attributes:
        kinds: Name of the kind of each.
        geometries: Shapely geometries in EPSG:3857, none empty.
        widths_m: Stated width or size on the ground in metres; NaN where none is stated.
        names: Name of each, or None.
    """

    kinds: list[str]
    geometries: npt.NDArray[Any]
    widths_m: FloatArray
    names: list[str | None]


def is_osm_file(path: str) -> bool:
    """Tell an extract of OpenStreetMap by its ending."""
    return shown(path).lower().endswith(_OSM_ENDINGS)


def stated_box(path: str) -> Bounds | None:
    """Return the box in degrees that an extract of OpenStreetMap says it covers; None where it says none.

    Raises:
        SourceError: If the file is no such extract.
    """
    osmium = need_osmium()
    try:
        reader = osmium.io.Reader(path, osmium.osm.osm_entity_bits.NOTHING)
        box = reader.header().box()
        reader.close()
    except (RuntimeError, OSError) as error:
        raise _unreadable(path, error) from error
    if not box.valid():
        return None
    low, high = box.bottom_left, box.top_right
    return low.lon, low.lat, high.lon, high.lat


def read_osm(path: str, *, bounds: Bounds | None, scratch: Path) -> Iterator[Batch]:
    """Yield the objects of an extract, batch by batch, in its order: first nodes and ways, then areas of relations.

    Args:
        path: The file.
        bounds: What lies outside is left out; None: all is taken.
        scratch: Folder for temporary files.

    Raises:
        SourceError: If it cannot be read to its end.
    """
    gathered, factory = _Gathered(bounds), need_osmium().geom.WKBFactory()
    try:
        for found, shape in _osm_objects(path, scratch):
            tags = {tag.k: tag.v for tag in found.tags if tag.k in _KNOWN_TAGS}
            kinds, width_m = _decided(shape, tuple(each for each in tags.items() if each[0] not in _NAMES))
            if kinds:
                wkb = _wkb_of(factory, found, shape)
                for kind in kinds:
                    gathered.add(kind, wkb, width_m, osm_name(tags, kind))
                if len(gathered) >= BATCH:
                    yield from gathered.flush()
    except (RuntimeError, OSError) as error:
        raise _unreadable(path, error) from error
    yield from gathered.flush()


def _osm_objects(path: str, scratch: Path) -> Iterator[tuple[Any, Shape]]:
    """Yield nodes, ways and areas that have a tag of the table, each with the shape that it is read as."""
    osmium = need_osmium()
    large = Path(path).stat().st_size >= _FILE_INDEX_BYTES
    index = f"sparse_file_array,{scratch / 'locations.bin'}" if large else "sparse_mem_array"
    wanted = osmium.filter.KeyFilter(*OSM_KEYS)
    for found in osmium.FileProcessor(path).with_locations(index).with_areas(wanted).with_filter(wanted):
        if found.is_area():
            yield found, "ring" if found.from_way() else "area"
        elif found.is_way():
            if found.id < 0:  # osmium places no nodes with such numbers, so nothing would be found, silently
                raise SourceError(
                    f"{shown(path)}: holds objects with negative numbers, as editors give them before they upload; "
                    "number them anew with: osmium renumber"
                )
            # Buildings and most other closed ways come again as areas.
            if not found.is_closed() or any(found.tags.get(key) is not None for key in _LINE_KEYS):
                yield found, "line"
        elif found.is_node() and any(found.tags.get(key) is not None for key in ("power", "man_made", "aeroway")):
            yield found, "point"


@functools.lru_cache(maxsize=20_000)
def _decided(shape: Shape, tags: tuple[tuple[str, str], ...]) -> tuple[tuple[str, ...], float | None]:
    """Return kinds and stated width; most objects have the tags of many others."""
    held = dict(tags)
    return tuple(kinds_of(held, shape)), stated_width_m(held)


def _wkb_of(factory: Any, found: Any, shape: Shape) -> str | None:
    """Return the geometry as hexadecimal WKB; None where nodes are missing or rings do not close."""
    try:
        if shape == "point":
            return str(factory.create_point(found))
        return str(factory.create_linestring(found) if shape == "line" else factory.create_multipolygon(found))
    except RuntimeError:  # osmium's InvalidLocationError is one
        return None


def osm_name(tags: Mapping[str, str], kind: str) -> str | None:
    """Return the English name, else the name; of a main road without one its number."""
    if not KINDS[kind].named or kind == "bridge":
        return None
    name = tags.get("name:en") or tags.get("name") or tags.get("int_name")
    if name is None and kind in {"motorway", "trunk road", "primary road"}:
        name = tags.get("ref", "").split(";")[0] or None
    said = tidy(name)
    return None if said is None or len(said) > _LONGEST_NAME else said


def need_osmium() -> Any:
    """Return the module ``osmium``.

    Raises:
        RecipeError: If it is not installed.
    """
    try:
        import osmium.geom  # noqa: PLC0415 - only recipes with an extract of OpenStreetMap need it
    except ImportError as error:
        raise RecipeError(
            "an extract of OpenStreetMap (.osm.pbf, .osm) is read by pyosmium, which is not installed; "
            "install it with: pip install 'git10m[osm]'"
        ) from error
    return osmium


def _unreadable(path: str, error: Exception) -> SourceError:
    said = str(error).replace(path, shown(path)).strip() or type(error).__name__
    hint = "it may be cut short: fetch it again" if "EOF" in said or "truncated" in said else "give an .osm.pbf or .osm"
    return SourceError(f"{shown(path)}: cannot be read as an extract of OpenStreetMap ({said}); {hint}")


class _Gathered:
    """Objects of an extract, gathered until they make a batch."""

    def __init__(self, bounds: Bounds | None) -> None:
        self._bounds = bounds
        self._found: list[tuple[str, str, float | None, str | None]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, kind: str, wkb: str | None, width_m: float | None, name: str | None) -> None:
        if wkb is not None:
            self._found.append((kind, wkb, width_m, name))

    def flush(self) -> Iterator[Batch]:
        found, self._found = self._found, []
        if not found:
            return
        geometries = shapely.from_wkb([each[1] for each in found])
        kept = within(geometries, self._bounds)
        if kept.size:
            yield Batch(
                kinds=[found[i][0] for i in kept],
                geometries=mercator(geometries[kept]),
                widths_m=np.array([np.nan if found[i][2] is None else found[i][2] for i in kept], dtype=np.float64),
                names=[found[i][3] for i in kept],
            )


def within(geometries: npt.NDArray[Any], bounds: Bounds | None, *, projected: bool = False) -> npt.NDArray[np.int64]:
    """Return the positions of the geometries whose boxes meet the bounds.

    Args:
        geometries: In degrees, or in EPSG:3857 where they are projected.
        bounds: In degrees; None: all that have a box are taken.
        projected: Which of the two.
    """
    box = shapely.bounds(geometries)
    finite = np.isfinite(box).all(axis=1)
    if bounds is None:
        return np.flatnonzero(finite)
    west, south, east, north = bounds
    if projected:
        to_m = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
        (west, east), (south, north) = to_m.transform((west, east), (max(-85.06, south), min(85.06, north)))
    meets = (box[:, 0] <= east) & (box[:, 2] >= west) & (box[:, 1] <= north) & (box[:, 3] >= south)
    return np.flatnonzero(finite & meets)
