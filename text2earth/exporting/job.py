"""From a world to a file: paint what is missing, write the target from it, put it in its place."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from text2earth.errors import ExportError
from text2earth.exporting.archives import TileSet, write_folder, write_mbtiles, write_pmtiles
from text2earth.exporting.area import Address, Area, count_of, tiles_of
from text2earth.exporting.cog import write_cog
from text2earth.exporting.film import require_video, write_gif, write_mp4
from text2earth.exporting.flight import Flight
from text2earth.exporting.parts import Parts, lossless, part_path
from text2earth.provenance import Origin, PaintedWorld, PictureKind, check_kind, encode, write_stac_item
from text2earth.world.box import Box

__all__ = ["ENDINGS", "ExportableWorld", "Film", "Tiles", "export", "format_of"]

Pixels = npt.NDArray[np.uint8]

_BATCH = 16
"""Tiles painted at once: 4×4 of them, mostly."""

ENDINGS: Mapping[str, str] = {
    ".tif": "cog",
    ".tiff": "cog",
    ".pmtiles": "pmtiles",
    ".mbtiles": "mbtiles",
    "": "folder",
    ".gif": "gif",
    ".mp4": "mp4",
}
"""Format by the ending of a target's name; a folder has none."""

_ARCHIVES = {"pmtiles": write_pmtiles, "mbtiles": write_mbtiles, "folder": write_folder}
_FILMS = {"gif": write_gif, "mp4": write_mp4}


