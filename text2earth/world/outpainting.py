"""Text2Earth's own way to images without bounds: an inpainting model paints outwards from what is there.

Windows of the model's size are painted one after the other, each seeing what lies there already in at least a quarter
of its side (Text2Earth, arXiv 2501.00895, shows scenes made so). What a window is painted from depends on its place
and on the windows before it alone: the order follows from the request, and the noise is keyed by position, so that a
run that was stopped goes on to the same pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from text2earth.conditioning import parse
from text2earth.errors import RequestError
from text2earth.models import latent_factor
from text2earth.noise import plane
from text2earth.world.box import Box

__all__ = ["Ground", "Outpainting", "Waypoint", "area_windows", "outpaint", "path_windows", "unfinished"]

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Shares = npt.NDArray[np.float64]

_LEAST_OVERLAP = 0.25


class Ground(Protocol):
    """What is painted on: pixels of a plane whose origin is the first pixel of the given image."""

    @property
    def area(self) -> Box:
        """All of it."""

    def read(self, box: Box) -> Pixels:
        """Return uint8 (height, width, 3) of a box within the area."""

    def given(self, box: Box) -> Mask:
        """Return which pixels were there before anything was painted, bool (height, width)."""

    def write(self, box: Box, pixels: Pixels, where: Mask) -> None:
        """Write those pixels that the mask names; never one that was given."""


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A prompt at a place.

    Args:
        prompt: What is to be seen there.
        x: Pixels east of the image's western edge.
        y: Pixels south of its northern edge.
    """

    prompt: str
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Outpainting:
    """How a ground is painted.

    Args:
        pipeline: ``Text2EarthInpaintPipeline``, over an inpainting model or (with seams that fit less well) over a
            text-to-image model.
        waypoints: One prompt for all, or several at their places.
        level: Zoom level 0…22; 0 leaves the resolution open.
        seed: Of the noise, 0…2**63 − 1.
        steps: Denoising steps of a window.
        guidance_scale: Of text and level.
        overlap: Share of a window's side that it has in common with the one before, ¼ … ¾.
        blend: What a window between places is asked for: ``"interpolate"`` mixes the text states of all prompts,
            weighted by 1 / distance² of its centre (Shepard, 1968), ``"switch"`` takes the nearest prompt.

    Raises:
        RequestError: If a value is out of its range.
    """

    pipeline: Any
    waypoints: tuple[Waypoint, ...]
    level: int = 0
    seed: int = 0
    steps: int = 50
    guidance_scale: float = 4.0
    overlap: float = 0.5
    blend: Literal["interpolate", "switch"] = "interpolate"
    _states: dict[str, torch.Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.waypoints:
            raise RequestError("no prompt was given; give at least one, '' for an image without a text")
        if not _LEAST_OVERLAP <= self.overlap <= 0.75:
            raise RequestError(f"overlap {self.overlap} was given; windows have 0.25…0.75 of a side in common")
        if not 0 <= self.seed < 1 << 63:
            raise RequestError(f"seed {self.seed} was given; it is 0 … 2⁶³ − 1")
        if self.steps < 1:
            raise RequestError(f"steps is {self.steps}; at least 1 is needed")
        if self.blend not in ("interpolate", "switch"):
            raise RequestError(f"blend {self.blend!r} was given; it is interpolate or switch")
        for waypoint in self.waypoints:
            parse(waypoint.prompt, level=self.level or None)

    @property
    def side(self) -> int:
        """Pixels a side of a window: those that the model was trained at."""
        return int(self.pipeline.image_size)

    @property
    def unit(self) -> int:
        """Pixels that places of windows are multiples of: a latent's side, or a patch of them."""
        patch = int(getattr(self.pipeline.denoiser.config, "patch_size", None) or 1)
        return latent_factor(self.pipeline.vae) * patch

    @property
    def stride(self) -> int:
        """Pixels from one window to the next."""
        return max(self.unit, int(self.side * (1.0 - self.overlap)) // self.unit * self.unit)

    def weights(self, window: Box) -> Shares:
        """Return how much each waypoint counts for a window, (waypoints,), summing to 1."""
        centre = (window.x + window.width / 2, window.y + window.height / 2)
        distances = np.array([np.hypot(each.x - centre[0], each.y - centre[1]) for each in self.waypoints])
        nearest = int(distances.argmin())
        if self.blend == "switch" or distances[nearest] < 1.0:
            alone: Shares = np.eye(len(distances))[nearest]
            return alone
        shares = 1.0 / np.square(distances)
        return np.asarray(shares / shares.sum(), dtype=np.float64)

    def states(self, window: Box) -> torch.Tensor:
        """Return the text states (1, L, D) of a window."""
        if not self._states:
            prompts = [parse(each.prompt, level=self.level or None).prompt for each in self.waypoints]
            encoded = self.pipeline.encode_prompt(prompts)
            self._states.update({str(number): states for number, states in enumerate(encoded)})
        found = [
            self._states[str(number)] * float(share) for number, share in enumerate(self.weights(window)) if share > 0.0
        ]
        return torch.stack(found).sum(dim=0)[None]

    def painted(self, window: Box, pixels: Pixels, unknown: Mask) -> Pixels:
        """Return a window uint8 (side, side, 3) whose unknown pixels are painted."""
        factor = latent_factor(self.pipeline.vae)
        across = Box(window.x // factor, window.y // factor, window.width // factor, window.height // factor)
        channels = int(self.pipeline.vae.config.latent_channels)
        noise = plane(across, seed=self.seed, stage=0, round=0, level=self.level, channels=channels)
        place = hashlib.sha256(json.dumps([self.seed, window.x, window.y]).encode()).digest()
        images = self.pipeline(
            image=pixels,
            mask_image=unknown,
            level=self.level,
            prompt_embeds=self.states(window),
            num_inference_steps=self.steps,
            guidance_scale=self.guidance_scale,
            latents=torch.from_numpy(noise)[None],
            generator=torch.Generator().manual_seed(int.from_bytes(place[:7], "big")),  # of schedulers that add noise
            output_type="np",
        ).images
        found: Pixels = np.rint(images[0] * 255.0).astype(np.uint8)
        return found


def area_windows(given: Box | None, area: Box, *, side: int, stride: int) -> list[Box]:
    """Return the windows that fill an area, in the order that they are painted: outwards in rings.

    They lie on a grid through the given image's first pixel. A window on a side of the image comes before one beyond
    its corners, and each sees the one before. Windows over the image are among them, for it may have holes.

    Args:
        given: Where there is something already; without it the first window is painted from the prompt alone.
        area: What is to be filled; contains ``given``.
        side: Pixels of a window.
        stride: Pixels from window to window.
    """
    columns = range(-(-(area.x - side + 1) // stride), -(-area.right // stride))
    rows = range(-(-(area.y - side + 1) // stride), -(-area.bottom // stride))
    windows = [Box(i * stride, j * stride, side, side) for j in rows for i in columns]
    heart = given
    if heart is None:
        middle = (area.x + (area.width - side) / 2, area.y + (area.height - side) / 2)
        heart = min(windows, key=lambda box: (abs(box.x - middle[0]) + abs(box.y - middle[1]), box.y, box.x))

    def rank(window: Box) -> tuple[int, int, int, int]:
        out = (
            max(0, -(-(heart.x - window.x) // stride), -(-(window.right - heart.right) // stride)),
            max(0, -(-(heart.y - window.y) // stride), -(-(window.bottom - heart.bottom) // stride)),
        )
        return max(out), min(out), window.y, window.x

    return sorted(windows, key=rank)


def path_windows(path: Sequence[tuple[float, float]], *, side: int, stride: int, unit: int) -> list[Box]:
    """Return windows whose centres follow a line, in its order; none twice.

    Args:
        path: Corners (x, y) of the line, pixels; one is a single window.
        side: Pixels of a window.
        stride: Pixels along the line from window to window.
        unit: Pixels that places of windows are multiples of.

    Raises:
        RequestError: If there is no point.
    """
    if not path:
        raise RequestError("the path has no point; give at least one")
    corners = np.array(path, dtype=np.float64)
    along = np.concatenate([[0.0], np.hypot(*np.diff(corners, axis=0).T).cumsum()])
    stops = np.append(np.arange(0.0, along[-1], stride), along[-1])
    places = np.column_stack([np.interp(stops, along, corners[:, axis]) for axis in (0, 1)])
    first = np.rint((places - side / 2) / unit).astype(np.int64) * unit
    return list(dict.fromkeys(Box(int(x), int(y), side, side) for x, y in first))


def unfinished(ground: Ground, windows: Sequence[Box]) -> list[Box]:
    """Return the windows, in their order, that hold a pixel which was not given.

    Raises:
        RequestError: If a window lies outside of the ground.
    """
    found = []
    for window in windows:
        inside = window.overlap(ground.area)
        if inside is None:
            raise RequestError(f"{window} lies outside of {ground.area}; give a larger area")
        if not ground.given(inside).all():
            found.append(window)
    return found


def outpaint(ground: Ground, windows: Sequence[Box], *, how: Outpainting, done: int = 0) -> Iterator[int]:
    """Paint windows in their order and yield the number of those that are done, after each.

    Args:
        ground: What is painted on.
        windows: In the order of painting.
        how: What with.
        done: Windows that an earlier run has painted; they are taken as they are.
    """
    earlier = _Earlier(how.side)
    for number, window in enumerate(windows):
        inside = window.overlap(ground.area)
        if inside is None:
            raise RequestError(f"{window} lies outside of {ground.area}; give a larger area")
        if number >= done:
            _paint(ground, window, inside, earlier, how)
            yield number + 1
        earlier.add(window)


def _paint(ground: Ground, window: Box, inside: Box, earlier: _Earlier, how: Outpainting) -> None:
    known = ground.given(inside)
    for other in earlier.near(window):
        shared = other.overlap(inside)
        if shared is not None:
            known[shared.slices(inside)] = True
    if known.all():
        return
    place = inside.slices(window)
    pixels, unknown = np.zeros((how.side, how.side, 3), np.uint8), np.ones((how.side, how.side), np.bool_)
    pixels[place], unknown[place] = ground.read(inside), ~known
    pixels[unknown] = 0  # what a run that was killed has left there is not seen
    painted = how.painted(window, pixels, unknown)
    ground.write(inside, painted[place], ~known)


class _Earlier:
    """Windows that are painted, found by place."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._cells: dict[tuple[int, int], list[Box]] = {}

    def add(self, window: Box) -> None:
        self._cells.setdefault((window.x // self._side, window.y // self._side), []).append(window)

    def near(self, window: Box) -> Iterator[Box]:
        column, row = window.x // self._side, window.y // self._side
        for j in (row - 1, row, row + 1):
            for i in (column - 1, column, column + 1):
                yield from self._cells.get((i, j), ())
