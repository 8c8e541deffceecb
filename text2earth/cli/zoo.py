"""Commands about models that have a name, and about layouts of models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from text2earth.cli.asking import AsJson, app, show
from text2earth.errors import ModelError

__all__ = ["convert", "zoo"]

_GIB = 2.0**30
_BYTES = {"float16": 2, "float32": 4}


@app.command("zoo")
def zoo(
    name: Annotated[str | None, typer.Argument(help="One model, told in full; all in a table if left out.")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch its newest commit from the hub, and check it.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the models that have a name: what they are, where they are, under which licence, how large."""
    from text2earth.zoo import ZOO
    from text2earth.zoo import fetch as fetched

    if name is None:
        if fetch:
            raise ModelError("--fetch was given without a model; name one: " + ", ".join(ZOO))
        rows = [_described(each) for each in ZOO]
        show({"models": rows}, as_json=as_json, text=_table(rows))
        return
    if name not in ZOO:
        raise ModelError(f"the zoo has no model {name!r}; it has {', '.join(ZOO)}")
    folder = fetched(ZOO[name], again=True) if fetch else None
    row = {**_described(name), **({"folder": str(folder)} if folder else {})}
    show(row, as_json=as_json, text="\n".join(_told(row)))


@app.command("convert")
def convert(
    source: Annotated[str, typer.Argument(help="Model folder, name of a zoo model, or single .safetensors file.")],
    target: Annotated[Path, typer.Argument(help="Folder or .safetensors file that is written; must not exist.")],
    layout: Annotated[
        Literal["text2earth", "stable-diffusion"],
        typer.Option(help="Of a folder: ours, or one that stock pipelines of diffusers open."),
    ] = "text2earth",
    dtype: Annotated[
        Literal["float16", "bfloat16", "float32"] | None, typer.Option(help="Of the weights; as stored if left out.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Model folder of the same shape, for a single file that does not say its own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a model in another layout or precision; a single file has the names of Stable Diffusion 2."""
    import torch

    from text2earth.converting import convert as run
    from text2earth.zoo import find

    path = Path(source)
    found = path if path.suffix == ".safetensors" or path.suffix in {".ckpt", ".pt", ".bin"} else find(source)
    done = run(found, target, layout=layout, dtype=getattr(torch, dtype) if dtype else None, config=config)
    report = {
        "out": str(done.path),
        "layout": done.layout,
        "parameters": dict(done.parameters),
        "dtypes": dict(done.dtypes),
    }
    sizes = ", ".join(f"{name} {count:,} {done.dtypes[name]}" for name, count in done.parameters.items())
    show(report, as_json=as_json, text=f"wrote {done.path} ({done.layout}: {sizes})")


def _described(name: str) -> dict[str, Any]:
    """Return what is known of a model, as plain JSON; what is not known is null."""
    from text2earth.zoo import ZOO
    from text2earth.zoo.hub import noted
    from text2earth.zoo.shipped import shipped_parameters

    model = ZOO[name]
    shipped = model.status == "shipped"
    parameters = shipped_parameters(model.shipped) if shipped else model.parameters
    note = noted(model) if model.hub and not shipped else None
    known = dict(model.hub.sha256) if model.hub else {}
    return {
        "name": model.name,
        "kind": model.kind,
        "architecture": model.architecture,
        "status": model.status,
        "parameters": parameters,
        "memory_gib": {kind: round(parameters * size / _GIB, 2) for kind, size in _BYTES.items()}
        if parameters
        else None,
        "licence": model.licence,
        "card": model.card,
        "hub": model.hub.repository if model.hub else None,
        "revision": note["revision"] if note else model.hub.revision if model.hub else None,
        "fetched": note is not None,
        "sha256": {path: said["sha256"] for path, said in note["files"].items() if said["sha256"]} if note else known,
        "recipe": f"text2earth train {model.recipe} --output runs/{model.name}" if model.recipe else None,
    }


def _table(rows: list[dict[str, Any]]) -> str:
    """Return the models as a table of text."""
    head = ("name", "kind", "status", "parameters", "GiB fp16/fp32", "licence", "architecture")
    cells = [
        (
            row["name"],
            row["kind"],
            row["status"],
            f"{row['parameters']:,}" if row["parameters"] else "",
            f"{row['memory_gib']['float16']}/{row['memory_gib']['float32']}" if row["memory_gib"] else "",
            row["licence"].partition(" (")[0],
            row["architecture"],
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (head, *cells)) for column in range(len(head))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in (head, *cells)]
    return "\n".join(line.rstrip() for line in [*lines, "", "text2earth zoo NAME tells more of one"])


def _told(row: dict[str, Any]) -> list[str]:
    """Return one model, a line for each thing that is known."""
    memory = row["memory_gib"]
    weights = (
        f"{memory['float16']} GiB in float16, {memory['float32']} GiB in float32 (weights alone)" if memory else None
    )
    revision = row["revision"] or ("that of the first fetch; the hub's own hashes are checked" if row["hub"] else None)
    lines = {
        "architecture": row["architecture"],
        "status": row["status"] + (", fetched" if row["fetched"] else ""),
        "parameters": f"{row['parameters']:,}" if row["parameters"] else None,
        "memory": weights,
        "licence": row["licence"],
        "card": row["card"],
        "hub": row["hub"],
        "revision": revision,
        **{f"sha256 of {path}": value for path, value in row["sha256"].items()},
        "trained by": row["recipe"],
        "folder": row.get("folder"),
    }
    return [f"{row['name']} ({row['kind']})", *(f"  {name}: {value}" for name, value in lines.items() if value)]
