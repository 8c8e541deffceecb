"""A list of addresses as imagery: each row of its tables is an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from git10m.errors import RecipeError
from git10m.grid import IntArray
from git10m.recipe.sources import WebListSource
from git10m.sources import Contribution, Entries, Failure, Given, Group, Moment, Request, Sample, credit
from git10m.sources.weblist.pictures import decode_picture
from git10m.sources.weblist.store import REASONS, State, Store, Stored
from git10m.sources.weblist.table import ROW_GROUP_ROWS, shown, table_files, tables_digest, write_rows

__all__ = ["WebList", "open_weblist"]

_AT_ONCE = 16
"""Images that are looked up together: their bytes are what stays in memory."""
_OF_THE_ROW = ("img_quality_score", "split", "caption_source", "caption_version", "lon", "lat")


def open_weblist(source: WebListSource, *, store: Path, fill: tuple[int, int, int] = (0, 0, 0)) -> WebList:
    """Read the tables of a list and note their rows in the store; nothing is fetched.

    Args:
        source: As located.
        store: Folder for what is kept between runs, of this list alone.
        fill: RGB of transparent pixels.

    Raises:
        RecipeError: If a table or column is not there, a value is not what its column says, or no row has an address.
        SourceError: If a table is damaged.
    """
    files = table_files(source)
    digest = tables_digest(source, files)
    store.mkdir(parents=True, exist_ok=True)
    rows = store / "rows.parquet"
    if not _is_of(rows, digest):
        write_rows(source, files, rows, digest=digest)
    with pq.ParquetFile(rows) as parquet:
        size = parquet.metadata.num_rows
        blank = _blank(parquet)
    if blank == size:
        raise RecipeError(
            f"source {source.id!r}: column {source.url_column!r} holds no http or https address in any of {size} rows"
        )
    return WebList(source, store, size, digest, fill)


def _blank(rows: pq.ParquetFile) -> int:
    """Count rows without an address."""
    return sum(int(batch.column(0).null_count) for batch in rows.iter_batches(columns=["url"]))


def _is_of(rows: Path, digest: str) -> bool:
    """Tell whether rows were written from these tables."""
    try:
        return (pq.read_schema(rows).metadata or {}).get(b"tables") == digest.encode()
    except (OSError, pa.ArrowInvalid):
        return False


@dataclass(frozen=True)
class WebList:
    """Images that a table lists; keeps the contract of `Imagery`. See `open_weblist`, and `fetch`, which comes first.

    Attributes:
        source: As the recipe says.
        folder: What is kept between runs.
        size: Rows.
        digest_of_tables: Of what the tables hold.
        fill: RGB of transparent pixels.
    """

    source: WebListSource
    folder: Path
    size: int
    digest_of_tables: str
    fill: tuple[int, int, int]

    @property
    def rows(self) -> Path:
        """The rows of all tables, of the form `table.ROWS`."""
        return self.folder / "rows.parquet"

    @property
    def images(self) -> Path:
        """What was fetched; see `Store`."""
        return self.folder / "images.sqlite"

    @property
    def runs(self) -> Path:
        """Folder of runs of img2dataset that are under way, or were when they were killed."""
        return self.folder / "runs"

    @property
    def groups(self) -> tuple[Group, ...]:
        """One group: the list."""
        return (Group(self.source.layer, None, self.source.id),)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the images depend on, as far as it is in our hands."""
        return {self.source.id: {"tables": self.digest_of_tables, "rows": self.size}}

    def levels(self, group: int, wanted: Sequence[int]) -> Sequence[int]:
        """Return the levels of its images, of those that are wanted."""
        there = set(np.unique(self.entries(group).level).tolist())
        return [level for level in wanted if level in there]

    def cover(self, group: int, level: int, area: Any) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield nothing: a list has no tiles but those of its entries."""
        yield from ()

    def entries(self, group: int) -> Entries:
        """Return the images, in the order of the rows; where only the level is known, that stands in `Given`."""
        table = pq.read_table(self.rows, columns=["tile_level", "x", "y"])
        return Entries(table["tile_level"].to_numpy(), table["x"].to_numpy(), table["y"].to_numpy())

    def digest(self, group: int, level: int, bounds: tuple[float, float, float, float]) -> str:
        """Return a digest of all that was had when fetching last ended: it changes when more is had."""
        if not self.images.exists():
            return self.digest_of_tables
        with Store(self.images) as store:
            return f"{self.digest_of_tables} {store.content}"

    def outstanding(self) -> int:
        """Return how many addresses `fetch` would ask for, but for second tries; before it, duplicates count."""
        if self.images.exists():
            with Store(self.images) as store:
                if store.tables == self.digest_of_tables:
                    counts = store.counts()
                    return counts[State.WAITING] + counts[State.PASSING]
        with pq.ParquetFile(self.rows) as rows:
            return self.size - _blank(rows)

    def read(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure a request, in order, out of the store."""
        with pq.ParquetFile(self.rows) as rows, Store(self.images) as store:
            held, group = -1, None
            for start in range(0, len(requests), _AT_ONCE):
                asked = requests[start : start + _AT_ONCE]
                told = []
                for request in asked:
                    number, within = divmod(request.entry, ROW_GROUP_ROWS)
                    if number != held or group is None:
                        held, group = number, rows.read_row_group(number)
                    told.append(group.slice(within, 1).to_pylist()[0])
                found = store.look_up([row["url"] for row in told if row["url"] is not None])
                for request, row in zip(asked, told, strict=True):
                    yield self._result(request, row, found.get(row["url"]))

    def _result(self, request: Request, row: Mapping[str, Any], stored: Stored | None) -> Sample | Failure:
        if row["url"] is None:
            return Failure(request, "no_data", f"row {request.entry + 1} holds no http or https address")
        item = shown(row["url"])
        if stored is None or stored.state is State.WAITING:
            return Failure(request, "unreachable", f"{item}: not fetched")
        if stored.bytes is None:
            return Failure(request, REASONS[stored.state], f"{item}: {stored.detail}")
        try:
            image = decode_picture(stored.bytes, fill=self.fill)
        except ValueError as error:
            return Failure(request, "unreadable", f"{item}: {error}")
        parts = (self._contribution(row, item),)
        return Sample(request, image.pixels, image.valid, parts, encoded=image.kept, given=_given(row))

    def _contribution(self, row: Mapping[str, Any], item: str) -> Contribution:
        source = self.source
        moment = None
        if row["acquired_at"] is not None:
            moment = Moment(row["acquired_at"], row["acquired_precision"])
        elif source.acquired_at is not None:
            midnight = (source.acquired_at.hour, source.acquired_at.minute, source.acquired_at.second) == (0, 0, 0)
            moment = Moment(source.acquired_at, "day" if midnight else "second")
        return Contribution(
            source_id=source.id,
            source_item=item,
            share=1.0,
            native_gsd_m=row["native_gsd_m"],
            moment=moment,
            licence=row["licence"] or source.licence,
            attribution=credit(row["attribution"] or source.attribution, moment),
            platform=source.platform,
            sensor=source.sensor,
            synthetic=bool(row["synthetic"]),
        )


def _given(row: Mapping[str, Any]) -> Given:
    columns = {name: row[name] for name in _OF_THE_ROW if row[name] is not None}
    split = columns.pop("split", None)
    if row["level"]:
        columns["level"] = row["level"]
    return Given(row["name"], tuple(row["captions"] or ()), split, columns)
