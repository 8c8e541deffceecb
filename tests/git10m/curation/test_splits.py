"""Splits by whole parent cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from git10m.curation.splits import (
    SPLITS,
    cell_split,
    near_held_out,
    split_codes,
    stratified_codes,
    unplaced_split,
)
from git10m.grid import Tile
from git10m.recipe import Splits

TENTHS = Splits(validation=0.1, test=0.1)


def codes(tiles: list[Tile], *, cell_level: int = 10, splits: Splits = TENTHS) -> list[int]:
    level, x, y = np.array([(tile.level, tile.x, tile.y) for tile in tiles], dtype=np.int64).reshape(-1, 3).T
    return split_codes(level, x, y, cell_level=cell_level, splits=splits).tolist()


@given(st.integers(0, 1023), st.integers(0, 1023), st.integers(0, 6))
def test_all_tiles_of_a_cell_share_its_split(x: int, y: int, down: int):
    cell = Tile(10, x, y)
    below = [cell, *cell.children(min(down, 3))]
    assert {SPLITS[code] for code in codes(below)} == {cell_split(cell, TENTHS)}


def test_shares_are_kept():
    tiles = [Tile(10, x, y) for x in range(100) for y in range(100)]
    shares = np.bincount(codes(tiles), minlength=3) / len(tiles)
    # four standard deviations of a draw of 10,000
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.016)


def test_more_imagery_moves_no_tile_to_another_split():
    few = [Tile(12, x, 1700) for x in range(2000, 2040)]
    more = [Tile(11, x, 800) for x in range(900, 1000)] + few + [Tile(13, x, y) for x in range(50) for y in range(50)]
    assert codes(more)[100:140] == codes(few)


def test_the_seed_and_the_level_of_the_cells_change_the_draw():
    tiles = [Tile(12, x, y) for x in range(40) for y in range(40)]
    assert codes(tiles) == codes(tiles)
    assert codes(tiles) != codes(tiles, splits=Splits(validation=0.1, test=0.1, seed=1))
    assert codes(tiles) != codes(tiles, cell_level=11)


def test_a_larger_share_only_takes_cells_from_training():
    tiles = [Tile(10, x, y) for x in range(40) for y in range(40)]
    small, large = (np.array(codes(tiles, splits=Splits(validation=v, test=0.0))) for v in (0.1, 0.3))
    assert (large[small == 1] == 1).all()


def test_shares_of_zero_leave_all_to_training():
    tiles = [Tile(10, x, 0) for x in range(500)]
    assert set(codes(tiles, splits=Splits(validation=0, test=0))) == {0}


def test_the_names_of_splits_are_those_of_the_files():
    assert SPLITS == ("train", "validation", "test")


def test_no_tiles_have_no_splits():
    assert codes([]) == []


def test_an_image_without_a_place_is_drawn_by_its_bytes():
    splits = Splits(validation=0.3, test=0.2, seed=4)
    drawn = [unplaced_split(bytes([i, j]), splits) for i in range(64) for j in range(64)]
    assert drawn == [unplaced_split(bytes([i, j]), splits) for i in range(64) for j in range(64)]
    assert abs(drawn.count("validation") / len(drawn) - 0.3) < 0.03
    assert abs(drawn.count("test") / len(drawn) - 0.2) < 0.03


# Levels balanced


def columns(tiles: list[Tile]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    level, x, y = np.array([(tile.level, tile.x, tile.y) for tile in tiles], dtype=np.int64).reshape(-1, 3).T
    return level, x, y


def uneven(seed: int) -> list[Tile]:
    """Cells of level 8 of which some are rich in one level, some in another, as imagery is."""
    draws = np.random.default_rng(seed)
    tiles = []
    for cell in (Tile(8, x, y) for x in range(100, 112) for y in range(80, 92)):
        for level in (8, 10, 12):
            count = min(int(draws.pareto(1.2) * 3), 4 ** (level - 8), 64)
            side = 2 ** (level - 8)
            places = draws.choice(side * side, count, replace=False)
            tiles += [Tile(level, cell.x * side + int(p) % side, cell.y * side + int(p) // side) for p in places]
    return tiles


@pytest.mark.parametrize("seed", range(4))
def test_every_level_has_its_share_where_levels_are_balanced(seed: int):
    tiles = uneven(seed)
    level, x, y = columns(tiles)
    splits = Splits(validation=0.1, test=0.1, stratified=True)
    balanced = stratified_codes(level, x, y, cell_level=8, splits=splits)
    drawn = split_codes(level, x, y, cell_level=8, splits=splits)

    def off(split: np.ndarray) -> float:
        return max(abs((split[level == each] == code).mean() - 0.1) for each in (8, 10, 12) for code in (1, 2))

    assert off(balanced) < 0.045
    assert off(balanced) <= off(drawn)


def test_balanced_cells_are_whole_too_and_follow_the_seed_alone():
    tiles = uneven(7)
    level, x, y = columns(tiles)
    splits = Splits(validation=0.1, test=0.1, stratified=True)
    found = stratified_codes(level, x, y, cell_level=8, splits=splits)
    cells: dict[tuple[int, int], set[int]] = {}
    for tile, code in zip(tiles, found.tolist(), strict=True):
        cells.setdefault((tile.x >> (tile.level - 8), tile.y >> (tile.level - 8)), set()).add(code)
    assert all(len(codes) == 1 for codes in cells.values())
    order = np.random.default_rng(0).permutation(len(tiles))
    shuffled = stratified_codes(level[order], x[order], y[order], cell_level=8, splits=splits)
    assert (shuffled == found[order]).all()
    other = stratified_codes(level, x, y, cell_level=8, splits=Splits(validation=0.1, test=0.1, seed=3))
    assert (other != found).any()


def test_no_tiles_no_splits():
    none = np.empty(0, dtype=np.int64)
    assert len(stratified_codes(none, none, none, cell_level=3, splits=TENTHS)) == 0
    assert len(near_held_out(none, none, none, none.astype(np.int8), cell_level=3, buffer_m=100.0)) == 0


# A buffer around what is held out


def metres_between(tile: Tile, cell: Tile) -> float:
    """The larger of the distances along columns and rows, at the latitude of the tile, on a world that goes round."""
    side_m = 2 * np.pi * 6_378_137.0
    scale = np.cos(np.radians(Tile(tile.level, tile.x, tile.y).centre[1]))

    def gap(low: float, high: float, other_low: float, other_high: float) -> float:
        return max(other_low - high, low - other_high, 0.0)

    def edges(place: int, level: int) -> tuple[float, float]:
        return place / 2**level, (place + 1) / 2**level

    across = min(
        gap(*edges(tile.x, tile.level), *(edge + turn for edge in edges(cell.x, cell.level))) for turn in (-1, 0, 1)
    )
    along = gap(*edges(tile.y, tile.level), *edges(cell.y, cell.level))
    return max(across, along) * side_m * scale


@given(st.integers(0, 2**32 - 1), st.floats(10.0, 60_000.0), st.sampled_from([0, 30, 255]))
def test_training_tiles_nearer_than_the_buffer_are_found(seed: int, buffer_m: float, column: int):
    """Beside the antimeridian (columns 0 and 255 of level 8) as anywhere."""
    draws = np.random.default_rng(seed)
    tiles = []
    for _ in range(60):
        level = int(draws.integers(8, 12))
        side = 2 ** (level - 8)
        x = (column * side + int(draws.integers(-2 * side, 3 * side))) % 2**level
        tiles.append(Tile(level, x, 60 * side + int(draws.integers(0, 3 * side))))
    level, x, y = columns(tiles)
    split = split_codes(level, x, y, cell_level=8, splits=Splits(validation=0.3, test=0.2, seed=seed % 1000))
    found = near_held_out(level, x, y, split, cell_level=8, buffer_m=buffer_m)
    held = {
        Tile(8, tile.x >> (tile.level - 8), tile.y >> (tile.level - 8))
        for tile, code in zip(tiles, split, strict=True)
        if code
    }
    for tile, code, near in zip(tiles, split, found, strict=True):
        distance = min((metres_between(tile, cell) for cell in held), default=np.inf)
        if code or distance > buffer_m * (1 + 1e-9):
            assert not near
        elif distance < buffer_m * (1 - 1e-9):
            assert near
