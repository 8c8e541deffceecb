"""Splits by whole parent cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from git10m.curation.splits import SPLITS, cell_split, split_codes, unplaced_split
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
