"""Shards → training examples, with an exact position.

The position in the data is a seed and one sample counter. ``Examples[counter]`` is a pure function of both: the order
of rows is that of ``Order``, and every other draw of an example (crop, flip, turn, cached view, replacement of an
unreadable row) is keyed by (seed, counter). Neither the number of loader workers nor that of processes enters, so a
run resumes in the middle of an epoch exactly, also on another machine.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from text2earth.conditioning import Condition
from text2earth.data.index import ShardIndex
from text2earth.data.latent_cache import GroupLatents, LatentCache
from text2earth.data.order import WINDOW_GROUPS, Order
from text2earth.data.rows import Rows, decoded, row_columns
from text2earth.data.view import Pixels, UnusableRowError, View, averaged, draw_cut, draw_halvings, halvings
from text2earth.errors import ConditionError, ShardError, UnreadableRowsError
from text2earth.noise import Stream, generator

__all__ = ["EncodedRow", "Example", "Examples"]

Made = TypeVar("Made")
Skipped = tuple[tuple[str, str], ...]

_CACHE_BYTES = 512 << 20
"""Decoded images that are kept, so that a small dataset is decoded once."""
_REPLACEMENTS = 64
"""Rows tried in place of an unreadable one before giving up."""
_READERS = 8
"""Groups that are read at once."""
_SPARE_GROUPS = 4
"""Groups that are kept beyond those of a window: the next window's first, and those of replacements."""


@dataclass(frozen=True, slots=True)
class Example:
    """One image with its condition.

    Args:
        counter: Position that it was drawn at.
        name: The row's ``img_name``.
        pixels: uint8 (H, W, 3); None if latents take their place.
        condition: What the row states, of the view.
        skipped: (row, reason) of every unreadable row that this one stands in for.
        latents: Cached mean, or mean and log-variance, float16 (C or 2C, h, w).
        images: Other modalities of the same square, uint8 (H, W) or (H, W, 3).
    """

    counter: int
    name: str
    pixels: Pixels | None
    condition: Condition
    skipped: tuple[tuple[str, str], ...] = ()
    latents: npt.NDArray[np.float16] | None = None
    images: Mapping[str, Pixels] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row whose image stays the file that it is.

    Args:
        counter: Position that it was drawn at.
        name: The row's ``img_name``.
        image: Bytes of the image file.
        condition: What the row states, of the whole tile.
        skipped: (row, reason) of every unreadable row that this one stands in for.
    """

    counter: int
    name: str
    image: bytes
    condition: Condition
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Tile:
    """A decoded row, averaged down if the view asks for it."""

    name: str
    pixels: Pixels
    condition: Condition
    images: Mapping[str, Pixels]
    finest: int = 0

    def reduced(self, times: int) -> _Tile:
        """Return the tile averaged down by ``2 ** times``."""
        if not times:
            return self
        images = {name: averaged(image, times) for name, image in self.images.items()}
        return _Tile(self.name, averaged(self.pixels, times), self.condition.coarsened(times), images)

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in (self.pixels, *self.images.values()))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What examples are made from: all that a loader worker is told."""

    index: ShardIndex
    view: View
    seed: int
    images: tuple[str, ...]
    latents: LatentCache | None
    window_groups: int
    sharers: int


