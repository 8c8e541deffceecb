"""The one row type of the project, and the one Arrow schema that stores it.

A row is an image with its caption, place, resolution, provenance and scores. The first seven columns are
Git-10M's, by name and meaning (arXiv 2501.00895); ours stand beside them. The same parquet file opens as

- a Hugging Face dataset with decoded images (schema key ``huggingface``),
- a GeoParquet 1.1 layer with a bounding-box covering (schema key ``geo``),
- a plain table anywhere else.

Level 0 means that the resolution is unknown: every place column of such a row is null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_type_hints

import pyarrow as pa

__all__ = [
    "FACTS",
    "GIT10M_COLUMNS",
    "IMAGE",
    "PLACE_COLUMNS",
    "SOURCE",
    "Column",
    "Rejection",
    "Row",
    "columns",
    "conformed",
    "embedding_of",
    "huggingface_metadata",
    "modalities_of",
    "modality_column",
    "schema",
    "table",
]

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""Encoded image and file name, in the one order and nullability that Hugging Face ``datasets`` recognises."""

SOURCE = pa.struct(
    [
        ("source_id", pa.string()),
        ("source_item", pa.string()),
        ("licence", pa.string()),
        ("attribution", pa.string()),
        ("acquired_at", pa.timestamp("us", tz="UTC")),
        ("share", pa.float32()),
    ]
)
"""One contribution to a mosaic; ``share`` is its part of the valid pixels, 0–1."""

BBOX = pa.struct([("xmin", pa.float64()), ("ymin", pa.float64()), ("xmax", pa.float64()), ("ymax", pa.float64())])

FACTS = pa.struct(
    [
        ("platform", pa.string()),
        ("sensor", pa.string()),
        ("date", pa.date32()),
        ("season", pa.string()),
        (
            "place",
            pa.struct(
                [
                    ("name", pa.string()),
                    ("country", pa.string()),
                    ("distance_km", pa.float32()),
                    ("direction", pa.string()),
                ]
            ),
        ),
        ("areas", pa.list_(pa.struct([("layer", pa.string()), ("name", pa.string())]))),
        (
            "land_cover",
            pa.list_(pa.struct([("name", pa.string()), ("share", pa.float32()), ("part", pa.string())])),
        ),
        (
            "objects",
            pa.list_(
                pa.struct([("kind", pa.string()), ("count", pa.int32()), ("name", pa.string()), ("part", pa.string())])
            ),
        ),
        (
            "relief",
            pa.struct([("lowest_m", pa.float32()), ("highest_m", pa.float32()), ("slope_deg", pa.float32())]),
        ),
    ]
)
"""What is known to be true of a tile, from which captions are written.

``place`` is the nearest town of the gazetteer, seen from which the tile's centre lies ``distance_km`` to the
``direction`` (``"north-east"``; null within 1 km). ``areas`` are named polygons of the recipe's vector layers that
hold the centre. ``land_cover`` lists the classes by falling share; ``part`` is the quarter or ``"centre"`` where a
class has most of its pixels, null when it is spread out. ``objects`` are kinds of things of the recipe's layers that
can be seen at the tile's GSD, the most telling first: ``count`` separate ones (null of what is not counted, as roads),
``name`` of the largest where it has one, and the ``part`` that holds most of it. ``relief`` is of the ground: lowest
and highest metres above sea level, and the mean slope in degrees. A kind of fact that nothing told is null; one of
which there is nothing is empty.
"""


