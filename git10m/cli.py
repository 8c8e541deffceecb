"""The command ``git10m``: parses, calls, prints."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from git10m.errors import Git10mError, RecipeError, VerificationError

__all__ = ["app", "main"]

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

_CORES = os.cpu_count() or 1


@app.command()
def build(
    recipe: RecipeFile,
    output: Output,
    var: Variables = None,
    workers: Workers = _CORES,
    engine: EngineOption = "processes",
    limit: Limit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be built, and stop.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Read unreadable tiles again, and files that were repaired.")
    ] = False,
    fetch_only: Annotated[
        bool, typer.Option("--fetch-only", help="Fetch what the build needs from servers, and stop.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build a dataset; run it again to go on after an interruption."""
    if dry_run:
        _plan(recipe, output, var, limit, as_json)
        return
    from git10m.building import build as run
    from git10m.building import fetch
    from git10m.engine import Engine

    loaded, said = _load(recipe, var)
    if fetch_only:
        where = {"root": recipe.parent.absolute(), "folder": output.absolute()}
        how = Engine(_engine_name(engine), workers)
        count = fetch(loaded, **where, engine=how, limit=limit, retry_failed=retry_failed)
        _show({"folder": str(output), "fetched": count}, f"{output}: {count:,} tiles and images came new", as_json)
        return
    result = run(
        loaded,
        root=recipe.parent.absolute(),
        folder=output.absolute(),
        engine=Engine(_engine_name(engine), workers),
        limit=limit,
        retry_failed=retry_failed,
        said=said,
    )
    for line in [*(f"skipped: {each}" for each in result.skipped), *(f"note: {each}" for each in result.remarks)]:
        _tell(line)
    if result.manifest is None:
        unfinished = {"folder": str(output), "finished": False, "skipped": list(result.skipped)}
        _show(unfinished, "this rank is done; others are still at work", as_json)
        return
    counts = result.manifest["counts"]
    if not result.fresh:
        _tell(f"{output} holds this dataset already")
    text = f"{output}: {_accounted(counts)}, {len(result.skipped)} scenes skipped\nreport: {output / 'report.html'}"
    facts = {"folder": str(output), "finished": True, "counts": counts, "skipped": list(result.skipped)}
    _show(facts, text, as_json)


@app.command()
def plan(
    recipe: RecipeFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the build would go.")] = Path("dataset"),
    var: Variables = None,
    limit: Limit = None,
    page: Annotated[Path | None, typer.Option("--map", help="Also write a page with a map, e.g. plan.html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a build would ask for: tiles, requests, bytes, time, disk, licences."""
    _plan(recipe, output, var, limit, as_json, page)


@app.command()
def preview(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Option("--out", help="Picture to write.")] = Path("preview.png"),
    tiles: Annotated[int, typer.Option(min=1, max=12, help="Tiles of each source and date.")] = 4,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the build would go; what is fetched is kept there.")
    ] = None,
    var: Variables = None,
    as_json: AsJson = False,
) -> None:
    """Show a few tiles of each source as one picture."""
    import tempfile

    from git10m.building import prepare
    from git10m.planning import write_preview

    _can_be_written("--out", out, ".png")
    loaded, _ = _load(recipe, var)
    with tempfile.TemporaryDirectory(prefix="git10m-preview-") as scratch:
        folder = output.absolute() if output is not None else Path(scratch)
        inputs, found = prepare(loaded, root=recipe.parent.absolute(), folder=folder)
        shown = write_preview(inputs, found, out.absolute(), tiles=tiles)
    for reason in shown["failed"]:
        _tell(f"failed: {reason}")
    _show(shown, f"{out}: {shown['tiles']} tiles, {len(shown['failed'])} could not be read", as_json)


@app.command()
def judge(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Option("--out", help="Page to write.")] = Path("verdicts.html"),
    tiles: Annotated[int, typer.Option(min=1, max=5000, help="Tiles to read, spread over the plan.")] = 400,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the build would go; what is fetched is kept there.")
    ] = None,
    var: Variables = None,
    as_json: AsJson = False,
) -> None:
    """Try the recipe's verdicts on a sample: what would go, with pictures, before anything goes."""
    import tempfile

    from git10m.building import prepare
    from git10m.planning import try_verdicts, write_trial

    _can_be_written("--out", out, ".html")
    loaded, _ = _load(recipe, var)
    with tempfile.TemporaryDirectory(prefix="git10m-judge-") as scratch:
        folder = output.absolute() if output is not None else Path(scratch)
        inputs, found = prepare(loaded, root=recipe.parent.absolute(), folder=folder)
        trial = try_verdicts(inputs, found, tiles=tiles)
    write_trial(trial, out.absolute(), name=loaded.name)
    said = trial.as_json()
    reasons = ", ".join(f"{reason} {count}" for reason, count in said["would_drop"].items()) or "nothing"
    read = f"{said['read']} of {said['planned']} planned tiles read"
    text = f"{out}: {read}, {said['would_keep']} would stay; {reasons} would go"
    _show({"page": str(out), **said}, text, as_json)


