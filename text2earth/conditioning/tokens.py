"""Conditions as tensors: token ids in windows, levels, and a row of numbers for the further conditions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from text2earth.conditioning.condition import Condition
from text2earth.errors import ConditionError
from text2earth.noise import Stream, generator

if TYPE_CHECKING:
    import torch

__all__ = ["EXTRAS", "LongCaptions", "Tokens", "embed", "extras_of", "sampled_sentences", "tokenize"]

LongCaptions = Literal["cut", "windows", "sentences"]
"""What becomes of a caption beyond the encoder's positions: it is cut, encoded in several windows, or (in training)
shown by some of its sentences at a time."""

EXTRAS = ("gsd_m", "lon", "lat", "month", "source")
"""Columns of ``Tokens.extras``."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Tokens:
    """A batch of conditions as the networks take them.

    Args:
        ids: int64 (B, W·77) in W windows, each with begin and end of text, padded.
        levels: int64 (B,), 0…22; 0 is the null.
        truncated: How many prompts were longer than the windows and lost their end.
        extras: float32 (B, 5) in the order of ``EXTRAS``, NaN where a condition is null; a source is its number.
        mask: bool (B, W·77), False in windows that a prompt does not reach; None for a single window.
    """

    ids: torch.Tensor
    levels: torch.Tensor
    truncated: int
    extras: torch.Tensor
    mask: torch.Tensor | None = None


def tokenize(
    conditions: Sequence[Condition], *, tokenizer: Any, windows: int = 1, sources: Sequence[str] = ()
) -> Tokens:
    """Turn conditions into token ids, levels and extras.

    Args:
        conditions: B conditions.
        tokenizer: A ``transformers.CLIPTokenizer``; its ``model_max_length`` is the number of positions (77).
        windows: W, how many windows of so many positions a prompt may fill. A prompt that fills one is encoded as
            if there were no more: the others are masked.
        sources: Names of the sources that the model knows; none if it does not know them apart.

    Raises:
        ConditionError: If a source is not among ``sources``, where there are any.
    """
    import torch

    positions = int(tokenizer.model_max_length)
    rows = tokenizer([condition.prompt for condition in conditions], verbose=False)["input_ids"]
    ids = torch.full((len(rows), windows, positions), int(tokenizer.pad_token_id), dtype=torch.int64)
    mask = torch.zeros((len(rows), windows, positions), dtype=torch.bool)
    for row, filled, found in zip(ids, mask, rows, strict=True):
        begin, *content, end = found
        starts = range(0, max(len(content), 1), positions - 2)
        for number, start in enumerate(starts[:windows]):
            kept = [begin, *content[start : start + positions - 2], end]
            row[number, : len(kept)] = torch.tensor(kept)
            filled[number] = True
        for number in range(len(starts), windows):
            row[number, :2] = torch.tensor([begin, end])
    room = windows * (positions - 2)
    return Tokens(
        ids.flatten(1),
        torch.tensor([condition.level for condition in conditions], dtype=torch.int64),
        truncated=sum(len(found) - 2 > room for found in rows),
        extras=extras_of(conditions, sources=sources),
        mask=None if windows == 1 else mask.flatten(1),
    )


def extras_of(conditions: Sequence[Condition], *, sources: Sequence[str] = ()) -> torch.Tensor:
    """Return the further conditions, float32 (B, 5) in the order of ``EXTRAS``, NaN where one is null.

    Raises:
        ConditionError: If a source is not among ``sources``, where there are any.
    """
    import torch

    numbers = {name: float(number) for number, name in enumerate(sources)}
    rows = []
    for condition in conditions:
        if sources and condition.source is not None and condition.source not in numbers:
            raise ConditionError(
                f"source {condition.source!r} was given; the model knows {', '.join(sources)}; "
                "name one of them, or leave it out"
            )
        source = None if condition.source is None else numbers.get(condition.source)
        row = (condition.gsd_m, condition.lon, condition.lat, condition.month, source)
        rows.append([float("nan") if value is None else float(value) for value in row])
    return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(EXTRAS))


def embed(ids: torch.Tensor, *, text_encoder: Any) -> torch.Tensor:
    """Encode token ids (B, W·77) to the text states (B, W·77, D) that cross-attention reads, a window at a time.

    The states are those after the last layer norm, without an attention mask, as Stable Diffusion 2 trains them:
    the padding is part of the text.
    """
    positions = min(int(text_encoder.config.max_position_embeddings), ids.shape[1])
    states: torch.Tensor = text_encoder(ids.reshape(-1, positions))[0]
    return states.reshape(*ids.shape, states.shape[-1])


def sampled_sentences(prompt: str, *, tokenizer: Any, seed: int, counter: int) -> str:
    """Return a prompt that fits the encoder: itself, or as many of its sentences as fit, drawn by (seed, counter).

    Sentences keep their order. Every sentence of a caption is seen in some epoch; none is always cut, as the last
    ones are when the end is dropped. One sentence that is too long alone is returned to be cut.
    """
    room = int(tokenizer.model_max_length) - 2

    def length(text: str) -> int:
        return len(tokenizer(text, verbose=False)["input_ids"]) - 2

    if length(prompt) <= room:
        return prompt
    sentences = _SENTENCE_END.split(prompt)
    kept: list[int] = []
    order = generator(seed, counter, stream=Stream.SENTENCES).permutation(len(sentences))
    for number in order.tolist():
        together = " ".join(sentences[each] for each in sorted([*kept, number]))
        if length(together) <= room:
            kept.append(number)
    return " ".join(sentences[each] for each in sorted(kept or order.tolist()[:1]))
