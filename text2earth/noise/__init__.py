"""Random numbers keyed by position: draws of training by sample counter, noise of the plane by place.

No generator is carried from one step, or one window, to the next: every number is a pure function of what it is for.
"""

from text2earth.noise.draws import Stream, generator, normals
from text2earth.noise.plane import Rectangle, plane, quantiles

__all__ = ["Rectangle", "Stream", "generator", "normals", "plane", "quantiles"]
