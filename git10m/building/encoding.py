"""What models tell of every image in the first pass: a vector, and learned scores.

They are told of the image as it is stored, and stand in a file beside the unit's rows, by the SHA-256 of the image: a
unit that is made again asks its models only for images that it did not have.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from git10m.building.workspace import Workspace
from git10m.curation.encoders import Encoder, encoder_versions, inspect_encoder, open_encoder
from git10m.curation.heads import Head, open_head
from git10m.curation.near_vectors import EXACT_ROWS, faiss_or_refuse
from git10m.curation.pictures import decoded
from git10m.curation.vectors import GivenVectors, find_vectors, gather_vectors
from git10m.engine import lock
from git10m.errors import BuildError
from git10m.recipe import Curation, Recipe
from git10m.records import Row
from git10m.shards import atomic_file, file_sha256

__all__ = ["Encoding", "UnitVectors", "open_encoding", "said_without_vector", "without_vector"]

_DIGEST_BYTES = 16
_NAMED = 3


@dataclass(frozen=True)
class Encoding:
    """Which models are asked; picklable, and opens them where it is used.

    Attributes:
        curation: Of the recipe, with absolute paths.
        given: Vectors that were brought along; None: a model makes them, or none are asked for.
        dimensions: Numbers of a vector; 0: none are asked for.
        identity: Digests of models, heads and given vectors.
    """

    curation: Curation
    given: GivenVectors | None
    dimensions: int
    identity: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides about what is told."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    @property
    def note(self) -> dict[str, Any] | None:
        """What files note of the column ``embedding``; None where they have none."""
        embedding = self.curation.embedding
        if embedding is None or embedding.kept_as is None:
            return None
        return {"dimensions": self.dimensions, "dtype": embedding.kept_as, "encoder": self.identity["embedding"]}

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Of what is told of one image."""
        return np.dtype(
            [("sha256", f"S{_DIGEST_BYTES}"), ("aesthetic", np.float32), ("vector", np.float16, (self.dimensions,))]
        )

    def path(self, workspace: Workspace, unit: int) -> Path:
        """Return where a unit's vectors stand; the name says of which models."""
        return workspace.unit(unit, f"vectors-{self.digest[:12]}.npy")

    def told(self, rows: Sequence[Row]) -> npt.NDArray[np.void]:
        """Ask the models of some images, (N,) of `dtype`; vectors are float16, and NaN where none was given."""
        found = np.zeros(len(rows), dtype=self.dtype)
        found["sha256"] = [_digest(row) for row in rows]
        vectors: dict[str, npt.NDArray[np.float32]] = {}
        embedding, aesthetic = self.curation.embedding, self.curation.scorers.aesthetic
        if self.given is not None:
            found["vector"] = self.given.find([getattr(row, self.given.key) for row in rows])
        elif embedding is not None and embedding.encoder is not None:
            encoder = open_encoder(Path(embedding.encoder), device=embedding.device)
            vectors[embedding.encoder] = _seen(encoder, rows)
            found["vector"] = vectors[embedding.encoder].astype(np.float16)
        found["aesthetic"] = np.nan
        if aesthetic is not None:
            if aesthetic.encoder not in vectors:
                encoder = open_encoder(Path(aesthetic.encoder), device=aesthetic.device)
                vectors[aesthetic.encoder] = _seen(encoder, rows)
            found["aesthetic"] = self._head.scores(vectors[aesthetic.encoder])
        return found

    def vectors_of(self, encoded: Sequence[bytes], keys: Sequence[str | None]) -> npt.NDArray[np.float16]:
        """Return the vectors of images that are no rows: by the model, or as given under their keys."""
        if self.given is not None:
            return self.given.find(keys)
        assert self.curation.embedding is not None
        assert self.curation.embedding.encoder is not None
        encoder = open_encoder(Path(self.curation.embedding.encoder), device=self.curation.embedding.device)
        prepared = [encoder.prepared(decoded(each)) for each in encoded]
        return encoder.images(prepared, prepared=True).astype(np.float16)

    def check(self, rows: int) -> None:
        """Refuse early what so many rows need and what is not installed.

        Raises:
            RecipeError: If it is missing.
        """
        if rows > EXACT_ROWS and self.curation.duplicates.embedding is not None:
            faiss_or_refuse(f"comparing the embeddings of {rows} tiles")

    @cached_property
    def _head(self) -> Head:
        aesthetic = self.curation.scorers.aesthetic
        assert aesthetic is not None
        return open_head(Path(aesthetic.head), activation=aesthetic.activation)


