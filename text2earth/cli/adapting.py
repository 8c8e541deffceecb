"""Painting with an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars, refuse_cascade, show
from text2earth.errors import RequestError

__all__ = ["adapt"]


@dataclass(frozen=True, slots=True)
class _Request:
    """A request of ``text2earth adapt``."""

    model: str
    prompt: str
    level: int | None
    lora: Path | None
    controlnet: Path | None
    control: Path | None
    control_scale: float
    seed: int
    steps: int
    guidance: float
    out: Path
    lon: float | None
    lat: float | None

    def check(self) -> None:
        """Refuse at once what would fail at the end."""
        if self.lora is None and self.controlnet is None:
            raise RequestError("neither --lora nor --controlnet was given; give one, or use text2earth sample")
        if (self.controlnet is None) != (self.control is None):
            raise RequestError("--controlnet and --control go together: the network, and the picture that it reads")
        if self.control is not None and not self.control.is_file():
            raise RequestError(f"--control is {self.control}, which is no file; give a picture")
        kind = self.out.suffix.lower()
        if kind not in {".png", ".tif", ".tiff"}:
            raise RequestError(f"--out is {self.out}; the image is written as .png or .tif")
        if {kind != ".png"} != {self.lon is not None, self.lat is not None}:
            raise RequestError(f"--out is {self.out}; a .tif takes both --lon and --lat, a .png neither")
        if self.steps < 1:
            raise RequestError(f"--steps is {self.steps}; at least 1 is needed")


@app.command("adapt")
def adapt(
    model: Annotated[str, typer.Argument(help="Model folder, or name of a zoo model.")],
    prompt: Annotated[str, typer.Argument(help="What the image is to show.")],
    level: Annotated[int | None, typer.Option(help="Zoom level 1–22; left out or 0: resolution open.")] = None,
    lora: Annotated[Path | None, typer.Option(help="Folder of a LoRA.")] = None,
    controlnet: Annotated[Path | None, typer.Option(help="Folder of a ControlNet.")] = None,
    control: Annotated[Path | None, typer.Option(help="Picture that the ControlNet reads.")] = None,
    control_scale: Annotated[float, typer.Option(help="Strength of the control; 0 is none.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 50,
    guidance: Annotated[float, typer.Option(help="Guidance scale; 1 is none.")] = 4.0,
    out: Annotated[Path, typer.Option(help="File, .png or .tif.")] = Path("sample.png"),
    lon: Annotated[float | None, typer.Option(help="Longitude of the centre, for .tif.")] = None,
    lat: Annotated[float | None, typer.Option(help="Latitude of the centre, for .tif.")] = None,
    as_json: AsJson = False,
) -> None:
    """Paint one image with a LoRA, a ControlNet or both, marked synthetic."""
    request = _Request(
        model, prompt, level, lora, controlnet, control, control_scale, seed, steps, guidance, out, lon, lat
    )
    request.check()
    report = _paint(request)
    text = f"wrote {report['out']} ({report['width']}×{report['height']} px, {report['bands']}, synthetic)"
    show(report, as_json=as_json, text=text)


def _paint(request: _Request) -> dict[str, Any]:
    from text2earth.conditioning import parse
    from text2earth.zoo import find

    condition = parse(request.prompt, level=request.level)
    find(request.model)
    import numpy as np
    import torch

    from text2earth.provenance import Origin, footprint_m, write_geotiff, write_png
    from text2earth.sampling import load, load_controlnet, load_lora

    hide_loading_bars()
    pipeline = load(request.model)
    refuse_cascade(pipeline, request.model)
    if request.lora is not None:
        pipeline = load_lora(pipeline, request.lora)
    given: dict[str, Any] = {}
    if request.controlnet is not None:
        pipeline = load_controlnet(pipeline, request.controlnet)
        given = {"control_image": _picture(request.control), "controlnet_conditioning_scale": request.control_scale}
    if request.lon is not None and request.lat is not None:
        side = pipeline.image_size  # the place and the level must be possible before anything is painted
        footprint_m(condition.level, lon=request.lon, lat=request.lat, width=side, height=side)
    image = pipeline(
        condition.prompt,
        level=condition.level,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        generator=torch.Generator().manual_seed(request.seed),
        **given,
    ).images[0]
    pixels = np.asarray(image)
    name = "+".join(Path(each).resolve().name for each in (request.model, request.lora, request.controlnet) if each)
    origin = Origin(name, condition.prompt, condition.level, request.seed, request.steps, request.guidance)
    if request.lon is not None and request.lat is not None:
        place = {"lon": request.lon, "lat": request.lat}
        write_geotiff(pixels, request.out, origin=origin, band=pipeline.band, **place)
    else:
        write_png(pixels, request.out, origin=origin)
    height, width = pixels.shape[:2]
    return {
        "out": str(request.out),
        "width": width,
        "height": height,
        "bands": pipeline.band or "RGB",
        **origin.tags(),
    }


def _picture(name: Path | None) -> Any:
    from PIL import Image

    try:
        with Image.open(name) as opened:  # type: ignore[arg-type]
            return opened.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise RequestError(f"--control is {name}, which cannot be read as a picture: {error}") from error
