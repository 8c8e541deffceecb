"""Train Text2Earth on image-caption shards, and paint with it.

import text2earth

pipeline = text2earth.load("FOLDER")
image = pipeline("a river through forest", level=14).images[0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from text2earth.sampling import Text2EarthPipeline, load

__all__ = ["Text2EarthPipeline", "load"]


def __getattr__(name: str) -> Any:
    """Import the pipeline, and with it torch, when it is first asked for."""
    if name in __all__:
        from text2earth import sampling

        return getattr(sampling, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
