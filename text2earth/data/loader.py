"""Examples → batches, in this process or by loader workers.

Workers share out the *rows*, not the batches: each makes its part of every batch, of the groups of rows that are its
own, so that a group is read and kept by one worker of a process. The parts are put together in order here. What
crosses between processes is uint8.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

from text2earth.conditioning import Condition
from text2earth.data.examples import EncodedRow, Example, Examples

__all__ = ["Batch", "batches", "collate", "encoded_batches", "worker_context"]

Item = TypeVar("Item", Example, EncodedRow)

_GROUPS_A_WORKER = 8
"""Fewer groups of rows than this for each worker are not shared out, for then some would have nothing to do."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of consecutive counters.

    Args:
        counters: Their positions.
        names: Their rows.
        pixels: float32 (B, 3, H, W) in −1…1; (B, 3, 0, 0) if latents take their place.
        conditions: What the rows state, nothing dropped yet.
        skipped: (row, reason) of unreadable rows met.
        latents: Cached mean (B, C, h, w), or mean and log-variance (B, 2C, h, w), float16, before the scaling
            factor; ``latents.draw_latents`` draws from them.
        images: By modality, float32 (B, 1 or 3, H, W) in −1…1, of the same squares as the pixels.
    """

    counters: tuple[int, ...]
    names: tuple[str, ...]
    pixels: torch.Tensor
    conditions: tuple[Condition, ...]
    skipped: tuple[tuple[str, str], ...]
    latents: torch.Tensor | None = None
    images: Mapping[str, torch.Tensor] = field(default_factory=dict)


def batches(
    examples: Examples, *, positions: Sequence[Sequence[int]] | Iterator[Sequence[int]], workers: int = 0
) -> Iterator[Batch]:
    """Yield a batch for each list of counters, in order.

    Args:
        examples: Where they come from.
        positions: Counters of each batch.
        workers: Loader processes; 0 reads in this one. The batches are the same.
    """
    if workers == 0:
        for counters in positions:
            yield collate(examples.__getitems__(counters))
        return
    yield from (_joined(parts) for parts in _spread(_Parts(examples), examples, positions, workers))


def encoded_batches(
    examples: Examples, *, positions: Sequence[Sequence[int]] | Iterator[Sequence[int]], workers: int = 0
) -> Iterator[list[EncodedRow]]:
    """Yield the rows of each list of counters with their images as the files that they are, in order."""
    if workers == 0:
        yield from (examples.encoded(counters) for counters in positions)
        return
    for parts in _spread(_EncodedParts(examples), examples, positions, workers):
        rows = {row.counter: row for part in parts for row in part.found}
        yield [rows[counter] for counter in parts[0].wanted]


@dataclass(frozen=True, slots=True)
class _Part:
    """A worker's part of a batch."""

    wanted: tuple[int, ...]
    found: Any


class _Parts:
    """What the workers of ``batches`` do; a map-style dataset by protocol."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def made(self, counters: Sequence[int]) -> Any:
        """Return stacked examples, float where they are none."""
        return _stacked(self.examples.__getitems__(counters)) if counters else None

    def __getitems__(self, asked: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> _Part:
        ((wanted, mine),) = asked
        return _Part(wanted, self.made(mine))


class _EncodedParts(_Parts):
    def made(self, counters: Sequence[int]) -> Any:
        """Return encoded rows."""
        return self.examples.encoded(counters)


def _spread(
    parts: _Parts, examples: Examples, positions: Sequence[Sequence[int]] | Iterator[Sequence[int]], workers: int
) -> Iterator[tuple[_Part, ...]]:
    """Yield every worker's part of each batch."""
    by_group = examples.groups >= _GROUPS_A_WORKER * workers
    # Map-style datasets and samplers by protocol, which torch's annotations do not know.
    shared: Any = type(parts)(examples.shared(workers) if by_group else examples)
    loaders = []
    for worker, each in enumerate(itertools.tee(positions, workers)):
        share: Any = _Share(each, examples, worker=worker, workers=workers, by_group=by_group)
        loader: Any = torch.utils.data.DataLoader(
            shared,
            batch_sampler=share,
            num_workers=1,
            prefetch_factor=4,
            collate_fn=_as_it_is,
            multiprocessing_context=worker_context(),
        )
        loaders.append(iter(loader))
    yield from zip(*loaders, strict=True)


