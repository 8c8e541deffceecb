"""Commands that paint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars, refuse_cascade, show
from text2earth.cli.bulk import is_prompt_table, paint_prompts
from text2earth.errors import RequestError

__all__ = ["inpaint", "sample"]

_Model = Annotated[str, typer.Argument(help="Model folder, or name of a zoo model.")]
_Prompt = Annotated[str, typer.Argument(help="What the image is to show.")]
_Level = Annotated[int | None, typer.Option(help="Zoom level 1–22; left out or 0: resolution open.")]
_Seed = Annotated[int, typer.Option(help="Of the noise.")]
_Steps = Annotated[int, typer.Option(help="Denoising steps.")]
_Guidance = Annotated[float, typer.Option(help="Guidance scale; 1 is none.")]
_Out = Annotated[Path, typer.Option(help="File, .png or .tif.")]
_Gsd = Annotated[float | None, typer.Option("--gsd-m", help="True metres a pixel, if the model takes it.")]
_Month = Annotated[int | None, typer.Option(help="1–12, if the model takes it.")]
_Source = Annotated[str | None, typer.Option(help="Source whose look is wanted, if the model takes it.")]


@dataclass(frozen=True, slots=True)
class _Painting:
    """What ``sample`` and ``inpaint`` share."""

    model: str
    prompt: str
    level: int | None
    seed: int
    steps: int
    guidance: float
    out: Path
    further: dict[str, Any]

    @property
    def is_georeferenced(self) -> bool:
        return self.out.suffix.lower() != ".png"

    def condition(self) -> Any:
        """Return what is asked for, or refuse what cannot be, before torch and the model are loaded."""
        if self.out.suffix.lower() not in {".png", ".tif", ".tiff"}:
            raise RequestError(f"--out is {self.out}; the image is written as .png or .tif")
        if self.steps < 1:
            raise RequestError(f"--steps is {self.steps}; at least 1 is needed")
        from text2earth.conditioning import parse
        from text2earth.zoo import find

        found = replace(parse(self.prompt, level=self.level), **self.further)
        find(self.model)
        return found

    def origin(self) -> Any:
        """Return the marks of the file."""
        from text2earth.provenance import Origin

        condition = self.condition()
        name = Path(self.model).resolve().name
        further = tuple((key, str(value)) for key, value in self.further.items() if value is not None)
        return Origin(name, condition.prompt, condition.level, self.seed, self.steps, self.guidance, further)


@app.command("sample")
def sample(
    model: _Model,
    prompt: Annotated[str, typer.Argument(help="What the image is to show; or a .csv or .parquet of prompts.")],
    level: _Level = None,
    seed: _Seed = 0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; 50, or a cascade's own.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale, 1 is none; 4, or a cascade's own.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels; the model's own if left out.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels; the model's own if left out.")] = None,
    out: Annotated[Path, typer.Option(help="File, .png or .tif; of a table the dataset folder.")] = Path("sample.png"),
    lon: Annotated[float | None, typer.Option(help="Longitude of the centre, for .tif and models of places.")] = None,
    lat: Annotated[float | None, typer.Option(help="Latitude of the centre, likewise.")] = None,
    gsd_m: _Gsd = None,
    month: _Month = None,
    source: _Source = None,
    low: Annotated[
        Path | None,
        typer.Option(help="Of a cascade: image of the same ground at the stage above, in whose detail it paints."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Of a table: images painted at once.")] = 8,
    shard_rows: Annotated[int, typer.Option(help="Of a table: images of a shard.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Paint one image, or a dataset of them from a table of prompts; marked synthetic."""
    further = {"lon": lon, "lat": lat, "gsd_m": gsd_m, "month": month, "source": source}
    if is_prompt_table(prompt):
        given = [f"--{name.replace('_', '-')}" for name, value in further.items() if value is not None]
        if given:
            raise RequestError(f"{', '.join(given)} with a table of prompts; a place is a column of the table")
        if low is not None:
            raise RequestError("--low with a table of prompts; it goes with a single prompt")
        settings: dict[str, Any] = {
            "steps": 50 if steps is None else steps,
            "guidance": guidance or 4.0,
            "width": width,
            "height": height,
        }
        settings |= {"batch": batch_size, "shard_rows": shard_rows}
        done = paint_prompts(model, Path(prompt), out, level=level, seed=seed, settings=settings)
        show(done, as_json=as_json, text=f"{done['rows']:,} images in {done['out']} ({done['painted']:,} painted now)")
        return
    request = _Painting(model, prompt, level, seed, 50 if steps is None else steps, guidance or 4.0, out, further)
    request.condition()
    own = _own_settings(model, low=low)
    request = replace(request, steps=own[0] if steps is None else steps, guidance=guidance or own[1])
    report = _sample(request, width=width, height=height, low=low)
    show(report, as_json=as_json, text=_text(report))


