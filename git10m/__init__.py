"""Build Git-10M-style datasets of satellite images and captions from your own imagery.

import git10m

dataset = git10m.build("my-region.toml", output="my-region")
row = dataset[0]                             # a dict; row["image"] is a PIL image
git10m.open_dataset("my-region").index       # all rows without images, a GeoDataFrame
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from git10m.dataset import Dataset

__all__ = ["__version__", "build", "open_dataset"]

__version__ = "0.1.0"


def build(
    recipe: str | Path,
    *,
    output: str | Path,
    variables: Mapping[str, str] | None = None,
    workers: int = 1,
    limit: int | None = None,
) -> Dataset:
    """Build a dataset from a recipe, or go on where an interrupted build stopped; as ``git10m build`` does.

    Args:
        recipe: TOML file.
        output: Dataset folder.
        variables: Values of ``${NAME}`` in the recipe.
        workers: Processes at once. A script that asks for more than one keeps its work under
            ``if __name__ == "__main__":``, because the processes import it.
        limit: Most tiles, spread evenly over the plan.

    Returns:
        The dataset.

    Raises:
        RequestError: If the recipe is wrong, or the folder holds another build.
        WorkError: If the work cannot go on; call it again to resume.
    """
    from git10m.building import build as run  # noqa: PLC0415 - importing git10m alone stays cheap
    from git10m.engine import Engine  # noqa: PLC0415
    from git10m.recipe import load_recipe, read_toml  # noqa: PLC0415

    path = Path(recipe)
    run(
        load_recipe(path, variables=variables),
        root=path.parent.absolute(),
        folder=Path(output).absolute(),
        engine=Engine("processes", workers),
        limit=limit,
        said=read_toml(path),
    )
    return open_dataset(output)


def open_dataset(folder: str | Path) -> Dataset:
    """Open a finished dataset folder.

    Raises:
        DatasetError: If the folder holds no finished dataset.
    """
    from git10m.dataset import Dataset  # noqa: PLC0415

    return Dataset(Path(folder))
