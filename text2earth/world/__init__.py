"""Unbounded imagery: windows of a plane without edges, painted anywhere, in any order, always the same; and a world."""

from text2earth.world.box import Box
from text2earth.world.network import WindowNetwork
from text2earth.world.painting import Mode, Painting
from text2earth.world.projection import block_mean
from text2earth.world.prompts import Prompts, UniformPrompt
from text2earth.world.windows import paint, passes
from text2earth.world.world import World, WorldModel, WorldSettings

__all__ = [
    "Box",
    "Mode",
    "Painting",
    "Prompts",
    "UniformPrompt",
    "WindowNetwork",
    "World",
    "WorldModel",
    "WorldSettings",
    "block_mean",
    "paint",
    "passes",
]
