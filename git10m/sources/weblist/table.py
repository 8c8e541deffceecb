"""Tables of addresses: read in pieces, checked, and written down as numbered rows of one form.

Whatever the table's form, a row becomes: address, name, captions, tile or level, and columns of ours with their types.
"""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from git10m.errors import RecipeError, SourceError
from git10m.grid import MAX_LEVEL, Tile
from git10m.recipe.sources import WebListSource
from git10m.recipe.values import is_address
from git10m.shards import ShardWriter
from git10m.sources.files import expand
from git10m.sources.forbidden import require_permission

__all__ = ["ROWS", "ROW_GROUP_ROWS", "address_key", "shown", "table_files", "tables_digest", "write_rows"]

ROWS = pa.schema(
    [
        ("url", pa.string()),
        ("name", pa.string()),
        ("captions", pa.list_(pa.string())),
        ("tile_level", pa.int8()),
        ("x", pa.int32()),
        ("y", pa.int32()),
        ("level", pa.int8()),
        ("acquired_at", pa.timestamp("us", tz="UTC")),
        ("acquired_precision", pa.string()),
        ("split", pa.string()),
        ("licence", pa.string()),
        ("attribution", pa.string()),
        ("caption_source", pa.string()),
        ("caption_version", pa.string()),
        ("img_quality_score", pa.float64()),
        ("native_gsd_m", pa.float64()),
        ("synthetic", pa.bool_()),
        ("lon", pa.float64()),
        ("lat", pa.float64()),
    ]
)
"""Form of the rows in the store.

``url`` is null where the table holds none that can be asked for. ``tile_level``, ``x`` and ``y`` are 0 where the image
is no known tile; ``level`` is 0 where its resolution is unknown.
"""
ROW_GROUP_ROWS = 4096

_TEXTS = ("licence", "attribution", "caption_source", "caption_version")
_NUMBERS = ("img_quality_score", "native_gsd_m", "lon", "lat")
_PLACES = ("Google_location", "quadkey", "level", "x", "y")
_TAKEN = ("img_name", "caption", "captions", "split", "acquired_at", "synthetic", *_PLACES, *_TEXTS, *_NUMBERS)
"""Columns of ``records.Row`` that a table may fill; the others are measured."""
_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".gz"})
_FORM = re.compile(r"\.(?:(csv|tsv|jsonl|ndjson)(\.gz)?|parquet)$", re.IGNORECASE)
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
_MOMENTS = {4: ("%Y", "year"), 6: ("%Y%m", "month"), 8: ("%Y%m%d", "day")}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands, for messages."""

    source: str
    file: str
    row: int

    def error(self, what: str) -> RecipeError:
        """Return an error that says where and what."""
        return RecipeError(f"source {self.source!r}: {self.file}, row {self.row}: {what}")


def table_files(source: WebListSource) -> list[tuple[str, Path]]:
    """List (name, file) of a source's tables, in the order of their names.

    Raises:
        RecipeError: If the path leads to nothing, or to something that is no table.
    """
    paths = (source.path,) if isinstance(source.path, str) else source.path
    found: dict[Path, str] = {}
    for path in paths:
        if is_address(path):
            raise RecipeError(
                f"source {source.id!r}: {shown(path)} is an address; download the table and give its path"
            )
        matches = [(name, Path(file)) for name, file in expand(path, suffixes=_SUFFIXES)]
        if not matches:
            raise RecipeError(f"source {source.id!r}: {path} matches no table; give a CSV, TSV, JSONL or parquet file")
        for name, file in matches:
            if not _FORM.search(file.name):
                raise RecipeError(
                    f"source {source.id!r}: {name} is no table that can be read; its name must end in .csv, .tsv, "
                    ".jsonl (or these with .gz) or .parquet"
                )
            found.setdefault(file, name)
    return sorted((name, file) for file, name in found.items())


def tables_digest(source: WebListSource, files: list[tuple[str, Path]]) -> str:
    """Return a digest of what the tables hold and of how the recipe reads them."""
    digest = hashlib.sha256()
    said = [source.url_column, source.caption_column, sorted(source.columns.items()), ROWS.names]
    digest.update(json.dumps(said).encode())
    for name, file in files:
        try:
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        except OSError as error:
            raise SourceError(f"source {source.id!r}: {name}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def address_key(url: str) -> bytes:
    """Return the 16 bytes under which an address stands in the store."""
    return hashlib.sha256(url.encode()).digest()[:16]


def shown(url: str) -> str:
    """Return an address as it may be shown: without user, password, query and fragment."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url.partition("?")[0]


