"""Fetching tiles from a server beside img2dataset: the whole command, start-up included, the same bytes kept.

    python tests/benchmarks/fetching.py [--tiles 5000] [--rounds 3]

A server on loopback (a process of its own) gives JPEGs of 256 px. ``git10m build --fetch-only`` keeps them in its
store; img2dataset writes them to parquet without re-encoding. Both run two processes with as many connections, and no
limits. A third figure is the whole ``git10m build``: fetched, measured, scored, hashed, compared, captioned, indexed,
with its report.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

SERVER = """
import sys
from pathlib import Path
from aiohttp import web

pictures = [path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.jpg"))]

async def tile(request):
    z, x, y = (int(request.match_info[name]) for name in "zxy")
    body = pictures[(y * 100 + x) % len(pictures)] + x.to_bytes(4) + y.to_bytes(4)
    return web.Response(body=body, content_type="image/jpeg")

app = web.Application()
app.router.add_get("/{z}/{x}/{y}.jpg", tile)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=None, access_log=None)
"""
LEVEL, X, Y = 16, 34000, 22000
CONNECTIONS = 16


def pictures(folder: Path, count: int) -> None:
    """Write JPEGs of some 15 kB, as tiles of imagery have, no two alike: copies would be dropped as such."""
    folder.mkdir()
    for seed in range(count):
        draws = np.random.default_rng(seed)
        small = Image.fromarray(draws.integers(40, 220, (48, 48, 3), dtype=np.uint8)).resize(
            (256, 256), Image.Resampling.BICUBIC
        )
        buffer = io.BytesIO()
        small.save(buffer, "jpeg", quality=85)
        (folder / f"{seed:06d}.jpg").write_bytes(buffer.getvalue())


def recipe(folder: Path, port: int, side: tuple[int, int]) -> Path:
    """Write the recipe of a build of side[0] × side[1] tiles."""
    from git10m.grid import Tile

    west, _, _, north = Tile(LEVEL, X, Y).bounds
    _, south, east, _ = Tile(LEVEL, X + side[0] - 1, Y + side[1] - 1).bounds
    path = folder / "recipe.toml"
    path.write_text(
        f'name = "fetching"\n[region]\nbbox = [{west!r}, {south!r}, {east!r}, {north!r}]\n[tiles]\nlevels = [{LEVEL}]\n'
        f'[[source]]\nid = "tiles"\nkind = "xyz"\nurl = "http://127.0.0.1:{port}/{{z}}/{{x}}/{{y}}.jpg"\n'
        f'contact = "benchmark@example.org"\nrate = 0\nconnections = {CONNECTIONS}\n',
        encoding="utf-8",
    )
    return path


def ours(folder: Path, made: Path, *how: str) -> tuple[float, int]:
    """Return seconds and tiles kept."""
    out = folder / "ours"
    shutil.rmtree(out, ignore_errors=True)
    script = Path(sys.executable).with_name("git10m")
    order = [str(script), "build", str(made), "--output", str(out), "--workers", "2", *how]
    seconds = timed(order)
    with sqlite3.connect(out / "work/sources/tiles/answers.sqlite") as store:
        (count,) = store.execute("SELECT count(*) FROM answers WHERE status = 200").fetchone()
    return seconds, int(count)


def peer(folder: Path, port: int, side: tuple[int, int]) -> tuple[float, int]:
    """Return seconds and images kept."""
    out, listed = folder / "peer", folder / "urls.txt"
    shutil.rmtree(out, ignore_errors=True)
    places = [(X + i, Y + j) for j in range(side[1]) for i in range(side[0])]
    listed.write_text("".join(f"http://127.0.0.1:{port}/{LEVEL}/{x}/{y}.jpg\n" for x, y in places), encoding="utf-8")
    order = [str(Path(sys.executable).with_name("img2dataset")), "--url_list", str(listed), "--output_folder", str(out)]
    order += ["--output_format", "parquet", "--processes_count", "2", "--thread_count", str(CONNECTIONS)]
    order += [
        "--resize_mode",
        "no",
        "--disable_all_reencoding",
        "True",
        "--number_sample_per_shard",
        "1000",
        "--retries",
        "0",
    ]
    seconds = timed(order)
    kept = sum(
        table["status"].to_pylist().count("success")
        for table in (pq.read_table(file, columns=["status"]) for file in out.glob("*.parquet"))
    )
    return seconds, kept


def timed(order: list[str]) -> float:
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}
    start = time.perf_counter()
    subprocess.run(order, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure in turns and print the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=18081)
    said = parser.parse_args()
    side = (100, said.tiles // 100)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pictures(folder / "pictures", said.tiles)
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(folder / "pictures"), str(said.port)])
        try:
            time.sleep(2)
            made = recipe(folder, said.port, side)
            times: dict[str, list[float]] = {"git10m --fetch-only": [], "img2dataset": [], "git10m, whole build": []}
            for _ in range(said.rounds):
                for name, (seconds, kept) in (
                    ("git10m --fetch-only", ours(folder, made, "--fetch-only")),
                    ("img2dataset", peer(folder, said.port, side)),
                    ("git10m, whole build", ours(folder, made)),
                ):
                    assert kept == side[0] * side[1], f"{name} kept {kept} of {side[0] * side[1]}"
                    times[name].append(seconds)
        finally:
            server.terminate()
    medians = {name: statistics.median(found) for name, found in times.items()}
    for name, found in times.items():
        spread = f"{min(found):.2f}–{max(found):.2f}"
        print(f"{name:19} {medians[name]:6.2f} s ({spread}), {side[0] * side[1] / medians[name]:7.0f} tiles/s")
    ratio = medians["img2dataset"] / medians["git10m --fetch-only"]
    print(json.dumps({"tiles": side[0] * side[1], "ratio": round(ratio, 2), **medians}))


if __name__ == "__main__":
    main()
