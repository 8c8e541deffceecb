import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from text2earth.noise import Stream, generator, normals


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=8), st.integers(0, 2**64 - 1))
def test_a_row_depends_on_its_own_counter_alone(counters, seed):
    together = normals(seed, counters, stream=Stream.DIFFUSION, shape=(2, 3))
    alone = [normals(seed, [counter], stream=Stream.DIFFUSION, shape=(2, 3))[0] for counter in counters]
    assert np.array_equal(together, np.stack(alone))


def test_streams_counters_and_seeds_are_independent():
    draws = {
        float(generator(seed, counter, stream=stream).random())
        for seed in (0, 1)
        for counter in (0, 1, 2**32)
        for stream in Stream
    }
    assert len(draws) == 2 * 3 * len(Stream)


def test_normals_are_standard():
    drawn = normals(3, range(200), stream=Stream.DIFFUSION, shape=(4, 16, 16))
    assert abs(float(drawn.mean())) < 0.01
    assert abs(float(drawn.std()) - 1.0) < 0.01
