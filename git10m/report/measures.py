"""How the measured columns are called, in which units they are shown, and what is published beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from git10m.report.charts import Axis, Band, Mark, histogram, short
from git10m.report.tally import Spread

__all__ = ["GIT10M_QUALITY_CUT", "MEASURES", "Measure"]

GIT10M_QUALITY_CUT = 4.8
"""Score above which Git-10M's rows are used for the second stage of training (arXiv 2501.00895)."""
_CAPTION_MARKS = (Mark(52.0, "Git-10M's mean 52"),)
_CAPTION_BANDS = (Band(12, 105, "Git-10M's range, 12–105 words"), Band(50, 53, "its peak, 50–53"))
"""Length of Git-10M's captions (arXiv 2501.00895)."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of numbers, as people read it.

    Attributes:
        title: Its name.
        unit: Behind a number, with the space before it.
        factor: What a value is multiplied by before it is shown.
        limits: Least and largest value that there can be, as shown.
        logarithmic: Bins of equal ratio.
        whole: Whole numbers.
        marks: Published values.
        bands: Published ranges.
        main: Drawn large, before the others.
    """

    title: str
    unit: str = ""
    factor: float = 1.0
    limits: tuple[float, float] = (-np.inf, np.inf)
    logarithmic: bool = False
    whole: bool = False
    marks: tuple[Mark, ...] = ()
    bands: tuple[Band, ...] = ()
    main: bool = False

    def text(self, value: float) -> str:
        """Write a value with its unit."""
        shown = value * self.factor
        return f"{shown:,.0f}{self.unit}" if self.whole or abs(shown) >= 1000 else f"{short(shown)}{self.unit}"

    def drawn(self, spread: Spread) -> Markup:
        """Draw the histogram of a column."""
        axis = Axis(
            self.unit,
            f"{self.title}{', logarithmic' if self.logarithmic else ''}",
            self.logarithmic,
            self.limits,
            self.whole,
        )
        values = spread.values() * np.float32(self.factor)
        return histogram(values, axis=axis, marks=self.marks, bands=self.bands, total=spread.count)


_SHARE = {"unit": " %", "factor": 100.0, "limits": (0.0, 100.0)}

MEASURES: dict[str, Measure] = {
    "img_quality_score": Measure(
        "Quality score, 0–10",
        limits=(0.0, 10.0),
        marks=(Mark(GIT10M_QUALITY_CUT, f"Git-10M's cut {GIT10M_QUALITY_CUT:g}"),),
        main=True,
    ),
    "caption_length": Measure(
        "Caption length",
        " words",
        whole=True,
        limits=(0.0, np.inf),
        marks=_CAPTION_MARKS,
        bands=_CAPTION_BANDS,
        main=True,
    ),
    "gsd_m": Measure("Ground resolution", " m/px", logarithmic=True, main=True),
    "native_gsd_m": Measure("Resolution of the source", " m/px", logarithmic=True),
    "valid_fraction": Measure("Pixels with data", **_SHARE),  # type: ignore[arg-type]
    "entropy": Measure("Entropy", " bit", limits=(0.0, 8.0)),
    "sharpness": Measure("Sharpness", limits=(0.0, np.inf)),
    "contrast": Measure("Contrast", limits=(0.0, 127.5)),
    "brightness": Measure("Brightness", limits=(0.0, 255.0)),
    "saturation": Measure("Saturation", **_SHARE),  # type: ignore[arg-type]
    "clipped": Measure("Pixels at black or white", **_SHARE),  # type: ignore[arg-type]
    "noise": Measure("Noise, σ in grey levels", limits=(0.0, 255.0)),
    "blockiness": Measure("JPEG blocks", limits=(0.0, np.inf)),
    "haze": Measure("Haze, 0–1", limits=(0.0, 1.0)),
    "white_fraction": Measure("White pixels", **_SHARE),  # type: ignore[arg-type]
    "water_fraction": Measure("Pixels that look like water", **_SHARE),  # type: ignore[arg-type]
    "scene_cloud": Measure("Cloud that the scene states", **_SHARE),  # type: ignore[arg-type]
    "aesthetic_score": Measure("Aesthetic score"),
    "similarity_clip": Measure("Similarity of image and caption, CLIP", limits=(-1.0, 1.0)),
    "similarity_siglip": Measure("Similarity of image and caption, SigLIP", limits=(-1.0, 1.0)),
}
"""By column, in the order in which they are shown."""
