"""Cutting tiles from a cloud-optimised GeoTIFF over HTTP, against rio-tiler opened per tile; and two cores against one.

    python tests/benchmarks/remote_raster.py [--size 9216] [--rounds 3] [--delay-ms 0]

A server on loopback (a process of its own) answers ranges, each after the delay. Every run is a process of its own,
so that no cache of GDAL's is warm; time is taken from its first request to its last tile, imports left out. Both
sides cut the same tiles at the native level, bilinear. Scaling is the time of one process over that of two which
share the tiles, as the build shares its units; a loop of arithmetic in as many processes says what the machine's
second core is worth.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from rasterio.shutil import copy as copy_raster
from tiling import LEVEL, write_raster

SERVER = """
import asyncio, sys
from aiohttp import web

delay_s = float(sys.argv[3]) / 1000

@web.middleware
async def late(request, handler):
    await asyncio.sleep(delay_s)
    return await handler(request)

app = web.Application(middlewares=[late] if delay_s else [])
app.router.add_static("/", sys.argv[1])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=None, access_log=None)
"""


def tiles_of(raster: Path) -> list[tuple[int, int]]:
    """List the tiles that lie wholly on a raster, block by block, as a build orders them."""
    import mercantile
    import shapely

    from git10m.sources.raster import footprint

    scene = footprint(str(raster)).buffer(-1e-4)
    found = mercantile.tiles(*scene.bounds, LEVEL)
    inside = [(tile.x, tile.y) for tile in found if scene.contains(shapely.box(*mercantile.bounds(tile)))]
    return sorted(inside, key=lambda at: (at[1] // 8, at[0] // 8, at[1], at[0]))


def ours(address: str, folder: Path, mine: list[tuple[int, int]]) -> int:
    """Describe the file and cut its tiles in blocks, as a worker of the build does."""
    from git10m.building.inputs import gather
    from git10m.building.workspace import Workspace
    from git10m.grid import Tile
    from git10m.recipe import parse_recipe
    from git10m.sources import Request, Sample

    recipe = parse_recipe(f"""
        name = "remote"
        tiles.levels = [{LEVEL}]
        source = [{{ id = "raster", path = "{address}", resampling = "bilinear" }}]
    """)
    inputs = gather(recipe, root=folder, workspace=Workspace(folder / f"build{os.getpid()}"))
    results = inputs.imagery.read([Request(Tile(LEVEL, x, y), 0) for x, y in mine])
    return sum(isinstance(result, Sample) for result in results)


def rio_tiler(address: str, folder: Path, mine: list[tuple[int, int]]) -> int:
    """Open the file anew for each tile."""
    from rio_tiler.io import Reader

    for x, y in mine:
        with Reader(address) as reader:
            reader.tile(x, y, LEVEL, tilesize=256, resampling_method="bilinear", reproject_method="bilinear")
    return len(mine)


def arithmetic(address: str, folder: Path, mine: list[tuple[int, int]]) -> int:
    """Count in Python, which needs a core and nothing else."""
    total = 0
    for i in range(50_000 * len(mine)):
        total += i & 3
    return len(mine)


CONTENDERS = {"git10m": ours, "rio-tiler": rio_tiler, "arithmetic": arithmetic}


def child(name: str, address: str, folder: Path, part: int, parts: int) -> None:
    """Run a contender on its share of the tiles, and print how many it cut, and seconds."""
    import rio_tiler.io  # noqa: F401 - what is imported is not timed

    warnings.simplefilter("ignore")
    tiles = json.loads((folder / "tiles.json").read_text())
    mine = tiles[len(tiles) * part // parts : len(tiles) * (part + 1) // parts]
    start = time.perf_counter()
    count = CONTENDERS[name](address, folder, mine)
    print(json.dumps([count, time.perf_counter() - start]))


def seconds(name: str, address: str, folder: Path, *, processes: int = 1) -> tuple[int, float]:
    """Run a contender in processes of its own; return tiles and the longest of their times."""
    order = [sys.executable, __file__, "--child", name, "--address", address, "--folder", str(folder)]
    children = [
        subprocess.Popen([*order, "--part", str(part), "--parts", str(processes)], stdout=subprocess.PIPE, text=True)
        for part in range(processes)
    ]
    said = [json.loads(process.communicate()[0]) for process in children]
    return sum(count for count, _ in said), max(took for _, took in said)


def main() -> None:
    """Measure in turns and print ratios of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=9216)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--port", type=int, default=18082)
    for name, kind in (("child", str), ("address", str), ("folder", Path), ("part", int), ("parts", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.child:
        child(said.child, said.address, said.folder, said.part, said.parts)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "served").mkdir()
        write_raster(folder / "plain.tif", width=said.size, height=said.size)
        copy_raster(folder / "plain.tif", folder / "served/scene.tif", driver="COG", COMPRESS="DEFLATE")
        (folder / "tiles.json").write_text(json.dumps(tiles_of(folder / "served/scene.tif")))
        order = [sys.executable, "-c", SERVER, str(folder / "served"), str(said.port), str(said.delay_ms)]
        server = subprocess.Popen(order)
        time.sleep(2)
        address = f"http://127.0.0.1:{said.port}/scene.tif"
        runs = [("git10m", 1), ("rio-tiler", 1), ("git10m", 2), ("arithmetic", 1), ("arithmetic", 2)]
        times: dict[tuple[str, int], list[float]] = {run: [] for run in runs}
        counts = {}
        try:
            for _ in range(said.rounds):
                for name, processes in runs:
                    counts[name], took = seconds(name, address, folder, processes=processes)
                    times[name, processes].append(took)
        finally:
            server.terminate()
    assert counts["git10m"] == counts["rio-tiler"], counts
    medians = {run: statistics.median(found) for run, found in times.items()}
    for (name, processes), took in medians.items():
        spread = f"{min(times[name, processes]):.2f}–{max(times[name, processes]):.2f}"
        rate = f"{counts[name] / took:7.1f} tiles/s" if name != "arithmetic" else ""
        print(f"{name:12} {processes} process{'es' if processes > 1 else '  '} {took:6.2f} s ({spread}) {rate}")
    scaling = medians["git10m", 1] / medians["git10m", 2]
    core = medians["arithmetic", 1] / medians["arithmetic", 2]
    result = {
        "tiles": counts["git10m"],
        "ratio": round(medians["rio-tiler", 1] / medians["git10m", 1], 2),
        "scaling": round(scaling, 2),
        "scaling of arithmetic": round(core, 2),
        "of it": round(scaling / core, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
