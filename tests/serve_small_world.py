"""A server in a process of its own, whose world is painted by a network that costs nothing.

python tests/serve_small_world.py --cache DIR --port N
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from small_networks import AnalyticNetwork

from text2earth.serving import Chosen, ServerSettings, Studio, create_app, listen, serve
from text2earth.world import World, WorldModel, WorldSettings

FIRST = Chosen("fields", 7)


def world_model() -> WorldModel:
    """Three stages, 4× each."""
    return WorldModel(AnalyticNetwork(), "analytic", (4, 6, 8), steps=2)


def opener(cache: Path | None, **more: int):
    """What opens worlds of the model."""
    model, settings = world_model(), WorldSettings(threads=1, **more)

    def open_world(chosen: Chosen) -> World:
        return World.open(
            model, seed=chosen.seed, prompt=chosen.prompt, areas=chosen.geojson(), cache=cache, settings=settings
        )

    return open_world


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    studio = Studio(opener(given.cache), first=FIRST, settings=ServerSettings())
    with listen("127.0.0.1", given.port) as listening:
        serve(create_app(studio), listening=listening, ready=lambda address: print(address, flush=True))


if __name__ == "__main__":
    main()
