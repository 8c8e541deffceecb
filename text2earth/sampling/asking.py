"""What a pipeline is asked: arguments, one or one for each prompt, matched to conditions."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from text2earth.conditioning import NULL, Condition, parse
from text2earth.errors import ConditionError, RequestError
from text2earth.models import CONDITIONS

__all__ = ["conditions_of", "for_each", "number", "refuse_unknown", "texts", "whole"]


def conditions_of(
    prompt: str | Sequence[str] | None,
    level: int | Sequence[int] | None,
    *,
    embedded: int | None,
    further: Mapping[str, Any],
) -> list[Condition]:
    """Match prompts with levels and further conditions.

    Args:
        prompt: One text or several.
        level: One for all, or one for each.
        embedded: Number of prompt embeddings given in place of prompts.
        further: ``gsd_m``, ``lon``, ``lat``, ``month``, ``source``: one value for all, or one for each.

    Raises:
        ConditionError: If there are none, their numbers do not match, or a value is impossible.
    """
    if (prompt is None) == (embedded is None):
        raise ConditionError("give either prompt or prompt_embeds, and not both")
    given = [NULL.prompt] * (embedded or 0) if prompt is None else prompt
    prompts = texts([given] if isinstance(given, str) or not hasattr(given, "__len__") else [*given], what="prompt")
    if not prompts:
        raise ConditionError("the list of prompts is empty; give at least one, '' for an image without a text")
    levels = for_each(level, "level", count=len(prompts))
    rows = [parse(text, level=number) for text, number in zip(prompts, levels, strict=True)]
    columns = {name: for_each(value, name, count=len(prompts)) for name, value in further.items()}
    return [replace(row, **{name: values[place] for name, values in columns.items()}) for place, row in enumerate(rows)]


def for_each(value: Any, name: str, *, count: int) -> list[Any]:
    """Return one value for each of ``count`` prompts.

    Raises:
        ConditionError: If there are more than one, and not as many.
    """
    is_one = isinstance(value, str) or not hasattr(value, "__len__") or getattr(value, "ndim", 1) == 0
    values = [value] * count if is_one else [*value]
    if len(values) != count:
        raise ConditionError(
            f"{count} prompts and {len(values)} values of {name} were given; give one, or one for each prompt"
        )
    return [each.item() if getattr(each, "ndim", None) == 0 else each for each in values]  # of NumPy or torch


def texts(given: Sequence[Any], *, what: str) -> list[str]:
    """Return texts, or refuse what is none.

    Raises:
        ConditionError: If one is no text.
    """
    for text in given:
        if not isinstance(text, str):
            raise ConditionError(f"{what} {text!r} was given; it is a text, or a list of texts")
    return [*given]


def whole(value: Any, name: str, *, least: int = 1) -> int:
    """Return a whole number.

    Raises:
        RequestError: If it is none, or less than ``least``.
    """
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if found < least:
        raise RequestError(f"{name} is {value!r}; a whole number of at least {least} is needed")
    return found


def number(value: Any, name: str, *, usual: float) -> float:
    """Return a finite number.

    Raises:
        RequestError: If it is none.
    """
    if not (isinstance(value, Real) and math.isfinite(value)):
        raise RequestError(f"{name} is {value!r}; it is a number, {usual:g} is usual")
    return float(value)


def refuse_unknown(conditions: Sequence[Condition], *, taken: Sequence[str]) -> None:
    """Refuse conditions that a model does not take, rather than leave them out in silence.

    Args:
        conditions: What is asked.
        taken: Names of ``models.CONDITIONS`` that the model takes.

    Raises:
        ConditionError: If it is asked for another one.
    """
    for name, fields in CONDITIONS.items():
        if name in taken:
            continue
        for condition in conditions:
            given = [field for field in fields if getattr(condition, field) is not None]
            if given:
                raise ConditionError(
                    f"{' and '.join(given)} {'were' if len(given) > 1 else 'was'} given; this model takes "
                    f"{', '.join(('text', 'level', *taken))}; leave it out"
                )
