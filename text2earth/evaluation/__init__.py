"""Measures of what a model paints, beside what is real."""

from text2earth.evaluation.painting import (
    Painting,
    Patches,
    Settings,
    fidelity,
    high_pass_energy,
    level_correlation,
    measure,
    nearest_distances,
    read_patches,
    word_accuracy,
)
from text2earth.evaluation.seams import Measures, Repetition, Seam, measure_seams
from text2earth.evaluation.worlds import (
    Agreement,
    Determinism,
    TileWorld,
    agreement,
    determinism,
    drawn_tiles,
    family_agreement,
)

__all__ = [
    "Agreement",
    "Determinism",
    "Measures",
    "Painting",
    "Patches",
    "Repetition",
    "Seam",
    "Settings",
    "TileWorld",
    "agreement",
    "determinism",
    "drawn_tiles",
    "family_agreement",
    "fidelity",
    "high_pass_energy",
    "level_correlation",
    "measure",
    "measure_seams",
    "nearest_distances",
    "read_patches",
    "word_accuracy",
]
