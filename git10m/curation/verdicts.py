"""Keep or drop, with a reason."""

from __future__ import annotations

from dataclasses import dataclass

from git10m.curation.quality import Measures
from git10m.recipe import Verdicts

__all__ = ["KEEP", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision about one tile.

    Attributes:
        keep: Whether the tile stays.
        reason: Name of the rule that dropped it; empty when kept.
        detail: What was measured against what.
    """

    keep: bool
    reason: str = ""
    detail: str = ""


KEEP = Verdict(keep=True)
"""The verdict on a tile that breaks no rule."""


def judge(measures: Measures, *, min_valid: float, rules: Verdicts, scene_cloud: float | None = None) -> Verdict:
    """Judge a tile by its own measures; the first rule that is broken gives the reason.

    Args:
        measures: Of the tile.
        min_valid: Least share of valid pixels.
        rules: Thresholds; None is no rule, and what was not measured breaks none.
        scene_cloud: Of the scene, where it states it.
    """
    asked: tuple[tuple[str, float | None, float | None, float | None], ...] = (
        ("valid_fraction", measures.valid_fraction, min_valid, None),
        ("scene_cloud", scene_cloud, None, rules.max_scene_cloud),
        ("entropy", measures.entropy, rules.min_entropy, None),
        ("sharpness", measures.sharpness, rules.min_sharpness, None),
        ("contrast", measures.contrast, rules.min_contrast, None),
        ("too_dark", measures.brightness, rules.min_brightness, None),
        ("too_bright", measures.brightness, None, rules.max_brightness),
        ("clipped", measures.clipped, None, rules.max_clipped),
        ("noise", measures.noise, None, rules.max_noise),
        ("blockiness", measures.blockiness, None, rules.max_blockiness),
        ("haze", measures.haze, None, rules.max_haze),
        ("white", measures.white_fraction, None, rules.max_white),
        ("water", measures.water_fraction, None, rules.max_water),
        ("quality", measures.score, rules.min_quality, None),
    )
    for reason, value, least, most in asked:
        if value is None:
            continue
        if least is not None and value < least:
            return Verdict(keep=False, reason=reason, detail=f"{value:.4g}, at least {least:g} is asked")
        if most is not None and value > most:
            return Verdict(keep=False, reason=reason, detail=f"{value:.4g}, at most {most:g} is asked")
    return KEEP