def write_rows(source: WebListSource, files: list[tuple[str, Path]], path: Path, *, digest: str) -> int:
    """Write the rows of all tables, one after the other, as a parquet file of the form `ROWS`; return how many.

    Args:
        source: As located.
        files: (name, file) of each table.
        path: Where to.
        digest: Kept in the file's metadata under ``tables``.

    Raises:
        RecipeError: If a column is missing or a value cannot be what its column says (names file and row), or an
            address is of a server whose terms forbid bulk download.
        SourceError: If a table is damaged.
    """
    asked, hashes = 0, []
    with ShardWriter(path, schema=ROWS.with_metadata({"tables": digest}), row_group_rows=ROW_GROUP_ROWS) as writer:
        for name, file in files:
            first = asked
            for columns, piece in _pieces(source, name, file):
                rows = [
                    _row(row, columns, place=_Place(source.id, name, asked - first + i + 1), entry=asked + i)
                    for i, row in enumerate(piece)
                ]
                asked += len(rows)
                for host in {urllib.parse.urlsplit(row["url"]).hostname for row in rows if row["url"]}:
                    require_permission(host, permission=source.permission, source_id=source.id)
                if "img_name" in columns:
                    hashes.append(np.array([_name_hash(row["name"]) for row in rows], dtype=np.uint64))
                writer.write(pa.Table.from_pylist(rows, schema=writer.schema))
            if asked == first:
                raise RecipeError(f"source {source.id!r}: {name} has no rows")
        _check_names(hashes, source.id)
    return asked


def _name_hash(name: str) -> int:
    """Return 64 bits of a name without its ending, which the dataset replaces."""
    stem = PurePosixPath(name).with_suffix("").as_posix() if PurePosixPath(name).name else name
    return int.from_bytes(hashlib.sha256(stem.encode()).digest()[:8], "big")


def _check_names(hashes: list[npt.NDArray[np.uint64]], source: str) -> None:
    """Names that a table gives must differ, for they become those of the dataset."""
    if not hashes:
        return
    found, counts = np.unique(np.concatenate(hashes), return_counts=True)
    if twice := int((counts > 1).sum()):
        rows = np.flatnonzero(np.concatenate(hashes) == found[counts > 1][0])
        raise RecipeError(
            f"source {source!r}: {twice} img_names stand in several rows, e.g. in rows {rows[0] + 1} and "
            f'{rows[1] + 1}; names (without .jpg and the like) must differ, or say columns = {{img_name = ""}} to have '
            "them made"
        )


def _pieces(source: WebListSource, name: str, file: Path) -> Iterator[tuple[Mapping[str, str], list[dict[str, Any]]]]:
    """Yield the columns that are taken (ours: theirs), and rows in pieces."""
    form = file.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    read = {"csv": _from_csv, "tsv": _from_csv, "parquet": _from_parquet}.get(form, _from_json_lines)
    try:
        yield from read(source, name, file)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeDecodeError, EOFError, gzip.BadGzipFile, OSError) as error:
        # what stands behind a colon is the line itself, which may hold tokens
        told = re.sub(r"((?:got|Got) \d+ ?\w*).*", r"\1", str(error).splitlines()[0], flags=re.DOTALL)
        hint = "; a value that holds the delimiter must stand in double quotes" if "columns" in told else ""
        raise SourceError(f"source {source.id!r}: {name}: the table cannot be read: {told[:200]}{hint}") from error


def _from_csv(source: WebListSource, name: str, file: Path) -> Iterator[tuple[Mapping[str, str], list[dict[str, Any]]]]:
    delimiter = "\t" if ".tsv" in file.name.lower() else ","
    parse = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)

    def opened(**said: Any) -> Any:
        compression = "gzip" if file.suffix.lower() == ".gz" else None
        options = pa_csv.ConvertOptions(
            null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False, **said
        )
        stream = pa.input_stream(str(file), compression=compression)
        return pa_csv.open_csv(stream, parse_options=parse, convert_options=options)

    if file.stat().st_size == 0:
        raise RecipeError(f"source {source.id!r}: {name} is empty")
    with opened() as header:
        columns = _columns(source, name, header.schema.names)
    theirs = list(dict.fromkeys(columns.values()))
    with opened(include_columns=theirs, column_types={each: pa.string() for each in theirs}) as reader:
        for batch in reader:
            yield columns, batch.to_pylist()


