"""Near-duplicates and clusters by embedding: images whose vectors point the same way.

Rows are taken best first. Each is compared with those that stay so far, and goes if the cosine with one of them is
``least`` or more; so of several alike the best stays, whatever the order in which they came. Up to 20,000 rows are
compared with all that stay. Of more, candidates come from an inverted file of quantised vectors (Jégou et al. 2011,
"Product Quantization for Nearest Neighbor Search", through faiss): 24 bytes of code and 8 of number a row; every
candidate is then checked against the vectors in their files, so that the search can miss a pair but invents none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from git10m.errors import RecipeError
from git10m.grid import IntArray

__all__ = ["EXACT_ROWS", "clusters_of", "faiss_or_refuse", "known_vector_copies", "vector_copies"]

Vectors = npt.NDArray[np.float32]
Take = Callable[[IntArray], Vectors]
"""Gives the unit vectors of some rows, float32 (N, D)."""
Together = Callable[[int, IntArray], npt.NDArray[np.bool_]]
"""Tells which of some rows show the ground of a row, so that their likeness makes no copy."""

EXACT_ROWS = 20_000
"""Rows up to which every pair is looked at."""

_BLOCK = 1024
_SLACK = 1e-3
"""Of a float32 cosine of candidates, which are confirmed in float64."""
_REDUCED, _CODES, _PROBED, _NEAREST = 96, 24, 16, 32
_SAMPLE, _CLUSTER_SAMPLE, _FIRST_SAMPLE, _REDUCTION_SAMPLE = 2**18, 2**16, 2**13, 2**15
_LISTS_A_ROOT, _SAMPLE_A_LIST, _ROUNDS = 2, 40, 10


class _Index(Protocol):
    def add(self, rows: IntArray, vectors: Vectors) -> None:
        """Take in rows."""

    def near(self, vectors: Vectors) -> list[IntArray]:
        """Return, for each vector, the rows that may be near it."""


def vector_copies(
    take: Take, rows: IntArray, *, least: float, together: Together | None = None
) -> dict[int, tuple[int, float]]:
    """Find the rows that are like a better one that stays.

    Args:
        take: Gives vectors.
        rows: Rows that have one, the best first.
        least: Least cosine of copies.
        together: Rows that are never copies of each other.

    Returns:
        For each row that goes, the one that stays (of several the most like it) and their cosine.
    """
    gone: dict[int, tuple[int, float]] = {}
    if len(rows) < 2:
        return gone
    index = _index(take, rows, least)
    blocks = range(0, len(rows), _BLOCK)
    for start in tqdm(blocks, desc="comparing embeddings", unit="block", disable=len(rows) <= EXACT_ROWS):
        block = rows[start : start + _BLOCK].astype(np.int64)
        vectors = take(block)
        earlier = index.near(vectors)
        within = np.tril(vectors @ vectors.T >= least - _SLACK, k=-1)
        staying = np.ones(len(block), dtype=bool)
        cosines = _Cosines(take, block, vectors, earlier)
        for i in np.flatnonzero(within.any(axis=1) | np.array([len(each) > 0 for each in earlier])).tolist():
            inside = np.flatnonzero(within[i] & staying)
            others = np.concatenate([earlier[i], block[inside]])
            if together is not None and len(others):
                others = others[~together(int(block[i]), others)]
            found = _most_like(others, cosines.of(i, others))
            if found is not None and found[1] >= least:
                gone[int(block[i])] = found
                staying[i] = False
        index.add(block[staying], vectors[staying])
    return gone


def known_vector_copies(
    take: Take, rows: IntArray, known: Take, known_rows: IntArray, *, least: float
) -> dict[int, tuple[int, float]]:
    """Find the rows that are like one of a known set; arguments as in `vector_copies`, results too."""
    found: dict[int, tuple[int, float]] = {}
    if not len(rows) or not len(known_rows):
        return found
    index = _index(known, known_rows, least)
    for start in range(0, len(known_rows), _BLOCK):
        part = known_rows[start : start + _BLOCK].astype(np.int64)
        index.add(part, known(part))
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        vectors = take(block)
        near = index.near(vectors)
        cosines = _Cosines(known, np.empty(0, dtype=np.int64), vectors, near)
        for i, others in enumerate(near):
            best = _most_like(others, cosines.of(i, others))
            if best is not None and best[1] >= least:
                found[int(block[i])] = best
    return found


def clusters_of(take: Take, rows: IntArray, *, count: int, seed: int = 0) -> npt.NDArray[np.int32]:
    """Divide rows into clusters by direction: spherical k-means on a seeded sample, then each row to the nearest.

    Args:
        take: Gives vectors.
        rows: Rows that have one.
        count: How many clusters; of fewer rows, one each.
        seed: Of the sample and of the first centres.

    Returns:
        int32 (N,): 0 is the largest cluster.
    """
    faiss = faiss_or_refuse("a quota by clusters")
    count = min(count, len(rows))
    if count < 2:
        return np.zeros(len(rows), dtype=np.int32)
    sample = take(_sample(rows, max(_CLUSTER_SAMPLE, _SAMPLE_A_LIST * count), seed))
    few = sample[_sample(np.arange(len(sample)), max(_FIRST_SAMPLE, _SAMPLE_A_LIST * count), seed)]
    with _one_thread(faiss):
        # Ten beginnings on a part of the sample, the best of them refined on all of it.
        first = _means(faiss, few, count, seed=seed + 1, nredo=10)
        first.train(few)
        means = _means(faiss, sample, count, seed=seed + 1, nredo=1)
        means.train(sample, init_centroids=first.centroids)
        labels = np.empty(len(rows), dtype=np.int64)
        for start in range(0, len(rows), _BLOCK):
            part = take(rows[start : start + _BLOCK])
            labels[start : start + len(part)] = means.index.search(part, 1)[1][:, 0]
    sizes = np.bincount(labels, minlength=count)
    place = np.empty(count, dtype=np.int32)
    place[np.lexsort((np.arange(count), -sizes))] = np.arange(count, dtype=np.int32)
    ordered: npt.NDArray[np.int32] = place[labels]
    return ordered


def _means(faiss: Any, sample: Vectors, count: int, *, seed: int, nredo: int) -> Any:
    return faiss.Kmeans(
        sample.shape[1],
        count,
        niter=25,
        nredo=nredo,
        init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
        seed=seed,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=len(sample),
    )


def faiss_or_refuse(what: str) -> Any:
    """Return faiss, or say how it is had.

    Raises:
        RecipeError: If it is not installed.
    """
    try:
        import faiss  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RecipeError(f"{what} needs faiss: pip install 'git10m[embeddings]'") from error
    return faiss


class _Exact:
    """Compares with all rows that were taken in."""

    def __init__(self, least: float) -> None:
        self._least, self._rows, self._vectors = least, [np.empty(0, dtype=np.int64)], list[Vectors]()

    def add(self, rows: IntArray, vectors: Vectors) -> None:
        self._rows.append(rows)
        self._vectors.append(vectors)

    def near(self, vectors: Vectors) -> list[IntArray]:
        found = [[np.empty(0, dtype=np.int64)] for _ in vectors]
        for rows, held in zip(self._rows[1:], self._vectors, strict=True):
            close = vectors @ held.T >= self._least - _SLACK
            for i in np.flatnonzero(close.any(axis=1)).tolist():
                found[i].append(rows[close[i]])
        return [np.concatenate(each) for each in found]


class _Approximate:
    """Asks an inverted file of quantised vectors; see the head of this module."""

    def __init__(self, take: Take, rows: IntArray, least: float) -> None:
        self._faiss = faiss = faiss_or_refuse(f"comparing {len(rows)} embeddings")
        lists = int(_LISTS_A_ROOT * np.sqrt(len(rows)))
        with _one_thread(faiss):
            first = take(_sample(rows, _REDUCTION_SAMPLE, 0))
            width = first.shape[1]
            self._reduce = faiss.PCAMatrix(width, _REDUCED) if width > _REDUCED else None
            if self._reduce is not None:
                self._reduce.train(first)
            reduced = min(width, _REDUCED)
            chosen = _sample(rows, min(_SAMPLE, _SAMPLE_A_LIST * lists), 1)
            sample = np.concatenate(
                [self._reduced(take(chosen[at : at + _BLOCK])) for at in range(0, len(chosen), _BLOCK)]
            )
            codes = next(codes for codes in range(_CODES, 0, -1) if reduced % codes == 0)
            self._coarse = faiss.IndexFlatL2(reduced)
            self._index = faiss.IndexIVFPQ(self._coarse, reduced, lists, codes, 8)
            self._index.cp.niter = self._index.pq.cp.niter = _ROUNDS
            self._index.train(sample)
            self._index.nprobe = _PROBED
            # What a code says is off by this much at most, so that nothing nearer than ``least`` lies beyond the sum.
            error = np.sqrt(self._errors(sample[:: max(1, len(sample) // 4096)]).max())
        self._most = float((np.sqrt(2.0 - 2.0 * least) + error) ** 2)

    def add(self, rows: IntArray, vectors: Vectors) -> None:
        if len(rows):
            with _one_thread(self._faiss):
                self._index.add_with_ids(self._reduced(vectors), rows)

    def near(self, vectors: Vectors) -> list[IntArray]:
        with _one_thread(self._faiss):
            far, rows = self._index.search(self._reduced(vectors), _NEAREST)
        return [own[(own >= 0) & (apart <= self._most)] for own, apart in zip(rows, far, strict=True)]

    def _reduced(self, vectors: Vectors) -> Vectors:
        if self._reduce is None:
            return np.ascontiguousarray(vectors)
        reduced: Vectors = self._reduce.apply(vectors)
        return reduced

    def _errors(self, reduced: Vectors) -> npt.NDArray[np.float32]:
        """Return the squared distances of some vectors from what their codes say."""
        said = self._index.sa_decode(self._index.sa_encode(reduced))
        errors: npt.NDArray[np.float32] = ((reduced - said) ** 2).sum(axis=1)
        return errors


class _Cosines:
    """Exact cosines of the rows of a block with others, in float64."""

    def __init__(self, take: Take, block: IntArray, vectors: Vectors, near: list[IntArray]) -> None:
        self._others = np.unique(np.concatenate([block, *near]))
        self._held = np.empty((len(self._others), vectors.shape[1]), dtype=np.float32)
        own = np.searchsorted(self._others, block)
        self._held[own] = vectors[: len(block)]
        further = np.ones(len(self._others), dtype=bool)
        further[own] = False
        if further.any():
            self._held[further] = take(self._others[further])
        self._vectors = vectors

    def of(self, i: int, others: IntArray) -> npt.NDArray[np.float64]:
        held = self._held[np.searchsorted(self._others, others)].astype(np.float64)
        # Summed row by row: another number of rows, or of threads, gives the same.
        cosines: npt.NDArray[np.float64] = (held * self._vectors[i].astype(np.float64)).sum(axis=1).round(6)
        return cosines


def _index(take: Take, rows: IntArray, least: float) -> _Index:
    return _Exact(least) if len(rows) <= EXACT_ROWS else _Approximate(take, rows, least)


def _most_like(others: IntArray, cosines: npt.NDArray[np.float64]) -> tuple[int, float] | None:
    """Return the row with the largest cosine, of equals the lowest."""
    if not len(others):
        return None
    best = np.lexsort((others, -cosines))[0]
    return int(others[best]), float(cosines[best])


def _sample(rows: IntArray, most: int, seed: int) -> IntArray:
    if len(rows) <= most:
        return np.sort(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), most, replace=False)
    return np.sort(rows[chosen])  # as they stand in the files


@contextmanager
def _one_thread(faiss: Any) -> Iterator[None]:
    """Sums in another number of threads differ in their last bits."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
