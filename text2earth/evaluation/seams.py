"""Seams, repetition and sharpness of images that were painted window by window.

Three questions, each asked of columns and of rows. Do differences between neighbours stand out where windows meet
(`Seam`, gradient and step)? Does texture come back at the distance of the windows, as it does where all windows start
from one noise (`Repetition`)? Is the image as sharp as a real one (`Measures.high_pass_energy`, `spectral_slope`)?
Real imagery passes none of them perfectly: measure a real image of the same size beside the painted one. Of an image
without seams, each of the four statistics lies outside the central 95 % once in twenty times, by chance.

An image is read in strips; memory grows with its sides, not with its area.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from text2earth.errors import RequestError
from text2earth.evaluation.strips import Axis, Canvas, Strip, opened, strips

__all__ = ["Measures", "Repetition", "Seam", "measure_seams"]

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]

_AXES: tuple[Axis, Axis] = ("columns", "rows")
_NEAR, _FAR = 8, 32
"""Lags beside one that are its neighbours, pixels."""
_ENERGY_RADIUS, _TEXTURE_RADIUS = 1, 2
"""Of the mean that is taken off: 3×3 px for energy, as in ``painting``; 5×5 px for repetition, so that the rounding to
bytes, which repeats nothing, is a small part of what is left."""
_BLOCK = 256
_BLOCKS = 64
_OCTAVES = (1 / 32, 1 / 4)


@dataclass(frozen=True, slots=True)
class Seam:
    """A statistic of the lines at multiples of a stride, against the same at all other phases.

    Args:
        axis: Whether the lines are columns or rows.
        kind: ``"gradient"``: mean absolute difference of neighbours; ``"step"``: the mean difference along a seam
            of one stride, beyond that of the lines beside it, absolute.
        value: At the seams, 0–255.
        ratio: To the mean of all other phases; 1 is ideal.
        low: 2.5th percentile of the other phases.
        high: 97.5th percentile of the other phases.
        by_phase: The statistic at each phase 0 … stride − 1; the seams are the first.
    """

    axis: Axis
    kind: str
    value: float
    ratio: float
    low: float
    high: float
    by_phase: tuple[float, ...]

    @property
    def is_inside(self) -> bool:
        """Whether the seams lie in the central 95 % of the other phases."""
        return self.low <= self.value <= self.high

    @property
    def modulation(self) -> float:
        """Amplitude of one wave a stride in the phases, over their mean: windows sharper in one part than another."""
        phases = np.array(self.by_phase)
        wave = np.exp(2j * np.pi * np.arange(len(phases)) / len(phases))
        return float(2.0 * abs((phases * wave).mean()) / max(phases.mean(), 1e-12))


@dataclass(frozen=True, slots=True)
class Repetition:
    """How texture resembles itself at a distance.

    Args:
        axis: ``"columns"``: from column to column, along a row.
        lag: Pixels.
        score: High-pass autocorrelation there, less the median of its neighbours ±8…32; 0 is ideal.
    """

    axis: Axis
    lag: int
    score: float


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured of an image.

    Args:
        height: Pixels.
        width: Pixels.
        stride: Distance of the seams, pixels.
        offset: First seam.
        seams: Gradient and step, of columns and of rows.
        repetitions: At the stride and its multiples by 4, 16, …, up to half of a side.
        high_pass_energy: Mean square of what a 3×3 mean leaves, pixels in −1…1.
        spectral_slope: Of log power over log frequency, 1/32 … 1/4 cycles a pixel.
    """

    height: int
    width: int
    stride: int
    offset: int
    seams: tuple[Seam, ...]
    repetitions: tuple[Repetition, ...]
    high_pass_energy: float
    spectral_slope: float

    @property
    def is_seamless(self) -> bool:
        """Whether every statistic of the seams lies in the central 95 % of the other phases."""
        return all(seam.is_inside for seam in self.seams)

    @property
    def periodicity(self) -> float:
        """The largest score of a repetition; 0 is ideal."""
        return max((each.score for each in self.repetitions), default=0.0)


def measure_seams(source: Path | Pixels, *, stride: int, offset: int = 0) -> Measures:
    """Measure an image.

    Args:
        source: Array uint8 (H, W, 3), or a file; invalid pixels of a file are left out.
        stride: Distance of the seams, pixels, at least 8.
        offset: Column and row of the first seam: the first pixel of a window.

    Raises:
        RequestError: If the image cannot be read, is smaller than four strides, or has hardly a valid pixel.
    """
    if stride < 8 or not 0 <= offset < stride:
        raise RequestError(f"stride {stride} and offset {offset}: a stride is ≥ 8 px, an offset 0 … stride − 1")
    with opened(source) as canvas:
        if min(canvas.height, canvas.width) < 4 * stride:
            raise RequestError(
                f"{canvas.name} is {canvas.width}×{canvas.height} px; "
                f"seams {stride} px apart need {4 * stride} px a side, or give a smaller stride"
            )
        profiles = [_profile(canvas, axis, stride=stride, offset=offset) for axis in _AXES]
        return Measures(
            height=canvas.height,
            width=canvas.width,
            stride=stride,
            offset=offset,
            seams=tuple(seam for each in profiles for seam in each.seams(stride, offset)),
            repetitions=tuple(found for each in profiles for found in each.repetitions(stride)),
            high_pass_energy=profiles[0].energy,
            spectral_slope=_spectral_slope(canvas),
        )


