"""Prompts with their conditions and seeds, from a CSV or parquet table. Imports no network."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from text2earth.conditioning import Condition, parse
from text2earth.errors import ConditionError, RequestError

__all__ = ["COLUMNS", "PromptRow", "read_prompts"]

_TEXT = ("prompt", "caption")
_FURTHER = {"gsd_m": pa.float64(), "lon": pa.float64(), "lat": pa.float64(), "month": pa.int64(), "source": pa.string()}
_TYPES = {**dict.fromkeys(_TEXT, pa.string()), "level": pa.int64(), "seed": pa.int64(), **_FURTHER}
COLUMNS = tuple(_TYPES)
"""Columns that are read: a text (either name), and what may be left out."""

_GIT10M = "Google_location"
_CLOSE = 0.75


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One image that is asked for.

    Args:
        number: Of the row in the table, from 0.
        condition: What it shows.
        seed: Of its noise.
    """

    number: int
    condition: Condition
    seed: int


def read_prompts(path: Path, *, level: int | None = None, seed: int = 0) -> list[PromptRow]:
    """Read a table.

    Args:
        path: ``.csv`` with a header, or ``.parquet``. A text in ``prompt`` (or ``caption``), and where there are such
            columns ``level``, ``seed``, ``gsd_m``, ``lon``, ``lat``, ``month``, ``source``; an empty cell is unknown.
            Of a shard of ours, text and level are read.
        level: Of rows that name none.
        seed: A row without a seed of its own gets this one plus its number.

    Raises:
        RequestError: If the table cannot be read, has no text or no rows, or a column that looks misspelt.
        ConditionError: If a row asks for what cannot be; says which.
    """
    table = _opened(path)
    text = next((name for name in _TEXT if name in table.column_names), None)
    if text is None:
        raise RequestError(
            f"{path} has the columns {', '.join(table.column_names)}; it needs one 'prompt' (or 'caption')"
        )
    if not table.num_rows:
        raise RequestError(f"{path} has no rows; it needs at least one prompt")
    ours = _GIT10M in table.column_names
    _refuse_misspelt(path, [] if ours else table.column_names)
    wanted = [name for name in ("level", "seed", *([] if ours else _FURTHER)) if name in table.column_names]
    found = table.select([text, *wanted]).to_pylist()
    return [_row(path, number, row, text=text, level=level, seed=seed) for number, row in enumerate(found)]


def _row(path: Path, number: int, row: dict[str, Any], *, text: str, level: int | None, seed: int) -> PromptRow:
    own = row.get("level")
    further = {name: row[name] for name in _FURTHER if row.get(name) is not None}
    try:
        said = parse(row[text] or "", level=level if own is None else own)
        condition = replace(said, **further) if further else said
    except ConditionError as error:
        raise ConditionError(f"{path}, row {number + 1}: {error}") from None
    chosen = seed + number if row.get("seed") is None else int(row["seed"])
    if not 0 <= chosen < 2**63:
        raise RequestError(f"{path}, row {number + 1}: seed {chosen}; a seed is 0 … 2⁶³ − 1")
    return PromptRow(number, condition, chosen)


def _opened(path: Path) -> pa.Table:
    try:
        if path.suffix.lower() == ".csv":
            options = pa_csv.ConvertOptions(column_types=_TYPES, strings_can_be_null=True, null_values=[""])
            quoted = pa_csv.ParseOptions(newlines_in_values=True)
            return pa_csv.read_csv(path, convert_options=options, parse_options=quoted)
        with pq.ParquetFile(path) as file:
            there = [name for name in file.schema_arrow.names if name in _TYPES or name == _GIT10M]
            rest = [name for name in file.schema_arrow.names if name not in there]
            table = file.read(columns=there)
        table = pa.table([_as(table[name], name) for name in there], names=there)
        return table if _GIT10M in there else _with_names(table, rest)
    except (OSError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise RequestError(f"{path} cannot be read as a table of prompts: {first}") from None


def _as(column: Any, name: str) -> Any:
    return column.cast(_TYPES[name]) if name in _TYPES else column


def _with_names(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """Add empty columns, so that a misspelt name is seen."""
    for name in names:
        table = table.append_column(name, pa.nulls(table.num_rows))
    return table


def _refuse_misspelt(path: Path, names: Iterable[str]) -> None:
    """Refuse a column that is nearly one of ours; columns of another matter are left alone."""
    for name in names:
        near = difflib.get_close_matches(name.lower(), COLUMNS, n=1, cutoff=_CLOSE)
        if name not in COLUMNS and near:
            raise RequestError(
                f"{path} has a column {name!r}; did you mean {near[0]!r}? Columns are {', '.join(COLUMNS)}"
            )
