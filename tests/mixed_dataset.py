"""A built dataset of several licences: free, free of derivatives, and not stated, mosaicked and alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_imagery import built, texture, write_recipe, write_scene

SOURCES = """
attribution = "The open survey | <b>"
[[source]]
id = "closed"
path = "${imagery}/../closed"
licence = "Creative Commons BY-NC-ND 4.0"
attribution = "The closed survey"
[[source]]
id = "nameless"
path = "${imagery}/../nameless"
layer = "nameless"
date_pattern = '(\\d{8})\\.tif$'
[[source]]
id = "sentinel"
path = "${imagery}/../sentinel"
layer = "sentinel"
licence = "Copernicus Sentinel data terms (free, full and open)"
attribution = "Contains modified Copernicus Sentinel data"
platform = "satellite"
sensor = "Sentinel-2"
date_pattern = '(\\d{8})\\.tif$'
"""


def build_mixed(folder: Path) -> Path:
    """Build it: 'survey' (CC0) and 'closed' (ND) fill each other, the others have layers of their own."""
    write_scene(folder / "imagery/west.tif", size=1100, seed=1)
    write_scene(folder / "closed/east.tif", pixels=texture(1100, 1100, seed=2), east_px=900)
    write_scene(folder / "nameless/a_20200314.tif", size=700, seed=3)
    write_scene(folder / "sentinel/b_20210704.tif", size=900, seed=4)
    write_recipe(folder / "recipe.toml", tiles="min_valid = 0.99", source=SOURCES, more="")
    assert built(folder, folder / "dataset") is not None
    return folder / "dataset"


@pytest.fixture(scope="session")
def mixed_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset; shared by tests, so none of them changes it."""
    return build_mixed(tmp_path_factory.mktemp("mixed"))
