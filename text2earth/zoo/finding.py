"""From the name of a model, or a folder, to a folder that holds one."""

from __future__ import annotations

import difflib
from pathlib import Path

from text2earth.errors import ModelError
from text2earth.zoo.hub import fetched
from text2earth.zoo.registry import ZOO, ZooModel

__all__ = ["fetch", "find"]


def find(name: str | Path) -> Path:
    """Return the folder of a model, fetching it from the hub if that is where it is.

    Args:
        name: Name of a zoo model, or a folder that holds a model. A folder that is called like a zoo model is
            given with its path, as ``"./text2earth"``.

    Raises:
        ModelError: If there is neither, the folder holds no whole model, or the model is one to be trained first.
        HubError: If the hub cannot be reached, or its files are not those that are known.
    """
    from text2earth.checkpoints import MODEL_INDEX, require_model_folder  # imports torch: 'text2earth zoo' need not

    if isinstance(name, str) and name in ZOO:
        return fetch(ZOO[name])
    folder = Path(name)
    if folder.is_dir():
        if (folder / "config.json").is_file() and not (folder / MODEL_INDEX).is_file():
            return folder  # one network: an encoder
        return require_model_folder(folder)
    near = difflib.get_close_matches(str(name), ZOO, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    raise ModelError(
        f"there is no folder {str(name)!r}, and no zoo model of that name{meant}; the zoo has {', '.join(ZOO)}, "
        "or give a folder that 'text2earth train' wrote"
        + (f"; 'text2earth convert {name} FOLDER' makes one of a single file" if folder.is_file() else "")
    )


def fetch(model: ZooModel, *, again: bool = False) -> Path:
    """Return the folder of a zoo model.

    Args:
        model: Of the zoo.
        again: Ask the hub for the newest commit even if one was fetched before.

    Raises:
        ModelError: If the model is in no place and has to be trained; says which command trains it.
        HubError: If the hub cannot be reached, or its files are not those that are known.
    """
    from text2earth.checkpoints import require_model_folder

    if model.status == "shipped":
        return require_model_folder(model.shipped)
    if model.hub is not None:
        return fetched(model, again=again)
    raise ModelError(
        f"the weights of {model.name} are nowhere to be fetched; make them with\n"
        f"    text2earth train {model.recipe} --output runs/{model.name}\n"
        f"and give the folder runs/{model.name} in place of the name"
    )
