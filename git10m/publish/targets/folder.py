"""A folder as a target."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from git10m.errors import PublishError, TargetError
from git10m.publish.delivery import Delivery, deliver, look
from git10m.publish.release import Piece, Release
from git10m.shards import atomic_file, file_sha256

__all__ = ["FolderTarget"]

_COPIED_BYTES = 2**22


class FolderTarget:
    """A folder, made where there is none.

    Args:
        folder: Of the target.
        dataset: Of the dataset; neither may lie in the other.

    Raises:
        TargetError: If one does.
    """

    def __init__(self, folder: Path, *, dataset: Path) -> None:
        self.folder, self.address = folder, str(folder)
        self.url: str | None = None
        self.owner: str | None = None
        target, source = folder.resolve(), dataset.resolve()
        if target == source or source in target.parents:
            raise TargetError(f"{folder}: lies in the dataset {dataset} itself; give a folder beside it")
        if target in source.parents:
            raise TargetError(f"{folder}: holds the dataset {dataset}; give a folder of its own")
        if folder.exists() and not folder.is_dir():
            raise TargetError(f"{folder}: is a file; give a folder")

    def check(self, name: str) -> dict[str, Any] | None:
        """Find out whether the folder can be written to, and what is there."""
        place = next(each for each in (self.folder, *self.folder.absolute().parents) if each.exists())
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise PublishError(
                f"{self.folder}: cannot be written to ({error.strerror or error}); check its rights"
            ) from error
        return look(self, name)

    def deliver(self, release: Release) -> Delivery:
        """Copy what is not there yet."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return deliver(self, release)
        except OSError as error:
            said = error.strerror or str(error)
            raise PublishError(
                f"{self.folder}: publishing ended early ({said}); "
                "make room or give the right to write, then run it again"
            ) from error

    def names(self) -> set[str]:
        """List the files, hidden leftovers of an interrupted copy aside."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and not _left_over(path))
        return {path.relative_to(self.folder).as_posix() for path in found}

    def read(self, name: str) -> bytes | None:
        """Return a small file."""
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None

    def holds(self, piece: Piece) -> bool:
        """Compare size and hash."""
        path = self.folder / piece.name
        return path.is_file() and path.stat().st_size == piece.bytes and file_sha256(path) == piece.sha256

    def put(self, piece: Piece) -> None:
        """Copy a file under a temporary name, compare its hash on the way, and rename it."""
        path = self.folder / piece.name
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{path.name}.*.part"):
            leftover.unlink(missing_ok=True)
        digest = hashlib.sha256()
        with piece.path.open("rb") as source, atomic_file(path) as file:
            while chunk := source.read(_COPIED_BYTES):
                digest.update(chunk)
                file.write(chunk)
            if digest.hexdigest() != piece.sha256:
                raise PublishError(
                    f"{piece.path}: changed while it was published; let the build end, then run it again"
                )

    def write(self, name: str, content: bytes) -> None:
        """Write a small file in one step."""
        with atomic_file(self.folder / name) as file:
            file.write(content)

    def remove(self, name: str) -> None:
        """Delete a file."""
        (self.folder / name).unlink(missing_ok=True)


def _left_over(path: Path) -> bool:
    return path.name.startswith(".") and path.suffix == ".part"
