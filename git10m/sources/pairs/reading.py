"""Images of existing sets, in the order of their list."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
import rasterio.errors
from PIL import Image

from git10m.errors import RecipeError, SourceError
from git10m.grid import IntArray
from git10m.recipe import PairsSource
from git10m.remote import content_digest
from git10m.shards import ShardWriter
from git10m.sources import Contribution, Entries, Failure, Given, Group, Request, Sample, credit
from git10m.sources.files import acquisition
from git10m.sources.pairs.annotations import Described, annotated
from git10m.sources.pairs.tables import described_rows, image_bytes, table_files
from git10m.sources.served import Served, decode, magic

__all__ = ["Pairs", "open_pairs"]

_BATCH = 32
_LOOKED_FOR = 2000
_INDEX = pa.schema(
    [
        ("name", pa.string()),
        ("captions", pa.list_(pa.string())),
        ("split", pa.string()),
        ("level", pa.int8()),
        ("x", pa.int32()),
        ("y", pa.int32()),
        ("quality", pa.float64()),
        ("file", pa.int32()),
        ("row", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Pairs:
    """An existing set; see `Imagery`.

    Attributes:
        source: As the recipe says, with absolute paths.
        index: Parquet file that lists its images.
        digest_: Of the annotations and images.
        files: Tables that hold the images; empty for a set of image files.
        folder: Folder of the images, for a set of image files.
        fill: RGB of transparent pixels.
    """

    source: PairsSource
    index: Path
    digest_: str
    files: tuple[str, ...]
    folder: Path
    fill: tuple[int, int, int]

    @property
    def groups(self) -> tuple[Group, ...]:
        """One group."""
        return (Group(self.source.layer, None, self.source.id),)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Digest of the annotations and of the images' names and sizes, or of the tables."""
        return {f"{self.source.id}/{Path(self.source.paths[0]).name}": self.digest_}

    def levels(self, group: int, wanted: Sequence[int]) -> Sequence[int]:
        """Return none: a list has no tiles of its own."""
        return ()

    def cover(self, group: int, level: int, area: Any) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield nothing: a list has no tiles of its own."""
        return iter(())

    def entries(self, group: int) -> Entries:
        """Return level and place of all images."""
        table = pq.read_table(self.index, columns=["level", "x", "y"])
        level, x, y = (table[name].to_numpy() for name in ("level", "x", "y"))
        placed = x >= 0
        nowhere = np.int32(0)
        return Entries(
            np.where(placed, level, 0).astype(np.int8), np.where(placed, x, nowhere), np.where(placed, y, nowhere)
        )

    def digest(self, group: int, level: int, bounds: tuple[float, float, float, float]) -> str:
        """Return the digest of the set."""
        return self.digest_

    def read(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure a request, in order."""
        for start in range(0, len(requests), _BATCH):
            batch = requests[start : start + _BATCH]
            said = self._said([request.entry for request in batch])
            data = self._images(said)
            for request, described in zip(batch, said, strict=True):
                yield self._result(request, described, data[described["name"], described["row"]])

    def _said(self, entries: Sequence[int]) -> list[dict[str, Any]]:
        """Return what the index says of some images."""
        with pq.ParquetFile(self.index) as file:
            lengths = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            ends = np.cumsum(lengths)
            groups = np.searchsorted(ends, np.array(entries), side="right")
            found: list[dict[str, Any]] = []
            for group in np.unique(groups).tolist():
                table = file.read_row_group(group)
                own = [entry - int(ends[group] - lengths[group]) for entry in np.array(entries)[groups == group]]
                found += table.take(pa.array(own)).to_pylist()
        order = np.argsort(np.argsort(groups, kind="stable"), kind="stable")
        return [found[i] for i in order.tolist()]

    def _images(self, said: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], bytes | str]:
        """Return the bytes of some images, or why there are none."""
        found: dict[tuple[str, int], bytes | str] = {}
        if not self.files:
            for each in said:
                found[each["name"], each["row"]] = self._file(each["name"])
            return found
        by_file: dict[int, list[int]] = {}
        for each in said:
            by_file.setdefault(each["file"], []).append(each["row"])
        for number, rows in by_file.items():
            try:
                images: dict[int, bytes | None] | str = image_bytes(self.files[number], rows)
            except SourceError as error:
                images = str(error)
            for each in said:
                if each["file"] == number:
                    data = images if isinstance(images, str) else images[each["row"]]
                    found[each["name"], each["row"]] = data or f"{each['name']}: its row holds no image"
        return found

    def _file(self, name: str) -> bytes | str:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return f"{name}: the annotations name it, but it is not in the folder of images"
        except OSError as error:
            return f"{name}: {error.strerror}"

    def _result(self, request: Request, said: Mapping[str, Any], data: bytes | str) -> Sample | Failure:
        if isinstance(data, str):
            return Failure(request, "unreadable", data)
        try:
            shown = decode(data, fill=self.fill) if magic(data) is not None else _decoded(data, self.source)
        except ValueError as error:
            return Failure(request, "unreadable", f"{said['name']}: {error}")
        source = self.source
        moment = acquisition(source, said["name"])
        own = Contribution(
            source_id=source.id,
            source_item=said["name"],
            share=1.0,
            native_gsd_m=None,
            moment=moment,
            licence=source.licence,
            attribution=credit(source.attribution, moment),
            platform=source.platform,
            sensor=source.sensor,
            synthetic=False,
        )
        columns: dict[str, Any] = {"img_quality_score": said["quality"]}
        if request.tile is None:
            columns["level"] = source.level or said["level"] or None
        given = Given(said["name"], tuple(said["captions"]), said["split"], columns)
        return Sample(request, shown.pixels, shown.valid, (own,), encoded=shown.kept, given=given)


