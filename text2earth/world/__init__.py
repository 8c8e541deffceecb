"""Unbounded imagery: windows of a plane without edges, painted anywhere, in any order, always the same."""

from text2earth.world.box import Box
from text2earth.world.network import WindowNetwork
from text2earth.world.painting import Mode, Painting
from text2earth.world.projection import block_mean
from text2earth.world.prompts import Prompts, UniformPrompt
from text2earth.world.windows import paint, passes

__all__ = [
    "Box",
    "Mode",
    "Painting",
    "Prompts",
    "UniformPrompt",
    "WindowNetwork",
    "block_mean",
    "paint",
    "passes",
]
