"""Sampling: ``diffusers`` pipelines over the networks of this package."""

from text2earth.sampling.loading import load
from text2earth.sampling.text_to_image import Text2EarthPipeline

__all__ = ["Text2EarthPipeline", "load"]
