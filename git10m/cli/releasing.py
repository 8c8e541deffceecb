"""The command publish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from git10m.cli.asking import CORES, AsJson, DatasetFolder, Workers, app, existing, show

__all__ = [
    "publish",
]


@app.command()
def publish(
    folder: DatasetFolder,
    to: Annotated[
        str, typer.Option("--to", metavar="TARGET", help="FOLDER, s3://BUCKET/PREFIX or hf://datasets/OWNER/NAME.")
    ],
    form: Annotated[
        str, typer.Option("--format", help="hub (the folder), webdataset (tars) or git10m (its columns).")
    ] = "hub",
    allow_licence: Annotated[
        list[str] | None,
        typer.Option("--allow-licence", metavar="X", help="Publish rows of it all the same; repeatable."),
    ] = None,
    without_refused: Annotated[
        bool,
        typer.Option("--without-refused", help="Leave rows behind whose licence is refused, and publish the rest."),
    ] = False,
    with_rejected: Annotated[bool, typer.Option("--with-rejected", help="Publish rejected.parquet too.")] = False,
    text_column: Annotated[bool, typer.Option("--text-column", help="git10m: the older form, image and text.")] = False,
    name: Annotated[str | None, typer.Option(help="Publish under another name.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Hub: make the repository private.")] = False,
    revision: Annotated[str | None, typer.Option(help="Hub: branch.")] = None,
    creator: Annotated[str | None, typer.Option(help="Who publishes, for card and citation.")] = None,
    url: Annotated[str | None, typer.Option(help="Page of the dataset, for card and citation.")] = None,
    date: Annotated[str | None, typer.Option(help="Day of publication, YYYY-MM-DD.", show_default="today")] = None,
    check: Annotated[str, typer.Option(help="Before: everything, or hashes alone.")] = "everything",
    scratch: Annotated[
        Path | None, typer.Option(help="Folder for what has to be written first.", show_default="DIR/work")
    ] = None,
    workers: Workers = CORES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish a dataset with card, NOTICE, Croissant and STAC; run it again to go on after an interruption."""
    from git10m.engine import Engine
    from git10m.publish.publishing import publish as run
    from git10m.publish.release import Publication
    from git10m.publish.targets import open_target
    from git10m.verify import verify as everything

    existing(folder)
    _publishable(form, text_column=text_column, check=check, date=date)
    wanted = Publication(
        form=form,
        text_column=text_column,
        allowed=tuple(allow_licence or ()),
        without_refused=without_refused,
        with_rejected=with_rejected,
        name=name,
        creator=creator,
        url=url,
        date=date,
    )
    found = run(
        folder,
        open_target(to, dataset=folder, private=private, revision=revision),
        wanted=wanted,
        check=None if check == "hashes" else lambda each: everything(each, engine=Engine("processes", workers)),
        scratch=scratch,
        dry_run=dry_run,
    )
    show(found.as_json(), _published(found), as_json)


def _publishable(form: str, *, text_column: bool, check: str, date: str | None) -> None:
    from datetime import date as day

    from git10m.errors import RequestError
    from git10m.publish.publishing import FORMS

    if form not in FORMS:
        raise RequestError(f"--format {form}: expected {', '.join(FORMS[:-1])} or {FORMS[-1]}")
    if text_column and form != "git10m":
        raise RequestError("--text-column: is for --format git10m; leave it out, or add that")
    if check not in {"everything", "hashes"}:
        raise RequestError(f"--check {check}: expected everything or hashes")
    try:
        if date is not None and day.fromisoformat(date).isoformat() != date:
            raise ValueError
    except ValueError as error:
        raise RequestError(f"--date {date}: expected YYYY-MM-DD") from error


def _published(found: Any) -> str:
    left = "".join(f"\nleft behind: {rows:,} rows with something of {name}" for name, rows in found.left_out.items())
    licences = ", ".join(f"{name} {rows:,}" for name, rows in found.licences.items())
    if found.delivery is None:
        return f"{found.address}: {found.rows:,} rows would be published ({licences}); nothing was sent{left}"
    done = found.delivery
    sent = f"{done.sent} files sent ({done.bytes / 1e6:,.1f} MB), {done.kept} there already, {done.removed} removed"
    return f"{done.address}: {found.rows:,} rows published ({licences}); {sent}{left}"
