"""Tiles a second and peak memory of cutting tiles, against a plain rio-tiler loop.

    python tests/benchmarks/tiling.py [--size 4096] [--rounds 5]

Both sides cut the same tiles, at the native level of one generated UTM GeoTIFF, with the same resampling and the
same encoding (Pillow JPEG, quality 95, 4:4:4), in one process, by turns in the same run; medians are compared.
Memory is the peak resident set of whole builds in processes of their own, with N and about 8N tiles.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from rio_tiler.errors import NoOverviewWarning
from rio_tiler.io import Reader

from git10m.building.inputs import gather
from git10m.building.workspace import Workspace
from git10m.curation.quality import measure
from git10m.grid import gsd_m
from git10m.metadata import encode, row_of
from git10m.recipe import Recipe, parse_recipe
from git10m.sampling import plan_tiles
from git10m.sources import Request, Sample
from git10m.sources.collection import Collection

LON, LAT, LEVEL = 14.95, 50.0, 16
NATIVE_M = float(gsd_m(LEVEL, LAT)) / 0.95
"""Native pixels a little coarser than those of the level, so that it is the finest that is supported."""


@dataclass(frozen=True)
class Work:
    """One raster, and the tiles that lie wholly on it, in the order of a build."""

    path: Path
    recipe: Recipe
    imagery: Collection
    requests: tuple[Request, ...]


def write_raster(path: Path, *, width: int, height: int) -> None:
    """Write hills, parcels and grain as an RGB GeoTIFF (512-px blocks, deflate) in UTM 33N, strip by strip."""
    x, y = pyproj.Transformer.from_crs("OGC:CRS84", "EPSG:32633", always_xy=True).transform(LON, LAT)
    rng = np.random.default_rng(1)
    profile = {"driver": "GTiff", "count": 3, "width": width, "height": height, "dtype": "uint8", "photometric": "RGB"}
    blocks = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    place = {"crs": "EPSG:32633", "transform": from_origin(x, y, NATIVE_M, NATIVE_M)}
    with rasterio.open(path, "w", **profile, **blocks, **place) as file:
        for top in range(0, height, 512):
            rows, columns = np.mgrid[top : min(top + 512, height), 0:width].astype(np.float32) / 60.0
            hills = np.sin(columns + np.cos(rows * 0.7)) + np.sin(rows * 1.3 + np.sin(columns * 0.4))
            parcels = (np.floor(columns) * 7 + np.floor(rows) * 13) % 5
            bands = np.stack([110 + 25 * hills + (6 - 5 * band) * parcels + 12 * band for band in range(3)])
            strip = np.clip(bands + rng.integers(-9, 10, bands.shape), 1, 255).astype(np.uint8)
            file.write(strip, window=((top, top + strip.shape[1]), (0, width)))


def recipe_of(path: Path) -> str:
    """Return the recipe of a build that cuts the raster at its native level."""
    return f"""
        name = "tiling"
        tiles.levels = [{LEVEL}]
        output.row_group_rows = 100
        source = [{{ id = "raster", path = "{path}", resampling = "bilinear" }}]
    """


def prepare(path: Path) -> Work:
    """Plan the raster as a build does, and keep the tiles without a pixel outside it."""
    recipe = parse_recipe(recipe_of(path))
    inputs = gather(recipe, root=path.parent, workspace=Workspace(path.parent / "build"))
    plan = plan_tiles(inputs.imagery, recipe.tiles)
    results = inputs.imagery.read(list(plan.requests(0, len(plan))))
    whole = tuple(result.request for result in results if isinstance(result, Sample) and result.valid.all())
    return Work(path, recipe, inputs.imagery, whole)


def ours_cut_and_encoded(work: Work) -> None:
    """Cut and encode, nothing else: what the loop below does."""
    for sample in work.imagery.read(work.requests):
        assert isinstance(sample, Sample)
        encode(sample.pixels, work.recipe.image)


def ours_whole_pass(work: Work) -> None:
    """Cut, measure, hash, encode and make a row: all that the first pass does but writing it."""
    for sample in work.imagery.read(work.requests):
        assert isinstance(sample, Sample)
        row_of(sample, measure(sample.pixels, sample.valid), layer="imagery", image=work.recipe.image)


def ours_cut(work: Work) -> None:
    """Cut only."""
    for _ in work.imagery.read(work.requests):
        pass


def plain_loop(work: Work, *, encoded: bool = True) -> None:
    """Cut tile by tile with rio-tiler, the reader opened once."""
    with Reader(str(work.path)) as reader:
        for request in work.requests:
            tile = request.tile
            image = reader.tile(
                tile.x, tile.y, tile.level, tilesize=256, resampling_method="bilinear", reproject_method="bilinear"
            )
            pixels = np.ascontiguousarray(np.moveaxis(image.data, 0, -1))
            if encoded:
                Image.fromarray(pixels).save(io.BytesIO(), "jpeg", quality=95, subsampling=0)


def loop_cut(work: Work) -> None:
    """Cut only, with rio-tiler."""
    plain_loop(work, encoded=False)


CONTENDERS: dict[str, Callable[[Work], None]] = {
    "git10m cut": ours_cut,
    "rio-tiler cut": loop_cut,
    "git10m cut + encode": ours_cut_and_encoded,
    "rio-tiler cut + encode": plain_loop,
    "git10m whole first pass": ours_whole_pass,
}


def race(work: Work, rounds: int) -> dict[str, float]:
    """Return the median tiles a second of each contender; they take turns, so that all see the same machine."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, run in CONTENDERS.items():
            start = time.perf_counter()
            run(work)
            seconds[name].append(time.perf_counter() - start)
    return {name: len(work.requests) / statistics.median(found) for name, found in seconds.items()}


