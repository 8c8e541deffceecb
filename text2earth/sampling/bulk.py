"""Many images from a table of prompts, as shards in the row format of ``git10m``; resumable, exact.

A shard is the unit of work: it appears whole, under its final name, and is never made twice. A batch always has the
same size (the last is filled up with images that are thrown away), and each image has noise of its own seed: what it
looks like depends on its row alone, not on its neighbours, and not on where an earlier run was stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

from git10m import records
from git10m.grid import nominal_resolution_m
from git10m.shards import atomic_file, file_sha256, write_table
from text2earth.conditioning import Condition
from text2earth.errors import RequestError
from text2earth.provenance import Origin, encode_png
from text2earth.sampling.prompt_table import PromptRow

__all__ = ["BulkSettings", "ModelIdentity", "model_identity", "paint_table"]

_FURTHER = ("gsd_m", "lon", "lat", "month", "source")
_IDENTITY = "sampling.json"


@dataclass(frozen=True, slots=True)
class BulkSettings:
    """How the images of a table are painted.

    Args:
        steps: Denoising steps.
        guidance: Guidance scale; 1 is none.
        width: Pixels; the model's own if None.
        height: Pixels; the model's own if None.
        batch: Images that are painted at once, always.
        shard_rows: Images of a shard.

    Raises:
        RequestError: If a number is below 1.
    """

    steps: int = 50
    guidance: float = 4.0
    width: int | None = None
    height: int | None = None
    batch: int = 8
    shard_rows: int = 1000

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "shard_rows"):
            if getattr(self, name) < 1:
                raise RequestError(f"--{name.replace('_', '-')} is {getattr(self, name)}; at least 1 is needed")


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model paints, and under which licence.

    Args:
        name: Of the model, or its folder.
        sha256: Over its weights and configurations.
        licence: As its card says; None if it does not.
        card: Text of its card, with the credits of the imagery that it learnt from.
    """

    name: str
    sha256: str
    licence: str | None
    card: str


def model_identity(folder: Path, *, name: str, licence: str | None = None) -> ModelIdentity:
    """Return the identity of a model folder; reads all of its files once.

    Args:
        folder: Of the model.
        name: What it is called.
        licence: Where it is known from elsewhere than the card.
    """
    digest = hashlib.sha256()
    kept = (path for path in folder.rglob("*") if path.suffix in {".safetensors", ".json", ".txt"})
    for path in sorted(path for path in kept if path.relative_to(folder).parts[0] not in {"training", "samples"}):
        digest.update(f"{path.relative_to(folder)} {file_sha256(path)}\n".encode())
    card = (folder / "README.md").read_text(encoding="utf-8") if (folder / "README.md").is_file() else ""
    front = card.split("---")[1] if card.startswith("---") else ""
    stated = [line.partition(":")[2].strip() for line in front.splitlines() if line.startswith("license:")]
    return ModelIdentity(name, digest.hexdigest(), licence or (stated[0] if stated else None), card)


def paint_table(
    pipeline: Any, rows: Sequence[PromptRow], folder: Path, *, settings: BulkSettings, model: ModelIdentity
) -> dict[str, Any]:
    """Paint every row of a table into a dataset folder; goes on where an earlier run of the same was stopped.

    Args:
        pipeline: A ``Text2EarthPipeline``.
        rows: What is asked for.
        folder: Dataset folder: ``data/``, ``index.parquet``, ``rejected.parquet`` (empty), ``README.md``,
            ``manifest.json`` (last).
        settings: How.
        model: Who paints.

    Returns:
        Counts: ``rows``, ``painted`` (by this run) and ``shards``, and the fingerprint.

    Raises:
        RequestError: If the folder holds something else, or was begun with other settings (says which).
    """
    size = (settings.width or pipeline.image_size, settings.height or pipeline.image_size)
    settings = replace(settings, width=size[0], height=size[1])
    identity = _identity(pipeline, rows, settings, model)
    _claim(folder, identity)
    ordered = sorted(rows, key=lambda row: (row.condition.level, row.number))
    parts = [ordered[at : at + settings.shard_rows] for at in range(0, len(ordered), settings.shard_rows)]
    names = [folder / "data" / f"train-{number:05d}-of-{len(parts):05d}.parquet" for number in range(len(parts))]
    waiting = [(name, part) for name, part in zip(names, parts, strict=True) if not name.exists()]
    painted = sum(len(part) for _, part in waiting)
    with tqdm(total=len(rows), initial=len(rows) - painted, desc="paint", unit="image", disable=None) as bar:
        for name, part in waiting:
            made = []
            for start in range(0, len(part), settings.batch):
                batch = part[start : start + settings.batch]
                made += _rows(pipeline, batch, settings=settings, model=model)
                bar.update(len(batch))
            write_table(records.table(made), name)
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    _finish(folder, names, identity=identity, model=model, fingerprint=fingerprint)
    return {"rows": len(rows), "painted": painted, "shards": len(parts), "fingerprint": fingerprint}


