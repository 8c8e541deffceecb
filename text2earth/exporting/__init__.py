"""A world's area as files that others read: COG, PMTiles, MBTiles, a folder of tiles, a film of a zoom.

What is painted goes tile by tile into a file beside the target, so that a killed export goes on where it was; the
target itself is written from there, under a temporary name, and appears when it is whole.
"""

from text2earth.exporting.area import Area
from text2earth.exporting.flight import Flight
from text2earth.exporting.job import ENDINGS, ExportableWorld, Film, Tiles, export, format_of

__all__ = ["ENDINGS", "Area", "ExportableWorld", "Film", "Flight", "Tiles", "export", "format_of"]
