"""ControlNet: a trainable copy of the U-Net's way down that reads a picture (Zhang et al., arXiv 2302.05543).

The network is ``diffusers.ControlNetModel``, with the level as ``class_labels`` as in the U-Net. Its outputs pass
through convolutions that start at zero, so that a fresh one changes nothing. A control picture has three channels in
0…1 and the size of the image; one band stands in all three.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import nn

from text2earth.errors import ModelError
from text2earth.models.unet import latent_factor

__all__ = ["ControlledUNet", "as_three_bands", "enlarged", "new_controlnet"]

_PICTURE_CHANNELS = (16, 32, 96, 256)
"""Of the convolutions that bring a picture to the size of the latents, halving it from each to the next."""


class ControlledUNet(nn.Module):
    """A U-Net under a ControlNet, called as the U-Net alone.

    ``control`` holds the pictures in 0…1, (B, 3, H, W), of the samples to come; where there are more samples, as in
    the branches of guidance, they repeat. While it is None the U-Net is alone.

    Args:
        unet: ``UNet2DConditionModel``.
        controlnet: ``ControlNetModel`` of the same shape.
    """

    def __init__(self, unet: Any, controlnet: Any) -> None:
        super().__init__()
        self.unet, self.controlnet = unet, controlnet
        self.control: torch.Tensor | None = None
        self.scale = 1.0

    @property
    def config(self) -> Any:
        """Of the U-Net."""
        return self.unet.config

    @property
    def dtype(self) -> Any:
        """Of the U-Net."""
        return self.unet.dtype

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        class_labels: torch.Tensor | None = None,
        **further: torch.Tensor,
    ) -> Any:
        """Return what the U-Net returns; further conditions and masks are told to the U-Net alone."""
        if self.control is None:
            return self.unet(sample, timestep, encoder_hidden_states, class_labels=class_labels, **further)
        down, middle = self.controlnet(
            sample,
            timestep,
            encoder_hidden_states,
            controlnet_cond=self.control.to(sample).repeat(len(sample) // len(self.control), 1, 1, 1),
            conditioning_scale=self.scale,
            class_labels=class_labels,
            return_dict=False,
        )
        return self.unet(
            sample,
            timestep,
            encoder_hidden_states,
            class_labels=class_labels,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            **further,
        )


def new_controlnet(unet: Any, *, vae: Any, seed: int = 0) -> Any:
    """Return a ``ControlNetModel`` that starts from a U-Net's weights and has no effect yet.

    Args:
        unet: ``UNet2DConditionModel`` of a text-to-image model.
        vae: Its autoencoder, whose factor says how far a picture is halved.
        seed: Of the fresh weights that read the picture.

    Raises:
        ModelError: If the denoiser is not such a U-Net.
    """
    kind: Any = UNet2DConditionModel
    if not isinstance(unet, kind):
        raise ModelError(
            f"the denoiser is a {type(unet).__name__}; a ControlNet copies the way down of a UNet2DConditionModel: "
            "give a model that has one"
        )
    if int(unet.config.in_channels) != int(vae.config.latent_channels):
        raise ModelError(
            f"the U-Net takes {unet.config.in_channels} channels: it is an inpainting model; a ControlNet is "
            f"trained on a text-to-image model, which takes {vae.config.latent_channels}"
        )
    halvings = latent_factor(vae).bit_length() - 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        controlnet: Any = ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=_PICTURE_CHANNELS[: halvings + 1], load_weights_from_unet=False
        )
    # Not diffusers' own copying, which fails on a U-Net with further conditions: those stay with the U-Net.
    own = controlnet.state_dict()
    copied = {name: weight for name, weight in unet.state_dict().items() if name in own}
    controlnet.load_state_dict(copied, strict=False)
    return controlnet


def as_three_bands(picture: torch.Tensor) -> torch.Tensor:
    """Return pictures (B, 1 or 3, H, W) with three channels, one band repeated."""
    return picture.expand(-1, 3, -1, -1) if picture.shape[1] == 1 else picture


def enlarged(picture: torch.Tensor, *, size: tuple[int, int]) -> torch.Tensor:
    """Return pictures (B, C, h, w) in 0…1 at another size (H, W), by bicubic interpolation."""
    if tuple(picture.shape[-2:]) == size:
        return picture
    grown: torch.Tensor = F.interpolate(picture.float(), size=size, mode="bicubic", align_corners=False)
    return grown.clamp(0.0, 1.0)
