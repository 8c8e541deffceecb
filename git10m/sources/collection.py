"""All imagery of a build: its parts, with their groups numbered through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

from git10m.grid import IntArray
from git10m.sources import Entries, Failure, Fetching, Group, Imagery, Request, Sample

__all__ = ["Collection"]


@dataclass(frozen=True)
class Collection:
    """Parts of any kind as one `Imagery`.

    Attributes:
        parts: A mosaic of all scenes, tile servers, archives, lists.
    """

    parts: tuple[Imagery, ...]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Groups of all parts, one part after the other."""
        return tuple(group for part in self.parts for group in part.groups)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What all parts depend on, by name."""
        return {name: value for part in self.parts for name, value in part.identity.items()}

    def levels(self, group: int, wanted: Sequence[int]) -> Sequence[int]:
        """Return the levels of a group; see `Imagery`."""
        part, own = self._part(group)
        return part.levels(own, wanted)

    def cover(self, group: int, level: int, area: Any) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the tiles of a group; see `Imagery`."""
        part, own = self._part(group)
        return part.cover(own, level, area)

    def entries(self, group: int) -> Entries | None:
        """Return the images of a group that is a list; see `Imagery`."""
        part, own = self._part(group)
        return part.entries(own)

    def digest(self, group: int, level: int, bounds: tuple[float, float, float, float]) -> str:
        """Return a digest of a group around a box; see `Imagery`."""
        part, own = self._part(group)
        return part.digest(own, level, bounds)

    def read(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure a request, in order; see `Imagery`."""
        for number, together in groupby(requests, key=lambda request: self._where[request.group][0]):
            asked = list(together)
            own = [replace(request, group=self._where[request.group][1]) for request in asked]
            for request, result in zip(asked, self.parts[number].read(own), strict=True):
                yield replace(result, request=request)

    def fetch(self, requests: Sequence[Request]) -> int:
        """Bring what some requests need here, where it comes from afar; see `Fetching`."""
        count = 0
        for number, together in groupby(requests, key=lambda request: self._where[request.group][0]):
            part = self.parts[number]
            if isinstance(part, Fetching):
                count += part.fetch([replace(each, group=self._where[each.group][1]) for each in together])
        return count

    def _part(self, group: int) -> tuple[Imagery, int]:
        number, own = self._where[group]
        return self.parts[number], own

    @cached_property
    def _where(self) -> tuple[tuple[int, int], ...]:
        """Part and own number of each group."""
        return tuple((number, own) for number, part in enumerate(self.parts) for own in range(len(part.groups)))
