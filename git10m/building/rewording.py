"""How a dataset's captions are to be written anew: its own recipe or another, and what of it the command changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from git10m.building.inputs import layer_digests, write_computed
from git10m.building.recaptioning import Rewording
from git10m.building.workspace import Workspace
from git10m.captions.objects import prepare_objects
from git10m.errors import RecipeError
from git10m.publish import read_manifest
from git10m.recipe import Captions, Synthetic, is_address, parse_captions, read_toml

__all__ = ["rewording_of"]

_LAYERS = ("land_cover", "areas", "objects", "relief")
_MARGIN_DEG = 0.1
"""Around rows, within which objects are read."""


def rewording_of(
    folder: Path,
    *,
    recipe: Path | None = None,
    variables: Mapping[str, str] | None = None,
    writer: str | None = None,
    facts: str | None = None,
    replace_given: bool = False,
) -> Rewording:
    """Return how captions are written anew.

    Args:
        folder: The dataset.
        recipe: A recipe whose table ``captions`` is used; it may hold nothing else. None: the dataset's own.
        variables: Values of ``${NAME}``.
        writer: In place of the recipe's.
        facts: ``"keep"``: those of the rows; ``"new"``: from the recipe's layers; None: new where a recipe that is
            given has other layers than the dataset's facts are from.
        replace_given: Also replace captions that came with their images.

    Raises:
        DatasetError: If the folder is no dataset.
        RecipeError: If the recipe cannot be read, or has no captions.
    """
    if facts not in {None, "keep", "new"}:
        raise RecipeError(f"--facts {facts}: expected keep or new")
    manifest = read_manifest(folder)
    whole = read_toml(recipe) if recipe is not None else dict(manifest.get("recipe") or {})
    raw: dict[str, Any] = dict(whole.get("captions") or {})
    name = str(recipe) if recipe is not None else f"{folder.name}/manifest.json"
    if recipe is not None and not raw and writer is None:
        raise RecipeError(f"{name}: has no table [captions]; write one, e.g. writer = 'template'")
    if writer is not None:
        raw["writer"] = writer
    named = {key: _from_here(value) for key, value in (variables or {}).items()}
    look = facts == "new" or (facts is None and recipe is not None)
    captions = parse_captions(raw, name=name, variables=named, layers=look)
    workspace = Workspace(folder)
    look = facts == "new" or (look and bool(captions.layers))
    if look and "${scenes}" in str(raw) and isinstance(whole.get("synthetic"), Mapping):
        write_computed(Synthetic.model_validate(whole["synthetic"]), workspace.scenes)
    root = recipe.parent.absolute() if recipe is not None else Path.cwd()
    located = _located(captions, root, workspace.scenes)
    if look and facts is None and _same_layers(located, manifest):
        look = False  # the same facts again, but for what the first pass knew of pixels
    objects: tuple[str, ...] = ()
    if look and located.objects:
        workspace.facts.mkdir(parents=True, exist_ok=True)
        objects = tuple(prepare_objects(located.objects, store=workspace.facts, bounds=_bounds(folder)))
    return Rewording(located, raw, keep_facts=not look, replace_given=replace_given, objects=objects)


def _same_layers(captions: Captions, manifest: Mapping[str, Any]) -> bool:
    """Tell whether a dataset's facts come from the very layers that a recipe names."""
    inputs = manifest["inputs"]
    said = json.loads(json.dumps(captions.canonical()))
    if any(said[name] != inputs["recipe"]["captions"].get(name) for name in _LAYERS):
        return False
    looked = prepare_objects(captions.objects, store=Path(), looking=True) if captions.objects else []
    now = layer_digests(captions) | {f"objects/{number}": digest for number, digest in enumerate(looked)}
    before = dict(inputs["layers"])
    return {**now, "model": ""} == {**before, "model": ""}


def _bounds(folder: Path) -> tuple[float, float, float, float] | None:
    """Return a box in degrees around the rows of a dataset, with a margin; None where it crosses the antimeridian."""
    noted = json.loads(pq.read_schema(folder / "index.parquet").metadata.get(b"geo", b"{}"))
    box = noted.get("columns", {}).get("geometry", {}).get("bbox")
    if box is None:
        return None
    west, south, east, north = box
    found = west - _MARGIN_DEG, south - _MARGIN_DEG, east + _MARGIN_DEG, north + _MARGIN_DEG
    return None if found[0] < -180.0 or found[2] > 180.0 else found


def _from_here(value: str) -> str:
    """Make a relative path of something that exists one from the current folder."""
    return str(Path(value).absolute()) if value and Path(value).exists() else value


def _located(captions: Captions, root: Path, scenes: Path) -> Captions:
    def locate(path: Any) -> Any:
        if isinstance(path, tuple):
            return tuple(locate(each) for each in path)
        filled = path.replace("${scenes}", str(scenes))
        return filled if is_address(filled) else str(root / filled)

    return captions.located(locate)
