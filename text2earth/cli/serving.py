"""A world over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars
from text2earth.cli.asking_world import (
    WorldAreas,
    WorldBase,
    WorldBatch,
    WorldCache,
    WorldCacheGib,
    WorldFeather,
    WorldMode,
    WorldOptions,
    WorldPrompt,
    WorldSeed,
    WorldSteps,
    WorldThreads,
)
from text2earth.errors import RequestError

if TYPE_CHECKING:
    from text2earth.serving import Chosen, ServerSettings
    from text2earth.world import World

__all__ = ["serve"]

_LIMITS = "Limits of the server"
_NEEDS = {"fastapi": "fastapi", "uvicorn": "uvicorn", "prometheus_client": "prometheus-client"}


@app.command("serve")
def serve(
    model: Annotated[str, typer.Argument(help="Folder of a cascade, or name of a zoo model, as metaearth-tiny.")],
    host: Annotated[str, typer.Option(help="Address to listen at; as it stands only this machine can ask.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.")] = 8000,
    seed: WorldSeed = 0,
    prompt: WorldPrompt = "",
    areas: WorldAreas = None,
    feather: WorldFeather = 64,
    base: WorldBase = None,
    mode: WorldMode = None,
    steps: WorldSteps = None,
    cache: WorldCache = None,
    cache_gib: WorldCacheGib = 4.0,
    threads: WorldThreads = None,
    batch: WorldBatch = 8,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="Paint this world only; refuse other prompts and seeds.")
    ] = False,
    worlds: Annotated[int, typer.Option(help="Other worlds kept open.", rich_help_panel=_LIMITS)] = 8,
    queue: Annotated[int, typer.Option(help="Tiles that may wait to be painted.", rich_help_panel=_LIMITS)] = 512,
    batch_tiles: Annotated[int, typer.Option(help="Tiles painted together.", rich_help_panel=_LIMITS)] = 16,
    timeout: Annotated[float, typer.Option(help="Seconds that a tile may take.", rich_help_panel=_LIMITS)] = 120.0,
    memory: Annotated[int, typer.Option(help="MiB of tiles kept in memory.", rich_help_panel=_LIMITS)] = 256,
    as_json: AsJson = False,
) -> None:
    """Serve a synthetic world: a page at /, tiles, WMTS, TileJSON and pictures, all marked synthetic."""
    _check_installed()
    if not 0 <= port <= 65535:
        raise RequestError(f"--port is {port}; it is 1–65535, or 0 for a free one")
    from text2earth.serving import ServerSettings

    settings = ServerSettings(
        queue_tiles=queue,
        batch_tiles=batch_tiles,
        timeout_s=timeout,
        worlds=worlds,
        memory_mb=memory,
        image_tiles=min(256, max(1, queue)),
        fixed=fixed,
    )
    options = WorldOptions(model, seed, prompt, areas, feather, base, mode, steps, cache, cache_gib, threads, batch)
    _serve(options, settings=settings, host=host, port=port, as_json=as_json)


def _check_installed() -> None:
    from importlib.util import find_spec

    missing = [package for module, package in _NEEDS.items() if find_spec(module) is None]
    if missing:
        raise RequestError(
            f"{', '.join(missing)} is not installed; install what serving needs: pip install 'git10m[serve]'"
        )


def _serve(options: WorldOptions, *, settings: ServerSettings, host: str, port: int, as_json: bool) -> None:
    """Open the world and serve it; imports torch, so only once the request is known to be sound."""
    from text2earth.serving import Chosen, Studio, create_app, listen, serve

    first = Chosen(options.prompt, options.seed)
    listening = listen(host, port)  # before the model is read, which takes longer
    with listening:
        hide_loading_bars()
        opened = _Opener(options, first)
        studio = Studio(opened, first=first, settings=settings)

        def ready(address: str) -> None:
            told = {
                "url": address,
                "model": studio.model,
                "seed": first.seed,
                "prompt": first.prompt,
                "minzoom": studio.levels[0],
                "maxzoom": studio.levels[-1],
                "world": studio.version(first),
            }
            levels = f"levels {studio.levels[0]}–{studio.levels[-1]}"
            text = f"a synthetic world by {studio.model} ({levels}, seed {first.seed}) at {address}/"
            typer.echo(json.dumps(told) if as_json else text)

        serve(create_app(studio), listening=listening, ready=ready)


class _Opener:
    """Opens worlds that share one model.

    Args:
        options: Of the first world, and of all others but for what a request chooses.
        first: What the first world is called.
    """

    def __init__(self, options: WorldOptions, first: Chosen) -> None:
        self._options, self._first = options, first
        self._world: World | None = None
        self._areas: list[Any] = []
        if options.areas is not None and options.areas.is_file():
            self._areas = _features(options.areas)

    def __call__(self, chosen: Chosen) -> World:
        """Return a world; the boxes that a request paints over lie on top of the server's own areas."""
        if self._world is None or chosen == self._first:
            self._world = self._options.open()
            return self._world
        from text2earth.world import World

        drawn = chosen.geojson()
        features = self._areas + (drawn["features"] if drawn else [])
        return World.open(
            self._world.model,
            seed=chosen.seed,
            prompt=chosen.prompt,
            areas={"type": "FeatureCollection", "features": features} if features else None,
            base=self._options.base,
            cache=self._options.cache,
            settings=self._world.settings,
        )


def _features(path: Path) -> list[Any]:
    """Return the features of a GeoJSON file; whether they are right is found when the first world opens."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return []
    return [found] if found.get("type") == "Feature" else list(found.get("features") or [])
