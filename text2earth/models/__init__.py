"""The networks, built from components of ``diffusers`` and ``transformers``."""

from text2earth.models.dit import Text2EarthTransformer2DModel
from text2earth.models.presets import PRESETS, Preset
from text2earth.models.unet import Text2Earth, build, latent_factor, parameter_counts, train_tokenizer
from text2earth.models.vae_start import start_as_average

__all__ = [
    "PRESETS",
    "Preset",
    "Text2Earth",
    "Text2EarthTransformer2DModel",
    "build",
    "latent_factor",
    "parameter_counts",
    "start_as_average",
    "train_tokenizer",
]
