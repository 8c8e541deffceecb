"""Measuring: seams of an image, a world of tiles, what a model paints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars, show
from text2earth.cli.asking_world import (
    WorldAreas,
    WorldBase,
    WorldBatch,
    WorldMode,
    WorldOptions,
    WorldPrompt,
    WorldSeed,
    WorldSteps,
    WorldThreads,
)
from text2earth.errors import ModelError, RequestError

if TYPE_CHECKING:
    from text2earth.evaluation import Measures, Painting

__all__ = ["painting", "seams", "world"]

_evaluate = typer.Typer(help="Measure what was painted, beside what is real.", no_args_is_help=True)
app.add_typer(_evaluate, name="evaluate")

_Row = tuple[str, ...]


@_evaluate.command("seams")
def seams(
    image: Annotated[Path, typer.Argument(help="Image of 8-bit grey or RGB: GeoTIFF, PNG, JPEG.")],
    stride: Annotated[int, typer.Option(help="Distance of the seams, pixels: a window less its overlap.")],
    offset: Annotated[int, typer.Option(help="Column and row of the first seam.")] = 0,
    real: Annotated[Path | None, typer.Option(help="Real image to measure beside it, best of the same size.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure seams, repetition and sharpness of an image of any size."""
    from text2earth.evaluation import measure_seams

    found = measure_seams(image, stride=stride, offset=offset)
    control = measure_seams(real, stride=stride, offset=offset) if real else None
    report = {"image": str(image), **_measures(found), "real": None}
    if control is not None and real is not None:
        report["real"] = {"image": str(real), **_measures(control)}
        report["high_pass_ratio"] = found.high_pass_energy / max(control.high_pass_energy, 1e-12)
    names = (image.name, real.name) if real else (image.name,)
    show(report, as_json=as_json, text=_table(names, [found] if control is None else [found, control]))


