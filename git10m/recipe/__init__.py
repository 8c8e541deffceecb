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

from git10m.recipe.areas import Cities, Region, Sampling, Strata
from git10m.recipe.captions import Areas, CaptionChecks, Captions, LandCover, Objects, Relief, Similarity
from git10m.recipe.curation import (
    AestheticScorer,
    Against,
    Curation,
    Duplicates,
    Embedding,
    Enhancement,
    Quota,
    Scorers,
    Verdicts,
)
from git10m.recipe.reading import load_recipe, parse_captions, parse_recipe, read_toml
from git10m.recipe.scenes import ClassMask, Modality, Origin, Percentiles, RasterSource, SceneSource, StacSource
from git10m.recipe.sources import (
    ArchiveSource,
    Budget,
    PairsSource,
    Source,
    TileServerSource,
    WebListSource,
    WmtsSource,
    XyzSource,
)
from git10m.recipe.tables import (
    ImageFormat,
    Output,
    Recipe,
    Splits,
    Synthetic,
    Tiles,
)
from git10m.recipe.values import Interval, is_address, shown
from git10m.recipe.writers import OpenAIWriter, TransformersWriter

__all__ = [
    "AestheticScorer",
    "Against",
    "ArchiveSource",
    "Areas",
    "Budget",
    "CaptionChecks",
    "Captions",
    "Cities",
    "ClassMask",
    "Curation",
    "Duplicates",
    "Embedding",
    "Enhancement",
    "ImageFormat",
    "Interval",
    "LandCover",
    "Modality",
    "Objects",
    "OpenAIWriter",
    "Origin",
    "Output",
    "PairsSource",
    "Percentiles",
    "Quota",
    "RasterSource",
    "Recipe",
    "Region",
    "Relief",
    "Sampling",
    "SceneSource",
    "Scorers",
    "Similarity",
    "Source",
    "Splits",
    "StacSource",
    "Strata",
    "Synthetic",
    "TileServerSource",
    "Tiles",
    "TransformersWriter",
    "Verdicts",
    "WebListSource",
    "WmtsSource",
    "XyzSource",
    "is_address",
    "load_recipe",
    "parse_captions",
    "parse_recipe",
    "read_toml",
    "shown",
]
