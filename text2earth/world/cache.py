"""Painted blocks kept without loss: some in memory, more on disk.

On disk each block is a PNG that is marked synthetic and carries a digest of its pixels and place. Files appear whole,
by renaming, so any number of processes may share a folder; two that paint one block write the same bytes. A file
that is damaged is deleted and its block painted anew. What was not asked for longest goes first when there is more
than may be.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from text2earth.errors import RequestError
from text2earth.provenance import Origin, encode_png

__all__ = ["BlockCache", "BlockKey"]

_LOG = logging.getLogger(__name__)
_FOLDER = "world-"
_LEFT_OVER_S = 3600.0
"""Age at which a temporary file is what a killed process left behind."""
_SLACK = 16
"""A process looks how large the folder is each time it has written this part of what may be."""
_DIGEST = "block_sha256"
_DAMAGE = (OSError, ValueError, SyntaxError, KeyError, AttributeError)
"""What Pillow raises on files that are no PNG, are cut off or have other bytes than were written."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, order=True)
class BlockKey:
    """A block of one plane of the world.

    Args:
        plane: Name of the plane.
        x: Column of blocks.
        y: Row of blocks.
    """

    plane: str
    x: int
    y: int


class BlockCache:
    """Blocks of one world.

    Args:
        fingerprint: Of the world; other worlds may lie in the same folder.
        origin: Marks of the files.
        folder: Where files are kept; None keeps blocks in memory only.
        max_bytes: Of all files in the folder, of all worlds; for a moment each process may go beyond by a sixteenth.
        memory_bytes: Of decoded blocks.

    Raises:
        RequestError: If a number of bytes is negative.
        OSError: If the folder cannot be made.
    """

    def __init__(
        self, fingerprint: str, *, origin: Origin, folder: Path | None, max_bytes: int, memory_bytes: int = 1 << 26
    ) -> None:
        if max_bytes < 0 or memory_bytes < 0:
            raise RequestError(f"a cache of {min(max_bytes, memory_bytes)} bytes was asked for; it is 0 or more")
        self._origin, self._fingerprint = origin, fingerprint
        self._root = None if folder is None else Path(folder)
        self._folder = None if folder is None else Path(folder) / f"{_FOLDER}{fingerprint[:32]}"
        self._max_bytes, self._memory_bytes = max_bytes, memory_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[BlockKey, Pixels] = OrderedDict()
        self._held_bytes = 0
        self._known_bytes, self._unseen_bytes = 0, 0
        self.counts: Counter[str] = Counter()
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._known_bytes = sum(size for _, size, _ in self._files())
            self._shrink_if_needed()

    def get(self, key: BlockKey) -> Pixels | None:
        """Return a block, read-only, or None if it is not kept."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
                self.counts["memory hits"] += 1
                return found
        found = self._read(key)
        with self._lock:
            self.counts["misses" if found is None else "disk hits"] += 1
        if found is not None:
            self._hold(key, found)
        return found

    def put(self, key: BlockKey, pixels: Pixels) -> Pixels:
        """Keep a block uint8 (H, W, 3); returns it read-only. A full disk costs the file, not the block."""
        pixels = np.ascontiguousarray(pixels)
        pixels.flags.writeable = False
        self._hold(key, pixels)
        if self._folder is not None:
            try:
                self._write(key, pixels)
            except OSError as error:
                _LOG.warning("%s: a block could not be kept (%s); it will be painted again", self._folder, error)
        return pixels

    def _hold(self, key: BlockKey, pixels: Pixels) -> None:
        with self._lock:
            before = self._held.pop(key, None)
            self._held_bytes += pixels.nbytes - (0 if before is None else before.nbytes)
            self._held[key] = pixels
            while self._held_bytes > self._memory_bytes and self._held:
                self._held_bytes -= self._held.popitem(last=False)[1].nbytes

    def _path(self, key: BlockKey) -> Path:
        assert self._folder is not None
        return self._folder / key.plane / str(key.x) / f"{key.y}.png"

    def _digest(self, key: BlockKey, pixels: Pixels) -> str:
        said = f"{self._fingerprint}/{key.plane}/{key.x}/{key.y}/{pixels.shape}".encode()
        return hashlib.sha256(said + pixels.tobytes()).hexdigest()

    def _read(self, key: BlockKey) -> Pixels | None:
        if self._folder is None:
            return None
        path = self._path(key)
        try:
            with path.open("rb") as file, Image.open(file, formats=("PNG",)) as image:
                pixels = np.array(image)
                said = image.info[_DIGEST.upper()]
            if said != self._digest(key, pixels):
                raise ValueError("its pixels are not those that were written")
            os.utime(path)
        except FileNotFoundError:
            return None
        except PermissionError:
            raise  # the file is whole, for all that is known
        except _DAMAGE as error:
            _LOG.warning("%s is damaged (%s); it is deleted and painted again", path, error)
            path.unlink(missing_ok=True)
            with self._lock:
                self.counts["damaged"] += 1
            return None
        pixels.flags.writeable = False
        return pixels

    def _write(self, key: BlockKey, pixels: Pixels) -> None:
        path = self._path(key)
        further = (*self._origin.further, (_DIGEST, self._digest(key, pixels)))
        encoded = encode_png(pixels, origin=replace(self._origin, further=further))
        if len(encoded) > self._max_bytes:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
        try:
            part.write_bytes(encoded)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        with self._lock:
            self._known_bytes += len(encoded)
            self._unseen_bytes += len(encoded)
        self._shrink_if_needed()

    def _shrink_if_needed(self) -> None:
        if self._known_bytes <= self._max_bytes and self._unseen_bytes <= self._max_bytes // _SLACK:
            return
        assert self._root is not None
        with (self._root / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process is at it
            left = self._shrunk()
        with self._lock:
            self._known_bytes, self._unseen_bytes = left, 0

    def _shrunk(self) -> int:
        """Delete what was not asked for longest until there is room again; returns the bytes that are left."""
        files = sorted(self._files())
        left = sum(size for _, size, _ in files)
        if left <= self._max_bytes:
            return left
        for _, size, path in files:
            if left <= self._max_bytes - self._max_bytes // _SLACK:
                break
            path.unlink(missing_ok=True)
            left -= size
            with self._lock:
                self.counts["evicted"] += 1
        return left

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield (time of last use, bytes, path) of every block of every world, and delete what kills left over."""
        assert self._root is not None
        for path in self._root.glob(f"{_FOLDER}*/*/*/*.p*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == ".png":
                yield status.st_mtime, status.st_size, path
            elif path.suffix == ".part" and time.time() - status.st_mtime > _LEFT_OVER_S:
                path.unlink(missing_ok=True)
