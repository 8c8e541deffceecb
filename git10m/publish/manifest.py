"""The manifest of a dataset folder, and text files that are written in one step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from git10m.errors import DatasetError
from git10m.shards import atomic_file

__all__ = ["read_manifest", "write_text"]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read ``manifest.json`` of a dataset folder.

    Raises:
        DatasetError: If there is none, or it is not one of ours.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(
            f"{folder}: cannot read manifest.json ({error}); give the folder of a finished build"
        ) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("counts"), dict) or "name" not in manifest:
        raise DatasetError(f"{path}: no dataset's manifest (it has no name and counts); build the dataset again")
    return manifest


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step: a reader sees the old file or the new one, never half of it."""
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))
