"""Which tiles a build asks for: all that the imagery covers and the region wants, or a sample of them."""

from git10m.sampling.plan import Plan, plan_tiles

__all__ = ["Plan", "plan_tiles"]
