"""Memory and time of planning ten million tiles.

    python tests/benchmarks/planning.py [--tiles 10000000]

``git10m plan`` of a tile server over a square of one level, and the same with a sample taken of it; the peak is that of
the whole process.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import resource, sys, time
from pathlib import Path
from git10m.planning import look_ahead, write_plan
from git10m.recipe import load_recipe

start = time.perf_counter()
recipe, folder = Path(sys.argv[1]), Path(sys.argv[2])
outlook, _, plan = look_ahead(load_recipe(recipe), root=recipe.parent, folder=folder)
write_plan(outlook, plan, folder / "plan.html", name="planning")
print(outlook.tiles, round(time.perf_counter() - start, 2), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
LEVEL = 14


def recipe(folder: Path, tiles: int, sampling: str) -> Path:
    """Write a recipe over a square of about so many tiles."""
    from git10m.grid import Tile

    side = math.isqrt(tiles)
    west, _, _, north = Tile(LEVEL, 8000, 5000).bounds
    _, south, east, _ = Tile(LEVEL, 8000 + side - 1, 5000 + side - 1).bounds
    path = folder / "recipe.toml"
    path.write_text(
        f'name = "planning"\n[region]\nbbox = [{west!r}, {south!r}, {east!r}, {north!r}]\n[tiles]\nlevels = [{LEVEL}]\n'
        f'[[source]]\nid = "tiles"\nkind = "xyz"\nurl = "http://127.0.0.1:9/{{z}}/{{x}}/{{y}}.jpg"\n'
        f'contact = "benchmark@example.org"\n[sampling]\n{sampling}\n',
        encoding="utf-8",
    )
    return path


def main() -> None:
    """Print tiles, seconds and MiB of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=10_000_000)
    said = parser.parse_args()
    found = {}
    for name, sampling in (
        ("all", ""),
        ("random", 'method = "random"\nshare = 0.5'),
        ("major_tom", 'method = "major_tom"'),
    ):
        with tempfile.TemporaryDirectory() as scratch:
            made = recipe(Path(scratch), said.tiles, sampling)
            order = [sys.executable, "-c", CHILD, str(made), scratch]
            out = subprocess.run(order, check=True, capture_output=True, text=True).stdout.split()
            found[name] = {"tiles": int(out[0]), "seconds": float(out[1]), "peak_mib": int(out[2])}
            print(f"{name:10} {int(out[0]):>11,} tiles {float(out[1]):6.1f} s {int(out[2]):5d} MiB")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
