"""Commands that paint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars, show
from text2earth.cli.bulk import is_prompt_table, paint_prompts
from text2earth.errors import RequestError

__all__ = ["sample"]


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
def sample(
    model: Annotated[str, typer.Argument(help="Model folder, or name of a zoo model.")],
    prompt: Annotated[str, typer.Argument(help="What the image is to show; or a .csv or .parquet of prompts.")],
    level: Annotated[int | None, typer.Option(help="Zoom level 1–22; left out or 0: resolution open.")] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 50,
    guidance: Annotated[float, typer.Option(help="Guidance scale; 1 is none.")] = 4.0,
    width: Annotated[int | None, typer.Option(help="Pixels; the model's own if left out.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels; the model's own if left out.")] = None,
    out: Annotated[Path, typer.Option(help="File, .png or .tif; of a table the dataset folder.")] = Path("sample.png"),
    lon: Annotated[float | None, typer.Option(help="Longitude of the centre, for .tif.")] = None,
    lat: Annotated[float | None, typer.Option(help="Latitude of the centre, for .tif.")] = None,
    batch_size: Annotated[int, typer.Option(help="Of a table: images painted at once.")] = 8,
    shard_rows: Annotated[int, typer.Option(help="Of a table: images of a shard.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Paint one image, or a dataset of them from a table of prompts; marked synthetic."""
    if is_prompt_table(prompt):
        if lon is not None or lat is not None:
            raise RequestError("--lon and --lat were given with a table of prompts; a place is a column of the table")
        settings = {"steps": steps, "guidance": guidance, "width": width, "height": height}
        settings |= {"batch": batch_size, "shard_rows": shard_rows}
        done = paint_prompts(model, Path(prompt), out, level=level, seed=seed, settings=settings)
        show(done, as_json=as_json, text=f"{done['rows']:,} images in {done['out']} ({done['painted']:,} painted now)")
        return
    request = _Sample(model, prompt, level, seed, steps, guidance, width, height, out, lon, lat)
    request.check()
    report = _paint(request)
    show(
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

    hide_loading_bars()
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
