"""Conditions beside text and level, long prompts, and the null that training and sampling share."""

import numpy as np
import pytest
import torch

from text2earth.conditioning import NULL, Condition, tokenize
from text2earth.errors import ConditionError, ModelError
from text2earth.models import CONDITIONS, encode
from text2earth.sampling import Text2EarthPipeline

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

SAID = {"gsd_m": 0.6, "lon": 11.5, "lat": 48.1, "month": 7, "source": "aerial"}


def paint(pipeline, prompt="a view of water", level=14, **changes):
    draws = torch.Generator().manual_seed(1)
    request = {"num_inference_steps": 3, "output_type": "np", "generator": draws, **changes}
    return pipeline(prompt, level, **request).images


@pytest.mark.parametrize(
    "changed", [{"gsd_m": 3.0}, {"lon": 40.0}, {"month": 1}, {"source": "satellite"}, {"lat": -5.0}]
)
def test_each_condition_changes_the_image(everything, changed):
    assert np.abs(paint(everything, **SAID) - paint(everything, **{**SAID, **changed})).max() > 1e-3


def test_a_batch_has_conditions_of_its_own(everything):
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    both = paint(
        everything,
        ["water", "forest"],
        torch.tensor([14, 0]),
        latents=noise,
        month=[1, 7],
        lon=[2.0, None],
        lat=[3.0, None],
    )
    alone = paint(everything, "forest", None, latents=noise[1:], month=7)
    np.testing.assert_allclose(both[1], alone[0], atol=1e-4)


def test_the_null_of_sampling_is_that_of_training(everything, monkeypatch):
    """Row by row, the U-Net is given for the null branch what it is given for a dropped condition in training."""
    given = []
    forward = type(everything.unet).forward

    def note(self, sample, timestep, states, **rest):
        given.append((states, rest["class_labels"], rest["timestep_cond"]))
        return forward(self, sample, timestep, states, **rest)

    monkeypatch.setattr(type(everything.unet), "forward", note)
    paint(everything, num_inference_steps=1, resolution_guidance_scale=2.0, **SAID)
    tokens = tokenize([NULL], tokenizer=everything.tokenizer)
    with torch.no_grad():
        null = encode(tokens, text_encoder=everything.text_encoder, condition_embedder=everything.condition_embedder)
    states, levels, vector = given[0]
    torch.testing.assert_close(states[0], null.states[0])
    torch.testing.assert_close(vector[0], null.vector[0])
    assert levels.tolist() == [NULL.level, 14, 14]
    # The middle branch of the two-scale form lacks the text alone.
    torch.testing.assert_close(states[1], null.states[0])
    torch.testing.assert_close(vector[1], vector[2])
    assert not torch.allclose(vector[1], vector[0])


def test_conditions_that_a_model_does_not_take_are_refused(inpainter, everything):
    plain = Text2EarthPipeline(**{**everything.components, "condition_embedder": None})
    plain.unet = everything.unet
    with pytest.raises(ConditionError, match=r"lon and lat were given; this model takes text, level; leave it out"):
        paint(plain, lon=1.0, lat=2.0)
    with pytest.raises(ConditionError, match="source 'radar' was given; the model knows aerial, satellite"):
        paint(everything, source="radar")
    with pytest.raises(ConditionError, match="month 13 was given"):
        paint(everything, month=13)
    with pytest.raises(ConditionError, match="the list of prompts is empty; give at least one"):
        paint(everything, [])
    with pytest.raises(ConditionError, match="2 prompts and 3 values of month were given"):
        paint(everything, ["a", "b"], month=[1, 2, 3])
    with pytest.raises(ModelError, match="takes 9 channels: it is an inpainting model; use Text2EarthInpaintPipeline"):
        Text2EarthPipeline(**inpainter.components)


def test_a_short_prompt_is_the_same_whatever_the_windows(everything):
    one = Text2EarthPipeline(**everything.components, text_windows=1)
    one.set_progress_bar_config(disable=True)
    assert np.array_equal(paint(one), paint(everything))
    # Beside a long prompt its second window is masked.
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    both = paint(everything, ["water", "a view of forest " * 30], latents=noise)
    np.testing.assert_allclose(both[:1], paint(one, "water", latents=noise[:1]), atol=1e-4)


def test_the_end_of_a_long_prompt_counts_with_windows_and_is_told_without(everything, caplog, monkeypatch):
    import logging

    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("text2earth"), "propagate", True)
    start = "a view of water. " * 20
    ends = (start + "forest", start + "fields")
    one = Text2EarthPipeline(**everything.components, text_windows=1)
    one.set_progress_bar_config(disable=True)
    assert np.abs(paint(everything, ends[0]) - paint(everything, ends[1])).max() > 1e-6
    assert not caplog.records
    assert np.array_equal(paint(one, ends[0]), paint(one, ends[1]))
    assert "1 of 2 prompts are longer than 75 tokens and lose their end" in caplog.text


def test_encoded_prompts_stand_for_their_texts(everything):
    for prompt in ("a view of water", "a view of forest. " * 30):
        states = everything.encode_prompt(prompt)
        np.testing.assert_allclose(paint(everything, None, prompt_embeds=states), paint(everything, prompt), atol=1e-5)
    for shape in ((1, 50, 32), (1, 77, 31), (77, 32), (1, 3 * 77, 32)):
        with pytest.raises(
            ConditionError, match=r"prompt_embeds are \(.*\); they are a tensor \(prompts, 77 to 154 by 77, 32"
        ):
            paint(everything, None, prompt_embeds=torch.zeros(shape))


def test_it_saves_and_loads_with_its_embedder(everything, tmp_path):
    import text2earth

    everything.save_pretrained(tmp_path)
    again = text2earth.load(tmp_path, device="cpu")
    again.set_progress_bar_config(disable=True)
    assert tuple(again.condition_embedder.config.conditions) == tuple(CONDITIONS)
    assert again.config.text_windows == 2
    assert np.array_equal(paint(again, **SAID), paint(everything, **SAID))


def test_a_negative_prompt_takes_the_place_of_the_empty_text(everything):
    assert np.array_equal(paint(everything, negative_prompt=NULL.prompt), paint(everything))
    assert np.abs(paint(everything, negative_prompt="fields") - paint(everything)).max() > 1e-4
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    both = paint(everything, ["water", "forest"], negative_prompt=["fields", "a view"], latents=noise)
    alone = paint(everything, "forest", negative_prompt="a view", latents=noise[1:])
    np.testing.assert_allclose(both[1], alone[0], atol=1e-4)
    # Unguided, there is nothing that it could enter.
    assert np.array_equal(
        paint(everything, negative_prompt="fields", guidance_scale=1.0), paint(everything, guidance_scale=1.0)
    )
    assert Condition(NULL.prompt) == NULL