@app.command()
def caption(
    folder: DatasetFolder,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="Recipe whose [captions] are used; else the dataset's own.")
    ] = None,
    writer: Annotated[
        str | None, typer.Option("--writer", help="template, openai, transformers or none; else as the recipe says.")
    ] = None,
    var: Variables = None,
    facts: Annotated[
        str | None,
        typer.Option(
            "--facts", help="keep: those of the rows; new: from the recipe's layers, the default where it has any."
        ),
    ] = None,
    replace_given: Annotated[
        bool, typer.Option("--replace-given", help="Also replace captions that came with their images.")
    ] = False,
    export_batch: Annotated[
        Path | None,
        typer.Option("--export-batch", metavar="FOLDER", help="Write open requests as batch files, and stop."),
    ] = None,
    import_batch: Annotated[
        list[Path] | None,
        typer.Option("--import-batch", metavar="FILE", help="Take in results of a batch; repeatable."),
    ] = None,
    workers: Workers = _CORES,
    as_json: AsJson = False,
) -> None:
    """Write the captions of a dataset anew, without fetching anything; run it again to go on after an interruption."""
    from git10m.building.caption_batches import export_batch as export
    from git10m.building.caption_batches import import_batch as take_in
    from git10m.building.recaptioning import recaption
    from git10m.building.rewording import rewording_of
    from git10m.engine import Engine

    _existing(folder)
    how = rewording_of(
        folder.absolute(),
        recipe=recipe,
        variables=_variables(var),
        writer=writer,
        facts=facts,
        replace_given=replace_given,
    )
    if export_batch is not None:
        found = export(folder.absolute(), how, into=export_batch)
        _show(found, f"{export_batch}: {found['requests']:,} requests in {len(found['files'])} files", as_json)
        return
    batch = take_in(folder.absolute(), how, files=import_batch) if import_batch else None
    manifest = recaption(folder.absolute(), how, engine=Engine("processes", workers))
    told = manifest["captions"]
    by = ", ".join(f"{each['rows']:,} by {each['source']} {each['version'] or ''}" for each in told["writers"])
    text = f"{folder}: {told['rows']:,} captions ({by or 'none'}), {told['without']:,} rows without"
    _show({"folder": str(folder), "captions": told, "batch": batch}, text, as_json)


@app.command()
def status(folder: DatasetFolder, as_json: AsJson = False) -> None:
    """Say how far a build is."""
    from git10m.building import build_status

    _existing(folder)
    found = build_status(folder)
    text = (
        f"{folder}: not finished; tiles: {found['units']['done']} of {found['units']['planned'] or '?'} units done, "
        f"captions: {found['captions']['done']} of {found['captions']['planned'] or '?'} shards done, "
        f"rows: {found['shards']['done']} of {found['shards']['planned'] or '?'} shards done"
    )
    if found["finished"]:
        text = f"{folder}: finished; {_accounted(found['counts'])}"
    _show(found, text, as_json)


@app.command()
def verify(folder: DatasetFolder, workers: Workers = _CORES, as_json: AsJson = False) -> None:
    """Check every promise of a dataset and name what is broken."""
    from git10m.engine import Engine
    from git10m.verify import verify as check

    _existing(folder)
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

    _existing(folder)
    found = summarise(folder)
    _show(found, "\n".join(in_words(found)), as_json)


