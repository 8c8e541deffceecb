"""How well the quality score orders degraded copies of real tiles, and what it costs.

    GIT10M_IMAGERY=… python tests/benchmarks/quality.py [--each 4]

Each tile is degraded in five ways and three strengths; a pair of neighbouring strengths, the tile as it is among them,
is in order when the stronger fault scores lower. Beside it the measure that most pipelines stop at, the variance of
the Laplacian.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from real_tiles import real_tiles

from git10m.curation.degradations import add_haze, add_noise, as_jpeg, blurred, reduced
from git10m.curation.quality import measure

FAMILIES: dict[str, tuple[Callable[..., np.ndarray], tuple[float, ...]]] = {
    "blur, σ in px": (blurred, (1.0, 2.0, 4.0)),
    "noise, σ in grey levels": (lambda pixels, sigma: add_noise(pixels, sigma, seed=1), (8.0, 16.0, 32.0)),
    "JPEG, quality": (as_jpeg, (40, 20, 10)),
    "haze, share": (add_haze, (0.2, 0.4, 0.6)),
    "reduced and enlarged": (reduced, (2, 4, 8)),
}
GIT10M_CUT = 4.8


def scores(pixels: np.ndarray) -> tuple[float, float]:
    """Return the score, and the variance of the Laplacian."""
    measures = measure(pixels, np.ones(pixels.shape[:2], dtype=bool))
    assert measures.score is not None
    return measures.score, measures.sharpness**2


def in_order(ladders: list[list[float]]) -> float:
    """Return the share of neighbouring strengths of which the stronger scores lower."""
    pairs = [pair for ladder in ladders for pair in itertools.pairwise(ladder)]
    return sum(better > worse for better, worse in pairs) / len(pairs)


def main() -> None:
    """Print the median scores and the share in order of each family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=4, help="windows of each raster")
    said = parser.parse_args()
    if "GIT10M_IMAGERY" not in os.environ:
        parser.error("GIT10M_IMAGERY must name a folder of real imagery")
    tiles = [pixels for _, pixels in real_tiles(Path(os.environ["GIT10M_IMAGERY"]), each=said.each)]
    start = time.perf_counter()
    clean = [scores(pixels) for pixels in tiles]
    spent = (time.perf_counter() - start) / len(tiles)
    own = [score for score, _ in clean]
    above = sum(score >= GIT10M_CUT for score in own) / len(own)
    print(f"{len(tiles)} tiles, {1000 * spent:.2f} ms each; median {statistics.median(own):.1f}, ≥ 4.8: {above:.0%}")
    print("| family | medians | in order | Laplacian in order |\n|---|---|---|---|")
    for name, (degrade, strengths) in FAMILIES.items():
        ladders = [
            [first, *(scores(degrade(pixels, strength)) for strength in strengths)]
            for pixels, first in zip(tiles, clean, strict=True)
        ]
        columns = zip(*([score for score, _ in ladder] for ladder in ladders), strict=True)
        medians = " → ".join(f"{statistics.median(column):.1f}" for column in columns)
        ours, plain = (in_order([[pair[i] for pair in ladder] for ladder in ladders]) for i in (0, 1))
        print(f"| {name}: {', '.join(f'{s:g}' for s in strengths)} | {medians} | {ours:.1%} | {plain:.1%} |")


if __name__ == "__main__":
    main()
