"""What is true of a tile, and how that is said in English."""

from git10m.captions.facts import FactFinder, Subject

__all__ = ["FactFinder", "Subject"]