@app.command("inpaint")
def inpaint(
    model: _Model,
    prompt: _Prompt,
    image: Annotated[Path, typer.Option(help="Image, in part of which is painted.")],
    mask: Annotated[Path, typer.Option(help="Mask of its size: white is painted, black stays as it is.")],
    level: _Level = None,
    seed: _Seed = 0,
    steps: _Steps = 50,
    guidance: _Guidance = 4.0,
    strength: Annotated[
        float, typer.Option(help="1 starts from noise; less keeps some of what is painted over.")
    ] = 1.0,
    out: _Out = Path("inpainted.png"),
    lon: Annotated[float | None, typer.Option(help="Longitude of the centre, if the model takes places.")] = None,
    lat: Annotated[float | None, typer.Option(help="Latitude of the centre, likewise.")] = None,
    gsd_m: _Gsd = None,
    month: _Month = None,
    source: _Source = None,
    as_json: AsJson = False,
) -> None:
    """Paint part of an image, marked synthetic; the rest keeps its pixels, and a GeoTIFF its place."""
    further = {"lon": lon, "lat": lat, "gsd_m": gsd_m, "month": month, "source": source}
    request = _Painting(model, prompt, level, seed, steps, guidance, out, further)
    report = _inpaint(request, image=image, mask=mask, strength=strength)
    show(report, as_json=as_json, text=_text(report))


def _own_settings(model: str, *, low: Path | None) -> tuple[int, float]:
    """Return the steps and the guidance that a model is painted with if none are given; a cascade states its own."""
    import json

    from text2earth.zoo import find

    index = find(model) / "model_index.json"
    found = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {}
    if "low_encoder" not in found:
        return 50, 4.0
    guidance = found.get("guidance" if low is None else "stage_guidance", 1.0)
    return int(found.get("steps", 12)), float(guidance)


def _text(report: dict[str, Any]) -> str:
    return f"wrote {report['out']} ({report['width']}×{report['height']} px, synthetic)"


def _sample(request: _Painting, *, width: int | None, height: int | None, low: Path | None) -> dict[str, Any]:
    """Make and write the image; imports torch, so only once the request is known to be sound."""
    condition = request.condition()
    lon, lat = condition.lon, condition.lat
    if request.is_georeferenced and lon is None:
        raise RequestError(f"--out is {request.out}; a .tif takes both --lon and --lat, its centre")
    import numpy as np

    from text2earth.provenance import footprint_m, write_geotiff, write_png
    from text2earth.sampling import MetaEarthPipeline, load

    hide_loading_bars()
    pipeline = load(request.model)
    if isinstance(pipeline, MetaEarthPipeline):
        return _window(request, pipeline, size=(width, height), low=low)
    if low is not None:
        raise RequestError(f"--low was given, and {request.model} is no cascade; leave it out")
    width, height = width or pipeline.image_size, height or pipeline.image_size
    if request.is_georeferenced:
        footprint_m(condition.level, lon=lon, lat=lat, width=width, height=height)
        if "place" not in _conditions_of(pipeline):
            condition = replace(condition, lon=None, lat=None)  # they only say where the file lies
    image = pipeline(height=height, width=width, **_asked(request, condition, pipeline)).images[0]
    if request.is_georeferenced:
        write_geotiff(np.asarray(image), request.out, origin=request.origin(), lon=lon, lat=lat)
    else:
        write_png(np.asarray(image), request.out, origin=request.origin())
    return {"out": str(request.out), "width": width, "height": height, **request.origin().tags()}


