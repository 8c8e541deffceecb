"""The command train-restorer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from git10m.cli.asking import AsJson, DatasetFolder, app, existing, show

__all__ = [
    "train_restorer",
]


@app.command(name="train-restorer")
def train_restorer(
    folder: DatasetFolder,
    out: Annotated[Path, typer.Option("--out", help="File of weights to write, .safetensors.")],
    scale: Annotated[int, typer.Option(min=1, max=2, help="1: restore; 2: restore and enlarge.")] = 2,
    blocks: Annotated[int | None, typer.Option(min=1, help="Blocks; 23 as published, unless --init says.")] = None,
    features: Annotated[int | None, typer.Option(min=1, help="Features; 64 as published, unless --init says.")] = None,
    growth: Annotated[int | None, typer.Option(min=1, help="Growth; 32 as published, unless --init says.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the optimiser.")] = 100_000,
    batch: Annotated[int, typer.Option(min=1, help="Pictures a step.")] = 16,
    patch: Annotated[int, typer.Option(help="Pixels a side of the good pictures, a multiple of 4.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Of the first weights and of all examples.")] = 0,
    learning_rate: Annotated[float, typer.Option(help="The largest; it falls to nothing.")] = 2e-4,
    gradient: Annotated[float, typer.Option(help="Weight of the loss of gradients.")] = 0.0,
    min_quality: Annotated[float, typer.Option(help="Least score of a tile to learn from.")] = 5.5,
    init: Annotated[Path | None, typer.Option("--init", help="Weights to start from.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a training stopped.")] = False,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between states that can be gone on from.")] = 500,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make examples; 0: the training's own.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train a restorer on degraded copies of a dataset's good tiles."""
    from git10m.errors import RequestError

    existing(folder)
    try:
        from git10m.curation.restorer_training import TrainingSettings, in_words, shape_for
        from git10m.curation.restorer_training import train_restorer as run
        from git10m.curation.rrdb_weights import read_weights
    except ImportError as error:
        raise RequestError(
            f"train-restorer needs {error.name or 'torch'}, which is not installed: pip install 'git10m[restorer]'"
        ) from error
    start = read_weights(init) if init is not None else None
    settings = TrainingSettings(
        shape_for(scale, blocks=blocks, features=features, growth=growth, init=start),
        steps=steps,
        batch=batch,
        patch=patch,
        seed=seed,
        learning_rate=learning_rate,
        gradient=gradient,
        min_quality=min_quality,
    )
    found = run(folder, out, settings=settings, init=start, resume=resume, save_every=save_every, workers=workers)
    show(found, in_words(found), as_json)
