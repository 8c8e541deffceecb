import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformerBlock

from text2earth.conditioning import EXTRAS
from text2earth.errors import ModelError, RequestError
from text2earth.models import (
    PRESETS,
    Inputs,
    Preset,
    Text2EarthTransformer2DModel,
    build,
    parameter_counts,
    train_tokenizer,
    warm_start,
)
from text2earth.models.dit import rotary_positions


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(**changes):
    arguments = {
        "sample_size": 8,
        "num_layers": 2,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "cross_attention_dim": 12,
        **changes,
    }
    return Text2EarthTransformer2DModel(**arguments).eval()


@torch.no_grad()
def stirred(transformer):
    """The network with weights that say something: as it starts, it predicts zero."""
    for number, weight in enumerate(transformer.parameters()):
        weight.copy_(torch.randn(weight.shape, generator=seeded(number)) * 0.1)
    return transformer


def given(count=3, side=8, **changes):
    return {
        "sample": torch.randn(count, 4, side, side, generator=seeded(1)),
        "timestep": torch.linspace(50.5, 900.25, count),
        "encoder_hidden_states": torch.randn(count, 5, 12, generator=seeded(2)),
        "class_labels": torch.arange(14, 14 + count),
        **changes,
    }


@torch.no_grad()
def predicted(transformer, **changes):
    return transformer(**given(**changes)).sample


@pytest.mark.parametrize(("name", "count"), [("dit-tiny", 5_291_344), ("dit", 298_768_400)])
def test_sizes_differ_from_those_of_the_unet_in_the_denoiser_alone(name, count):
    tokenizer = train_tokenizer(["a river"], vocab_size=600)
    with torch.device("meta"):
        counts = parameter_counts(build(PRESETS[name], tokenizer=tokenizer))
        twin = parameter_counts(build(PRESETS[{"dit": "text2earth", "dit-tiny": "tiny"}[name]], tokenizer=tokenizer))
    assert counts.pop("transformer") == count
    del twin["unet"]
    assert counts == twin


def test_at_the_start_it_predicts_zero_and_learns_nevertheless():
    transformer = network(time_cond_proj_dim=6).train()
    further = torch.randn(3, 6, generator=seeded(3))
    assert not predicted(transformer, timestep_cond=further).any()
    # Each block is the identity, whatever its inputs.
    tokens, text = torch.randn(1, 16, 32, generator=seeded(4)), torch.randn(1, 5, 32, generator=seeded(5))
    modulation = transformer.modulation(torch.randn(1, 32, generator=seeded(6))).unflatten(1, (6, -1))
    for block in transformer.blocks:
        assert torch.equal(block(tokens, text, modulation, rotary_positions(4, 4, width=16)), tokens)
    optimizer = torch.optim.AdamW(transformer.parameters(), lr=1e-2, weight_decay=0.0)
    before = {name: weight.detach().clone() for name, weight in transformer.named_parameters()}
    for _ in range(4):
        request = given(timestep_cond=further)
        (transformer(**request).sample - request["sample"]).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    still = [name for name, weight in transformer.named_parameters() if torch.equal(weight, before[name])]
    assert still == []


def test_no_level_is_level_0_which_is_a_level_of_its_own():
    transformer = stirred(network())
    null = predicted(transformer, class_labels=torch.zeros(3, dtype=torch.int64))
    assert torch.equal(predicted(transformer, class_labels=None), null)
    assert float((predicted(transformer) - null).abs().min(dim=0).values.max()) > 1e-3


@pytest.mark.parametrize("name", ["timestep", "encoder_hidden_states", "class_labels", "timestep_cond"])
def test_every_condition_counts_and_only_for_its_own_image(name):
    transformer = stirred(network(time_cond_proj_dim=6))
    request = given(timestep_cond=torch.randn(3, 6, generator=seeded(3)))
    changed = request[name].clone()
    changed[1] = changed[1] + 3
    with torch.no_grad():
        apart = (transformer(**request).sample - transformer(**{**request, name: changed}).sample).flatten(1).abs()
    assert apart.max(dim=1).values.gt(1e-3).tolist() == [False, True, False]


