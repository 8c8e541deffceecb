"""Prompts by area: polygons of a GeoJSON, each with its own prompt, and how much each counts at a pixel.

The weight of an area rises linearly from 0 to 1 across its border, over ``feather`` pixels of whatever stage is
painted, half of them outside. So an area reaches ``feather / 2`` pixels beyond its border at each stage and no
further. Later areas lie above earlier ones; where there is none the world's own prompt counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from git10m.grid import MAX_LATITUDE, lonlat_to_xy
from text2earth.errors import AreasError
from text2earth.world.box import Box

__all__ = ["NO_AREAS", "Area", "AreaPrompts", "Areas", "read_areas"]

_STRAIGHT_DEG = 0.1
"""Edges are straight in degrees and curved on the map; pieces of this length stray by less than 10 m."""
_BEYOND_POLE = 1.0
"""How far an area that touches the map's edge is drawn out beyond it, in widths of the world."""
_EDGE = 1e-12
_LONGITUDE_LATITUDE = ("CRS84", "EPSG::4326", "EPSG:4326")


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the world with a prompt of its own.

    Args:
        prompt: Not empty.
        shape: Polygon or multipolygon in widths of the world: x eastward from 180° W, y southward from 85.0511° N.
            An area that touches the antimeridian has copies on the other side of it.
    """

    prompt: str
    shape: BaseGeometry


@dataclass(frozen=True)
class Areas:
    """All areas of a world, lowest first."""

    areas: tuple[Area, ...] = ()
    _borders: tuple[shapely.STRtree, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for area in self.areas:
            shapely.prepare(area.shape)
        object.__setattr__(self, "_borders", tuple(shapely.STRtree(_segments(area.shape)) for area in self.areas))

    @property
    def prompts(self) -> tuple[str, ...]:
        """Prompts of the areas, lowest first."""
        return tuple(area.prompt for area in self.areas)

    @property
    def digest(self) -> str:
        """Hash of the prompts and of every vertex."""
        found = hashlib.sha256()
        for area in self.areas:
            found.update(json.dumps(area.prompt).encode())
            found.update(shapely.to_wkb(area.shape, byte_order=1))
        return found.hexdigest()

    def weights(self, box: Box, *, level: int, feather: int) -> npt.NDArray[np.float32]:
        """Return how much the world's own prompt (row 0) and each area (rows 1…) count at the pixels of a box.

        The number at a pixel depends on its place alone, not on the box that it is asked with.

        Args:
            box: Pixels of the level; x is 0…256·2**level − 1, or beyond by less than a world.
            level: Of the pixels.
            feather: Width of the ramp across a border, in pixels of the level; 0 is a sharp border.

        Returns:
            Of shape (1 + areas, height, width), not negative, 1 in sum.
        """
        found = np.zeros((1 + len(self.areas), box.height, box.width), np.float32)
        found[0] = 1.0
        for number, (area, border) in enumerate(zip(self.areas, self._borders, strict=True), 1):
            share = _share(area.shape, border, box, side=256 << level, feather=feather)
            if share is not None:
                found[:number] *= 1.0 - share
                found[number] = share
        return found


NO_AREAS = Areas()


@dataclass(frozen=True, slots=True)
class AreaPrompts:
    """Prompts of a plane: the world's own, and those of its areas.

    Args:
        prompt: Of the world.
        areas: With prompts of their own.
        feather: Width of the ramp across a border, in pixels of the stage.
    """

    prompt: str
    areas: Areas
    feather: int

    def weights(self, box: Box, level: int) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
        """Return the prompts that touch a box, and how much each counts (P, height, width) at every pixel."""
        shares = self.areas.weights(box, level=level, feather=self.feather)
        counts = [number for number, share in enumerate(shares) if share.any()]
        prompts = (self.prompt, *self.areas.prompts)
        return tuple(prompts[number] for number in counts), shares[counts]


def _share(
    shape: BaseGeometry, border: shapely.STRtree, box: Box, *, side: int, feather: int
) -> npt.NDArray[np.float32] | None:
    """Return an area's own ramp (height, width) at pixel centres; None where it does not reach."""
    reach = feather / 2 / side
    near = shapely.box(*_bounds(box, side)).buffer(reach, join_style="mitre")
    if not shapely.intersects(shape, near):
        return None
    x = (np.arange(box.x, box.right) + 0.5) / side
    y = (np.arange(box.y, box.bottom) + 0.5) / side
    if not len(border.query(near)):
        return np.full((box.height, box.width), shapely.contains_xy(shape, x[0], y[0]), np.float32)
    across, down = (part.ravel() for part in np.meshgrid(x, y))
    inside = shapely.contains_xy(shape, across, down)
    share = inside.astype(np.float64)
    if feather:
        (which, _), distance = border.query_nearest(
            shapely.points(across, down), max_distance=reach, return_distance=True, all_matches=False
        )
        ramp = np.clip(distance / reach, 0.0, 1.0) / 2
        share[which] = np.where(inside[which], 0.5 + ramp, 0.5 - ramp)
    return share.reshape(box.height, box.width).astype(np.float32)


def _bounds(box: Box, side: int) -> tuple[float, float, float, float]:
    return box.x / side, box.y / side, (box.x + box.width) / side, (box.y + box.height) / side


def _segments(shape: BaseGeometry) -> npt.NDArray[Any]:
    """Return the border as single segments: the nearest of them is found without cutting any."""
    rings = [shapely.get_coordinates(ring) for ring in shapely.get_parts(shapely.boundary(shape))]
    pairs = [np.stack([points[:-1], points[1:]], axis=1) for points in rings]
    found: npt.NDArray[Any] = np.asarray(shapely.linestrings(np.concatenate(pairs)))
    return found


