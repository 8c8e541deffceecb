"""Keep or drop, with a reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from git10m.curation.quality import Measures
from git10m.recipe import Verdicts

__all__ = ["KEEP", "Limit", "Verdict", "aesthetic_limit", "judge", "limits", "verdict_of"]


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


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule, with what was measured against it.

    Attributes:
        reason: Its name where it drops a tile.
        value: What was measured; None: nothing, which breaks no rule.
        least: Least value that stays; None: any.
        most: Largest value that stays; None: any.
    """

    reason: str
    value: float | None
    least: float | None = None
    most: float | None = None

    @property
    def asked(self) -> bool:
        """Whether the recipe sets it."""
        return self.least is not None or self.most is not None

    @property
    def broken(self) -> bool:
        """Whether the value lies beyond it."""
        if self.value is None:
            return False
        return (self.least is not None and self.value < self.least) or (
            self.most is not None and self.value > self.most
        )


def limits(
    measures: Measures, *, min_valid: float, rules: Verdicts, scene_cloud: float | None = None
) -> tuple[Limit, ...]:
    """Return every rule beside what was measured, in the order in which they are judged; arguments as in `judge`."""
    return (
        Limit("valid_fraction", measures.valid_fraction, least=min_valid),
        Limit("scene_cloud", scene_cloud, most=rules.max_scene_cloud),
        Limit("entropy", measures.entropy, least=rules.min_entropy),
        Limit("sharpness", measures.sharpness, least=rules.min_sharpness),
        Limit("contrast", measures.contrast, least=rules.min_contrast),
        Limit("too_dark", measures.brightness, least=rules.min_brightness),
        Limit("too_bright", measures.brightness, most=rules.max_brightness),
        Limit("clipped", measures.clipped, most=rules.max_clipped),
        Limit("noise", measures.noise, most=rules.max_noise),
        Limit("blockiness", measures.blockiness, most=rules.max_blockiness),
        Limit("haze", measures.haze, most=rules.max_haze),
        Limit("white", measures.white_fraction, most=rules.max_white),
        Limit("water", measures.water_fraction, most=rules.max_water),
        Limit("quality", measures.score, least=rules.min_quality),
    )


def judge(measures: Measures, *, min_valid: float, rules: Verdicts, scene_cloud: float | None = None) -> Verdict:
    """Judge a tile by its own measures; the first rule that is broken gives the reason.

    Args:
        measures: Of the tile.
        min_valid: Least share of valid pixels.
        rules: Thresholds; None is no rule, and what was not measured breaks none.
        scene_cloud: Of the scene, where it states it.
    """
    return verdict_of(limits(measures, min_valid=min_valid, rules=rules, scene_cloud=scene_cloud))


def aesthetic_limit(score: float | None, rules: Verdicts) -> Limit:
    """Return the rule of the learned score, which is judged after the others: a model costs more than they."""
    return Limit("aesthetic", score, least=rules.min_aesthetic)


def verdict_of(limits: Iterable[Limit]) -> Verdict:
    """Judge by rules in their order."""
    for limit in limits:
        if limit.broken:
            low = limit.least is not None and limit.value is not None and limit.value < limit.least
            asked = f"at least {limit.least:g}" if low else f"at most {limit.most:g}"
            return Verdict(keep=False, reason=limit.reason, detail=f"{limit.value:.4g}, {asked} is asked")
    return KEEP
