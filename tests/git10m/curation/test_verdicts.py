"""Keep or drop: each rule gives its own reason, and the edge of a rule is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from git10m.curation.quality import Measures
from git10m.curation.verdicts import KEEP, judge
from git10m.recipe import Verdicts

GOOD = Measures(
    valid_fraction=1.0,
    entropy=6.0,
    sharpness=20.0,
    contrast=40.0,
    brightness=120.0,
    saturation=0.3,
    clipped=0.01,
    noise=2.0,
    blockiness=0.05,
    haze=0.1,
    white_fraction=0.0,
    water_fraction=0.2,
    score=6.5,
)
RULES = Verdicts(
    min_quality=4.8,
    min_entropy=4,
    min_sharpness=3,
    min_contrast=10,
    min_brightness=20,
    max_brightness=235,
    max_clipped=0.2,
    max_noise=15,
    max_blockiness=0.5,
    max_haze=0.5,
    max_white=0.6,
    max_water=0.95,
    max_scene_cloud=0.3,
)


EMPTY = replace(GOOD, entropy=0.0, sharpness=0.0, contrast=0.0, brightness=0.0, clipped=1.0, score=0.0)


def test_a_good_tile_is_kept_by_all_rules_and_any_tile_by_none() -> None:
    assert judge(GOOD, min_valid=0.95, rules=RULES, scene_cloud=0.1) is KEEP
    none = Verdicts(min_entropy=None, max_clipped=None)
    assert judge(EMPTY, min_valid=0.0, rules=none, scene_cloud=1.0) is KEEP
    assert judge(EMPTY, min_valid=0.0, rules=Verdicts(min_entropy=0, max_clipped=1)) is KEEP


def test_a_recipe_that_sets_no_rule_keeps_all_but_what_shows_nothing() -> None:
    calm_sea_at_night = replace(GOOD, entropy=1.5, clipped=0.85, contrast=1.0, brightness=2.0, score=0.5)
    assert judge(calm_sea_at_night, min_valid=0.95, rules=Verdicts()) is KEEP
    assert judge(EMPTY, min_valid=0.95, rules=Verdicts()).reason == "entropy"
    assert judge(replace(GOOD, clipped=0.95), min_valid=0.95, rules=Verdicts()).reason == "clipped"


@pytest.mark.parametrize(
    ("measured", "reason", "detail"),
    [
        ({"valid_fraction": 0.5}, "valid_fraction", "0.5, at least 0.95 is asked"),
        ({"entropy": 3.5}, "entropy", "3.5, at least 4 is asked"),
        ({"sharpness": 1.0}, "sharpness", "1, at least 3 is asked"),
        ({"contrast": 5.0}, "contrast", "5, at least 10 is asked"),
        ({"brightness": 10.0}, "too_dark", "10, at least 20 is asked"),
        ({"brightness": 240.0}, "too_bright", "240, at most 235 is asked"),
        ({"clipped": 0.5}, "clipped", "0.5, at most 0.2 is asked"),
        ({"noise": 20.0}, "noise", "20, at most 15 is asked"),
        ({"blockiness": 1.25}, "blockiness", "1.25, at most 0.5 is asked"),
        ({"haze": 0.75}, "haze", "0.75, at most 0.5 is asked"),
        ({"white_fraction": 0.9}, "white", "0.9, at most 0.6 is asked"),
        ({"water_fraction": 1.0}, "water", "1, at most 0.95 is asked"),
        ({"score": 4.75}, "quality", "4.75, at least 4.8 is asked"),
    ],
)
def test_each_rule_gives_its_reason_and_what_was_measured(measured: dict[str, Any], reason: str, detail: str) -> None:
    verdict = judge(replace(GOOD, **measured), min_valid=0.95, rules=RULES)
    assert (verdict.keep, verdict.reason, verdict.detail) == (False, reason, detail)


def test_the_cloud_of_a_scene_counts_where_it_is_stated() -> None:
    assert judge(GOOD, min_valid=0.95, rules=RULES, scene_cloud=0.5).reason == "scene_cloud"
    assert judge(GOOD, min_valid=0.95, rules=RULES, scene_cloud=None).keep


def test_a_picture_too_small_for_a_score_breaks_no_rule_about_it() -> None:
    assert judge(replace(GOOD, score=None), min_valid=0.95, rules=RULES).keep


def test_the_first_rule_that_is_broken_gives_the_reason() -> None:
    worst = replace(GOOD, valid_fraction=0.1, entropy=0.0, sharpness=0.0, score=0.0)
    assert judge(worst, min_valid=0.95, rules=RULES).reason == "valid_fraction"


def test_a_value_on_the_edge_is_kept() -> None:
    edge = replace(GOOD, valid_fraction=0.95, entropy=4.0, sharpness=3.0, brightness=235.0, haze=0.5, score=4.8)
    assert judge(edge, min_valid=0.95, rules=RULES, scene_cloud=0.3).keep
