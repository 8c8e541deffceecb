"""Conditions of the model: a prompt and a level, the null condition, and condition dropout.

This is the only place where a prompt is composed or taken apart. Training and sampling share one null condition,
``NULL`` = (``""``, level 0); a second definition of it somewhere else is the classical fault of guidance.

The level is the web-mercator zoom level whose resolution an image has, 1…22; 0 says that it is unknown. The
published Text2Earth hides it in a prompt prefix, ``"16_GOOGLE_LEVEL_A harbour"``, which is understood on input.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from git10m.grid import MAX_LEVEL
from text2earth.errors import ConditionError
from text2earth.noise import Stream, generator

if TYPE_CHECKING:
    import torch

__all__ = ["NULL", "Condition", "DropRates", "Tokens", "drop", "embed", "parse", "tokenize"]

_PREFIX = re.compile(r"^\s*(\d+)_GOOGLE_LEVEL_(.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Condition:
    """What an image is asked to show.

    Args:
        prompt: Text without prefix; ``""`` says nothing.
        level: Zoom level, 0…22; 0 says that the resolution is unknown.

    Raises:
        ConditionError: If the level is outside its range.
    """

    prompt: str = ""
    level: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_LEVEL:
            raise ConditionError(
                f"level {self.level} was given; levels are 1–{MAX_LEVEL}, or 0 where the resolution is unknown"
            )


NULL = Condition()
"""The null condition: no text and no level, in training and in sampling."""


def parse(prompt: str, *, level: int | None = None) -> Condition:
    """Read a prompt that may carry the published prefix ``"{level}_GOOGLE_LEVEL_"``.

    Args:
        prompt: Text, with or without the prefix.
        level: Zoom level 0…22 if it is given beside the prompt.

    Returns:
        The condition, its prompt without prefix. Level 0 if none is given anywhere.

    Raises:
        ConditionError: If the prefix and the argument name different levels, or a level is outside its range.
    """
    found = _PREFIX.match(prompt)
    if found is None:
        return Condition(prompt.strip(), 0 if level is None else level)
    named = int(found.group(1))
    if level is not None and level != named:
        raise ConditionError(
            f"the prompt's prefix says level {named} and the argument says level {level}; "
            "drop the prefix or give the same level"
        )
    return Condition(found.group(2).strip(), named)


@dataclass(frozen=True, slots=True)
class DropRates:
    """Probabilities of condition dropout, each 0…1 (Text2Earth's own are not published).

    Text and level are dropped independently, which alone would make both-null rare (1 % at 10 % each) though it is
    the base of classifier-free guidance (Ho & Salimans, arXiv 2207.12598): ``both`` is drawn first and gives the
    joint null its own share. The text is null with probability ``both + (1 − both)·text``, the level likewise.

    Raises:
        ConditionError: If a probability is outside 0…1.
    """

    text: float = 0.05
    level: float = 0.10
    both: float = 0.10

    def __post_init__(self) -> None:
        for name in ("text", "level", "both"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConditionError(f"drop rate {name} = {getattr(self, name)}; a probability is 0–1")


def drop(condition: Condition, *, rates: DropRates, seed: int, counter: int) -> Condition:
    """Return the condition with its text, its level or both replaced by the null, keyed by (seed, counter)."""
    both, text, level = generator(seed, counter, stream=Stream.DROPOUT).random(3)
    if both < rates.both:
        return NULL
    return Condition(
        NULL.prompt if text < rates.text else condition.prompt,
        NULL.level if level < rates.level else condition.level,
    )


@dataclass(frozen=True, slots=True)
class Tokens:
    """A batch of conditions as the networks take them.

    Args:
        ids: int64 (B, 77), begin and end of text included, padded.
        levels: int64 (B,), 0…22; 0 is the null.
        truncated: How many prompts were longer than the encoder's positions and lost their end.
    """

    ids: torch.Tensor
    levels: torch.Tensor
    truncated: int


def tokenize(conditions: Sequence[Condition], *, tokenizer: Any) -> Tokens:
    """Turn conditions into token ids and levels.

    Args:
        conditions: B conditions.
        tokenizer: A ``transformers.CLIPTokenizer``; its ``model_max_length`` is the number of positions (77).
    """
    import torch

    limit = int(tokenizer.model_max_length)
    rows = tokenizer([condition.prompt for condition in conditions], verbose=False)["input_ids"]
    ids = torch.full((len(rows), limit), int(tokenizer.pad_token_id), dtype=torch.int64)
    for row, found in zip(ids, rows, strict=True):
        kept = found if len(found) <= limit else [*found[: limit - 1], found[-1]]
        row[: len(kept)] = torch.tensor(kept)
    levels = torch.tensor([condition.level for condition in conditions], dtype=torch.int64)
    return Tokens(ids, levels, sum(len(found) > limit for found in rows))


def embed(ids: torch.Tensor, *, text_encoder: Any) -> torch.Tensor:
    """Encode token ids (B, 77) to the text states (B, 77, D) that cross-attention reads.

    The states are those after the last layer norm, without an attention mask, as Stable Diffusion 2 trains them:
    the padding is part of the text.
    """
    states: torch.Tensor = text_encoder(ids)[0]
    return states
