"""Inpainting: part of an image is painted anew, and the rest comes back as it was, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from text2earth.errors import RequestError
from text2earth.models import inpainting_channels
from text2earth.sampling.guidance import Guidance
from text2earth.sampling.painter import Asked, Callback, Painter, Walk
from text2earth.sampling.pictures import mask_of, pixels_of

__all__ = ["Text2EarthInpaintPipeline"]


class Text2EarthInpaintPipeline(Painter):
    """Paints the masked part of images after prompts at asked resolutions (arXiv 2501.00895).

    Its components and configuration are those of ``sampling.painter.Painter``. With an inpainting model, whose
    U-Net takes ``[z, mask, z_masked]``, the rest of the image is seen at each step. A text-to-image model serves
    too: then the rest is put back at each step with the noise of that step (RePaint, arXiv 2201.09865, without its
    resampling), which fits the seam less well.

    A call takes:
        prompt: One text or one for each image.
        image: An image or one for each prompt: Pillow, array or tensor, see ``sampling.pictures.pixels_of``.
            Its sides are multiples of the latent factor, and the result has its size.
        mask_image: Mask or masks of the image's size; above 0.5 (white) is painted, the rest comes back exactly.
        level: Zoom level 0…22 for all prompts, or one for each.
        strength: 1 starts from noise; less keeps something of what is under the mask.
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
        output_type: ``"pil"``, ``"np"`` or ``"pt"``; latents could not give pixels back exactly.
        return_dict: Whether to return ``ImagePipelineOutput`` or a tuple of its one field.
        callback_on_step_end: Called after each step.
        callback_on_step_end_tensor_inputs: Names of the tensors that it is given.
    """

    _mask_channels = True

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        image: Any = None,
        mask_image: Any = None,
        level: int | Sequence[int] | None = None,
        *,
        strength: float = 1.0,
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
        """Paint the white of a mask; what is not said here is as in ``Text2EarthPipeline``.

        What it takes is told in the class.

        Returns:
            ``ImagePipelineOutput`` whose ``images`` are N = prompts × ``num_images_per_prompt``.

        Raises:
            ConditionError: If conditions do not match in number, one is impossible, or the model does not take it.
            RequestError: If image, mask, strength, scale or interval is impossible.
        """
        self._refuse_output(output_type, known=("pil", "np", "pt"))
        guidance = Guidance(guidance_scale, resolution_guidance_scale, guidance_rescale, guidance_interval)
        further = {"gsd_m": gsd_m, "lon": lon, "lat": lat, "month": month, "source": source}
        asked = Asked(prompt, level, further, negative_prompt, prompt_embeds, num_images_per_prompt)
        if image is None or mask_image is None:
            raise RequestError("an image and a mask_image are needed; the mask is white where to paint")
        pixels = pixels_of(image)
        size = self._size_of(pixels)
        mask = mask_of(mask_image, size=size)
        conditions = self._conditions(asked, guidance)
        count = len(conditions.levels) // guidance.branches
        pixels, mask = self._for_each(pixels, count, what="images"), self._for_each(mask, count, what="masks")
        timesteps = self._timesteps_from(num_inference_steps, size=size, strength=strength)
        noise = self._noise(count, size, generator=generator, latents=latents)
        clean = self._latents_of(pixels)
        start = noise * getattr(self.scheduler, "init_noise_sigma", 1.0)
        if strength < 1.0:
            start = self._noised(clean, noise, timesteps[0])
        on_step = (callback_on_step_end, callback_on_step_end_tensor_inputs)
        around = self._around(pixels, mask, clean=clean, noise=noise)
        painted = self._decoded(
            self._denoised(start, conditions, Walk(guidance, timesteps, generator, eta, *on_step, *around))
        )
        images = torch.where(mask.to(painted.device), painted, pixels.to(painted.device))
        return self._output(images, output_type=output_type, return_dict=return_dict)

    def _around(
        self, pixels: torch.Tensor, mask: torch.Tensor, *, clean: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor | None, Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor] | None]:
        """Return how the model knows the rest of the image: by channels beside the latents, or put back in them."""
        device = self._execution_device
        if int(self.denoiser.config.in_channels) > clean.shape[1]:
            given = (2.0 * pixels - 1.0).to(device, self.vae.dtype)
            return inpainting_channels(given, mask.to(given), vae=self.vae), None
        coarse = F.adaptive_max_pool2d(mask.to(clean), clean.shape[-2:]) > 0.5

        def put_back(latents: torch.Tensor, later: torch.Tensor | None) -> torch.Tensor:
            known = clean if later is None else self._noised(clean, noise, later)
            return torch.where(coarse, latents, known.to(latents))

        return None, put_back
