"""The command ``text2earth``: parses, calls, prints.

Exit status 0 is done, 1 says that the work failed, 2 that the request was wrong. Progress goes to stderr; with
``--json`` the last line of stdout is one JSON object.
"""

from __future__ import annotations

import sys

import typer

from text2earth.cli import (
    adapting,
    canvas,
    encoding,
    evaluating,
    exporting,
    outpainting,
    painting,
    serving,
    training,
    zoo,
)
from text2earth.cli.asking import app
from text2earth.errors import Text2EarthError

__all__ = [
    "adapting",
    "app",
    "canvas",
    "encoding",
    "evaluating",
    "exporting",
    "main",
    "outpainting",
    "painting",
    "serving",
    "training",
    "zoo",
]


def main() -> None:
    """Run the command; errors become one message on stderr and the exit status of their kind."""
    try:
        app()
    except Text2EarthError as error:
        typer.echo(f"text2earth: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        typer.echo(f"text2earth: {error}; free the disk or mend its permissions, and run again", err=True)
        sys.exit(1)
