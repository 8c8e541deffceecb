"""All files of a publication in one place, each with its size and hash, before any of them goes anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

import git10m
from git10m.errors import PublishError
from git10m.publish.card import Form, render_card
from git10m.publish.columns import column_schema, write_columns
from git10m.publish.croissant import croissant
from git10m.publish.licences import refusal, understand
from git10m.publish.manifest import write_text
from git10m.publish.notice import notice
from git10m.publish.selection import (
    Selection,
    layers_of,
    left_over,
    write_left_index,
    write_left_rejected,
    write_left_shard,
)
from git10m.publish.stac import Scenes, collection, write_scenes
from git10m.publish.tars import features, plan_tars, write_tar
from git10m.shards import file_sha256

__all__ = ["LAST", "Piece", "Publication", "Release", "prepare_release"]

LAST = ("README.md", "manifest.json")
"""Files by which a dataset is found; they arrive last, in this order, so that half of one is never taken for whole."""

_WHAT = {
    "hub": {"data/": "the rows with their images: Hugging Face dataset and GeoParquet 1.1 at once"},
    "webdataset": {"data/": "tars in WebDataset form: image, caption and all other columns of each row"},
    "git10m": {"data/": "the rows in the columns of Git-10M"},
}
_FILES = {
    "index.parquet": "the same rows without images, with the shard and position of each",
    "rejected.parquet": "planned tiles that did not become rows, and why",
    "scenes.parquet": "the scenes that tiles were cut from, as stac-geoparquet",
    "collection.json": "STAC collection",
    "croissant.json": "Croissant 1.1, for machines",
    "NOTICE": "licences and credits",
    "manifest.json": "recipe, counts, hashes of the files, versions",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What is asked for.

    Attributes:
        form: ``"hub"`` (the dataset folder), ``"webdataset"`` or ``"git10m"``.
        text_column: Of the form ``"git10m"``: its older single ``text`` instead of the seven columns.
        allowed: Licences to publish that are refused else, as they are stated or named; ``"unstated"``.
        without_refused: Leave rows of refused licences behind, instead of publishing nothing.
        with_rejected: Publish ``rejected.parquet`` too.
        name: Another name than the dataset's.
        creator: Who publishes, for card, Croissant and citation.
        url: Where it will be found.
        date: ``"2026-11-24"``, of the publication.
        most_tar_bytes: Images of a tar, about.
    """

    form: str = "hub"
    text_column: bool = False
    allowed: tuple[str, ...] = ()
    without_refused: bool = False
    with_rejected: bool = False
    name: str | None = None
    creator: str | None = None
    url: str | None = None
    date: str | None = None
    most_tar_bytes: int = 2**30


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a publication.

    Attributes:
        name: Relative to the target, with slashes.
        path: Where it lies now.
        sha256: Of its content.
        bytes: Its size.
        rows: Rows or samples that it holds; None where it holds none.
    """

    name: str
    path: Path
    sha256: str
    bytes: int
    rows: int | None = None

    @property
    def note(self) -> dict[str, Any]:
        """What a manifest says of it."""
        said = {"sha256": self.sha256, "rows": self.rows, "bytes": self.bytes}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Release:
    """All that goes out.

    Attributes:
        manifest: As it is published.
        pieces: In the order in which they go.
    """

    manifest: Mapping[str, Any]
    pieces: tuple[Piece, ...] = field(repr=False)


def prepare_release(
    selection: Selection, manifest: Mapping[str, Any], wanted: Publication, *, scratch: Path
) -> Release:
    """Write what is not there yet and describe all that goes out.

    What a run that was ended early wrote is kept: files come whole or not at all, and are the same each time.

    Args:
        selection: Rows to publish.
        manifest: Of the dataset.
        wanted: What is asked for.
        scratch: Folder for what is written; it may be deleted afterwards.

    Raises:
        PublishError: If there is no room, or no right to write.
    """
    place = scratch / f"{wanted.form}-{_digest(manifest, wanted, selection)}"
    try:
        (place / "data").mkdir(parents=True, exist_ok=True)
        return _Writer(selection, manifest, wanted, place).release()
    except OSError as error:
        said = error.strerror or str(error)
        raise PublishError(
            f"{scratch}: cannot write what is to be published ({said}); "
            "make room, or give another folder with --scratch"
        ) from error


@dataclass(frozen=True)
class _Writer:
    selection: Selection
    manifest: Mapping[str, Any]
    wanted: Publication
    place: Path

    def release(self) -> Release:
        data = [*self._data()]
        kept = {piece.name: piece for piece in (*data, *self._tables())}
        manifest = left_over(self.manifest, self.selection)
        manifest["name"] = self.wanted.name or manifest["name"]
        manifest["files"] = {name: piece.note for name, piece in kept.items()}
        manifest.pop("published", None)
        manifest["published"] = self._published()
        further = [*self._described(manifest, kept)]
        names = [*kept, *(piece.name for piece in further)]
        self._text("README.md", lambda: self._card(manifest, names))
        further.append(self._piece("README.md", self.place / "README.md"))
        manifest["published"]["files"] = {piece.name: piece.note for piece in further}
        self._text("manifest.json", lambda: json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        every = [*kept.values(), *further, self._piece("manifest.json", self.place / "manifest.json")]
        every.sort(key=lambda piece: LAST.index(piece.name) if piece.name in LAST else -1)
        return Release(manifest, tuple(every))

    def _data(self) -> Iterator[Piece]:
        if self.wanted.form == "webdataset":
            tars = plan_tars(self.selection, most_bytes=self.wanted.most_tar_bytes)
            for tar in _shown(tars, "tars", len(tars)):
                yield self._made(tar.name, partial(write_tar, self.selection, tar))
            return
        shards = self.selection.names.items()
        if self.wanted.form == "git10m":
            schema = column_schema(text_column=self.wanted.text_column, synthetic=self.selection.survey.synthetic > 0)
            for old, new in _shown(shards, "shards", len(shards)):
                yield self._made(new, partial(write_columns, self.selection, old, schema=schema))
            return
        for old, new in _shown(shards, "shards", len(shards)):
            if old in self.selection.kept:
                yield self._made(new, partial(write_left_shard, self.selection, old))
            else:
                yield self._noted(old, new)

    def _tables(self) -> Iterator[Piece]:
        """The index, and the rejected tiles where they are wanted."""
        if self.wanted.form != "hub":
            return
        if self.selection.refused:
            yield self._made("index.parquet", partial(write_left_index, self.selection))
        else:
            yield self._noted("index.parquet", "index.parquet")
        if self.wanted.with_rejected:
            showable = self._showable()
            if self.selection.refused or not set(layers_of(self.manifest).values()) <= showable:
                write = partial(write_left_rejected, self.selection, self.manifest, showable=showable)
                yield self._made("rejected.parquet", write)
            else:
                yield self._noted("rejected.parquet", "rejected.parquet")

    def _showable(self) -> set[str]:
        """Layers whose sources may all be published: only of those do thumbnails of rejected tiles go out."""
        allowed = {understand(licence).name for licence in self.wanted.allowed}
        layers = layers_of(self.manifest)
        recipe = (self.manifest.get("inputs") or {}).get("recipe") or {}
        stated: dict[str, set[str | None]] = {name: set() for name in layers}
        for item in self.manifest.get("items", []):
            stated.setdefault(item["source_id"], set()).add(item.get("licence"))
        for source in recipe.get("source") or []:
            if not stated.get(str(source.get("id"))):
                stated[str(source.get("id"))] = {source.get("licence")}
        bad = {
            layers.get(source, "imagery")
            for source, licences in stated.items()
            if any(refusal(licence) and understand(licence).name not in allowed for licence in licences)
        }
        return set(layers.values()) - bad

    def _described(self, manifest: Mapping[str, Any], kept: Mapping[str, Piece]) -> Iterator[Piece]:
        """Scenes, collection, Croissant and NOTICE."""
        scenes, notes = self.place / "scenes.parquet", {name: piece.note for name, piece in kept.items()}
        written = write_scenes(
            self.selection.folder / "index.parquet", manifest, scenes, without=self.selection.refused
        )
        if written.count:
            piece = self._piece("scenes.parquet", scenes, rows=written.count)
            notes["scenes.parquet"] = piece.note
            yield piece
        yield self._json("collection.json", self._collection(manifest, written, notes))
        if self.wanted.form != "webdataset":
            listed = {name: note for name, note in notes.items() if name != "rejected.parquet"}
            schema = pq.read_schema(next(piece.path for name, piece in kept.items() if name.startswith("data/")))
            said = {"creator": self.wanted.creator, "url": self.wanted.url, "date": self.wanted.date}
            yield self._json(
                "croissant.json", croissant(manifest, self.selection.survey, schema=schema, files=listed, said=said)
            )
        self._text("NOTICE", lambda: notice(manifest, self.selection.survey))
        yield self._piece("NOTICE", self.place / "NOTICE")

    def _collection(self, manifest: Mapping[str, Any], scenes: Scenes, notes: Mapping[str, Any]) -> dict[str, Any]:
        return collection(manifest, self.selection.survey, scenes=scenes, files=notes)

    def _card(self, manifest: Mapping[str, Any], names: Iterable[str]) -> str:
        what = {
            **_WHAT[self.wanted.form],
            **{name: _FILES[name] for name in [*names, "manifest.json"] if name in _FILES},
        }
        tars = [name for name in names if name.endswith(".tar")]
        endings = sorted({name.split("-")[1] for name in tars if name.count("-") > 1}) or [self._ending()]
        shard = pq.read_schema(self.selection.folder / next(iter(self.selection.names)))
        form = Form(
            name=self.wanted.form,
            files=what,
            endings=endings,
            text_column=self.wanted.text_column,
            features={ending: features(shard, ending) for ending in endings} if tars else None,
            creator=self.wanted.creator,
            url=self.wanted.url,
            year=int(self.wanted.date[:4]) if self.wanted.date else None,
        )
        return render_card(manifest, found=self.selection.survey, form=form)

    def _ending(self) -> str:
        endings = self.selection.survey.endings
        return {".png": "png", ".webp": "webp"}.get(max(endings, key=lambda name: endings[name], default=""), "jpg")

    def _published(self) -> dict[str, Any]:
        earlier = (self.manifest.get("published") or {}).get("left_out") or {}
        left_out = {name: earlier.get(name, 0) + self.selection.removed.get(name, 0)
                    for name in sorted({*earlier, *self.selection.removed})}  # fmt: skip
        return {
            "form": self.wanted.form,
            "git10m_version": git10m.__version__,
            "date": self.wanted.date,
            "creator": self.wanted.creator,
            "url": self.wanted.url,
            "rejected": self.wanted.form == "hub" and self.wanted.with_rejected,
            "left_out": left_out,
        }

    def _made(self, name: str, write: Callable[[Path], Any]) -> Piece:
        """Write a file, unless an earlier run did: names are given to whole files alone."""
        path = self.place / name
        if not path.is_file():
            write(path)
        rows = self._counted(name, path)
        return self._piece(name, path, rows=rows)

    def _counted(self, name: str, path: Path) -> int | None:
        if name.endswith(".parquet"):
            return int(pq.read_metadata(path).num_rows)
        import tarfile  # noqa: PLC0415 - headers alone are read

        with tarfile.open(path) as archive:
            return sum(member.name.endswith(".json") for member in archive)

    def _noted(self, old: str, new: str) -> Piece:
        """A file of the dataset as it is; its hash was compared with the manifest's."""
        note = self.manifest["files"][old]
        return Piece(new, self.selection.folder / old, note["sha256"], int(note["bytes"]), int(note["rows"]))

    def _json(self, name: str, value: Mapping[str, Any]) -> Piece:
        self._text(name, lambda: json.dumps(value, indent=1, ensure_ascii=False) + "\n")
        return self._piece(name, self.place / name)

    def _text(self, name: str, text: Callable[[], str]) -> None:
        write_text(self.place / name, text())

    def _piece(self, name: str, path: Path, *, rows: int | None = None) -> Piece:
        return Piece(name, path, file_sha256(path), path.stat().st_size, rows)


def _digest(manifest: Mapping[str, Any], wanted: Publication, selection: Selection) -> str:
    """Name what is written after all that it depends on, so that another publication never finds it."""
    said = [manifest, asdict(wanted), sorted(selection.refused), git10m.__version__]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _shown(items: Iterable[Any], what: str, total: int) -> Iterator[Any]:
    yield from tqdm(items, desc=what, total=total, unit="file", disable=total < 2)
