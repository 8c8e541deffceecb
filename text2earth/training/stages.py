"""What each stage of training optimises: the autoencoder's loss, then the denoiser's.

A stage turns a batch into tensors, all draws keyed by (seed, counter), and its module turns those into a loss for
each image. The module holds every trained parameter, so that it can be wrapped as one for several processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from text2earth.conditioning import (
    KEEP_ALL,
    Condition,
    DropRates,
    LongCaptions,
    Tokens,
    drop,
    sampled_sentences,
    tokenize,
)
from text2earth.data import Batch
from text2earth.diffusion import SCHEDULE, Objective
from text2earth.latents import draw_latents
from text2earth.models import Text2Earth, draw_mask, encode, inpainting_channels, latent_factor, predict
from text2earth.noise import Stream, generator, normals

__all__ = [
    "DenoiserLoss",
    "DenoiserStage",
    "Stage",
    "VaeLoss",
    "VaeStage",
    "keyed_noise",
    "moved",
    "posterior_latents",
    "texture_difference",
]

_LEAST_POWER = 1e-6
"""Added under the root of a texture's strength, whose slope at zero is endless."""


class Stage(Protocol):
    """One stage of training.

    ``module`` maps the tensors of ``inputs`` to a loss for each image, float (B,). ``truncated`` counts captions
    that lost their end so far.
    """

    name: str
    truncated: int

    @property
    def module(self) -> nn.Module:
        """The module that holds every trained parameter."""
        ...

    def inputs(self, batch: Batch, *, device: torch.device) -> Mapping[str, torch.Tensor]:
        """Return the keyword arguments of ``module`` for a batch."""
        ...