def _identity(pipeline: Any, rows: Sequence[PromptRow], settings: BulkSettings, model: ModelIdentity) -> dict[str, Any]:
    """Return all that decides about the bytes of the shards, by names that a message can say."""
    asked = json.dumps([[row.number, _said(row.condition), row.seed] for row in rows], sort_keys=True)
    scheduler = {key: value for key, value in pipeline.scheduler.config.items() if not key.startswith("_")}
    return {
        "model": model.sha256,
        "prompts": hashlib.sha256(asked.encode()).hexdigest(),
        "steps": settings.steps,
        "guidance": settings.guidance,
        "width": settings.width,
        "height": settings.height,
        "batch": settings.batch,
        "shard_rows": settings.shard_rows,
        "scheduler": [type(pipeline.scheduler).__name__, json.dumps(scheduler, sort_keys=True, default=str)],
        "device": pipeline.device.type,
        "dtype": str(pipeline.vae.dtype).removeprefix("torch."),
    }


def _said(condition: Condition) -> dict[str, Any]:
    further = {name: getattr(condition, name) for name in _FURTHER}
    return {
        "prompt": condition.prompt,
        "level": condition.level,
        **{name: value for name, value in further.items() if value is not None},
    }


def _claim(folder: Path, identity: Mapping[str, Any]) -> None:
    """Make a folder this run's, or find that it is."""
    note = folder / "work" / _IDENTITY
    if note.is_file():
        for torn in (folder / "data").glob(".*.part"):  # of a run that was killed while it wrote
            torn.unlink()
        before = json.loads(note.read_text(encoding="utf-8"))
        other = [
            f"{key} {before.get(key)!r} → {value!r}" for key, value in identity.items() if before.get(key) != value
        ]
        if other:
            raise RequestError(
                f"{folder} was begun with other settings ({'; '.join(other)}); use the same to go on, or another folder"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise RequestError(f"{folder} holds something else; give a folder that is new, empty or begun by this command")
    (folder / "data").mkdir(parents=True, exist_ok=True)
    note.parent.mkdir(exist_ok=True)
    _write(note, json.dumps(identity, indent=2))


def _rows(
    pipeline: Any, batch: Sequence[PromptRow], *, settings: BulkSettings, model: ModelIdentity
) -> list[records.Row]:
    full = [*batch, *[batch[-1]] * (settings.batch - len(batch))]
    conditions = [row.condition for row in full]
    further = {name: [getattr(condition, name) for condition in conditions] for name in _FURTHER}
    images = pipeline(
        [condition.prompt for condition in conditions],
        [condition.level for condition in conditions],
        **{name: values for name, values in further.items() if any(value is not None for value in values)},
        height=settings.height,
        width=settings.width,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        generator=[torch.Generator().manual_seed(row.seed) for row in full],
    ).images
    return [
        _record(row, np.asarray(image), settings=settings, model=model)
        for row, image in zip(batch, images, strict=False)  # what fills the batch up is thrown away
    ]


def _record(
    row: PromptRow, pixels: npt.NDArray[np.uint8], *, settings: BulkSettings, model: ModelIdentity
) -> records.Row:
    condition = row.condition
    origin = Origin(model.name, condition.prompt, condition.level, row.seed, settings.steps, settings.guidance)
    encoded = encode_png(pixels, origin=origin)
    made = {
        "model_sha256": model.sha256,
        "seed": row.seed,
        "steps": settings.steps,
        "guidance_scale": settings.guidance,
        **{key: value for key, value in _said(condition).items() if key != "prompt"},
    }
    name = f"{row.number:08d}.png"
    return records.Row(
        image={"bytes": encoded, "path": name},
        img_name=name,
        caption=condition.prompt,
        caption_length=len(condition.prompt.split()),
        resolution=nominal_resolution_m(condition.level) if condition.level else None,
        level=condition.level,
        width=pixels.shape[1],
        height=pixels.shape[0],
        source_id=model.name,
        source_item=json.dumps(made, sort_keys=True),
        licence=model.licence,
        attribution=f"Synthetic image by the generative model {model.name}; it shows no real place",
        synthetic=True,
        sha256=hashlib.sha256(encoded).hexdigest(),
        valid_fraction=1.0,
        caption_source="prompt",
        split="train",
    )


def _finish(
    folder: Path, shards: Sequence[Path], *, identity: Mapping[str, Any], model: ModelIdentity, fingerprint: str
) -> None:
    """Write what tells of the whole dataset, the manifest last."""
    index = _index(folder, shards)
    write_table(index, folder / "index.parquet")
    # Whatever is asked for is painted: like every dataset folder it has the list of what was turned away, empty.
    write_table(records.schema(records.Rejection).empty_table(), folder / "rejected.parquet")
    _write(folder / "README.md", _card(folder.name, index.num_rows, model))
    if model.card:
        _write(folder / "MODEL_CARD.md", model.card)
    counts = {
        key: {str(value): count for value, count in Counter(index[column].to_pylist()).items()}
        for key, column in (("splits", "split"), ("levels", "level"), ("sources", "source_id"))
    }
    files = [*shards, folder / "index.parquet", folder / "rejected.parquet"]
    manifest = {
        "name": folder.name,
        "version": "1",
        "description": f"{index.num_rows:,} images that the model {model.name} painted from prompts.",
        "git10m_version": version("git10m"),
        "fingerprint": fingerprint,
        "recipe": None,
        "synthetic": True,
        "sampling": {**identity, "model_name": model.name, "licence": model.licence},
        "counts": {"planned": index.num_rows, "kept": index.num_rows, "dropped": {}, "failed": {}, **counts},
        "files": {
            path.relative_to(folder).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": file_sha256(path),
                "rows": pq.read_metadata(path).num_rows,
            }
            for path in files
        },
        "items": [],
        "licences": [model.licence] if model.licence else [],
        "attributions": sorted(index["attribution"].unique().to_pylist()),
        "versions": {name: version(name) for name in ("git10m", "torch", "diffusers", "transformers", "pillow")},
    }
    _write(folder / "manifest.json", json.dumps(manifest, indent=2))


