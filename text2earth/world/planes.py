"""Planes of pixels that a world is made of, the blocks that they are painted and kept in, and what lies beyond edges.

East and west of the antimeridian the plane begins anew; north and south of the map's edge it is mirrored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from text2earth.world.box import Box
from text2earth.world.cache import BlockKey

__all__ = ["BLOCK", "TILE", "Plane", "block_box", "gathered", "keys_of"]

Pixels = npt.NDArray[np.uint8]
Fetch = Callable[[set[BlockKey]], Mapping[BlockKey, Pixels]]

TILE = 256
BLOCK = 128
"""Pixels a side of what is painted and kept at once: smaller than a tile, so that few ancestors are painted in vain."""


@dataclass(frozen=True, slots=True)
class Plane:
    """All pixels of one level.

    Args:
        name: Of its own in a world.
        level: Zoom level of the pixels.
        stage: Number of the stage that paints it, 0 is the first.
    """

    name: str
    level: int
    stage: int

    @property
    def side(self) -> int:
        """Pixels a side of the world."""
        return TILE << self.level


def keys_of(plane: Plane, box: Box) -> set[BlockKey]:
    """Return the blocks that hold the pixels of a box, which may reach beyond the edges."""
    columns, rows = _places(box, plane.side)
    return {BlockKey(plane.name, int(x), int(y)) for x in np.unique(columns // BLOCK) for y in np.unique(rows // BLOCK)}


def block_box(key: BlockKey) -> Box:
    """Return the pixels of a block."""
    return Box(key.x * BLOCK, key.y * BLOCK, BLOCK, BLOCK)


def gathered(plane: Plane, box: Box, *, fetch: Fetch) -> Pixels:
    """Return the pixels (height, width, C) of a box, which may reach beyond the edges."""
    columns, rows = _places(box, plane.side)
    blocks = fetch(keys_of(plane, box))
    bands = next(iter(blocks.values())).shape[2]
    found = np.empty((box.height, box.width, bands), np.uint8)
    for x in np.unique(columns // BLOCK):
        across = np.flatnonzero(columns // BLOCK == x)
        for y in np.unique(rows // BLOCK):
            down = np.flatnonzero(rows // BLOCK == y)
            block = blocks[BlockKey(plane.name, int(x), int(y))]
            found[np.ix_(down, across)] = block[np.ix_(rows[down] % BLOCK, columns[across] % BLOCK)]
    return found


def _places(box: Box, side: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return columns and rows of the world at the pixels of a box."""
    columns = np.arange(box.x, box.right) % side
    rows = np.arange(box.y, box.bottom) % (2 * side)
    return columns, np.minimum(rows, 2 * side - 1 - rows)
