"""Cached latents on disk: one parquet file a shard, found again by the shard's content.

    DIR/latents.json                          what the latents are (LatentSpec), written first
    DIR/NAME.DIGEST.latents.parquet           a row a view; a row group for each group of the shard
    DIR/NAME.DIGEST.done.json                 its groups and the rows that could not be used; written last, so that
                                              it is what "done" means

DIGEST is of the shard's size, beginning and end, where a parquet file keeps the offsets and statistics of all its
pages: latents of a shard that was since made anew are not found, whatever its name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from text2earth.data.files import LATENTS_SUFFIX, open_file, read_json
from text2earth.data.index import ShardIndex
from text2earth.data.view import PREPROCESSING, Cut, UnusableRowError, View
from text2earth.errors import LatentCacheError
from text2earth.latents import LatentSpec, encoder_sha256

__all__ = ["DONE_SUFFIX", "SPEC_NAME", "GroupLatents", "LatentCache", "StoredView", "latents_name", "latents_schema"]

SPEC_NAME = "latents.json"
DONE_SUFFIX = ".done.json"
_ENDS_BYTES = 1 << 16
_CUT = ("top", "left", "down", "across", "turns")


@dataclass(frozen=True, slots=True)
class StoredView:
    """One view of a row.

    Args:
        moments: Mean, or mean and log-variance, float16 (C or 2C, h, w).
        cut: The square of the tile that it is of.
        halvings: By how many powers of two the tile was averaged down before.
        height: Of the tile after that, pixels.
        width: Likewise.
    """

    moments: npt.NDArray[np.float16]
    cut: Cut
    halvings: int
    height: int
    width: int


class GroupLatents:
    """Latents of one group of rows.

    Args:
        table: A row a view, the views of a row together, rows ascending.
        skipped: Reason by row, of rows that could not be encoded.
        spec: What the latents are.
        where: File, for messages.
    """

    def __init__(self, table: pa.Table, *, skipped: Mapping[int, str], spec: LatentSpec, where: str) -> None:
        self._skipped, self._spec, self._where = skipped, spec, where
        self._rows = np.asarray(table["row"])[:: spec.views]
        self._plain = {name: np.asarray(table[name]) for name in (*_CUT, "halvings", "height", "width")}
        shape = (table.num_rows, spec.channels, spec.side, spec.side)
        names = ("mean",) if spec.moments == "mean" else ("mean", "log_variance")
        self._moments = [_halves(table[name], shape) for name in names]

    def view(self, row: int, *, draws: np.random.Generator) -> StoredView:
        """Return one of a row's views, drawn.

        Raises:
            UnusableRowError: If the row could not be encoded.
            LatentCacheError: If the row was never given to the encoder.
        """
        place = int(np.searchsorted(self._rows, row))
        if place == len(self._rows) or self._rows[place] != row:
            if row in self._skipped:
                raise UnusableRowError(self._skipped[row])
            raise LatentCacheError(
                f"{self._where} has no latents of row {row}; encode with the filter that is trained with, or with none"
            )
        entry = place * self._spec.views + int(draws.integers(self._spec.views))
        plain = {name: int(values[entry]) for name, values in self._plain.items()}
        cut = Cut(
            plain["top"],
            plain["left"],
            self._spec.image_size,
            bool(plain["down"]),
            bool(plain["across"]),
            plain["turns"],
        )
        moments = np.concatenate([each[entry] for each in self._moments])
        return StoredView(moments, cut, plain["halvings"], plain["height"], plain["width"])


def _halves(column: pa.ChunkedArray, shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
    whole = column.combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    start = whole.offset * whole.type.byte_width
    flat = np.frombuffer(whole.buffers()[1], dtype=np.uint8)[start : start + len(whole) * whole.type.byte_width]
    return flat.view("<f2").reshape(shape)


class LatentCache:
    """The latents of a folder.

    Args:
        folder: Path or address.

    Raises:
        LatentCacheError: If it holds none.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder.rstrip("/")
        said = read_json(self.folder, SPEC_NAME)
        if not said:
            raise LatentCacheError(
                f"{folder} holds no latents (no {SPEC_NAME}); make them with 'text2earth encode DATASET MODEL "
                f"--output {folder}'"
            )
        self.spec = LatentSpec(**said["spec"])
        self._digests: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "spec": self.spec}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._digests = {}

    def require(self, *, vae: Any, view: View, index: ShardIndex) -> None:
        """Refuse to train on latents of another autoencoder, another view, or a part of the shards.

        Args:
            vae: The autoencoder that is trained with.
            view: What is trained on.
            index: The rows that are trained on.

        Raises:
            LatentCacheError: If anything differs; names it.
        """
        self.spec.require(
            {
                "encoder": encoder_sha256(vae),
                "scaling_factor": float(vae.config.scaling_factor),
                "image_size": view.image_size,
                "view": view.kind,
                "flips": view.flips,
                "turns": view.turns,
                "preprocessing": PREPROCESSING,
            },
            folder=self.folder,
        )
        shards = sorted({index.file_of(group).path for group in range(index.groups)})
        missing = [shard for shard in shards if not read_json(self.folder, self._name(shard) + DONE_SUFFIX)]
        if missing:
            raise LatentCacheError(
                f"{self.folder} lacks the latents of {len(missing)} of {len(shards)} shards, the first is {missing[0]} "
                "(not encoded yet, or made anew since); run 'text2earth encode' again"
            )

    def group(self, shard: str, number: int) -> GroupLatents:
        """Return the latents of a group of rows of a shard.

        Raises:
            LatentCacheError: If there are none.
        """
        name = self._name(shard)
        where = f"{self.folder}/{name}{LATENTS_SUFFIX}"
        done = read_json(self.folder, name + DONE_SUFFIX)
        if number not in done.get("groups", ()):
            raise LatentCacheError(f"{where} has no latents of row group {number} of {shard}; encode it again")
        skipped = {row: reason for group, row, reason in done["skipped"] if group == number}
        with open_file(where) as source, pq.ParquetFile(source, page_checksum_verification=True) as file:
            table = file.read_row_group(done["groups"].index(number))
        return GroupLatents(table, skipped=skipped, spec=self.spec, where=where)

    def _name(self, shard: str) -> str:
        if shard not in self._digests:
            self._digests[shard] = latents_name(shard)
        return self._digests[shard]


def latents_name(shard: str) -> str:
    """Return the name, without suffix, of the latents of a shard: its own name and a digest of its content."""
    with open_file(shard) as file:
        size = file.size()
        digest = hashlib.sha256(f"{size}\n".encode())
        digest.update(file.read_at(min(_ENDS_BYTES, size), 0))
        digest.update(file.read_at(min(_ENDS_BYTES, size), max(0, size - _ENDS_BYTES)))
    stem = shard.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return f"{stem}.{digest.hexdigest()[:16]}"


def latents_schema(spec: LatentSpec) -> pa.Schema:
    """Return the columns of cached latents: the view's row and geometry, then the numbers as raw float16."""
    moments = pa.binary(spec.channels * spec.side * spec.side * 2)
    names = ("mean",) if spec.moments == "mean" else ("mean", "log_variance")
    return pa.schema(
        [
            pa.field("row", pa.uint32(), nullable=False),
            *(pa.field(name, pa.int32(), nullable=False) for name in (*_CUT, "halvings", "height", "width")),
            *(pa.field(name, moments, nullable=False) for name in names),
        ],
        metadata={"text2earth": json.dumps({"key": spec.key})},
    )
