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
from git10m.curation.near_vectors import clusters_of, known_vector_copies, vector_copies
from git10m.curation.pictures import Pictures
from git10m.curation.vectors import VectorFiles
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
        cosine: Of their embeddings, where these tell it.
    """

    reason: str
    of: int = -1
    likeness: float | None = None
    known: str | None = None
    cosine: float | None = None


class Comparison:
    """Compares rows, of which arrays are given in final order; asks for pixels only where hashes are near.

    ``rank`` holds all rows, the best first, and of equals the one that comes first.
    """

    def __init__(
        self,
        workspace: Workspace,
        columns: Mapping[str, npt.NDArray[Any]],
        rules: Duplicates,
        *,
        vectors: VectorFiles | None = None,
    ) -> None:
        self._workspace, self._columns, self._rules, self._vectors = workspace, columns, rules, vectors
        self.embedded = vectors.known() if vectors is not None else np.zeros(len(columns["x"]), dtype=bool)
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

    def with_known_vectors(self, known: KnownSet, staying: npt.NDArray[np.bool_]) -> dict[int, Alike]:
        """Find the rows whose embedding is like that of an image of a known set: crops, other encodings."""
        least = self._rules.embedding
        if least is None or known.vectors is None or self._vectors is None:
            return {}
        listed = known.read()
        numbers = np.arange(len(listed.rows))
        theirs = VectorFiles([known.vectors], np.zeros(len(numbers), dtype=np.int32), numbers)
        telling = np.flatnonzero((listed.entropy >= LEAST_ENTROPY) & theirs.known())
        found = known_vector_copies(self._vectors.take, self._embedded(staying), theirs.take, telling, least=least)
        reason = "evaluation_set" if known.evaluation else "other_dataset"
        return {
            row: Alike(reason, cosine=cosine, known=f"{known.name}: {listed.named(other)}")
            for row, (other, cosine) in found.items()
        }

    def near_by_vector(self, staying: npt.NDArray[np.bool_]) -> dict[int, Alike]:
        """Find the rows whose embedding is like a better one's, on other ground."""
        least = self._rules.embedding
        if least is None or self._vectors is None:
            return {}
        gone = vector_copies(self._vectors.take, self._embedded(staying), least=least, together=self._on_one_ground)
        return {image: Alike("near_duplicate", of=of, cosine=cosine) for image, (of, cosine) in gone.items()}

    def held_out_by_vector(
        self, trained: npt.NDArray[np.bool_], held: npt.NDArray[np.bool_], *, least: float
    ) -> dict[int, Alike]:
        """Find the rows that are trained on and like a held-out one by their embeddings."""
        assert self._vectors is not None
        rows, kept_back = self._embedded(trained), np.sort(self._embedded(held))
        found = known_vector_copies(self._vectors.take, rows, self._vectors.take, kept_back, least=least)
        return {row: Alike("held_out_copy", of=of, cosine=cosine) for row, (of, cosine) in found.items()}

    def groups_by_vector(self, staying: npt.NDArray[np.bool_], *, least: float) -> dict[int, Alike]:
        """Find, for each row that is like a better one by its embedding, that one; whatever their ground."""
        assert self._vectors is not None
        found = vector_copies(self._vectors.take, self._embedded(staying), least=least)
        return {row: Alike("near_duplicate", of=of, cosine=cosine) for row, (of, cosine) in found.items()}

    def clusters(self, staying: npt.NDArray[np.bool_], *, count: int) -> npt.NDArray[np.int32]:
        """Return the cluster of each row; −1: it has no embedding, or does not stay."""
        assert self._vectors is not None
        rows = np.flatnonzero(staying & self.embedded)
        labels = np.full(len(staying), -1, dtype=np.int32)
        labels[rows] = clusters_of(self._vectors.take, rows, count=count)
        return labels

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

    def _embedded(self, staying: npt.NDArray[np.bool_]) -> IntArray:
        """Return, best first, the rows that have an embedding and enough in them to be told apart by it."""
        return self._telling(staying & self.embedded)

    def _on_one_ground(self, row: int, others: IntArray) -> npt.NDArray[np.bool_]:
        """Tell which rows show a row's ground: another picture of its tile, or one that holds it or lies in it."""
        level, x, y = (self._columns[name] for name in ("level", "x", "y"))
        if x[row] < 0:
            return np.zeros(len(others), dtype=bool)
        coarser = np.minimum(level[others], level[row])
        own, theirs = level[row] - coarser, level[others] - coarser
        same: npt.NDArray[np.bool_] = (
            (x[others] >= 0) & (x[others] >> theirs == x[row] >> own) & (y[others] >> theirs == y[row] >> own)
        )
        return same

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
