"""How to ask: the manners of a recipe, and what the environment adds to them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from git10m.errors import RecipeError
from git10m.recipe import Budget, TileServerSource

__all__ = ["Manners", "variables_in", "with_environment"]

_VARIABLE = re.compile(r"\{env:(\w+)\}")


@dataclass(frozen=True)
class Manners:
    """How a source may be asked; see `recipe.TileServerSource` for the units.

    Attributes:
        source_id: For messages.
        contact: Of who asks.
        headers: Further headers; ``{env:NAME}`` in them is filled when they are sent.
        rate: Most requests a second to a host; 0: no limit.
        burst: Requests that may follow each other at once.
        connections: Most at once to a host, a process.
        timeout_s: Without a further byte.
        retries: Of a request that failed for a reason that may pass.
        most_bytes: Of one answer.
        budget: Where fetching stops.
        no_tile: Further statuses that mean that there is no such tile.
    """

    source_id: str
    contact: str
    headers: Mapping[str, str] = field(default_factory=dict)
    rate: float = 4.0
    burst: int = 4
    connections: int = 8
    timeout_s: float = 30.0
    retries: int = 5
    most_bytes: int = 4 * 2**20
    budget: Budget = field(default_factory=Budget)
    no_tile: frozenset[int] = frozenset()

    @classmethod
    def of(cls, source: TileServerSource) -> Manners:
        """Return what a recipe says of a source."""
        return cls(
            source_id=source.id,
            contact=source.contact,
            headers=dict(source.headers),
            rate=source.rate,
            burst=source.burst,
            connections=source.connections,
            timeout_s=source.timeout_s,
            retries=source.retries,
            most_bytes=source.most_bytes,
            budget=source.budget,
            no_tile=frozenset(source.no_tile),
        )


def variables_in(*texts: str) -> list[str]:
    """List the variables of the environment that some texts name."""
    return sorted({name for text in texts for name in _VARIABLE.findall(text)})


def with_environment(text: str, *, source_id: str) -> str:
    """Fill ``{env:NAME}`` from the environment.

    Raises:
        RecipeError: If a variable is not set; names it.
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match.group(1))
        if not found:
            raise RecipeError(
                f"source {source_id!r}: the environment has no variable {match.group(1)}; "
                f"set it before git10m runs: export {match.group(1)}=…"
            )
        return found

    return _VARIABLE.sub(value, text)
