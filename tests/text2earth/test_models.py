import pytest
import torch

from text2earth.models import (
    PRESETS,
    build,
    latent_factor,
    parameter_counts,
    start_as_average,
    train_tokenizer,
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["a river through forest and fields"], vocab_size=600)


def test_text2earth_has_the_published_parameters(tokenizer):
    with torch.device("meta"):
        counts = parameter_counts(build(PRESETS["text2earth"], tokenizer=tokenizer))
    assert counts == {"vae": 83_653_863, "text_encoder": 340_387_840, "unet": 867_961_284}
    assert sum(counts.values()) == 1_292_002_987


def test_tiny_fits_a_laptop(tokenizer):
    with torch.device("meta"):
        model = build(PRESETS["tiny"], tokenizer=tokenizer)
    counts = parameter_counts(model)
    assert counts["vae"] <= 1_000_000
    assert 2_000_000 <= counts["unet"] <= 6_000_000
    assert (model.image_size, latent_factor(model.vae), model.vae.config.latent_channels) == (64, 4, 4)


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].unet])
def test_heads_are_at_least_16_wide(name):
    unet = PRESETS[name].unet
    widths = [
        width // heads for width, heads in zip(unet["block_out_channels"], unet["attention_head_dim"], strict=True)
    ]
    assert min(widths) >= 16


def test_same_seed_same_weights_and_the_callers_random_state_is_left(tokenizer):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, again, other = (build(PRESETS["tiny"], tokenizer=tokenizer, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    weights = [model.unet.conv_in.weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_autoencoder_starts_as_an_average(tokenizer):
    vae = build(PRESETS["tiny"], tokenizer=tokenizer).vae
    start_as_average(vae)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        posterior = vae.encode(pixels).latent_dist
        rebuilt = vae.decode(posterior.mean).sample
    averages = torch.nn.functional.avg_pool2d(pixels, 4)
    repeated = averages.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    # Up to a gain of some percent (c is large, not infinite), which the first steps take away.
    for found, expected in ((posterior.mean[:, :3], averages), (rebuilt, repeated)):
        correlation = torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1]
        assert correlation > 0.95
        torch.testing.assert_close(found, expected, atol=0.12, rtol=0)


def test_tokenizer_reads_any_text(tokenizer, tmp_path):
    text = "rivière 水 123 <|x|>"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "rivière 水 1 2 3 <| x |>"
    assert len(tokenizer) <= 600
    tokenizer.save_pretrained(tmp_path)
    assert type(tokenizer).from_pretrained(tmp_path)(text)["input_ids"] == ids


def test_frequent_words_become_one_token(tokenizer):
    assert len(tokenizer("river forest")["input_ids"]) == 4
