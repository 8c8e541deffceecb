"""What the kinds of archive have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from git10m.errors import SourceError
from git10m.grid import IntArray
from git10m.sources.served import Address

__all__ = ["Container", "Facts", "broken"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What an archive says of itself.

    Attributes:
        zooms: First and last zoom.
        attribution: Credit line, as plain text.
        licence: As it is stated.
    """

    zooms: tuple[int, int]
    attribution: str | None = None
    licence: str | None = None


class Container(Protocol):
    """An open archive."""

    @property
    def facts(self) -> Facts:
        """What it says of itself."""

    def addresses(self, z: int) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield (columns, rows from the north) of all tiles of a zoom, in pieces."""

    def read(self, wanted: Sequence[Address]) -> Mapping[Address, bytes]:
        """Return the bytes of the tiles that there are."""


def broken(name: str, why: object) -> SourceError:
    """Return the error for an archive that cannot be read."""
    return SourceError(f"{name}: the archive cannot be read ({why}); it may be truncated: fetch it again")