@app.command()
def report(
    folder: DatasetFolder,
    figure: Annotated[list[Path] | None, typer.Option("--figure", help="Picture to show first; repeatable.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another number draws other tiles to show.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write report.html anew."""
    from git10m.report import Figure, write_report

    _existing(folder)
    path = write_report(folder, extra_figures=[Figure.from_file(each) for each in figure or []], seed=seed)
    _show({"report": str(path)}, f"report: {path}", as_json)


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
    workers: Workers = _CORES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish a dataset with card, NOTICE, Croissant and STAC; run it again to go on after an interruption."""
    from git10m.engine import Engine
    from git10m.publish.publishing import publish as run
    from git10m.publish.release import Publication
    from git10m.publish.targets import open_target
    from git10m.verify import verify as everything

    _existing(folder)
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
    _show(found.as_json(), _published(found), as_json)


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

    _existing(folder)
    try:
        from git10m.curation.restorer_training import TrainingSettings, in_words, shape_for, train_restorer
        from git10m.curation.rrdb_weights import read_weights
    except ImportError as error:
        raise RequestError(
            f"train-restorer needs {error.name or 'torch'}, which is not installed: pip install 'git10m[restorer]'"
        ) from error
    start = read_weights(init) if init is not None else None
    settings = TrainingSettings(
        shape_for(scale, blocks=blocks, features=features, growth=growth, init=start),
        **{"steps": steps, "batch": batch, "patch": patch, "seed": seed, "learning_rate": learning_rate},
        **{"gradient": gradient, "min_quality": min_quality},
    )
    how = {"resume": resume, "save_every": save_every, "workers": workers}
    found = train_restorer(folder, out, settings=settings, init=start, **how)
    _show(found, in_words(found), as_json)


def main() -> None:
    """Run the command; errors of ours become one message and an exit code, 1 or 2."""
    try:
        app()
    except Git10mError as error:
        _tell(f"git10m: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _tell("git10m: interrupted; run the same command again to go on")
        sys.exit(130)


def _plan(
    recipe: Path, output: Path, var: list[str] | None, limit: int | None, as_json: bool, page: Path | None = None
) -> None:
    from git10m.planning import look_ahead, write_plan
    from git10m.planning.page import in_words

    if page is not None:
        _can_be_written("--map", page, ".html")
    loaded, _ = _load(recipe, var)
    found, _, tiles = look_ahead(loaded, root=recipe.parent.absolute(), folder=output.absolute(), limit=limit)
    for reason in found.skipped:
        _tell(f"skipped: {reason}")
    lines = in_words(found)
    if page is not None:
        write_plan(found, tiles, page.absolute(), name=loaded.name)
        lines.append(f"map: {page}")
    _show(found.as_json(), "\n".join(lines), as_json)


def _can_be_written(option: str, path: Path, suffix: str) -> None:
    from git10m.errors import RequestError

    if path.suffix.lower() != suffix or path.is_dir() or not path.absolute().parent.is_dir():
        raise RequestError(f"{option} {path}: give a {suffix} file in a folder that exists")


def _load(path: Path, var: list[str] | None) -> tuple[Any, Mapping[str, Any]]:
    """Return the recipe, and what its file says before values from outside are filled in."""
    from git10m.recipe import load_recipe, read_toml

    return load_recipe(path, variables=_variables(var)), read_toml(path)


def _variables(var: list[str] | None) -> dict[str, str]:
    variables = {}
    for pair in var or []:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise RecipeError(f"--var {pair}: expected NAME=VALUE")
        variables[name] = value
    return variables


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


def _engine_name(name: str) -> Any:
    if name not in {"processes", "ray", "rank"}:
        raise RecipeError(f"--engine {name}: expected processes, ray or rank")
    return name


def _existing(folder: Path) -> None:
    from git10m.errors import DatasetError

    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; give a dataset that git10m build made")


def _accounted(counts: Mapping[str, Any]) -> str:
    dropped, failed = sum(counts["dropped"].values()), sum(counts["failed"].values())
    return f"{counts['kept']} rows kept of {counts['planned']} planned tiles, {dropped} dropped, {failed} failed"


def _show(value: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print for a person, or one JSON object for a machine."""
    print(json.dumps(value, ensure_ascii=False, default=str) if as_json else text)


def _tell(message: str) -> None:
    print(message, file=sys.stderr)
