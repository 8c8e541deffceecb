"""``README.md``: the dataset card, with the front matter by which the hub and ``datasets`` find the shards."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2
import pyarrow as pa

from git10m import records
from git10m.publish.index import INDEX_COLUMNS, SPLITS
from git10m.publish.licences import hub_licences, strictest, understand
from git10m.publish.manifest import read_manifest, write_text
from git10m.publish.survey import Survey, survey
from git10m.records import GIT10M_COLUMNS

__all__ = ["Form", "render_card", "write_card"]

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_BUILT = {
    "data/": "the rows with their images: Hugging Face dataset and GeoParquet 1.1 at once",
    "index.parquet": "the same rows without images, with the shard and position of each",
    "rejected.parquet": "planned tiles that did not become rows, why, and a thumbnail",
    "manifest.json": "recipe, counts, hashes of the files, versions",
    "report.html": "map, counts and pictures; opens offline",
}


@dataclass(frozen=True, slots=True)
class Form:
    """In which form a dataset lies in the folder that a card describes.

    Attributes:
        name: ``"hub"`` (a dataset folder as it is), ``"webdataset"`` or ``"git10m"``.
        files: What each file or folder is, by name.
        endings: Endings of the images, ``"jpg"``; only tars have one configuration for each.
        text_column: Whether the seven columns of Git-10M gave way to its older single ``text``.
        features: Features of a tar's samples as JSON, by ending; they cannot be read off tars safely.
        creator: Who publishes.
        url: Where.
        year: When.
    """

    name: str = "hub"
    files: Mapping[str, str] | None = None
    endings: Sequence[str] = ("jpg",)
    text_column: bool = False
    features: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
    creator: str | None = None
    url: str | None = None
    year: int | None = None


def write_card(folder: Path) -> None:
    """Write ``README.md`` of a dataset folder.

    Args:
        folder: Finished dataset folder, with its ``manifest.json``; what its index says of the rows stands in the card.

    Raises:
        DatasetError: If the folder has no readable manifest.
    """
    index = folder / "index.parquet"
    found = survey(index) if index.is_file() else None
    write_text(folder / "README.md", render_card(read_manifest(folder), found=found, form=Form()))


def render_card(manifest: Mapping[str, Any], *, found: Survey | None, form: Form) -> str:
    """Return the text of a card.

    Args:
        manifest: Of what the card describes.
        found: What the index says of its rows; None: the card keeps to the manifest.
        form: How it lies there.
    """
    return _template().render(**_card_values(manifest, found, form))


@cache
def _template() -> jinja2.Template:
    """Return the card's template, compiled once."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("git10m", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; `cell` and `json` below make text safe where it stands.
    )
    environment.filters.update(cell=_cell, json=_json, thousands="{:,}".format, slug=_slug, kind=_kind)
    return environment.get_template("card.md.j2")


def _card_values(manifest: Mapping[str, Any], found: Survey | None, form: Form) -> dict[str, Any]:
    counts, files = manifest["counts"], manifest.get("files", {})
    shards = {name: facts for name, facts in files.items() if name.startswith("data/")}
    kept = int(counts["kept"])
    licences = list(manifest.get("licences", []))
    if found is not None and found.licences.get("unstated"):
        licences.append(None)
    facts = manifest.get("fact_sources") or []
    recipe = manifest.get("recipe") or {}
    resolved = (manifest.get("inputs") or {}).get("recipe") or {}
    return {
        "manifest": manifest,
        "form": form,
        "files": _BUILT if form.files is None else form.files,
        "counts": counts,
        "dropped": sum(counts.get("dropped", {}).values()),
        "failed": sum(counts.get("failed", {}).values()),
        "levels": sorted(counts.get("levels", {}).items(), key=lambda entry: int(entry[0])),
        "splits": _splits(counts.get("splits", {}), shards),
        "megabytes": sum(int(facts.get("bytes", 0)) for facts in shards.values()) / 1e6,
        "sources": _sources(manifest, found if form.files is not None else None),
        "facts": facts,
        "licence": hub_licences(licences),
        "licence_name": _licence_name(licences),
        "licence_link": "NOTICE" if form.files is not None and "NOTICE" in form.files else None,
        "asks": strictest([*licences, *(fact["licence"] for fact in facts if fact.get("licence"))]),
        "found": found,
        "present": {"-".join(PurePosixPath(name).name.split("-")[:2]) + "-" for name in shards},
        "left_out": (manifest.get("published") or {}).get("left_out") or {},
        "size": next((name for limit, name in _SIZES if kept < limit), "n>1T" if kept >= 10**12 else "1B<n<10B"),
        "columns": _columns(form, manifest),
        "index_only": set(INDEX_COLUMNS),
        "curation": (resolved or recipe).get("curation"),
        "lossy": "sampling" not in manifest and (recipe.get("image") or {}).get("format", "jpeg") != "png",
        "oversample": bool((recipe.get("tiles") or {}).get("oversample")),
        "has_places": any(int(level) > 0 for level in counts.get("levels", {})),
    }


