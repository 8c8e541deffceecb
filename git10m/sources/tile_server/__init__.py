"""Tile servers: XYZ, TMS and quadkey by an address template, WMTS by its capabilities."""

from git10m.sources.tile_server.reading import TileServer, open_tile_server

__all__ = ["TileServer", "open_tile_server"]
