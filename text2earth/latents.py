"""Pixels ⇄ latents: the posterior of the autoencoder, how it is drawn from, and what cached latents are keyed by.

A cache holds the parameters of the posterior as the autoencoder gives them, before its scaling factor: the mean, or
mean and log-variance. With both, training draws latents as it does from pixels; with the mean alone the draw's noise
is left out, which is small beside the latents' spread in the usual autoencoders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from text2earth.errors import LatentCacheError
from text2earth.noise import Stream, normals

if TYPE_CHECKING:
    import torch

__all__ = ["LatentSpec", "Moments", "draw_latents", "encoder_sha256", "moments_of"]

Moments = Literal["mean", "mean+log_variance"]


@dataclass(frozen=True, slots=True)
class LatentSpec:
    """What cached latents are: all that they depend on beside the images.

    Args:
        encoder: SHA-256 of the autoencoder's encoding half; see ``encoder_sha256``.
        scaling_factor: Of the autoencoder, as a reader must apply it.
        precision: Number format that the encoder ran in.
        dtype: Number format on the disk.
        moments: What of the posterior is kept.
        channels: Of a latent.
        side: Latents a side.
        image_size: Pixels a side.
        view: ``"crop"`` or ``"resize"``.
        flips: Whether views are mirrored at random.
        turns: Whether views are turned at random.
        views: Fixed views of each row.
        seed: Of the views.
        preprocessing: Version of the pixels' way from file to encoder.
    """

    encoder: str
    scaling_factor: float
    precision: str
    dtype: str
    moments: Moments
    channels: int
    side: int
    image_size: int
    view: str
    flips: bool
    turns: bool
    views: int
    seed: int
    preprocessing: int

    @property
    def key(self) -> str:
        """SHA-256 of everything above."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def planes(self) -> int:
        """Channels that are kept: of the mean, and of the log-variance where there is one."""
        return self.channels * (1 if self.moments == "mean" else 2)

    def require(self, wanted: Mapping[str, Any], *, folder: str) -> None:
        """Refuse latents of another autoencoder, view or version.

        Args:
            wanted: Values by name of those fields that matter.
            folder: Of the cache, for the message.

        Raises:
            LatentCacheError: If a value differs; names every one.
        """
        here = asdict(self)
        different = [
            f"{name} ({_short(here[name])} in the cache, {_short(value)} now)"
            for name, value in wanted.items()
            if here[name] != value
        ]
        if different:
            raise LatentCacheError(
                f"the latents in {folder} are of another making: {', '.join(different)}; "
                "run 'text2earth encode' with what is trained now into another folder"
            )


def _short(value: Any) -> Any:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) > 20 else value


def encoder_sha256(vae: Any) -> str:
    """Return the SHA-256 of the weights that encode, as float32; a decoder that learns on leaves it alone."""
    digest = hashlib.sha256()
    for name, weight in sorted(vae.state_dict().items()):
        if name.startswith(("encoder.", "quant_conv.")):
            digest.update(f"{name} {tuple(weight.shape)}\n".encode())
            digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def moments_of(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Return mean and log-variance of the posterior, float32 (B, 2C, h, w), of pixels in −1…1 (B, 3, H, W)."""
    import torch

    with torch.no_grad():
        posterior = vae.encode(pixels).latent_dist
    return torch.cat([posterior.mean, posterior.logvar], dim=1).float()


def draw_latents(stored: torch.Tensor, *, channels: int, seed: int, counters: Sequence[int]) -> torch.Tensor:
    """Return latents before scaling, float32 (B, C, h, w), drawn from cached posteriors.

    The noise is keyed by (seed, counter), the same that training on pixels draws.

    Args:
        stored: Mean (B, C, h, w), or mean and log-variance (B, 2C, h, w), of any number format.
        channels: C.
        seed: Of the run.
        counters: Sample counter of each.

    Raises:
        LatentCacheError: If the latents have neither C nor 2C channels.
    """
    import torch

    given = stored.shape[1]
    if given not in (channels, 2 * channels):
        raise LatentCacheError(f"cached latents have {given} channels; this autoencoder has {channels}, or twice that")
    mean = stored[:, :channels].float()
    if given == channels:
        return mean
    noise = normals(seed, counters, stream=Stream.POSTERIOR, shape=tuple(mean.shape[1:]))
    return mean + torch.exp(0.5 * stored[:, channels:].float()) * torch.from_numpy(noise).to(mean.device)
