"""Hallucination rates count what was checked against facts, and say how sure they are."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from scipy.stats import binomtest

from git10m import records
from git10m.captions.rates import COLUMNS, Rate, hallucination_rates, wilson

NOTHING: dict[str, Any] = {field.name: None for field in records.FACTS}
FOREST = {"name": "Tree cover", "share": 0.9, "part": None}
WATER = {"name": "Water", "share": 0.1, "part": None}
RIVER = {"kind": "river", "count": None, "name": "Doubs", "part": None}
WRONG = ["hedge: likely", "contradiction: lake (not in the land cover)", "contradiction: road (not among the objects)"]


def table(*rows: tuple[int | None, str | None, dict[str, Any] | None, list[str] | None]) -> pa.Table:
    types = {"caption_length": pa.int32(), "caption_source": pa.string(), "caption_facts": records.FACTS}
    types |= {"caption_flags": pa.list_(pa.string())}
    columns = list(zip(*rows, strict=True)) or [[], [], [], []]
    return pa.table(
        {name: pa.array(list(values), type=types[name]) for name, values in zip(COLUMNS, columns, strict=True)}
    )


def named(rates: list[Rate]) -> dict[tuple[str, str], tuple[int, int]]:
    return {(rate.group, rate.name): (rate.contradicted, rate.verifiable) for rate in rates}


def test_rates_are_of_captions_that_could_be_checked():
    rates = hallucination_rates(
        [
            table(
                (40, "template", NOTHING | {"land_cover": [FOREST, WATER]}, []),
                (40, "openai", NOTHING | {"land_cover": [FOREST]}, WRONG),
                (40, "openai", NOTHING | {"land_cover": [WATER], "objects": [RIVER]}, ["hedge: likely"]),
                (40, "openai", NOTHING, ["hedge: likely"]),  # nothing is known of the ground
                (40, "openai", None, []),  # nor of anything
                (None, "openai", NOTHING | {"land_cover": [FOREST]}, WRONG),  # the caption was dropped
                (40, "openai", NOTHING | {"land_cover": [FOREST]}, None),  # not checked
            ),
            table((40, None, NOTHING | {"objects": []}, WRONG)),
        ]
    )
    assert named(rates) == {
        ("all", "all"): (2, 4),
        ("land_cover", "Tree cover"): (1, 2),
        ("land_cover", "Water"): (0, 1),
        ("object", "river"): (0, 1),
        ("caption_source", "openai"): (1, 2),
        ("caption_source", "template"): (0, 1),
    }
    assert [rate.group for rate in rates] == sorted(
        (rate.group for rate in rates), key=["all", "land_cover", "object", "caption_source"].index
    )
    assert rates[0].as_json() == {
        "group": "all",
        "name": "all",
        "verifiable": 4,
        "contradicted": 2,
        "rate": 0.5,
        "interval": [0.15, 0.85],
    }


@pytest.mark.parametrize("tables", [[], [table()], [table((40, "openai", None, None))]])
def test_a_dataset_without_facts_has_no_rate(tables: list[pa.Table]):
    (rate,) = hallucination_rates(tables)
    assert (rate.rate, rate.interval) == (None, (0.0, 1.0))


def test_pieces_do_not_matter():
    rng = random.Random(0)
    rows = [
        (
            rng.choice([None, 40]),
            rng.choice([None, "template", "openai"]),
            rng.choice(
                [None, NOTHING, NOTHING | {"land_cover": [WATER]}, NOTHING | {"land_cover": [], "objects": [RIVER]}]
            ),
            rng.choice([None, [], WRONG, ["length: 3 words"]]),
        )
        for _ in range(300)
    ]
    whole = table(*rows)
    assert hallucination_rates([whole]) == hallucination_rates(whole.to_batches(max_chunksize=7))
    assert hallucination_rates([whole]) == hallucination_rates([whole.slice(0, 123), whole.slice(123)])
    by_hand = [
        (facts, flags)
        for length, _, facts, flags in rows
        if length and flags is not None and facts and (facts["land_cover"] is not None or facts["objects"] is not None)
    ]
    first = hallucination_rates([whole])[0]
    assert (first.contradicted, first.verifiable) == (sum(flags is WRONG for _, flags in by_hand), len(by_hand))


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (0, 500), (1, 7), (13, 300), (299, 300), (5, 5)])
def test_the_interval_is_wilsons(successes: int, trials: int):
    expected = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)
