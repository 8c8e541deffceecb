"""Model folders of any origin: ours, the published Text2Earth's, Stable Diffusion's.

Weights are read from safetensors alone, into classes that this package names itself: what ``model_index.json`` says of
classes and code decides nothing but which scheduler of ``diffusers`` is meant.
"""

from text2earth.layout.networks import NETWORKS, check_weights, empty_network, expected_shapes
from text2earth.layout.reading import ModelParts, model_networks, read_model, read_scheduler, require_device
from text2earth.layout.stored import read_config, read_tensors, stored_weights, weight_files

__all__ = [
    "NETWORKS",
    "ModelParts",
    "check_weights",
    "empty_network",
    "expected_shapes",
    "model_networks",
    "read_config",
    "read_model",
    "read_scheduler",
    "read_tensors",
    "require_device",
    "stored_weights",
    "weight_files",
]
