"""Grounds to paint on: an array, or a file that holds more than memory does and outlives a kill."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from text2earth.errors import RequestError
from text2earth.world.box import Box

__all__ = ["ArrayGround", "FileGround"]

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_GIVEN, _PAINTED = 255, 1


class ArrayGround:
    """A ground in memory.

    Args:
        area: Of it all.
        pixels: The given image uint8 (H, W, 3), whose first pixel is the plane's origin; None where there is none.
        valid: Which of its pixels are known; all if left out.
    """

    def __init__(self, area: Box, pixels: Pixels | None = None, valid: Mask | None = None) -> None:
        self._area = area
        self.pixels = np.zeros((area.height, area.width, 3), np.uint8)
        self.kinds = np.zeros((area.height, area.width), np.uint8)
        if pixels is not None:
            place = Box(0, 0, pixels.shape[1], pixels.shape[0]).slices(area)
            known = np.ones(pixels.shape[:2], np.bool_) if valid is None else valid
            self.pixels[place] = pixels * known[..., None]
            self.kinds[place] = known * np.uint8(_GIVEN)

    @property
    def area(self) -> Box:
        """All of it."""
        return self._area

    @property
    def painted(self) -> Mask:
        """Which pixels there are now, bool (H, W)."""
        found: Mask = self.kinds > 0
        return found

    def read(self, box: Box) -> Pixels:
        """Return the pixels of a box."""
        return self.pixels[box.slices(self._area)]

    def given(self, box: Box) -> Mask:
        """Return which pixels of a box were given."""
        found: Mask = self.kinds[box.slices(self._area)] == _GIVEN
        return found

    def write(self, box: Box, pixels: Pixels, where: Mask) -> None:
        """Write those pixels of a box that are named."""
        place = box.slices(self._area)
        self.pixels[place][where] = pixels[where]
        self.kinds[place][where] = _PAINTED


class FileGround:
    """A ground in a folder: a raw file of four bytes a pixel (red, green, blue, what it is), and how far one came.

    Args:
        folder: Of the two; is made.
        area: Of it all.
        request: All that decides about the pixels; a folder that was begun by another request is refused.
    """

    def __init__(self, folder: Path, area: Box, request: Mapping[str, Any]) -> None:
        self._area, self.folder, self._request = area, folder, json.loads(json.dumps(request))
        self._note, raw = folder / "progress.json", folder / "pixels.raw"
        self.done = -1
        if self._note.is_file():
            before = json.loads(self._note.read_text(encoding="utf-8"))
            self._refuse_other(before["request"])
            self.done = int(before["done"])
        folder.mkdir(parents=True, exist_ok=True)
        if self.done < 0:
            with raw.open("wb") as made:
                made.truncate(area.width * area.height * 4)  # a file with holes: it grows as it is painted
        self._file: BinaryIO = raw.open("r+b")

    @property
    def area(self) -> Box:
        """All of it."""
        return self._area

    @property
    def has_begun(self) -> bool:
        """Whether the given image is in it."""
        return self.done >= 0

    def put(self, box: Box, pixels: Pixels, valid: Mask) -> None:
        """Write pixels of the given image."""
        kinds = valid * np.uint8(_GIVEN)
        self._write(box, np.dstack([pixels * valid[..., None], kinds]))

    def read(self, box: Box) -> Pixels:
        """Return the pixels of a box."""
        return self._read(box)[..., :3]

    def given(self, box: Box) -> Mask:
        """Return which pixels of a box were given."""
        found: Mask = self._read(box)[..., 3] == _GIVEN
        return found

    def write(self, box: Box, pixels: Pixels, where: Mask) -> None:
        """Write those pixels of a box that are named."""
        held = self._read(box)
        held[where] = np.dstack([pixels, np.full(where.shape, _PAINTED, np.uint8)])[where]
        self._write(box, held)

    def note(self, done: int) -> None:
        """Note how many windows are done, once their pixels are on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        temporary = self._note.with_suffix(".part")
        temporary.write_text(json.dumps({"done": done, "request": self._request}), encoding="utf-8")
        temporary.replace(self._note)
        self.done = done

    def strips(self, lines: int) -> Iterator[tuple[Box, Pixels, Mask]]:
        """Yield boxes over the whole width, from north to south, their pixels, and which of them there are."""
        for y in range(self._area.y, self._area.bottom, lines):
            box = Box(self._area.x, y, self._area.width, min(lines, self._area.bottom - y))
            held = self._read(box)
            yield box, held[..., :3], held[..., 3] > 0

    def close(self) -> None:
        """Close the file; the folder stays."""
        self._file.close()

    def remove(self) -> None:
        """Close the file and remove the folder."""
        self.close()
        shutil.rmtree(self.folder)

    def _refuse_other(self, before: Mapping[str, Any]) -> None:
        names = {*before, *self._request}
        other = sorted(name for name in names if before.get(name) != self._request.get(name))
        if other:
            told = "; ".join(f"{name} {before.get(name)!r} → {self._request.get(name)!r}" for name in other)
            raise RequestError(
                f"{self.folder} was begun by another request ({told}); ask for the same again to go on, "
                "or remove the folder"
            )

    def _read(self, box: Box) -> Pixels:
        found = np.empty((box.height, box.width, 4), np.uint8)
        for number, at in enumerate(self._places(box)):
            self._file.seek(at)
            self._file.readinto(memoryview(found[number]).cast("B"))  # type: ignore[attr-defined]
        return found

    def _write(self, box: Box, held: Pixels) -> None:
        for row, at in zip(np.ascontiguousarray(held), self._places(box), strict=True):
            self._file.seek(at)
            self._file.write(row.tobytes())

    def _places(self, box: Box) -> Iterator[int]:
        rows, columns = box.slices(self._area)
        for row in range(rows.start, rows.stop):
            yield 4 * (row * self._area.width + columns.start)
