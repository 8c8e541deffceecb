"""Which world a request speaks of, and the few that are open at a time."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from git10m.grid import MAX_LATITUDE
from text2earth.errors import RequestError

__all__ = ["LARGEST_SEED", "MOST_AREAS", "Area", "Chosen", "OpenWorld", "Pixels", "ServedWorld", "Worlds"]

LARGEST_SEED = (1 << 53) - 1
"""What a JavaScript number holds exactly, so that a page and a server mean the same seed."""
MOST_AREAS = 16
"""Boxes with a prompt of their own that a world may have."""
_LONGEST_PROMPT = 500

Pixels = npt.NDArray[np.uint8]


class ServedWorld(Protocol):
    """What the server needs of a world."""

    @property
    def minzoom(self) -> int:
        """Coarsest level that is painted."""

    @property
    def maxzoom(self) -> int:
        """Finest level that is painted."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that pixels depend on."""

    @property
    def model_name(self) -> str:
        """Of the model that paints."""

    def tiles(self, addresses: Sequence[tuple[int, int, int]]) -> list[Pixels]:
        """Return uint8 pixels (256, 256, 3) of each (z, x, y); a pure function of each address."""


@dataclass(frozen=True, slots=True)
class Area:
    """A box with a prompt of its own.

    Args:
        west: Degrees, −180…180.
        south: Degrees, −85.05…85.05.
        east: Degrees; less than ``west`` where the box crosses the antimeridian.
        north: Degrees.
        prompt: What is to be seen there.

    Raises:
        RequestError: If there is no such box, or no prompt.
    """

    west: float
    south: float
    east: float
    north: float
    prompt: str

    def __post_init__(self) -> None:
        for side in ("west", "south", "east", "north"):
            # 5 and 5.0, 0.0 and −0.0 are equal, and written alike
            object.__setattr__(self, side, float(getattr(self, side)) + 0.0)
        _check_box((self.west, self.south, self.east, self.north))
        _check_prompt(self.prompt, of="an area")
        if not self.prompt.strip():
            raise RequestError("an area has no prompt; write area=WEST,SOUTH,EAST,NORTH,PROMPT")

    @classmethod
    def parse(cls, text: str) -> Area:
        """Read ``WEST,SOUTH,EAST,NORTH,PROMPT``; the prompt may hold commas."""
        parts = text.split(",", 4)
        try:
            west, south, east, north = (float(part) for part in parts[:4])
        except ValueError:
            raise RequestError(f"area is {text!r}; it is WEST,SOUTH,EAST,NORTH,PROMPT, in degrees") from None
        return cls(west, south, east, north, parts[4].strip() if len(parts) == 5 else "")

    def feature(self) -> dict[str, Any]:
        """Return it as a GeoJSON feature; where it crosses the antimeridian in two parts (RFC 7946, 3.1.9)."""
        spans = [(self.west, self.east)] if self.west < self.east else [(self.west, 180.0), (-180.0, self.east)]
        rings = [
            [[w, self.south], [e, self.south], [e, self.north], [w, self.north], [w, self.south]]
            for w, e in spans
            if w < e
        ]
        geometry: dict[str, Any] = {"type": "Polygon", "coordinates": [rings[0]]}
        if len(rings) == 2:
            geometry = {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
        return {"type": "Feature", "properties": {"prompt": self.prompt}, "geometry": geometry}


@dataclass(frozen=True, slots=True)
class Chosen:
    """One of the worlds that a model can paint.

    Args:
        prompt: What is to be seen where no area says otherwise; "" leaves it to the model.
        seed: Of the noise, 0…2⁵³ − 1.
        areas: Boxes with prompts of their own; later ones lie on top.

    Raises:
        RequestError: If one of them cannot be.
    """

    prompt: str
    seed: int
    areas: tuple[Area, ...] = ()

    def __post_init__(self) -> None:
        _check_prompt(self.prompt, of="the world")
        object.__setattr__(self, "prompt", " ".join(self.prompt.split()))
        if not 0 <= self.seed <= LARGEST_SEED:
            raise RequestError(f"seed is {self.seed}; it is a whole number of 0…{LARGEST_SEED}")
        if len(self.areas) > MOST_AREAS:
            raise RequestError(f"{len(self.areas)} areas were given; a world has at most {MOST_AREAS}")

    def geojson(self) -> dict[str, Any] | None:
        """Return the areas as a GeoJSON FeatureCollection, or none where there are none."""
        if not self.areas:
            return None
        return {"type": "FeatureCollection", "features": [area.feature() for area in self.areas]}

    def version(self, fingerprint: str) -> str:
        """Return 16 hexadecimal digits that stand for a world's pixels.

        Args:
            fingerprint: Of the server's first world: it holds the weights and all else that is not chosen here.
        """
        areas = [[area.west, area.south, area.east, area.north, area.prompt] for area in self.areas]
        text = json.dumps([fingerprint, self.prompt, self.seed, areas])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


OpenWorld = Callable[[Chosen], ServedWorld]
"""Opens a world of the server's model."""


class Worlds:
    """The first world, which stays open, and the few others that were asked for last.

    Args:
        open_world: Opens a world; called by one thread at a time.
        first: What requests that name nothing speak of; opened at once.
        limit: How many others are kept open.
    """

    def __init__(self, open_world: OpenWorld, *, first: Chosen, limit: int) -> None:
        self._open, self._limit = open_world, limit
        self._others: OrderedDict[Chosen, ServedWorld] = OrderedDict()
        self.first_choice = first
        self.first = open_world(first)

    def __len__(self) -> int:
        return 1 + len(self._others)

    def get(self, chosen: Chosen) -> ServedWorld:
        """Return a world, opened if need be; the one that was not asked for longest makes room."""
        if chosen == self.first_choice:
            return self.first
        if chosen not in self._others:
            self._others[chosen] = self._open(chosen)
            if len(self._others) > self._limit:
                self._others.popitem(last=False)
        self._others.move_to_end(chosen)
        return self._others[chosen]


def _check_box(box: tuple[float, float, float, float]) -> None:
    west, south, east, north = box
    if not (-180 <= west <= 180 and -180 <= east <= 180 and west != east):
        raise RequestError(f"west {west} and east {east} were given; both are −180…180 degrees and differ")
    if not (-MAX_LATITUDE <= south < north <= MAX_LATITUDE):
        raise RequestError(
            f"south {south} and north {north} were given; south is less than north, "
            f"and both are within ±{MAX_LATITUDE:.4f} degrees"
        )


def _check_prompt(prompt: str, *, of: str) -> None:
    if len(prompt) > _LONGEST_PROMPT:
        raise RequestError(f"the prompt of {of} has {len(prompt)} characters; at most {_LONGEST_PROMPT} are read")
    if not prompt.isprintable():
        raise RequestError(f"the prompt of {of} is {prompt!r}; it is one line of text")