CHILD = """
import json, resource, sys
from pathlib import Path
from git10m.building import build
from git10m.recipe import load_recipe
recipe, output = map(Path, sys.argv[1:])
manifest = build(load_recipe(recipe), root=recipe.parent, folder=output).manifest
peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([manifest["counts"]["planned"], peak_kib / 1024]))
"""


def peak_memory_mib(folder: Path, *, width: int, height: int) -> tuple[int, float]:
    """Return (planned tiles, peak resident MiB) of a whole build of one raster, in a process of its own."""
    raster, recipe = folder / f"{height}.tif", folder / f"{height}.toml"
    write_raster(raster, width=width, height=height)
    recipe.write_text(recipe_of(raster), encoding="utf-8")
    order = [sys.executable, "-c", CHILD, str(recipe), str(folder / f"dataset-{height}")]
    ended = subprocess.run(order, check=True, capture_output=True, text=True)
    planned, peak_mib = json.loads(ended.stdout.splitlines()[-1])
    return int(planned), float(peak_mib)


def main() -> None:
    """Run both measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096, help="pixels a side of the raster")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", NoOverviewWarning)  # neither side uses overviews at the native level
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_raster(folder / "raster.tif", width=asked.size, height=asked.size)
        work = prepare(folder / "raster.tif")
        rates = race(work, asked.rounds)
        print(f"{len(work.requests)} tiles of 256 px at level {LEVEL} from {asked.size}² px, median of {asked.rounds}")
        for contender, rate in rates.items():
            print(f"  {contender:26} {rate:7.1f} tiles/s")
        for ours, theirs in (
            ("git10m cut", "rio-tiler cut"),
            ("git10m cut + encode", "rio-tiler cut + encode"),
            ("git10m whole first pass", "rio-tiler cut + encode"),
        ):
            print(f"  {ours} / {theirs}: {rates[ours] / rates[theirs]:.2f}")
        few, peak_few = peak_memory_mib(folder, width=asked.size, height=2 * asked.size)
        many, peak_many = peak_memory_mib(folder, width=asked.size, height=16 * asked.size)
        print(f"peak memory of a build: {few} tiles {peak_few:.0f} MiB, {many} tiles {peak_many:.0f} MiB")


if __name__ == "__main__":
    main()
