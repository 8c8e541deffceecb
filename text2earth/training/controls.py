"""Control pictures: another modality of the same square, or the image itself made worse.

What is made of the image is keyed by (seed, counter), as every draw of training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from git10m.curation.degradation_chain import degraded
from text2earth.data import Batch
from text2earth.models import as_three_bands, enlarged
from text2earth.noise import Stream, generator

__all__ = ["MADE", "control_pictures", "hazy", "low_resolution"]

MADE = ("downsample", "haze")
"""Controls that are made from the image; any other name is that of a modality."""

_WAVELENGTHS_NM = (660.0, 560.0, 480.0)
_ANGSTROM_EXPONENT = 1.0
"""Of the haze's optical depth over the wavelength: 0 for large droplets, about 2 for fine smoke."""
_DEPTH = (0.1, 1.5)
"""Optical depth at 560 nm, least and most of a picture's mean."""
_FIELD = 4
"""Knots a side of the field by which the depth varies over a picture."""


def control_pictures(batch: Batch, *, control: str, factor: int, seed: int) -> torch.Tensor:
    """Return the control pictures of a batch, in 0…1 (B, 3, H, W).

    Args:
        batch: With pixels, or with the modality among its images.
        control: ``"downsample"``, ``"haze"``, or the name of a modality.
        factor: Of ``"downsample"``.
        seed: Of the draws.
    """
    if control == "downsample":
        small = low_resolution(_bytes(batch.pixels), factor=factor, seed=seed, counters=batch.counters)
        height, width = batch.pixels.shape[-2:]
        return enlarged(small, size=(height, width))
    if control == "haze":
        clear = batch.pixels / 2.0 + 0.5
        return torch.stack(
            [hazy(one, seed=seed, counter=counter) for one, counter in zip(clear, batch.counters, strict=True)]
        )
    return as_three_bands(batch.images[control]) / 2.0 + 0.5


def low_resolution(pictures: Sequence[np.ndarray], *, factor: int, seed: int, counters: Sequence[int]) -> torch.Tensor:
    """Return pictures as a worse sensor would have taken them, in 0…1 (B, 3, H/factor, W/factor).

    Blur, resampling, noise and JPEG of ``git10m.curation.degradation_chain``, which trains the restorer too.
    """
    small = [
        degraded(picture, scale=factor, seed=seed, counter=counter)
        for picture, counter in zip(pictures, counters, strict=True)
    ]
    return torch.from_numpy(np.stack(small)).movedim(-1, 1).float() / 255.0


def hazy(clear: torch.Tensor, *, seed: int, counter: int) -> torch.Tensor:
    """Return a picture (3, H, W) in 0…1 seen through haze, in 0…1.

    Atmospheric scattering (Narasimhan & Nayar, IJCV 48, 2002, eq. 9), ``I = J·t + A·(1 − t)`` with the transmission
    ``t = exp(−τ·(λ/560 nm)^−α)``: optical depth τ of a mean of 0.1–1.5 that varies smoothly by up to about half over
    the picture, Ångström exponent α = 1, so that blue is scattered most, and airlight A of 0.8–1.
    """
    draws = generator(seed, counter, stream=Stream.HAZE)
    mean, airlight = float(draws.uniform(*_DEPTH)), float(draws.uniform(0.8, 1.0))
    knots = torch.from_numpy(draws.uniform(0.5, 1.5, (1, 1, _FIELD, _FIELD)).astype(np.float32))
    height, width = clear.shape[-2:]
    field = torch.nn.functional.interpolate(knots, size=(height, width), mode="bilinear", align_corners=True)[0]
    colours = torch.tensor([(nm / 560.0) ** -_ANGSTROM_EXPONENT for nm in _WAVELENGTHS_NM]).view(3, 1, 1)
    transmission = torch.exp(-mean * field * colours)
    return clear * transmission + airlight * (1.0 - transmission)


def _bytes(pixels: torch.Tensor) -> list[np.ndarray]:
    """Return pixels in −1…1 (B, 3, H, W) as uint8 arrays (H, W, 3)."""
    whole = ((pixels + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return list(whole.movedim(1, -1).contiguous().numpy())
