"""Models by name. This version ships no weights: a model is a folder."""

from __future__ import annotations

from pathlib import Path

from text2earth.checkpoints import require_model_folder
from text2earth.errors import ModelError

__all__ = ["find"]


def find(name: str | Path) -> Path:
    """Return the folder of a model.

    Args:
        name: Folder that holds a model.

    Raises:
        ModelError: If there is no such folder, or it holds no whole model.
    """
    folder = Path(name)
    if folder.is_dir():
        return require_model_folder(folder)
    raise ModelError(
        f"there is no folder {str(name)!r}, and no zoo model of that name: this version ships no weights; "
        "give a folder that 'text2earth train' wrote"
    )
