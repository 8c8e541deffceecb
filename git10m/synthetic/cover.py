"""Land cover: its classes, the colours of what they are made of, and the list of everything that is painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from git10m.synthetic.surfaces import Points

__all__ = ["CLASS_COLOURS", "DATES", "LAND_COVER", "NATURAL", "Drawing", "Material", "Painter"]

LAND_COVER: dict[int, str] = {
    1: "water",
    2: "forest",
    3: "farmland",
    4: "grassland",
    5: "built-up",
    6: "road",
    7: "sand",
    8: "bare ground",
}
"""Classes of the land-cover rasters; 0 is nodata and does not occur inside a scene."""

CLASS_COLOURS: dict[int, tuple[int, int, int]] = {
    1: (45, 95, 140),
    2: (40, 95, 45),
    3: (225, 195, 95),
    4: (150, 185, 95),
    5: (190, 80, 65),
    6: (95, 95, 100),
    7: (240, 225, 170),
    8: (160, 140, 120),
}
"""Display colours of the land-cover rasters."""

DATES = ("2024-04-18", "2024-09-12")
"""Dates of the two passes over the landscape: spring and the end of summer."""

WATER, FOREST, FARMLAND, GRASSLAND, BUILT_UP, ROAD, SAND, BARE = LAND_COVER

Shapes = npt.NDArray[np.object_]
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Material:
    """What a surface is made of.

    Args:
        cover: Class in ``LAND_COVER``.
        colours: One RGB colour a date.
        spread: Relative standard deviation of brightness from one object to the next.
        tall_m: Height above ground, which casts a shadow.
        stripe_m: Period of rows across the object's angle; 0 without.
        stripe: Relative amplitude of the rows.
        over_water: Whether it stands in the sea rather than under it.
    """

    cover: int
    colours: tuple[Colour, Colour]
    spread: float = 0.0
    tall_m: float = 0.0
    stripe_m: float = 0.0
    stripe: float = 0.0
    over_water: bool = False


NATURAL: tuple[Material, ...] = (
    Material(WATER, ((22, 52, 70), (20, 48, 64))),
    Material(SAND, ((205, 190, 156), (211, 195, 158))),
    Material(GRASSLAND, ((106, 120, 72), (138, 132, 86))),
    Material(FOREST, ((62, 84, 44), (66, 76, 40)), tall_m=11.0),
    Material(FOREST, ((38, 58, 40), (40, 58, 40)), tall_m=13.0),
    Material(BARE, ((148, 138, 122), (154, 143, 125))),
)
"""Paints 0–5, laid where nothing else is drawn: sea, beach, grass, broadleaf, conifers, rock."""
SEA, BEACH, GRASS, BROADLEAF, CONIFER, ROCK = range(6)


@dataclass(frozen=True)
class Drawing:
    """Everything that is drawn over the natural ground, in painting order, and the paints of all.

    Args:
        shapes: Polygons (m,), projected metres.
        paints: Index of each polygon's paint (m,), int32.
        cover: Class of each paint (p,), uint8.
        colours: Colour of each paint (dates, p, 3), float32, 0–255.
        tall_m: Height above ground (p,), float32.
        rows: Angle, period and amplitude of the rows in each paint (p, 3), float32.
        over_water: Whether each paint stands in the sea (p,).
    """

    shapes: np.ndarray
    paints: np.ndarray
    cover: np.ndarray
    colours: np.ndarray
    tall_m: np.ndarray
    rows: np.ndarray
    over_water: np.ndarray


@dataclass
class Painter:
    """Collects polygons with their materials; later ones cover earlier ones."""

    rng: np.random.Generator
    _shapes: list[np.ndarray] = field(default_factory=list)
    _materials: list[tuple[Material, np.ndarray, np.ndarray]] = field(default_factory=list)

    def draw(
        self, shapes: Shapes | Sequence[shapely.Geometry], material: Material, *, angles: Points | float = 0.0
    ) -> None:
        """Add polygons of one material; each gets its own shade of it."""
        kept = np.asarray(shapes, dtype=object)
        solid = ~shapely.is_empty(kept)
        shades = 1.0 + material.spread * self.rng.standard_normal(int(solid.sum())).clip(-2.0, 2.0)
        self._shapes.append(kept[solid])
        self._materials.append((material, shades, np.broadcast_to(angles, kept.shape)[solid]))

    def finish(self) -> Drawing:
        """Return all that was drawn, as tables."""
        listed = [(material, np.ones(1), np.zeros(1)) for material in NATURAL] + self._materials
        counts = [len(shades) for _, shades, _ in listed]

        def column(values: Sequence[float], dtype: type) -> np.ndarray:
            return np.repeat(np.asarray(values, dtype=dtype), counts, axis=0)

        shades = np.concatenate([shades for _, shades, _ in listed]).astype(np.float32)
        angles = np.concatenate([angles for _, _, angles in listed]).astype(np.float32)
        tint = 1.0 + 0.02 * self.rng.standard_normal((len(shades), 3)).astype(np.float32)
        tint[: len(NATURAL)] = 1.0
        colours = np.stack([column([m.colours[date] for m, _, _ in listed], np.float32) for date in range(len(DATES))])
        stripes = [column([getattr(m, name) for m, _, _ in listed], np.float32) for name in ("stripe_m", "stripe")]
        return Drawing(
            shapes=np.concatenate(self._shapes),
            paints=np.arange(len(NATURAL), len(shades), dtype=np.int32),
            cover=column([m.cover for m, _, _ in listed], np.uint8),
            colours=colours * shades[None, :, None] * tint[None],
            tall_m=column([m.tall_m for m, _, _ in listed], np.float32),
            rows=np.stack([angles, *stripes], axis=1),
            over_water=column([m.over_water for m, _, _ in listed], np.bool_),
        )
