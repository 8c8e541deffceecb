import pytest
import torch
from diffusers import UNet2DConditionModel
from small_models import nano_preset

from text2earth.conditioning import Condition, extras_of
from text2earth.errors import ModelError
from text2earth.models import ConditionEmbedder, Inputs, build, train_tokenizer, warm_start

EVERY = ("gsd", "place", "month", "source")
SOURCES = ("aerial",)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["water"], vocab_size=600)


@pytest.fixture(scope="module")
def given():
    draws = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 8, 8, generator=draws), torch.randn(2, 77, 32, generator=draws)


def predicted(unet, given, **rest):
    noisy, states = given
    with torch.no_grad():
        return unet(noisy, torch.tensor([20, 900]), states, **rest).sample


def test_a_unet_that_knows_no_level_becomes_one_that_does(tokenizer, given):
    """As Text2Earth starts from stable-diffusion-2-base."""
    config = {**nano_preset().unet, "class_embed_type": None, "sample_size": 8}
    torch.manual_seed(1)
    parent = UNet2DConditionModel(**config)
    child = build(nano_preset(), tokenizer=tokenizer, seed=2).unet
    report = warm_start(child, parent.state_dict())
    assert set(report.new) == {
        f"class_embedding.{layer}.{part}" for layer in ("linear_1", "linear_2") for part in ("weight", "bias")
    }
    assert len(report.loaded) == len(parent.state_dict()) and not report.grown and not report.ignored
    for level in (0, 14):
        assert torch.equal(predicted(child, given, class_labels=torch.tensor([level] * 2)), predicted(parent, given))


def test_an_inpainting_model_with_every_condition_equals_its_parent(tokenizer, given):
    parent = build(nano_preset(), tokenizer=tokenizer, seed=1).unet
    child = build(nano_preset(), tokenizer=tokenizer, seed=2, inputs=Inputs(EVERY, SOURCES, inpainting=True))
    report = warm_start(child.unet, parent.state_dict())
    assert report.grown == (("conv_in.weight", (16, 4, 3, 3), (16, 9, 3, 3)),)
    assert report.new == ("time_embedding.cond_proj.weight",)
    assert len(report.loaded) == len(parent.state_dict()) - 1
    levels = torch.tensor([0, 14])
    said = Condition("", 14, gsd_m=9.0, lon=1.0, lat=2.0, month=3, source="aerial")
    vector = child.condition_embedder(extras_of([said, Condition()], sources=SOURCES)).detach()
    mask_and_image = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(3))
    noisy, states = given
    wide = (torch.cat([noisy, mask_and_image], dim=1), states)
    found = predicted(child.unet, wide, class_labels=levels, timestep_cond=vector)
    # To rounding: a convolution over more channels sums in another order.
    torch.testing.assert_close(found, predicted(parent, given, class_labels=levels), atol=1e-5, rtol=1e-5)
    assert "grown: conv_in.weight (16, 4, 3, 3) → (16, 9, 3, 3)" in str(report)
    assert "new, without effect at the start: time_embedding.cond_proj.weight" in str(report)


def test_an_embedder_learns_one_condition_more_without_a_change():
    torch.manual_seed(0)
    parent, child = ConditionEmbedder(("gsd",), width=8), ConditionEmbedder(("gsd", "month"), width=8)
    report = warm_start(child, parent.state_dict())
    assert {name.split(".")[1] for name in report.new} == {"month"}
    rows = extras_of([Condition("", 0, gsd_m=2.0, month=5), Condition("", 0, month=6), Condition()])
    torch.testing.assert_close(child(rows), parent(rows))


def test_what_the_module_does_not_have_is_ignored_and_told(tokenizer):
    encoder = build(nano_preset(), tokenizer=tokenizer).text_encoder
    state = {**encoder.state_dict(), "embeddings.position_ids": torch.arange(77)}
    report = warm_start(encoder, state)
    assert report.ignored == ("embeddings.position_ids",) and not report.new
    assert str(report).endswith("ignored: embeddings.position_ids")


def test_half_precision_weights_are_taken(tokenizer):
    parent, child = (build(nano_preset(), tokenizer=tokenizer, seed=seed).unet for seed in (1, 2))
    warm_start(child, {name: value.half() for name, value in parent.state_dict().items()})
    assert child.conv_in.weight.dtype == torch.float32
    assert torch.equal(child.conv_in.weight, parent.conv_in.weight.half().float())


def test_a_checkpoint_of_another_shape_is_refused_and_changes_nothing(tokenizer):
    preset = nano_preset()
    other = UNet2DConditionModel(**{**preset.unet, "block_out_channels": (32, 64), "sample_size": 8})
    child = build(preset, tokenizer=tokenizer).unet
    before = {name: value.clone() for name, value in child.state_dict().items()}
    with pytest.raises(ModelError, match=r"another shape: conv_in\.weight \(32, 4, 3, 3\) in the checkpoint, \(16, 4"):
        warm_start(child, other.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in child.state_dict().items())


def test_missing_keys_are_named_and_fewer_inputs_are_refused(tokenizer):
    child = build(nano_preset(), tokenizer=tokenizer).unet
    state = dict(child.state_dict())
    del state["conv_out.bias"]
    with pytest.raises(ModelError, match=r"conv_out\.bias not in the checkpoint; choose the preset"):
        warm_start(child, state)
    wide = build(nano_preset(), tokenizer=tokenizer, inputs=Inputs(inpainting=True)).unet
    with pytest.raises(ModelError, match=r"conv_in\.weight \(16, 9, 3, 3\) in the checkpoint, \(16, 4, 3, 3\) here"):
        warm_start(child, wide.state_dict())
    # Half a condition is damage, not a condition that is new.
    state = {name: value for name, value in child.state_dict().items() if name != "class_embedding.linear_1.bias"}
    with pytest.raises(ModelError, match=r"class_embedding\.linear_1\.bias not in the checkpoint"):
        warm_start(child, state)
