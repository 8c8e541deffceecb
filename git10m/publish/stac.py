"""STAC: a collection that describes the dataset, and its source scenes as stac-geoparquet.

``collection.json`` points to shards, index and scenes with their sizes and hashes. ``scenes.parquet`` has an item for
each scene that rows hold pixels of: its outline (of the whole scene where the build noted it, else around its tiles),
its date, licence and native resolution. STAC 1.1.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import shapely

from git10m.publish.index import Bounds
from git10m.publish.licences import UNSTATED, understand
from git10m.publish.manifest import write_text
from git10m.publish.survey import Survey, batches

__all__ = ["Scenes", "collection", "write_scenes"]

STAC_VERSION = "1.1.0"
FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROJECTION_EXTENSION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
PARQUET = "application/vnd.apache.parquet"

_NEVER, _EVER = "1900-01-01T00:00:00Z", "2099-12-31T23:59:59Z"
"""What an item of unknown date spans: STAC asks for a date or an interval, and an open one is not allowed."""
_GROUPS = 20_000
"""Scenes that are gathered before equal ones are put together: memory follows the scenes, not the rows."""

_KEYS = ("source_id", "source_item", "licence", "attribution", "acquired_at")


@dataclass(frozen=True, slots=True)
class Scenes:
    """What was written.

    Attributes:
        count: Items.
        bounds: (west, south, east, north) around all; west > east where they cross the antimeridian.
    """

    count: int
    bounds: Bounds | None


def write_scenes(index: Path, manifest: Mapping[str, Any], path: Path, *, without: Collection[str] = ()) -> Scenes:
    """Write ``scenes.parquet``; nothing where no row has a place.

    Args:
        index: ``index.parquet``.
        manifest: Of what is published.
        path: File to write.
        without: Names of licences whose rows are not published.

    Returns:
        How many scenes there are, and where.
    """
    import stac_geoparquet.arrow  # noqa: PLC0415 - only publication writes STAC

    found = sorted(_scenes(index, without), key=lambda scene: tuple(str(scene[key]) for key in _KEYS))
    if not found:
        return Scenes(0, None)
    items = _without_gaps(list(_items(found, manifest)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, of other libraries' deprecations
        reader = stac_geoparquet.arrow.parse_stac_items_to_arrow(items)
        part = path.with_name(f".{path.name}.part")
        stac_geoparquet.arrow.to_parquet(reader, part)
    part.replace(path)
    return Scenes(len(items), _around([item["bbox"] for item in items]))


def collection(
    manifest: Mapping[str, Any], found: Survey, *, scenes: Scenes, files: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``collection.json``.

    Args:
        manifest: Of what is published.
        found: Of its rows.
        scenes: What ``scenes.parquet`` holds.
        files: Size and SHA-256 of each file to point to, by name.
    """
    names = sorted(name for name in found.licences if name != UNSTATED)
    one = understand(names[0]) if len(names) == 1 and not found.licences.get(UNSTATED) else None
    bounds = found.bounds or (-180.0, -90.0, 180.0, 90.0)
    begin, end = (_written(moment) for moment in found.period) if found.period else (None, None)
    where = "" if found.bounds else " No row has a place."
    synthetic = "Synthetic imagery: computed by a program, not observed. " if manifest.get("synthetic") else ""
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [FILE_EXTENSION],
        "id": slug(manifest["name"]),
        "title": str(manifest["name"]),
        "description": f"{synthetic}{manifest.get('description') or 'Map tiles with captions.'}{where}",
        "keywords": ["imagery", "captions", "tiles", *(["synthetic"] if manifest.get("synthetic") else [])],
        "license": one.name if one is not None and one.spdx else "other",
        "providers": _providers(found),
        "extent": {"spatial": {"bbox": [list(bounds)]}, "temporal": {"interval": [[begin, end]]}},
        "summaries": _summaries(manifest, found),
        "item_assets": {"scene": {"title": "The scene that tiles were cut from", "roles": ["data"]}},
        "assets": {_key(name): _asset(name, note) for name, note in files.items()},
        "links": [
            {"rel": "license", "href": "./NOTICE", "type": "text/plain", "title": "Licences and credits"},
            {"rel": "describedby", "href": "./README.md", "type": "text/markdown"},
            *([{"rel": "items", "href": "./scenes.parquet", "type": PARQUET}] if scenes.count else []),
        ],
    }


def write_collection(path: Path, value: Mapping[str, Any]) -> None:
    """Write a collection as JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def slug(value: object) -> str:
    """Return a name in small letters, digits, dots, hyphens and underscores."""
    return re.sub(r"[^a-z0-9._-]+", "-", str(value).lower()).strip("-.") or "dataset"


def _scenes(index: Path, without: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield each scene once, with the extent of the tiles that hold some of it, in both frames of longitude."""
    gathered: list[pa.Table] = []
    for table in batches(index, [*_KEYS, "sources", "bbox"], without=without):
        placed = table.filter(pc.is_valid(table["bbox"]))
        if placed.num_rows:
            gathered.append(_grouped(_contributions(placed)))
        if sum(part.num_rows for part in gathered) > _GROUPS:
            gathered = [_merged(gathered)]
    if gathered:
        yield from _merged(gathered).to_pylist()


