"""The command ``text2earth``: parses, calls, prints.

Exit status 0 is done, 1 says that the work failed, 2 that the request was wrong. Progress goes to stderr; with
``--json`` the last line of stdout is one JSON object.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from text2earth.errors import ConfigError, RequestError, Text2EarthError

__all__ = ["app", "main"]

app = typer.Typer(
    name="text2earth",
    help="Train Text2Earth on image-caption shards, and paint with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


@app.callback()
def _root() -> None:
    """Train Text2Earth on image-caption shards, and paint with it."""


@app.command("train")
def _train(
    config: Annotated[Path, typer.Argument(help="Training configuration, TOML.")],
    var: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of a ${NAME}; may be repeated.")] = None,
    output: Annotated[Path | None, typer.Option(help="Model folder; runs/NAME if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a model on shards; run again, it goes on where it was stopped."""
    variables = _variables(var or [])
    from text2earth.training import load_config, train

    _hide_loading_bars()
    read = load_config(config, variables=variables)
    folder = output or Path("runs") / read.name
    result = train(read, output=folder)
    report = {
        "model": str(result.folder),
        "parameters": result.parameters,
        "rows": result.identity.rows,
        "seen": result.tally.seen,
        "levels": {str(level): count for level, count in sorted(result.tally.levels.items())},
        "truncated_captions": result.tally.truncated,
        "skipped_rows": result.tally.skipped,
    }
    _print(report, as_json=as_json, text=_train_text(report))


def _hide_loading_bars() -> None:
    """Show the progress of painting and training only, not that of reading weights from the disk."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    of_diffusers.disable_progress_bar()
    of_transformers.disable_progress_bar()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class _Sample:
    """A request of ``text2earth sample``."""

    model: str
    prompt: str
    level: int | None
    seed: int
    steps: int
    guidance: float
    width: int | None
    height: int | None
    out: Path
    lon: float | None
    lat: float | None

    def check(self) -> None:
        """Refuse at once what would fail at the end."""
        kind = self.out.suffix.lower()
        if kind not in {".png", ".tif", ".tiff"}:
            raise RequestError(f"--out is {self.out}; the image is written as .png or .tif")
        georeferenced = kind != ".png"
        if georeferenced != (self.lon is not None) or georeferenced != (self.lat is not None):
            raise RequestError(f"--out is {self.out}; a .tif takes both --lon and --lat, a .png neither")
        if self.steps < 1:
            raise RequestError(f"--steps is {self.steps}; at least 1 is needed")


@app.command("sample")
def _sample(
    model: Annotated[str, typer.Argument(help="Model folder, or name of a zoo model.")],
    prompt: Annotated[str, typer.Argument(help="What the image is to show.")],
    level: Annotated[int | None, typer.Option(help="Zoom level 1–22; left out or 0: resolution open.")] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 50,
    guidance: Annotated[float, typer.Option(help="Guidance scale; 1 is none.")] = 4.0,
    width: Annotated[int | None, typer.Option(help="Pixels; the model's own if left out.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels; the model's own if left out.")] = None,
    out: Annotated[Path, typer.Option(help="File, .png or .tif.")] = Path("sample.png"),
    lon: Annotated[float | None, typer.Option(help="Longitude of the centre, for .tif.")] = None,
    lat: Annotated[float | None, typer.Option(help="Latitude of the centre, for .tif.")] = None,
    as_json: AsJson = False,
) -> None:
    """Paint one image, marked synthetic."""
    request = _Sample(model, prompt, level, seed, steps, guidance, width, height, out, lon, lat)
    request.check()
    report = _paint(request)
    _print(
        report,
        as_json=as_json,
        text=f"wrote {report['out']} ({report['width']}×{report['height']} px, synthetic)",
    )


def _paint(request: _Sample) -> dict[str, Any]:
    """Make and write the image; imports torch, so only once the request is known to be sound."""
    from text2earth.conditioning import parse
    from text2earth.zoo import find

    condition = parse(request.prompt, level=request.level)
    find(request.model)
    import numpy as np
    import torch

    from text2earth.provenance import Origin, footprint_m, write_geotiff, write_png
    from text2earth.sampling import load

    _hide_loading_bars()
    pipeline = load(request.model)
    width, height = request.width or pipeline.image_size, request.height or pipeline.image_size
    if request.lon is not None and request.lat is not None:
        footprint_m(condition.level, lon=request.lon, lat=request.lat, width=width, height=height)
    trained = pipeline.config.trained_levels
    if trained and condition.level and condition.level not in trained:
        typer.echo(f"warning: level {condition.level} was not trained on; trained levels are {trained}", err=True)
    image = pipeline(
        condition.prompt,
        condition.level,
        height=height,
        width=width,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        generator=torch.Generator().manual_seed(request.seed),
    ).images[0]
    name = Path(request.model).resolve().name
    origin = Origin(name, condition.prompt, condition.level, request.seed, request.steps, request.guidance)
    if request.lon is not None and request.lat is not None:
        write_geotiff(np.asarray(image), request.out, origin=origin, lon=request.lon, lat=request.lat)
    else:
        write_png(np.asarray(image), request.out, origin=origin)
    return {"out": str(request.out), "width": width, "height": height, **origin.tags()}


def _variables(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ConfigError(f"--var {text} was given; write --var NAME=VALUE")
        found[name] = value
    return found


def _train_text(report: dict[str, Any]) -> str:
    skipped = "".join(f"\nnot used: {row}: {reason}" for row, reason in report["skipped_rows"].items())
    sizes = f"{sum(report['parameters'].values()):,} parameters, {report['rows']:,} rows"
    cut = f"{report['truncated_captions']:,} of {report['seen']:,} captions cut at the encoder's length"
    return f"model in {report['model']} ({sizes}; {cut}){skipped}"


def _print(report: dict[str, Any], *, as_json: bool, text: str) -> None:
    typer.echo(json.dumps(report) if as_json else text)


def main() -> None:
    """Run the command; errors become one message on stderr and the exit status of their kind."""
    try:
        app()
    except Text2EarthError as error:
        typer.echo(f"text2earth: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        typer.echo(f"text2earth: {error}; free the disk or mend its permissions, and run again", err=True)
        sys.exit(1)