def _from_parquet(
    source: WebListSource, name: str, file: Path
) -> Iterator[tuple[Mapping[str, str], list[dict[str, Any]]]]:
    with pq.ParquetFile(file) as parquet:
        columns = _columns(source, name, parquet.schema_arrow.names)
        for batch in parquet.iter_batches(batch_size=ROW_GROUP_ROWS, columns=list(dict.fromkeys(columns.values()))):
            yield columns, batch.to_pylist()


def _from_json_lines(
    source: WebListSource, name: str, file: Path
) -> Iterator[tuple[Mapping[str, str], list[dict[str, Any]]]]:
    there: dict[str, None] = {}
    for row in _json_objects(source, name, file):
        there.update(dict.fromkeys(row))
    if not there:
        raise RecipeError(f"source {source.id!r}: {name} is empty")
    columns = _columns(source, name, list(there))
    rows = _json_objects(source, name, file)
    while piece := list(islice(rows, ROW_GROUP_ROWS)):
        yield columns, piece


def _json_objects(source: WebListSource, name: str, file: Path) -> Iterator[dict[str, Any]]:
    opened = gzip.open if file.suffix.lower() == ".gz" else open
    with opened(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise SourceError(f"source {source.id!r}: {name}, line {number}: no JSON ({error.msg})") from error
            if not isinstance(row, dict):
                raise SourceError(f"source {source.id!r}: {name}, line {number}: not a JSON object")
            yield row


def _columns(source: WebListSource, name: str, there: list[str]) -> dict[str, str]:
    """Return which column of the table is which of ours; ``url`` is among ours here.

    Raises:
        RecipeError: If one that the recipe names is not there, or one of ours cannot be given.
    """

    def check(key: str, theirs: str) -> str:
        if theirs not in there:
            near = difflib.get_close_matches(theirs, there, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, there[:20]))}"
            raise RecipeError(f"source {source.id!r}: {name} has no column {theirs!r} ({key}); {hint}")
        return theirs

    found = {"url": check("url_column", source.url_column)}
    found |= {ours: ours for ours in _TAKEN if ours in there and ours not in source.columns}
    for ours, theirs in source.columns.items():
        if ours not in _TAKEN:
            near = difflib.get_close_matches(ours, _TAKEN, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_TAKEN)}"
            raise RecipeError(f"source {source.id!r}: columns.{ours}: no column that a table can give; {hint}")
        if theirs:
            found[ours] = check(f"columns.{ours}", theirs)
    if "caption" not in source.columns:
        found.pop("caption", None)
        named = source.caption_column
        if named is not None and (named in there or "caption_column" in source.model_fields_set):
            found["caption"] = check("caption_column", named)
    return found


def _row(row: Mapping[str, Any], columns: Mapping[str, str], *, place: _Place, entry: int) -> dict[str, Any]:
    """Return a table's row in the form `ROWS`."""
    given = {ours: row.get(theirs) for ours, theirs in columns.items()}
    given = {ours: value for ours, value in given.items() if not _missing(ours, value)}
    url = _asked_for(given.get("url"))
    made: dict[str, Any] = {"url": url, "name": _name(given, url, entry), "captions": _captions(given, place)}
    made |= {name: str(given[name]) for name in _TEXTS if name in given}
    made |= {name: _number(given[name], name, place) for name in _NUMBERS if name in given}
    made |= _tile(given, made, place)
    if "acquired_at" in given:
        made["acquired_at"], made["acquired_precision"] = _moment(given["acquired_at"], place)
    if "split" in given:
        made["split"] = _SPLITS.get(str(given["split"]).strip().lower())
        if made["split"] is None:
            raise place.error(f"split = {given['split']!r}; known are train, validation (val) and test")
    if "synthetic" in given:
        made["synthetic"] = _truth(given["synthetic"], place)
    return made


def _missing(name: str, value: Any) -> bool:
    """Tell whether a cell is empty; a text may read "NA", a number that reads so is missing."""
    if name in _NUMBERS or name in {"level", "x", "y", "acquired_at"}:
        return value is None or str(value).strip().lower() in {"", "na", "n/a", "nan", "nat", "null", "none"}
    return value is None or value == ""


def _asked_for(value: Any) -> str | None:
    """Return an address as a request needs it, percent-encoded; None if it is none of http or https."""
    url = str(value).strip() if value is not None else ""
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
            return None
        _ = parts.port
        host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    except (ValueError, UnicodeError):
        return None
    kept = "%/:=&?~#+!$,;'@()*[]"
    path, query = (urllib.parse.quote(part, safe=kept) for part in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme.lower(), host, path, query, ""))


