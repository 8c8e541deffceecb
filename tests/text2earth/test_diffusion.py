import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from text2earth.diffusion import (
    SCHEDULE,
    Objective,
    add_noise,
    denoising_loss,
    joint_guidance,
    min_snr_weights,
    p2_weights,
    shifted,
    target,
    two_scale_guidance,
)
from text2earth.errors import ConfigError

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


def test_p2_has_its_closed_form_and_weighs_epsilon_and_velocity_alike(batch):
    clean, noise, timesteps = batch
    at = {"timesteps": timesteps, "alphas_cumprod": ALPHAS}
    snr = ALPHAS[timesteps] / (1 - ALPHAS[timesteps])
    torch.testing.assert_close(p2_weights(gamma=0.5, k=1.0, prediction="epsilon", **at), (1 + snr).rsqrt())
    costs = []
    wrong = noise + 0.1  # of ε; as an error of v it is 0.1/√ᾱ
    for prediction in ("epsilon", "v_prediction"):
        wanted = target(clean, noise, prediction=prediction, **at)
        error = 0.1 if prediction == "epsilon" else (0.1 / ALPHAS[timesteps].sqrt()).view(-1, 1, 1, 1)
        predicted = wrong if prediction == "epsilon" else wanted + error
        objective = Objective(prediction, p2_gamma=0.5)
        costs.append(objective.loss(predicted, clean, noise, **at))
    torch.testing.assert_close(costs[0], costs[1], rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(costs[0], 0.01 * (1 + snr).rsqrt(), rtol=1e-3, atol=1e-7)


def test_a_flow_goes_straight_from_image_to_noise_as_in_diffusers(batch):
    clean, noise, _ = batch
    flow, scheduler = Objective("flow"), FlowMatchEulerDiscreteScheduler()
    timesteps = scheduler.timesteps[torch.tensor([0, 100, 500, 998, 999])]
    noisy = flow.noisy(clean, noise, timesteps=timesteps, alphas_cumprod=ALPHAS)
    torch.testing.assert_close(noisy, scheduler.scale_noise(clean, timesteps, noise))
    torch.testing.assert_close(noisy[0], noise[0])
    # The target is the velocity: from any x_t, going back by t along it ends at the image.
    velocity = noise - clean
    torch.testing.assert_close(noisy - (timesteps / 1000).view(-1, 1, 1, 1) * velocity, clean)
    right = flow.loss(velocity, clean, noise, timesteps=timesteps, alphas_cumprod=ALPHAS)
    wrong = flow.loss(velocity + 0.1, clean, noise, timesteps=timesteps, alphas_cumprod=ALPHAS)
    torch.testing.assert_close(right, torch.zeros(5))
    torch.testing.assert_close(wrong, torch.full((5,), 0.01), rtol=1e-4, atol=1e-6)


def test_times_of_a_flow_are_logit_normal_and_shifted():
    """The median of a logit-normal is sigmoid(mean); a shift s moves it to s·t/(1 + (s−1)·t)."""
    draws = np.random.default_rng(0)
    for mean, shift in ((0.0, 1.0), (0.5, 1.0), (0.0, 3.0)):
        objective = Objective("flow", flow_mean=mean, flow_std=1.0, flow_shift=shift)
        times = np.array([objective.draw_timestep(draws) for _ in range(4000)]) / 1000
        assert times.min() > 0 and times.max() < 1
        middle = 1 / (1 + np.exp(-mean))
        assert np.median(times) == pytest.approx(shifted(middle, shift=shift), abs=0.02)
    assert shifted(0.5, shift=3.0) == pytest.approx(0.75)
    assert objective.timestep_tensor([250.5]).dtype == torch.float32
    assert Objective().timestep_tensor([250]).dtype == torch.int64


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_snr_gamma": 5.0, "p2_gamma": 1.0}, r"min_snr_gamma and p2_gamma were both given"),
        ({"prediction": "flow", "min_snr_gamma": 5.0}, r"min_snr_gamma was given with prediction 'flow'"),
    ],
)
def test_weights_that_do_not_go_together_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Objective(**given)
