"""Growing an image beyond its borders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars, show
from text2earth.errors import RequestError

if TYPE_CHECKING:
    from text2earth.evaluation.strips import Canvas
    from text2earth.world.box import Box
    from text2earth.world.grounds import FileGround
    from text2earth.world.outpainting import Outpainting, Waypoint

__all__ = ["outpaint"]

_LINES = 256


@dataclass(frozen=True, slots=True)
class _Request:
    """A request of ``text2earth outpaint``."""

    image: Path | None
    model: str
    prompts: tuple[str, ...]
    places: tuple[tuple[float, float], ...]
    margins: tuple[int, int, int, int]
    path: tuple[tuple[float, float], ...]
    level: int | None
    seed: int
    steps: int
    guidance: float
    overlap: float
    blend: Literal["interpolate", "switch"]
    out: Path

    def check(self) -> None:
        """Refuse at once what would fail later."""
        if any(margin < 0 for margin in self.margins):
            raise RequestError("--left, --right, --up and --down are pixels to grow by; none is below 0")
        if not self.path and not any(self.margins):
            raise RequestError("nothing to paint: give --right, --left, --up, --down in pixels, or a --path")
        if self.path and any(self.margins):
            raise RequestError("--path was given together with margins; give one of the two")
        if self.image is None and not self.path and not (self._width and self._height):
            raise RequestError("without an image an area needs a width and a height: give --right and --down")
        if self.image is not None and not self.image.is_file():
            raise RequestError(f"{self.image}: there is no such image; give a file, or - to start from nothing")
        if self.places and len(self.places) != len(self.prompts):
            raise RequestError(
                f"{len(self.prompts)} prompts and {len(self.places)} --at were given; give one --at for each prompt"
            )
        if len(self.prompts) > 1 and not self.places and not self.path:
            raise RequestError("several prompts need their places: give --at X,Y for each, or a --path")

    @property
    def _width(self) -> int:
        return self.margins[0] + self.margins[1]

    @property
    def _height(self) -> int:
        return self.margins[2] + self.margins[3]

    def waypoints(self) -> tuple[Waypoint, ...]:
        """Return prompts with their places; without ``--at`` they are spread evenly along the path."""
        from text2earth.world.outpainting import Waypoint

        places = self.places or tuple(_spread(self.path or ((0.0, 0.0),), len(self.prompts)))
        return tuple(Waypoint(text, x, y) for text, (x, y) in zip(self.prompts, places, strict=True))


@app.command("outpaint")
def outpaint(
    image: Annotated[str, typer.Argument(help="Image to grow, or - to start from nothing.")],
    model: Annotated[str, typer.Argument(help="Folder of an inpainting model, or name of a zoo model.")],
    prompt: Annotated[list[str], typer.Option(help="What is to be seen; may be repeated, see --at.")],
    at: Annotated[list[str] | None, typer.Option(help="X,Y of each prompt, px from the image's corner.")] = None,
    left: Annotated[int, typer.Option(help="Pixels to grow by.")] = 0,
    right: Annotated[int, typer.Option(help="Pixels to grow by.")] = 0,
    up: Annotated[int, typer.Option(help="Pixels to grow by.")] = 0,
    down: Annotated[int, typer.Option(help="Pixels to grow by.")] = 0,
    path: Annotated[str, typer.Option(help="'X,Y X,Y …': a line to paint along instead, px from the corner.")] = "",
    level: Annotated[int | None, typer.Option(help="Zoom level 1–22; left out or 0: resolution open.")] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    steps: Annotated[int, typer.Option(help="Denoising steps of a window.")] = 50,
    guidance: Annotated[float, typer.Option(help="Guidance scale; 1 is none.")] = 4.0,
    overlap: Annotated[float, typer.Option(help="Share of a window's side that it sees, 0.25–0.75.")] = 0.5,
    blend: Annotated[
        Literal["interpolate", "switch"], typer.Option(help="Between prompts: mix their text states, or the nearest.")
    ] = "interpolate",
    out: Annotated[Path, typer.Option(help="File, .png or .tif.")] = Path("outpainted.png"),
    as_json: AsJson = False,
) -> None:
    """Grow an image window by window, marked synthetic; its own pixels stay. Run again, it goes on where it stopped."""
    request = _Request(
        None if image == "-" else Path(image),
        model,
        tuple(prompt),
        tuple(_point(text, "--at") for text in at or ()),
        (left, right, up, down),
        tuple(_point(text, "--path") for text in path.split()),
        level,
        seed,
        steps,
        guidance,
        overlap,
        blend,
        out,
    )
    request.check()
    report = _outpaint(request)
    told = f"wrote {out} ({report['width']}×{report['height']} px, {report['windows']} windows, synthetic)"
    show(report, as_json=as_json, text=told)


def _point(text: str, option: str) -> tuple[float, float]:
    x, comma, y = text.partition(",")
    try:
        if comma:
            return float(x), float(y)
    except ValueError:
        pass
    raise RequestError(f"{option} has {text!r}; a point is X,Y in pixels, such as 256,128")


def _spread(path: tuple[tuple[float, float], ...], count: int) -> Iterable[tuple[float, float]]:
    """Yield points that are spread evenly along a line, its ends among them."""
    import numpy as np

    corners = np.array(path)
    along = np.concatenate([[0.0], np.hypot(*np.diff(corners, axis=0).T).cumsum()])
    for stop in np.linspace(0.0, along[-1], count):
        yield float(np.interp(stop, along, corners[:, 0])), float(np.interp(stop, along, corners[:, 1]))


def _outpaint(request: _Request) -> dict[str, Any]:
    """Paint and write; imports torch, so only once the request is known to be sound."""
    from text2earth.zoo import find

    folder = find(request.model)
    from contextlib import ExitStack

    from text2earth.evaluation.strips import opened
    from text2earth.provenance import Origin
    from text2earth.sampling.bulk import model_identity
    from text2earth.world.ground_files import place_of, refuse_output, write_ground

    refuse_output(request.out, _area(request, 0, 0, []))
    hide_loading_bars()
    how = _how(request)
    with ExitStack() as stack:
        canvas = stack.enter_context(opened(request.image)) if request.image else None
        windows, area = _windows(request, canvas, how)
        refuse_output(request.out, area)
        place = place_of(request.image, area) if request.image else {}
        identity = model_identity(folder, name=Path(request.model).resolve().name)
        ground = _ground(request, canvas, area, model=identity.sha256)
        stack.callback(ground.close)
        painted = _painted(ground, windows, how)
        further = (("windows", str(painted)), ("overlap", str(request.overlap)))
        said = " | ".join(request.prompts)
        level = how.level
        origin = Origin(
            identity.name, said, level, request.seed, request.steps, request.guidance, further, identity.sha256
        )
        write_ground(ground, request.out, origin=origin, place=place)
        ground.remove()
    size = {"width": area.width, "height": area.height, "left": -area.x, "up": -area.y}
    return {"out": str(request.out), **size, "windows": painted, **origin.tags()}


def _how(request: _Request) -> Outpainting:
    from text2earth.conditioning import parse
    from text2earth.sampling import Text2EarthInpaintPipeline, load
    from text2earth.world.outpainting import Outpainting

    level = parse(request.prompts[0], level=request.level).level
    loaded = load(request.model)
    settings = {"trained_levels": loaded.config.trained_levels, "text_windows": loaded.config.text_windows}
    pipeline = Text2EarthInpaintPipeline(**loaded.components, **settings)
    pipeline.set_progress_bar_config(disable=True)
    trained = pipeline.config.trained_levels
    if trained and level and level not in trained:
        typer.echo(f"warning: level {level} was not trained on; trained levels are {trained}", err=True)
    return Outpainting(
        pipeline,
        request.waypoints(),
        level,
        request.seed,
        request.steps,
        request.guidance,
        request.overlap,
        request.blend,
    )


def _area(request: _Request, width: int, height: int, windows: list[Box]) -> Box:
    """Return the box around the image and all that is painted."""
    from text2earth.world.box import Box

    left, right, up, down = request.margins
    if not request.path:
        return Box(-left, -up, max(width + left + right, 1), max(height + up + down, 1))
    boxes = [*windows, *([Box(0, 0, width, height)] if width else [])] or [Box(0, 0, 1, 1)]
    west, north = min(box.x for box in boxes), min(box.y for box in boxes)
    return Box(west, north, max(box.right for box in boxes) - west, max(box.bottom for box in boxes) - north)


def _windows(request: _Request, canvas: Canvas | None, how: Outpainting) -> tuple[list[Box], Box]:
    """Return the windows in their order, and the area that they lie in."""
    from text2earth.world.box import Box
    from text2earth.world.outpainting import area_windows, path_windows

    given = None if canvas is None else Box(0, 0, canvas.width, canvas.height)
    size = (0, 0) if given is None else (given.width, given.height)
    if not request.path:
        area = _area(request, *size, [])
        return area_windows(given, area, side=how.side, stride=how.stride), area
    windows = path_windows(request.path, side=how.side, stride=how.stride, unit=how.unit)
    if given is not None and windows[0].overlap(given) is None:
        x, y = request.path[0]
        raise RequestError(
            f"the path begins at {x:g},{y:g}, from where a window of {how.side} px sees nothing of the image "
            f"({given.width}×{given.height} px); begin inside it"
        )
    return windows, _area(request, *size, windows)


def _ground(request: _Request, canvas: Canvas | None, area: Box, *, model: str) -> FileGround:
    """Return the ground with the image in it, begun or as an earlier run of the same request left it."""
    from git10m.shards import file_sha256
    from text2earth.world.box import Box
    from text2earth.world.grounds import FileGround

    facts = {
        "model": model,
        "image": file_sha256(request.image) if request.image else None,
        "prompts": [[each.prompt, each.x, each.y] for each in request.waypoints()],
        "area": [area.x, area.y, area.width, area.height],
        "path": [list(point) for point in request.path],
        **{name: getattr(request, name) for name in ("level", "seed", "steps", "guidance", "overlap", "blend")},
    }
    ground = FileGround(request.out.with_name(f"{request.out.name}.work"), area, facts)
    if not ground.has_begun:
        for row in range(0, canvas.height if canvas else 0, _LINES):
            assert canvas is not None
            box = Box(0, row, canvas.width, min(_LINES, canvas.height - row))
            ground.put(box, *canvas.read(row, 0, box.height, box.width))
        ground.note(0)
    return ground


def _painted(ground: FileGround, windows: list[Box], how: Outpainting) -> int:
    """Paint what an earlier run has not, and return the number of windows."""
    from tqdm import tqdm

    from text2earth.world.outpainting import outpaint as paint
    from text2earth.world.outpainting import unfinished

    needed = unfinished(ground, windows)
    with tqdm(total=len(needed), initial=ground.done, desc="paint", unit="window", disable=None) as bar:
        for done in paint(ground, needed, how=how, done=ground.done):
            ground.note(done)
            bar.update()
    return len(needed)
