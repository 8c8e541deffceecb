"""The recipe of a dataset: a TOML file, as strict models.

A recipe says which imagery becomes which tiles, how they are judged, captioned and stored. Unknown keys are errors
that name the nearest known key. ``${NAME}`` stands for a value that is given from outside (``--var NAME=VALUE``);
``${scenes}`` is the folder of the recipe's own ``[synthetic]`` scenes.

    name = "my-region"

    [tiles]
    levels = [14, 15]

    [[source]]
    id = "orthophoto"
    path = "${imagery}/*.tif"
    licence = "CC-BY-4.0"
"""

from git10m.recipe.reading import load_recipe, parse_recipe, read_toml
from git10m.recipe.tables import (
    Areas,
    Captions,
    Curation,
    ImageFormat,
    Interval,
    LandCover,
    Output,
    Percentiles,
    Recipe,
    Region,
    Source,
    Splits,
    Synthetic,
    Tiles,
    Verdicts,
)

__all__ = [
    "Areas",
    "Captions",
    "Curation",
    "ImageFormat",
    "Interval",
    "LandCover",
    "Output",
    "Percentiles",
    "Recipe",
    "Region",
    "Source",
    "Splits",
    "Synthetic",
    "Tiles",
    "Verdicts",
    "load_recipe",
    "parse_recipe",
    "read_toml",
]
