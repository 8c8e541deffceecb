"""Tile servers as a source of tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shapely.geometry.base import BaseGeometry

from git10m.catalog import load_entry
from git10m.errors import RecipeError
from git10m.grid import MAX_LEVEL, IntArray
from git10m.recipe import Tiles, TileServerSource, WmtsSource, XyzSource
from git10m.region import box_area, intersection, tiles_touching
from git10m.sources import Contribution, Entries, Failure, Group, Request, Sample, credit
from git10m.sources.files import acquisition
from git10m.sources.forbidden import require_permission
from git10m.sources.http import Answer, Ask, Fetcher, Manners, with_environment
from git10m.sources.served import Address, Served, ServedGrid, decode
from git10m.sources.tile_server.capabilities import read_capabilities
from git10m.sources.tile_server.template import Template
from git10m.sources.tile_server.tilejson import read_tilejson

__all__ = ["TileServer", "open_tile_server"]


_fetchers: dict[Path, Fetcher] = {}


@dataclass(frozen=True)
class TileServer:
    """A tile server; see `Imagery`.

    Attributes:
        source: As the recipe says.
        template: How its tiles are named.
        grid: How its tiles make ours.
        zooms: First and last zoom that it has.
        bounds: (west, south, east, north) in degrees where it has imagery; None: unknown.
        fill: RGB of transparent pixels.
        store: Folder of answers.
    """

    source: TileServerSource
    template: Template
    grid: ServedGrid
    zooms: tuple[int, int]
    bounds: tuple[float, float, float, float] | None
    fill: tuple[int, int, int]
    store: Path

    @property
    def groups(self) -> tuple[Group, ...]:
        """One group."""
        return (Group(self.source.layer, None, self.source.id),)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tiles depend on: the address, not what it gives out; answers are kept."""
        return {f"{self.source.id}/{self.template.url.partition('?')[0]}": self.template.url}

    def levels(self, group: int, wanted: Sequence[int]) -> list[int]:
        """Return the wanted levels that the server has."""
        first, last = self.zooms
        return [level for level in self.source.levels or wanted if first <= self.grid.z_of(level) <= last]

    def cover(self, group: int, level: int, area: Any) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the tiles of an area where the server has imagery.

        Raises:
            RecipeError: If neither the recipe nor the server says where.
        """
        own: BaseGeometry | None = box_area(self.bounds) if self.bounds is not None else None
        if own is None and area is None:
            raise RecipeError(
                f"source {self.source.id!r}: a tile server needs to know where: give the recipe a [region], or the "
                "source a bbox = [west, south, east, north]"
            )
        both = [each for each in (area, own) if each is not None]
        yield from tiles_touching(intersection(*both) if len(both) == 2 else both[0], level)

    def entries(self, group: int) -> Entries | None:
        """Return None: a server gives tiles."""
        return None

    def digest(self, group: int, level: int, bounds: tuple[float, float, float, float]) -> str:
        """Return the address."""
        return self.template.url

    def read(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure a request, in order; what is not in the store is fetched."""
        asks = [Ask(self.template.address(at)) for request in requests for at in self.grid.addresses(request.placed)]
        answers = self._fetcher.fetch(asks)
        last: tuple[Address, Answer, Served | str | None] | None = None
        for request in requests:
            parts: dict[Address, Served] = {}
            faults: list[tuple[str, str]] = []
            details: list[str] = []
            for at in self.grid.addresses(request.placed):
                answer = next(answers)
                # Neighbours are often cut from one served tile, which is decoded once.
                shown = last[2] if last is not None and last[0] == at and last[1].body is answer.body else None
                shown = self._shown(at, answer) if shown is None else shown
                last = (at, answer, shown)
                if isinstance(shown, Served):
                    parts[at] = shown
                elif answer.reason == "no_data":
                    details.append(answer.detail)
                else:
                    faults.append((answer.reason or "unreadable", str(shown)))
            if faults:
                yield Failure(request, *faults[0])
            elif not parts:
                yield Failure(request, "no_data", details[0])
            else:
                yield self._sample(request, parts)

    def fetch(self, requests: Sequence[Request]) -> int:
        """Bring the served tiles of some requests into the store; return how many came new."""
        addresses = dict.fromkeys(at for request in requests for at in self.grid.addresses(request.placed))
        return self._fetcher.fill([Ask(self.template.address(at)) for at in addresses])

    @property
    def _fetcher(self) -> Fetcher:
        """The connections of this process; copies of a server share them."""
        if self.store not in _fetchers:
            _fetchers[self.store] = Fetcher(Manners.of(self.source), folder=self.store)
        return _fetchers[self.store]

    def _shown(self, at: Address, answer: Answer) -> Served | str:
        if answer.body is None:
            return answer.detail
        try:
            return decode(answer.body, fill=self.fill)
        except ValueError as error:
            return f"{Ask(self.template.address(at)).shown}: {error}"

    def _sample(self, request: Request, parts: Mapping[Address, Served]) -> Sample | Failure:
        (first, *_) = parts
        shown = Ask(self.template.address(first)).shown
        try:
            served = self.grid.assemble(request.placed, parts, fill=self.fill)
        except ValueError as error:
            size = next(iter(parts.values())).valid.shape[0]
            hint = f"; set tile_px = {size} in source {self.source.id!r}" if size in {256, 512} else ""
            return Failure(request, "unreadable", f"{shown}: {error}{hint}")
        if served is None or not served.valid.any():
            return Failure(request, "no_data", f"{shown}: the tile is transparent")
        source = self.source
        moment = acquisition(source, source.id)
        own = Contribution(
            source_id=source.id,
            source_item=shown.partition("://")[2] or shown,
            share=1.0,
            native_gsd_m=self._native_gsd_m(request),
            moment=moment,
            licence=source.licence,
            attribution=credit(source.attribution, moment),
            platform=source.platform,
            sensor=source.sensor,
            synthetic=False,
        )
        return Sample(request, served.pixels, served.valid, (own,), encoded=served.kept)

    def _native_gsd_m(self, request: Request) -> float | None:
        """Return the resolution of the finest level that the recipe says the imagery has; None where it says none."""
        if self.source.levels is None:
            return None
        finest = max(self.source.levels)
        return request.placed.gsd_m(self.grid.tile_size) / 2.0 ** (finest - request.placed.level)


