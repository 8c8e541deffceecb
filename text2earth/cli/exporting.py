"""The command that exports a world."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars, show
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
from text2earth.errors import ExportError

if TYPE_CHECKING:
    from text2earth.exporting import Film, Tiles

__all__ = ["world"]

_FILM = "Of a film"


@app.command("world")
def world(
    model: Annotated[str, typer.Argument(help="Folder of a cascade, or name of a zoo model.")],
    zooms: Annotated[str, typer.Option(help="First and last zoom, A-B, or one; a film's may have decimals.")],
    out: Annotated[
        Path, typer.Option(help=".tif (COG, one zoom), .pmtiles, .mbtiles, a folder z/x/y; .gif or .mp4 of a place.")
    ],
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="West, south, east, north in degrees; west > east across the antimeridian."),
    ] = None,
    tiles: Annotated[Literal["png", "webp", "jpg"], typer.Option(help="Pictures in an archive or a folder.")] = "png",
    quality: Annotated[
        int | None, typer.Option(help="1–100 of webp and jpg; left out, webp is lossless and jpg has 90.")
    ] = None,
    place: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Longitude and latitude that the film zooms into.", rich_help_panel=_FILM),
    ] = None,
    width: Annotated[int, typer.Option(help="Pixels of a frame, even.", rich_help_panel=_FILM)] = 512,
    height: Annotated[int, typer.Option(help="Pixels of a frame, even.", rich_help_panel=_FILM)] = 512,
    seconds: Annotated[float, typer.Option(help="Length.", rich_help_panel=_FILM)] = 10.0,
    fps: Annotated[float, typer.Option(help="Frames a second.", rich_help_panel=_FILM)] = 25.0,
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
    as_json: AsJson = False,
) -> None:
    """Export an area of a synthetic world, or a film of a zoom into it; a killed export goes on when run again."""
    if (bbox is None) == (place is None):
        raise ExportError(
            f"{'neither' if bbox is None else 'both'} of --bbox W S E N and --place LON LAT "
            f"{'was' if bbox is None else 'were'} given; an area takes the one, a film the other"
        )
    read = _zooms(zooms)
    film = {"width": width, "height": height, "seconds": seconds, "fps": fps}
    wanted = _film(place, read, film) if place is not None else _tiles(bbox, read, kind=tiles, quality=quality)
    from text2earth.exporting import export, format_of

    format_of(out, wanted)  # what cannot be is refused before torch and the model are loaded
    options = WorldOptions(model, seed, prompt, areas, feather, base, mode, steps, cache, cache_gib, threads, batch)
    hide_loading_bars()
    done = export(options.open(), wanted, out)
    show(done, as_json=as_json, text=_text(done))


def _film(place: tuple[float, float], zooms: tuple[float, float], settings: dict[str, Any]) -> Film:
    from text2earth.exporting import Film, Flight

    return Film(Flight(*place, zooms=zooms, **settings))


def _tiles(bbox: Any, zooms: tuple[float, float], *, kind: Any, quality: int | None) -> Tiles:
    from text2earth.exporting import Area, Tiles

    if any(zoom % 1 for zoom in zooms):
        raise ExportError(f"--zooms {zooms[0]:g}-{zooms[1]:g} was given; tiles are of whole zooms")
    return Tiles(Area(*bbox), (int(zooms[0]), int(zooms[1])), kind, quality)


def _zooms(given: str) -> tuple[float, float]:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:[-–]\s*(\d+(?:\.\d+)?)\s*)?", given)
    if found is None:
        raise ExportError(f"--zooms {given} was given; write --zooms 4-9, or --zooms 6 for a single one")
    return float(found[1]), float(found[2] or found[1])


def _text(done: dict[str, Any]) -> str:
    return (
        f"wrote {done['out']} ({done['bytes']:,} bytes from {done['tiles']:,} tiles, {done['painted']:,} painted now, "
        "synthetic)"
    )
