import hashlib
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from text2earth.noise import plane, quantiles
from text2earth.world import Box

WORLD_PX = 256 << 22
MASK = 2**64 - 1

GOLDEN = [
    "3c9334b765d542db91e2e9113f8f1bb54e58ff041702f8268a1dd766aa55067f",
    "b1820f9dee927466205e50bd54656463e424116a70896850a3d3f81528e8ea8d",
]
GOLDEN_CORNER = [[330052, -731135, 1729802], [-563562, 1064789, 1413197]]
GOLDEN_TABLE = "e8cfff23047b7e58f6ae180f798c0bd13cfa7a46c5e6db798596865662071226"
"""Computed once, and by the reference below to the bit."""


def philox4x64(counter, key, *, rounds=10):
    """The published algorithm, one block at a time (Salmon et al. 2011, figure 2 and section 3.4)."""
    a, b, c, d = counter
    k, m = key
    for _ in range(rounds):
        first, second = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (second >> 64) ^ b ^ k, second & MASK, (first >> 64) ^ d ^ m, first & MASK
        k, m = (k + 0x9E3779B97F4A7C15) & MASK, (m + 0xBB67AE8584CAA73B) & MASK
    return a, b, c, d


def noise_at(x, y, channel, *, seed, stage, round, level):
    """One value of the plane, as its docstring says, of Python's integers alone."""
    n = (channel * 32 + y % 32) * 32 + x % 32
    counter = (1 + n // 16, (x // 32) & MASK, (y // 32) & MASK, stage * 2**32 + round * 2**16 + level)
    word = philox4x64(counter, (seed, 50))[n % 16 // 4]
    return quantiles()[word >> 16 * (n % 4) & 0xFFFF]


def draw(box, *, seed=0, stage=0, round=0, level=14, channels=3):
    return plane(box, seed=seed, stage=stage, round=round, level=level, channels=channels)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("0 0 0 0", "0 0", "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
        (
            "ffffffffffffffff " * 4,
            "ffffffffffffffff " * 2,
            "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0",
        ),
        (
            "243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89",
            "452821e638d01377 be5466cf34e90c6c",
            "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
        ),
    ],
)
def test_the_reference_gives_the_published_answers(counter, key, expected):
    """Known answers of Random123, the authors' library."""
    words = [[int(word, 16) for word in text.split()] for text in (counter, key, expected)]
    assert list(philox4x64(*words[:2])) == words[2]


@settings(max_examples=60)
@given(
    x=st.one_of(st.integers(-70, 70), st.integers(-2 * WORLD_PX, 2 * WORLD_PX)),
    y=st.one_of(st.integers(-70, 70), st.integers(-2 * WORLD_PX, 2 * WORLD_PX)),
    seed=st.integers(0, MASK),
    stage=st.integers(0, 65535),
    round=st.integers(0, 65535),
    level=st.integers(0, 22),
)
def test_every_value_is_that_of_the_reference(x, y, seed, stage, round, level):
    position = {"seed": seed, "stage": stage, "round": round, "level": level}
    found = draw(Box(x, y, 2, 1), **position)
    assert found[2, 0, 1] == noise_at(x + 1, y, 2, **position)


def test_the_golden_window():
    """Across the origin, across the antimeridian of level 22: these bytes never change, on any machine."""
    windows = [draw(Box(-20, -20, 40, 40), seed=7), draw(Box(WORLD_PX - 9, 5, 40, 8), seed=MASK, stage=3, level=22)]
    digests = [hashlib.sha256(window.astype("<f4").tobytes()).hexdigest() for window in windows]
    assert digests == GOLDEN
    assert (windows[0][0, :2, :3] * 2**20).astype(int).tolist() == GOLDEN_CORNER


def test_the_table_is_the_same_wherever_it_is_computed():
    """No entry lies so near to half a step that another machine's logarithm could round it otherwise."""
    table = quantiles().astype(float)
    assert hashlib.sha256(quantiles().astype("<f4").tobytes()).hexdigest() == GOLDEN_TABLE
    exact = np.array([NormalDist().inv_cdf((i + 0.5) / 65536) for i in range(65536)])
    steps = exact / exact.std() * 2**20
    assert np.abs(np.abs(steps - np.floor(steps)) - 0.5).min() > 1e-6
    assert np.array_equal(np.rint(steps), table * 2**20)


def test_the_table_is_standard_and_ends_where_it_says():
    table = quantiles().astype(float)
    assert (np.diff(table) > 0).all()
    assert np.array_equal(table, -table[::-1])
    assert table.var() == pytest.approx(1.0, abs=1e-7)
    assert table.max() == pytest.approx(4.325, abs=5e-4)
    assert stats.kurtosis(table) == pytest.approx(0.0, abs=2e-3)
    assert 2 * stats.norm.sf(table.max()) == pytest.approx(1 / 65_000, rel=0.01)


@given(
    x=st.integers(-100, 100),
    y=st.integers(-100, 100),
    width=st.integers(1, 80),
    height=st.integers(1, 80),
)
def test_a_window_is_the_cut_of_a_larger_one(x, y, width, height):
    whole = Box(-100, -100, 290, 290)
    box = Box(x, y, width, height)
    rows, columns = box.slices(whole)
    assert np.array_equal(draw(box), draw(whole)[:, rows, columns])


def test_more_channels_do_not_change_the_first():
    box = Box(5, -9, 40, 40)
    assert np.array_equal(draw(box, channels=5)[:3], draw(box))


def test_values_follow_the_table_and_the_normal_law():
    """Each of the 65,536 entries is equally likely; the law is normal but for its steps of 1 / 65,536."""
    values = draw(Box(-1000, 3, 1024, 1024)).ravel()
    assert abs(values.mean()) < 4 / np.sqrt(values.size)
    assert abs(values.var() - 1) < 4 * np.sqrt(2 / values.size)
    assert abs(stats.skew(values)) < 4 * np.sqrt(6 / values.size)
    assert abs(stats.kurtosis(values)) < 4 * np.sqrt(24 / values.size) + 2e-3
    ranks = np.searchsorted(quantiles(), values)
    assert stats.chisquare(np.bincount(ranks, minlength=65536)).pvalue > 1e-4
    sample = values[::7]
    assert stats.ks_1samp(sample, stats.norm.cdf).pvalue > 1e-4


def correlation(one, other):
    """In standard deviations of what chance gives."""
    return abs(float(np.corrcoef(one.ravel(), other.ravel())[0, 1])) * np.sqrt(one.size)


@pytest.mark.parametrize("x, y", [(1, 0), (0, 1), (1, 1), (4, 0), (16, 0), (32, 0), (0, 32), (64, 64), (128, 0)])
def test_neighbours_are_independent(x, y):
    window = draw(Box(0, 0, 512, 512))
    for power in (1, 2):
        near, far = window[:, : 512 - y, : 512 - x] ** power, window[:, y:, x:] ** power
        assert correlation(near, far) < 4.5


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"seed": 2**63}, {"stage": 1}, {"round": 1}, {"level": 13}],
    ids=["seed", "high bit of the seed", "stage", "round", "level"],
)
def test_planes_of_other_numbers_are_independent(other):
    box = Box(-256, 512, 512, 512)
    assert correlation(draw(box), draw(box, **other)) < 4.5


def test_channels_are_independent():
    one, two, three = draw(Box(0, 0, 512, 512))
    assert max(correlation(one, two), correlation(two, three), correlation(one, three)) < 4.5


def test_the_plane_does_not_repeat_at_powers_of_two():
    """A counter of too few bits would give the same noise again."""
    box = Box(3, 4, 64, 64)
    for power in (10, 16, 21, 24, 30, 32, 36):
        for moved in (box.moved(1 << power, 0), box.moved(0, 1 << power), box.moved(-(1 << power), 0)):
            assert correlation(draw(box), draw(moved)) < 4.5


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 2**64}, {"stage": 65536}, {"round": -1}, {"level": -1}])
def test_what_the_counter_cannot_hold_is_refused(wrong):
    with pytest.raises(ValueError, match="was given"):
        draw(Box(0, 0, 1, 1), **wrong)