def open_pairs(source: PairsSource, *, store: Path, fill: tuple[int, int, int]) -> Pairs:
    """List the images of a set; none is read.

    Args:
        source: As the recipe says, with absolute paths.
        store: Folder of the list.
        fill: RGB of transparent pixels.

    Raises:
        RecipeError: If the annotations lead nowhere, lack what their format has, or all their images are missing.
        SourceError: If a table cannot be read.
    """
    store.mkdir(parents=True, exist_ok=True)
    index = store / "images.parquet"
    folder = Path(source.images) if source.images is not None else Path(source.paths[0])
    folder = folder if folder.is_dir() else folder.parent
    if source.format == "git10m":
        files = tuple(table_files(source))
        described: Iterable[Described] = described_rows(files)
        digest = hashlib.sha256("/".join(content_digest(file) for file in files).encode()).hexdigest()
    else:
        files = ()
        listed = list(annotated(source))
        _check_images(source, folder, listed)
        described = listed
        digest = _files_digest(source, folder, listed)
    held = pq.read_schema(index).metadata if index.exists() else None
    if held is None or held.get(b"digest") != digest.encode():
        _write(described, index, digest)
    return Pairs(source, index, digest, files, folder, fill)


def _write(described: Iterable[Described], path: Path, digest: str) -> None:
    schema = _INDEX.with_metadata({"digest": digest})
    with ShardWriter(path, schema=schema, row_group_rows=4096) as writer:
        waiting: list[Described] = []
        for each in described:
            waiting.append(each)
            if len(waiting) == 4096:
                writer.write(_table(waiting, schema))
                waiting = []
        writer.write(_table(waiting, schema))


def _table(described: Sequence[Described], schema: pa.Schema) -> pa.Table:
    return pa.table(
        [pa.array([getattr(each, field.name) for each in described], type=field.type) for field in schema],
        schema=schema,
    )


def _check_images(source: PairsSource, folder: Path, listed: Sequence[Described]) -> None:
    if not folder.is_dir():
        raise RecipeError(f'source {source.id!r}: {folder} is no folder; say where the images are: images = "…"')
    if not any((folder / each.name).is_file() for each in listed[:_LOOKED_FOR]):
        raise RecipeError(
            f"source {source.id!r}: none of the images is there, e.g. {folder / listed[0].name}; "
            'say where they are: images = "…"'
        )


def _files_digest(source: PairsSource, folder: Path, listed: Sequence[Described]) -> str:
    """Return a digest of the annotations, and of the names and sizes of the images."""
    digest = hashlib.sha256()
    if Path(source.paths[0]).is_file():
        digest.update(content_digest(source.paths[0]).encode())
    for each in listed:
        try:
            size = (folder / each.name).stat().st_size
        except OSError:
            size = -1
        digest.update(f"{each.name}/{size}/{each.captions}\n".encode())
    return digest.hexdigest()


def _decoded(data: bytes, source: PairsSource) -> Served:
    """Decode an image that is neither JPEG, PNG nor WebP: TIFF of any bands, BMP.

    Raises:
        ValueError: If it is none, or its bands or values cannot be told; says what to write in the recipe.
    """
    if data[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        return _tiff(data, source)
    try:
        with Image.open(io.BytesIO(data), formats=["BMP"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError("no image of a known format (JPEG, PNG, WebP, TIFF, BMP)") from error
    return Served(pixels, np.ones(pixels.shape[:2], dtype=bool), None)


def _tiff(data: bytes, source: PairsSource) -> Served:
    import warnings  # noqa: PLC0415

    try:
        with warnings.catch_warnings(), rasterio.MemoryFile(data) as memory:
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with memory.open() as raster:
                bands = source.bands or (
                    (1, 2, 3) if raster.count in {3, 4} else (1, 1, 1) if raster.count <= 2 else None
                )
                if bands is None or max(bands) > raster.count:
                    raise ValueError(
                        f"a TIFF of {raster.count} bands; write in source {source.id!r}: bands = [4, 3, 2] with the "
                        "numbers of red, green and blue"
                    )
                values = raster.read(list(bands))
                valid = raster.dataset_mask() > 0
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"a TIFF that cannot be read ({error})") from error
    if source.scale is not None:
        low, high = source.scale
        values = (np.nan_to_num(values.astype(np.float32)) - low) * (255.0 / (high - low)) + 0.5
    elif values.dtype != np.uint8:
        raise ValueError(
            f"a TIFF of {values.dtype} values; write in source {source.id!r}: scale = [low, high], the values that "
            "become black and white"
        )
    pixels: npt.NDArray[np.uint8] = np.moveaxis(np.clip(values, 0, 255).astype(np.uint8), 0, -1)
    return Served(np.ascontiguousarray(pixels), valid, None)
