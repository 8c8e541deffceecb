import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st
from small_networks import linear_schedule

from text2earth.world.ddim import stepped, timesteps


@given(st.integers(1, 1000))
def test_timesteps_fall_from_the_last_one(count):
    found = timesteps(count, of=1000)
    assert len(found) == count
    assert found[0] == 999
    assert found[-1] >= 0
    assert (np.diff(found) < 0).all()


@pytest.mark.parametrize("steps", [1, 2, 8, 50])
def test_a_walk_is_that_of_diffusers(steps):
    """The scheduler of diffusers, told the same schedule and spacing, is the oracle where steps divide 1000."""
    schedule = linear_schedule()
    oracle = DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0155,
        prediction_type="sample",
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )
    oracle.set_timesteps(steps)
    assert oracle.timesteps.tolist() == timesteps(steps, of=1000)

    def predicted(noisy, timestep):
        return torch.tanh(noisy) * schedule[timestep].sqrt()

    ours = theirs = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    walk = timesteps(steps, of=1000)
    for now, then in zip(walk, [*walk[1:], None], strict=True):
        theirs = oracle.step(predicted(theirs, now), now, theirs).prev_sample
        ours = stepped(ours, predicted(ours, now), now=schedule[now], then=None if then is None else schedule[then])
    assert torch.allclose(ours, theirs, atol=2e-5)


def test_noise_becomes_the_law_that_the_denoiser_knows():
    """With the exact denoiser of N(0.3, 0.5²) a long walk turns standard noise into it."""
    schedule = linear_schedule().double()
    noisy = torch.randn(100_000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    walk = timesteps(200, of=1000)
    for now, then in zip(walk, [*walk[1:], None], strict=True):
        a = schedule[now]
        mean = 0.3 + a.sqrt() * 0.25 / (a * 0.25 + 1 - a) * (noisy - a.sqrt() * 0.3)
        noisy = stepped(noisy, mean, now=a, then=None if then is None else schedule[then])
    assert float(noisy.mean()) == pytest.approx(0.3, abs=1e-2)
    assert float(noisy.std()) == pytest.approx(0.5, rel=0.05)