@_evaluate.command("painting")
def painting(
    model: Annotated[str, typer.Argument(help="Model folder, or name of a zoo model.")],
    trained: Annotated[Path, typer.Option(help="Dataset folder that it was trained on.")],
    held_out: Annotated[Path, typer.Option(help="Dataset folder of scenes that it never saw.")],
    images: Annotated[int, typer.Option(help="Images of each word, and of all levels together.")] = 64,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 20,
    guidance: Annotated[float, typer.Option(help="Guidance scale; 1 is none.")] = 3.0,
    seed: Annotated[int, typer.Option(help="Of the noise and of the levels drawn.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a small text-to-image model: autoencoder, sharpness, words, levels, memory of training images."""
    from text2earth.evaluation import Settings, measure, read_patches
    from text2earth.sampling import Text2EarthPipeline, load

    settings = Settings(images=images, steps=steps, guidance_scale=guidance, seed=seed)
    hide_loading_bars()
    pipeline = load(model)
    if not isinstance(pipeline, Text2EarthPipeline):
        raise ModelError(f"{model} is no text-to-image model; give one, such as text2earth-tiny")
    pipeline.set_progress_bar_config(disable=True)
    patches = [read_patches(folder, size=pipeline.image_size) for folder in (trained, held_out)]
    found = measure(pipeline, trained=patches[0], held_out=patches[1], settings=settings)
    pairs = {" / ".join(pair): share for pair, share in found.word_pairs.items()}
    report = {"model": model, **asdict(found), "word_pairs": pairs}
    show(report, as_json=as_json, text="\n".join(_painting_lines(found)))


@_evaluate.command("world")
def world(
    model: Annotated[str, typer.Argument(help="Folder of a cascade, or name of a zoo model.")],
    families: Annotated[int, typer.Option(help="Tiles that are compared with their children.")] = 20,
    tiles: Annotated[int, typer.Option(help="Tiles that are asked for three times.")] = 20,
    draw: Annotated[int, typer.Option(help="Seed of the draw of tiles.")] = 0,
    seed: WorldSeed = 0,
    prompt: WorldPrompt = "",
    areas: WorldAreas = None,
    base: WorldBase = None,
    mode: WorldMode = None,
    steps: WorldSteps = None,
    threads: WorldThreads = None,
    batch: WorldBatch = 8,
    as_json: AsJson = False,
) -> None:
    """Measure a world: whether children agree with their parents, and tiles are the same each time. Without a cache."""
    if families < 1 or tiles < 1:
        raise RequestError(f"--families {families} and --tiles {tiles} were given; at least 1 of each is needed")
    options = WorldOptions(
        model,
        seed=seed,
        prompt=prompt,
        areas=areas,
        base=base,
        mode=mode,
        steps=steps,
        threads=threads,
        batch=batch,
    )
    from text2earth.evaluation import determinism, drawn_tiles, family_agreement

    hide_loading_bars()
    opened = options.open()
    doublings = opened.model.network.factor.bit_length() - 1
    agreements = {
        name: family_agreement(opened, drawn_tiles(opened, families, seed=draw, levels=levels), levels=below)
        for name, levels, below in (
            ("next zoom", tuple(range(opened.minzoom, opened.maxzoom)), 1),
            ("next stage", opened.model.levels[:-1], doublings),
        )
        if levels
    }
    levels = tuple(range(opened.minzoom, opened.maxzoom + 1))
    same = determinism(options.open, drawn_tiles(opened, tiles, seed=draw, levels=levels))
    report = {
        "model": model,
        "fingerprint": opened.fingerprint,
        "families": {name: {"families": families, **asdict(each)} for name, each in agreements.items()},
        "determinism": {**asdict(same), "is_exact": same.is_exact},
    }
    lines = [
        f"{families} tiles and their {name}: {each.equal:.4%} of pixels equal, largest difference {each.largest}"
        for name, each in agreements.items()
    ]
    lines.append(
        f"{same.tiles} tiles asked for twice, and in the other order of a world opened anew: "
        + ("the same bytes" if same.is_exact else f"{len(same.differing)} differ: {same.differing[:5]}")
    )
    show(report, as_json=as_json, text="\n".join(lines))


def _measures(found: Measures) -> dict[str, Any]:
    """Return measures as plain JSON."""
    report = asdict(found)
    for row, seam in zip(report["seams"], found.seams, strict=True):
        row |= {"is_inside": seam.is_inside, "modulation": seam.modulation}
    return {**report, "is_seamless": found.is_seamless, "periodicity": found.periodicity}


def _table(names: tuple[str, ...], found: list[Measures]) -> str:
    """Return measures of one image, or of two side by side, as text."""
    first = found[0]
    rows: list[_Row] = [
        (f"seams every {first.stride} px", *names),
        ("size, px", *(f"{each.width}×{each.height}" for each in found)),
    ]
    for seams_of_one in zip(*(each.seams for each in found), strict=True):
        told = (
            f"{seam.value:.3f}, {'inside' if seam.is_inside else 'OUTSIDE'} {seam.low:.3f}…{seam.high:.3f}"
            for seam in seams_of_one
        )
        head = f"{seams_of_one[0].axis}, {seams_of_one[0].kind}"
        rows += [
            (head, *told),
            ("  over other phases", *(f"{seam.ratio:.3f}" for seam in seams_of_one)),
            ("  wave of the stride", *(f"{seam.modulation:.3f}" for seam in seams_of_one)),
        ]
    lags = sorted({(each.axis, each.lag) for one in found for each in one.repetitions})
    for axis, lag in lags:
        scores = [{(each.axis, each.lag): each.score for each in one.repetitions}.get((axis, lag)) for one in found]
        told = ("not measured" if score is None else f"{score:+.4f}" for score in scores)
        rows.append((f"{axis}, repetition at {lag} px", *told))
    rows.append(("high-pass energy", *(f"{each.high_pass_energy:.6f}" for each in found)))
    rows.append(("slope of the spectrum", *(f"{each.spectral_slope:.2f}" for each in found)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *_verdict(found)])


def _verdict(found: list[Measures]) -> list[str]:
    first = found[0]
    out = [f"{seam.kind} of {seam.axis}" for seam in first.seams if not seam.is_inside]
    chance = "; by chance each of the four does once in twenty images"
    lines = [f"seams stand out: {', '.join(out)}{chance}" if out else "no seam stands out"]
    control = f" (real: {found[1].periodicity:.4f})" if len(found) > 1 else ""
    lines.append(f"periodicity {first.periodicity:.4f}{control}; 0 is ideal")
    if len(found) > 1:
        ratio = first.high_pass_energy / max(found[1].high_pass_energy, 1e-12)
        lines.append(f"high-pass energy {ratio:.2f} × real")
    return lines


def _painting_lines(found: Painting) -> list[str]:
    return [
        f"autoencoder        {found.psnr_db:.1f} dB on images that it never saw",
        f"high-pass energy   {found.high_pass_ratio:.2f} × real",
        *(f"{one} or {other}: {share:.0%} called right" for (one, other), share in found.word_pairs.items()),
        f"level              ρ = {found.level_correlation:.2f} of asked and read",
        f"nearest image      {found.nearest_painted:.1f} from painted to trained, {found.nearest_real:.1f} among these "
        f"({found.nearest_alike:.1f} from those of the same captions)",
    ]
