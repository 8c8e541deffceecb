"""From rows to captions: facts found, a writer asked, what it wrote checked and scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from git10m import recipe, records
from git10m.captions.checks import Ground, check, looked_for
from git10m.captions.facts import FactFinder, Subject, valid_mask
from git10m.captions.similarity import SimilarityScorer
from git10m.captions.subjects import Judge, Picture, Writer, Written, no_faults
from git10m.captions.template import VERSION, caption
from git10m.grid import Tile

__all__ = [
    "CAPTION_COLUMNS",
    "INPUT_COLUMNS",
    "OUR_WRITERS",
    "Captioner",
    "TemplateWriter",
    "open_writer",
    "subject_of",
]

CAPTION_COLUMNS = (
    *("caption", "caption_length", "caption_source", "caption_version", "captions"),
    *("caption_facts", "caption_flags", "similarity_clip", "similarity_siglip"),
)
"""Columns of a row that captioning decides about."""
INPUT_COLUMNS = (
    *("img_name", "level", "x", "y", "width", "height", "gsd_m", "native_gsd_m", "acquired_at", "acquired_precision"),
    *("synthetic", "sha256"),
    *CAPTION_COLUMNS,
)
"""Columns of a row that captioning needs to see, beside its image."""
OUR_WRITERS = frozenset({"template", "openai", "transformers"})
"""Values of ``caption_source`` that a writer of ours gives; other captions came with their image."""


class TemplateWriter:
    """Writes captions by rule; see ``captions.template``."""

    needs_images = False

    def __init__(self, captions: recipe.Captions) -> None:
        self._captions = captions

    def write(self, pictures: Sequence[Picture], *, judge: Judge = no_faults) -> list[Written | None]:
        """Return the captions of each picture; None of one that has no place."""
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: Picture) -> Written | None:
        place = picture.place
        if place is None or picture.facts is None:
            return None
        texts = tuple(
            caption(
                picture.facts,
                tile=place.tile,
                tile_size=place.tile_size,
                synthetic=place.synthetic,
                key=picture.key,
                captions=self._captions,
                length=length,
            )
            for length in self._captions.lengths
        )
        return Written(texts, "template", VERSION)


def open_writer(captions: recipe.Captions, *, store: Path) -> Writer | None:
    """Open the writer that a recipe asks for; None where captions stay empty.

    Args:
        captions: What the recipe says; its paths are absolute.
        store: Folder where answers of servers are kept.

    Raises:
        RequestError: If a package is missing, or a folder holds no model.
        CaptionError: If a key is missing.
    """
    if captions.writer == "openai":
        from git10m.captions.vlm.server import ServerWriter  # noqa: PLC0415 - an extra

        return ServerWriter(captions, store=store)
    if captions.writer == "transformers":
        from git10m.captions.vlm.local import LocalWriter  # noqa: PLC0415 - an extra

        return LocalWriter(captions)
    return TemplateWriter(captions) if captions.writer == "template" else None


def check_writer(captions: recipe.Captions, *, key: bool = False) -> None:
    """Find out now, not after hours of other work, that the writer that a recipe asks for cannot be had.

    Args:
        captions: What the recipe says; its paths are absolute.
        key: There is something to ask, so the key must be there too.

    Raises:
        RequestError: If a package is missing, or a folder holds no model.
        CaptionError: If a key is missing.
    """
    if captions.openai is not None and captions.writer == "openai":
        from git10m.captions.vlm.server import check_client, key_of  # noqa: PLC0415 - an extra

        check_client()
        if key:
            key_of(captions.openai)
    elif captions.transformers is not None and captions.writer == "transformers":
        from git10m.captions.vlm.local import check_model  # noqa: PLC0415 - an extra

        check_model(Path(captions.transformers.path))


class Captioner:
    """Finds facts and writes captions for rows; opened once a process.

    Args:
        captions: What the recipe says of captions; its paths are absolute.
        work: Folder where objects (``facts/``) and answers of servers (``answers/``) are kept.
        keep_facts: Use the facts that stand in the rows, rather than find them anew.
        writer: Who writes; None: whom the recipe names.

    Raises:
        RecipeError: If a path matches no file, or a column is not in its layer.
        SourceError: If a layer cannot be read.
    """

    def __init__(
        self, captions: recipe.Captions, *, work: Path, keep_facts: bool = False, writer: Writer | None = None
    ) -> None:
        self._captions, self._keep_facts, self._facts = captions, keep_facts, work / "facts"
        self._writer = writer or open_writer(captions, store=work / "answers")

    @property
    def needs_images(self) -> bool:
        """Whether `captioned` wants the column ``image``."""
        return self._scorer is not None or (self._writer is not None and self._writer.needs_images)

    @property
    def cut(self) -> Counter[str]:
        """How many captions were too long for each model of similarity so far."""
        return Counter(self._scorer.cut) if self._scorer is not None else Counter()

    def captioned(self, table: pa.Table) -> pa.Table:
        """Return the `CAPTION_COLUMNS` of some rows, one row each, in their order.

        Args:
            table: `INPUT_COLUMNS` of rows in the order (level, quadkey), and ``image`` where it is needed. What a
                set says of its images stays; the rest is written. ``valid_cells`` of the first pass, where it is
                there, keeps things out of the facts that lie where a tile has no pixels.

        Raises:
            CaptionError: If a model cannot be asked.
        """
        rows, wanted, pictures = self._read(table)
        for i, written in zip(wanted, self._write(pictures), strict=True):
            if written is not None:
                rows[i].update(_columns(written))
        for row in rows:
            self._flag(row)
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

    def pictures(self, table: pa.Table) -> list[Picture]:
        """Return what the writer would be asked about; arguments as of `captioned`."""
        return self._read(table)[2]

    def _read(self, table: pa.Table) -> tuple[list[dict[str, Any]], list[int], list[Picture]]:
        """Return the rows with their facts, the positions of those that want a caption, and these as pictures."""
        told = [name for name in (*INPUT_COLUMNS, "valid_cells") if name in table.column_names]
        rows = table.select(told).to_pylist()
        self._find_facts(rows)
        wanted = [i for i, row in enumerate(rows) if row["caption"] is None]
        return rows, wanted, [self._picture(rows[i], table, i) for i in wanted]

    def _find_facts(self, rows: list[dict[str, Any]]) -> None:
        subjects = {i: subject_of(row) for i, row in enumerate(rows) if row["x"] is not None}
        if not self._keep_facts:
            for i, facts in zip(subjects, self._finder.find(list(subjects.values())), strict=True):
                rows[i]["caption_facts"] = facts

    def _picture(self, row: Mapping[str, Any], table: pa.Table, position: int) -> Picture:
        return Picture(
            key=row["img_name"],
            facts=row["caption_facts"],
            place=subject_of(row) if row["x"] is not None else None,
            gsd_m=row["gsd_m"],
            width=row["width"],
            height=row["height"],
            image=table["image"][position]["bytes"].as_py() if self.needs_images else None,
        )

    def _write(self, pictures: list[Picture]) -> list[Written | None]:
        """Ask the writer, and the template about what the writer cannot caption."""
        if self._writer is None or not pictures:
            return [None] * len(pictures)
        found = self._writer.write(pictures, judge=self.judge)
        if self._captions.writer == "template" or self._captions.fallback == "none":
            return found
        lacking = [i for i, each in enumerate(found) if each is None]
        for i, written in zip(lacking, self._template.write([pictures[i] for i in lacking]), strict=True):
            found[i] = written
        return found

    def judge(self, text: str, picture: Picture, length: str) -> tuple[str, ...]:
        """Return what is wrong with a model's caption, which is then asked for again."""
        level = picture.place.tile.level if picture.place else None
        ground = _ground(level, picture.gsd_m, picture.width, self._looked_for)
        rules = self._captions.checks
        return tuple(
            str(flag) for flag in check(text, facts=picture.facts, rules=rules, ground=ground, kind=_kind(length))
        )

    def _flag(self, row: dict[str, Any]) -> None:
        """Note what is wrong with the captions of a row, and drop those where the recipe asks for that."""
        rules = self._captions.checks
        row["caption_flags"] = None
        if row["caption"] is None or not rules.use:
            return
        texts = row["captions"] or [row["caption"]]
        found = [self._faults(row, text, number) for number, text in enumerate(texts)]
        row["caption_flags"] = [
            f"{flag} (caption {number})" if number > 1 else flag
            for number, flags in enumerate(found, start=1)
            for flag in flags
        ]
        if rules.action == "drop_caption" and found[0]:
            row.update(dict.fromkeys(CAPTION_COLUMNS[:5]))
        elif rules.action == "drop_caption" and row["captions"]:
            row["captions"] = [text for text, flags in zip(texts, found, strict=True) if not flags]

    def _faults(self, row: Mapping[str, Any], text: str, number: int) -> list[str]:
        lengths = self._captions.lengths
        ours = row["caption_source"] in OUR_WRITERS and number < len(lengths)
        kind: Kind = _kind(lengths[number]) if ours else "given"
        ground = _ground(row["level"] or None, row["gsd_m"], row["width"], self._looked_for)
        rules = self._captions.checks
        return [str(flag) for flag in check(text, facts=row["caption_facts"], rules=rules, ground=ground, kind=kind)]

    @cached_property
    def _looked_for(self) -> frozenset[str] | None:
        return looked_for(self._captions.objects)

    @cached_property
    def _template(self) -> TemplateWriter:
        return TemplateWriter(self._captions)

    @cached_property
    def _scorer(self) -> SimilarityScorer | None:
        return SimilarityScorer(self._captions.similarity) if self._captions.similarity is not None else None

    @cached_property
    def _finder(self) -> FactFinder:
        return FactFinder(self._captions, store=self._facts)


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
        native_gsd_m=row["native_gsd_m"],
        valid=valid_mask(row.get("valid_cells")),
    )


Kind = Literal["long", "short", "given"]


def _kind(length: str) -> Kind:
    return "short" if length == "short" else "long"


def _ground(level: int | None, gsd_m: float | None, size_px: int, kinds: frozenset[str] | None) -> Ground:
    return Ground(level=level, gsd_m=gsd_m, size_px=size_px, kinds=kinds)


def _columns(written: Written) -> dict[str, Any]:
    return {
        "caption": written.texts[0],
        "caption_length": len(written.texts[0].split()),
        "caption_source": written.source,
        "caption_version": written.version,
        "captions": list(written.texts) if len(written.texts) > 1 else None,
    }
