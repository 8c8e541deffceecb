"""Near-duplicates: images that show the same pixels, re-encoded, resized, shifted by a little or with other tones.

Three sieves, each cheaper by far than the next and none of them trusted alone:

    64-bit hashes    a join by bands: every pair that differs in 7 bits or less, and most that differ in 12
    256-bit hashes   of those, pairs that differ in 56 bits or less
    pixels           of those, pairs whose detail, aligned, correlates by ``least`` or more

Of several alike the first in the caller's order stays (best quality first), and a later one goes only if it is like one
that stays: chains of small differences do not swallow a whole region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from git10m.curation.quality import luma
from git10m.grid import IntArray

__all__ = [
    "LEAST_ENTROPY",
    "TURNS",
    "Detail",
    "Hashes",
    "Likeness",
    "Rows",
    "candidates",
    "copies",
    "detail",
    "known_copies",
    "laid",
    "likeness",
]

Detail = npt.NDArray[np.float32]
Likeness = Callable[[int, int], float]
"""How alike two images are, −1–1, by their positions."""

Rows = npt.NDArray[np.int32] | IntArray
_Band = npt.NDArray[np.uint64]

TURNS = tuple((quarters, mirrored) for mirrored in (False, True) for quarters in range(4))
"""The eight ways to lay a square: quarter turns to the left, then perhaps mirrored left to right."""

LEAST_ENTROPY = 2.5
"""Bits; calm sea and clouds have less, and hashes of noise: below it images are compared by their bytes alone."""

_BANDS = 4
_MOST_COARSE, _MOST_FINE = 12, 56
"""Most bits in which copies differ: 12 and 42 at most were seen on copies of real tiles shifted by 2 px of 256, as JPEG
of quality 40, halved, with a gamma of 0.7–1.4 and gains of 0.8–1.2, and all of these at once."""
_ROWS, _CHUNK = 2**16, 2**19
_MIX = np.uint64(0x9E3779B97F4A7C15)
_IMAGE_BITS, _IMAGE = np.uint64(32), np.uint64(0xFFFFFFFF)
_MOST_TRIED = 32
"""Images that one image is compared with by its pixels; those that are like many others are like the first of them."""

_SIDE, _SHIFT, _MARGIN = 256, 3, 4
_SMOOTH_PX, _TREND_PX = 1.5, 16
_LEAST_DETAIL = 1.0
"""Deviation in grey levels; below it a picture is noise and JPEG blocks, which tell nothing."""


@dataclass(frozen=True, slots=True)
class Hashes:
    """Perceptual hashes of images; 40 bytes an image.

    Attributes:
        coarse: uint64 (N,), of 64 bits.
        fine: uint64 (N, 4), of 256 bits.
    """

    coarse: npt.NDArray[np.uint64]
    fine: npt.NDArray[np.uint64]

    @classmethod
    def parsed(cls, coarse: Sequence[str], fine: Sequence[str]) -> Hashes:
        """Return the hashes that stand in the columns ``phash`` and ``phash256``."""
        return cls(
            np.frombuffer(bytes.fromhex("".join(coarse)), dtype=">u8").astype(np.uint64),
            np.frombuffer(bytes.fromhex("".join(fine)), dtype=">u8").astype(np.uint64).reshape(-1, 4),
        )

    def __len__(self) -> int:
        return len(self.coarse)

    def __getitem__(self, rows: IntArray) -> Hashes:
        return Hashes(self.coarse[rows], self.fine[rows])

    def turned(self, quarters: int, mirrored: bool) -> Hashes:
        """Return, nearly, the hashes of the images laid another way.

        Mirroring changes the sign of every second frequency, transposing exchanges the axes; a bit is wrong only
        where a frequency lies between the median and its negative.
        """
        return Hashes(
            _turned_bits(self.coarse[:, None], quarters, mirrored)[:, 0], _turned_bits(self.fine, quarters, mirrored)
        )


def candidates(
    one: Hashes, other: Hashes | None = None, *, rows: Rows | None = None, other_rows: Rows | None = None
) -> tuple[IntArray, IntArray]:
    """Return the pairs of images whose hashes are near, each pair once, in rising order.

    Args:
        one: Hashes.
        other: Further hashes, to be compared with ``one``; None: ``one`` with itself, and of each pair the first
            comes earlier.
        rows: Which of ``one`` to look at; None: all.
        other_rows: Which of ``other``.

    Returns:
        Positions in ``one``, and in ``other``.
    """
    found = [np.empty(0, dtype=np.int64)]
    for band in range(_BANDS):
        lefts = _by_band(one.coarse, rows, band)
        rights = lefts if other is None else _by_band(other.coarse, other_rows, band)
        for left, right in _banded(lefts, rights, itself=other is None):
            near = _near(one, one if other is None else other, left, right)
            if other is None:
                near = np.minimum(*near), np.maximum(*near)
            found.append((near[0] << 32) | near[1])
        del lefts, rights  # before the next band is built
        found = [np.unique(np.concatenate(found))]
    return found[0] >> 32, found[0] & 0xFFFFFFFF


def copies(
    hashes: Hashes, alike: Likeness, *, least: float, turned: bool = False, rows: Rows | None = None
) -> dict[int, tuple[int, float]]:
    """Find the images that are like an earlier one that stays.

    Args:
        hashes: Of all images.
        alike: Compares two images by their pixels; asked only where hashes are near.
        least: Least likeness of copies.
        turned: Images laid another way count as alike; ``alike`` must see to it too.
        rows: Which images to look at, in the order in which the first of several is to stay; None: all as they come.

    Returns:
        For each image that goes, the one that stays and their likeness.
    """
    rows = np.arange(len(hashes), dtype=np.int32) if rows is None else np.asarray(rows, dtype=np.int32)
    # Equal hashes are one: a thousand like pictures are a thousand comparisons, not a million.
    first = _first_of_equal(hashes, rows)
    several = first != np.arange(len(rows), dtype=np.int32)
    distinct = rows[~several]
    pairs = [candidates(hashes, rows=distinct)]
    for turn in TURNS[1:] if turned else ():
        pairs.append(candidates(hashes, hashes.turned(*turn), rows=distinct, other_rows=distinct))
    near: dict[int, set[int]] = {}
    for left, right in pairs:
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            near.setdefault(a, {a}).add(b)
            near.setdefault(b, {b}).add(a)
    several[first[several]] = True
    several |= np.isin(rows[first], np.fromiter(near, dtype=np.int32, count=len(near)))
    staying: dict[int, list[int]] = {}
    gone: dict[int, tuple[int, float]] = {}
    for place in np.flatnonzero(several).tolist():
        image, own = int(rows[place]), int(rows[first[place]])
        tried = sorted(other for each in near.get(own, {own}) for other in staying.get(each, ()))[:_MOST_TRIED]
        others = (int(rows[other]) for other in tried)
        found = next(((other, how) for other in others if (how := alike(other, image)) >= least), None)
        if found is not None:
            gone[image] = found
        else:
            staying.setdefault(own, []).append(place)
    return gone


def known_copies(
    hashes: Hashes,
    known: Hashes,
    alike: Likeness,
    *,
    least: float,
    turned: bool = False,
    rows: Rows | None = None,
    known_rows: Rows | None = None,
) -> dict[int, tuple[int, float]]:
    """Find the images that are like one of a known set; ``alike(known, image)``; else as `copies`."""
    found: dict[int, tuple[int, float]] = {}
    for quarters, mirrored in TURNS if turned else TURNS[:1]:
        laid_so = known.turned(quarters, mirrored) if quarters or mirrored else known
        pairs = candidates(hashes, laid_so, rows=rows, other_rows=known_rows)
        for image, other in zip(*pairs, strict=True):
            if int(image) not in found and (how := alike(int(other), int(image))) >= least:
                found[int(image)] = int(other), how
    return found


def detail(pixels: npt.NDArray[np.uint8]) -> Detail | None:
    """Return what `likeness` compares: luma at 256×256 px, without the finest noise and without slow trends.

    Haze, the fall of light and the shine of water are alike on many pictures; what lies between 3 and 30 px is not.

    Args:
        pixels: uint8 (H, W, 3), RGB, of any size.

    Returns:
        float32 (256, 256); None for a picture without any feature.
    """
    grey = Image.fromarray(luma(pixels))
    if grey.size != (_SIDE, _SIDE):
        way = Image.Resampling.BOX if min(grey.size) >= 2 * _SIDE else Image.Resampling.BICUBIC
        grey = grey.resize((_SIDE, _SIDE), way)
    smooth = np.asarray(grey.filter(ImageFilter.GaussianBlur(_SMOOTH_PX)), dtype=np.float32)
    found = smooth - np.asarray(grey.filter(ImageFilter.BoxBlur(_TREND_PX)), dtype=np.float32)
    return found if float(found.std()) >= _LEAST_DETAIL else None


def likeness(one: Detail | None, other: Detail | None, *, turned: bool = False) -> float:
    """Return the largest correlation of two details, −1–1, over shifts of up to 3 px and, if asked, eight ways to lay.

    A picture without any feature is like none: 0.
    """
    if one is None or other is None:
        return 0.0
    core = one[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    core = (core - core.mean()) / core.std()
    ways = (laid(other, *turn) for turn in (TURNS if turned else TURNS[:1]))
    return max(_correlation(core, way) for way in ways)


def laid(picture: npt.NDArray[np.generic], quarters: int, mirrored: bool) -> npt.NDArray[np.generic]:
    """Return a square picture laid another way; see `TURNS`."""
    turned = np.rot90(picture, quarters)
    return turned[:, ::-1] if mirrored else turned


def _correlation(core: Detail, other: npt.NDArray[np.generic]) -> float:
    height, width = core.shape
    best = -1.0
    for down in range(_MARGIN - _SHIFT, _MARGIN + _SHIFT + 1):
        for right in range(_MARGIN - _SHIFT, _MARGIN + _SHIFT + 1):
            window = np.ascontiguousarray(other[down : down + height, right : right + width])
            # The core has mean 0, so that the window's own mean falls out of the product.
            best = max(best, float(np.vdot(core, window)) / (core.size * float(window.std()) + 1e-9))
    return best


def _banded(lefts: _Band, rights: _Band, *, itself: bool) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield pairs that agree in 15 of a band's 16 bits.

    Sixteen bits a band, four bands: hashes that differ in seven bits differ in at most one of some band's.
    """
    starts = np.append(np.searchsorted(rights, np.arange(2**16, dtype=np.uint64) << _IMAGE_BITS), len(rights))
    for at in range(0, len(lefts), _ROWS):
        keys = (lefts[at : at + _ROWS] >> _IMAGE_BITS).astype(np.int64)
        for flip in (0, *(1 << bit for bit in range(16))):
            begin, end = starts[keys ^ flip], starts[(keys ^ flip) + 1]
            if itself and flip:  # each pair from one side only
                end = np.where(keys & flip, begin, end)
            elif itself:
                begin = np.arange(at + 1, at + 1 + len(keys))
            for left, right in _spread(begin, end):
                yield (lefts[at + left] & _IMAGE).astype(np.int64), (rights[right] & _IMAGE).astype(np.int64)


