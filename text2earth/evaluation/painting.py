"""How well a small model paints, measured without any other network.

Five questions, each a function: does the autoencoder keep an image (`fidelity`); is the paint as sharp as what is real
(`high_pass_energy`); does a word give its colour and texture (`word_accuracy`); does the level give its scale
(`level_correlation`); or are images only remembered (`nearest_distances`). `measure` asks them all.
"""

from __future__ import annotations

import io
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.nn import functional

from text2earth.errors import RequestError

__all__ = [
    "Painting",
    "Patches",
    "Settings",
    "fidelity",
    "high_pass_energy",
    "level_correlation",
    "measure",
    "nearest_distances",
    "read_patches",
    "word_accuracy",
]

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_RIDGE = 1.0
"""Of the linear models, on standardised features: classes are few and features correlated."""


@dataclass(frozen=True, slots=True)
class Patches:
    """Real images with what is known of them.

    Args:
        pixels: uint8 (N, H, W, 3).
        levels: Level of each.
        sources: Scene of each.
        shares: Share of each class that is known of it, by name.
        captions: What is said of each.
    """

    pixels: Pixels
    levels: tuple[int, ...]
    sources: tuple[str, ...]
    shares: tuple[Mapping[str, float], ...]
    captions: tuple[str, ...]

    def mostly(self, word: str, *, share: float = 0.5) -> npt.NDArray[np.bool_]:
        """Tell which patches a class covers by at least a share, bool (N,)."""
        return np.array([known.get(word, 0.0) >= share for known in self.shares], dtype=np.bool_)

    def known_words(self, *, patches: int = 20, scenes: int = 2) -> list[str]:
        """Return the classes that cover most of so many patches, of so many scenes, by name."""
        words = sorted({word for known in self.shares for word in known})
        held = {word: np.array(self.sources)[self.mostly(word)] for word in words}
        return [word for word in words if len(held[word]) >= patches and len(set(held[word])) >= scenes]


@dataclass(frozen=True, slots=True)
class Settings:
    """How images are painted to be measured.

    Args:
        images: Of each word, and of all levels together.
        steps: Denoising steps.
        guidance_scale: See ``Text2EarthPipeline``.
        seed: Of the noise and of the levels drawn.
    """

    images: int = 64
    steps: int = 30
    guidance_scale: float = 3.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Painting:
    """What was measured.

    Args:
        psnr_db: Of the autoencoder on images that it never saw, decibels.
        high_pass_ratio: High-pass energy of images painted from real captions, as a multiple of that of the real ones.
        word_pairs: Share of painted images that are called right, by pair of known words.
        level_correlation: Spearman's ρ of asked levels and those that a regressor reads off the images.
        nearest_painted: Median distance of a painted image to the training image most like it (RMS, 0–255).
        nearest_real: The same from one training image to the next.
        nearest_alike: The same, from the training images whose captions were painted: plain water lies near its like.
    """

    psnr_db: float
    high_pass_ratio: float
    word_pairs: Mapping[tuple[str, str], float]
    level_correlation: float
    nearest_painted: float
    nearest_real: float
    nearest_alike: float


def read_patches(dataset: Path, *, size: int) -> Patches:
    """Read a dataset folder's training split: whole tiles averaged to ``size`` px, levels lowered as they shrink.

    Raises:
        RequestError: If there is no such split, or its tiles are not a power of two times the size.
    """
    files = sorted((dataset / "data").glob("train-*.parquet"))
    if not files:
        raise RequestError(f"{dataset} has no data/train-*.parquet; give a folder that 'git10m build' made")
    pixels, levels, sources, shares, captions = [], [], [], [], []
    for file in files:
        with pq.ParquetFile(file) as opened:
            rows = opened.read(columns=["image", "level", "source_id", "caption_facts", "caption"]).to_pylist()
        for row in rows:
            tile = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
            ratio = tile.width // size
            if tile.width != tile.height or ratio * size != tile.width or ratio & (ratio - 1):
                raise RequestError(f"{dataset} has a tile of {tile.width}×{tile.height} px; give tiles of {size}·2ⁿ px")
            pixels.append(np.asarray(tile.reduce(ratio)))
            levels.append(max(0, row["level"] - int(math.log2(ratio))))
            sources.append(row["source_id"])
            captions.append(row["caption"] or "")
            known = (row["caption_facts"] or {}).get("land_cover") or ()
            shares.append({entry["name"]: float(entry["share"]) for entry in known})
    return Patches(np.stack(pixels), tuple(levels), tuple(sources), tuple(shares), tuple(captions))


