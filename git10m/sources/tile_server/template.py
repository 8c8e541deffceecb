"""Addresses of tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from git10m.sources.served import Address

__all__ = ["Template", "quadkey"]


def quadkey(z: int, x: int, y: int) -> str:
    """Return the quadkey of a served tile; empty at zoom 0."""
    return "".join(str((x >> bit & 1) | (y >> bit & 1) << 1) for bit in reversed(range(z)))


@dataclass(frozen=True)
class Template:
    """How a server names its tiles.

    Attributes:
        url: With ``{z}``, ``{x}``, ``{y}``, ``{-y}``, ``{q}`` and ``{s}``.
        subdomains: What ``{s}`` stands for, in turn.
        matrices: Name of each zoom, where the server does not call it by its number.
    """

    url: str
    subdomains: Sequence[str] = ("a",)
    matrices: Mapping[int, str] = field(default_factory=dict)

    def address(self, at: Address) -> str:
        """Return the address of a tile; the same tile always has the same."""
        z, x, y = at
        filled = {
            "{z}": self.matrices.get(z, str(z)),
            "{x}": str(x),
            "{y}": str(y),
            "{-y}": str((1 << z) - 1 - y),
            "{q}": quadkey(z, x, y),
            "{s}": self.subdomains[(x + y) % len(self.subdomains)],
        }
        url = self.url
        for name, text in filled.items():
            url = url.replace(name, text)
        return url
