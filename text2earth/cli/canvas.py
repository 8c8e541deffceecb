"""The command that paints a canvas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars, show
from text2earth.cli.asking_world import (
    WorldAreas,
    WorldBatch,
    WorldCache,
    WorldCacheGib,
    WorldMode,
    WorldOptions,
    WorldSeed,
    WorldSteps,
    WorldThreads,
)
from text2earth.errors import RequestError

__all__ = ["canvas"]


@app.command("canvas")
def canvas(
    model: Annotated[str, typer.Argument(help="Folder of a cascade, or name of a zoo model that is one.")],
    prompt: Annotated[str, typer.Argument(help="What the canvas shows where no area says otherwise.")],
    level: Annotated[int, typer.Option(help="Zoom level, one of the cascade's.")],
    width: Annotated[int, typer.Option(help="Pixels.")] = 1024,
    height: Annotated[int, typer.Option(help="Pixels.")] = 1024,
    out: Annotated[Path, typer.Option(help="File, .tif.")] = Path("canvas.tif"),
    lon: Annotated[float, typer.Option(help="Longitude of the centre: a place of the seed's own world.")] = 0.0,
    lat: Annotated[float, typer.Option(help="Latitude of the centre.")] = 0.0,
    seed: WorldSeed = 0,
    mode: WorldMode = None,
    steps: WorldSteps = None,
    areas: WorldAreas = None,
    cache: WorldCache = None,
    cache_gib: WorldCacheGib = 4.0,
    threads: WorldThreads = None,
    batch: WorldBatch = 8,
    as_json: AsJson = False,
) -> None:
    """Paint a canvas of any size, larger than memory too, as a cloud-optimised GeoTIFF that is marked synthetic.

    It is a piece of the synthetic world of its seed and prompt. A canvas that was killed goes on when it is asked for
    again.
    """
    if out.suffix.lower() not in {".tif", ".tiff"}:
        raise RequestError(f"--out is {out}; a canvas is written as .tif")
    for name, size in (("width", width), ("height", height)):
        if size < 1:
            raise RequestError(f"--{name} is {size}; at least 1 px is needed")
    from text2earth.exporting.canvas import Canvas, box_around, write_canvas

    wanted = Canvas(level, box_around(level=level, lon=lon, lat=lat, width=width, height=height))
    options = WorldOptions(
        model,
        seed=seed,
        prompt=prompt,
        areas=areas,
        mode=mode,
        steps=steps,
        cache=cache,
        cache_gib=cache_gib,
        threads=threads,
        batch=batch,
    )
    if out.exists():
        raise RequestError(f"--out {out} exists; remove it, or choose another name")
    hide_loading_bars()
    done = write_canvas(options.open(), out, canvas=wanted)
    report = {"out": str(out), "level": level, "width": width, "height": height, **done}
    pieces = f"{done['painted']} of {done['pieces']} pieces painted now"
    text = f"wrote {out} ({width}×{height} px of level {level}, synthetic; {pieces})"
    show(report, as_json=as_json, text=text)
