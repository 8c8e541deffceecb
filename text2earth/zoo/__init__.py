"""Models by name: shipped with the package, on the Hugging Face hub, or made by a command."""

from text2earth.zoo.finding import fetch, find
from text2earth.zoo.registry import SHIPPED, ZOO, HubSource, ZooModel

__all__ = ["SHIPPED", "ZOO", "HubSource", "ZooModel", "fetch", "find"]
