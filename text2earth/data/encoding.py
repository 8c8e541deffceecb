"""Shards → cached latents: every row of every shard through the autoencoder, a few fixed views each.

A shard is the unit of work. Its latents are written under a temporary name, flushed and renamed, its marker last; a
killed run goes on with the first shard that has none. What a view shows is drawn from the shard's content, the row
and the view's number, so that the latents depend on no order, and on no other shard.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

from git10m.shards import atomic_file
from text2earth.data.files import LATENTS_SUFFIX
from text2earth.data.index import ShardIndex
from text2earth.data.latent_cache import DONE_SUFFIX, SPEC_NAME, latents_name, latents_schema
from text2earth.data.rows import Rows, decoded, row_columns
from text2earth.data.view import PREPROCESSING, Cut, Pixels, UnusableRowError, View, averaged, draw_cut, halvings
from text2earth.errors import LatentCacheError
from text2earth.latents import LatentSpec, Moments, encoder_sha256, moments_of
from text2earth.models import latent_factor
from text2earth.noise import Stream, generator

__all__ = ["EncodeResult", "EncodeSettings", "encode"]

_PIECE_IMAGES = 256
"""Images that a loader worker prepares at once."""
_FLOATS = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class EncodeSettings:
    """How rows are encoded.

    Args:
        view: What is cut from each tile.
        views: Fixed views of each row.
        moments: Whether the log-variance is kept beside the mean.
        seed: Of the views.
        batch_size: Images at a time.
        precision: ``"no"``, ``"bf16"`` or ``"fp16"``, of the encoder.
        workers: Processes that decode; 0 does it in this one.
    """

    view: View
    views: int = 1
    moments: Moments = "mean"
    seed: int = 0
    batch_size: int = 16
    precision: str = "no"
    workers: int = 0


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """What a run of the encoder made, shards that were there already included.

    Args:
        shards: Shards that are done.
        rows: Rows encoded.
        skipped: (row, reason) of those that could not be.
        bytes: On the disk.
        key: Of the latents.
    """

    shards: int
    rows: int
    skipped: tuple[tuple[str, str], ...]
    bytes: int
    key: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows of one group, as many as are prepared at once."""

    group: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Views of a piece.

    Args:
        pixels: uint8 (n, H, W, 3).
        plain: Row and geometry of each.
        skipped: (row, reason).
    """

    pixels: torch.Tensor
    plain: list[dict[str, int]]
    skipped: list[tuple[int, str]]


def encode(
    index: ShardIndex,
    *,
    vae: Any,
    output: Path,
    settings: EncodeSettings,
    device: torch.device | None = None,
    part: tuple[int, int] = (1, 1),
) -> EncodeResult:
    """Encode the rows of an index, or go on with what is left to encode.

    Args:
        index: The rows.
        vae: ``AutoencoderKL``.
        output: Folder of the latents.
        settings: How.
        device: Where the encoder runs; the processor if left out.
        part: (i, n): every n-th shard from the i-th on, for n machines or devices at once.

    Raises:
        LatentCacheError: If the folder holds latents of another making.
    """
    spec = _spec(vae, settings)
    _claim(output, spec=spec, index=index)
    encoder = vae.to(device or torch.device("cpu"), dtype=_FLOATS[settings.precision]).eval()
    encoder.to(memory_format=torch.channels_last)
    found: list[dict[str, Any]] = []
    mine = _shards(index)[part[0] - 1 :: part[1]]
    with tqdm(total=sum(rows for _, _, rows in mine), desc="encode", unit="row") as bar:
        for path, groups, rows in mine:
            name = latents_name(path)
            marker = output / (name + DONE_SUFFIX)
            if not marker.is_file():
                done = _encode_shard(index, groups, name, encoder, spec, settings, output)
                _write_json(marker, {"shard": path.rsplit("/", 1)[-1], **done})
            found.append({**json.loads(marker.read_text(encoding="utf-8")), "name": name})
            bar.update(rows)
    return EncodeResult(
        shards=len(found),
        rows=sum(done["rows"] for done in found),
        skipped=tuple(
            (f"{done['shard']}, row group {group}, row {row}", reason)
            for done in found
            for group, row, reason in done["skipped"]
        ),
        bytes=sum((output / (done["name"] + LATENTS_SUFFIX)).stat().st_size for done in found),
        key=spec.key,
    )


def _spec(vae: Any, settings: EncodeSettings) -> LatentSpec:
    view = settings.view
    if view.image_size % latent_factor(vae):
        raise LatentCacheError(f"image size {view.image_size} was given; it is a multiple of {latent_factor(vae)}")
    return LatentSpec(
        encoder=encoder_sha256(vae),
        scaling_factor=float(vae.config.scaling_factor),
        precision=settings.precision,
        dtype="float16",
        moments=settings.moments,
        channels=int(vae.config.latent_channels),
        side=view.image_size // latent_factor(vae),
        image_size=view.image_size,
        view=view.kind,
        flips=view.flips,
        turns=view.turns,
        views=settings.views,
        seed=settings.seed,
        preprocessing=PREPROCESSING,
    )


def _claim(output: Path, *, spec: LatentSpec, index: ShardIndex) -> None:
    """Note what is made here, or refuse to mix it with something else."""
    output.mkdir(parents=True, exist_ok=True)
    name = output / SPEC_NAME
    chosen = hashlib.sha256(index.row.tobytes() + index.ends.tobytes()).hexdigest()
    if name.is_file():
        before = json.loads(name.read_text(encoding="utf-8"))
        LatentSpec(**before["spec"]).require(asdict(spec), folder=str(output))
        if before["rows"] != chosen:
            raise LatentCacheError(
                f"{output} holds latents of another choice of rows (split, filter or shards differ); "
                "give the same, or another --output"
            )
    else:
        _write_json(name, {"spec": asdict(spec), "key": spec.key, "rows": chosen})
    _clear_leftovers(output)


def _clear_leftovers(output: Path) -> None:
    """Remove what killed processes of this machine left half written."""
    for left in output.glob(".*.part"):
        found = re.search(rf"\.{re.escape(socket.gethostname())}-(\d+)\.part$", left.name)
        if found and not _is_alive(int(found.group(1))):
            left.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True


def _shards(index: ShardIndex) -> list[tuple[str, list[int], int]]:
    """Return (path, groups, rows) of every shard that has rows."""
    found: dict[str, tuple[list[int], int]] = {}
    for group in range(index.groups):
        span = index.span(group)
        groups, rows = found.get(index.file_of(group).path, ([], 0))
        found[index.file_of(group).path] = ([*groups, group], rows + span.stop - span.start)
    return [(path, groups, rows) for path, (groups, rows) in found.items()]


def _encode_shard(
    index: ShardIndex,
    groups: Sequence[int],
    name: str,
    encoder: Any,
    spec: LatentSpec,
    settings: EncodeSettings,
    output: Path,
) -> dict[str, Any]:
    """Write the latents of a shard and return what its marker says."""
    schema = latents_schema(spec)
    tables: list[pa.Table] = []
    skipped: list[tuple[int, int, str]] = []
    rows = 0
    numbers = [int(index.group_number[group]) for group in groups]
    with (
        atomic_file(output / (name + LATENTS_SUFFIX)) as file,
        pq.ParquetWriter(file, schema, compression="none", use_dictionary=False, write_page_checksum=True) as writer,
    ):
        pieces = _pieces(index, groups, views=settings.views)
        prepared = _prepared(_Views(index, settings, name), pieces, workers=settings.workers)
        for place, (piece, each) in enumerate(zip(pieces, prepared, strict=True)):
            number = int(index.group_number[piece.group])
            table, broken = _encoded(each, encoder=encoder, spec=spec, batch_size=settings.batch_size)
            tables.append(table)
            skipped += [(number, row, reason) for row, reason in (*each.skipped, *broken)]
            rows += table.num_rows // settings.views
            if place + 1 == len(pieces) or pieces[place + 1].group != piece.group:
                group = pa.concat_tables(tables)
                writer.write_table(group, row_group_size=max(group.num_rows, 1))
                tables = []
    return {"groups": numbers, "rows": rows, "skipped": skipped}


def _pieces(index: ShardIndex, groups: Sequence[int], *, views: int) -> list[_Piece]:
    step = max(1, _PIECE_IMAGES // views)
    pieces = []
    for group in groups:
        rows = index.row[index.span(group)].tolist()
        pieces += [_Piece(group, tuple(rows[start : start + step])) for start in range(0, len(rows), step)]
    return pieces


class _Views:
    """Pieces with their pixels; a map-style dataset by protocol."""

    def __init__(self, index: ShardIndex, settings: EncodeSettings, shard: str) -> None:
        self._index, self._settings, self._shard = index, settings, shard

    def __getitem__(self, piece: _Piece) -> _Prepared:
        pixels: list[Pixels] = []
        plain: list[dict[str, int]] = []
        skipped: list[tuple[int, str]] = []
        try:
            columns = row_columns(pixels=True, images=())
            rows = Rows(self._index.read_group(piece.group, columns=columns))
        except (OSError, pa.ArrowException) as error:
            reason = f"its row group cannot be read: {error}"
            return _Prepared(torch.empty(0), [], [(row, reason) for row in piece.rows])
        for row in piece.rows:
            try:
                views = list(self._of(decoded(rows.encoded(row)), piece.group, row))
            except UnusableRowError as error:
                skipped.append((row, str(error)))
                continue
            pixels += [each for each, _ in views]
            plain += [each for _, each in views]
        return _Prepared(torch.from_numpy(np.stack(pixels)) if pixels else torch.empty(0), plain, skipped)

    def _of(self, tile: Pixels, group: int, row: int) -> Iterator[tuple[Pixels, dict[str, int]]]:
        view = self._settings.view
        times = halvings(view, height=tile.shape[0], width=tile.shape[1])
        tile = averaged(tile, times)
        height, width = tile.shape[:2]
        number = int(self._index.group_number[group])
        for each in range(self._settings.views):
            said = f"{self._shard} {number} {row} {each}".encode()
            counter = int.from_bytes(hashlib.sha256(said).digest()[:8], "little")
            draws = generator(self._settings.seed, counter, stream=Stream.VIEW)
            cut = draw_cut(view, height=height, width=width, draws=draws)
            yield cut.of(tile), {**_plain(cut), "row": row, "halvings": times, "height": height, "width": width}


def _plain(cut: Cut) -> dict[str, int]:
    return {"top": cut.top, "left": cut.left, "down": cut.down, "across": cut.across, "turns": cut.turns}


def _prepared(views: _Views, pieces: Sequence[_Piece], *, workers: int) -> Iterator[_Prepared]:
    if workers == 0:
        yield from (views[piece] for piece in pieces)
        return
    from text2earth.data.loader import worker_context

    dataset: Any = views  # map-style by protocol, which torch's annotations do not know
    sampler: Any = pieces
    loader: Any = torch.utils.data.DataLoader(
        dataset,
        sampler=sampler,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context=worker_context(),
    )
    yield from loader


def _encoded(
    prepared: _Prepared, *, encoder: Any, spec: LatentSpec, batch_size: int
) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Return the latents of a piece, and the rows whose latents are no numbers."""
    schema = latents_schema(spec)
    if not prepared.plain:
        return schema.empty_table(), []
    found = []
    for start in range(0, len(prepared.plain), batch_size):
        pixels = prepared.pixels[start : start + batch_size].to(encoder.device).permute(0, 3, 1, 2)
        pixels = pixels.float().div_(127.5).sub_(1.0)
        found.append(moments_of(encoder, pixels.to(encoder.dtype, memory_format=torch.channels_last)).cpu())
    moments = torch.cat(found)[:, : spec.planes].half().contiguous()
    finite = moments.isfinite().flatten(1).all(dim=1).view(-1, spec.views).all(dim=1)
    usable = finite.repeat_interleave(spec.views).numpy()
    broken = [
        (prepared.plain[place * spec.views]["row"], "its latents are not finite in float16")
        for place in np.flatnonzero(~finite.numpy())
    ]
    plain = [each for each, kept in zip(prepared.plain, usable, strict=True) if kept]
    columns = {name: [each[name] for each in plain] for name in schema.names if name in prepared.plain[0]}
    for place, name in enumerate(name for name in schema.names if name not in columns):
        part = moments[torch.from_numpy(usable), place * spec.channels : (place + 1) * spec.channels]
        columns[name] = [each.numpy().astype("<f2").tobytes() for each in part]
    return pa.table(columns, schema=schema), broken


def _write_json(path: Path, value: dict[str, Any]) -> None:
    with atomic_file(path) as file:
        file.write((json.dumps(value, indent=1) + "\n").encode())