def _contributions(table: pa.Table) -> pa.Table:
    boxes = table["bbox"].combine_chunks()
    box = {side: pc.struct_field(boxes, side) for side in ("xmin", "ymin", "xmax", "ymax")}
    # Seen from the other side of the Earth, what lies across the antimeridian lies together.
    box["emin"], box["emax"] = (pc.add(box[s], pc.multiply(pc.cast(pc.less(box["xmin"], 0), pa.float64()), 360.0))
                                for s in ("xmin", "xmax"))  # fmt: skip
    own = {name: table[name].combine_chunks() for name in _KEYS}
    alone = pa.table({**own, **box})
    if pa.types.is_null(table["sources"].type):
        return _typed(alone)
    lists = table["sources"].combine_chunks()
    parents, flat = pc.list_parent_indices(lists), pc.list_flatten(lists)
    parts = pa.table({**{name: pc.struct_field(flat, name) for name in _KEYS},
                      **{side: values.take(parents) for side, values in box.items()}})  # fmt: skip
    without = pc.fill_null(pc.equal(pc.list_value_length(lists), 0), True)
    return pa.concat_tables([_typed(alone.filter(without)), _typed(parts)])


def _typed(table: pa.Table) -> pa.Table:
    types = [pa.string()] * 4 + [pa.timestamp("us", tz="UTC")] + [pa.float64()] * 6
    return table.cast(pa.schema(list(zip(table.column_names, types, strict=True))))


_AGGREGATES = [("xmin", "min"), ("ymin", "min"), ("xmax", "max"), ("ymax", "max"), ("emin", "min"), ("emax", "max")]


def _grouped(table: pa.Table, count: tuple[Any, str] = ([], "count_all")) -> pa.Table:
    found = table.group_by(list(_KEYS)).aggregate([*_AGGREGATES, count])
    names = {f"{side}_{how}": side for side, how in _AGGREGATES} | {"count_all": "tiles", "tiles_sum": "tiles"}
    return found.rename_columns([names.get(name, name) for name in found.column_names])


def _merged(parts: list[pa.Table]) -> pa.Table:
    order = parts[0].column_names
    return _grouped(pa.concat_tables([part.select(order) for part in parts]), ("tiles", "sum"))


