"""``croissant.json``: the dataset as machines that look for datasets read it.

Croissant 1.1 (mlcommons.org/croissant/1.1) with the terms of GeoCroissant 1.0 that fit tiles: where, when, how fine.
Every shard is a file with its SHA-256; one record set gives every column of a row, its image as an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from git10m import records
from git10m.publish.index import SPLITS
from git10m.publish.licences import understand
from git10m.publish.survey import Survey

__all__ = ["croissant"]

PARQUET = "application/x-parquet"

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "geocr": "http://mlcommons.org/croissant/geo/",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context of Croissant 1.1, as its specification gives it, and GeoCroissant's prefix."""


def croissant(
    manifest: Mapping[str, Any],
    found: Survey,
    *,
    schema: pa.Schema,
    files: Mapping[str, Any],
    said: Mapping[str, str | None],
) -> dict[str, Any]:
    """Return ``croissant.json``.

    Args:
        manifest: Of what is published.
        found: Of its rows.
        schema: Of its shards.
        files: Size and SHA-256 of every file to list, by name.
        said: ``creator``, ``url`` and ``date`` of the publication, as far as they are known.
    """
    synthetic = "Synthetic imagery: computed by a program, not observed. " if manifest.get("synthetic") else ""
    value = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/geo/1.0"],
        "name": str(manifest["name"]),
        "description": f"{synthetic}{manifest.get('description') or 'Map tiles with captions.'}",
        "version": _version(manifest["version"]),
        "license": [understand(name).url or name for name in sorted(found.licences)] or ["unstated"],
        "creator": {"@type": "sc:Organization", "name": said["creator"]} if said.get("creator") else None,
        "url": said.get("url"),
        "datePublished": said.get("date"),
        "citeAs": f"{manifest['name']}, version {manifest['version']}, fingerprint {manifest['fingerprint']}",
        "keywords": [
            "satellite imagery",
            "captions",
            "map tiles",
            *(["synthetic"] if manifest.get("synthetic") else []),
        ],
        "inLanguage": "en",
        "isLiveDataset": False,
        **_where_and_when(found),
        "distribution": [*_distribution(files)],
        "recordSet": [_splits(found), _rows(schema)],
    }
    return {name: entry for name, entry in value.items() if entry is not None}


def _where_and_when(found: Survey) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if found.bounds is not None:
        west, south, east, north = found.bounds
        # GeoShape's box is latitude first: south-west corner, north-east corner.
        said["spatialCoverage"] = {
            "@type": "Place",
            "geo": {"@type": "GeoShape", "box": f"{south:.7g} {west:.7g} {north:.7g} {east:.7g}"},
        }
        said["geocr:coordinateReferenceSystem"] = "OGC:CRS84"
        said["geocr:spatialBias"] = "Only where the sources of the recipe have imagery; see README.md."
    if found.period is not None:
        first, last = (moment.date().isoformat() for moment in found.period)
        said["temporalCoverage"] = f"{first}/{last}"
    if found.gsd_m is not None:
        finest, coarsest = found.gsd_m
        said["geocr:spatialResolution"] = f"{finest:.4g} m to {coarsest:.4g} m a pixel; rows say it in gsd_m"
    said["geocr:bandConfiguration"] = {
        "@type": "geocr:BandConfiguration",
        "geocr:totalBands": 3,
        "geocr:bandNameList": ["Red", "Green", "Blue"],
    }
    return said


def _distribution(files: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, note in files.items():
        yield {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name.rpartition("/")[2],
            "contentUrl": name,
            "contentSize": f"{int(note['bytes'])} B",
            "encodingFormat": PARQUET if name.endswith(".parquet") else "application/octet-stream",
            "sha256": note["sha256"],
        }
    yield {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "description": "All shards, as one table.",
        "encodingFormat": PARQUET,
        "includes": "data/*.parquet",
    }


def _splits(found: Survey) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [{"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"splits/name": split} for split in SPLITS if found.splits.get(split)],
    }


def _rows(schema: pa.Schema) -> dict[str, Any]:
    meanings = {name: column.meaning for name, column in records.columns().items()}
    fields = []
    for column in schema:
        field = _field(f"rows/{column.name}", column.name, column.type, source=_extract(column.name))
        if column.name in meanings:
            field["description"] = meanings[column.name]
        if column.name == "split":
            field["references"] = {"field": {"@id": "splits/name"}}
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "rows",
        "name": "rows",
        "description": "One image with its caption, place, resolution, provenance and scores.",
        **({"key": {"@id": "rows/img_name"}} if "img_name" in schema.names else {}),
        "field": fields,
    }


def _extract(column: str, *path: str) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": "shards"}, "extract": {"column": column}}
    if path:
        source["transform"] = [{"jsonPath": part} for part in path] if len(path) > 1 else {"jsonPath": path[0]}
    return source


def _field(identifier: str, name: str, type_: pa.DataType, *, source: dict[str, Any]) -> dict[str, Any]:
    """Describe a column or a part of one; lists of structures are told part by part, each a list of its own."""
    field: dict[str, Any] = {"@type": "cr:Field", "@id": identifier, "name": name}
    column, path = source["extract"]["column"], _path(source)
    if type_ == records.IMAGE:
        return {**field, "dataType": "sc:ImageObject", "source": _extract(column, *path, "bytes")}
    inner = type_.value_type if pa.types.is_list(type_) else type_
    repeated = {"repeated": True} if inner is not type_ else {}
    if pa.types.is_struct(inner):
        parts = [_field(f"{identifier}/{part.name}", part.name, part.type, source=_extract(column, *path, part.name))
                 for part in inner]  # fmt: skip
        return {**field, **repeated, "subField": parts}
    return {**field, **repeated, "dataType": _data_type(inner), "source": source}


def _path(source: Mapping[str, Any]) -> list[str]:
    transform = source.get("transform") or []
    return [part["jsonPath"] for part in ([transform] if isinstance(transform, dict) else transform)]


def _data_type(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "sc:Boolean"
    if pa.types.is_integer(type_):
        return "sc:Integer"
    if pa.types.is_floating(type_):
        return "sc:Float"
    if pa.types.is_timestamp(type_):
        return "sc:DateTime"
    return "sc:Date" if pa.types.is_date(type_) else "sc:Text"


def _version(said: object) -> str:
    """Complete a version to three numbers, as semantic versioning asks; other words stay."""
    parts = str(said).split(".")
    return ".".join([*parts, "0", "0"][:3]) if all(part.isdigit() for part in parts) and len(parts) < 3 else str(said)