class VaeLoss(nn.Module):
    """Loss of the autoencoder: L1 of pixels and of their gradients, and a small KL term.

    Args:
        vae: ``AutoencoderKL``.
        kl_weight: Of the KL divergence from the unit normal, averaged over latent elements.
        gradient_weight: Of the gradients' L1.
        texture_weight: Of ``texture_difference``.
    """

    def __init__(self, vae: Any, *, kl_weight: float, gradient_weight: float, texture_weight: float = 0.0) -> None:
        super().__init__()
        self.vae = vae
        self.kl_weight = kl_weight
        self.gradient_weight = gradient_weight
        self.texture_weight = texture_weight

    def forward(self, pixels: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return the loss of each image (B,) for pixels in −1…1 (B, 3, H, W) and latent noise (B, C, h, w)."""
        posterior = self.vae.encode(pixels).latent_dist
        rebuilt = self.vae.decode(posterior.mean + posterior.std * noise).sample
        loss = _mean(rebuilt - pixels)
        across, down = (torch.diff(rebuilt - pixels, dim=axis) for axis in (3, 2))
        loss = loss + self.gradient_weight * (_mean(across) + _mean(down))
        if self.texture_weight:
            loss = loss + self.texture_weight * texture_difference(rebuilt, pixels)
        divergence: torch.Tensor = posterior.kl() / noise[0].numel()
        return loss + self.kl_weight * divergence


def texture_difference(rebuilt: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Return how far the local strength of detail is off, for each image (B,).

    Detail is what is left of a smoothed image, in two bands; its strength is the root mean square over 8×8 pixels.
    Unlike a pixel distance this does not punish a grain that is right in kind and elsewhere in place, and so does not
    teach a decoder to leave it out: the spectral loss of an autoencoder without a critic.

    Args:
        rebuilt: Images (B, C, H, W).
        pixels: The images that they are of.
    """
    total = torch.zeros(len(pixels), device=pixels.device)
    for width in (3, 7):
        strengths = []
        for image in (rebuilt, pixels):
            detail = image - functional.avg_pool2d(image, width, stride=1, padding=width // 2, count_include_pad=False)
            strengths.append((functional.avg_pool2d(detail.square(), 8, stride=4) + _LEAST_POWER).sqrt())
        total = total + _mean(strengths[0] - strengths[1])
    return total


@dataclass
class VaeStage:
    """The autoencoder, alone."""

    module: VaeLoss
    seed: int
    name: str = "vae"
    truncated: int = 0

    def inputs(self, batch: Batch, *, device: torch.device) -> Mapping[str, torch.Tensor]:
        """Return ``pixels`` and ``noise`` of a batch."""
        pixels = moved(batch.pixels, device).to(memory_format=torch.channels_last)
        return {
            "pixels": pixels,
            "noise": moved(_posterior_noise(self.module.vae, batch, seed=self.seed), device),
        }


class DenoiserLoss(nn.Module):
    """Loss of the denoiser: squared error of its prediction, text encoder included in the graph.

    Args:
        model: Networks; the VAE takes no part.
        objective: Times, target and weights.
        train_text_encoder: Whether the text encoder learns too.
    """

    alphas_cumprod: torch.Tensor

    def __init__(self, model: Text2Earth, *, objective: Objective, train_text_encoder: bool) -> None:
        super().__init__()
        # Under the name that it has in a model folder: states and snapshots are told apart by it.
        self.denoiser_name = model.denoiser_name
        self.add_module(self.denoiser_name, model.denoiser)
        self.text_encoder = model.text_encoder.requires_grad_(train_text_encoder)
        self.condition_embedder = model.condition_embedder
        self.objective = objective
        self.register_buffer("alphas_cumprod", SCHEDULE.alphas_cumprod(), persistent=False)

    @property
    def denoiser(self) -> nn.Module:
        """The network that denoises."""
        return self.get_submodule(self.denoiser_name)

    def forward(
        self,
        latents: torch.Tensor,
        noise: torch.Tensor,
        timesteps: torch.Tensor,
        ids: torch.Tensor,
        levels: torch.Tensor,
        extras: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss of each image (B,).

        Args:
            latents: Clean and scaled, (B, C, h, w); of an inpainting model (B, 2·C + 1, h, w), the mask and the
                masked image behind them, which enter as they are.
            noise: Unit normals (B, C, h, w).
            timesteps: int64 (B,), 0…999; of a flow float32 (B,), 0…1000.
            ids: Token ids, int64 (B, W·77).
            levels: int64 (B,), 0…22.
            extras: Further conditions, float32 (B, 5), for a model that takes any.
            mask: Windows that a caption reaches, bool (B, W·77), where there are several.
        """
        at = {"timesteps": timesteps, "alphas_cumprod": self.alphas_cumprod}
        channels = noise.shape[1]
        clean, beside = latents[:, :channels], latents[:, channels:]
        noisy = self.objective.noisy(clean, noise, **at)
        if beside.shape[1]:
            noisy = torch.cat([noisy, beside], dim=1)
        tokens = Tokens(ids, levels, 0, extras, mask)
        networks = {"text_encoder": self.text_encoder, "condition_embedder": self.condition_embedder}
        predicted = predict(self.denoiser, noisy, timesteps, encode(tokens, **networks))
        return self.objective.loss(predicted, clean, noise, **at)


@dataclass
class DenoiserStage:
    """U-Net or transformer, and text encoder, on latents of a frozen autoencoder."""

    module: DenoiserLoss
    model: Text2Earth
    rates: DropRates
    seed: int
    name: str = "denoiser"
    truncated: int = 0
    long_captions: LongCaptions = "cut"
    windows: int = 1

    def undropped(self, *, seed: int) -> DenoiserStage:
        """Return the same stage with other draws and every condition kept, to validate with."""
        return replace(self, rates=KEEP_ALL, seed=seed, truncated=0)

    def inputs(self, batch: Batch, *, device: torch.device) -> Mapping[str, torch.Tensor]:
        """Return latents, noise, timesteps, token ids, levels and what else the model takes of a batch."""
        objective = self.module.objective
        latents = posterior_latents(self.model.vae, batch, seed=self.seed, device=device)
        conditions = [self._shown(*each) for each in zip(batch.conditions, batch.counters, strict=True)]
        embedder, sources = self.model.condition_embedder, self._sources
        tokens = tokenize(conditions, tokenizer=self.model.tokenizer, windows=self.windows, sources=sources)
        self.truncated += tokens.truncated
        noise = keyed_noise(batch.counters, seed=self.seed, shape=tuple(latents.shape[1:]), objective=objective)
        timesteps = [
            objective.draw_timestep(generator(self.seed, counter, stream=Stream.TIMESTEP)) for counter in batch.counters
        ]
        if self.model.is_inpainting:
            latents = torch.cat([latents, self._beside(batch, device)], dim=1)
        further = {"extras": None if embedder is None else tokens.extras, "mask": tokens.mask}
        return {
            **{name: moved(value, device) for name, value in further.items() if value is not None},
            "latents": latents,
            "noise": moved(noise, device),
            "timesteps": moved(objective.timestep_tensor(timesteps), device),
            "ids": moved(tokens.ids, device),
            "levels": moved(tokens.levels, device),
        }

    @property
    def _sources(self) -> tuple[str, ...]:
        embedder = self.model.condition_embedder
        return () if embedder is None else tuple(embedder.config.sources)

    def _shown(self, condition: Condition, counter: int) -> Condition:
        """Return what is shown of a condition: some sentences of a long caption, then what dropout leaves.

        A source that the model does not know is left open.
        """
        if condition.source not in self._sources:
            condition = replace(condition, source=None)
        if self.long_captions == "sentences":
            tokenizer = self.model.tokenizer
            prompt = sampled_sentences(condition.prompt, tokenizer=tokenizer, seed=self.seed, counter=counter)
            condition = replace(condition, prompt=prompt)
        return drop(condition, rates=self.rates, seed=self.seed, counter=counter)

    @torch.no_grad()
    def _beside(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return masks and latents of the masked images (B, 1 + C, h, w), keyed by (seed, counter)."""
        size = batch.pixels.shape[-1]
        masks = [torch.from_numpy(draw_mask(size, seed=self.seed, counter=counter)) for counter in batch.counters]
        mask = moved(torch.stack(masks)[:, None].float(), device)
        return inpainting_channels(moved(batch.pixels, device), mask, vae=self.model.vae)


def keyed_noise(counters: Sequence[int], *, seed: int, shape: tuple[int, ...], objective: Objective) -> torch.Tensor:
    """Return the noise of the diffusion, float32 (B, C, h, w), offset included, keyed by (seed, counter)."""
    noise = normals(seed, counters, stream=Stream.DIFFUSION, shape=shape)
    if objective.noise_offset:
        shape = (shape[0], *(1 for _ in shape[1:]))
        noise += objective.noise_offset * normals(seed, counters, stream=Stream.NOISE_OFFSET, shape=shape)
    return torch.from_numpy(noise)


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor of the CPU on a device, without waiting for work that is under way there."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@torch.no_grad()
def posterior_latents(vae: Any, batch: Batch, *, seed: int, device: torch.device) -> torch.Tensor:
    """Return scaled latents (B, C, h, w), drawn from the VAE's posterior with noise keyed by (seed, counter).

    The posterior is the batch's cached one, if it has one.
    """
    if batch.latents is not None:
        channels = int(vae.config.latent_channels)
        cached = draw_latents(moved(batch.latents, device), channels=channels, seed=seed, counters=batch.counters)
        return cached * float(vae.config.scaling_factor)
    pixels = moved(batch.pixels, device).to(memory_format=torch.channels_last)
    posterior = vae.encode(pixels).latent_dist
    drawn: torch.Tensor = posterior.mean + posterior.std * moved(_posterior_noise(vae, batch, seed=seed), device)
    return drawn * float(vae.config.scaling_factor)


def _posterior_noise(vae: Any, batch: Batch, *, seed: int) -> torch.Tensor:
    side = batch.pixels.shape[-1] // latent_factor(vae)
    shape = (int(vae.config.latent_channels), side, side)
    return torch.from_numpy(normals(seed, batch.counters, stream=Stream.POSTERIOR, shape=shape))


def _mean(difference: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute value of each image (B,)."""
    return difference.abs().flatten(1).mean(dim=1)
