"""Training: one loop for the autoencoder and the denoiser, from a TOML configuration to a model folder."""

from text2earth.training.config import TrainConfig, load_config
from text2earth.training.loop import learning_rate
from text2earth.training.train import TrainResult, train

__all__ = ["TrainConfig", "TrainResult", "learning_rate", "load_config", "train"]
