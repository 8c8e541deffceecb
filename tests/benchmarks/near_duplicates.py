"""Seconds and memory of the search for near hashes, and what it finds among planted copies.

    python tests/benchmarks/near_duplicates.py [--images 100000 1000000] [--queries 2000]

Hashes are drawn at random, with a copy of every hundredth that differs in up to 12 of 64 bits as copies of real tiles
do. The peer is faiss' exhaustive search with the same radius (``pip install faiss-cpu``; left out where it is not
there): it is asked for some of the images, and its time for all of them is reckoned from that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np

from git10m.curation.near_duplicates import Hashes, candidates

SEEN = (0, 2, 2, 2, 2, 4, 4, 4, 6, 6, 6, 8, 8)
"""Bits in which copies of real tiles differ, about as often as each is seen."""
RADIUS = 12


def drawn(images: int) -> tuple[Hashes, int]:
    """Return hashes of which the last hundredth are copies of the first, and how many those are."""
    draws = np.random.default_rng(0)
    coarse = draws.integers(0, 2**64, images, dtype=np.uint64)
    fine = draws.integers(0, 2**64, (images, 4), dtype=np.uint64)
    copies = images // 100
    fine[-copies:] = fine[:copies]
    for i in range(copies):
        flips = draws.choice(64, int(draws.choice(SEEN)), replace=False).astype(np.uint64)
        coarse[images - copies + i] = coarse[i] ^ np.bitwise_or.reduce(np.uint64(1) << flips, initial=np.uint64(0))
    return Hashes(coarse, fine), copies


def ours(images: int) -> dict[str, float]:
    """Run in a process of its own: seconds, recall, and MiB above what the hashes need."""
    import resource

    hashes, copies = drawn(images)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    left, right = candidates(hashes)
    seconds = time.perf_counter() - start
    found = int(((right - left) == images - copies).sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "recall": found / copies, "false": len(left) - found, "mib": (peak - before) / 1024}


def theirs(images: int, queries: int) -> float | None:
    """Return the seconds that faiss would take for all images."""
    try:
        import faiss
    except ImportError:
        return None
    codes = drawn(images)[0].coarse.view(np.uint8).reshape(-1, 8)
    index = faiss.IndexBinaryFlat(64)
    index.add(codes)
    start = time.perf_counter()
    index.range_search(codes[:queries], RADIUS + 1)
    return (time.perf_counter() - start) * images / queries


def main() -> None:
    """Print a line for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=2000, help="that the peer is asked")
    said = parser.parse_args()
    for images in said.images:
        code = f"import json, near_duplicates; print(json.dumps(near_duplicates.ours({images})))"
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=__file__.rpartition("/")[0], check=True, capture_output=True, text=True
        )
        own = json.loads(ran.stdout.splitlines()[-1])
        peer = theirs(images, said.queries)
        beside = f"{peer:.0f} s ({peer / own['seconds']:.0f} ×)" if peer is not None else "not installed"
        print(
            f"{images:,} images: {own['seconds']:.1f} s, {own['mib']:.0f} MiB beside the hashes "
            f"({own['mib'] * 2**20 / images:.0f} bytes an image), recall {own['recall']:.4f}, "
            f"{own['false']} false; faiss {beside}"
        )


if __name__ == "__main__":
    main()
