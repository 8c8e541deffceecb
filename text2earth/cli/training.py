"""Commands that train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from text2earth.cli.asking import AsJson, app, hide_loading_bars, show, variables_of

__all__ = ["train"]


@app.command("train")
def train(
    config: Annotated[Path, typer.Argument(help="Training configuration, TOML.")],
    var: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of a ${NAME}; may be repeated.")] = None,
    output: Annotated[Path | None, typer.Option(help="Model folder; runs/NAME if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a model on shards; run again, it goes on where it was stopped."""
    variables = variables_of(var or [])
    from text2earth.training import load_config
    from text2earth.training import train as run

    hide_loading_bars()
    read = load_config(config, variables=variables)
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


def _train_text(report: dict[str, Any]) -> str:
    skipped = "".join(f"\nnot used: {row}: {reason}" for row, reason in report["skipped_rows"].items())
    sizes = f"{sum(report['parameters'].values()):,} parameters, {report['rows']:,} rows"
    cut = f"{report['truncated_captions']:,} of {report['seen']:,} captions cut at the encoder's length"
    return f"model in {report['model']} ({sizes}; {cut}){skipped}"
