"""The command classify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from git10m.cli.asking import AsJson, Variables, app, show, variables_of

__all__ = ["classify"]


@app.command()
def classify(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Scenes, their bands and rules; a TOML file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of class rasters; made where there is none.")],
    var: Variables = None,
    as_json: AsJson = False,
) -> None:
    """Write class rasters from spectral indices, for the land cover of captions."""
    from git10m.captions.spectral import load_class_table, write_class_rasters

    shares = write_class_rasters(load_class_table(table, variables=variables_of(var)), folder=output)
    lines = [
        f"{name}: " + (", ".join(f"class {code} {share:.0%}" for code, share in found.items() if code) or "no class")
        for name, found in shares.items()
    ]
    show({"folder": str(output), "shares": shares}, "\n".join(lines), as_json)
