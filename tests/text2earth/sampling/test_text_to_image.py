import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)

import text2earth
from text2earth.errors import ConditionError, ModelError, RequestError
from text2earth.sampling import Text2EarthPipeline


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


# What stock pipelines and schedulers of diffusers 0.42 do with NumPy 2; ours keeps it to itself.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def pipeline(model_folder):
    loaded = text2earth.load(model_folder, device="cpu")
    loaded.set_progress_bar_config(disable=True)
    return loaded


def paint(pipeline, prompt="a view of water", level=14, seed=1, **changes):
    request = {"num_inference_steps": 4, "output_type": "np", "generator": seeded(seed), **changes}
    return pipeline(prompt, level, **request).images


def test_same_seed_same_image_and_levels_differ(pipeline):
    first, again = paint(pipeline), paint(pipeline)
    assert np.array_equal(first, again)
    assert first.shape == (1, 16, 16, 3)
    assert np.abs(first - paint(pipeline, level=15)).max() > 1e-3
    assert np.abs(first - paint(pipeline, seed=2)).max() > 1e-3
    assert np.abs(first - paint(pipeline, "a view of fields")).max() > 1e-3


def test_prefix_is_the_level(pipeline):
    assert np.array_equal(paint(pipeline, "14_GOOGLE_LEVEL_a view of water", None), paint(pipeline))


def test_prompts_of_a_batch_have_levels_of_their_own(pipeline):
    noise = torch.randn(2, 4, 8, 8, generator=seeded())
    both = paint(pipeline, ["a view of water", "a view of town"], [14, 15], latents=noise)
    one = paint(pipeline, "a view of town", 15, latents=noise[1:])
    np.testing.assert_allclose(both[1], one[0], atol=1e-4)


def test_several_images_of_each_prompt_stand_side_by_side(pipeline):
    noise = torch.randn(4, 4, 8, 8, generator=seeded())
    four = paint(pipeline, ["water", "town"], 14, num_images_per_prompt=2, latents=noise)
    again = paint(pipeline, ["water", "water", "town", "town"], 14, latents=noise)
    assert np.array_equal(four, again)


def test_prompt_embeddings_alone_suffice(pipeline):
    ids = pipeline.tokenizer("a view of water", padding="max_length", max_length=77, return_tensors="pt").input_ids
    embedded = paint(pipeline, None, 14, prompt_embeds=pipeline.text_encoder(ids)[0].detach())
    np.testing.assert_allclose(embedded, paint(pipeline), atol=1e-6)


def test_two_scale_guidance_with_equal_scales_is_the_joint_one(pipeline):
    joint = paint(pipeline, guidance_scale=3.0)
    two = paint(pipeline, guidance_scale=3.0, resolution_guidance_scale=3.0)
    np.testing.assert_allclose(two, joint, atol=1e-4)
    assert np.abs(paint(pipeline, guidance_scale=3.0, resolution_guidance_scale=6.0) - joint).max() > 1e-3


def test_other_sizes_and_outputs(pipeline):
    assert paint(pipeline, height=24, width=32).shape == (1, 24, 32, 3)
    assert paint(pipeline, output_type="pt").shape == (1, 3, 16, 16)
    assert paint(pipeline, output_type="latent").shape == (1, 4, 8, 8)
    assert paint(pipeline, output_type="pil")[0].size == (16, 16)
    with pytest.raises(RequestError, match=r"a side of 25 px was asked for; it is a multiple of 2, such as 24"):
        paint(pipeline, height=25)


def test_callback_sees_and_may_change_each_step(pipeline):
    seen = []

    def note(_, step, timestep, tensors):
        seen.append((step, timestep))
        return {"latents": tensors["latents"] * 0}

    last = paint(pipeline, callback_on_step_end=note, output_type="latent")
    assert [step for step, _ in seen] == [0, 1, 2, 3] and seen[0][1] > seen[-1][1]
    assert float(last.abs().max()) == 0.0


@pytest.mark.parametrize(
    "scheduler", [DDIMScheduler, PNDMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler]
)
def test_schedulers_are_swappable(pipeline, scheduler):
    other = Text2EarthPipeline(**{**pipeline.components, "scheduler": scheduler.from_config(pipeline.scheduler.config)})
    other.set_progress_bar_config(disable=True)
    images = paint(other)
    assert np.isfinite(images).all() and np.array_equal(images, paint(other))


