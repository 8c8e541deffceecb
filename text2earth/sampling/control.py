"""Painting under a ControlNet: a picture says where things are, the prompt what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

from text2earth.errors import ModelError, RequestError
from text2earth.models import ConditionEmbedder, ControlledUNet, Encoded, Text2EarthTransformer2DModel, enlarged
from text2earth.sampling.guidance import Guidance
from text2earth.sampling.painter import Asked, Callback, Painter, Walk
from text2earth.sampling.pictures import pixels_of

__all__ = ["Text2EarthControlNetPipeline"]

_MUST_AGREE = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim", "class_embed_type")


class Text2EarthControlNetPipeline(Painter):
    """Paints images after prompts, levels and control pictures (arXiv 2302.05543).

    Its components and configuration are those of ``sampling.painter.Painter``, and ``controlnet``, a
    ``ControlNetModel``; ``sampling.load_controlnet`` makes it from a ``Text2EarthPipeline``.

    A call takes:
        prompt: One text or one for each image.
        control_image: A picture or one for each prompt, see ``sampling.pictures.pixels_of``. A picture of another
            size than the image is enlarged, as in training.
        level: Zoom level 0…22 of the image, for all prompts or one for each.
        controlnet_conditioning_scale: What the ControlNet's outputs are multiplied by; 0 is no control.
        control_guidance_start: Share of the steps at which control begins, 0…1.
        control_guidance_end: Share of the steps at which it ends.
        height: Pixels; those of the control picture, times the factor of a super-resolving ControlNet.
        width: Likewise.
        gsd_m: As the four that follow, for a model that takes it.
        lon: Degrees.
        lat: Degrees.
        month: 1…12.
        source: Name of a source.
        num_inference_steps: Denoising steps.
        guidance_scale: Scale of text and level, or of the text alone.
        resolution_guidance_scale: The level's own scale.
        guidance_rescale: φ, 0…1.
        guidance_interval: When guidance acts.
        negative_prompt: Takes the place of ``""`` in the null; one, or one for each prompt.
        num_images_per_prompt: Images of each prompt, next to each other in the result.
        eta: η of schedulers that have it.
        generator: Source of the noise.
        latents: Unit noise (N, 4, h, w) in place of a generator's.
        prompt_embeds: Text states in place of ``prompt``.
        output_type: ``"pil"``, ``"np"``, ``"pt"`` or ``"latent"``.
        return_dict: Whether to return ``ImagePipelineOutput`` or a tuple of its one field.
        callback_on_step_end: Called after each step.
        callback_on_step_end_tensor_inputs: Names of the tensors that it is given.
    """

    controlnet: Any

    model_cpu_offload_seq = "text_encoder->condition_embedder->unet->vae"
    _factor = 1

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: Any,
        tokenizer: Any,
        unet: UNet2DConditionModel,
        scheduler: Any,
        controlnet: ControlNetModel,
        condition_embedder: ConditionEmbedder | None = None,
        transformer: Text2EarthTransformer2DModel | None = None,
        trained_levels: list[int] | None = None,
        text_windows: int = 1,
    ) -> None:
        super().__init__(
            vae, text_encoder, tokenizer, unet, scheduler, condition_embedder, transformer, trained_levels, text_windows
        )
        _require_same_shape(unet, controlnet)
        self.register_modules(controlnet=controlnet)
        self._controlled: Any = None

    @property
    def denoiser(self) -> Any:
        """The U-Net, under control while an image is painted."""
        return self.unet if self._controlled is None else self._controlled

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        control_image: Any = None,
        level: int | Sequence[int] | None = None,
        *,
        controlnet_conditioning_scale: float = 1.0,
        control_guidance_start: float = 0.0,
        control_guidance_end: float = 1.0,
        height: int | None = None,
        width: int | None = None,
        gsd_m: float | Sequence[float] | None = None,
        lon: float | Sequence[float] | None = None,
        lat: float | Sequence[float] | None = None,
        month: int | Sequence[int] | None = None,
        source: str | Sequence[str] | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 4.0,
        resolution_guidance_scale: float | None = None,
        guidance_rescale: float = 0.0,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Paint images under the control of pictures.

        What it takes is told in the class.

        Returns:
            ``ImagePipelineOutput`` whose ``images`` are N = prompts × ``num_images_per_prompt``.

        Raises:
            ConditionError: If conditions do not match in number, one is impossible, or the model does not take it.
            RequestError: If picture, size, scale or interval is impossible.
        """
        self._refuse_output(output_type)
        guidance = Guidance(guidance_scale, resolution_guidance_scale, guidance_rescale, guidance_interval)
        further = {"gsd_m": gsd_m, "lon": lon, "lat": lat, "month": month, "source": source}
        asked = Asked(prompt, level, further, negative_prompt, prompt_embeds, num_images_per_prompt)
        if control_image is None:
            raise RequestError("no control_image was given; give one, or use Text2EarthPipeline to paint without")
        self._between = _interval(control_guidance_start, control_guidance_end)
        pictures = pixels_of(control_image)
        sides = [given or side * self._factor for given, side in zip((height, width), pictures.shape[-2:], strict=True)]
        size = self._size(*sides)
        conditions = self._conditions(asked, guidance)
        count = len(conditions.levels) // guidance.branches
        timesteps = self._timesteps(num_inference_steps, size=size)
        noise = self._noise(count, size, generator=generator, latents=latents)
        start = noise * getattr(self.scheduler, "init_noise_sigma", 1.0)
        walk = Walk(guidance, timesteps, generator, eta, callback_on_step_end, callback_on_step_end_tensor_inputs)
        controlled = ControlledUNet(self.unet, self.controlnet)
        controlled.scale = controlnet_conditioning_scale
        self._picture = self._for_each(enlarged(pictures, size=size), count, what="control images").to(noise)
        self._controlled = controlled
        try:
            found = self._denoised(start, conditions, walk)
        finally:
            self._controlled = None
        images = found if output_type == "latent" else self._decoded(found)
        return self._output(images, output_type=output_type, return_dict=return_dict)

    def _stepped(self, latents: torch.Tensor, timestep: torch.Tensor, conditions: Encoded, walk: Walk) -> torch.Tensor:
        """Return latents one step nearer to the image, under control while it is the time for it."""
        place = int((walk.timesteps == timestep).nonzero()[0, 0]) / len(walk.timesteps)
        start, end = self._between
        self._controlled.control = self._picture if start <= place < end else None
        found: torch.Tensor = super()._stepped(latents, timestep, conditions, walk)
        return found


def _interval(start: float, end: float) -> tuple[float, float]:
    if not 0.0 <= start < end <= 1.0:
        raise RequestError(
            f"control_guidance_start {start} and control_guidance_end {end} were given; they are shares of the steps, "
            "0 ≤ start < end ≤ 1"
        )
    return start, end


def _require_same_shape(unet: Any, controlnet: Any) -> None:
    differ = [
        f"{name} {_plain(controlnet.config[name])} and {_plain(unet.config[name])}"
        for name in _MUST_AGREE
        if _plain(controlnet.config[name]) != _plain(unet.config[name])
    ]
    if differ:
        raise ModelError(
            f"the ControlNet is of another model (its own and the U-Net's): {'; '.join(differ)}; "
            "give the model that it was trained on"
        )


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value
