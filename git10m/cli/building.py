"""Commands that make datasets: build, plan, preview, judge, caption."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from git10m.cli.asking import (
    CORES,
    AsJson,
    DatasetFolder,
    EngineOption,
    Limit,
    Output,
    RecipeFile,
    Variables,
    Workers,
    accounted,
    app,
    can_be_written,
    engine_name,
    existing,
    load,
    show,
    tell,
    variables_of,
)

__all__ = [
    "build",
    "caption",
    "judge",
    "plan",
    "preview",
]


@app.command()
def build(
    recipe: RecipeFile,
    output: Output,
    var: Variables = None,
    workers: Workers = CORES,
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

    loaded, said = load(recipe, var)
    if fetch_only:
        where = {"root": recipe.parent.absolute(), "folder": output.absolute()}
        how = Engine(engine_name(engine), workers)
        count = fetch(loaded, **where, engine=how, limit=limit, retry_failed=retry_failed)
        show({"folder": str(output), "fetched": count}, f"{output}: {count:,} tiles and images came new", as_json)
        return
    result = run(
        loaded,
        root=recipe.parent.absolute(),
        folder=output.absolute(),
        engine=Engine(engine_name(engine), workers),
        limit=limit,
        retry_failed=retry_failed,
        said=said,
    )
    for line in [*(f"skipped: {each}" for each in result.skipped), *(f"note: {each}" for each in result.remarks)]:
        tell(line)
    if result.manifest is None:
        unfinished = {"folder": str(output), "finished": False, "skipped": list(result.skipped)}
        show(unfinished, "this rank is done; others are still at work", as_json)
        return
    counts = result.manifest["counts"]
    if not result.fresh:
        tell(f"{output} holds this dataset already")
    text = f"{output}: {accounted(counts)}, {len(result.skipped)} scenes skipped\nreport: {output / 'report.html'}"
    facts = {"folder": str(output), "finished": True, "counts": counts, "skipped": list(result.skipped)}
    show(facts, text, as_json)


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
    from git10m.planning import write_preview

    can_be_written("--out", out, ".png")
    with _looked_at(recipe, var, output) as (_, inputs, found):
        shown = write_preview(inputs, found, out.absolute(), tiles=tiles)
    for reason in shown["failed"]:
        tell(f"failed: {reason}")
    show(shown, f"{out}: {shown['tiles']} tiles, {len(shown['failed'])} could not be read", as_json)


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
    from git10m.planning import try_verdicts, write_trial

    can_be_written("--out", out, ".html")
    with _looked_at(recipe, var, output) as (loaded, inputs, found):
        trial = try_verdicts(inputs, found, tiles=tiles)
    write_trial(trial, out.absolute(), name=loaded.name)
    said = trial.as_json()
    reasons = ", ".join(f"{reason} {count}" for reason, count in said["would_drop"].items()) or "nothing"
    read = f"{said['read']} of {said['planned']} planned tiles read"
    text = f"{out}: {read}, {said['would_keep']} would stay; {reasons} would go"
    show({"page": str(out), **said}, text, as_json)


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
    workers: Workers = CORES,
    as_json: AsJson = False,
) -> None:
    """Write the captions of a dataset anew, without fetching anything; run it again to go on after an interruption."""
    from git10m.building.caption_batches import export_batch as export
    from git10m.building.caption_batches import import_batch as take_in
    from git10m.building.recaptioning import recaption
    from git10m.building.rewording import rewording_of
    from git10m.engine import Engine

    existing(folder)
    how = rewording_of(
        folder.absolute(),
        recipe=recipe,
        variables=variables_of(var),
        writer=writer,
        facts=facts,
        replace_given=replace_given,
    )
    if export_batch is not None:
        found = export(folder.absolute(), how, into=export_batch)
        show(found, f"{export_batch}: {found['requests']:,} requests in {len(found['files'])} files", as_json)
        return
    batch = take_in(folder.absolute(), how, files=import_batch) if import_batch else None
    manifest = recaption(folder.absolute(), how, engine=Engine("processes", workers))
    told = manifest["captions"]
    by = ", ".join(f"{each['rows']:,} by {each['source']} {each['version'] or ''}" for each in told["writers"])
    text = f"{folder}: {told['rows']:,} captions ({by or 'none'}), {told['without']:,} rows without"
    show({"folder": str(folder), "captions": told, "batch": batch}, text, as_json)


@contextmanager
def _looked_at(recipe: Path, var: list[str] | None, output: Path | None) -> Iterator[tuple[Any, Any, Any]]:
    """Give a recipe, its inputs and their plan; what is fetched goes to ``output``, else to a scratch folder."""
    import tempfile

    from git10m.building import prepare

    loaded, _ = load(recipe, var)
    with tempfile.TemporaryDirectory(prefix="git10m-look-") as scratch:
        folder = output.absolute() if output is not None else Path(scratch)
        yield (loaded, *prepare(loaded, root=recipe.parent.absolute(), folder=folder))


def _plan(
    recipe: Path, output: Path, var: list[str] | None, limit: int | None, as_json: bool, page: Path | None = None
) -> None:
    from git10m.planning import look_ahead, write_plan
    from git10m.planning.page import in_words

    if page is not None:
        can_be_written("--map", page, ".html")
    loaded, _ = load(recipe, var)
    found, _, tiles = look_ahead(loaded, root=recipe.parent.absolute(), folder=output.absolute(), limit=limit)
    for reason in found.skipped:
        tell(f"skipped: {reason}")
    lines = in_words(found)
    if page is not None:
        write_plan(found, tiles, page.absolute(), name=loaded.name)
        lines.append(f"map: {page}")
    show(found.as_json(), "\n".join(lines), as_json)
