"""Which rows go because they are like others: of this build, or of sets that it must stay apart from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.building.known import KnownSet
from git10m.building.workspace import Workspace
from git10m.curation.duplicates import later_copies
from git10m.curation.near_duplicates import LEAST_ENTROPY, Hashes, copies, known_copies, likeness
from git10m.curation.pictures import Pictures
from git10m.grid import IntArray
from git10m.recipe import Duplicates

__all__ = ["Alike", "Comparison"]


@dataclass(frozen=True, slots=True)
class Alike:
    """Why a row goes.

    Attributes:
        reason: As in `barrier.DROP_REASONS`.
        of: The row that stays; −1 for an image of a known set.
        likeness: Of their pixels; None where their bytes are equal, or nothing was compared.
        known: Set and file of the known image.
    """

    reason: str
    of: int = -1
    likeness: float | None = None
    known: str | None = None


class Comparison:
    """Compares rows, of which arrays are given in final order; asks for pixels only where hashes are near.

    ``rank`` holds all rows, the best first, and of equals the one that comes first.
    """

    def __init__(self, workspace: Workspace, columns: Mapping[str, npt.NDArray[Any]], rules: Duplicates) -> None:
        self._workspace, self._columns, self._rules = workspace, columns, rules
        self._pictures = Pictures()
        self._hashes = Hashes(columns["phash"], columns["phash256"])
        self.rank = np.lexsort((np.arange(len(columns["x"])), -columns["quality"]))

    def with_known(self, known: KnownSet, staying: npt.NDArray[np.bool_]) -> dict[int, Alike]:
        """Find the rows that are like an image of a known set; exact copies whatever they show."""
        reason = "evaluation_set" if known.evaluation else "other_dataset"
        listed = known.read()
        digests = self._columns["sha256"]
        order = np.argsort(listed.digests)
        rows = np.flatnonzero(staying & np.isin(digests, listed.digests))
        numbers = order[np.searchsorted(listed.digests[order], digests[rows])]
        found = {
            row: Alike(reason, known=f"{known.name}: {listed.named(number)}")
            for row, number in zip(rows.tolist(), numbers.tolist(), strict=True)
        }
        if not self._rules.near:
            return found
        left = staying.copy()
        left[list(found)] = False

        def alike(other: int, image: int) -> float:
            picture = self._pictures.detail(known.folder / listed.file(other), int(listed.rows[other]))
            return likeness(picture, self._detail(image), turned=self._rules.turned)

        for image, (other, how) in known_copies(
            self._hashes,
            listed.hashes,
            alike,
            least=self._rules.least_likeness,
            turned=self._rules.turned,
            rows=self._telling(left),
            known_rows=np.flatnonzero(listed.entropy >= LEAST_ENTROPY),
        ).items():
            found[image] = Alike(reason, likeness=how, known=f"{known.name}: {listed.named(other)}")
        return found

    def exact(self, staying: npt.NDArray[np.bool_]) -> dict[int, Alike]:
        """Find the rows whose bytes are those of a better one."""
        rows = self.rank[staying[self.rank]]
        first = later_copies(self._columns["sha256"][rows])
        return {
            int(rows[i]): Alike("exact_duplicate", of=int(rows[first[i]])) for i in np.flatnonzero(first >= 0).tolist()
        }

    def same_place(self, staying: npt.NDArray[np.bool_]) -> dict[int, Alike]:
        """Find the rows of a place that has a better one, on another date or layer: all, or those that are like it."""
        found: dict[int, Alike] = {}
        for rows in self._places(staying):
            kept = rows[:1]
            for row in rows[1:]:
                how = None
                if self._rules.same_place == "changed":
                    how, of = max((self._likeness(other, row), -other) for other in kept)
                    if how < self._rules.least_likeness:
                        kept.append(row)
                        continue
                    found[row] = Alike("same_place", of=-of, likeness=how)
                else:
                    found[row] = Alike("same_place", of=kept[0])
        return found

    def near(self, staying: npt.NDArray[np.bool_]) -> dict[int, Alike]:
        """Find the rows that are like a better one at another place; those at one place are `same_place`'s."""

        def alike(one: int, other: int) -> float:
            return 0.0 if self._at_one_place(one, other) else self._likeness(one, other)

        gone = copies(
            self._hashes,
            alike,
            least=self._rules.least_likeness,
            turned=self._rules.turned,
            rows=self._telling(staying),
        )
        return {image: Alike("near_duplicate", of=of, likeness=how) for image, (of, how) in gone.items()}

    def _telling(self, staying: npt.NDArray[np.bool_]) -> IntArray:
        """Return the rows with enough in them to be told apart by their hashes, best first."""
        chosen = staying & (self._columns["entropy"] >= LEAST_ENTROPY)
        return self.rank[chosen[self.rank]]

    def _places(self, staying: npt.NDArray[np.bool_]) -> list[list[int]]:
        """Return the rows of every place that has several, best first."""
        level, x, y = (self._columns[name] for name in ("level", "x", "y"))
        rows = self.rank[(staying & (x >= 0))[self.rank]]
        order = np.lexsort((np.arange(len(rows)), y[rows], x[rows], level[rows]))
        sorted_rows = rows[order]
        changes = np.flatnonzero(
            (np.diff(level[sorted_rows]) != 0) | (np.diff(x[sorted_rows]) != 0) | (np.diff(y[sorted_rows]) != 0)
        )
        return [group.tolist() for group in np.split(sorted_rows, changes + 1) if len(group) > 1]

    def _at_one_place(self, one: int, other: int) -> bool:
        return self._columns["x"][one] >= 0 and all(
            self._columns[name][one] == self._columns[name][other] for name in ("level", "x", "y")
        )

    def _likeness(self, one: int, other: int) -> float:
        return likeness(self._detail(one), self._detail(other), turned=self._rules.turned)

    def _detail(self, row: int) -> Any:
        file = self._workspace.unit(int(self._columns["unit"][row]), "rows.parquet")
        return self._pictures.detail(file, int(self._columns["position"][row]))