def test_further_conditions_start_at_no_effect():
    plain, further = stirred(network()), network(time_cond_proj_dim=6)
    missing = further.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys == ["time_embedding.cond_proj.weight"]
    found = predicted(further, timestep_cond=torch.randn(3, 6, generator=seeded(3)))
    assert torch.equal(found, predicted(plain))


def test_what_lies_behind_the_end_of_a_text_does_not_count():
    transformer = stirred(network())
    states = given()["encoder_hidden_states"]
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 5])
    found = predicted(transformer, encoder_attention_mask=mask)
    whole = predicted(transformer)
    torch.testing.assert_close(found[::2], whole[::2])
    short = predicted(transformer, encoder_hidden_states=states[:, :3])
    torch.testing.assert_close(found[1], short[1])
    assert float((found[1] - whole[1]).abs().max()) > 1e-3


def test_a_block_computes_what_that_of_diffusers_does():
    block = stirred(network()).blocks[0]
    theirs = WanTransformerBlock(32, 128, 2)
    theirs.load_state_dict(block.state_dict())
    given_ = (torch.randn(3, 16, 32), torch.randn(3, 5, 32), torch.randn(3, 6, 32), rotary_positions(4, 4, width=16))
    torch.testing.assert_close(block(*given_), theirs(*given_))


def test_a_timestep_may_be_one_number_for_all():
    transformer = stirred(network())
    for one in (500, 500.0, torch.tensor(500), torch.tensor(500.0), torch.tensor([500])):
        assert torch.equal(predicted(transformer, timestep=one), predicted(transformer, timestep=torch.full((3,), 500)))
    assert not torch.equal(predicted(transformer, timestep=500.0), predicted(transformer, timestep=500.5))


def test_positions_are_relative():
    """A query and a key two rows and one column apart meet alike wherever they stand."""
    turn = rotary_positions(6, 5, width=16)
    query, key = (torch.randn(16, generator=seeded(seed)) for seed in (1, 2))

    def turned(vector, row, column):
        cosines, sines = (part[0, row * 5 + column, 0] for part in turn)
        first, second = vector[0::2], vector[1::2]
        return torch.stack([first * cosines[0::2] - second * sines[0::2], first * sines[0::2] + second * cosines[0::2]])

    def met(row, column):
        return float((turned(query, row + 2, column + 1) * turned(key, row, column)).sum())

    assert met(0, 0) == pytest.approx(met(3, 2), abs=1e-5) == pytest.approx(met(1, 3), abs=1e-5)
    swapped = float((turned(query, 1, 2) * turned(key, 0, 0)).sum())
    assert abs(met(0, 0) - swapped) > 1e-2


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 16), (4, 6)])
def test_other_sizes_than_the_trained_one(height, width):
    transformer = stirred(network())
    sample = torch.randn(3, 4, height, width, generator=seeded(1))
    found = predicted(transformer, sample=sample)
    assert found.shape == sample.shape and torch.isfinite(found).all()


def test_a_side_that_is_no_multiple_of_a_patch_is_refused():
    with pytest.raises(RequestError, match=r"latents of 7 × 7 were given; the transformer reads patches of 2 × 2"):
        predicted(network(), side=7)


def test_patches_go_back_to_where_they_were_read():
    """With blocks that are the identity, a prediction is made of its own patch alone."""
    transformer = network()
    with torch.no_grad():
        transformer.proj_out.weight.copy_(torch.randn(transformer.proj_out.weight.shape, generator=seeded(7)))
    sample = torch.randn(3, 4, 6, 10, generator=seeded(1))
    moved = sample.clone()
    moved[:, :, 2:4, 6:8] += 1
    apart = (predicted(transformer, sample=moved) - predicted(transformer, sample=sample)).abs().sum(dim=(0, 1))
    rows, columns = torch.nonzero(apart, as_tuple=True)
    assert set(rows.tolist()) == {2, 3} and set(columns.tolist()) == {6, 7}


