"""Models from one layout into another: folders, and single files of Stable Diffusion's kind."""

from text2earth.converting.convert import Converted, Layout, convert
from text2earth.converting.ldm_names import ldm_name

__all__ = ["Converted", "Layout", "convert", "ldm_name"]
