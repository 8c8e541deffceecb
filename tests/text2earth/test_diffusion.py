import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from text2earth.diffusion import (
    SCHEDULE,
    add_noise,
    denoising_loss,
    joint_guidance,
    min_snr_weights,
    target,
    two_scale_guidance,
)

ALPHAS = SCHEDULE.alphas_cumprod()


@pytest.fixture(scope="module")
def oracle():
    return DDPMScheduler(1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


@pytest.fixture
def batch():
    draws = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 5, 4, 8, 8, generator=draws)
    return clean, noise, torch.tensor([0, 1, 400, 998, 999])


def test_schedule_is_that_of_diffusers(oracle):
    torch.testing.assert_close(ALPHAS, oracle.alphas_cumprod)


def test_noisy_latents_and_velocity_are_those_of_diffusers(oracle, batch):
    clean, noise, timesteps = batch
    at = {"timesteps": timesteps, "alphas_cumprod": ALPHAS}
    torch.testing.assert_close(add_noise(clean, noise, **at), oracle.add_noise(clean, noise, timesteps))
    velocity = target(clean, noise, prediction="v_prediction", **at)
    torch.testing.assert_close(velocity, oracle.get_velocity(clean, noise, timesteps))
    assert target(clean, noise, prediction="epsilon", **at) is noise


def test_epsilon_and_velocity_weights_agree_on_the_error_of_the_clean_image(batch):
    """The same x-prediction must cost the same whichever way it is expressed (the fault others shipped)."""
    clean, noise, timesteps = batch
    alphas = ALPHAS[timesteps].view(-1, 1, 1, 1)
    signal, spread = alphas.sqrt(), (1 - alphas).sqrt()
    noisy = add_noise(clean, noise, timesteps=timesteps, alphas_cumprod=ALPHAS)
    guess = clean + 0.1
    as_epsilon = (noisy - signal * guess) / spread
    as_velocity = signal * as_epsilon - spread * guess
    costs = []
    for prediction, predicted in (("epsilon", as_epsilon), ("v_prediction", as_velocity)):
        wanted = target(clean, noise, timesteps=timesteps, alphas_cumprod=ALPHAS, prediction=prediction)
        weights = min_snr_weights(timesteps, alphas_cumprod=ALPHAS, gamma=5.0, prediction=prediction)
        costs.append(denoising_loss(predicted, wanted, weights=weights))
    torch.testing.assert_close(costs[0], costs[1], rtol=1e-3, atol=1e-5)
    snr = ALPHAS[timesteps] / (1 - ALPHAS[timesteps])
    torch.testing.assert_close(costs[0], snr.clamp(max=5.0) * 0.01, rtol=1e-3, atol=1e-5)


@given(st.floats(0, 12), st.integers(0, 2**31))
def test_equal_scales_are_the_joint_guidance(scale, seed):
    null, level_only, full = torch.randn(3, 2, 4, 3, 3, generator=torch.Generator().manual_seed(seed))
    two = two_scale_guidance(null, level_only, full, text_scale=scale, level_scale=scale)
    torch.testing.assert_close(two, joint_guidance(null, full, scale=scale), rtol=1e-4, atol=1e-4)


def test_scale_one_is_no_guidance_and_zero_is_the_null():
    null, full = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(joint_guidance(null, full, scale=1.0), full)
    torch.testing.assert_close(joint_guidance(null, full, scale=0.0), null)
