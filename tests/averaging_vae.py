"""The encoding half of an autoencoder that averages: for tests of files and processes, which start in a moment."""

from __future__ import annotations

from types import SimpleNamespace

import torch

__all__ = ["AveragingVae"]


class AveragingVae(torch.nn.Module):
    """Latents are mean colours of 2×2 pixels, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Conv2d(3, 4, 2, stride=2, bias=False)
        torch.nn.init.constant_(self.encoder.weight, 1 / 12)
        self.config = SimpleNamespace(scaling_factor=0.5, latent_channels=4, block_out_channels=(1, 1))
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def encode(self, pixels: torch.Tensor) -> SimpleNamespace:
        mean = self.encoder(pixels)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean, logvar=torch.zeros_like(mean)))
