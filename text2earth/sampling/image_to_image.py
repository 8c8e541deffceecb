"""Image to image: a picture is noised part of the way and denoised with a prompt and a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from text2earth.errors import RequestError
from text2earth.sampling.guidance import Guidance
from text2earth.sampling.painter import Asked, Callback, Painter, Walk
from text2earth.sampling.pictures import pixels_of

__all__ = ["Text2EarthImg2ImgPipeline"]


class Text2EarthImg2ImgPipeline(Painter):
    """Repaints images after prompts at asked resolutions (SDEdit, arXiv 2108.01073).

    Its components and configuration are those of ``sampling.painter.Painter``; ``from_pipe`` makes it from a
    ``Text2EarthPipeline`` without loading again.

    A call takes:
        prompt: One text or one for each image.
        image: An image or one for each prompt: Pillow, array or tensor, see ``sampling.pictures.pixels_of``.
            Its sides are multiples of the latent factor, and the result has its size.
        level: Zoom level 0…22 for all prompts, or one for each.
        strength: How far it is noised, above 0 and up to 1, which leaves almost nothing of it; of
            ``num_inference_steps`` this share is taken.
        gsd_m: As the four that follow, for a model that takes it.
        lon: Degrees.
        lat: Degrees.
        month: 1…12.
        source: Name of a source.
        num_inference_steps: Denoising steps of ``strength`` 1.
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

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        image: Any = None,
        level: int | Sequence[int] | None = None,
        *,
        strength: float = 0.8,
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
        """Repaint images; what is not said here is as in ``Text2EarthPipeline``.

        What it takes is told in the class.

        Returns:
            ``ImagePipelineOutput`` whose ``images`` are N = prompts × ``num_images_per_prompt``.

        Raises:
            ConditionError: If conditions do not match in number, one is impossible, or the model does not take it.
            RequestError: If image, strength, scale or interval is impossible.
        """
        self._refuse_output(output_type)
        guidance = Guidance(guidance_scale, resolution_guidance_scale, guidance_rescale, guidance_interval)
        further = {"gsd_m": gsd_m, "lon": lon, "lat": lat, "month": month, "source": source}
        asked = Asked(prompt, level, further, negative_prompt, prompt_embeds, num_images_per_prompt)
        if image is None:
            raise RequestError("no image was given; give one, or use Text2EarthPipeline to paint from a prompt alone")
        pixels = pixels_of(image)
        size = self._size_of(pixels)
        conditions = self._conditions(asked, guidance)
        count = len(conditions.levels) // guidance.branches
        clean = self._latents_of(self._for_each(pixels, count, what="images"))
        timesteps = self._timesteps_from(num_inference_steps, size=size, strength=strength)
        noise = self._noise(count, size, generator=generator, latents=latents)
        on_step = (callback_on_step_end, callback_on_step_end_tensor_inputs)
        walk = Walk(guidance, timesteps, generator, eta, *on_step)
        latents = self._denoised(self._noised(clean, noise, timesteps[0]), conditions, walk)
        images = latents if output_type == "latent" else self._decoded(latents)
        return self._output(images, output_type=output_type, return_dict=return_dict)
