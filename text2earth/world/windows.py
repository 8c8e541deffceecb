"""Boxes of the plane, painted of overlapping windows: any box, any size, always the same pixels.

Every mode is a pure function of place, so that no order and no neighbour changes a pixel:

    metaearth   the windows of MetaEarth (Yu et al., arXiv 2405.13570): all begin with the same noise, and the outer
                quarter of each is cut off. The noise of the plane repeats every half window, and so do pictures.
    trimmed     the same windows, each with the noise of its place
    tent        the same noise; windows count by a tent, so that one passes into the next
    fused       the windows are put together in the middle of the walk too, and go on from what they agreed on:
                InfiniteDiffusion's recursion (Goslin, "Terrain Diffusion", 2025), evaluated where it is needed,

                    J_{r−1}[R] = Σ_i w_i Φ(J_r[R_i]) / Σ_i w_i ,

                where Φ is a part of the DDIM steps, w_i are tents, and J at its beginning is the noise of the plane.

Cost of a cold box of 256 px whose corner lies on the grid, in walks of one window from noise to pixels:

    window    metaearth, trimmed    tent    fused, 2 rounds
    256 px             4              9     9 and 25 half walks = 17
     64 px            64             81     81 and 121 half walks = 101

``passes`` counts the evaluations of the network for any box. A larger box costs less a pixel: 65 px beside a fused
one, with windows of 64 px, are painted and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from text2earth.errors import RequestError
from text2earth.noise import plane
from text2earth.world.box import Box
from text2earth.world.painting import Painting
from text2earth.world.projection import agreeing
from text2earth.world.prompts import Prompts
from text2earth.world.walking import Given, Walker

__all__ = ["Low", "paint", "passes"]

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]
Low = Callable[[Box], Pixels]
"""Gives the pixels, uint8 (height, width, 3), of a box of the parent's plane."""


def paint(
    boxes: Sequence[Box], *, painting: Painting, low: Low | None, prompts: Prompts, project: bool = True
) -> list[Pixels]:
    """Paint boxes of one plane; they share the windows that they have in common.

    Args:
        boxes: What is wanted.
        painting: How.
        low: Gives the parent's pixels, uint8 (h, w, 3), of a box of the parent's plane, farther out than the boxes
            too. None paints from text and level alone.
        prompts: Which text holds where; texts that meet in a window are blended in its predictions.
        project: Whether the block means of the result are the parent's pixels.

    Returns:
        uint8 (height, width, 3) a box.
    """
    factor = painting.network.factor
    targets = [box if low is None else box.aligned(factor) for box in boxes]
    needed = _needed(targets, painting)
    lows = [] if low is None else [_given(low, painting.layout.cover(box).coarsened(factor)) for box in needed[0]]
    stage = _Stage(Walker(painting, prompts, project=project), lows)
    fields: list[_Field] = []
    walks = painting.walks()
    for number, regions in enumerate(needed):
        then = walks[number + 1][0] if number + 1 < len(walks) else None
        fields = stage.part(regions, fields, walk=walks[number], then=then)
    finished = stage.finished(fields)
    return [pixels[box.slices(target)] for box, target, pixels in zip(boxes, targets, finished, strict=True)]


def passes(box: Box, *, painting: Painting) -> int:
    """Return the evaluations of the network that a cold box takes with one prompt: windows × steps."""
    needed = _needed([box], painting)
    return sum(
        len(painting.layout.windows(regions[0])) * len(walk)
        for regions, walk in zip(needed, painting.walks(), strict=True)
    )


@dataclass(frozen=True)
class _Field:
    """Values of a box."""

    box: Box
    values: Values
    """(C, height, width)."""

    def cut(self, box: Box) -> Values:
        return self.values[:, *box.slices(self.box)]

    def add(self, box: Box, values: Values) -> None:
        """Add the values of a box, where it meets this one."""
        shared = self.box.overlap(box)
        if shared is not None:
            self.values[:, *shared.slices(self.box)] += values[:, *shared.slices(box)]


