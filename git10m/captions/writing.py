"""From rows to captions: facts found, a writer asked, what it wrote checked and scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa

from git10m import recipe, records
from git10m.captions.facts import FactFinder, Subject
from git10m.captions.similarity import SimilarityScorer
from git10m.captions.template import VERSION, caption
from git10m.grid import Tile

__all__ = ["CAPTION_COLUMNS", "INPUT_COLUMNS", "Captioner", "subject_of"]

CAPTION_COLUMNS = (
    *("caption", "caption_length", "caption_source", "caption_version", "captions"),
    *("caption_facts", "caption_flags", "similarity_clip", "similarity_siglip"),
)
"""Columns of a row that captioning decides about."""
INPUT_COLUMNS = (
    *("img_name", "level", "x", "y", "width", "acquired_at", "acquired_precision", "synthetic", "sha256"),
    *CAPTION_COLUMNS,
)
"""Columns of a row that captioning needs to see, beside its image."""


class Captioner:
    """Finds facts and writes captions for rows; opened once a process.

    Args:
        captions: What the recipe says of captions; its paths are absolute.

    Raises:
        RecipeError: If a path matches no file, or a column is not in its layer.
        SourceError: If a layer cannot be read.
    """

    def __init__(self, captions: recipe.Captions) -> None:
        self._captions = captions

    @property
    def needs_images(self) -> bool:
        """Whether `captioned` wants the column ``image``."""
        return self._captions.similarity is not None

    @property
    def cut(self) -> Counter[str]:
        """How many captions were too long for each model of similarity so far."""
        return Counter(self._scorer.cut) if self._scorer is not None else Counter()

    def captioned(self, table: pa.Table) -> pa.Table:
        """Return the `CAPTION_COLUMNS` of some rows, one row each, in their order.

        Args:
            table: `INPUT_COLUMNS` of rows in the order (level, quadkey), and ``image`` where it is needed. What a
                set says of its images stays; the rest is written.
        """
        rows = table.select(list(INPUT_COLUMNS)).to_pylist()
        subjects = {i: subject_of(row) for i, row in enumerate(rows) if row["x"] is not None}
        facts = dict(zip(subjects, self._finder.find(list(subjects.values())), strict=True))
        for i, fact in facts.items():
            rows[i]["caption_facts"] = fact
            if self._captions.writer == "template" and rows[i]["caption"] is None:
                rows[i].update(self._told(fact, subjects[i], key=rows[i]["img_name"]))
        if self._scorer is not None:
            images = [image.as_py()["bytes"] for image in table["image"]]
            found = self._scorer.scores(images, [row["caption"] for row in rows])
            for name, scores in found.items():
                for row, score in zip(rows, scores, strict=True):
                    row[name] = score if score is not None else row[name]
        known = records.columns()
        return pa.table(
            {name: pa.array([row[name] for row in rows], type=known[name].type) for name in CAPTION_COLUMNS}
        )

    def _told(self, facts: Mapping[str, Any], subject: Subject, *, key: str) -> dict[str, Any]:
        text = caption(
            facts,
            tile=subject.tile,
            tile_size=subject.tile_size,
            synthetic=subject.synthetic,
            key=key,
            captions=self._captions,
        )
        return {
            "caption": text,
            "caption_length": len(text.split()),
            "caption_source": "template",
            "caption_version": VERSION,
        }

    @cached_property
    def _scorer(self) -> SimilarityScorer | None:
        return SimilarityScorer(self._captions.similarity) if self._captions.similarity is not None else None

    @cached_property
    def _finder(self) -> FactFinder:
        return FactFinder(self._captions)


def subject_of(row: Mapping[str, Any]) -> Subject:
    """Return what facts are asked for, of a row that has a place."""
    # A year or a month is no date: it gives neither a day nor a season.
    exact = row["acquired_precision"] in {"day", "second"}
    return Subject(
        tile=Tile(row["level"], row["x"], row["y"]),
        tile_size=row["width"],
        acquired_at=row["acquired_at"] if exact else None,
        platform=row["caption_facts"]["platform"],
        sensor=row["caption_facts"]["sensor"],
        synthetic=row["synthetic"],
    )