class ExportableWorld(PaintedWorld, Protocol):
    """What an export needs of a world."""

    @property
    def minzoom(self) -> int:
        """First zoom."""

    @property
    def maxzoom(self) -> int:
        """Last zoom."""

    def tiles(self, places: Sequence[Address]) -> list[Pixels]:
        """Return tiles (z, x, y), each uint8 (256, 256, 3)."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """An area at some zooms.

    Args:
        area: Which.
        zooms: First and last.
        kind: Of the pictures in an archive or folder; a COG is lossless and has none.
        quality: Of WebP and JPEG, 1…100; left out, WebP is lossless and JPEG has 90.
    """

    area: Area
    zooms: tuple[int, int]
    kind: PictureKind = "png"
    quality: int | None = None

    def boxes(self) -> dict[int, Box]:
        """Return what must be painted."""
        return {zoom: self.area.box(zoom) for zoom in range(self.zooms[0], self.zooms[1] + 1)}


@dataclass(frozen=True, slots=True)
class Film:
    """A zoom into a place."""

    flight: Flight

    @property
    def zooms(self) -> tuple[float, float]:
        """Of the first and the last frame."""
        return self.flight.zooms

    def boxes(self) -> dict[int, Box]:
        """Return what must be painted."""
        return self.flight.boxes()


def export(world: ExportableWorld, wanted: Tiles | Film, target: Path) -> dict[str, Any]:
    """Export an area or a film of a world; a killed export goes on when it is asked for again.

    Args:
        world: The world.
        wanted: What of it.
        target: File, whose ending names the format (see ``ENDINGS``), or folder.

    Returns:
        What was done: path, format, zooms, numbers of tiles, bytes, and how the pixels were made.

    Raises:
        ExportError: If it cannot be: an unknown ending, zooms that the world does not have, a target that exists, a
            part of another export beside it.
    """
    job = _Job(world, wanted, target, format_of(target, wanted))
    job.refuse_zooms()
    finished, painted = _is_there(target), 0
    with Parts(target, identity=job.identity()) as parts:
        if finished and len(parts) < job.count:
            raise ExportError(f"--out {target} came to exist before its export was whole; move it away, and run again")
        if not finished:
            painted = job.paint(parts)
            job.write(parts)
        parts.remove()
    return {
        "out": str(target),
        "format": job.kind,
        "zooms": list(wanted.zooms),
        "tiles": job.count,
        "painted": painted,
        "bytes": _bytes(target),
        **job.origin.tags(),
    }


def format_of(target: Path, wanted: Tiles | Film) -> str:
    """Return the format of a target.

    Raises:
        ExportError: If its ending is unknown, or cannot hold what is wanted.
    """
    kind = ENDINGS.get(target.suffix.lower())
    if kind is None:
        known = ", ".join(ending or "none, for a folder" for ending in ENDINGS)
        raise ExportError(f"--out {target} ends in {target.suffix}; the endings are {known}")
    if isinstance(wanted, Film) != (kind in _FILMS):
        raise ExportError(
            f"--out {target} is a film, which is of a place: give --place LON LAT"
            if kind in _FILMS
            else f"--out {target} is no film, and --place was given; give --bbox W S E N, or a .gif or .mp4"
        )
    if isinstance(wanted, Tiles):
        if kind == "cog" and (wanted.kind != "png" or wanted.quality is not None):
            raise ExportError(f"--out {target} is a GeoTIFF, which loses nothing; leave out --tiles and --quality")
        check_kind(wanted.kind, wanted.quality)
    if kind == "mp4":
        require_video()
    return kind


@dataclass(frozen=True, slots=True)
class _Job:
    """An export; its format is one that can hold what is wanted."""

    world: ExportableWorld
    wanted: Tiles | Film
    target: Path
    kind: str

    @property
    def count(self) -> int:
        """Number of tiles."""
        return sum(count_of(zoom, box) for zoom, box in self.wanted.boxes().items())

    @property
    def origin(self) -> Origin:
        """Of the whole; a tile of an archive has its own level."""
        return Origin.of_world(self.world, level=math.ceil(max(self.wanted.zooms)))

    def refuse_zooms(self) -> None:
        """Refuse zooms that the world or the format does not have."""
        first, last = self.wanted.zooms
        given = f"--zooms {first:g}" if first == last else f"--zooms {first:g}-{last:g}"
        if self.kind == "cog" and first != last:
            raise ExportError(f"{given} was given; a GeoTIFF is of one zoom, whose overviews are made from it")
        if first > last and isinstance(self.wanted, Tiles):
            raise ExportError(f"{given} was given; the first zoom is at most the last")
        if min(first, last) < self.world.minzoom or max(first, last) > self.world.maxzoom:
            raise ExportError(f"{given} was given; this world has the zooms {self.world.minzoom}–{self.world.maxzoom}")

    def identity(self) -> dict[str, Any]:
        """Return all that the bytes of the tiles depend on, and where they lie."""
        boxes = {str(zoom): [box.x, box.y, box.width, box.height] for zoom, box in self.wanted.boxes().items()}
        said = {"world": self.world.fingerprint, "seed": self.world.seed, "prompt": self.world.prompt, "boxes": boxes}
        if isinstance(self.wanted, Tiles) and self.kind in _ARCHIVES:
            said |= {"tiles": self.wanted.kind, "quality": self.wanted.quality}
        return said | {"format": self.kind}

    def paint(self, parts: Parts) -> int:
        """Paint the tiles that are not there yet; return how many."""
        painted = 0
        with tqdm(total=self.count, initial=len(parts), desc="paint", unit="tile", disable=None) as bar:
            for batch in _batches(self.wanted.boxes()):
                missing = parts.missing(batch)
                if missing:
                    parts.put(zip(missing, map(self._encoded, missing, self.world.tiles(missing)), strict=True))
                    painted += len(missing)
                    bar.update(len(missing))
        return painted

    def _encoded(self, tile: Address, pixels: Pixels) -> bytes:
        """Return a tile as the target holds it; films and GeoTIFFs hold only its pixels."""
        if isinstance(self.wanted, Film) or self.kind == "cog":
            return lossless(pixels)
        origin = Origin.of_world(self.world, level=tile[0])
        return encode(pixels, self.wanted.kind, origin=origin, quality=self.wanted.quality)

    def write(self, parts: Parts) -> None:
        """Write the target under another name, wait until it is on the disk, rename it."""
        temporary = self.target.with_name(f"{self.target.name}.new")
        _remove(temporary)  # of a process that was killed
        try:
            if isinstance(self.wanted, Film):
                self._write_film(self.wanted.flight, parts, temporary)
            elif self.kind == "cog":
                zoom, box = next(iter(self.wanted.boxes().items()))
                write_cog(parts.region, temporary, zoom=zoom, box=box, origin=self.origin)
                write_stac_item(temporary, origin=self.origin, called=self.target)
            else:
                self._write_archive(self.wanted, parts, temporary)
            _flush(temporary)
            temporary.replace(self.target)
        except BaseException:
            _remove(temporary)
            raise

    def _write_film(self, flight: Flight, parts: Parts, path: Path) -> None:
        frames = flight.frames(parts.region)
        with tqdm(frames, total=flight.count, desc="film", unit="frame", disable=None) as bar:
            _FILMS[self.kind](bar, path, fps=flight.fps, origin=self.origin)

    def _write_archive(self, wanted: Tiles, parts: Parts, path: Path) -> None:
        tile_set = TileSet(self.target.stem, wanted.area, wanted.zooms, wanted.kind, self.origin)
        with tqdm(parts.tiles(), total=len(parts), desc="write", unit="tile", disable=None) as bar:
            _ARCHIVES[self.kind](iter(bar), path, tile_set=tile_set)


def _is_there(target: Path) -> bool:
    """Say whether the target was written and only the cleaning was left; refuse one that is another's."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    if part_path(target).exists():
        return True
    raise ExportError(f"--out {target} exists; remove it, or choose another name")


def _batches(boxes: Mapping[int, Box]) -> Iterator[list[Address]]:
    for zoom, box in boxes.items():
        tiles = tiles_of(zoom, box)
        while batch := list(islice(tiles, _BATCH)):
            yield batch


def _flush(path: Path) -> None:
    """Wait until a file, or all files of a folder, are on the disk."""
    if path.is_dir():
        os.sync()
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