def read_areas(source: str | Path | Mapping[str, Any]) -> Areas:
    """Read prompts by area.

    Args:
        source: GeoJSON file, or its content as a mapping: a FeatureCollection of polygons and multipolygons in
            longitude and latitude, each with the property ``prompt``; or one such Feature.

    Raises:
        AreasError: If it cannot be read, is not such a GeoJSON, a feature has no prompt, or a polygon is
            malformed, crosses itself or the antimeridian, or lies off the map.
    """
    name, content = _content(source)
    kind = content.get("type")
    if kind == "Feature":
        features = [content]
    elif kind == "FeatureCollection" and isinstance(content.get("features"), list):
        features = content["features"]
    else:
        raise AreasError(
            f"{name}: its type is {kind!r}; areas are a GeoJSON FeatureCollection of polygons with a property 'prompt'"
        )
    _refuse_projected(name, content)
    if not features:
        raise AreasError(f"{name}: it has no features; give at least one polygon with a property 'prompt'")
    return Areas(tuple(_area(f"{name}, feature {number}", each) for number, each in enumerate(features, 1)))


def _content(source: str | Path | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return what the areas are called in messages, and their GeoJSON object."""
    if isinstance(source, Mapping):
        return "areas", source
    name = str(source)
    try:
        found = json.loads(Path(source).read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise AreasError(f"{name}: there is no such file; give a GeoJSON of polygons with prompts") from error
    except (OSError, ValueError) as error:
        raise AreasError(f"{name}: it cannot be read as JSON ({error}); give a GeoJSON of polygons") from error
    if not isinstance(found, dict):
        raise AreasError(f"{name}: it is JSON but not an object; give a GeoJSON FeatureCollection")
    return name, found


def _refuse_projected(name: str, content: Mapping[str, Any]) -> None:
    crs = content.get("crs")
    if crs is not None and not any(known in json.dumps(crs) for known in _LONGITUDE_LATITUDE):
        raise AreasError(f"{name}: its crs is {json.dumps(crs)[:100]}; areas are in longitude and latitude (WGS 84)")


def _area(name: str, feature: Any) -> Area:
    if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
        raise AreasError(f"{name}: it is no GeoJSON Feature")
    prompt = (feature.get("properties") or {}).get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise AreasError(f"{name}: its property 'prompt' is {prompt!r}; every area needs a text there")
    geometry = feature.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if kind not in {"Polygon", "MultiPolygon"}:
        raise AreasError(f"{name}: its geometry is {kind}; areas are Polygon or MultiPolygon")
    try:
        shape = shapely.from_geojson(json.dumps(geometry))
    except (shapely.GEOSException, ValueError, TypeError) as error:
        raise AreasError(f"{name}: its coordinates cannot be read ({error})") from error
    return Area(" ".join(prompt.split()), _on_the_map(name, shape))


def _on_the_map(name: str, shape: BaseGeometry) -> BaseGeometry:
    """Return a checked polygon in widths of the world, drawn out beyond the edges that it touches."""
    points = shapely.get_coordinates(shape)
    if shape.is_empty or not np.isfinite(points).all():
        raise AreasError(f"{name}: the polygon is empty or has coordinates that are no numbers")
    if (np.abs(points[:, 0]) > 180).any() or (np.abs(points[:, 1]) > 90).any():
        worst = points[np.argmax(np.abs(points) @ [1.0, 2.0])]
        raise AreasError(
            f"{name}: it has a point at {worst[0]:g}, {worst[1]:g}; longitudes are −180…180 and latitudes −90…90, in "
            "degrees, longitude first; cut an area across the antimeridian into a MultiPolygon (RFC 7946, 3.1.9)"
        )
    _refuse_crossing(name, shape)
    if not shape.is_valid:
        raise AreasError(f"{name}: the polygon is not valid ({shapely.is_valid_reason(shape)}); draw it anew")
    band = shapely.box(-180.0, -MAX_LATITUDE, 180.0, MAX_LATITUDE)
    cut = shapely.intersection(shape, band)
    if cut.area == 0:
        raise AreasError(f"{name}: it covers nothing of the map, which ends at ±{MAX_LATITUDE:.2f}° of latitude")
    flat = shapely.transform(shapely.segmentize(cut, _STRAIGHT_DEG), _projected)
    copies = [translate(flat, xoff=by) for by in (-1.0, 0.0, 1.0)]
    return shapely.normalize(shapely.union_all(copies, grid_size=0.0))


def _projected(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    x, y = lonlat_to_xy(points[:, 0], points[:, 1])
    y = np.where(y < _EDGE, -_BEYOND_POLE, np.where(y > 1.0 - _EDGE, 1.0 + _BEYOND_POLE, y))
    return np.column_stack([x, y])


def _refuse_crossing(name: str, shape: BaseGeometry) -> None:
    """Refuse rings that jump across the map; a side of the whole map's width is none."""
    for ring in _rings(shape):
        lon = shapely.get_coordinates(ring)[:, 0]
        jump = np.abs(np.diff(lon))
        if ((jump > 180.0) & (jump < 360.0)).any():
            raise AreasError(
                f"{name}: the polygon crosses the antimeridian; cut it there into two parts of one MultiPolygon "
                "(RFC 7946, 3.1.9), or add a point halfway if a side of more than 180° was meant"
            )


def _rings(shape: BaseGeometry) -> Iterator[BaseGeometry]:
    for part in shapely.get_parts(shape):
        yield from shapely.get_rings(part)
