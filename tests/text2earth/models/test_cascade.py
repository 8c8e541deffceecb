import pytest
import torch
from small_cascades import WORDS, nano_cascade_preset

from text2earth.conditioning import NULL, Condition, tokenize
from text2earth.errors import ModelError
from text2earth.models import CASCADES, build_cascade, parameter_counts, predict_window, train_tokenizer
from text2earth.models.cascade import LowResolutionEncoder
from text2earth.models.conditioned import encode


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(WORDS, vocab_size=600)


def test_tiny_is_small(tokenizer):
    with torch.device("meta"):
        model = build_cascade(CASCADES["metaearth-tiny"], tokenizer=tokenizer)
    counts = parameter_counts(model)
    assert sum(counts.values()) == 3_730_772  # at most 4 million
    assert (model.image_size, model.factor) == (64, 4)


def test_metaearth_is_as_large_as_its_paper_says(tokenizer):
    with torch.device("meta"):
        model = build_cascade(CASCADES["metaearth"], tokenizer=tokenizer)
    counts = parameter_counts(model)
    assert counts["unet"] == 624_426_115  # above 600 million
    assert counts["low_encoder"] > 16_000_000  # 23 blocks of 64 features, as published restorers have
    assert model.image_size == 256


@pytest.mark.slow
def test_its_window_can_be_painted_on_shapes_alone(tokenizer):
    with torch.device("meta"):
        model = build_cascade(CASCADES["metaearth"], tokenizer=tokenizer)
        found = prediction(model, noisy=torch.zeros(1, 3, 256, 256), low=torch.zeros(1, 3, 64, 64))
    assert found.shape == (1, 3, 256, 256)


def prediction(model, *, noisy, low=None, level=10, prompt="water", noise_level=0.0):
    """What a cascade predicts of noisy windows at timestep 500."""
    count = len(noisy)
    absent = torch.full((count,), low is None)
    given = torch.zeros(count, 3, noisy.shape[-2] // model.factor, noisy.shape[-1] // model.factor)
    maps, vector = model.low_encoder(given if low is None else low, torch.full((count,), noise_level), absent)
    tokens = tokenize([Condition(prompt, level)] * count, tokenizer=model.tokenizer)
    ids, levels = tokens.ids.to(noisy.device), tokens.levels.to(noisy.device)
    tokens = type(tokens)(ids, levels, tokens.truncated)
    found = encode(tokens, text_encoder=model.text_encoder)
    conditions = type(found)(found.states, found.levels, None, vector)
    return predict_window(model.unet, noisy, torch.tensor(500, device=noisy.device), conditions, maps=maps)


@pytest.fixture(scope="module")
def nano(tokenizer):
    model = build_cascade(nano_cascade_preset(), tokenizer=tokenizer)
    for network in model.networks().values():
        network.eval().requires_grad_(False)
    return model


NOISY = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LOW = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_without_a_low_resolution_image_nothing_of_one_gets_through(nano):
    """An absent row may hold anything."""
    absent = torch.tensor([True, True])
    of_zeros, of_noise = (nano.low_encoder(each, torch.zeros(2), absent) for each in (torch.zeros_like(LOW), LOW))
    assert torch.equal(of_zeros[0], of_noise[0]) and torch.equal(of_zeros[1], of_noise[1])


def test_black_is_not_the_null(nano):
    assert not torch.equal(prediction(nano, noisy=NOISY), prediction(nano, noisy=NOISY, low=torch.zeros_like(LOW)))


def test_it_is_told_how_noisy_the_low_resolution_image_is(nano):
    quiet, loud = (prediction(nano, noisy=NOISY, low=LOW, noise_level=each) for each in (0.0, 0.2))
    assert not torch.equal(quiet, loud)


def test_text_and_level_matter_at_every_stage(nano):
    for low in (None, LOW):
        found = prediction(nano, noisy=NOISY, low=low)
        assert not torch.equal(found, prediction(nano, noisy=NOISY, low=low, level=12))
        assert not torch.equal(found, prediction(nano, noisy=NOISY, low=low, prompt=NULL.prompt))


def test_what_is_low_on_the_left_is_low_on_the_left_of_the_window(nano):
    other = LOW.clone()
    other[..., 0] += 0.5
    maps = [nano.low_encoder(each, torch.zeros(2), torch.tensor([False, False]))[0] for each in (LOW, other)]
    changed = (maps[0] - maps[1]).abs().sum((0, 1, 2))
    assert maps[0].shape == (2, 8, 8, 8)
    assert float(changed[:2].min()) > 10 * float(changed[-2:].max())


@pytest.mark.parametrize("factor", [2, 4])
def test_a_stage_is_twice_or_four_times_finer(tokenizer, factor):
    model = build_cascade(nano_cascade_preset(), tokenizer=tokenizer, factor=factor)
    low = torch.zeros(1, 3, 16 // factor, 16 // factor)
    assert prediction(model, noisy=NOISY[:1], low=low).shape == (1, 3, 16, 16)


def test_impossible_sizes_are_refused(tokenizer):
    with pytest.raises(ModelError, match="factor 3 and patch 1"):
        LowResolutionEncoder(factor=3)
    with pytest.raises(ModelError, match="a window of 18 px was asked for; it is a multiple of 4"):
        build_cascade(nano_cascade_preset(), tokenizer=tokenizer, image_size=18)


def test_same_seed_same_weights(tokenizer):
    first, again, other = (build_cascade(nano_cascade_preset(), tokenizer=tokenizer, seed=seed) for seed in (0, 0, 1))
    weights = [model.low_encoder.trunk.conv_first.weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