def _window(
    request: _Painting, cascade: Any, *, size: tuple[int | None, int | None], low: Path | None
) -> dict[str, Any]:
    """Make and write one window of a cascade; steps and guidance are its own unless they were given."""
    import numpy as np

    from text2earth.provenance import footprint_m, write_geotiff, write_png

    if size != (None, None):
        raise RequestError("--width and --height were given; a cascade paints windows, or what --low asks for")
    condition = request.condition()
    given = [name for name in ("gsd_m", "month", "source") if getattr(condition, name) is not None]
    if given:
        raise RequestError(f"{', '.join(given)} was given; a cascade takes text and level")
    level = condition.level or int(cascade.config.base_level)
    asked = _asked(request, replace(condition, level=level), cascade)
    kept = {name: asked[name] for name in ("prompt", "level", "num_inference_steps", "guidance_scale", "generator")}
    picture = None if low is None else _opened(low, "low", mode="RGB")
    pixels = np.asarray(cascade(**kept, low=picture).images[0])
    height, width = pixels.shape[:2]
    origin = replace(request.origin(), level=level)
    if request.is_georeferenced:
        footprint_m(level, lon=condition.lon, lat=condition.lat, width=width, height=height)
        write_geotiff(pixels, request.out, origin=origin, lon=condition.lon, lat=condition.lat)
    else:
        write_png(pixels, request.out, origin=origin)
    return {"out": str(request.out), "width": width, "height": height, **origin.tags()}


def _inpaint(request: _Painting, *, image: Path, mask: Path, strength: float) -> dict[str, Any]:
    """Make and write the image; imports torch, so only once the request is known to be sound."""
    condition = request.condition()
    tiff = image.suffix.lower() in {".tif", ".tiff"}
    if request.is_georeferenced and not tiff:
        raise RequestError(f"--out is {request.out} and --image is {image}; a .tif takes its place from a GeoTIFF")
    from text2earth.provenance import write_geotiff_like, write_png

    picture, mask_picture = _opened(image, "image", mode="RGB"), _opened(mask, "mask", mode="L")
    import numpy as np

    from text2earth.sampling import Text2EarthInpaintPipeline, load

    hide_loading_bars()
    loaded = load(request.model)
    refuse_cascade(loaded, request.model)
    pipeline = Text2EarthInpaintPipeline(**loaded.components, **_settings_of(loaded))
    asked = _asked(request, condition, pipeline)
    painted = np.asarray(pipeline(image=picture, mask_image=mask_picture, strength=strength, **asked).images[0])
    if request.is_georeferenced:
        write_geotiff_like(painted, request.out, origin=request.origin(), like=image)
    else:
        write_png(painted, request.out, origin=request.origin())
    return {"out": str(request.out), "width": picture.width, "height": picture.height, **request.origin().tags()}


def _opened(path: Path, what: str, *, mode: str) -> Any:
    """Return a picture of a file, or say why it is none."""
    from PIL import Image

    try:
        with Image.open(path) as found:
            return found.convert(mode)
    except FileNotFoundError as error:
        raise RequestError(f"--{what} {path}: there is no such file") from error
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises on damaged files
        raise RequestError(f"--{what} {path} cannot be read ({error}); give a PNG, JPEG or 8-bit TIFF") from error


def _asked(request: _Painting, condition: Any, pipeline: Any) -> dict[str, Any]:
    """Return the arguments that every pipeline takes, and warn of a level that the model has not seen."""
    import torch

    trained = pipeline.config.trained_levels
    if trained and condition.level and condition.level not in trained:
        typer.echo(f"warning: level {condition.level} was not trained on; trained levels are {trained}", err=True)
    return {
        "prompt": condition.prompt,
        "level": condition.level,
        **{name: getattr(condition, name) for name in request.further},
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance,
        "generator": torch.Generator().manual_seed(request.seed),
    }


def _conditions_of(pipeline: Any) -> tuple[str, ...]:
    embedder = pipeline.condition_embedder
    return () if embedder is None else tuple(embedder.config.conditions)


def _settings_of(pipeline: Any) -> dict[str, Any]:
    return {"trained_levels": pipeline.config.trained_levels, "text_windows": pipeline.config.text_windows}
