"""The networks, built from components of ``diffusers`` and ``transformers``."""

from text2earth.models.condition_embedder import CONDITIONS, ConditionEmbedder
from text2earth.models.dit import Text2EarthTransformer2DModel
from text2earth.models.presets import PRESETS, Preset
from text2earth.models.unet import Inputs, Text2Earth, build, latent_factor, parameter_counts, train_tokenizer
from text2earth.models.vae_start import start_as_average
from text2earth.models.warm_start import WarmStartReport, warm_start

__all__ = [
    "CONDITIONS",
    "PRESETS",
    "ConditionEmbedder",
    "Inputs",
    "Preset",
    "Text2Earth",
    "Text2EarthTransformer2DModel",
    "WarmStartReport",
    "build",
    "latent_factor",
    "parameter_counts",
    "start_as_average",
    "train_tokenizer",
    "warm_start",
]
