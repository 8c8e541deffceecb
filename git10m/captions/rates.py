"""How often captions say what the facts do not hold: the hallucination rate of a dataset, over all and by kind.

A caption is verifiable when it was checked and the land cover or the objects of its tile are known; it hallucinates
when a flag of it is a contradiction (``captions.checks``). Rows whose caption was dropped for its flags have none and
do not count. Intervals are Wilson's, at 95 % (E. B. Wilson, JASA 22, 1927): they hold for few captions and for rates
near 0, where the usual ones do not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["COLUMNS", "GROUPS", "Rate", "hallucination_rates", "wilson"]

COLUMNS = ("caption_length", "caption_source", "caption_facts", "caption_flags")
"""Columns that are needed."""
GROUPS = ("all", "land_cover", "object", "caption_source")
"""What captions are grouped by: all; the class that covers most of the tile; the first kind of its objects; writer."""

_Z = 1.959963984540054
"""Of the normal distribution: 95 % lie within."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Hallucination rate of some captions.

    Attributes:
        group: Of `GROUPS`.
        name: Class, kind of object or writer; ``"all"`` of all.
        verifiable: Captions that could be checked against facts.
        contradicted: Those of them with a contradiction.
    """

    group: str
    name: str
    verifiable: int
    contradicted: int

    @property
    def rate(self) -> float | None:
        """Share of the verifiable captions, 0–1; None of none."""
        return self.contradicted / self.verifiable if self.verifiable else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the rate."""
        return wilson(self.contradicted, self.verifiable)

    def as_json(self) -> dict[str, Any]:
        """Return numbers for a report, rates to four places."""
        low, high = self.interval
        return {
            "group": self.group,
            "name": self.name,
            "verifiable": self.verifiable,
            "contradicted": self.contradicted,
            "rate": None if self.rate is None else round(self.rate, 4),
            "interval": [round(low, 4), round(high, 4)],
        }


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; (0, 1) of no trials."""
    if not trials:
        return 0.0, 1.0
    share, weight = successes / trials, _Z * _Z / trials
    middle = (share + weight / 2.0) / (1.0 + weight)
    half = _Z / (1.0 + weight) * math.sqrt(share * (1.0 - share) / trials + weight / (4.0 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def hallucination_rates(tables: Iterable[pa.Table | pa.RecordBatch]) -> list[Rate]:
    """Return the rates of a dataset: of all captions first, then of each group by falling number of captions.

    Args:
        tables: Pieces of a dataset or of its ``index.parquet``, with `COLUMNS` of ``records.Row``; read once, one at a
            time.
    """
    verifiable: Counter[tuple[str, str]] = Counter()
    contradicted: Counter[tuple[str, str]] = Counter()
    for piece in tables:
        table = pa.table(piece) if isinstance(piece, pa.RecordBatch) else piece
        _count(table.select(COLUMNS).combine_chunks(), verifiable, contradicted)
    order = {group: i for i, group in enumerate(GROUPS)}
    keys = sorted({("all", "all"), *verifiable}, key=lambda key: (order[key[0]], -verifiable[key], key[1]))
    return [Rate(group, name, verifiable[group, name], contradicted[group, name]) for group, name in keys]


def _count(table: pa.Table, verifiable: Counter[tuple[str, str]], contradicted: Counter[tuple[str, str]]) -> None:
    facts, flags = _array(table, "caption_facts"), _array(table, "caption_flags")
    cover, objects = pc.struct_field(facts, "land_cover"), pc.struct_field(facts, "objects")
    known = pc.or_(_is_there(cover), _is_there(objects))
    written = pc.and_(pc.is_valid(_array(table, "caption_length")), pc.is_valid(flags))
    counts = pc.and_(known, written)
    wrong = pc.and_(counts, _any_contradiction(flags))
    groups = {
        "all": pa.array(["all"] * table.num_rows, type=pa.string()),
        "land_cover": _first(cover, "name"),
        "object": _first(objects, "kind"),
        "caption_source": _array(table, "caption_source"),
    }
    for group, names in groups.items():
        for counter, rows in ((verifiable, counts), (contradicted, wrong)):
            chosen = pc.drop_null(pc.filter(names, rows))
            for entry in pc.value_counts(chosen).to_pylist():
                counter[group, entry["values"]] += entry["counts"]


def _array(table: pa.Table, name: str) -> Any:
    chunks: Sequence[Any] = table[name].chunks
    return chunks[0] if chunks else pa.array([], type=table.schema.field(name).type)


def _is_there(lists: Any) -> Any:
    # The field of a null struct reads as null.
    return pc.is_valid(lists)


def _first(lists: Any, field: str) -> Any:
    """Return a field of the first entry of each list; null where there is none."""
    heads = pc.list_slice(lists, 0, 1)
    where = pc.list_parent_indices(heads)
    names = pc.struct_field(pc.list_flatten(heads), field)
    places = pc.index_in(pa.array(range(len(lists)), type=pa.int64()), value_set=pc.cast(where, pa.int64()))
    return pc.take(names, places)


def _any_contradiction(flags: Any) -> Any:
    """Tell for each list of flags whether one is a contradiction."""
    which = pc.starts_with(pc.list_flatten(flags), "contradiction:")
    rows = pc.unique(pc.filter(pc.list_parent_indices(flags), which))
    return pc.is_in(pa.array(range(len(flags)), type=rows.type), value_set=rows)
