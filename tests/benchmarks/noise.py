"""Noise of the plane measured against torch.randn in the same run.

    python tests/benchmarks/noise.py [--rounds N]

Values a second of ``text2earth.noise.plane`` for windows as they are painted, on the grid of its cells and between
them, and for a large window; medians of interleaved rounds. torch's generator is sequential, so that threads change
little; both counts are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from text2earth.noise import plane
from text2earth.world import Box

BOXES = {
    "64² px, on the grid of cells": Box(-(1 << 29), 64, 64, 64),
    "64² px, between cells": Box(16, -48, 64, 64),
    "256² px": Box(256, 512, 256, 256),
    "1,024² px": Box(1 << 29, 0, 1024, 1024),
}
VALUES = 6_000_000
"""Drawn in a round."""


def seconds(work: Callable[[], object], *, times: int) -> float:
    """Return the seconds of one call, of so many."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def compare(box: Box, *, rounds: int) -> tuple[float, float, float]:
    """Return millions of values a second of ours and of torch's, and the median of their ratios."""
    count = 3 * box.width * box.height
    ours, theirs = [], []
    for _ in range(rounds):
        times = max(1, VALUES // count)
        ours.append(seconds(lambda: plane(box, seed=1, stage=0, round=0, level=14, channels=3), times=times))
        theirs.append(seconds(lambda: torch.randn(3, box.height, box.width), times=times))
    ratios = [torchs / own for own, torchs in zip(ours, theirs, strict=True)]
    return count / statistics.median(ours) / 1e6, count / statistics.median(theirs) / 1e6, statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        print(f"{threads} thread{'s' if threads > 1 else ''}")
        for name, box in BOXES.items():
            compare(box, rounds=1)  # the table, caches
            ours, theirs, ratio = compare(box, rounds=rounds)
            print(f"  {name:30} {ours:6.0f} M values/s, torch.randn {theirs:6.0f}; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