@dataclass(frozen=True, slots=True)
class Column:
    """Arrow type and meaning (units, range, when null) of one column."""

    type: pa.DataType
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One image with everything that is known of it; the fields are the columns, in their order."""

    image: Annotated[Mapping[str, Any], Column(IMAGE, "encoded RGB image, and its file name")]
    img_name: Annotated[str, Column(pa.string(), "file name of the image, unique in the dataset")]
    img_quality_score: Annotated[
        float | None, Column(pa.float64(), "0–10, higher is better (curation.quality); null when not scored")
    ] = None
    caption: Annotated[str | None, Column(pa.string(), "what the image shows, in English")] = None
    caption_length: Annotated[int | None, Column(pa.int32(), "words in the caption")] = None
    resolution: Annotated[
        float | None, Column(pa.float64(), "nominal metres a pixel, 2 ** (17 - level), as in Git-10M")
    ] = None
    Google_location: Annotated[
        str | None, Column(pa.string(), "tile as 'level_x_y'; its formula gives the north-west corner")
    ] = None
    quadkey: Annotated[str | None, Column(pa.string(), "tile address in base 4; a prefix is a parent")] = None
    level: Annotated[int, Column(pa.int16(), "zoom level 1–22; 0 when the resolution is unknown")]
    x: Annotated[int | None, Column(pa.int32(), "tile column, eastward")] = None
    y: Annotated[int | None, Column(pa.int32(), "tile row, southward")] = None
    lon: Annotated[float | None, Column(pa.float64(), "longitude of the centre, degrees, WGS 84")] = None
    lat: Annotated[float | None, Column(pa.float64(), "latitude of the centre, degrees, WGS 84")] = None
    gsd_m: Annotated[float | None, Column(pa.float64(), "true ground metres a pixel at the centre")] = None
    native_gsd_m: Annotated[
        float | None, Column(pa.float64(), "ground metres a pixel of the source there, coarser axis")
    ] = None
    width: Annotated[int, Column(pa.int32(), "pixels")]
    height: Annotated[int, Column(pa.int32(), "pixels")]
    geometry: Annotated[bytes | None, Column(pa.binary(), "outline of the tile, WKB polygon, lon/lat")] = None
    bbox: Annotated[Mapping[str, float] | None, Column(BBOX, "west, south, east, north in degrees")] = None
    source_id: Annotated[str, Column(pa.string(), "source of the largest share")]
    source_item: Annotated[str | None, Column(pa.string(), "file or scene of the largest share")] = None
    licence: Annotated[str | None, Column(pa.string(), "licence of the largest share")] = None
    attribution: Annotated[str | None, Column(pa.string(), "credit line of the largest share")] = None
    acquired_at: Annotated[
        Any, Column(pa.timestamp("us", tz="UTC"), "when the largest share was taken; null when unknown")
    ] = None
    acquired_precision: Annotated[
        str | None, Column(pa.string(), "how much of acquired_at is known: 'year', 'month', 'day' or 'second'")
    ] = None
    sources: Annotated[
        Sequence[Mapping[str, Any]] | None, Column(pa.list_(SOURCE), "all contributions, by falling share")
    ] = None
    synthetic: Annotated[bool, Column(pa.bool_(), "true when the pixels were computed, not observed")] = False
    sha256: Annotated[str, Column(pa.string(), "of the image bytes, hexadecimal")]
    phash: Annotated[str | None, Column(pa.string(), "64-bit perceptual hash, 16 hexadecimal digits")] = None
    phash256: Annotated[str | None, Column(pa.string(), "256-bit perceptual hash, 64 hexadecimal digits")] = None
    valid_fraction: Annotated[float | None, Column(pa.float32(), "share of pixels with data, 0–1")] = None
    entropy: Annotated[float | None, Column(pa.float32(), "of the luma histogram, 0–8 bit")] = None
    sharpness: Annotated[float | None, Column(pa.float32(), "standard deviation of the luma Laplacian")] = None
    contrast: Annotated[float | None, Column(pa.float32(), "standard deviation of luma, 0–127.5")] = None
    brightness: Annotated[float | None, Column(pa.float32(), "mean luma, 0–255")] = None
    saturation: Annotated[float | None, Column(pa.float32(), "mean HSV saturation, 0–1")] = None
    clipped: Annotated[float | None, Column(pa.float32(), "share of pixels at black or white, within 2 levels")] = None
    noise: Annotated[float | None, Column(pa.float32(), "σ of white noise in luma, 0–255")] = None
    blockiness: Annotated[float | None, Column(pa.float32(), "steps at JPEG's blocks over the mean step; 0: none")] = (
        None
    )
    haze: Annotated[float | None, Column(pa.float32(), "darkest 1 % of the darkest channel above black, 0–1")] = None
    white_fraction: Annotated[
        float | None, Column(pa.float32(), "share of white pixels, 0–1: cloud, snow or bare bright ground")
    ] = None
    water_fraction: Annotated[
        float | None, Column(pa.float32(), "share that is dark, smooth and not green, 0–1: a guess at water")
    ] = None
    scene_cloud: Annotated[
        float | None, Column(pa.float32(), "cloud cover of the largest share's scene, 0–1; null when not stated")
    ] = None
    aesthetic_score: Annotated[
        float | None, Column(pa.float32(), "of the recipe's learned scorer, on its own scale; null without one")
    ] = None
    enhanced: Annotated[
        str | None,
        Column(
            pa.string(), "restorer that made the pixels, as 'rrdb-x2:1f2e3d4c' (hash of its weights); null: as observed"
        ),
    ] = None
    caption_source: Annotated[str | None, Column(pa.string(), "who wrote the caption, e.g. 'template'")] = None
    caption_version: Annotated[str | None, Column(pa.string(), "version of that writer")] = None
    caption_facts: Annotated[
        Mapping[str, Any] | None, Column(FACTS, "what is known of the tile; see records.FACTS")
    ] = None
    caption_flags: Annotated[
        Sequence[str] | None,
        Column(pa.list_(pa.string()), "what is wrong with the caption, as 'check: detail'; null when not checked"),
    ] = None
    similarity_clip: Annotated[
        float | None, Column(pa.float32(), "cosine of image and caption by a CLIP model, −1–1; null without one")
    ] = None
    similarity_siglip: Annotated[
        float | None, Column(pa.float32(), "cosine of image and caption by a SigLIP model, −1–1; null without one")
    ] = None
    captions: Annotated[
        Sequence[str] | None, Column(pa.list_(pa.string()), "all captions, where an image has several")
    ] = None
    major_tom_cell: Annotated[
        str | None, Column(pa.string(), "cell of the Major TOM grid, where tiles are sampled on it")
    ] = None
    split: Annotated[str | None, Column(pa.string(), "'train', 'validation' or 'test'")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One planned tile that did not become a row: dropped by a verdict, or failed to be read."""

    source_id: Annotated[str, Column(pa.string(), "first source that was asked")]
    layer: Annotated[str, Column(pa.string(), "layer of the recipe")]
    item: Annotated[str | None, Column(pa.string(), "image of a list: its name or address; null for a tile")] = None
    Google_location: Annotated[str | None, Column(pa.string(), "tile as 'level_x_y'")] = None
    level: Annotated[int, Column(pa.int16(), "zoom level; 0 when the resolution is unknown")]
    x: Annotated[int | None, Column(pa.int32(), "tile column")] = None
    y: Annotated[int | None, Column(pa.int32(), "tile row")] = None
    lon: Annotated[float | None, Column(pa.float64(), "longitude of the centre, degrees")] = None
    lat: Annotated[float | None, Column(pa.float64(), "latitude of the centre, degrees")] = None
    acquired_at: Annotated[Any, Column(pa.timestamp("us", tz="UTC"), "date group of the tile")] = None
    verdict: Annotated[str, Column(pa.string(), "'dropped' or 'failed'")]
    reason: Annotated[str, Column(pa.string(), "short name of the rule or fault, e.g. 'valid_fraction'")]
    detail: Annotated[str, Column(pa.string(), "what was measured or what went wrong")]
    duplicate_of: Annotated[
        str | None, Column(pa.string(), "image that stays: its img_name, or 'set: file' of a set to stay apart from")
    ] = None
    valid_fraction: Annotated[float | None, Column(pa.float32(), "share of pixels with data, 0–1")] = None
    thumbnail: Annotated[Mapping[str, Any] | None, Column(IMAGE, "64-px JPEG; null when nothing was read")] = None


