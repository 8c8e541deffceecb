"""Whose imagery a dataset holds, and what a model card says of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Credit", "DatasetIdentity", "credits_of", "joint_identity"]


@dataclass(frozen=True, slots=True, order=True)
class Credit:
    """Whose imagery it is."""

    source_id: str
    licence: str
    attribution: str


@dataclass(frozen=True, slots=True)
class DatasetIdentity:
    """What a model card says of its training data.

    Args:
        name: From the manifest, else of the folder.
        version: From the manifest, else ``""``.
        fingerprint: The manifest's, else a hash of the files' names, sizes and rows.
        rows: Rows that pass the filter.
        levels: Rows of each level.
        credits: Every source, its licence and its credit line.
        synthetic: Whether any row's pixels were computed, not observed.
    """

    name: str
    version: str
    fingerprint: str
    rows: int
    levels: tuple[tuple[int, int], ...]
    credits: tuple[Credit, ...]
    synthetic: bool


def joint_identity(parts: Sequence[DatasetIdentity], *, weights: Sequence[float] | None) -> DatasetIdentity:
    """Return what a card says of a mixture; its fingerprint is a hash of the parts' and of their weights."""
    shares: Sequence[float | None] = weights or [None] * len(parts)
    said = [f"{part.name} {part.fingerprint} {share}" for part, share in zip(parts, shares, strict=True)]
    levels: Counter[int] = Counter()
    for part in parts:
        levels.update(dict(part.levels))
    return DatasetIdentity(
        name=" + ".join(dict.fromkeys(part.name for part in parts)),
        version="",
        fingerprint=hashlib.sha256("\n".join(said).encode()).hexdigest(),
        rows=sum(part.rows for part in parts),
        levels=tuple(sorted(levels.items())),
        credits=tuple(sorted({credit for part in parts for credit in part.credits})),
        synthetic=any(part.synthetic for part in parts),
    )


def credits_of(table: pa.Table) -> set[Credit]:
    """Return whose imagery a group of rows holds, small shares of mosaics included."""
    found: set[Credit] = set()
    if {"source_id", "licence", "attribution"} <= set(table.column_names):
        found |= _distinct(table.select(["source_id", "licence", "attribution"]))
    if "sources" in table.column_names:
        parts = pc.list_flatten(table["sources"].combine_chunks())
        fields = {name: pc.struct_field(parts, name) for name in ("source_id", "licence", "attribution")}
        found |= _distinct(pa.table(fields))
    return found


def _distinct(table: pa.Table) -> set[Credit]:
    rows = table.group_by(table.column_names).aggregate([]).to_pylist()
    return {Credit(*(str(row[name] or "") for name in ("source_id", "licence", "attribution"))) for row in rows}
