"""Which rows to keep: a few fixed settings, and an expression over any columns.

    img_quality_score > 4.8 and level >= 12 and licence in ("CC0-1.0", "CC-BY-4.0") and "river" in caption

The expression has Python's syntax and nothing of its power: it is taken apart into comparisons, which pyarrow
computes on whole columns. A comparison with a null is null, and keeps no row, as in SQL; ``x is None`` asks for it.
"""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from text2earth.errors import ShardError

__all__ = ["RowFilter", "columns_of", "kept"]

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
}
_MIRRORED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_GRAMMAR = (
    "an expression compares columns with values, as in \"img_quality_score > 4.8 and licence in ('CC0-1.0', "
    '"CC-BY-4.0") and "river" in caption\'; there are <, <=, >, >=, ==, !=, in, not in, is None, and, or, not and '
    "brackets"
)


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows to keep; all conditions must hold.

    Args:
        split: Split to train on; a set without a ``split`` column is all ``"train"``.
        levels: Levels of the rows, before any view; empty keeps all. 0 is the unknown resolution.
        min_quality: Least ``img_quality_score``; a row without a score is left out if it is given.
        where: Expression over the columns; ``""`` keeps all. ``level`` may be asked for in every form of dataset.
        images: Modalities NAME whose ``image_NAME`` must be there.

    Raises:
        ShardError: If the expression cannot be understood.
    """

    split: str = "train"
    levels: tuple[int, ...] = ()
    min_quality: float | None = None
    where: str = ""
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns_of(self.where)

    def __str__(self) -> str:
        """What it asks for, as a configuration says it."""
        asked = {
            "split": self.split,
            "levels": list(self.levels),
            "min_quality": self.min_quality,
            "where": self.where,
            "images": list(self.images),
        }
        return ", ".join(f"{name} = {value!r}" for name, value in asked.items() if value not in (None, "", []))


def columns_of(where: str) -> frozenset[str]:
    """Return the columns that an expression reads, children of structs with a dot.

    Raises:
        ShardError: If the expression cannot be understood.
    """
    if not where.strip():
        return frozenset()
    found: set[str] = set()
    _check(_parsed(where), found, where)
    return frozenset(found)


def kept(table: pa.Table, rows: RowFilter, *, levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return the numbers of the rows that pass, ascending.

    Args:
        table: The columns that the filter reads, of one group of rows.
        rows: The filter.
        levels: Level of each row, 0 where it is not known.

    Raises:
        ShardError: If a column is missing, or cannot be compared with what it is compared with.
    """
    keep = np.ones(table.num_rows, dtype=bool)
    if rows.levels:
        keep &= np.isin(levels, rows.levels)
    if "split" in table.column_names:
        keep &= _true(pc.equal(table["split"], rows.split))
    elif rows.split != "train":
        keep[:] = False
    if rows.min_quality is not None:
        if "img_quality_score" not in table.column_names:
            raise ShardError("min_quality was given, but the rows have no img_quality_score; leave it out")
        keep &= _true(pc.greater_equal(table["img_quality_score"], rows.min_quality))
    for name in rows.images:
        if f"image_{name}" not in table.column_names:
            known = [each.removeprefix("image_") for each in table.column_names if each.startswith("image_")]
            raise ShardError(f"images {name!r} was given, but the rows have no image_{name}; they have {known}")
        keep &= _true(pc.is_valid(table[f"image_{name}"]))
    if rows.where.strip():
        named = table.drop_columns("level") if "level" in table.column_names else table
        named = named.append_column("level", pa.array(levels, pa.int16()))
        keep &= _true(_Reading(named, rows.where).mask())
    return np.flatnonzero(keep).astype(np.uint32)


def _true(mask: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(mask, False), dtype=bool)


