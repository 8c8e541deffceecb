import numpy as np
import pytest
import torch
from diffusers.callbacks import SDCFGCutoffCallback
from hypothesis import given
from hypothesis import strategies as st

from text2earth.errors import RequestError
from text2earth.sampling import Guidance

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")


def paint(pipeline, **changes):
    draws = torch.Generator().manual_seed(1)
    request = {"num_inference_steps": 5, "output_type": "latent", "generator": draws, **changes}
    return pipeline("a view of water", 14, **request).images


def branches(count):
    return torch.randn(count * 2, 4, 3, 3, generator=torch.Generator().manual_seed(0))


@given(st.floats(0, 1), st.floats(2, 12))
def test_rescale_draws_the_spread_back(amount, scale):
    """Closed form: the standard deviation of each sample is φ·σ_full + (1 − φ)·σ_guided."""
    predicted = branches(2)
    full = predicted[2:]
    guided = Guidance(scale).combined(predicted, branches=2)
    found = Guidance(scale, rescale=amount).combined(predicted, branches=2)
    wanted = amount * full.std(dim=(1, 2, 3)) + (1 - amount) * guided.std(dim=(1, 2, 3))
    torch.testing.assert_close(found.std(dim=(1, 2, 3)), wanted, rtol=1e-4, atol=1e-5)
    ratio = found / guided
    torch.testing.assert_close(ratio, ratio[:, :1, :1, :1].expand_as(ratio), rtol=1e-3, atol=1e-3)


def test_no_rescale_is_the_plain_form():
    predicted = branches(2)
    null, full = predicted.chunk(2)
    assert torch.equal(Guidance(4.0).combined(predicted, branches=2), null + 4.0 * (full - null))


def test_equal_scales_are_the_joint_form():
    predicted = branches(3)
    null, _, full = predicted.chunk(3)
    two = Guidance(4.0, 4.0).combined(predicted, branches=3)
    torch.testing.assert_close(two, Guidance(4.0).combined(torch.cat([null, full]), branches=2))


def test_the_interval_says_which_steps_are_guided(everything, monkeypatch):
    rows = []
    forward = type(everything.unet).forward

    def note(self, sample, timestep, *arguments, **rest):
        rows.append((int(timestep), len(sample)))
        return forward(self, sample, timestep, *arguments, **rest)

    monkeypatch.setattr(type(everything.unet), "forward", note)
    paint(everything, guidance_interval=(0.3, 0.7))
    assert rows == [(999, 1), (799, 1), (599, 2), (399, 2), (199, 1)]


def test_an_interval_that_guides_no_step_or_every_step(everything):
    assert torch.equal(paint(everything, guidance_interval=(0.0, 0.1)), paint(everything, guidance_scale=1.0))
    assert torch.equal(paint(everything, guidance_interval=(0.1, 1.0)), paint(everything))


def test_a_callback_of_diffusers_ends_the_guidance(everything):
    """After its step the predictions are unguided, as outside an interval."""
    cut = paint(everything, callback_on_step_end=SDCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=1))
    assert torch.equal(cut, paint(everything, guidance_interval=(0.7, 1.0)))


def test_a_callback_may_interrupt_and_sees_what_it_asks_for(everything):
    seen = []

    def stop(pipeline, step, timestep, tensors):
        seen.append({name: tuple(value.shape) for name, value in tensors.items()})
        pipeline._interrupt = step >= 1
        return tensors

    names = ["latents", "prompt_embeds"]
    found = paint(everything, callback_on_step_end=stop, callback_on_step_end_tensor_inputs=names)
    assert seen == [{"latents": (1, 4, 8, 8), "prompt_embeds": (1, 77, 32)}] * 5
    assert everything.interrupt and everything.num_timesteps == 5
    assert not torch.equal(found, paint(everything))
    with pytest.raises(RequestError, match="names weights; there are latents, prompt_embeds"):
        paint(everything, callback_on_step_end=stop, callback_on_step_end_tensor_inputs=["weights"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"guidance_rescale": 1.5}, r"guidance_rescale 1\.5 was given; it is 0–1"),
        ({"guidance_interval": (0.8, 0.2)}, r"guidance_interval \(0\.8, 0\.2\) was given"),
        ({"num_inference_steps": 0}, "num_inference_steps is 0; a whole number of at least 1"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt is 0; a whole number of at least 1"),
        ({"guidance_interval": 0.5}, r"guidance_interval 0\.5 was given; it is \(low, high\)"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan; it is a number, 4 is usual"),
        ({"resolution_guidance_scale": "2"}, "resolution_guidance_scale is '2'; it is a number"),
        ({"num_inference_steps": 1001}, "num_inference_steps is 1001; the model was trained at 1000 timesteps"),
        ({"height": 16.0}, r"height is 16\.0; a whole number"),
        ({"generator": 3}, r"generator is 3 for 1 images; give torch\.Generator"),
        ({"generator": [torch.Generator()] * 2}, "for 1 images; give .* a list with one for each image"),
        ({"output_type": "jpeg"}, "output_type 'jpeg' was given; choose from pil, np, pt, latent"),
        ({"latents": torch.zeros(1, 4, 7, 8)}, r"latents of shape \(1, 4, 7, 8\) were given; this request needs"),
    ],
)
def test_impossible_requests_are_refused(everything, change, message):
    with pytest.raises(RequestError, match=message):
        paint(everything, **change)


def test_half_precision_paints_nearly_the_same(everything):
    import copy

    from text2earth.sampling import Text2EarthPipeline

    parts = {name: copy.deepcopy(part) for name, part in everything.components.items()}
    low = Text2EarthPipeline(**parts).to(torch.bfloat16)
    low.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    one, other = (paint(each, latents=noise, output_type="np", month=3) for each in (low, everything))
    assert one.dtype == np.float32 and float(np.abs(one - other).mean()) < 0.05