def _columns(form: Form, manifest: Mapping[str, Any]) -> dict[str, records.Column]:
    every = {**records.columns(), **INDEX_COLUMNS}
    if form.name == "git10m":
        if form.text_column:
            meaning = "'LEVEL_GOOGLE_LEVEL_CAPTION', the older form of Git-10M; level 0: resolution unknown"
            return {"image": every["image"], "text": records.Column(records.columns()["caption"].type, meaning)}
        return {name: every[name] for name in GIT10M_COLUMNS}
    further = {
        records.modality_column(name): records.Column(records.IMAGE, f"further image of the same tile: {name}")
        for name in manifest.get("modalities") or {}
    }
    return {**every, **further}


def _splits(counts: Mapping[str, int], shards: Mapping[str, Any]) -> list[tuple[str, int]]:
    """List the splits that have rows: `datasets` fails on a pattern without files, and on files without rows."""
    present = {PurePosixPath(name).name.split("-")[0] for name, facts in shards.items() if facts.get("rows")}
    return [(split, int(counts.get(split, 0))) for split in SPLITS if split in present]


def _sources(manifest: Mapping[str, Any], found: Survey | None) -> list[dict[str, Any]]:
    """Group the files that were read by source, licence and credit line; of what is published, those that are in it."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for item in manifest.get("items", []):
        stated = (understand(item.get("licence")).name, item.get("attribution") or "")
        if found is not None and stated not in found.credits:
            continue
        licence, credit = item.get("licence") or "not stated", item.get("attribution") or "none asked for"
        group = groups.setdefault(
            (item["source_id"], licence, credit),
            {"id": item["source_id"], "licence": licence, "attribution": credit, "files": 0, "unread": 0},
        )
        group["files"] += 1
        group["unread"] += item.get("error") is not None
    rows = manifest["counts"].get("sources", {})
    return [{**group, "rows": int(rows.get(group["id"], 0))} for _, group in sorted(groups.items())]


def _licence_name(licences: Sequence[str | None]) -> str:
    """Name what the hub calls ``other``, in its form: small letters, digits, dots and hyphens."""
    named = {understand(licence).name: licence for licence in licences}
    if len(named) != 1:
        return "several-see-below"
    return re.sub(r"[^a-z0-9.]+", "-", (licences[0] or "not stated").lower()).strip("-")[:60]


def _kind(type_: pa.DataType) -> str:
    """Name a type for people: of nested ones only the names of the parts."""
    if pa.types.is_list(type_):
        return f"list of {_kind(type_.value_type)}"
    if pa.types.is_struct(type_):
        return f"struct of {', '.join(field.name for field in type_)}"
    return str(type_)


def _slug(value: Any) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-") or "dataset"


def _cell(value: Any) -> str:
    """Make text safe inside a Markdown table."""
    return html.escape(" ".join(str(value).split()), quote=False).replace("|", "\\|")


def _json(value: Any) -> str:
    """Write a value as JSON, which YAML reads too."""
    return json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, dict) else None)
