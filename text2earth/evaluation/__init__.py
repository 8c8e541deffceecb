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

__all__ = [
    "Painting",
    "Patches",
    "Settings",
    "fidelity",
    "high_pass_energy",
    "level_correlation",
    "measure",
    "nearest_distances",
    "read_patches",
    "word_accuracy",
]