def _index(folder: Path, shards: Sequence[Path]) -> pa.Table:
    """Return all rows without images, and where each stands, as ``git10m`` writes an index."""
    columns = records.schema(without=["image"])
    fields = [*columns, pa.field("file", pa.string()), pa.field("row", pa.int32())]
    features = records.huggingface_metadata({field.name: field.type for field in fields})
    schema = pa.schema(fields, metadata={**columns.metadata, b"huggingface": json.dumps(features).encode()})
    parts = []
    for path in shards:
        with pq.ParquetFile(path) as file:
            rows = file.read(columns=columns.names).select(columns.names)
        rows = rows.append_column("file", pa.array([path.relative_to(folder).as_posix()] * len(rows), pa.string()))
        parts.append(rows.append_column("row", pa.array(np.arange(len(rows), dtype=np.int32))))
    return pa.concat_tables(parts).cast(schema)


def _card(name: str, rows: int, model: ModelIdentity) -> str:
    licence = f"license: {model.licence.partition(' ')[0].lower()}\n" if model.licence else ""
    return f"""---
{licence}task_categories: [text-to-image]
tags: [synthetic, remote-sensing, text2earth]
---

# {name}

{rows:,} images that the generative model `{model.name}` (SHA-256 {model.sha256}) painted from prompts.

**Every image is synthetic and shows no real place**: each row says `synthetic = true`, each PNG carries the mark, and
whoever passes an image on should keep both. `source_item` says how an image was made: seed, steps, guidance and
conditions.

Licence of the model: {model.licence or "not stated"}. MODEL_CARD.md, where it is there, has the credits of the imagery
that the model learnt from; pass them on.
"""


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))
