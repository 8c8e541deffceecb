"""The folder of a build: names of files, the lock, and the note of which build it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from git10m.engine import lock
from git10m.errors import DatasetError
from git10m.shards import atomic_file

__all__ = ["Workspace", "read_json", "write_json"]

_STEPS = ("tiles", "enhanced", "captions", "rows")
"""Folders of the steps of a build."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths of a dataset folder and of the work that makes it.

    Attributes:
        folder: The dataset folder.
    """

    folder: Path

    @property
    def data(self) -> Path:
        """Finished shards."""
        return self.folder / "data"

    @property
    def work(self) -> Path:
        """What may be deleted once the build is done."""
        return self.folder / "work"

    @property
    def scenes(self) -> Path:
        """The recipe's own computed scenes."""
        return self.work / "scenes"

    @property
    def sources(self) -> Path:
        """Answers of catalogs, and what was fetched, a folder a source."""
        return self.work / "sources"

    @property
    def known(self) -> Path:
        """Hashes of sets that the dataset stays apart from."""
        return self.work / "known"

    @property
    def vectors(self) -> Path:
        """Vectors that were brought along, sorted."""
        return self.work / "vectors"

    @property
    def answers(self) -> Path:
        """Answers of models that write captions, and the ledger of what was asked."""
        return self.work / "answers"

    @property
    def recaption(self) -> Path:
        """Captions that are written anew, beside the shards that they are for."""
        return self.work / "recaption"

    @property
    def facts(self) -> Path:
        """Objects of vector layers, kept so that a tile's are found at once."""
        return self.work / "facts"

    @property
    def manifest(self) -> Path:
        """The note that the build is done."""
        return self.folder / "manifest.json"

    @property
    def note(self) -> Path:
        """Which build the folder holds, and how many units its first pass has."""
        return self.work / "build.json"

    def unit(self, number: int, kind: str) -> Path:
        """File of one unit of the first pass: ``rows.parquet``, ``rejected.parquet`` or ``done.json``."""
        return self.work / "tiles" / f"{number:05d}.{kind}"

    def enhanced(self, number: int, kind: str) -> Path:
        """File of what was restored of one unit: ``rows.npy`` (which may be), ``parquet`` or ``done.json``."""
        return self.work / "enhanced" / f"{number:05d}.{kind}"

    def captions(self, name: str, kind: str) -> Path:
        """File of one shard of captions: ``rows.npy`` (of which rows), ``parquet`` or ``done.json``."""
        return self.work / "captions" / f"{name}.{kind}"

    def shard(self, name: str, kind: str) -> Path:
        """File of one final shard: ``rows.npy`` (which rows) or ``done.json``."""
        return self.work / "rows" / f"{name}.{kind}"

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.data, *(self.work / each for each in _STEPS)):
            folder.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove what a killed build left half-written; nobody else may be writing here."""
        for folder in (
            self.folder,
            self.data,
            self.work,
            *(self.work / each for each in _STEPS),
        ):
            for part in folder.glob(".*.part"):
                part.unlink(missing_ok=True)

    @contextmanager
    def locked(self, *, shared: bool) -> Iterator[None]:
        """Keep other builds out of the folder (but ranks of one job share it).

        Raises:
            DatasetError: If another build is at work there.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        with lock(self.work / "lock", shared=shared) as held:
            if not held:
                raise DatasetError(
                    f"{self.folder}: another build is at work there; wait for it, or choose another --output"
                )
            yield

    def claim(self, fingerprint: str, inputs: Mapping[str, Any], *, repaired: bool = False) -> None:
        """Note which build the folder holds, or check that it is this one.

        Args:
            fingerprint: Of the build.
            inputs: What the fingerprint is made of.
            repaired: Scenes of the same names may have other content; the dataset is then no longer finished.

        Raises:
            DatasetError: If it holds another; names what differs.
        """
        held = read_json(self.note) or read_json(self.manifest)
        if held is not None and held.get("fingerprint") != fingerprint:
            old = held.get("inputs", {})
            changed = _differences(old, dict(inputs))
            mended = old.get("scenes", {}).keys() == inputs["scenes"].keys() and all(
                name.startswith("scenes.") for name in changed
            )
            if not (repaired and mended):
                raise DatasetError(
                    f"{self.folder}: holds a build of another recipe, other inputs or other versions "
                    f"(changed: {', '.join(changed[:8]) or 'unknown'}); choose another --output, or delete the folder"
                    + (", or take in the changed files with --retry-failed" if mended else "")
                )
            self.manifest.unlink(missing_ok=True)
            held = None
        if held is None or not self.note.exists():
            write_json(self.note, {"fingerprint": fingerprint, "inputs": inputs})


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None where there is no such file."""
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: is damaged ({error}); delete the folder {path.parent} and build again") from error
    return loaded


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, keys in the given order."""
    with atomic_file(path) as file:
        file.write(json.dumps(value, indent=2, ensure_ascii=False, default=str).encode() + b"\n")


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    """List the dotted keys at which two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            found for key in keys for found in _differences(old.get(key), new.get(key), f"{where}.{key}".strip("."))
        ]
    return [] if json.loads(json.dumps(old, default=str)) == json.loads(json.dumps(new, default=str)) else [where]