GIT10M_COLUMNS = (
    "image",
    "img_name",
    "img_quality_score",
    "caption",
    "caption_length",
    "resolution",
    "Google_location",
)
"""The columns of the published dataset."""

PLACE_COLUMNS = (
    "resolution",
    "Google_location",
    "quadkey",
    "x",
    "y",
    "lon",
    "lat",
    "gsd_m",
    "native_gsd_m",
    "geometry",
    "bbox",
)
"""Columns that are null in a row of level 0; where the level alone is known, all but ``resolution`` are."""


def columns(record: type[Row] | type[Rejection] = Row) -> dict[str, Column]:
    """Return every column of a record type by name, in file order."""
    hints = get_type_hints(record, include_extras=True)
    return {field.name: hints[field.name].__metadata__[0] for field in fields(record)}


def schema(
    record: type[Row] | type[Rejection] = Row,
    *,
    bounds: tuple[float, float, float, float] | None = None,
    without: Iterable[str] = (),
    modalities: Mapping[str, Any] | None = None,
    embedding: Mapping[str, Any] | None = None,
) -> pa.Schema:
    """Return the Arrow schema of a record type with its Hugging Face and GeoParquet metadata.

    Args:
        record: ``Row`` or ``Rejection``.
        bounds: (west, south, east, north) of the rows in degrees, noted in the GeoParquet metadata.
        without: Columns to leave out (``"image"`` for an index).
        modalities: What is known of each further image (bands, stretch), by name: each has a column
            ``image_NAME``, and the notes go into the metadata.
        embedding: What is known of the column ``embedding`` (``dtype``, ``dimensions``, ``encoder``), which rows have
            then: a unit vector each; null where there is none.
    """
    left_out = set(without)
    kept = {name: column.type for name, column in columns(record).items() if name not in left_out}
    kept |= {modality_column(name): IMAGE for name in modalities or {}}
    if embedding:
        kept["embedding"] = pa.list_(pa.float16() if embedding["dtype"] == "float16" else pa.float32())
    metadata = {"huggingface": json.dumps(huggingface_metadata(kept))}
    notes = {"modalities": modalities, "embedding": embedding}
    if any(notes.values()):
        metadata["git10m"] = json.dumps({name: note for name, note in notes.items() if note})
    if "geometry" in kept:
        metadata["geo"] = json.dumps(_geoparquet_metadata(bounds))
    return pa.schema([pa.field(name, type_) for name, type_ in kept.items()], metadata=metadata)


