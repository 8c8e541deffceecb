"""What a stock pipeline of diffusers needs to paint with Text2Earth's weights: the level, which it does not pass on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


class LevelInjected(torch.nn.Module):
    """A U-Net as a stock pipeline calls it, with the class labels that it leaves out: null first, then the level."""

    def __init__(self, unet: Any, level: int) -> None:
        super().__init__()
        self.unet, self.level, self.config = unet, level, unet.config
        self.dtype, self.device = unet.dtype, unet.device

    def forward(self, sample: Any, timestep: Any, encoder_hidden_states: Any, **rest: Any) -> Any:
        half = len(sample) // 2
        levels = torch.tensor([0] * half + [self.level] * half)
        rest.pop("class_labels", None)
        return self.unet(sample, timestep, encoder_hidden_states, class_labels=levels, **rest)


def paint_stock(pipeline: Any, prompt: str, *, level: int, size: int, seed: int = 1) -> np.ndarray:
    """Paint with a stock pipeline, guided as ours is by default; (1, H, W, 3) in 0…1."""
    if not isinstance(pipeline.unet, LevelInjected):
        pipeline.unet = LevelInjected(pipeline.unet, level)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(seed)
    given = {"height": size, "width": size, "num_inference_steps": 4, "guidance_scale": 4.0, "output_type": "np"}
    return pipeline(prompt, generator=generator, **given).images


def paint_ours(pipeline: Any, prompt: str, *, level: int, seed: int = 1) -> np.ndarray:
    """Paint the same with a pipeline of ours."""
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(seed)
    return pipeline(prompt, level, num_inference_steps=4, output_type="np", generator=generator).images
