"""Tiles in archives: MBTiles, PMTiles (also at an address), and folders z/x/y.

The archive of each kind knows which tiles it holds and gives their bytes; `Archive` makes a source of several.
"""

from git10m.sources.archive.reading import Archive, open_archive

__all__ = ["Archive", "open_archive"]
