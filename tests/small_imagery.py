"""Small georeferenced rasters, recipes over them, and the command run in this process: what builds are tested on."""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from git10m.building import build
from git10m.cli import main
from git10m.recipe import load_recipe

LON, LAT = 14.95, 50.0
"""Where the scenes lie: level 15 is 3.07 m a pixel there, level 14 6.14 m."""
GSD_M = 3.5
"""Native pixels of the scenes: level 15 is the finest that they support."""

COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def texture(height: int, width: int, *, seed: int = 0, bands: int = 3) -> np.ndarray:
    """Hills, parcels and grain: uint8 (bands, height, width) in which no two tiles are alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / 40.0
    hills = np.sin(x + np.cos(y * 0.7 + seed)) + np.sin(y * 1.3 + np.sin(x * 0.4))
    parcels = (np.floor(x) * 7 + np.floor(y) * 13 + seed) % 5
    layers = [110 + 25 * hills + (6 - 5 * band) * parcels + 12 * band for band in range(bands)]
    grain = rng.integers(-9, 10, (bands, height, width))
    return np.clip(np.stack(layers) + grain, 1, 255).astype(np.uint8)


def write_scene(
    path: Path,
    *,
    pixels: np.ndarray | None = None,
    size: int = 600,
    seed: int = 0,
    gsd_m: float = GSD_M,
    east_px: int = 0,
    crs: str | None = "EPSG:32633",
    **profile: Any,
) -> Path:
    """Write a tiled GeoTIFF whose north-west corner lies at (LON, LAT), moved ``east_px`` pixels eastward."""
    data = texture(size, size, seed=seed) if pixels is None else pixels
    x, y = pyproj.Transformer.from_crs("OGC:CRS84", crs or "EPSG:32633", always_xy=True).transform(LON, LAT)
    options = {
        "driver": "GTiff",
        "count": data.shape[0],
        "height": data.shape[1],
        "width": data.shape[2],
        "dtype": data.dtype.name,
        "tiled": True,
        "blockxsize": 128,
        "blockysize": 128,
        "photometric": "RGB" if data.shape[0] >= 3 else "MINISBLACK",
        **profile,
    }
    if crs is not None:
        options |= {"crs": crs, "transform": from_origin(x + east_px * gsd_m, y, gsd_m, gsd_m)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **options) as file:
        file.write(data)
    return path


RECIPE = """
name = "small"
[tiles]
levels = [14, 15]
{tiles}
[[source]]
id = "survey"
path = "${{imagery}}"
licence = "CC0-1.0"
{source}
{more}
"""


def write_recipe(path: Path, *, tiles: str = "", source: str = "", more: str = "", top: str = "") -> Path:
    """Write a recipe over the variable ``imagery``, with lines added to its tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(top + RECIPE.format(tiles=tiles, source=source, more=more), encoding="utf-8")
    return path


DATES = r"date_pattern = '(\d{8})\.tif$'"
"""Line of a source whose files end in a date."""


def built(survey: Path, folder: Path, **options: Any) -> dict[str, Any] | None:
    """Build what ``survey/recipe.toml`` says of ``survey/imagery``; return the manifest, if it ended."""
    recipe = load_recipe(survey / "recipe.toml", variables={"imagery": str(survey / "imagery")})
    said = tomllib.loads((survey / "recipe.toml").read_text())
    result = build(recipe, root=survey, folder=folder, said=said, **options)
    return dict(result.manifest) if result.manifest is not None else None


TAKES_WORKERS = ("build", "caption", "publish", "verify")
"""Commands that share their work out over processes."""


@dataclass(frozen=True)
class Said:
    """What the command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of stdout."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def command(capfd: pytest.CaptureFixture[str], *arguments: object) -> Said:
    """Run ``git10m ARGUMENTS`` in this process, as the installed command would.

    Its work is done here too unless ``--workers`` is given: each step of a build would start processes of its own,
    which takes longer than all that these small builds do.
    """
    if arguments[0] in TAKES_WORKERS and not {"--workers", "--engine"} & set(arguments):
        arguments = (*arguments, "--workers", 1)
    capfd.readouterr()
    with patch.object(sys, "argv", ["git10m", *map(str, arguments)]), pytest.raises(SystemExit) as ended:
        main()
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err, captured.err
    return Said(int(ended.value.code or 0), captured.out, captured.err)


def promised(folder: Path) -> dict[str, str]:
    """Hashes of every file that contract 5 promises, by name, and of the card."""
    files = [*sorted((folder / "data").iterdir()), *(folder / name for name in PROMISED)]
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


PROMISED = ("index.parquet", "rejected.parquet", "manifest.json", "README.md")


@contextmanager
def small_units(rows: int = 4) -> Iterator[None]:
    """Let units of the first pass be as small as a block of 8×8 tiles, so that a small build has several."""
    with patch("git10m.building._LEAST_UNIT_ROWS", rows):
        yield


def total(counts: Mapping[str, Any]) -> int:
    """Return kept + dropped + failed of a manifest's or unit's counts."""
    return int(counts["kept"]) + sum(counts["dropped"].values()) + sum(counts["failed"].values())
