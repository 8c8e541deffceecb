"""What a run has met in its data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from text2earth.data import Batch

__all__ = ["Tally"]


@dataclass
class Tally:
    """What a run has met in its data.

    Args:
        seen: Images trained on.
        truncated: Captions among them that lost their end (dropped ones not counted).
        levels: Images of each level, as the view labels them.
        skipped: Reason by row, of rows that could not be used.
    """

    seen: int = 0
    truncated: int = 0
    levels: Counter[int] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Count a batch."""
        self.seen += len(batch.counters)
        self.levels.update(condition.level for condition in batch.conditions)
        self.skipped.update(batch.skipped)

    def merge(self, other: Tally) -> None:
        """Add what another process has met."""
        self.seen += other.seen
        self.truncated += other.truncated
        self.levels.update(other.levels)
        self.skipped.update(other.skipped)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        levels = {str(level): count for level, count in sorted(self.levels.items())}
        return {"seen": self.seen, "truncated": self.truncated, "levels": levels, "skipped": self.skipped}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Tally:
        """Read what ``to_json`` returned."""
        levels = Counter({int(level): count for level, count in found["levels"].items()})
        return cls(found["seen"], found["truncated"], levels, dict(found["skipped"]))