@lru_cache(maxsize=64)
def _parsed(where: str) -> ast.expr:
    try:
        return ast.parse(where.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ShardError(f"the filter {where!r} cannot be read ({error}); {_GRAMMAR}") from error


def _check(node: ast.expr, found: set[str], where: str) -> None:
    """Note every column, or refuse what is no comparison of columns with values."""
    match node:
        case ast.BoolOp(values=parts):
            for part in parts:
                _check(part, found, where)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            _check(part, found, where)
        case ast.Compare(left=left, ops=comparisons, comparators=others):
            sides = [left, *others]
            for i, how in enumerate(comparisons):
                found |= _compared(sides[i], how, sides[i + 1], where)
        case ast.Name() | ast.Attribute() if (name := _column(node)) is not None:
            found.add(name)
        case _:
            raise ShardError(f"the filter {where!r} holds {ast.unparse(node)!r}; {_GRAMMAR}")


def _compared(left: ast.expr, how: ast.cmpop, right: ast.expr, where: str) -> set[str]:
    """Return the columns of one comparison, or refuse it."""
    columns = {name for name in (_column(left), _column(right)) if name is not None}
    plain = isinstance(how, tuple(_COMPARISONS))
    if isinstance(how, ast.In | ast.NotIn) and _column(right) and _is_text(left):
        return columns
    if not columns or not (plain or _column(left)):
        raise ShardError(f"the filter {where!r} has no column on the left of {ast.unparse(right)!r}; {_GRAMMAR}")
    if isinstance(how, ast.Is | ast.IsNot):
        if not (isinstance(right, ast.Constant) and right.value is None):
            raise ShardError(f"the filter {where!r} has an 'is' without None; {_GRAMMAR}")
    elif not plain:
        _values(right, where)
    else:
        for side in (left, right):
            if _column(side) is None:
                _value(side, where)
    return columns


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _column(node: ast.expr) -> str | None:
    """Return the name of a column, ``bbox.xmin`` for a child, or None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        parent = _column(node.value)
        return None if parent is None else f"{parent}.{node.attr}"
    return None


def _value(node: ast.expr, where: str) -> Any:
    """Return a number, a string or a truth value."""
    sign: Callable[[Any], Any] = operator.pos
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node, sign = node.operand, operator.neg
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool | str) and sign is operator.pos:
            return node.value
        if isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return sign(node.value)
    raise ShardError(f"the filter {where!r} holds {ast.unparse(node)!r} where a value belongs; {_GRAMMAR}")


def _values(node: ast.expr, where: str) -> list[Any]:
    """Return the members of a list; ``("a")``, which to Python is no list, is one of a single value."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return [_value(member, where) for member in node.elts]
    return [_value(node, where)]


class _Reading:
    """One expression on the columns of one group of rows."""

    def __init__(self, table: pa.Table, where: str) -> None:
        self._table, self._where = table, where

    def mask(self) -> Any:
        """Return for each row whether it passes: true, false or null.

        Raises:
            ShardError: If a column is missing, or cannot be compared with what it is compared with.
        """
        try:
            return self._mask(_parsed(self._where))
        except (pa.ArrowException, ValueError) as error:
            raise ShardError(
                f"the filter {self._where!r} compares a column with a value of another type ({error}); "
                "texts and dates are written in quotes, numbers without"
            ) from error

    def _mask(self, node: ast.expr) -> Any:
        match node:
            case ast.BoolOp(op=how, values=parts):
                join = pc.and_kleene if isinstance(how, ast.And) else pc.or_kleene
                mask = self._mask(parts[0])
                for part in parts[1:]:
                    mask = join(mask, self._mask(part))
                return mask
            case ast.UnaryOp(operand=part):
                return pc.invert(self._mask(part))
            case ast.Compare(left=left, ops=comparisons, comparators=others):
                sides = [left, *others]
                masks = [self._compare(sides[i], how, sides[i + 1]) for i, how in enumerate(comparisons)]
                mask = masks[0]
                for each in masks[1:]:
                    mask = pc.and_kleene(mask, each)
                return mask
        column = self._read(_column(node) or "")
        if not pa.types.is_boolean(column.type):
            raise ShardError(f"the filter {self._where!r} has {ast.unparse(node)!r} by itself, which is no truth value")
        return column

    def _compare(self, left: ast.expr, how: ast.cmpop, right: ast.expr) -> Any:
        name, other = _column(left), _column(right)
        if isinstance(how, ast.In | ast.NotIn) and other is not None:  # "river" in caption
            found = pc.match_substring(self._read(other), _value(left, self._where))
            return found if isinstance(how, ast.In) else pc.invert(found)
        if name is None:  # 4.8 < img_quality_score
            mirrored = _MIRRORED.get(type(how), type(how))
            return self._against(self._read(other or ""), mirrored, left)
        column = self._read(name)
        if other is not None and isinstance(how, tuple(_COMPARISONS)):
            return _COMPARISONS[type(how)](column, self._read(other))
        return self._against(column, type(how), right)

    def _against(self, column: Any, how: type[ast.cmpop], side: ast.expr) -> Any:
        if how in (ast.Is, ast.IsNot):
            return pc.is_null(column) if how is ast.Is else pc.is_valid(column)
        if how in (ast.In, ast.NotIn):
            members = _members([self._typed(value, column.type) for value in _values(side, self._where)])
            found = pc.is_in(column, value_set=members.cast(_comparable(column.type, members.type)))
            found = found if how is ast.In else pc.invert(found)
            return pc.if_else(pc.is_valid(column), found, pa.scalar(None, pa.bool_()))
        return _COMPARISONS[how](column, self._typed(_value(side, self._where), column.type))

    def _typed(self, value: Any, kind: pa.DataType) -> Any:
        """Return a value as pyarrow compares it: a text becomes the date that it is compared with."""
        if not (isinstance(value, str) and pa.types.is_temporal(kind)):
            return value
        moment = pa.scalar(np.datetime64(value, "us"))
        zoned = pa.types.is_timestamp(kind) and kind.tz is not None
        return moment.cast(pa.int64()).cast(pa.timestamp("us", "UTC")) if zoned else moment

    def _read(self, name: str) -> Any:
        first, *below = name.split(".")
        if first not in self._table.column_names:
            near = difflib.get_close_matches(first, self._table.column_names, n=1, cutoff=0.5)
            raise ShardError(
                f"the filter {self._where!r} reads {first!r}, which the rows have not; "
                + (f"did you mean {near[0]}?" if near else f"they have {', '.join(sorted(self._table.column_names))}")
            )
        return pc.struct_field(self._table[first], below) if below else self._table[first]


def _members(values: list[Any]) -> pa.Array:
    """Return the members of a list as one column."""
    if values and isinstance(values[0], pa.Scalar):
        return pa.array([value.as_py() for value in values], values[0].type)
    return pa.array(values)


def _comparable(kind: pa.DataType, members: pa.DataType) -> pa.DataType:
    """Return the type to look members up in: that of the column, but numbers stay as fine as they were written."""
    return members if pa.types.is_floating(members) and pa.types.is_integer(kind) else kind
