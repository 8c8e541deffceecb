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


def judge(measures: Measures, *, min_valid: float, rules: Verdicts) -> Verdict:
    """Judge a tile by its own measures; the first rule that is broken gives the reason.

    Args:
        measures: Of the tile.
        min_valid: Least share of valid pixels.
        rules: Thresholds; None is no rule.
    """
    lower = (
        ("valid_fraction", measures.valid_fraction, min_valid),
        ("entropy", measures.entropy, rules.min_entropy),
        ("sharpness", measures.sharpness, rules.min_sharpness),
        ("contrast", measures.contrast, rules.min_contrast),
        ("too_dark", measures.brightness, rules.min_brightness),
    )
    for reason, value, least in lower:
        if least is not None and value < least:
            return Verdict(keep=False, reason=reason, detail=f"{value:.4g}, at least {least:g} is asked")
    if rules.max_brightness is not None and measures.brightness > rules.max_brightness:
        return Verdict(
            keep=False,
            reason="too_bright",
            detail=f"{measures.brightness:.4g}, at most {rules.max_brightness:g} is asked",
        )
    return KEEP