def test_a_scheduler_that_takes_anothers_place_does_not_clip_latents(everything):
    """DDIM and Euler are one solver (arXiv 2206.00364, appendix C), unless one of them cuts latents off at −1…1."""
    own = paint(everything, num_inference_steps=20)
    for kind in (DDIMScheduler, PNDMScheduler):
        other = Text2EarthPipeline(
            **{**everything.components, "scheduler": kind.from_config(everything.scheduler.config)}
        )
        other.set_progress_bar_config(disable=True)
        assert np.abs(paint(other, num_inference_steps=20) - own).mean() < 0.01


def test_a_scheduler_of_another_kind_of_model_is_refused(pipeline, monkeypatch):
    monkeypatch.setattr(pipeline, "scheduler", FlowMatchEulerDiscreteScheduler())
    with pytest.raises(RequestError, match="FlowMatchEulerDiscreteScheduler is for a flow, and this model was trained"):
        paint(pipeline)


class _LevelInjected(torch.nn.Module):
    """The U-Net as a stock pipeline calls it, with the class labels that it leaves out."""

    def __init__(self, unet, level):
        super().__init__()
        self.unet, self.level, self.config = unet, level, unet.config
        self.dtype, self.device = unet.dtype, unet.device

    def forward(self, sample, timestep, encoder_hidden_states, **rest):
        half = len(sample) // 2
        levels = torch.tensor([0] * half + [self.level] * half)
        rest.pop("class_labels", None)
        return self.unet(sample, timestep, encoder_hidden_states, class_labels=levels, **rest)


def test_a_stock_pipeline_on_the_same_components_paints_the_same(pipeline, model_folder):
    parts = dict(pipeline.components)
    parts["vae"] = AutoencoderKL.from_pretrained(model_folder / "vae")
    unet = UNet2DConditionModel.from_pretrained(model_folder / "unet")
    stock = StableDiffusionPipeline(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    stock.unet = _LevelInjected(unet, 14)
    stock.set_progress_bar_config(disable=True)
    theirs = stock(
        "a view of water", height=16, width=16, num_inference_steps=4, guidance_scale=4.0,
        generator=seeded(), output_type="np",
    ).images  # fmt: skip
    np.testing.assert_allclose(paint(pipeline), theirs, atol=1e-4)


@pytest.mark.parametrize("scheduler", [PNDMScheduler, DDIMScheduler])
def test_a_folder_in_the_published_layout_loads(pipeline, model_folder, tmp_path, scheduler):
    """Text2Earth's own ``model_index.json`` names a stock pipeline class and empty parts."""
    folder = tmp_path / "published"
    shutil.copytree(model_folder, folder)
    shutil.rmtree(folder / "scheduler")
    scheduler.from_config(pipeline.scheduler.config).save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    del index["trained_levels"]
    index |= {
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", scheduler.__name__],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    loaded = text2earth.load(folder, device="cpu")
    loaded.set_progress_bar_config(disable=True)
    assert isinstance(loaded.scheduler, scheduler)
    assert paint(loaded).shape == (1, 16, 16, 3)


def test_saved_and_loaded_it_paints_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "copy")
    copy = text2earth.load(tmp_path / "copy", device="cpu")
    copy.set_progress_bar_config(disable=True)
    assert copy.config.trained_levels == pipeline.config.trained_levels == [14, 15]
    assert np.array_equal(paint(copy), paint(pipeline))


def test_a_model_without_level_input_is_refused(pipeline):
    plain = UNet2DConditionModel.from_config({**pipeline.unet.config, "class_embed_type": None})
    with pytest.raises(ModelError, match=r"class_embed_type None; a Text2Earth model has 'timestep'"):
        Text2EarthPipeline(**{**pipeline.components, "unet": plain})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"prompt": ["a", "b"], "level": [1, 2, 3]}, "2 prompts and 3 values of level were given"),
        ({"prompt": None, "level": 3}, "give either prompt or prompt_embeds"),
        ({"prompt": "a", "level": 23}, "level 23 was given"),
        ({"prompt": "a", "level": "14"}, "level '14' was given; levels are 1–22"),
        ({"prompt": ["a", 5], "level": 14}, "prompt 5 was given; it is a text, or a list of texts"),
        ({"prompt": ["a", "b"], "negative_prompt": ["c"]}, "2 prompts and 1 values of negative_prompt were given"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(pipeline, request_, message):
    with pytest.raises(ConditionError, match=message):
        paint(pipeline, **request_)
