"""Options that describe a world, for every command that opens one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from text2earth.errors import WorldError

if TYPE_CHECKING:
    from text2earth.world import Mode, World

__all__ = [
    "WorldAreas",
    "WorldBase",
    "WorldBatch",
    "WorldCache",
    "WorldCacheGib",
    "WorldFeather",
    "WorldMode",
    "WorldOptions",
    "WorldPrompt",
    "WorldSeed",
    "WorldSteps",
    "WorldThreads",
]

_PAINTING, _KEEPING = "The world", "Cache and speed"

WorldSeed = Annotated[int, typer.Option("--seed", help="Of the noise.", rich_help_panel=_PAINTING)]
WorldPrompt = Annotated[
    str, typer.Option("--prompt", help="What the world shows where no area says otherwise.", rich_help_panel=_PAINTING)
]
WorldAreas = Annotated[
    Path | None,
    typer.Option("--areas", help="GeoJSON of polygons with a property 'prompt'.", rich_help_panel=_PAINTING),
]
WorldFeather = Annotated[
    int, typer.Option("--feather", help="Border between areas, in px of each stage.", rich_help_panel=_PAINTING)
]
WorldBase = Annotated[
    Path | None,
    typer.Option("--base", help="RGB raster, whose low band the world starts from.", rich_help_panel=_PAINTING),
]
WorldMode = Annotated[
    str | None,
    typer.Option("--mode", help="How windows are joined; the best one if left out.", rich_help_panel=_PAINTING),
]
WorldSteps = Annotated[
    int | None,
    typer.Option("--steps", help="Denoising steps of a stage; the model's own if left out.", rich_help_panel=_PAINTING),
]
WorldCache = Annotated[
    Path | None, typer.Option("--cache", help="Folder that keeps what was painted.", rich_help_panel=_KEEPING)
]
WorldCacheGib = Annotated[
    float, typer.Option("--cache-gib", help="Most that the folder may hold.", rich_help_panel=_KEEPING)
]
WorldThreads = Annotated[
    int | None,
    typer.Option("--threads", help="Of a forward pass; all processors if left out.", rich_help_panel=_KEEPING),
]
WorldBatch = Annotated[int, typer.Option("--batch", help="Windows of a forward pass.", rich_help_panel=_KEEPING)]


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """A world as it was asked for on the command line; the defaults are those of the options.

    Args:
        model: Name of a zoo model, or a folder.
        seed: Of the noise.
        prompt: Of all that no area covers.
        areas: GeoJSON of prompts by area.
        feather: Width of their borders, in pixels of each stage.
        base: Raster that the world starts from.
        mode: How windows are joined.
        steps: Denoising steps.
        cache: Folder of what was painted.
        cache_gib: Most that it may hold.
        threads: Of a forward pass.
        batch: Windows of a forward pass.
    """

    model: str
    seed: int = 0
    prompt: str = ""
    areas: Path | None = None
    feather: int = 64
    base: Path | None = None
    mode: str | None = None
    steps: int | None = None
    cache: Path | None = None
    cache_gib: float = 4.0
    threads: int | None = None
    batch: int = 8

    def open(self) -> World:
        """Open the world; imports torch, so only once the request is known to be sound.

        Raises:
            WorldError: If a number is out of its range.
            AreasError: If the areas are not what they should be.
            BaseMapError: If the raster is not what it should be.
            ModelError: If the model is no cascade.
        """
        if not 0 <= self.cache_gib < 1 << 20:
            raise WorldError(f"--cache-gib {self.cache_gib:g} was given; it is 0 or more, in GiB")
        for option, path in (("--areas", self.areas), ("--base", self.base)):
            if path is not None and not path.is_file():
                raise WorldError(f"{option} {path} was given; there is no such file")
        from text2earth.world import World, WorldSettings

        settings = WorldSettings(
            mode=cast("Mode | None", self.mode),
            steps=self.steps,
            batch=self.batch,
            threads=self.threads,
            feather=self.feather,
            cache_bytes=int(self.cache_gib * 2**30),
        )
        return World.open(
            self.model,
            seed=self.seed,
            prompt=self.prompt,
            areas=self.areas,
            base=self.base,
            cache=self.cache,
            settings=settings,
        )