def test_saved_and_loaded_it_predicts_the_same(tmp_path):
    transformer = stirred(network(time_cond_proj_dim=6))
    transformer.save_pretrained(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"config.json", "diffusion_pytorch_model.safetensors"}
    loaded = Text2EarthTransformer2DModel.from_pretrained(tmp_path, use_safetensors=True)
    further = torch.randn(3, 6, generator=seeded(3))
    assert torch.equal(predicted(loaded, timestep_cond=further), predicted(transformer, timestep_cond=further))
    half = Text2EarthTransformer2DModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    request = given(timestep_cond=further)
    floats = {name: request[name].bfloat16() for name in ("sample", "encoder_hidden_states", "timestep_cond")}
    with torch.no_grad():
        found = half(**{**request, **floats}).sample
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), predicted(transformer, timestep_cond=further), atol=0.2, rtol=0.1)


def test_checkpointed_activations_give_the_same_gradients():
    gradients = []
    for checkpointed in (False, True):
        transformer = stirred(network()).train()
        if checkpointed:
            transformer.enable_gradient_checkpointing()
            assert transformer.is_gradient_checkpointing
        transformer(**given()).sample.square().mean().backward()
        gradients.append([weight.grad for weight in transformer.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain)


def test_it_traces_as_one_graph():
    transformer = stirred(network())
    found = torch.compile(transformer, backend="eager", fullgraph=True)(**given()).sample
    torch.testing.assert_close(found, predicted(transformer))


def test_blocks_are_what_fsdp_wraps_and_lora_adapts():
    from peft import LoraConfig

    transformer = stirred(network())
    names = {type(module).__name__ for module in transformer.modules()}
    assert set(transformer._no_split_modules) <= names
    plain = predicted(transformer)
    transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    torch.testing.assert_close(predicted(transformer), plain)
    adapted = [name for name, weight in transformer.named_parameters() if weight.requires_grad]
    assert len(adapted) == 2 * 2 * 2 * 2  # blocks, attentions, projections, factors


@pytest.mark.parametrize(
    ("unet", "transformer", "said"),
    [({"a": 1}, {"b": 1}, "both a U-Net and a transformer"), ({}, {}, "neither a U-Net nor a transformer")],
)
def test_a_preset_has_one_denoiser(unet, transformer, said):
    with pytest.raises(ModelError, match=said):
        Preset(image_size=8, vae={}, unet=unet, text_encoder={}, transformer=transformer)


def test_it_takes_the_further_conditions_and_the_channels_of_inpainting():
    tokenizer = train_tokenizer(["a river"], vocab_size=600)
    inputs = Inputs(conditions=("gsd", "source"), sources=("a", "b"), inpainting=True)
    model = build(PRESETS["dit-tiny"], tokenizer=tokenizer, inputs=inputs)
    assert set(parameter_counts(model)) == {"vae", "text_encoder", "transformer", "condition_embedder"}
    extras = torch.full((3, len(EXTRAS)), float("nan"))
    extras[1, EXTRAS.index("gsd_m")] = 10.0
    further = model.condition_embedder(extras)
    request = given(sample=torch.randn(3, 9, 16, 16), encoder_hidden_states=torch.randn(3, 5, 128))
    transformer = stirred(model.denoiser)
    with torch.no_grad():
        found, null = (transformer(**request, timestep_cond=vector).sample for vector in (further, further[[0, 0, 0]]))
    assert found.shape == (3, 4, 16, 16)
    assert (found - null).flatten(1).abs().max(dim=1).values.gt(1e-4).tolist() == [False, True, False]


def test_a_warm_start_with_new_inputs_equals_its_parent():
    parent = stirred(network())
    child = network(in_channels=9, out_channels=4, time_cond_proj_dim=6)
    report = warm_start(child, parent.state_dict())
    assert report.grown == (("patch_embed.proj.weight", (32, 4, 2, 2), (32, 9, 2, 2)),)
    assert report.new == ("time_embedding.cond_proj.weight",)
    sample = torch.cat([given()["sample"], torch.randn(3, 5, 8, 8)], dim=1)
    found = predicted(child, sample=sample, timestep_cond=torch.randn(3, 6))
    torch.testing.assert_close(found, predicted(parent))
