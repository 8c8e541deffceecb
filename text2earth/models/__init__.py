"""The networks, built from components of ``diffusers`` and ``transformers``."""

from text2earth.models.adapters import ADAPTER_INDEX, Adapter, add_lora, lora_layers, require_lora_fits
from text2earth.models.cascade import Cascade, LowResolutionEncoder, build_cascade, predict_window
from text2earth.models.condition_embedder import CONDITIONS, ConditionEmbedder
from text2earth.models.conditioned import Encoded, encode, predict
from text2earth.models.control import ControlledUNet, as_three_bands, enlarged, new_controlnet
from text2earth.models.dit import Text2EarthTransformer2DModel
from text2earth.models.inpainting import draw_mask, inpainting_channels
from text2earth.models.presets import CASCADES, PRESETS, CascadePreset, Preset
from text2earth.models.unet import Inputs, Text2Earth, build, latent_factor, parameter_counts, train_tokenizer
from text2earth.models.vae_start import start_as_average
from text2earth.models.warm_start import WarmStartReport, warm_start

__all__ = [
    "ADAPTER_INDEX",
    "CASCADES",
    "CONDITIONS",
    "PRESETS",
    "Adapter",
    "Cascade",
    "CascadePreset",
    "ConditionEmbedder",
    "ControlledUNet",
    "Encoded",
    "Inputs",
    "LowResolutionEncoder",
    "Preset",
    "Text2Earth",
    "Text2EarthTransformer2DModel",
    "WarmStartReport",
    "add_lora",
    "as_three_bands",
    "build",
    "build_cascade",
    "draw_mask",
    "encode",
    "enlarged",
    "inpainting_channels",
    "latent_factor",
    "lora_layers",
    "new_controlnet",
    "parameter_counts",
    "predict",
    "predict_window",
    "require_lora_fits",
    "start_as_average",
    "train_tokenizer",
    "warm_start",
]