def _needed(targets: list[Box], painting: Painting) -> list[list[Box]]:
    """Return the boxes that each part of the walk has to fill, the first part's first."""
    found = [targets]
    for _ in range(painting.parts - 1):
        found.insert(0, [painting.layout.cover(box) for box in found[0]])
    return found


def _given(low: Low, box: Box) -> _Field:
    """Ask for the parent's pixels of a box, −1…1."""
    pixels = low(box)
    if pixels.dtype != np.uint8 or pixels.shape != (box.height, box.width, 3):
        raise RequestError(
            f"the parent gave {pixels.dtype} {pixels.shape} for {box}; uint8 {(box.height, box.width, 3)} was expected"
        )
    return _Field(box, np.moveaxis(pixels, -1, 0).astype(np.float32) / 127.5 - 1.0)


@dataclass(frozen=True)
class _Stage:
    """One call of ``paint``."""

    walker: Walker
    lows: list[_Field]

    @property
    def painting(self) -> Painting:
        return self.walker.painting

    def part(self, regions: list[Box], before: list[_Field], *, walk: list[int], then: int | None) -> list[_Field]:
        """Return the fields of the regions after a part of the walk, from those before it."""
        layout = self.painting.layout
        asked: dict[Box, list[int]] = {}
        for number, region in enumerate(regions):
            for window in layout.windows(region):
                asked.setdefault(window, []).append(number)
        fields = [_Field(box, np.zeros((3, box.height, box.width), dtype=np.float32)) for box in regions]
        # always row by row: a sum of floats depends on its order
        ordered = iter(sorted(asked, key=lambda window: (window.y, window.x)))
        while windows := list(islice(ordered, self.painting.batch)):
            given = [self._given(window, asked[window][0], before) for window in windows]
            for window, values in zip(windows, self.walker.walked(given, walk, then=then), strict=True):
                core = layout.core(window)
                counted = layout.weights * values[:, *core.slices(window)]
                for number in asked[window]:
                    fields[number].add(core, counted)
        return fields

    def finished(self, fields: list[_Field]) -> list[Pixels]:
        """Return pixels (H, W, 3) of the fields of the last part."""
        found = []
        for number, filled in enumerate(fields):
            pixels = np.moveaxis(filled.values, 0, -1) * 127.5 + 127.5
            if self.walker.project and self.lows:
                parent = self.lows[number].cut(filled.box.coarsened(self.painting.network.factor))
                found.append(agreeing(pixels, parent=_rounded(np.moveaxis(parent, 0, -1) * 127.5 + 127.5)))
            else:
                found.append(_rounded(pixels))
        return found

    def _given(self, window: Box, number: int, before: list[_Field]) -> Given:
        """Return what a window begins its part of the walk with; ``number`` is a region that asked for it."""
        start = before[number].cut(window) if before else self._noise(window)
        low = self.lows[number].cut(window.coarsened(self.painting.network.factor)) if self.lows else None
        return Given(window, start, low)

    def _noise(self, window: Box) -> Values:
        painting = self.painting
        if painting.mode == "metaearth":
            parts = [Box(0, 0, window.width, window.height)]
        else:
            parts = _wrapped(window, painting.period)
        found = [
            plane(part, seed=painting.seed, stage=painting.stage, round=0, level=painting.level, channels=3)
            for part in parts
        ]
        return np.concatenate(found, axis=-1)


def _wrapped(window: Box, period: int | None) -> list[Box]:
    """Return the boxes of the plane's first period that a window's columns come from."""
    if period is None:
        return [window]
    x = window.x % period
    first = min(window.width, period - x)
    parts = [Box(x, window.y, first, window.height)]
    return parts if first == window.width else [*parts, Box(0, window.y, window.width - first, window.height)]


def _rounded(values: Values) -> Pixels:
    return np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)