class _Profile:
    """Sums over the lines of one axis, by position along it."""

    def __init__(self, axis: Axis, length: int, stride: int) -> None:
        self.axis, self.length = axis, length
        self.most = max(_lags(stride, length), default=0) + _FAR
        self.padded = 1 << int(np.ceil(np.log2(length + self.most + 1)))
        self.gradient, self.step = np.zeros(length), np.zeros(length)
        self.gradients, self.steps = np.zeros(length), np.zeros(length)
        self.spectrum, self.mask = np.zeros(self.padded // 2 + 1), np.zeros(self.padded // 2 + 1)
        self.squares = self.count = 0.0

    @property
    def energy(self) -> float:
        """High-pass energy."""
        return self.squares / max(self.count, 1.0)

    def add_differences(self, slopes: Values, sound: Values) -> None:
        """Add differences (lines, length, 3) of each position to the one before it, where both are valid."""
        self.gradient += np.abs(slopes).mean(axis=2, dtype=np.float64).sum(axis=0)
        self.gradients += sound.sum(axis=0, dtype=np.float64)

    def add_steps(self, sums: Floats, counts: Floats, *, least: float) -> None:
        """Add the mean steps of one stretch of a seam, from their sums (length, 3)."""
        long = counts >= least
        means = np.abs(sums).mean(axis=1) / np.maximum(counts, 1.0)
        self.step += np.where(long, means, 0.0)
        self.steps += long

    def add_texture(self, texture: Values, valid: Values) -> None:
        """Add the power of texture (lines, length, 3), zero where invalid."""
        for band in range(3):
            power = np.square(np.abs(np.fft.rfft(texture[..., band], self.padded, axis=1)))
            self.spectrum += power.sum(axis=0, dtype=np.float64) / 3.0
        self.mask += np.square(np.abs(np.fft.rfft(valid, self.padded, axis=1))).sum(axis=0, dtype=np.float64)

    def seams(self, stride: int, offset: int) -> Iterator[Seam]:
        """Yield gradient and step."""
        phase = (np.arange(self.length) - offset) % stride
        for kind, sums, counts in (
            ("gradient", self.gradient, self.gradients),
            ("step", self.step, self.steps),
        ):
            held = np.bincount(phase, weights=counts, minlength=stride)
            if not held.all():
                raise RequestError(
                    f"the image has no valid pixels at some {self.axis} of a stride of {stride} px; "
                    "measure a part of it that is painted"
                )
            phases = np.bincount(phase, weights=sums, minlength=stride) / held
            low, high = np.percentile(phases[1:], [2.5, 97.5])
            ratio = phases[0] / max(phases[1:].mean(), 1e-12)
            yield Seam(self.axis, kind, float(phases[0]), float(ratio), float(low), float(high), tuple(phases.tolist()))

    def repetitions(self, stride: int) -> Iterator[Repetition]:
        """Yield the score at each lag."""
        products = np.fft.irfft(self.spectrum, self.padded)[: self.most + 1]
        pairs = np.fft.irfft(self.mask, self.padded)[: self.most + 1].round()
        covariance = products / np.maximum(pairs, 1.0)
        correlation = covariance / max(covariance[0], 1e-12)
        for lag in _lags(stride, self.length):
            beside = [near for by in range(_NEAR, _FAR + 1) for near in (lag - by, lag + by) if near >= _NEAR]
            yield Repetition(self.axis, lag, float(correlation[lag] - np.median(correlation[beside])))


def _lags(stride: int, length: int) -> list[int]:
    """Return the stride and its multiples by 4, 16, … that at least half of a line can be compared at."""
    return [lag for lag in (stride * 4**power for power in range(12)) if lag <= length // 2]


def _profile(canvas: Canvas, axis: Axis, *, stride: int, offset: int) -> _Profile:
    """Read an image once and sum up one axis of it."""
    found = _Profile(axis, canvas.length(axis), stride)
    sums, counts = np.zeros((found.length, 3)), np.zeros(found.length)
    stretch = 0
    for strip in strips(canvas, axis=axis, lines=stride, halo=_TEXTURE_RADIUS):
        if strip.first // stride != stretch:
            found.add_steps(sums, counts, least=stride / 2)
            sums, counts, stretch = np.zeros_like(sums), np.zeros_like(counts), strip.first // stride
        slopes, sound = _slopes(strip)
        found.add_differences(slopes, sound)
        steps, whole = _steps(slopes, sound)
        sums += steps.sum(axis=0, dtype=np.float64)
        counts += whole.sum(axis=0, dtype=np.float64)
        valid = strip.valid[strip.inner].astype(np.float32)
        found.add_texture(_high_pass(strip, _TEXTURE_RADIUS), valid)
        found.squares += float(np.square(_high_pass(strip, _ENERGY_RADIUS), dtype=np.float64).sum()) / 127.5**2 / 3.0
        found.count += float(valid.sum())
    found.add_steps(sums, counts, least=stride / 2)
    if found.count < stride * stride:
        raise RequestError(f"{canvas.name} has {found.count:.0f} valid pixels; measure an image that is painted")
    return found


def _slopes(strip: Strip) -> tuple[Values, Values]:
    """Return differences (lines, length, 3) to the position before, and where both are valid (lines, length)."""
    pixels, valid = strip.pixels[strip.inner].astype(np.float32), strip.valid[strip.inner]
    slopes, sound = np.zeros_like(pixels), np.zeros(valid.shape, dtype=np.float32)
    sound[:, 1:] = valid[:, 1:] & valid[:, :-1]
    slopes[:, 1:] = np.diff(pixels, axis=1) * sound[:, 1:, None]
    return slopes, sound


def _steps(slopes: Values, sound: Values) -> tuple[Values, Values]:
    """Return by how much differences exceed the mean of those beside them, and where all three are valid.

    What changes evenly, as shading does, has no step; one that is as sharp as a pixel has all of its height.
    """
    steps, whole = np.zeros_like(slopes), np.zeros_like(sound)
    whole[:, 1:-1] = sound[:, :-2] * sound[:, 1:-1] * sound[:, 2:]
    steps[:, 1:-1] = slopes[:, 1:-1] - 0.5 * (slopes[:, :-2] + slopes[:, 2:])
    return steps * whole[..., None], whole


def _high_pass(strip: Strip, radius: int) -> Values:
    """Return what a square mean of valid pixels leaves of the inner lines, zero where invalid."""
    valid = strip.valid.astype(np.float32)
    pixels = strip.pixels.astype(np.float32) * valid[..., None]
    mean = _box_sum(pixels, radius) / np.maximum(_box_sum(valid, radius), 1.0)[..., None]
    detail = (pixels - mean) * valid[..., None]
    return detail[strip.inner].astype(np.float32, copy=False)


def _box_sum(values: Values, radius: int) -> Values:
    """Return sums over squares of 2·radius + 1 px, cut at the border; whole numbers stay whole."""
    found: Values = values
    for axis in (0, 1):
        total = found.copy()
        for by in range(1, min(radius, found.shape[axis] - 1) + 1):
            ahead, behind = [slice(None)] * found.ndim, [slice(None)] * found.ndim
            ahead[axis], behind[axis] = slice(by, None), slice(None, -by)
            total[tuple(behind)] += found[tuple(ahead)]
            total[tuple(ahead)] += found[tuple(behind)]
        found = total
    return found


def _spectral_slope(canvas: Canvas) -> float:
    """Return the slope of the power spectrum, averaged over at most 64 blocks that are spread over the image."""
    side = min(_BLOCK, canvas.height, canvas.width)
    window = np.hanning(side)[:, None] * np.hanning(side)
    power: Floats = np.zeros((side, side))
    blocks = 0
    for row, column in _spread(canvas, side):
        pixels, valid = canvas.read(row, column, side, side)
        if not valid.all():
            continue
        grey = pixels.mean(axis=2)
        power = power + np.square(np.abs(np.fft.fft2((grey - grey.mean()) * window)))
        blocks += 1
    if not blocks or not power.any():
        return float("nan")
    return _slope(power)


def _spread(canvas: Canvas, side: int) -> Iterator[tuple[int, int]]:
    """Yield corners of blocks on a regular lattice over an image."""
    most = int(np.sqrt(_BLOCKS))
    for row in _places(canvas.height, side, most):
        for column in _places(canvas.width, side, most):
            yield row, column


def _places(length: int, side: int, most: int) -> Sequence[int]:
    count = min(most, length // side)
    return [int(place) for place in np.linspace(0, length - side, count).round()]


def _slope(power: Floats) -> float:
    """Fit log power over log frequency, each third of an octave weighing the same."""
    frequency = np.fft.fftfreq(len(power))
    radius = np.hypot(frequency[:, None], frequency)
    edges = np.geomspace(*_OCTAVES, 10)
    ring = np.digitize(radius, edges)
    middles = [(radius[ring == number].mean(), power[ring == number].mean()) for number in range(1, len(edges))]
    across, up = np.log(np.array(middles) + np.array([0.0, 1e-12])).T
    return float(np.polyfit(across, up, 1)[0])