@torch.no_grad()
def fidelity(vae: Any, pixels: Pixels) -> Floats:
    """Return the PSNR in decibels of each image (N,) after encoding to the posterior's mean and decoding."""
    images = _tensor(pixels)
    parts = [images[start : start + 16] for start in range(0, len(images), 16)]
    rebuilt = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in parts])
    error = ((rebuilt.clamp(-1, 1) - images) / 2).square().flatten(1).mean(dim=1)
    return np.asarray(-10.0 * error.clamp_min(1e-12).log10(), dtype=np.float64)


def high_pass_energy(pixels: Pixels) -> Floats:
    """Return the mean square of what a 3×3 mean leaves of each image (N,), pixels in −1…1."""
    return np.asarray(_detail(_tensor(pixels), 3).square().flatten(1).mean(dim=1), dtype=np.float64)


def word_accuracy(real: Sequence[Pixels], painted: Sequence[Pixels]) -> float:
    """Return the share of painted images that a classifier fitted on real ones calls by the word they were asked by.

    The classifier is linear, in means, spreads and grain of the colours; both words weigh the same, whatever the
    number of their patches.

    Args:
        real: Real images of one word, and of another.
        painted: Images that were painted by the first, and by the second.
    """
    features = [_features(pixels) for pixels in real]
    weights = np.concatenate([np.full(len(part), 1.0 / len(part)) for part in features])
    signs = np.concatenate([np.full(len(part), sign) for part, sign in zip(features, (1.0, -1.0), strict=True)])
    predict = _linear(np.concatenate(features), signs, weights / weights.mean())
    right = [predict(_features(pixels)) * sign > 0 for pixels, sign in zip(painted, (1.0, -1.0), strict=True)]
    return float(np.concatenate(right).mean())


def level_correlation(
    real: Pixels, real_levels: Sequence[int], painted: Pixels, painted_levels: Sequence[int]
) -> float:
    """Return Spearman's ρ of the levels asked for and those that a regressor fitted on real images reads.

    Args:
        real: Real images (N, H, W, 3).
        real_levels: Their levels.
        painted: Painted images (M, H, W, 3).
        painted_levels: The levels that they were asked at.
    """
    counts = Counter(real_levels)
    weights = np.array([1.0 / counts[level] for level in real_levels])
    predict = _linear(_features(real), np.array(real_levels, dtype=np.float64), weights / weights.mean())
    return float(np.corrcoef(_ranks(predict(_features(painted))), _ranks(np.array(painted_levels, dtype=float)))[0, 1])


def nearest_distances(pixels: Pixels, among: Pixels, *, skip_itself: bool = False) -> Floats:
    """Return the distance of each image (N,) to the most alike of others, mirrored and turned in all eight ways.

    Args:
        pixels: Images (N, H, W, 3).
        among: Images (M, H, W, 3).
        skip_itself: ``among`` is ``pixels``; an image is not its own neighbour, however it is turned.

    Returns:
        Root mean square differences, 0–255.
    """
    own = pixels.reshape(len(pixels), -1).astype(np.float32)
    least = np.full(len(pixels), np.inf)
    for other in _turned(among):
        flat = other.reshape(len(other), -1).astype(np.float32)
        squares = (own**2).sum(1, dtype=np.float64)[:, None] + (flat**2).sum(1, dtype=np.float64) - 2.0 * own @ flat.T
        if skip_itself:
            np.fill_diagonal(squares, np.inf)
        least = np.minimum(least, squares.min(axis=1))
    return np.asarray(np.sqrt(np.maximum(least, 0.0) / own.shape[1]), dtype=np.float64)


