"""The server under load, beside a plain one: no coalescing, no batching, no memory.

    python tests/benchmarks/serving.py --seconds 60 --clients 64

Both paint the same world (a network that costs nothing, three stages) in processes of their own, without a cache on
disk. *Distinct*: every tile once. *Panning*: users who move over the same towns, a tile at a time. *Storm*: random
tiles of a pool of 2,000, a third of the requests cancelled; every answer is compared with the world's own pixels.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

PLAIN = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
import threading
import uvicorn
from fastapi import FastAPI, Response
from serve_small_world import FIRST, opener
from text2earth.provenance import Origin, encode
from text2earth.serving import listen

app, lock = FastAPI(), threading.Lock()
world = opener(None, memory_bytes=0)(FIRST)

@app.get("/tiles/{{z}}/{{x}}/{{y}}.png")
def tile(z: int, x: int, y: int) -> Response:
    with lock:
        pixels = world.tile(z, x, y)
    return Response(encode(pixels, "png", origin=Origin("plain", "", z, 7)), media_type="image/png")

with listen("127.0.0.1", 0) as listening:
    print(f"http://127.0.0.1:{{listening.getsockname()[1]}}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
"""


def panning(users: int, steps: int) -> list[list[str]]:
    """Walks of users over a small town: a screen of 3×2 tiles, a tile further at each step."""
    generator, walks = random.Random(1), []
    for _ in range(users):
        x, y, walk = 136 + generator.randrange(3), 90 + generator.randrange(3), []
        for _ in range(steps):
            walk += [f"/tiles/8/{x + a}/{y + b}.png" for a in range(3) for b in range(2)]
            x, y = x + generator.choice((-1, 0, 1)), y + generator.choice((-1, 0, 1))
        walks.append(walk)
    return walks


async def walk(url: str, walks: list[list[str]]) -> tuple[float, list[float]]:
    """Follow all walks at once; return tiles a second and how long each took."""
    times: list[float] = []

    async def follow(client: httpx.AsyncClient, paths: list[str]) -> None:
        for path in paths:
            start = time.perf_counter()
            (await client.get(url + path)).raise_for_status()
            times.append(time.perf_counter() - start)

    start = time.perf_counter()
    async with httpx.AsyncClient(timeout=900, limits=httpx.Limits(max_connections=None)) as client:
        await asyncio.gather(*(follow(client, paths) for paths in walks))
    return len(times) / (time.perf_counter() - start), times


async def storm(url: str, *, clients: int, seconds: float) -> tuple[list[float], dict[str, bytes], int, int]:
    """Ask at random for a while; return times, bytes by path, cancelled requests, and answers that differed."""
    times: list[float] = []
    seen: dict[str, bytes] = {}
    cancelled = wrong = 0
    end = time.monotonic() + seconds

    async def one(number: int, client: httpx.AsyncClient) -> None:
        nonlocal cancelled, wrong
        generator = random.Random(number)
        while time.monotonic() < end:
            place = generator.randrange(2000)
            path = f"/tiles/8/{120 + place % 50}/{80 + place // 50}.png"
            start = time.perf_counter()
            patience = generator.uniform(0, 0.05) if generator.random() < 1 / 3 else 900
            try:
                answer = await asyncio.wait_for(client.get(url + path), patience)
            except TimeoutError:
                cancelled += 1
                continue
            if answer.status_code in {429, 503, 504}:
                await asyncio.sleep(float(answer.headers.get("Retry-After", 1)) * generator.random())
                continue
            times.append(time.perf_counter() - start)
            wrong += seen.setdefault(path, answer.content) != answer.content or answer.status_code != 200

    async with httpx.AsyncClient(timeout=900, limits=httpx.Limits(max_connections=None)) as client:
        await asyncio.gather(*(one(number, client) for number in range(clients)))
    return times, seen, cancelled, wrong


def start(command: list[str]) -> tuple[subprocess.Popen[str], str]:
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


def check(seen: dict[str, bytes], most: int) -> int:
    """Return how many tiles are not what the world itself paints."""
    import io

    from PIL import Image
    from serve_small_world import FIRST, opener

    world, wrong = opener(None)(FIRST), 0
    for path in list(seen)[:most]:
        z, x, y = (int(part) for part in path.removesuffix(".png").split("/")[2:])
        wrong += not np.array_equal(np.asarray(Image.open(io.BytesIO(seen[path]))), world.tile(z, x, y))
    return wrong


def resident_mib(child: subprocess.Popen[str]) -> float:
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--tiles", type=int, default=64, help="of the comparison on distinct tiles")
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    given = parser.parse_args()
    tests = Path(__file__).parents[1]
    plain = PLAIN.format(tests=str(tests), root=str(tests.parent))
    commands = {
        "text2earth serve": [sys.executable, str(tests / "serve_small_world.py")],
        "plain": [sys.executable, "-c", plain],
    }
    side = 8
    distinct = [[f"/tiles/8/{40 + n % side}/{40 + n // side}.png"] for n in range(given.tiles)]
    for name, command in commands.items():
        child, url = start(command)
        try:
            asyncio.run(walk(url, [["/tiles/8/0/0.png"]]))
            for load, walks in (("distinct", distinct), ("panning", panning(given.users, given.steps))):
                pace, times = asyncio.run(walk(url, walks))
                p95 = np.percentile(times, 95)
                print(f"{name:>18}  {load:9} {len(times):5} tiles  {pace:8.2f} tiles/s  p95 {p95:7.2f} s", flush=True)
            if name == "text2earth serve":
                report_storm(url, child, given)
        finally:
            child.terminate()
            child.wait(30)


def report_storm(url: str, child: subprocess.Popen[str], given: argparse.Namespace) -> None:
    before = resident_mib(child)
    times, seen, cancelled, differed = asyncio.run(storm(url, clients=given.clients, seconds=given.seconds))
    end = time.monotonic() + 60
    while (health := httpx.get(f"{url}/health").json())["waiting"] + health["painting"] and time.monotonic() < end:
        time.sleep(0.2)
    left = health["waiting"] + health["painting"]
    wrong = differed + check(seen, 40)
    p95 = np.percentile(times, 95) if times else float("nan")
    print(
        f"storm of {given.clients} clients, {given.seconds:g} s: {len(times)} answers, {cancelled} cancelled, "
        f"{wrong} wrong, {len(times) / given.seconds:.1f} tiles/s, p95 {p95:.2f} s; left in the queue {left}; "
        f"memory {before:.0f} → {resident_mib(child):.0f} MiB",
        flush=True,
    )


if __name__ == "__main__":
    main()
