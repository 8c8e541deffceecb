"""Whether a world of tiles is one world: children that agree with their parents, and the same bytes each time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from text2earth.errors import RequestError

__all__ = ["Agreement", "Determinism", "TileWorld", "agreement", "determinism", "drawn_tiles", "family_agreement"]

Pixels = npt.NDArray[np.uint8]
Address = tuple[int, int, int]
"""Zoom, x and y of a tile."""


class TileWorld(Protocol):
    """What is asked of a world here; ``text2earth.world.World`` is one."""

    @property
    def minzoom(self) -> int:
        """Coarsest level."""

    @property
    def maxzoom(self) -> int:
        """Finest level."""

    def tile(self, z: int, x: int, y: int) -> Pixels:
        """Return uint8 (256, 256, 3)."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How children, averaged, agree with their parents.

    Args:
        pixels: Pixels of parents that were compared, bands apart.
        equal: Share of them that are the rounded mean of their children.
        largest: Largest difference, 0–255.
    """

    pixels: int
    equal: float
    largest: int


@dataclass(frozen=True, slots=True)
class Determinism:
    """Whether tiles are the same each time.

    Args:
        tiles: Tiles that were asked for.
        differing: Those that were not the same each time.
        sha256: Over all tiles in the order of their addresses, as they were first given.
    """

    tiles: int
    differing: tuple[Address, ...]
    sha256: str

    @property
    def is_exact(self) -> bool:
        """Whether every tile was the same each time."""
        return not self.differing


def agreement(parent: Pixels, child: Pixels, *, factor: int) -> Agreement:
    """Compare an image with the mean of each ``factor`` × ``factor`` block of a finer one; halves round to even.

    Args:
        parent: uint8 (H, W, C).
        child: uint8 (H·factor, W·factor, C).
        factor: How many times finer the child is.

    Raises:
        RequestError: If the sizes do not match.
    """
    height, width, bands = parent.shape
    if child.shape != (height * factor, width * factor, bands):
        raise RequestError(
            f"a parent of {width}×{height} px and a child of {child.shape[1]}×{child.shape[0]} px were given; "
            f"a child {factor} times finer has {width * factor}×{height * factor} px"
        )
    blocks = child.reshape(height, factor, width, factor, bands).astype(np.int64).sum(axis=(1, 3))
    means = np.rint(blocks / factor**2).astype(np.int16)
    off = np.abs(means - parent.astype(np.int16))
    return Agreement(off.size, float((off == 0).mean()), int(off.max()))


def drawn_tiles(world: TileWorld, count: int, *, levels: Sequence[int], seed: int = 0) -> list[Address]:
    """Draw tiles of a world: a level, then a place, each evenly; no tile twice while a level has others.

    Args:
        world: Whose tiles.
        count: How many.
        levels: To draw from.
        seed: Of the draw.

    Raises:
        RequestError: If the world has not those levels.
    """
    if not levels or min(levels) < world.minzoom or max(levels) > world.maxzoom:
        raise RequestError(f"levels {[*levels]} were asked for; the world has {world.minzoom}–{world.maxzoom}")
    draws, found = np.random.default_rng(seed), dict[Address, None]()
    for _ in range(50 * count):
        if len(found) == count:
            break
        z = int(draws.choice(np.array(levels)))
        found[z, int(draws.integers(0, 1 << z)), int(draws.integers(0, 1 << z))] = None
    return [*found]


def family_agreement(world: TileWorld, parents: Sequence[Address], *, levels: int = 1) -> Agreement:
    """Compare tiles with the tiles that cover them so many levels below.

    Args:
        world: Whose tiles.
        parents: Which tiles.
        levels: 1 compares with 4 children, 2 with 16 grandchildren.
    """
    found = []
    for z, x, y in parents:
        side = 1 << levels
        rows = [
            np.concatenate([world.tile(z + levels, side * x + i, side * y + j) for i in range(side)], axis=1)
            for j in range(side)
        ]
        found.append(agreement(world.tile(z, x, y), np.concatenate(rows), factor=side))
    pixels = sum(each.pixels for each in found)
    equal = sum(each.equal * each.pixels for each in found) / max(pixels, 1)
    return Agreement(pixels, equal, max((each.largest for each in found), default=0))


def determinism(open_world: Callable[[], TileWorld], tiles: Sequence[Address]) -> Determinism:
    """Ask for tiles in their order, again of the same world, and in the other order of a world opened anew.

    Args:
        open_world: Opens the world; what it caches must not outlive it, or a second world repeats the first's files.
        tiles: Which tiles.
    """
    first = open_world()
    once = {tile: _hash(first, tile) for tile in tiles}
    again = {tile: _hash(first, tile) for tile in tiles}
    second = open_world()
    reversed_ = {tile: _hash(second, tile) for tile in reversed(tiles)}
    differing = [tile for tile in once if not once[tile] == again[tile] == reversed_[tile]]
    digest = hashlib.sha256("".join(once[tile] for tile in sorted(once)).encode())
    return Determinism(len(once), tuple(sorted(differing)), digest.hexdigest())


def _hash(world: TileWorld, tile: Address) -> str:
    return hashlib.sha256(world.tile(*tile).tobytes()).hexdigest()