class Examples:
    """Training examples by sample counter.

    Args:
        index: The rows.
        view: What to cut from each tile.
        seed: Of order and draws.
        images: Modalities NAME whose ``image_NAME`` is wanted too.
        latents: Cached latents, in place of pixels.
        window_groups: Groups of rows that are shuffled together.
        sharers: Loader workers that share out the groups, each reading its own.
    """

    def __init__(
        self,
        index: ShardIndex,
        *,
        view: View,
        seed: int,
        images: Sequence[str] = (),
        latents: LatentCache | None = None,
        window_groups: int = WINDOW_GROUPS,
        sharers: int = 1,
    ) -> None:
        self._start(_Asked(index, view, seed, tuple(images), latents, window_groups, sharers))

    def _start(self, asked: _Asked) -> None:
        self._asked, self._index, self._view, self._seed = asked, asked.index, asked.view, asked.seed
        self._images, self._latents = asked.images, asked.latents
        self._order = Order(asked.index, seed=asked.seed, window_groups=asked.window_groups)
        self._most_groups = -(-self._order.groups_in_use // asked.sharers) + _SPARE_GROUPS
        self._groups: OrderedDict[int, _Group] = OrderedDict()
        self._decoded: dict[tuple[int, int], _Tile] = {}
        self._decoded_bytes = 0

    def __getstate__(self) -> _Asked:
        return self._asked

    def __setstate__(self, asked: _Asked) -> None:
        self._start(asked)  # loader workers start with empty caches

    @property
    def index(self) -> ShardIndex:
        """The rows that they are cut from."""
        return self._index

    @property
    def view(self) -> View:
        """How they are cut."""
        return self._view

    def __len__(self) -> int:
        """Return the rows of an epoch; counters go on beyond it."""
        return self._index.rows

    @property
    def groups(self) -> int:
        """Number of groups of rows."""
        return self._index.groups

    def with_latents(self, latents: LatentCache) -> Examples:
        """Return the same examples with cached latents in place of pixels."""
        return _of(replace(self._asked, latents=latents))

    def shared(self, workers: int) -> Examples:
        """Return the same examples for a loader worker that reads its share of the groups alone."""
        return _of(replace(self._asked, sharers=workers))

    def places(self, counters: Sequence[int]) -> npt.NDArray[np.int64]:
        """Return (group, row in it) that stand at counters, int64 (n, 2)."""
        return self._order.places(counters)

    def __getitem__(self, counter: int) -> Example:
        """Return the example of a position.

        Raises:
            UnreadableRowsError: If no readable row is found in place of unreadable ones.
        """
        return self.__getitems__([counter])[0]

    def __getitems__(self, counters: Sequence[int]) -> list[Example]:
        """Return the examples of positions; what they need is read together."""
        return self._each(counters, self._made)

    def encoded(self, counters: Sequence[int]) -> list[EncodedRow]:
        """Return the rows of positions with their images as the files that they are, neither decoded nor cut."""
        return self._each(counters, self._encoded_row)

    def _each(self, counters: Sequence[int], make: Callable[[int, int, int, Skipped], Made]) -> list[Made]:
        places = self.places(counters).tolist()
        self._read(group for group, _ in places)
        return [self._first_usable(counter, place, make) for counter, place in zip(counters, places, strict=True)]

    def _first_usable(
        self, counter: int, place: tuple[int, int], make: Callable[[int, int, int, Skipped], Made]
    ) -> Made:
        """Make what stands at a counter, of its own row or of one that is drawn in place of an unusable one."""
        draws = None
        skipped: list[tuple[str, str]] = []
        group, row = place
        for _ in range(_REPLACEMENTS):
            try:
                return make(counter, group, row, tuple(skipped))
            except (UnusableRowError, ConditionError) as error:
                skipped.append((self._index.name_of(group, row), str(error)))
            draws = draws or generator(self._seed, counter, stream=Stream.REPLACEMENT)
            flat = int(draws.integers(self._index.rows))
            group, row = int(np.searchsorted(self._index.ends, flat, side="right")), int(self._index.row[flat])
        raise UnreadableRowsError(
            f"{len(skipped)} rows in a row cannot be used, the last is {skipped[-1][0]} ({skipped[-1][1]}); "
            "run 'git10m verify' on the dataset"
        )

    def _encoded_row(self, counter: int, group: int, row: int, skipped: Skipped) -> EncodedRow:
        rows = self._group(group).rows
        name = rows.name(row) or self._index.name_of(group, row)
        condition = rows.condition(row, level=self._level(group, row))
        return EncodedRow(counter, name, rows.encoded(row).to_pybytes(), condition, skipped)

    def _made(self, counter: int, group: int, row: int, skipped: Skipped) -> Example:
        draws = generator(self._seed, counter, stream=Stream.VIEW)
        if self._latents is not None:
            return self._from_latents(counter, group, row, skipped, draws)
        tile = self._tile(group, row)
        height, width = tile.pixels.shape[:2]
        if self._view.kind == "scales":
            times = draw_halvings(self._view, height=height, width=width, finest=tile.finest, draws=draws)
            tile = tile.reduced(times)
            height, width = tile.pixels.shape[:2]
        cut = draw_cut(self._view, height=height, width=width, draws=draws)
        return Example(
            counter,
            tile.name,
            cut.of(tile.pixels),
            cut.place(tile.condition, height=height, width=width),
            skipped,
            images={name: cut.of(image) for name, image in tile.images.items()},
        )

    def _from_latents(
        self, counter: int, group: int, row: int, skipped: Skipped, draws: np.random.Generator
    ) -> Example:
        found = self._group(group)
        if found.latents is None:
            raise ShardError("latents were asked for and not read")  # cannot be: they are read with their group
        stored = found.latents.view(row, draws=draws)
        condition = found.rows.condition(row, level=self._level(group, row)).coarsened(stored.halvings)
        images = {
            name: stored.cut.of(averaged(decoded(found.rows.encoded(row, modality=name), grey=True), stored.halvings))
            for name in self._images
        }
        condition = stored.cut.place(condition, height=stored.height, width=stored.width)
        name = found.rows.name(row) or self._index.name_of(group, row)
        return Example(counter, name, None, condition, skipped, stored.moments, images)

    def _tile(self, group: int, row: int) -> _Tile:
        """Return a decoded row."""
        cached = self._decoded.get((group, row))
        if cached is not None:
            return cached
        rows = self._group(group).rows
        condition = rows.condition(row, level=self._level(group, row))
        pixels = decoded(rows.encoded(row))
        height, width = pixels.shape[:2]
        times = halvings(self._view, height=height, width=width)
        images = {}
        for name in self._images:
            image = decoded(rows.encoded(row, modality=name), grey=True)
            if image.shape[:2] != (height, width):
                raise UnusableRowError(f"image_{name} is {image.shape[1]}×{image.shape[0]} px, not {width}×{height}")
            images[name] = averaged(image, times)
        name = rows.name(row) or self._index.name_of(group, row)
        finest = rows.finest_halvings(row) if self._view.kind == "scales" else 0
        tile = _Tile(name, averaged(pixels, times), condition.coarsened(times), images, finest)
        if self._decoded_bytes + tile.nbytes <= _CACHE_BYTES:
            self._decoded[group, row] = tile
            self._decoded_bytes += tile.nbytes
        return tile

    def _level(self, group: int, row: int) -> int:
        span = self._index.span(group)
        return int(self._index.level[span.start + int(np.searchsorted(self._index.row[span], row))])

    def _group(self, group: int) -> _Group:
        if group not in self._groups:
            self._read([group])
        self._groups.move_to_end(group)
        found = self._groups[group]
        if found.damage is not None:
            raise UnusableRowError(found.damage)
        return found

    def _read(self, groups: Iterable[int]) -> None:
        """Read the groups that are not in memory, several at once, and let go of the oldest."""
        missing = [group for group in dict.fromkeys(groups) if group not in self._groups]
        if len(missing) > 1:
            with ThreadPoolExecutor(min(_READERS, len(missing))) as pool:
                found = list(pool.map(self._read_one, missing))
        else:
            found = [self._read_one(group) for group in missing]
        self._groups.update(zip(missing, found, strict=True))
        while len(self._groups) > max(self._most_groups, len(missing)):
            self._groups.popitem(last=False)

    def _read_one(self, group: int) -> _Group:
        columns = row_columns(pixels=self._latents is None, images=self._images)
        try:
            table = self._index.read_group(group, columns=columns)
        except (OSError, pa.ArrowException, ShardError) as error:
            return _Group(Rows(pa.table({})), None, f"its row group cannot be read: {error}")
        latents = None
        if self._latents is not None:
            file = self._index.file_of(group)
            latents = self._latents.group(file.path, int(self._index.group_number[group]))
        return _Group(Rows(table), latents, None)


@dataclass(frozen=True, slots=True)
class _Group:
    """A group in memory, or why it is not."""

    rows: Rows
    latents: GroupLatents | None
    damage: str | None


def _of(asked: _Asked) -> Examples:
    fresh = Examples.__new__(Examples)
    fresh.__setstate__(asked)
    return fresh
