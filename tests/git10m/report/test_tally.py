"""Counting what is too long to hold: exact where it can be, even and repeatable where it draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from git10m.report import tally, wording
from git10m.report.tally import OTHERS, Facets, Sampler, Spread
from git10m.report.wording import WordingTally


@given(st.lists(st.integers(0, 6), min_size=1, max_size=300), st.integers(1, 80), st.integers(1, 100))
def test_a_draw_is_even_over_strata(strata: list[int], at_most: int, batch: int) -> None:
    sampler = Sampler(at_most)
    for start in range(0, len(strata), batch):
        sampler.add(np.array(strata[start : start + batch], np.int64))
    chosen = sampler.chosen()
    shares, sizes = Counter(strata[row] for row in chosen), Counter(strata)

    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(at_most, len(strata))
    if at_most >= len(sizes):
        # No stratum gets two more than another that still had rows to give.
        short = [code for code in sizes if shares[code] < sizes[code]]
        assert all(shares[code] <= shares[other] + 1 for other in short for code in sizes)


def test_a_draw_depends_on_the_seed_and_not_on_the_batches() -> None:
    strata = np.arange(5_000) % 3

    def draw(seed: int, batch: int) -> list[int]:
        sampler = Sampler(60, seed=seed)
        for start in range(0, len(strata), batch):
            sampler.add(strata[start : start + batch])
        return sampler.chosen()

    assert draw(0, 100) == draw(0, 3_333) != draw(1, 100)
    rows = np.array([row for seed in range(40) for row in draw(seed, 1_000)])
    assert np.histogram(rows, bins=5, range=(0, 5_000))[0] == pytest.approx(480, rel=0.2)  # anywhere in the file


def test_facets_are_counted_alone_and_together() -> None:
    facets = Facets(("level", "split"))
    facets.add({"level": pa.array([14, 14, None]), "split": pa.array(["train", None, "test"])})
    facets.add({"level": pa.array([15, 14]), "split": pa.array(["train", "train"])})

    assert facets.counts["level"] == {14: 3, None: 1, 15: 1}
    assert facets.crossed() == {(14, "train"): 2, (14, None): 1, (None, "test"): 1, (15, "train"): 1}


def test_a_facet_of_very_many_values_is_counted_whole_but_crossed_only_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_VALUES", 3)
    facets = Facets(("source",))
    facets.add({"source": pa.array(["a", "b", "c", "d", "e", "a"])})
    assert len(facets.counts["source"]) == 5
    assert facets.crossed() == {("a",): 2, ("b",): 1, ("c",): 1, (OTHERS,): 2}


@given(st.lists(st.lists(st.floats(-100, 100, width=32), max_size=20), max_size=10), st.integers(1, 7))
def test_a_spread_knows_count_mean_and_extremes_of_all(batches: list[list[float]], stride: int) -> None:
    spread = Spread(stride)
    for batch in batches:
        spread.add(np.array([*batch, np.nan]))
    everything = np.array([value for batch in batches for value in batch])

    assert spread.count == len(everything)
    if len(everything):
        assert spread.mean == pytest.approx(everything.mean(), abs=1e-6)
        assert (spread.least, spread.largest) == (everything.min(), everything.max())
        assert spread.values() == pytest.approx(everything[::stride])


def test_captions_are_compared_and_read() -> None:
    figures = WordingTally(1)
    captions = pa.array(["A river bends.", "A river bends.", None, "A field by the étang.", "道路和河流"])
    figures.add(captions, by={"caption_source": pa.array(["template", "template", None, "given", "given"])})

    assert list(figures.of("caption_source")) == ["given", "template"]
    template, given_ = (figures.of("caption_source")[name].as_json() for name in ("template", "given"))
    assert template["distinct"] == 1 and template["repeated"] == 0.5 and template["vocabulary"] == 3
    assert template["openings"] == {"a river bends": 1.0}
    assert given_["distinct"] == 2 and given_["vocabulary"] == 6  # a, field, by, the, étang, 道路和河流


def test_very_many_different_captions_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "DISTINCT_EXACT", 4_096)
    figures = WordingTally(1_000)
    for start in range(0, 60_000, 5_000):
        texts = pa.array([f"Caption {number % 40_000}." for number in range(start, start + 5_000)])
        figures.add(texts, by={"source_id": pa.array(["one"] * 5_000)})
    found = figures.of("source_id")["one"].as_json()
    assert not found["distinct_exact"] and found["read"] == 60
    assert found["distinct"] == pytest.approx(40_000, rel=0.06)  # 1 / √4096 is 1.6 %
