"""What all commands share: options, how recipes are read, how answers are printed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from git10m.errors import RecipeError

__all__ = [
    "CORES",
    "AsJson",
    "DatasetFolder",
    "EngineOption",
    "Limit",
    "Output",
    "RecipeFile",
    "Variables",
    "Workers",
    "accounted",
    "app",
    "can_be_written",
    "engine_name",
    "existing",
    "load",
    "show",
    "tell",
    "variables_of",
]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Build datasets of satellite images and captions from your own imagery.",
)

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe, a TOML file.")]
DatasetFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Dataset folder.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Dataset folder; made where there is none.")]
Variables = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="Value of ${NAME} in the recipe; may be repeated."),
]
Workers = Annotated[int, typer.Option(help="Processes at once.", show_default="all cores")]
EngineOption = Annotated[str, typer.Option("--engine", help="processes, ray, or rank (one of a job array).")]
Limit = Annotated[int | None, typer.Option(min=1, help="Build at most so many tiles, spread over the plan.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout as the last line.")]

CORES = os.cpu_count() or 1


def load(path: Path, var: list[str] | None) -> tuple[Any, Mapping[str, Any]]:
    """Return the recipe, and what its file says before values from outside are filled in."""
    from git10m.recipe import load_recipe, read_toml

    return load_recipe(path, variables=variables_of(var)), read_toml(path)


def variables_of(var: list[str] | None) -> dict[str, str]:
    """Return the values of ``--var NAME=VALUE``."""
    variables = {}
    for pair in var or []:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise RecipeError(f"--var {pair}: expected NAME=VALUE")
        variables[name] = value
    return variables


def can_be_written(option: str, path: Path, suffix: str) -> None:
    """Refuse a file of another kind, or in a folder that is not there, before any work."""
    from git10m.errors import RequestError

    if path.suffix.lower() != suffix or path.is_dir() or not path.absolute().parent.is_dir():
        raise RequestError(f"{option} {path}: give a {suffix} file in a folder that exists")


def engine_name(name: str) -> Any:
    """Return the name of an engine, if there is one."""
    if name not in {"processes", "ray", "rank"}:
        raise RecipeError(f"--engine {name}: expected processes, ray or rank")
    return name


def existing(folder: Path) -> None:
    """Refuse a dataset folder that is not there."""
    from git10m.errors import DatasetError

    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; give a dataset that git10m build made")


def accounted(counts: Mapping[str, Any]) -> str:
    """Say what became of the planned tiles."""
    dropped, failed = sum(counts["dropped"].values()), sum(counts["failed"].values())
    return f"{counts['kept']} rows kept of {counts['planned']} planned tiles, {dropped} dropped, {failed} failed"


def show(value: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print for a person, or one JSON object for a machine."""
    print(json.dumps(value, ensure_ascii=False, default=str) if as_json else text)


def tell(message: str) -> None:
    """Print to stderr."""
    print(message, file=sys.stderr)
