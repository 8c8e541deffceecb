"""Text2Earth as a ``diffusers`` pipeline: prompts and levels in, images out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from text2earth.sampling.guidance import Guidance
from text2earth.sampling.painter import Asked, Callback, Painter, Walk

__all__ = ["Text2EarthPipeline"]


class Text2EarthPipeline(Painter):
    """Paints satellite-like images from prompts at asked resolutions (arXiv 2501.00895).

    Its components and configuration are those of ``sampling.painter.Painter``.

    A call takes:
        prompt: One text or one for each image; the published prefix ``"16_GOOGLE_LEVEL_"`` is understood.
        level: Zoom level 0…22 for all prompts, or one for each; 0 or None leaves the resolution open.
        gsd_m: True metres a pixel, for a model that takes it; as all that follow, one or one for each prompt.
        lon: Longitude of the centre, degrees, together with ``lat``, for a model that takes places.
        lat: Latitude of the centre, degrees.
        month: 1…12, for a model that takes it.
        source: Name of a source, for a model that tells sources apart.
        height: Pixels, a multiple of the latent factor; the model's own size if left out.
        width: Pixels, likewise.
        num_inference_steps: Denoising steps.
        guidance_scale: s of ``ε(∅,∅) + s·[ε(text,level) − ε(∅,∅)]``; up to 1 is no guidance. Of the two-scale
            form, the text's.
        resolution_guidance_scale: The level's own scale; if given, the two-scale form
            ``ε(∅,∅) + s_r·[ε(∅,r) − ε(∅,∅)] + s_t·[ε(t,r) − ε(∅,r)]`` is used, at three predictions a step;
            r is all that is not text.
        guidance_rescale: φ, how far the guided prediction's spread is drawn back to the unguided one's, 0…1
            (arXiv 2305.08891).
        guidance_interval: Guidance acts while timestep / training timesteps lies between the two; outside, a
            step takes one prediction (arXiv 2404.07724).
        negative_prompt: What the images should not show, one or one for each prompt: takes the place of ``""`` in the
            null.
        num_images_per_prompt: Images of each prompt, next to each other in the result.
        eta: η of schedulers that have it (DDIM).
        generator: Source of the initial noise; one on the CPU gives the same noise on every device.
        latents: Initial unit noise (N, 4, h, w) in place of a generator's.
        prompt_embeds: Text states (B, 77, D) in place of ``prompt``, as ``encode_prompt`` returns them.
        output_type: ``"pil"``, ``"np"`` (N, H, W, 3) in 0…1, ``"pt"`` (N, 3, H, W) in 0…1, or ``"latent"``.
        return_dict: Whether to return ``ImagePipelineOutput`` or a tuple of its one field.
        callback_on_step_end: Called as ``(pipeline, step, timestep, tensors)`` after each step; may return
            tensors to take their place.
        callback_on_step_end_tensor_inputs: Names of the tensors that it is given: ``"latents"``, and
            ``"prompt_embeds"`` of the branch with a text.
    """

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        level: int | Sequence[int] | None = None,
        *,
        gsd_m: float | Sequence[float] | None = None,
        lon: float | Sequence[float] | None = None,
        lat: float | Sequence[float] | None = None,
        month: int | Sequence[int] | None = None,
        source: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
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
        """Paint images.

        What it takes is told in the class.

        Returns:
            ``ImagePipelineOutput`` whose ``images`` are N = prompts × ``num_images_per_prompt``.

        Raises:
            ConditionError: If conditions do not match in number, one is impossible, or the model does not take it.
            RequestError: If a size, scale, interval or name is impossible.
        """
        self._refuse_output(output_type)
        guidance = Guidance(guidance_scale, resolution_guidance_scale, guidance_rescale, guidance_interval)
        further = {"gsd_m": gsd_m, "lon": lon, "lat": lat, "month": month, "source": source}
        asked = Asked(prompt, level, further, negative_prompt, prompt_embeds, num_images_per_prompt)
        size = self._size(height, width)
        conditions = self._conditions(asked, guidance)
        timesteps = self._timesteps(num_inference_steps, size=size)
        count = len(conditions.levels) // guidance.branches
        noise = self._noise(count, size, generator=generator, latents=latents)
        latents = noise * getattr(self.scheduler, "init_noise_sigma", 1.0)
        on_step = (callback_on_step_end, callback_on_step_end_tensor_inputs)
        latents = self._denoised(latents, conditions, Walk(guidance, timesteps, generator, eta, *on_step))
        images = latents if output_type == "latent" else self._decoded(latents)
        return self._output(images, output_type=output_type, return_dict=return_dict)