class UnitVectors:
    """What is told of the images of one unit.

    Args:
        encoding: Which models.
        path: File of the unit; what it holds already is not asked again.
    """

    def __init__(self, encoding: Encoding, path: Path) -> None:
        self._encoding, self._path = encoding, path
        self._kept: list[npt.NDArray[np.void]] = []
        self._old: dict[bytes, np.void] = {}
        if path.exists():
            held = np.load(path, allow_pickle=False)
            self._old = {bytes(each["sha256"]): each for each in held if each.dtype == encoding.dtype}

    def told(self, rows: Sequence[Row]) -> npt.NDArray[np.void]:
        """Return what is told of some images; see `Encoding.told`."""
        keys = [_digest(row) for row in rows]
        new = [i for i, key in enumerate(keys) if key.rstrip(b"\0") not in self._old]
        found = np.zeros(len(rows), dtype=self._encoding.dtype)
        for i, key in enumerate(keys):
            if (old := self._old.get(key.rstrip(b"\0"))) is not None:
                found[i] = old
        if new:
            found[new] = self._encoding.told([rows[i] for i in new])
        return found

    def keep(self, told: npt.NDArray[np.void]) -> None:
        """Take down what was told of images that become rows, in their order."""
        self._kept.append(told)

    def write(self) -> None:
        """Write the unit's file, atomically."""
        whole = np.concatenate([np.zeros(0, dtype=self._encoding.dtype), *self._kept])
        with atomic_file(self._path) as file:
            np.save(file, whole, allow_pickle=False)


def open_encoding(curation: Curation, *, store: Path, looking: bool = False) -> Encoding | None:
    """Look at the models that a recipe names, so that a wrong one is told before any tile is cut.

    Args:
        curation: Of the recipe, with absolute paths.
        store: Where given vectors are sorted.
        looking: Nothing is built: the weights are not opened.

    Returns:
        None where no model is asked for.

    Raises:
        RecipeError: If a model, a head or given vectors cannot be used, or a library is missing.
    """
    embedding, aesthetic = curation.embedding, curation.scorers.aesthetic
    if any(quota.clusters is not None for quota in curation.quotas):
        faiss_or_refuse("a quota by clusters")
    if embedding is None and aesthetic is None:
        return None
    identity: dict[str, Any] = {}
    given, dimensions = None, 0
    if embedding is not None and embedding.embeddings is not None:
        files = find_vectors(embedding.embeddings)
        if not looking:
            store.mkdir(parents=True, exist_ok=True)
            with lock(store / "given.lock", wait=True):  # ranks of one job start together
                given = gather_vectors(files, folder=store)
            identity["embedding"], dimensions = given.digest, given.dimensions
    for name, table in (("embedding", embedding), ("aesthetic", aesthetic)):
        if table is None or table.encoder is None:
            continue
        folder = Path(table.encoder)
        inspect_encoder(folder)
        if looking:
            continue
        encoder = open_encoder(folder, device=table.device)
        identity[name] = encoder.identity if table.device == "cpu" else f"{encoder.identity} on {table.device}"
        identity["versions"] = encoder_versions()
        dimensions = encoder.dimensions if name == "embedding" else dimensions
        if name == "aesthetic" and aesthetic is not None:
            open_head(Path(aesthetic.head), activation=aesthetic.activation, dimensions=encoder.dimensions)
            identity["head"] = f"{file_sha256(Path(aesthetic.head))} {aesthetic.activation}"
    if aesthetic is not None and looking:
        open_head(Path(aesthetic.head), activation=aesthetic.activation)
    open_encoder.cache_clear()
    return Encoding(curation, given, dimensions, identity)


def without_vector(
    workspace: Workspace, columns: Mapping[str, npt.NDArray[Any]], recipe: Recipe, embedded: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """Count and name the rows that have no vector; those are compared by their pixels alone.

    Args:
        workspace: With every unit of the first pass.
        columns: ``unit`` and ``position`` of every row.
        recipe: What was asked.
        embedded: Which rows have a vector.

    Raises:
        BuildError: If no row has one; or some have none and the recipe says ``on_error = "stop"``.
    """
    lacking = np.flatnonzero(~embedded)
    names = []
    for row in lacking[:_NAMED].tolist():
        file = workspace.unit(int(columns["unit"][row]), "rows.parquet")
        names.append(pq.read_table(file, columns=["img_name"])["img_name"][int(columns["position"][row])].as_py())
    note = {"images": len(embedded), "without": len(lacking), "named": names}
    said = said_without_vector(note)
    if len(lacking) == len(embedded) and len(lacking):
        raise BuildError(f"{said}; nothing in curation.embedding's file is of these images: check its key")
    if len(lacking) and recipe.on_error == "stop":
        raise BuildError(f"{said} (the recipe says on_error = 'stop')")
    return note


def said_without_vector(note: Mapping[str, Any]) -> str:
    """Put what `without_vector` returns in words."""
    return f"{note['without']} of {note['images']} images have no embedding, e.g. {', '.join(note['named'])}"


def _seen(encoder: Encoder, rows: Sequence[Row]) -> npt.NDArray[np.float32]:
    """Return vectors; images are decoded one at a time and kept only as small as the model takes them."""
    return encoder.images([encoder.prepared(decoded(row.image["bytes"])) for row in rows], prepared=True)


def _digest(row: Row) -> bytes:
    return bytes.fromhex(row.sha256[: 2 * _DIGEST_BYTES])
