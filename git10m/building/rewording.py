"""How a dataset's captions are to be written anew: its own recipe or another, and what of it the command changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from git10m.building.inputs import write_computed
from git10m.building.recaptioning import Rewording
from git10m.building.workspace import Workspace
from git10m.errors import RecipeError
from git10m.publish import read_manifest
from git10m.recipe import Captions, Synthetic, is_address, parse_captions, read_toml

__all__ = ["rewording_of"]


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
            given has layers.
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
    keep = facts != "new" and not (look and captions.layers)
    root = recipe.parent.absolute() if recipe is not None else Path.cwd()
    workspace = Workspace(folder)
    if not keep and "${scenes}" in str(raw) and isinstance(whole.get("synthetic"), Mapping):
        write_computed(Synthetic.model_validate(whole["synthetic"]), workspace.scenes)
    return Rewording(_located(captions, root, workspace.scenes), raw, keep_facts=keep, replace_given=replace_given)


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
