"""What answers the requests: one model's worlds, a painter, and what is kept in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from git10m.grid import Tile
from text2earth.errors import OutsideWorldError
from text2earth.serving.encoding import Format, encode_geotiff, encode_tile, encoders, origin_of
from text2earth.serving.metrics import Metrics
from text2earth.serving.painter import Painter
from text2earth.serving.pictures import Picture
from text2earth.serving.settings import ServerSettings
from text2earth.serving.worlds import Chosen, OpenWorld, Worlds

__all__ = ["Studio"]


class Studio:
    """Pictures of the worlds of one model.

    Args:
        open_world: Opens a world.
        first: What requests that name nothing speak of.
        settings: What is allowed.
    """

    def __init__(self, open_world: OpenWorld, *, first: Chosen, settings: ServerSettings) -> None:
        self.settings, self.first = settings, first
        self.metrics = Metrics()
        self._worlds = Worlds(open_world, first=first, limit=settings.worlds)
        self.painter = Painter(self._worlds, settings=settings, metrics=self.metrics)
        world = self._worlds.first
        self.levels = range(world.minzoom, world.maxzoom + 1)
        self.model, self._fingerprint = world.model_name, world.fingerprint
        self._encoders = encoders()
        self._encoding: dict[object, asyncio.Task[bytes]] = {}

    def version(self, chosen: Chosen) -> str:
        """Return what stands for the pixels of a world, 16 hexadecimal digits."""
        return chosen.version(self._fingerprint)

    def check_version(self, chosen: Chosen, asked: str | None) -> None:
        """Refuse an address that was made for other pixels.

        Raises:
            OutsideWorldError: If it was.
        """
        if asked is not None and asked != self.version(chosen):
            raise OutsideWorldError(
                f"v={asked} names a world that this server does not paint (it was started with another model, "
                f"version or machine); read /tilejson.json again, or leave v out"
            )

    def tile(self, z: int, x: int, y: int) -> Tile:
        """Return a tile that can be painted.

        Raises:
            OutsideWorldError: If the world has none such.
        """
        if z not in self.levels:
            raise OutsideWorldError(
                f"level {z} was asked for; this world is painted at the levels {self.levels[0]}…{self.levels[-1]}"
            )
        side = 1 << z
        if not (0 <= x < side and 0 <= y < side):
            raise OutsideWorldError(f"tile {z}/{x}/{y} was asked for; x and y are 0…{side - 1} at level {z}")
        return Tile(z, x, y)

    def etag(self, chosen: Chosen, *what: object) -> str:
        """Return the ETag of a file: it follows from what it is made of, so that nothing need be painted for it."""
        text = repr((self.version(chosen), self._encoders, *what))
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'

    async def encoded_tile(self, chosen: Chosen, tile: Tile, kind: Format) -> bytes:
        """Return a tile as the bytes of a file.

        Raises:
            WorkError: If it cannot be painted now; of several kinds.
        """
        key = (chosen, tile, kind)
        kept = self.painter.memory.encoded(key)
        if kept is not None:
            self.metrics.remembered.inc()
            return kept
        (pixels,) = await self.painter.tiles(chosen, [tile], timeout_s=self.settings.timeout_s)
        origin = origin_of(chosen, model=self.model, version=self.version(chosen), level=tile.level)
        found = await self._once(key, lambda: encode_tile(pixels, kind, origin=origin))
        self.painter.memory.keep(key, found)
        return found

    async def encoded_picture(self, chosen: Chosen, picture: Picture, kind: Format) -> bytes:
        """Return a picture as the bytes of a file.

        Raises:
            WorkError: If it cannot be painted now; of several kinds.
        """
        tiles = picture.tiles()
        painted = await self.painter.tiles(chosen, tiles, timeout_s=10 * self.settings.timeout_s, bulk=True)
        origin = origin_of(chosen, model=self.model, version=self.version(chosen), level=picture.level)

        def encode() -> bytes:
            pixels = picture.assemble(dict(zip(tiles, painted, strict=True)))
            if kind == "tif":
                return encode_geotiff(pixels, picture=picture, origin=origin)
            return encode_tile(pixels, kind, origin=origin)

        return await self._once((chosen, picture, kind), encode)

    async def _once(self, key: object, encode: Callable[[], bytes]) -> bytes:
        """Encode on a thread; those who want the same while that lasts share it."""
        task = self._encoding.get(key)
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(encode))
            self._encoding[key] = task
            task.add_done_callback(lambda _: self._encoding.pop(key, None))
        return await asyncio.shield(task)
