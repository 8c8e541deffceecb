"""What the commands share: the application, its options, the last line of output."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from text2earth.errors import ConfigError, RequestError

__all__ = ["AsJson", "app", "hide_loading_bars", "refuse_cascade", "show", "variables_of"]

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


def hide_loading_bars() -> None:
    """Show the progress of painting and training only: not that of reading weights, nor hints for coders."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    of_diffusers.disable_progress_bar()
    of_diffusers.set_verbosity_error()  # it warns of empty lists, and of a LoRA that leaves the text encoder alone
    of_transformers.disable_progress_bar()  # type: ignore[no-untyped-call]


def refuse_cascade(pipeline: Any, name: str) -> None:
    """Refuse a cascade where a model of latents is needed.

    Raises:
        RequestError: If the pipeline has no autoencoder.
    """
    if "low_encoder" in getattr(pipeline, "components", {}):
        raise RequestError(f"{name} is a cascade and has no autoencoder; 'text2earth sample' paints its windows")


def variables_of(given: list[str]) -> dict[str, str]:
    """Return the values of ``--var NAME=VALUE``."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ConfigError(f"--var {text} was given; write --var NAME=VALUE")
        found[name] = value
    return found


def show(report: dict[str, Any], *, as_json: bool, text: str) -> None:
    """Print the last line of stdout: the text, or the report as JSON."""
    typer.echo(json.dumps(report) if as_json else text)
