"""Painting from a table of prompts; the command is ``text2earth sample`` with a table in place of a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from text2earth.cli.asking import hide_loading_bars, refuse_cascade
from text2earth.errors import RequestError

__all__ = ["is_prompt_table", "paint_prompts"]


def is_prompt_table(text: str) -> bool:
    """Tell whether an argument is a table of prompts rather than a prompt: by its ending."""
    return text.lower().endswith((".csv", ".parquet"))


def paint_prompts(
    model: str, table: Path, out: Path, *, level: int | None, seed: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Paint every row of a table into a dataset folder, and return what was done.

    Args:
        model: Folder, or name of a zoo model.
        table: CSV or parquet.
        out: Dataset folder.
        level: Of rows that name none.
        seed: Of rows that name none, to which their number is added.
        settings: Fields of ``sampling.bulk.BulkSettings``.

    Raises:
        RequestError: If the request is impossible; before anything is loaded where that can be known.
    """
    from text2earth.sampling.prompt_table import read_prompts

    if out.suffix.lower() in {".png", ".tif", ".tiff"}:
        raise RequestError(
            f"--out is {out}; a table of prompts is painted into a folder of shards, such as --out {out.stem}"
        )
    rows = read_prompts(table, level=level, seed=seed)
    from text2earth.sampling import load
    from text2earth.sampling.bulk import BulkSettings, model_identity, paint_table
    from text2earth.zoo import ZOO, find

    chosen = BulkSettings(**settings)
    folder = find(model)
    hide_loading_bars()
    pipeline = load(folder)
    refuse_cascade(pipeline, model)
    pipeline.set_progress_bar_config(disable=True)
    known = ZOO.get(model)
    name = known.name if known else folder.resolve().name
    identity = model_identity(folder, name=name, licence=known.licence if known else None)
    report = paint_table(pipeline, rows, out, settings=chosen, model=identity)
    return {"out": str(out), **report}
