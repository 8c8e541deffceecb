"""Painted and encoded tiles in memory, up to so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from text2earth.serving.worlds import Pixels

__all__ = ["TileMemory"]


class TileMemory:
    """Keeps what was used last; never holds more bytes than allowed.

    Args:
        capacity_bytes: 0 keeps nothing.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self._kept: OrderedDict[Hashable, Pixels | bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def pixels(self, key: Hashable) -> Pixels | None:
        """Return the pixels that are kept under a key."""
        found = self._get(key)
        return None if isinstance(found, bytes) else found

    def encoded(self, key: Hashable) -> bytes | None:
        """Return the bytes that are kept under a key."""
        found = self._get(key)
        return found if isinstance(found, bytes) else None

    def keep(self, key: Hashable, value: Pixels | bytes) -> None:
        """Keep pixels or bytes, and forget what was not used longest."""
        if _size(value) > self.capacity_bytes:
            return
        if key in self._kept:
            self.held_bytes -= _size(self._kept.pop(key))
        self._kept[key] = value
        self.held_bytes += _size(value)
        while self.held_bytes > self.capacity_bytes:
            self.held_bytes -= _size(self._kept.popitem(last=False)[1])

    def _get(self, key: Hashable) -> Pixels | bytes | None:
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key]


def _size(value: Pixels | bytes) -> int:
    return len(value) if isinstance(value, bytes) else value.nbytes
