"""What a pipeline is asked: arguments, one or one for each prompt, matched to conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from text2earth.conditioning import Condition, parse
from text2earth.errors import ConditionError
from text2earth.models import CONDITIONS

__all__ = ["conditions_of", "refuse_unknown"]


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
    prompts = [""] * (embedded or 0) if prompt is None else [prompt] if isinstance(prompt, str) else [*prompt]
    if not prompts:
        raise ConditionError("the list of prompts is empty; give at least one, '' for an image without a text")
    levels = _for_each(level, "level", count=len(prompts))
    rows = [parse(text, level=number) for text, number in zip(prompts, levels, strict=True)]
    columns = {name: _for_each(value, name, count=len(prompts)) for name, value in further.items()}
    return [replace(row, **{name: values[place] for name, values in columns.items()}) for place, row in enumerate(rows)]


def _for_each(value: Any, name: str, *, count: int) -> list[Any]:
    if value is None or isinstance(value, str) or not hasattr(value, "__len__"):
        return [value] * count
    if len(value) != count:
        raise ConditionError(
            f"{count} prompts and {len(value)} values of {name} were given; give one, or one for each prompt"
        )
    return [*value]


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
