"""Commands that look at datasets: status, verify, stats, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from git10m.cli.asking import CORES, AsJson, DatasetFolder, Workers, accounted, app, existing, show
from git10m.errors import VerificationError

__all__ = [
    "report",
    "stats",
    "status",
    "verify",
]


@app.command()
def status(folder: DatasetFolder, as_json: AsJson = False) -> None:
    """Say how far a build is."""
    from git10m.building import build_status

    existing(folder)
    found = build_status(folder)
    text = (
        f"{folder}: not finished; tiles: {found['units']['done']} of {found['units']['planned'] or '?'} units done, "
        f"captions: {found['captions']['done']} of {found['captions']['planned'] or '?'} shards done, "
        f"rows: {found['shards']['done']} of {found['shards']['planned'] or '?'} shards done"
    )
    if found["finished"]:
        text = f"{folder}: finished; {accounted(found['counts'])}"
    show(found, text, as_json)


@app.command()
def verify(folder: DatasetFolder, workers: Workers = CORES, as_json: AsJson = False) -> None:
    """Check every promise of a dataset and name what is broken."""
    from git10m.engine import Engine
    from git10m.verify import verify as check

    existing(folder)
    findings = check(folder, engine=Engine("processes", workers))
    if as_json:
        print(json.dumps({"ok": not findings, "findings": [str(finding) for finding in findings]}))
    if findings:
        listed = "" if as_json else "\n" + "\n".join(f"  {finding}" for finding in findings)
        raise VerificationError(f"{folder}: {len(findings)} findings{listed}")
    if not as_json:
        print(f"{folder}: every promise is kept")


@app.command()
def stats(folder: DatasetFolder, as_json: AsJson = False) -> None:
    """Print counts and distributions of a dataset."""
    from git10m.report import in_words, summarise

    existing(folder)
    found = summarise(folder)
    show(found, "\n".join(in_words(found)), as_json)


@app.command()
def report(
    folder: DatasetFolder,
    figure: Annotated[list[Path] | None, typer.Option("--figure", help="Picture to show first; repeatable.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another number draws other tiles to show.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write report.html anew."""
    from git10m.report import Figure, write_report

    existing(folder)
    path = write_report(folder, extra_figures=[Figure.from_file(each) for each in figure or []], seed=seed)
    show({"report": str(path)}, f"report: {path}", as_json)
