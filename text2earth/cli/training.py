"""Commands that train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars, show, variables_of

if TYPE_CHECKING:
    from text2earth.training.config import TrainConfig
    from text2earth.training.dry_run import Forecast

__all__ = ["average", "train"]


@app.command("train")
def train(
    config: Annotated[Path, typer.Argument(help="Training configuration, TOML.")],
    var: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of a ${NAME}; may be repeated.")] = None,
    output: Annotated[Path | None, typer.Option(help="Model folder; runs/NAME if left out.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Tell memory, time a step and duration; train nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on shards; run again, it goes on where it was stopped."""
    variables = variables_of(var or [])
    from text2earth.training import load_config
    from text2earth.training import train as run

    hide_loading_bars()
    read = load_config(config, variables=variables)
    if dry_run:
        _forecast(read, as_json=as_json)
        return
    folder = output or Path("runs") / read.name
    result = run(read, output=folder)
    report = {
        "model": str(result.folder),
        "parameters": result.parameters,
        "rows": result.identity.rows,
        "seen": result.tally.seen,
        "levels": {str(level): count for level, count in sorted(result.tally.levels.items())},
        "truncated_captions": result.tally.truncated,
        "skipped_rows": result.tally.skipped,
    }
    show(report, as_json=as_json, text=_train_text(report))


@app.command("average")
def average(
    model: Annotated[Path, typer.Argument(help="Model folder of a training with denoiser.ema_lengths.")],
    length: Annotated[float, typer.Option(help="Relative length of the average, 0–0.28; 0.05–0.15 is usual.")],
    output: Annotated[Path, typer.Option(help="Model folder to write.")],
    step: Annotated[int | None, typer.Option(help="Step that it ends at; the last if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a model of another average of the weights, after training (arXiv 2312.02696)."""
    hide_loading_bars()
    from text2earth.training.averaging import averaged_model

    averaged_model(model, output=output, length=length, step=step)
    report = {"model": str(output), "length": length, "step": step}
    show(report, as_json=as_json, text=f"model in {output}, its weights averaged with relative length {length}")


def _forecast(config: TrainConfig, *, as_json: bool) -> None:
    from dataclasses import asdict

    from text2earth.training.dry_run import forecast

    found = forecast(config)
    stages = [{**asdict(stage), "duration_s": stage.duration_s} for stage in found.stages]
    show({**asdict(found), "stages": stages}, as_json=as_json, text=_forecast_text(found))


def _forecast_text(found: Forecast) -> str:
    sizes = ", ".join(f"{name} {count:,}" for name, count in found.parameters.items())
    lines = [
        f"{found.rows:,} rows, {found.epochs:.1f} epochs; parameters: {sizes}",
        f"on {found.device}, {found.free_bytes / 2**30:.1f} GiB free",
    ]
    for stage in found.stages:
        memory = (
            f"{stage.state_bytes / 2**30:.2f} GiB of weights and optimiser, {stage.activation_bytes / 2**30:.2f} GiB"
        )
        peak = f", {stage.peak_bytes / 2**30:.2f} GiB measured in all" if stage.is_measured else ""
        how = "measured" if stage.is_measured else "reckoned: it does not fit this machine's memory"
        lines.append(
            f"{stage.name}: {memory} of activations a process{peak}; {stage.step_s:.3g} s a step ({how}, "
            f"{stage.flops / 1e9:,.0f} GFLOP), {stage.steps:,} steps in {_duration(stage.duration_s)}"
        )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _train_text(report: dict[str, Any]) -> str:
    skipped = "".join(f"\nnot used: {row}: {reason}" for row, reason in report["skipped_rows"].items())
    sizes = f"{sum(report['parameters'].values()):,} parameters, {report['rows']:,} rows"
    cut = f"{report['truncated_captions']:,} of {report['seen']:,} captions cut at the encoder's length"
    return f"model in {report['model']} ({sizes}; {cut}){skipped}"