def modality_column(name: str) -> str:
    """Return the column that holds a further image of each row."""
    return f"image_{name}"


def modalities_of(arrow: pa.Schema) -> dict[str, Any]:
    """Return what a file's metadata notes of its further images, by name; empty where there are none."""
    noted = json.loads((arrow.metadata or {}).get(b"git10m", b"{}"))
    found: dict[str, Any] = noted.get("modalities", {})
    return found


def embedding_of(arrow: pa.Schema) -> dict[str, Any] | None:
    """Return what a file's metadata notes of its column ``embedding``; None where it has none."""
    noted: dict[str, Any] | None = json.loads((arrow.metadata or {}).get(b"git10m", b"{}")).get("embedding")
    return noted


def table(rows: Iterable[Row] | Iterable[Rejection], *, record: type[Row] | type[Rejection] = Row) -> pa.Table:
    """Collect records of one type into a table with its full schema."""
    listed = list(rows)
    arrow = schema(record)
    return pa.table(
        [pa.array([getattr(row, field.name) for row in listed], type=field.type) for field in arrow],
        schema=arrow,
    )


def conformed(table: pa.Table, arrow: pa.Schema) -> pa.Table:
    """Return rows that an older version wrote in the form of a schema: what they lack, also within facts, is null.

    Args:
        table: Rows, with any columns.
        arrow: Columns that are wanted; others are left out.
    """
    present = set(table.column_names)
    found = [
        table[field.name].cast(field.type) if field.name in present else pa.nulls(table.num_rows, field.type)
        for field in arrow
    ]
    return pa.table(found, schema=arrow)


def huggingface_metadata(types: Mapping[str, pa.DataType]) -> dict[str, Any]:
    """Return the value of the schema key ``huggingface`` for the given columns."""
    return {"info": {"features": {name: _feature(type_) for name, type_ in types.items()}}}


def _feature(type_: pa.DataType) -> Any:
    """Translate an Arrow type to the JSON form of a ``datasets`` feature."""
    if type_ == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(type_):
        return {field.name: _feature(field.type) for field in type_}
    if pa.types.is_list(type_):
        return [_feature(type_.value_type)]
    return {"dtype": _dtype(type_), "_type": "Value"}


def _dtype(type_: pa.DataType) -> str:
    """Name an Arrow type as ``datasets`` does (only four names differ from Arrow's own)."""
    return {"double": "float64", "float": "float32", "halffloat": "float16", "date32[day]": "date32"}.get(
        str(type_), str(type_)
    )


def _geoparquet_metadata(bounds: tuple[float, float, float, float] | None) -> dict[str, Any]:
    """Return the ``geo`` key of GeoParquet 1.1; no ``crs`` member means OGC:CRS84 (degrees, lon first)."""
    geometry: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "orientation": "counterclockwise",
        "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
    }
    if bounds is not None:
        geometry["bbox"] = list(bounds)
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
