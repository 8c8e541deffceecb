"""How well a caption fits its image, by models that read both; and which fit least."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from git10m import recipe
from git10m.curation.encoders import Encoder, encoder_versions, inspect_encoder, open_encoder
from git10m.curation.pictures import decoded
from git10m.errors import RecipeError

__all__ = ["SCORERS", "SimilarityScorer", "least_similar", "similarity_identity"]

SCORERS = ("clip", "siglip")
"""Kinds of model, each with a column ``similarity_KIND``."""


class SimilarityScorer:
    """Scores captions; opened once a process.

    Args:
        similarity: Of the recipe, with absolute paths.

    Attributes:
        cut: By kind of model, how many captions did not fit into its window and were scored by their beginning.
    """

    def __init__(self, similarity: recipe.Similarity) -> None:
        self._models = {kind: _open(similarity, kind) for kind in SCORERS if getattr(similarity, kind) is not None}
        self.cut = Counter[str]()

    def scores(self, images: Sequence[bytes], captions: Sequence[str | None]) -> dict[str, list[float | None]]:
        """Return the columns ``similarity_clip`` and ``similarity_siglip``: cosines, null without a caption or a model.

        Args:
            images: Encoded.
            captions: One an image.
        """
        found: dict[str, list[float | None]] = {f"similarity_{kind}": [None] * len(images) for kind in SCORERS}
        told = [i for i, text in enumerate(captions) if text]
        texts = [text for text in captions if text]
        for kind, encoder in self._models.items():
            shown = encoder.images([encoder.prepared(decoded(images[i])) for i in told], prepared=True)
            # Summed pair by pair, so that a score does not depend on the other pairs.
            cosines = (shown.astype(np.float64) * encoder.texts(texts).astype(np.float64)).sum(axis=1)
            self.cut[kind] += int(encoder.overlong(texts).sum())
            for i, cosine in zip(told, cosines.tolist(), strict=True):
                found[f"similarity_{kind}"][i] = cosine
        return found


def similarity_identity(similarity: recipe.Similarity, *, looking: bool = False) -> dict[str, Any]:
    """Look at the models that a recipe names, and return what tells them apart.

    Args:
        similarity: Of the recipe, with absolute paths.
        looking: Nothing is built: the weights are not opened.

    Raises:
        RecipeError: If one of them is no such model, reads no texts, or a library is missing.
    """
    found: dict[str, Any] = {}
    for kind in SCORERS:
        folder = getattr(similarity, kind)
        if folder is None:
            continue
        _check_kind(Path(folder), kind)
        if not looking:
            encoder = _open(similarity, kind)
            encoder.texts(["an image"])
            found[kind] = encoder.identity if similarity.device == "cpu" else f"{encoder.identity} on cuda"
            found["versions"] = encoder_versions()
    open_encoder.cache_clear()
    return found


def least_similar(captions: pa.Table, similarity: recipe.Similarity) -> dict[int, str]:
    """Return the share of the captioned images that fit their captions least, each with its scores.

    The scales of two models differ, so that images are ranked by each and the mean of the ranks counts. Of equals those
    stay that come first.

    Args:
        captions: ``similarity_clip`` and ``similarity_siglip`` of all rows in their final order.
        similarity: What share goes.

    Returns:
        What was measured, by row.
    """
    columns: Mapping[str, npt.NDArray[np.float64]] = {
        kind: captions[f"similarity_{kind}"].to_numpy().astype(np.float64)
        for kind in SCORERS
        if getattr(similarity, kind) is not None
    }
    scored = np.flatnonzero(np.all([np.isfinite(values) for values in columns.values()], axis=0))
    going = math.floor(round(similarity.drop_lowest * len(scored), 9))
    if not going:
        return {}
    ranks = np.sum([_ranks(values[scored]) for values in columns.values()], axis=0)
    lowest = scored[np.lexsort((-scored, ranks))[:going]]
    asked = f"of the {similarity.drop_lowest:.3g} that fit their captions least"
    return {
        row: ", ".join(f"{kind} {values[row]:.4f}" for kind, values in columns.items()) + f": {asked}"
        for row in sorted(lowest.tolist())
    }


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return places from the lowest; equal values have the same."""
    ranks: npt.NDArray[np.int64] = np.searchsorted(np.sort(values), values)
    return ranks


def _open(similarity: recipe.Similarity, kind: str) -> Encoder:
    return open_encoder(Path(getattr(similarity, kind)), device=similarity.device)


def _check_kind(folder: Path, kind: str) -> None:
    found = inspect_encoder(folder)
    if found != kind:
        reads = "" if found in SCORERS else ", which reads no texts"
        raise RecipeError(
            f"captions.similarity.{kind}: {folder.name} is a model of kind {found!r}{reads}; a {kind} model with both "
            "of its towers is needed"
        )
