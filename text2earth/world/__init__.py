"""Unbounded imagery: windows of a plane without edges, painted anywhere, in any order, always the same."""

from text2earth.world.box import Box
from text2earth.world.network import WindowNetwork
from text2earth.world.prompts import Prompts, UniformPrompt

__all__ = ["Box", "Prompts", "UniformPrompt", "WindowNetwork"]
