"""Archives as a source of tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from git10m.errors import RecipeError, SourceError
from git10m.grid import IntArray, Tile
from git10m.recipe import ArchiveSource, Tiles, is_address, shown
from git10m.remote import content_digest
from git10m.sources import Contribution, Entries, Failure, Group, Request, Sample, credit, without_folders
from git10m.sources.archive.container import Container, Facts
from git10m.sources.archive.folder import TileFolder
from git10m.sources.archive.mbtiles import MBTiles
from git10m.sources.archive.pmtiles import PMTiles
from git10m.sources.files import acquisition, expand
from git10m.sources.served import Address, Served, ServedGrid, decode

__all__ = ["Archive", "open_archive"]

_SUFFIXES = frozenset({".mbtiles", ".pmtiles"})
_BATCH = 64
"""Requests whose bytes are read together; memory holds no more."""
_TURNS = (-360.0, 0.0, 360.0)
_WITHIN = 1e-9
"""Degrees by which a tile must reach into an area."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One archive.

    Attributes:
        name: For rows.
        path: Path or address.
        digest: Of its content.
        facts: What it says of itself.
        grid: How its tiles make ours.
    """

    name: str
    path: str
    digest: str
    facts: Facts
    grid: ServedGrid


@dataclass(frozen=True)
class Archive:
    """Tiles of one or several archives; where they overlap, the first that holds a tile gives it. See `Imagery`.

    Attributes:
        source: As the recipe says.
        parts: The archives, by name.
        fill: RGB of transparent pixels.
    """

    source: ArchiveSource
    parts: tuple[_Part, ...]
    fill: tuple[int, int, int]

    @property
    def groups(self) -> tuple[Group, ...]:
        """One group."""
        return (Group(self.source.layer, None, self.source.id),)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Digest of each archive."""
        return {f"{self.source.id}/{part.name}": part.digest for part in self.parts}

    def levels(self, group: int, wanted: Sequence[int]) -> list[int]:
        """Return the wanted levels that an archive holds."""
        held = {
            part.grid.level_of(z) for part in self.parts for z in range(part.facts.zooms[0], part.facts.zooms[1] + 1)
        }
        return sorted(held & set(self.source.levels or wanted))

    def cover(self, group: int, level: int, area: Any) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the tiles that the archives hold and that touch an area."""
        if area is not None:
            shapely.prepare(area)
        for part in self.parts:
            z = part.grid.z_of(level)
            if not part.facts.zooms[0] <= z <= part.facts.zooms[1]:
                continue
            for columns, rows in _container(part.path, self.source.scheme).addresses(z):
                x, y = part.grid.tiles(columns, rows)
                inside = (x >= 0) & (y >= 0) & (x < 1 << level) & (y < 1 << level)
                if area is not None:
                    inside &= _touching(area, level, x, y)
                yield x[inside], y[inside]

    def entries(self, group: int) -> Entries | None:
        """Return None: archives hold tiles."""
        return None

    def digest(self, group: int, level: int, bounds: tuple[float, float, float, float]) -> str:
        """Return the digests of all archives; which of them lies where is not told apart."""
        return "/".join(part.digest for part in self.parts)

    def read(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure a request, in order."""
        for start in range(0, len(requests), _BATCH):
            yield from self._batch(requests[start : start + _BATCH])

    def _batch(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        found: dict[int, Sample | Failure] = {}
        for part in self.parts:
            missing = {i: request.placed for i, request in enumerate(requests) if i not in found}
            for i, result in self._read_part(part, missing):
                if isinstance(result, str):
                    found[i] = Failure(requests[i], "unreadable", f"{part.name}: {result}")
                elif result is not None:
                    found[i] = self._sample(requests[i], part, result)
        for i, request in enumerate(requests):
            yield found.get(i) or Failure(request, "no_data", "no archive holds the tile")

    def _read_part(self, part: _Part, tiles: Mapping[int, Tile]) -> Iterator[tuple[int, Served | str | None]]:
        """Yield what an archive has of some tiles: pixels, why they cannot be read, or None."""
        wanted = {address for tile in tiles.values() for address in part.grid.addresses(tile) if address[0] >= 0}
        try:
            data = _container(part.path, self.source.scheme).read(sorted(wanted))
        except SourceError as error:
            yield from ((i, without_folders(str(error), [part.path])) for i in tiles)
            return
        decoded: dict[Address, Served] = {}
        faults: dict[Address, str] = {}
        for address, encoded in data.items():
            try:
                decoded[address] = decode(encoded, fill=self.fill)
            except ValueError as error:
                faults[address] = f"tile {'/'.join(map(str, address))}: {error}"
        for i, tile in tiles.items():
            fault = next((faults[address] for address in part.grid.addresses(tile) if address in faults), None)
            try:
                yield i, fault or part.grid.assemble(tile, decoded, fill=self.fill)
            except ValueError as error:
                yield i, str(error)

    def _sample(self, request: Request, part: _Part, served: Served) -> Sample | Failure:
        if not served.valid.any():
            return Failure(request, "no_data", f"{part.name}: the tile is transparent")
        source = self.source
        moment = acquisition(source, part.name)
        finest = part.grid.level_of(part.facts.zooms[1])
        size = part.grid.tile_size
        own = Contribution(
            source_id=source.id,
            source_item=part.name,
            share=1.0,
            # The archive was made of imagery that its finest level shows.
            native_gsd_m=request.placed.gsd_m(size) / 2.0 ** (finest - request.placed.level),
            moment=moment,
            licence=source.licence or part.facts.licence,
            attribution=credit(source.attribution or part.facts.attribution, moment),
            platform=source.platform,
            sensor=source.sensor,
            synthetic=False,
        )
        return Sample(request, served.pixels, served.valid, (own,), encoded=served.kept)


def open_archive(source: ArchiveSource, *, tiles: Tiles, fill: tuple[int, int, int]) -> Archive:
    """Open the archives of a source.

    Args:
        source: As the recipe says, with absolute paths.
        tiles: Size of the recipe's tiles.
        fill: RGB of transparent pixels.

    Raises:
        RecipeError: If a path leads to nothing.
        SourceError: If an archive cannot be read, holds vector tiles, or tiles of a size that cannot be used.
    """
    found = [_part(name, path, source, tiles) for each in source.paths for name, path in _named(source, each)]
    names = [part.name for part in found]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"source {source.id!r}: two archives are called {name}; make each a source of its own")
    return Archive(source, tuple(found), fill)