def open_tile_server(source: TileServerSource, *, tiles: Tiles, store: Path, fill: tuple[int, int, int]) -> TileServer:
    """Prepare a tile server; no tile is fetched.

    Args:
        source: As the recipe says.
        tiles: Size of the recipe's tiles.
        store: Folder of answers, and of the capabilities document.
        fill: RGB of transparent pixels.

    Raises:
        RecipeError: If the server's terms forbid bulk download, a variable of the environment is missing, or its
            tiles do not lie on the web-mercator grid.
        SourceError: If the capabilities document cannot be read.
    """
    # A new run begins with new manners, tokens and hopes.
    if (ended := _fetchers.pop(store, None)) is not None:
        ended.close()
    if source.catalog is not None and load_entry(source.catalog).bulk == "ask" and not source.permission:
        raise RecipeError(
            f"source {source.id!r}: the terms of catalog entry {source.catalog!r} ask for a permission before bulk "
            'download; say by whom and when: permission = "letter of …, 2026-05-04"'
        )
    grid = ServedGrid(tiles.size, source.tile_px)
    for text in source.headers.values():
        with_environment(text, source_id=source.id)
    if isinstance(source, WmtsSource):
        found = read_capabilities(source, store=store)
        require_permission(urlsplit(found.template.url).hostname, permission=source.permission, source_id=source.id)
        grid = ServedGrid(tiles.size, found.tile_px)
        return TileServer(source, found.template, grid, found.zooms, found.bounds, fill, store)
    assert isinstance(source, XyzSource)
    require_permission(urlsplit(source.url).hostname, permission=source.permission, source_id=source.id)
    with_environment(source.url, source_id=source.id)
    if source.is_template:
        template, zooms = Template(source.url, source.subdomains), (0, MAX_LEVEL + 1)
        return TileServer(source, template, grid, zooms, source.bbox, fill, store)
    said = read_tilejson(source, store=store)
    require_permission(urlsplit(said.url).hostname, permission=source.permission, source_id=source.id)
    if source.attribution is None:
        source = source.model_copy(update={"attribution": said.attribution})
    return TileServer(source, Template(said.url), grid, said.zooms, source.bbox or said.bounds, fill, store)
