"""Seconds and memory of the published restorer (23 blocks) on a 256-px tile, on one core, beside its plain forward.

    python tests/benchmarks/enhancement.py [--compile]

The weights are random: they change nothing about the time. A build runs one such thread a worker, so that N workers do
N times as much. Times are those of the processor (``time.process_time``), which others on the machine disturb little.
The peer is the same network called as it is, in torch's default layout: the well-kept package that has it (spandrel)
requires torchvision.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from git10m.curation.enhancement import open_restorer
from git10m.curation.rrdb import RRDBNet, RRDBShape
from git10m.curation.rrdb_weights import write_weights
from git10m.recipe import Enhancement


def timed(work: Callable[[], object], *, rounds: int) -> float:
    """Return the least processor seconds of some rounds, after one that is not counted."""
    work()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="also torch.compile, which takes minutes to begin")
    said = parser.parse_args()
    torch.set_num_threads(1)
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    given = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    print("| scale | what | s a tile | of the plain |\n|---|---|---|---|")
    for scale in (1, 2):
        torch.manual_seed(0)
        network = RRDBNet(RRDBShape(scale=scale)).eval()
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            path = Path(folder) / "random.safetensors"
            write_weights(network.state_dict(), path, shape=network.shape, note={})
            restorer = open_restorer(Enhancement(weights=str(path)))
            valid = np.ones((256, 256), dtype=bool)
            rows = {"plain forward (peer)": timed(lambda: network(given), rounds=said.rounds)}  # noqa: B023
            rows["git10m: channels last, mirrored border, whole tile to uint8"] = timed(
                lambda: restorer.restored(pixels, valid),  # noqa: B023
                rounds=said.rounds,
            )
            last = given.to(memory_format=torch.channels_last)
            network = network.to(memory_format=torch.channels_last)
            rows["channels last alone"] = timed(lambda: network(last), rounds=said.rounds)  # noqa: B023
            if said.compile:
                compiled = torch.compile(network)
                rows["channels last, compiled"] = timed(lambda: compiled(last), rounds=said.rounds)  # noqa: B023
            half = network.bfloat16()
            rows["channels last, bfloat16"] = timed(lambda: half(last.bfloat16()), rounds=said.rounds)  # noqa: B023
        plain = next(iter(rows.values()))
        for name, seconds in rows.items():
            print(f"| {scale} | {name} | {seconds:.2f} | {seconds / plain:.2f} |", flush=True)
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


if __name__ == "__main__":
    main()
