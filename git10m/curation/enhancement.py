"""Restores tiles with a network's weights: which tiles, how, and which of the two pictures stays.

A picture goes through the network alone and on one thread, so that its bytes depend on nothing beside it. Its border is
mirrored for the network to see beyond it; pixels without data are filled from their neighbours first, and are without
data afterwards. What an enlargement of 2 gives is averaged back to the tile's pixels, unless it is asked for as it is.

torch is imported when weights are opened, not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.fill import fillnodata

from git10m.errors import RecipeError, WeightsError
from git10m.recipe import Enhancement

__all__ = ["Restorer", "asked_for", "averaged", "open_restorer"]

_EVERY_SCORE = 10
_MARGIN_PX = 8
"""Mirrored around a picture; a multiple of every fold."""
_WINDOW_PX, _WINDOW_MARGIN_PX = 512, 32
"""Pictures with longer sides go through the network in windows of this size, each with what is around it."""

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Restorer:
    """A restorer's weights, checked; picklable, and opened once in each process.

    Attributes:
        path: The file.
        sha256: Of it.
        scale: What it enlarges by: 1 or 2.
        device: ``"cpu"`` or ``"cuda"``.
        torch: Version of torch.
    """

    path: Path
    sha256: str
    scale: int
    device: str
    torch: str

    @property
    def name(self) -> str:
        """What rows call it: network, scale, and the first digits of its weights' hash."""
        return f"rrdb-x{self.scale}:{self.sha256[:8]}"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides about the pixels beside the recipe."""
        return {"weights_sha256": self.sha256, "scale": self.scale, "torch": self.torch}

    def restored(self, pixels: Pixels, valid: Mask) -> Floats:
        """Return a picture as the network restores it, enlarged by its scale.

        Args:
            pixels: uint8 (H, W, 3), RGB.
            valid: bool (H, W); what the others hold does not count, and what comes out there means nothing.

        Returns:
            float32 (scale · H, scale · W, 3), 0–1.
        """
        height, width = valid.shape
        filled, scale = _filled(pixels, valid), self.scale
        found = np.empty((height * scale, width * scale, 3), dtype=np.float32)
        for rows, columns in _windows(height, width):
            given, (top, left) = _surrounded(filled, rows, columns)
            part = self._run(given)[top * scale :, left * scale :]
            tall, wide = (slice(side.start * scale, side.stop * scale) for side in (rows, columns))
            found[tall, wide] = part[: tall.stop - tall.start, : wide.stop - wide.start]
        return found

    def _run(self, pixels: Pixels) -> Floats:
        """Put one picture, (h, w, 3), through the network; return it enlarged, 0–1."""
        import torch  # noqa: PLC0415 - only builds that enhance need it

        network = _network(self)
        given = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255.0))
        with _one_thread(), torch.inference_mode():
            given = given.to(self.device, memory_format=torch.channels_last)
            found = network(given).clamp(0.0, 1.0)[0].permute(1, 2, 0)
        result: Floats = found.cpu().numpy()
        return result


def open_restorer(asked: Enhancement) -> Restorer:
    """Open and check the weights that a recipe names.

    Args:
        asked: The recipe's table, with an absolute path.

    Raises:
        RecipeError: If torch is missing, there is no GPU where one is asked for, or the weights enlarge by another
            factor than the table needs.
        WeightsError: If the file cannot be read, or is another network's.
    """
    try:
        import torch  # noqa: PLC0415

        from git10m.curation.rrdb_weights import read_weights  # noqa: PLC0415
    except ImportError as error:
        raise RecipeError(
            f"curation.enhancement needs {error.name or 'torch'}, which is missing: pip install 'git10m[restorer]'"
        ) from error
    path = Path(asked.weights)
    weights = read_weights(path)
    scale = weights.shape.scale
    channels = (weights.shape.in_channels, weights.shape.out_channels)
    if scale == 4 or channels != (3, 3):
        raise WeightsError(
            f"{path.name}: is for a scale of {scale} with {channels[0]} channels in and {channels[1]} out; tiles are "
            "enhanced with a scale of 1 or 2, from RGB to RGB"
        )
    if asked.scale is not None and asked.scale != scale:
        raise RecipeError(
            f"curation.enhancement: scale = {asked.scale} is asked for, {path.name} is for a scale of {scale}; name "
            "other weights, or leave scale out"
        )
    if asked.size == "double" and scale != 2:
        raise RecipeError(
            f'curation.enhancement: size = "double" needs weights for a scale of 2, {path.name} is for a scale of '
            f"{scale}; name other weights, or leave size out"
        )
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError('curation.enhancement: device = "cuda", but torch finds no GPU here; say device = "cpu"')
    return Restorer(path, weights.sha256, scale, asked.device, str(torch.__version__))


def averaged(found: Floats, factor: int) -> Pixels:
    """Return a picture of 0–1 as uint8, every factor × factor pixels averaged into one."""
    if factor > 1:
        height, width, channels = found.shape
        cells = found.reshape(height // factor, factor, width // factor, factor, channels)
        found = cells.mean(axis=(1, 3), dtype=np.float32)
    averages: Pixels = np.rint(found * np.float32(255.0)).astype(np.uint8)
    return averages


def asked_for(row: Mapping[str, Any], rules: Enhancement) -> bool:
    """Tell whether a recipe asks for a tile to be enhanced; one without a score is left alone.

    Args:
        row: Columns of the tile: ``img_quality_score``, ``noise``, ``blockiness``, ``sharpness``.
        rules: The recipe's table.
    """
    score = row["img_quality_score"]
    if score is None:
        return False
    return (
        rules.below == _EVERY_SCORE
        or score < rules.below
        or (rules.max_noise is not None and row["noise"] > rules.max_noise)
        or (rules.max_blockiness is not None and row["blockiness"] > rules.max_blockiness)
        or (rules.min_sharpness is not None and row["sharpness"] < rules.min_sharpness)
    )


@lru_cache(maxsize=1)
def _network(restorer: Restorer) -> Any:
    import torch  # noqa: PLC0415

    from git10m.curation.rrdb_weights import read_weights  # noqa: PLC0415

    weights = read_weights(restorer.path)
    if weights.sha256 != restorer.sha256:
        raise WeightsError(f"{restorer.path.name}: has changed since the build began; run the same command again")
    # The same algorithm every time, and no TF32, whose eight bits less could be seen.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    network: Any = weights.network()
    return network.to(restorer.device, memory_format=torch.channels_last)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch work on one thread: workers are as many as cores, and sums come in one order."""
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _filled(pixels: Pixels, valid: Mask) -> Pixels:
    """Fill pixels without data from those around them: the edge of the data is no edge of the scene."""
    if valid.all() or not valid.any():
        return pixels
    reach = float(max(valid.shape))
    mask = valid.astype(np.uint8)
    bands = [
        fillnodata(np.ascontiguousarray(pixels[..., band], dtype=np.float32), mask=mask, max_search_distance=reach)
        for band in range(3)
    ]
    filled: Pixels = np.clip(np.rint(np.stack(bands, axis=-1)), 0, 255).astype(np.uint8)
    return filled


def _windows(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Yield the windows of a picture: one, or several where it is large."""
    for top in range(0, height, _WINDOW_PX):
        for left in range(0, width, _WINDOW_PX):
            yield slice(top, min(height, top + _WINDOW_PX)), slice(left, min(width, left + _WINDOW_PX))


def _surrounded(pixels: Pixels, rows: slice, columns: slice) -> tuple[Pixels, tuple[int, int]]:
    """Return a window with what is around it, mirrored beyond the picture, and where in that it begins.

    Sides become multiples of 4, which every fold divides.
    """
    sides: list[npt.NDArray[np.int64]] = []
    starts: list[int] = []
    for side, length in ((rows, pixels.shape[0]), (columns, pixels.shape[1])):
        whole = side.start == 0 and side.stop == length
        margin = _MARGIN_PX if whole else _WINDOW_MARGIN_PX
        stop = side.stop + margin + (side.start - side.stop) % 4
        around = np.arange(side.start - margin, stop)
        # Mirrored at the first and last pixels' outer edges.
        around %= 2 * length
        sides.append(np.where(around < length, around, 2 * length - 1 - around))
        starts.append(margin)
    return np.ascontiguousarray(pixels[np.ix_(sides[0], sides[1])]), (starts[0], starts[1])
