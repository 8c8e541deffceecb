"""What a server allows itself: how much waits, how much is painted at once, how much is kept."""

from __future__ import annotations

from dataclasses import dataclass, fields

from text2earth.errors import RequestError

__all__ = ["ServerSettings"]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Limits of a server.

    Args:
        queue_tiles: Tiles that may wait to be painted; who asks for more is told to come back.
        batch_tiles: Tiles that are painted in one call of the world.
        gather_ms: How long an idle painter waits for company before it begins with a first tile.
        timeout_s: What a tile has, from the request to its pixels; an image has ten times as long.
        worlds: Worlds of other prompts and seeds that are kept open beside the first.
        memory_mb: Of painted and of encoded tiles, in MiB.
        image_tiles: Tiles that an image may be made of.
        image_px: Longest side of an image.
        fixed: Whether prompts, seeds and areas that requests name are refused.
    """

    queue_tiles: int = 512
    batch_tiles: int = 16
    gather_ms: float = 4.0
    timeout_s: float = 120.0
    worlds: int = 8
    memory_mb: int = 256
    image_tiles: int = 256
    image_px: int = 4096
    fixed: bool = False

    def __post_init__(self) -> None:
        least = {"queue_tiles": 1, "batch_tiles": 1, "worlds": 1, "image_tiles": 1, "image_px": 1}
        for field in fields(self):
            value, smallest = getattr(self, field.name), least.get(field.name, 0)
            if value < smallest:
                raise RequestError(f"{field.name} is {value}; it is at least {smallest}")
        if self.timeout_s == 0:
            raise RequestError("timeout_s is 0; no tile can be painted in no time")
        if self.image_tiles > self.queue_tiles:
            raise RequestError(
                f"an image may have {self.image_tiles} tiles, but only {self.queue_tiles} may wait; "
                "allow the image fewer or the queue more"
            )