def _name(given: Mapping[str, Any], url: str | None, entry: int) -> str:
    """Return the image's name: the table's own, or one of the row's number and the address's last part."""
    if "img_name" in given:
        return str(given["img_name"])
    stem = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(url or "").path)).stem
    tidy = re.sub(r"[^\w-]+", "-", stem, flags=re.ASCII).strip("-")[-60:]
    return f"{entry:08d}_{tidy or 'image'}"


def _captions(given: Mapping[str, Any], place: _Place) -> list[str]:
    """Return all captions, the main one first, each once."""
    several = given.get("captions", [])
    if isinstance(several, str):
        several = [several]
    if not isinstance(several, list):
        raise place.error(f"captions = {several!r} is no list of texts")
    told = [str(text).strip() for text in (given.get("caption"), *several) if text is not None]
    return list(dict.fromkeys(text for text in told if text))


def _number(value: Any, name: str, place: _Place) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise place.error(f"{name} = {value!r} is no number") from error
    limits = {"lon": (-180, 180), "lat": (-90, 90), "native_gsd_m": (0, 1e6)}.get(name, (-1e300, 1e300))
    if not limits[0] <= number <= limits[1]:
        raise place.error(f"{name} = {value!r} is not within {limits[0]} to {limits[1]}")
    return number


def _whole(value: Any, name: str, place: _Place) -> int:
    number = _number(value, name, place)
    if number != int(number):
        raise place.error(f"{name} = {value!r} is no whole number")
    return int(number)


def _tile(given: Mapping[str, Any], made: Mapping[str, Any], place: _Place) -> dict[str, int]:
    """Return the tile that an image is, or the level of its resolution alone.

    In this order: ``Google_location`` or ``quadkey``; ``level``, ``x`` and ``y``; ``level``, ``lon`` and ``lat``: the
    tile that holds the point.
    """
    level = _whole(given["level"], "level", place) if "level" in given else 0
    if not 0 <= level <= MAX_LEVEL:
        raise place.error(f"level = {level} is not within 0 (unknown) to {MAX_LEVEL}")
    tile = None
    if "Google_location" in given:
        found = re.fullmatch(r"(\d+)_(\d+)_(\d+)", str(given["Google_location"]).strip())
        if found is None:
            raise place.error(f"Google_location = {given['Google_location']!r} is no 'level_x_y', e.g. '17_1204_9876'")
        tile = _checked(*map(int, found.groups()), place=place)
    elif "quadkey" in given:
        try:
            tile = Tile.from_quadkey(str(given["quadkey"]).strip())
        except ValueError as error:
            raise place.error(f"quadkey = {given['quadkey']!r}: {error}") from error
    elif level and "x" in given and "y" in given:
        tile = _checked(level, _whole(given["x"], "x", place), _whole(given["y"], "y", place), place=place)
    elif level and "lon" in made and "lat" in made and abs(made["lat"]) < 85.0511:
        tile = Tile.from_lonlat(made["lon"], made["lat"], level)
    if tile is None or tile.level == 0:
        return {"tile_level": 0, "x": 0, "y": 0, "level": level}
    if "level" in given and level != tile.level:
        raise place.error(f"level = {level}, but its tile {tile.name} is of level {tile.level}")
    return {"tile_level": tile.level, "x": tile.x, "y": tile.y, "level": tile.level}


def _checked(level: int, x: int, y: int, *, place: _Place) -> Tile:
    if not (0 <= level <= MAX_LEVEL and 0 <= x < 2**level and 0 <= y < 2**level):
        raise place.error(
            f"level {level}, x {x}, y {y} is no tile; if the columns mean something else, say "
            'columns = {x = "", y = ""} to leave them out'
        )
    return Tile(level, x, y)


def _moment(value: Any, place: _Place) -> tuple[datetime, str]:
    """Return a time in UTC and how much of it is known."""
    if isinstance(value, datetime):
        return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)), "second"
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC), "day"
    text = str(value).strip()
    digits = text.replace("-", "")
    try:
        if digits.isdigit() and len(digits) in _MOMENTS:
            form, precision = _MOMENTS[len(digits)]
            return datetime.strptime(digits, form).replace(tzinfo=UTC), precision
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise place.error(f"acquired_at = {value!r} is no date, e.g. 2020-08-31 or 2020-08-31T10:12:00Z") from error
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)), "second"


def _truth(value: Any, place: _Place) -> bool:
    told = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(str(value).lower())
    if told is None:
        raise place.error(f"synthetic = {value!r} is neither true nor false")
    return told
