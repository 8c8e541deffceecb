"""Parts of any kind as one, and a plan over all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from git10m.grid import Tile, quadkey_number
from git10m.recipe import Tiles
from git10m.region import tiles_touching
from git10m.sampling import plan_tiles
from git10m.sources import Contribution, Entries, Failure, Group, Request, Sample
from git10m.sources.collection import Collection

CREDIT = Contribution("flat", "x", 1.0, None, None, None, None, None, None, False)


@dataclass(frozen=True)
class Flat:
    """Imagery of one grey value wherever an area asks for it; as many groups as layers."""

    value: int
    layers: tuple[str, ...] = ("imagery",)

    @property
    def groups(self) -> tuple[Group, ...]:
        return tuple(Group(layer, None, f"flat-{self.value}") for layer in self.layers)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {f"flat-{self.value}": self.value}

    def levels(self, group: int, wanted: Sequence[int]) -> Sequence[int]:
        return wanted

    def cover(self, group: int, level: int, area: Any) -> Iterator[tuple[Any, Any]]:
        # Twice over, as overlapping scenes would.
        yield from tiles_touching(area, level)
        yield from tiles_touching(area, level)

    def entries(self, group: int) -> Entries | None:
        return None

    def digest(self, group: int, level: int, bounds: tuple[float, float, float, float]) -> str:
        return f"{self.value}/{group}"

    def read(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        for request in requests:
            pixels = np.full((256, 256, 3), 10 * request.group + self.value, dtype=np.uint8)
            yield Sample(request, pixels, np.ones((256, 256), dtype=bool), (CREDIT,))


@dataclass(frozen=True)
class Album(Flat):
    """Three images: one without a place, two of tiles."""

    def entries(self, group: int) -> Entries | None:
        level = np.array([0, 14, 10], dtype=np.int8)
        place = np.array([0, 9, 5], dtype=np.int32)
        return Entries(level, place, place)


def area() -> Any:
    import shapely

    return shapely.box(10.0, 45.0, 10.4, 45.3)


def test_groups_are_numbered_through_and_read_by_their_part():
    both = Collection((Flat(1, ("a", "b")), Flat(2)))
    assert [group.layer for group in both.groups] == ["a", "b", "imagery"]
    asked = [Request(Tile(10, 1, 1), group) for group in (2, 0, 1, 1, 2)]
    found = list(both.read(asked))
    assert [result.request for result in found] == asked
    assert [int(result.pixels[0, 0, 0]) for result in found if isinstance(result, Sample)] == [2, 1, 11, 11, 2]
    assert both.digest(1, 10, (0, 0, 1, 1)) == "1/1"
    assert both.identity == {"flat-1": 1, "flat-2": 2}


def test_a_plan_holds_each_tile_once_in_order_and_then_the_lists():
    plan = plan_tiles(Collection((Flat(1), Album(3), Flat(2))), Tiles(levels=(12, 11)), area=area())
    tiles = plan.entry < 0
    keys = [
        (level, int(quadkey_number(np.int64(x), np.int64(y))), group)
        for level, x, y, group in zip(
            *(v[tiles].tolist() for v in (plan.level, plan.x, plan.y, plan.group)), strict=True
        )
    ]
    assert keys == sorted(set(keys))
    expected = {
        (level, x, y)
        for level in (11, 12)
        for xs, ys in tiles_touching(area(), level)
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True)
    }
    assert len(keys) == 2 * len(expected)
    assert {(r.placed.level, r.placed.x, r.placed.y) for r in plan.requests(0, int(tiles.sum()))} == expected
    listed = list(plan.requests(int(tiles.sum()), len(plan)))
    assert listed == [Request(None, 1, 0), Request(Tile(14, 9, 9), 1, 1), Request(Tile(10, 5, 5), 1, 2)]


def test_units_divide_lists_but_no_block_of_tiles():
    plan = plan_tiles(Collection((Flat(1), Album(3))), Tiles(levels=(15,)), area=area())
    bounds = plan.unit_bounds(2)
    assert bounds[0] == 0
    assert bounds[-1] == len(plan)
    assert len(plan) - 2 in bounds or len(plan) - 1 in bounds
    blocks = [
        {(r.placed.x // 8, r.placed.y // 8) for r in plan.requests(start, stop) if r.entry < 0}
        for start, stop in itertools.pairwise(bounds)
    ]
    assert sum(map(len, blocks)) == len(set().union(*blocks))
