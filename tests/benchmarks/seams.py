"""Seams, repetition and sharpness of the modes of unbounded painting, beside a real image.

    python tests/benchmarks/seams.py MODEL [--real REAL.tif] [--size 1024] [--steps N] [--keep DIR]

MODEL is a folder or name of a cascade, or ``analytic``: a network without weights that shows what each mode does with
windows that do not quite agree. Every mode paints the same square of the finest level, from the same seed; the table
has the modes as columns, and with ``--real`` the same measures of a real image (its middle, of the same size).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from text2earth.evaluation import Measures, measure_seams
from text2earth.evaluation.strips import opened
from text2earth.world import Box, World, WorldModel, WorldSettings

MODES = ("metaearth", "trimmed", "tent", "fused")


def analytic() -> WorldModel:
    """Return a model of one stage whose network costs next to nothing."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from small_networks import AnalyticNetwork

    return WorldModel(AnalyticNetwork(), "analytic", (12,), 4)


def real_pixels(path: Path, size: int) -> np.ndarray:
    """Return the middle of a real image."""
    with opened(path) as canvas:
        if min(canvas.height, canvas.width) < size:
            sys.exit(f"{path} is {canvas.width}×{canvas.height} px; give --size of at most its smaller side")
        return canvas.read((canvas.height - size) // 2, (canvas.width - size) // 2, size, size)[0]


def rows_of(found: dict[str, Measures], seconds: dict[str, float]) -> list[tuple[str, ...]]:
    """Return the table's rows."""
    rows = [("", *found)]
    for number, seam in enumerate(next(iter(found.values())).seams):
        told = [each.seams[number] for each in found.values()]
        marks = (f"{each.ratio:.3f} {'in' if each.is_inside else 'OUT'}" for each in told)
        rows.append((f"{seam.axis}, {seam.kind}: ratio", *marks))
        rows.append(("  wave of the stride", *(f"{each.modulation:.3f}" for each in told)))
    for number, each in enumerate(next(iter(found.values())).repetitions):
        scores = (f"{one.repetitions[number].score:+.4f}" for one in found.values())
        rows.append((f"{each.axis}, repetition at {each.lag}", *scores))
    rows.append(("high-pass energy", *(f"{each.high_pass_energy:.6f}" for each in found.values())))
    rows.append(("slope of the spectrum", *(f"{each.spectral_slope:.2f}" for each in found.values())))
    rows.append(("seconds", *(f"{seconds[name]:.0f}" if name in seconds else "" for name in found)))
    return rows


def main() -> None:
    """Paint, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prompt", default="")
    parser.add_argument("--keep", type=Path, help="folder for the pictures")
    said = parser.parse_args()
    model = analytic() if said.model == "analytic" else World.open(said.model).model
    stride = model.network.window // 2
    found: dict[str, Measures] = {}
    seconds: dict[str, float] = {}
    for mode in MODES:
        settings = WorldSettings(mode=mode, steps=said.steps, threads=1)
        world = World.open(model, seed=said.seed, prompt=said.prompt, settings=settings)
        half = 128 << world.maxzoom
        start = time.perf_counter()
        # off the block grid of the tiles, on that of the windows
        canvas = world.region(world.maxzoom, Box(half - said.size // 2, half - said.size // 2, said.size, said.size))
        seconds[mode] = time.perf_counter() - start
        found[mode] = measure_seams(canvas, stride=stride, offset=-(half - said.size // 2) % stride)
        if said.keep:
            said.keep.mkdir(parents=True, exist_ok=True)
            Image.fromarray(canvas).save(said.keep / f"{mode}.png")
        print(f"{mode}: {seconds[mode]:.0f} s", file=sys.stderr, flush=True)
    if said.real:
        found["real"] = measure_seams(real_pixels(said.real, said.size), stride=stride)
    rows = rows_of(found, seconds)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"{said.model}, {said.size}×{said.size} px, level {world.maxzoom}, seams every {stride} px")
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


if __name__ == "__main__":
    main()