def _spread(begin: IntArray, end: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield (row, position) for all positions from begin to end of each row, half a million at a time."""
    ends = np.cumsum(end - begin)
    at = 0
    while at < len(begin):
        stop = max(at + 1, int(np.searchsorted(ends, (ends[at - 1] if at else 0) + _CHUNK, side="right")))
        count = (end - begin)[at:stop]
        row = np.repeat(np.arange(at, stop), count)
        first = np.repeat(begin[at:stop] - (np.cumsum(count) - count), count)
        yield row, np.arange(len(row)) + first
        at = stop


def _near(one: Hashes, other: Hashes, left: IntArray, right: IntArray) -> tuple[IntArray, IntArray]:
    """Return those of some pairs whose hashes are near."""
    close = np.bitwise_count(one.coarse[left] ^ other.coarse[right]) <= _MOST_COARSE
    left, right = left[close], right[close]
    close = np.bitwise_count(one.fine[left] ^ other.fine[right]).sum(axis=1) <= _MOST_FINE
    return left[close], right[close]


def _by_band(hashes: npt.NDArray[np.uint64], rows: Rows | None, band: int) -> _Band:
    """Return, sorted, a band's bits and behind them the image: all that is held of it, 8 bytes.

    Of a band is every fourth bit, for the first vary least.
    """
    packed = np.arange(len(hashes), dtype=np.uint64) if rows is None else rows.astype(np.uint64)
    for at in range(0, len(packed), _ROWS):
        part = packed[at : at + _ROWS]
        own = hashes[part.astype(np.int64)]
        for place, bit in enumerate(range(band, 64, _BANDS)):
            part |= ((own >> np.uint64(bit)) & np.uint64(1)) << (_IMAGE_BITS + np.uint64(place))
    packed.sort()
    return packed


def _first_of_equal(hashes: Hashes, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return, for each place in some rows, the first place whose hashes are equal; by bytes an image as `_by_band`."""
    packed = np.arange(len(rows), dtype=np.uint64)
    for at in range(0, len(rows), _ROWS):
        images = rows[at : at + _ROWS]
        mixed = hashes.coarse[images].copy()
        for word in range(4):
            mixed = (mixed ^ hashes.fine[images, word]) * _MIX
        packed[at : at + _ROWS] |= mixed & ~_IMAGE
    packed.sort()
    begins = np.ones(len(rows), dtype=bool)
    for at in range(1, len(rows), _ROWS):
        ends = slice(at - 1, at + _ROWS - 1), slice(at, at + _ROWS)
        one, other = (rows[(packed[part] & _IMAGE).astype(np.int64)] for part in ends)
        one = one[: len(other)]
        equal = (hashes.coarse[one] == hashes.coarse[other]) & (hashes.fine[one] == hashes.fine[other]).all(axis=1)
        begins[ends[1]] = ~equal
    heads = np.arange(len(rows), dtype=np.int32)
    heads[~begins] = 0
    np.maximum.accumulate(heads, out=heads)
    first = np.empty(len(rows), dtype=np.int32)
    for at in range(0, len(rows), _ROWS):
        part = slice(at, at + _ROWS)
        first[(packed[part] & _IMAGE).astype(np.int64)] = (packed[heads[part]] & _IMAGE).astype(np.int32)
    return first


def _turned_bits(words: npt.NDArray[np.uint64], quarters: int, mirrored: bool) -> npt.NDArray[np.uint64]:
    """Return the bits of square tables of frequencies, (N, words), as they are for turned pictures."""
    bits = np.unpackbits(words.astype(">u8").view(np.uint8), axis=1)
    side = int(np.sqrt(bits.shape[1]))
    table = bits.reshape(-1, side, side)
    odd = (np.arange(side) % 2).astype(np.uint8)
    for _ in range(quarters):  # a quarter turn to the left: axes exchanged, then top to bottom
        table = table.transpose(0, 2, 1) ^ odd[:, None]
    if mirrored:
        table = table ^ odd[None, :]
    packed = np.packbits(np.ascontiguousarray(table).reshape(len(bits), side * side), axis=1)
    return packed.view(">u8").astype(np.uint64)
