"""Which tiles a build asks for: all that the imagery covers and the region wants, or a sample of them.

plan          the list of all tiles and images          rules        which of them are taken
major_tom     the Major TOM grid                        strata       classes of ground        cities       towns
"""

from git10m.sampling.major_tom import major_tom_cells
from git10m.sampling.plan import Plan, plan_tiles
from git10m.sampling.rules import sampled

__all__ = ["Plan", "major_tom_cells", "plan_tiles", "sampled"]