@dataclass(frozen=True, slots=True)
class _Share:
    """Which counters of each batch are one worker's."""

    positions: Iterator[Sequence[int]]
    examples: Examples
    worker: int
    workers: int
    by_group: bool

    def __iter__(self) -> Iterator[list[tuple[tuple[int, ...], tuple[int, ...]]]]:
        for counters in self.positions:
            # Of few groups, each worker takes every n-th row: all of it depends on the counter alone.
            keys = self.examples.places(counters)[:, 0] if self.by_group else np.arange(len(counters))
            mine = np.asarray(counters)[keys % self.workers == self.worker]
            yield [(tuple(counters), tuple(mine.tolist()))]


def worker_context() -> Any:
    """Return how workers start: from one process that has the imports behind it, where the system can."""
    if os.name != "posix":
        return multiprocessing.get_context("spawn")
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["text2earth.data"])
    return context


def _as_it_is(part: Any) -> Any:
    return part


@dataclass(frozen=True, slots=True)
class _Stack:
    """Examples as few large arrays, which cross between processes in shared memory."""

    counters: tuple[int, ...]
    names: tuple[str, ...]
    conditions: tuple[Condition, ...]
    skipped: tuple[tuple[tuple[str, str], ...], ...]
    tensors: dict[str, torch.Tensor]
    """uint8 ``pixels`` (n, H, W, 3) and ``image_NAME`` (n, H, W[, 3]), float16 ``latents`` (n, C, h, w)."""


def _stacked(examples: Sequence[Example]) -> _Stack:
    first = examples[0]
    arrays: dict[str, list[Any]] = {}
    if first.pixels is not None:
        arrays["pixels"] = [example.pixels for example in examples]
    if first.latents is not None:
        arrays["latents"] = [example.latents for example in examples]
    for name in first.images:
        arrays[f"image_{name}"] = [example.images[name] for example in examples]
    return _Stack(
        counters=tuple(example.counter for example in examples),
        names=tuple(example.name for example in examples),
        conditions=tuple(example.condition for example in examples),
        skipped=tuple(example.skipped for example in examples),
        tensors={name: torch.from_numpy(np.stack(each)) for name, each in arrays.items()},
    )


def collate(examples: Sequence[Example]) -> Batch:
    """Put examples together."""
    return _batch(_stacked(examples))


def _joined(parts: Sequence[_Part]) -> Batch:
    """Put the parts of a batch together, in the order of its counters."""
    stacks: list[_Stack] = [part.found for part in parts if part.found is not None]
    place = {counter: i for i, counter in enumerate(counter for stack in stacks for counter in stack.counters)}
    order = [place[counter] for counter in parts[0].wanted]

    def ordered(field_name: str) -> tuple[Any, ...]:
        every = [value for stack in stacks for value in getattr(stack, field_name)]
        return tuple(every[i] for i in order)

    tensors = {name: torch.cat([stack.tensors[name] for stack in stacks])[order] for name in stacks[0].tensors}
    return _batch(_Stack(ordered("counters"), ordered("names"), ordered("conditions"), ordered("skipped"), tensors))


def _batch(stack: _Stack) -> Batch:
    tensors = stack.tensors
    pixels = _unit(tensors["pixels"]) if "pixels" in tensors else torch.empty(len(stack.counters), 3, 0, 0)
    return Batch(
        counters=stack.counters,
        names=stack.names,
        pixels=pixels,
        conditions=stack.conditions,
        skipped=tuple(row for each in stack.skipped for row in each),
        latents=tensors.get("latents"),
        images={
            name.removeprefix("image_"): _unit(each) for name, each in tensors.items() if name.startswith("image_")
        },
    )


def _unit(images: torch.Tensor) -> torch.Tensor:
    """Return images in −1…1, float32 (B, C, H, W), of uint8 (B, H, W) or (B, H, W, C)."""
    channels = images.unsqueeze(-1) if images.dim() == 3 else images
    return channels.permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1.0)
