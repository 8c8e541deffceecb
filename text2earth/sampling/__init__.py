"""Sampling: ``diffusers`` pipelines over the networks of this package."""

from text2earth.sampling.adapters import load_controlnet, load_lora
from text2earth.sampling.cascade import CascadeNetwork, MetaEarthPipeline
from text2earth.sampling.control import Text2EarthControlNetPipeline
from text2earth.sampling.guidance import Guidance
from text2earth.sampling.image_to_image import Text2EarthImg2ImgPipeline
from text2earth.sampling.inpainting import Text2EarthInpaintPipeline
from text2earth.sampling.loading import load
from text2earth.sampling.text_to_image import Text2EarthPipeline

__all__ = [
    "CascadeNetwork",
    "Guidance",
    "MetaEarthPipeline",
    "Text2EarthControlNetPipeline",
    "Text2EarthImg2ImgPipeline",
    "Text2EarthInpaintPipeline",
    "Text2EarthPipeline",
    "load",
    "load_controlnet",
    "load_lora",
]