def measure(pipeline: Any, *, trained: Patches, held_out: Patches, settings: Settings | None = None) -> Painting:
    """Paint and measure.

    Args:
        pipeline: ``Text2EarthPipeline``.
        trained: What the model was trained on.
        held_out: Scenes that it never saw.
        settings: How images are painted.

    Raises:
        RequestError: If fewer than two words are known.
    """
    ways = settings or Settings()
    words = trained.known_words()
    if len(words) < 2:
        raise RequestError(f"the data know the words {words}; pairs need two that ≥ 20 patches of ≥ 2 scenes hold")
    chosen = {word: _chosen(trained.mostly(word), settings=ways) for word in words}
    painted = {word: _painted_like(pipeline, rows, trained=trained, settings=ways) for word, rows in chosen.items()}
    real = {word: trained.pixels[trained.mostly(word)] for word in words}
    asked = np.concatenate([trained.pixels[rows] for rows in chosen.values()])
    levels = _spread_levels(trained.levels, ways.images)
    by_level = _painted(pipeline, [""] * len(levels), levels, settings=ways)
    everything = np.concatenate([*painted.values(), by_level])
    between = nearest_distances(trained.pixels, trained.pixels, skip_itself=True)
    energy = high_pass_energy(np.concatenate([*painted.values()])).mean() / high_pass_energy(asked).mean()
    return Painting(
        psnr_db=float(fidelity(pipeline.vae, held_out.pixels).mean()),
        high_pass_ratio=float(energy),
        word_pairs={
            (one, other): word_accuracy((real[one], real[other]), (painted[one], painted[other]))
            for one, other in itertools.combinations(words, 2)
        },
        level_correlation=level_correlation(trained.pixels, trained.levels, by_level, levels),
        nearest_painted=float(np.median(nearest_distances(everything, trained.pixels))),
        nearest_real=float(np.median(between)),
        nearest_alike=float(np.median(between[np.concatenate([*chosen.values()])])),
    )


def _chosen(among: npt.NDArray[np.bool_], *, settings: Settings) -> npt.NDArray[np.int64]:
    """Return rows that are painted anew, drawn with replacement from those marked."""
    rows = np.flatnonzero(among)
    return np.random.default_rng(settings.seed).choice(rows, size=settings.images)


def _painted_like(pipeline: Any, rows: npt.NDArray[np.int64], *, trained: Patches, settings: Settings) -> Pixels:
    """Paint from the captions and levels of real patches."""
    prompts = [trained.captions[row] for row in rows]
    return _painted(pipeline, prompts, [trained.levels[row] for row in rows], settings=settings)


def _painted(pipeline: Any, prompts: Sequence[str], levels: Sequence[int], *, settings: Settings) -> Pixels:
    images = [
        pipeline(
            prompts[start : start + 32],
            levels[start : start + 32],
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance_scale,
            generator=torch.Generator().manual_seed(settings.seed + start),
            output_type="np",
        ).images
        for start in range(0, len(prompts), 32)
    ]
    return np.rint(np.concatenate(images) * 255.0).astype(np.uint8)


def _spread_levels(levels: Sequence[int], count: int) -> list[int]:
    """Return ``count`` levels, each that occurs about as often as the others."""
    return list(itertools.islice(itertools.cycle(sorted(set(levels))), count))


def _features(pixels: Pixels) -> Floats:
    """Return means and spreads of brightness and two colour differences, and grain at four scales, (N, 12)."""
    images = _tensor(pixels)
    red, green, blue = images.unbind(1)
    colours = torch.stack([(red + green + blue) / 3, red - blue, green - (red + blue) / 2], dim=1)
    flat = colours.flatten(2)
    parts = [flat.mean(dim=2), (flat.std(dim=2) + 1e-3).log()]
    smooth = colours[:, :1]
    strengths = []
    for _ in range(4):
        strengths.append((_detail(smooth, 3).square().flatten(1).mean(dim=1) + 1e-6).log())
        smooth = functional.avg_pool2d(smooth, 2)
    grain = torch.stack(strengths, dim=1)
    return np.asarray(torch.cat([*parts, grain, grain[:, :2] - grain[:, 2:]], dim=1), dtype=np.float64)


def _linear(features: Floats, wanted: Floats, weights: Floats) -> Callable[[Floats], Floats]:
    """Fit a weighted ridge regression on standardised features and return it as a function."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9

    def standard(found: Floats) -> Floats:
        return np.column_stack([(found - mean) / spread, np.ones(len(found))])

    given = standard(features)
    square = given.T @ (given * weights[:, None]) + _RIDGE * np.eye(given.shape[1])
    solution = np.linalg.solve(square, given.T @ (wanted * weights))
    return lambda found: np.asarray(standard(found) @ solution, dtype=np.float64)


def _ranks(values: Floats) -> Floats:
    """Return ranks, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[inverse], dtype=np.float64)


def _detail(images: torch.Tensor, width: int) -> torch.Tensor:
    return images - functional.avg_pool2d(images, width, stride=1, padding=width // 2, count_include_pad=False)


def _turned(pixels: Pixels) -> Iterator[Pixels]:
    for quarters in range(4):
        turned = np.rot90(pixels, k=quarters, axes=(1, 2))
        yield turned
        yield turned[:, :, ::-1]


def _tensor(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
