"""Build Git-10M-style datasets of satellite images and captions from your own imagery."""

__version__ = "0.1.0"
