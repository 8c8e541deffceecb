"""Inpainting: which masks a model learns from, and the channels that tell it what is there.

The denoiser reads ``[z, mask, z_masked]`` (Rombach et al., arXiv 2112.10752, and Text2Earth, arXiv 2501.00895): the
noisy latents, 1 where to repaint, and the latents of the image with those pixels grey. A latent is to be repainted
if any of its pixels is.

The distribution of masks: a quarter of the images is repainted whole, which keeps the text-to-image model alive; a
quarter has one to three rectangles of 10…60 % a side; a quarter keeps a strip along one to three sides, each 12…37 %
wide, as in outpainting; a quarter has one to four brush strokes, 6…25 % wide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from text2earth.noise import Stream, generator

__all__ = ["draw_mask", "inpainting_channels"]

Mask = npt.NDArray[np.bool_]


def draw_mask(size: int, *, seed: int, counter: int) -> Mask:
    """Return a mask, bool (size, size), True where to repaint, keyed by (seed, counter)."""
    draws = generator(seed, counter, stream=Stream.MASK)
    kinds = (_everything, _rectangles, _beyond_strips, _strokes)
    return kinds[int(draws.integers(len(kinds)))](size, draws)


def inpainting_channels(pixels: torch.Tensor, mask: torch.Tensor, *, vae: Any) -> torch.Tensor:
    """Return mask and scaled latents of the masked image, (B, 1 + C, h, w).

    Args:
        pixels: −1…1, (B, 3, H, W).
        mask: 1 where to repaint, (B, 1, H, W).
        vae: ``AutoencoderKL``, on the pixels' device.
    """
    masked = vae.encode(pixels * (mask < 0.5)).latent_dist.mode() * vae.config.scaling_factor
    coarse = F.adaptive_max_pool2d(mask.to(masked), masked.shape[-2:])
    return torch.cat([coarse, masked], dim=1)


def _everything(size: int, draws: np.random.Generator) -> Mask:
    del draws
    return np.ones((size, size), dtype=bool)


def _rectangles(size: int, draws: np.random.Generator) -> Mask:
    mask = np.zeros((size, size), dtype=bool)
    for _ in range(draws.integers(1, 4)):
        height, width = (max(1, round(share * size)) for share in draws.uniform(0.1, 0.6, 2))
        top, left = draws.integers(size - height + 1), draws.integers(size - width + 1)
        mask[top : top + height, left : left + width] = True
    return mask


def _beyond_strips(size: int, draws: np.random.Generator) -> Mask:
    """Keep strips along one to three sides."""
    mask = np.ones((size, size), dtype=bool)
    for quarter in draws.permutation(4)[: draws.integers(1, 4)]:
        width = max(1, round(draws.uniform(0.12, 0.375) * size))
        np.rot90(mask, quarter)[:width] = False
    return mask


def _strokes(size: int, draws: np.random.Generator) -> Mask:
    """Paint broken lines with a round brush."""
    canvas = Image.new("1", (size, size))
    pen = ImageDraw.Draw(canvas)
    for _ in range(draws.integers(1, 5)):
        width = max(1, round(draws.uniform(0.06, 0.25) * size))
        points = [(float(x), float(y)) for x, y in draws.uniform(0, size, (draws.integers(2, 6), 2))]
        pen.line(points, fill=1, width=width, joint="curve")
        for x, y in points:
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=1)
    return np.asarray(canvas, dtype=bool)
