"""Families of tiles (levels_paired) beside limits and duplicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_imagery import texture, write_recipe, write_scene

import git10m
from git10m.errors import RecipeError


def test_a_limit_would_tear_families_apart_and_is_refused(tmp_path: Path) -> None:
    write_scene(tmp_path / "imagery" / "sheet.tif", size=1200)
    recipe = write_recipe(tmp_path / "recipe.toml", tiles="levels_paired = true")
    with pytest.raises(RecipeError, match="limit of 3 tiles would tear apart"):
        git10m.build(recipe, output=tmp_path / "dataset", variables={"imagery": str(tmp_path / "imagery")}, limit=3)


def test_a_tile_does_not_yield_to_a_copy_that_goes_for_want_of_its_family(tmp_path: Path) -> None:
    """Flat tiles are equal bytes; the ones that stay are those whose parents and children stay."""
    pixels = texture(1200, 1200)
    pixels[:, :, 600:] = 90
    write_scene(tmp_path / "imagery" / "sheet.tif", pixels=np.ascontiguousarray(pixels))
    recipe = write_recipe(tmp_path / "recipe.toml", tiles="levels_paired = true")
    dataset = git10m.build(recipe, output=tmp_path / "dataset", variables={"imagery": str(tmp_path / "imagery")})
    kept = {tuple(int(part) for part in name.split("_")) for name in dataset.index["Google_location"]}
    for level, x, y in kept:
        if level == 14:
            children = {(15, 2 * x + right, 2 * y + down) for right in (0, 1) for down in (0, 1)}
            assert children <= kept
        else:
            assert (14, x // 2, y // 2) in kept