def _named(source: ArchiveSource, path: str) -> list[tuple[str, str]]:
    if not is_address(path) and Path(path).is_dir() and not any(Path(path).rglob("*.[mp][bm]tiles")):
        return [(Path(path).name, path)]
    found = expand(path, suffixes=_SUFFIXES)
    if not found:
        raise RecipeError(f"source {source.id!r}: {path} matches no archive (.mbtiles, .pmtiles, or a folder z/x/y)")
    return found


def _part(name: str, path: str, source: ArchiveSource, tiles: Tiles) -> _Part:
    container = _container(path, source.scheme)
    size = _served_px(name, container)
    grid = ServedGrid(tiles.size, size)
    is_folder = not is_address(path) and Path(path).is_dir()
    digest = _folder_digest(Path(path)) if is_folder else content_digest(path)
    return _Part(name, path, digest, container.facts, grid)


def _served_px(name: str, container: Container) -> int:
    """Return the size of an archive's tiles, from the first that decodes."""
    first, last = container.facts.zooms
    reasons: list[str] = []
    for z in range(first, last + 1):
        for x, y in container.addresses(z):
            for address in zip([z] * len(x), x.tolist(), y.tolist(), strict=True):
                for data in container.read([address]).values():
                    try:
                        height, width = decode(data, fill=(0, 0, 0)).valid.shape
                    except ValueError as error:
                        reasons.append(str(error))
                    else:
                        if (height, width) in {(256, 256), (512, 512)}:
                            return int(height)
                        reasons.append(f"tiles of {width}×{height} pixels")
                if len(reasons) >= 20:
                    raise SourceError(
                        f"{name}: none of its first tiles can be used: {reasons[0]}; expected 256 or 512 px"
                    )
    raise SourceError(f"{name}: holds no tile that can be used ({reasons[0] if reasons else 'it is empty'})")


def _folder_digest(folder: Path) -> str:
    """Return a digest of the names and sizes of a folder's tiles."""
    import hashlib  # noqa: PLC0415

    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}/{file.stat().st_size}\n".encode())
    return digest.hexdigest()


def _touching(area: Any, level: int, x: IntArray, y: IntArray) -> Any:
    side = float(1 << level)
    west, east = 360.0 * x / side - 180.0, 360.0 * (x + 1) / side - 180.0
    north, south = (np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * (y + edge) / side)))) for edge in (0, 1))
    found = np.zeros(len(x), dtype=bool)
    for turn in _TURNS:
        boxes = shapely.box(west + turn + _WITHIN, south + _WITHIN, east + turn - _WITHIN, north - _WITHIN)
        found |= shapely.intersects(area, boxes)
    return found


@lru_cache(maxsize=64)
def _container(path: str, scheme: str) -> Container:
    """Open an archive once a process."""
    if is_address(path) or shown(path).lower().endswith(".pmtiles"):
        return PMTiles(path)
    if Path(path).is_dir():
        return TileFolder(Path(path), scheme=scheme)
    return MBTiles(Path(path))
