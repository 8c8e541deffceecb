"""Keep or drop, with the first reason that holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from git10m.curation.quality import Measures
from git10m.curation.verdicts import KEEP, judge
from git10m.recipe import Verdicts

GOOD = Measures(valid_fraction=1.0, entropy=6.0, sharpness=20.0, contrast=40.0, brightness=120.0, saturation=0.3)
RULES = Verdicts(min_entropy=4, min_sharpness=3, min_contrast=10, min_brightness=20, max_brightness=235)


def test_a_good_tile_is_kept():
    assert judge(GOOD, min_valid=0.95, rules=RULES) == KEEP
    assert KEEP.keep


@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        ({"valid_fraction": 0.5}, "valid_fraction", "0.5, at least 0.95 is asked"),
        ({"entropy": 3.5}, "entropy", "3.5, at least 4 is asked"),
        ({"sharpness": 2.0}, "sharpness", "2, at least 3 is asked"),
        ({"contrast": 9.99}, "contrast", "9.99, at least 10 is asked"),
        ({"brightness": 10.0}, "too_dark", "10, at least 20 is asked"),
        ({"brightness": 240.0}, "too_bright", "240, at most 235 is asked"),
    ],
)
def test_every_rule_has_its_reason(fault: dict[str, float], reason: str, detail: str):
    verdict = judge(replace(GOOD, **fault), min_valid=0.95, rules=RULES)
    assert (verdict.keep, verdict.reason, verdict.detail) == (False, reason, detail)


def test_the_first_broken_rule_is_told():
    worst = Measures(valid_fraction=0.1, entropy=0, sharpness=0, contrast=0, brightness=0, saturation=0)
    assert judge(worst, min_valid=0.95, rules=RULES).reason == "valid_fraction"
    assert judge(worst, min_valid=0.0, rules=RULES).reason == "entropy"


def test_a_rule_that_is_not_given_drops_nothing():
    black = Measures(valid_fraction=1.0, entropy=0, sharpness=0, contrast=0, brightness=0, saturation=0)
    assert judge(black, min_valid=0.95, rules=Verdicts()) == KEEP


def test_thresholds_themselves_are_kept():
    edge = Measures(valid_fraction=0.95, entropy=4, sharpness=3, contrast=10, brightness=235, saturation=0)
    assert judge(edge, min_valid=0.95, rules=RULES) == KEEP
