"""Rasters of the whole Earth, in both ways of counting longitudes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio import Affine

import git10m


@pytest.mark.parametrize("first_lon", [-180.0, 0.0])
def test_every_tile_shows_its_own_longitude(first_lon: float, tmp_path: Path) -> None:
    """Red rises from 0 at the antimeridian to 255 around the globe, whichever longitude the file begins with."""
    width, height = 2048, 1024
    lon = (first_lon + (np.arange(width) + 0.5) * 360.0 / width + 180.0) % 360.0
    pixels = np.full((3, height, width), 128, dtype=np.uint8)
    pixels[0] = np.round(lon / 360.0 * 255.0)[None]
    pixels[1] = np.linspace(20, 230, height)[:, None]  # north and south differ, or they would be duplicates
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 3, "dtype": "uint8", "crs": "EPSG:4326"}
    transform = Affine(360.0 / width, 0.0, first_lon, 0.0, -180.0 / height, 90.0)
    with rasterio.open(tmp_path / "earth.tif", "w", **profile, transform=transform, photometric="RGB") as file:
        file.write(pixels)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('name = "earth"\n[tiles]\nlevels = [2]\n[[source]]\nid = "earth"\npath = "earth.tif"\n')
    dataset = git10m.build(recipe, output=tmp_path / "dataset")
    assert {(row["x"], row["y"]) for row in dataset} == {(x, y) for x in range(4) for y in (1, 2)}
    for row in dataset:
        expected = (row["lon"] + 180.0) / 360.0 * 255.0
        assert np.asarray(row["image"], dtype=float)[..., 0].mean() == pytest.approx(expected, abs=1.5)