def _items(scenes: list[dict[str, Any]], manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    notes = {(note["source_id"], note["item"]): note for note in manifest.get("items", []) if note.get("error") is None}
    recipe = (manifest.get("inputs") or {}).get("recipe") or {}
    sources = {source.get("id"): source for source in recipe.get("source") or []}
    used: dict[str, int] = {}
    for scene in scenes:
        note = notes.get((scene["source_id"], scene["source_item"]), {})
        name = slug(f"{scene['source_id']}_{scene['source_item'] or 'imagery'}")
        used[name] = used.get(name, 0) + 1
        identifier = name if used[name] == 1 else f"{name}_{used[name]}"
        yield _item(identifier, scene, note, manifest=manifest, source=sources.get(scene["source_id"], {}))


def _without_gaps(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep STAC's own fields where every item has them: a table has null where one has not, which they do not allow."""
    for name in ("gsd", "platform", "instruments"):
        if not all(name in item["properties"] for item in items):
            for item in items:
                if name in item["properties"]:
                    item["properties"][f"git10m:{name}"] = item["properties"].pop(name)
    return items


def _item(
    identifier: str,
    scene: Mapping[str, Any],
    note: Mapping[str, Any],
    *,
    manifest: Mapping[str, Any],
    source: Mapping[str, Any],
) -> dict[str, Any]:
    geometry = _outline(scene, note)
    licence = understand(scene["licence"])
    said: dict[str, Any] = {
        **_moment(scene["acquired_at"], note.get("acquired_precision")),
        "title": scene["source_item"] or scene["source_id"],
        # An SPDX identifier or "other", as STAC 1.1 asks; the words of the source stand beside it.
        "license": licence.name if licence.spdx else "other",
        "git10m:licence": scene["licence"] or UNSTATED,
        "git10m:attribution": scene["attribution"],
        "git10m:source_id": scene["source_id"],
        "git10m:tiles": scene["tiles"],
        "git10m:synthetic": bool(note.get("synthetic", manifest.get("synthetic"))),
        "git10m:footprint": "scene" if note.get("footprint") else "tiles",
        "gsd": note.get("native_gsd_m"),
        "platform": source.get("platform"),
        "instruments": [source["sensor"]] if source.get("sensor") else None,
        "proj:code": note["crs"] if str(note.get("crs") or "").startswith("EPSG:") else None,
    }
    # Nulls are left out, but for the date, which STAC asks for.
    properties = {key: value for key, value in said.items() if value is not None or key == "datetime"}
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [PROJECTION_EXTENSION] if "proj:code" in properties else [],
        "id": identifier,
        "collection": slug(manifest["name"]),
        "geometry": shapely.geometry.mapping(geometry),
        "bbox": list(_box(scene, note)),
        "properties": properties,
        "links": [{"rel": "collection", "href": "./collection.json", "type": "application/json"}],
        # The name that the build knew it by: where it lies is the publisher's own affair.
        "assets": {"scene": {"href": quote(str(scene["source_item"] or scene["source_id"]), safe="/:"),
                             "title": str(scene["source_item"] or scene["source_id"]), "roles": ["data"]}},
    }  # fmt: skip


def _outline(scene: Mapping[str, Any], note: Mapping[str, Any]) -> Any:
    if note.get("footprint"):
        return shapely.from_wkt(note["footprint"])
    west, south, east, north = _box(scene, note)
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.MultiPolygon([shapely.box(west, south, 180.0, north), shapely.box(-180.0, south, east, north)])


def _box(scene: Mapping[str, Any], note: Mapping[str, Any]) -> Bounds:
    """Return (west, south, east, north); west > east across the antimeridian, as GeoJSON has it."""
    if note.get("footprint"):
        shape = shapely.from_wkt(note["footprint"])
        parts = [part.bounds for part in getattr(shape, "geoms", [shape])]
        low, high = min(part[1] for part in parts), max(part[3] for part in parts)
        if len(parts) > 1 and min(p[0] for p in parts) == -180.0 and max(p[2] for p in parts) == 180.0:
            return min(p[0] for p in parts if p[0] > 0), low, max(p[2] for p in parts if p[2] < 0), high
        return min(part[0] for part in parts), low, max(part[2] for part in parts), high
    if scene["emax"] - scene["emin"] < scene["xmax"] - scene["xmin"]:
        return _degrees(scene["emin"]), scene["ymin"], _degrees(scene["emax"]), scene["ymax"]
    return scene["xmin"], scene["ymin"], scene["xmax"], scene["ymax"]


def _degrees(lon: float) -> float:
    return lon - 360.0 if lon > 180.0 else lon


def _around(boxes: list[list[float]]) -> Bounds:
    wests, souths, easts, norths = zip(*boxes, strict=True)
    if any(west > east for west, east in zip(wests, easts, strict=True)):
        return -180.0, min(souths), 180.0, max(norths)
    return min(wests), min(souths), max(easts), max(norths)


def _moment(at: datetime | None, precision: str | None) -> dict[str, Any]:
    """Return the date, or the interval that is known; STAC has no date that is simply unknown."""
    if at is None:
        return {"datetime": None, "start_datetime": _NEVER, "end_datetime": _EVER, "git10m:dated": False}
    begin = at.astimezone(UTC)
    if precision in {"year", "month"}:
        year, month = (begin.year + 1, 1) if precision == "year" or begin.month == 12 else (begin.year, begin.month + 1)
        end = datetime(year, month, 1, tzinfo=UTC) - timedelta(seconds=1)
        return {
            "datetime": None,
            "start_datetime": _written(begin),
            "end_datetime": _written(end),
            "git10m:dated": True,
        }
    at_once = _written(begin)
    return {"datetime": at_once, "start_datetime": at_once, "end_datetime": at_once, "git10m:dated": True}


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _providers(found: Survey) -> list[dict[str, Any]]:
    names = sorted({credit for _, credit in found.credits if credit})
    return [{"name": " ".join(name.split()), "roles": ["licensor"]} for name in names]


def _summaries(manifest: Mapping[str, Any], found: Survey) -> dict[str, Any]:
    said: dict[str, Any] = {
        "git10m:levels": sorted(found.levels),
        "git10m:splits": sorted(found.splits),
        "git10m:rows": [found.rows],
        "git10m:synthetic": sorted({found.synthetic > 0, found.synthetic == found.rows and found.rows > 0}),
        "git10m:licences": sorted(found.licences),
        "git10m:fingerprint": [str(manifest.get("fingerprint"))],
    }
    if found.gsd_m is not None:
        said["gsd"] = {"minimum": found.gsd_m[0], "maximum": found.gsd_m[1]}
    return {name: value for name, value in said.items() if value}


def _key(name: str) -> str:
    return name.removeprefix("data/").removesuffix(".parquet").removesuffix(".tar")


def _asset(name: str, note: Mapping[str, Any]) -> dict[str, Any]:
    types = {".parquet": PARQUET, ".tar": "application/x-tar", ".json": "application/json"}
    roles = (
        ["data"] if name.startswith("data/") else ["collection-mirror"] if name == "scenes.parquet" else ["metadata"]
    )
    said = {"href": f"./{name}", "type": types.get(Path(name).suffix, "text/plain"), "roles": roles}
    # A multihash: 12 is SHA-256, 20 its length in bytes.
    return {**said, "file:size": int(note["bytes"]), "file:checksum": f"1220{note['sha256']}"}
