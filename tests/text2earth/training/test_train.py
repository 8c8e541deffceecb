import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small_models import nano_config

from text2earth.checkpoints import load_state, save_state
from text2earth.conditioning import NULL, DropRates
from text2earth.data import Batch, Examples, RowFilter, View, scan
from text2earth.diffusion import Objective
from text2earth.errors import ConfigError, DivergedError, InterruptedTraining
from text2earth.models import PRESETS, build, train_tokenizer
from text2earth.training import train
from text2earth.training.loop import Pace, Phase, _Run, run_stage
from text2earth.training.parallel import Spread
from text2earth.training.stages import DenoiserLoss, DenoiserStage, texture_difference


def lines(folder):
    return [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]


def weights(folder):
    names = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")
    return [load_file(folder / f"{name}.safetensors") for name in names]


@pytest.fixture(scope="module")
def model():
    return build(PRESETS["nano"], tokenizer=train_tokenizer(["water forest"], vocab_size=600))


def denoiser(model, rates=None, seed=0):
    loss = DenoiserLoss(model, objective=Objective(), train_text_encoder=True)
    return DenoiserStage(loss, model, rates or DropRates(), seed)


@pytest.fixture
def batch(small_tiles):
    examples = Examples(scan(str(small_tiles), rows=RowFilter()), view=View(16), seed=0)
    found = [examples[counter] for counter in range(8)]
    return Batch(
        tuple(range(8)),
        tuple(example.name for example in found),
        torch.stack([torch.from_numpy(example.pixels.copy()).permute(2, 0, 1) for example in found]) / 127.5 - 1,
        tuple(example.condition for example in found),
        (),
    )


def test_loss_falls(model_folder):
    for stage in ("vae", "denoiser"):
        losses = [line["loss"] for line in lines(model_folder) if line["stage"] == stage]
        third = len(losses) // 3
        assert np.mean(losses[-third:]) < 0.9 * np.mean(losses[:third])


def test_folder_is_a_model_with_a_card(model_folder):
    entries = {entry.name for entry in model_folder.iterdir()}
    assert entries == {
        "README.md", "model_index.json", "scheduler", "text_encoder", "tokenizer", "training", "unet", "vae",
    }  # fmt: skip
    assert not [name for name in model_folder.rglob("*") if name.suffix in {".bin", ".pt", ".pkl", ".ckpt"}]
    card = (model_folder / "README.md").read_text()
    for said in ("synthetic", "textures-24-32", "CC0-1.0", "Nobody's imagery", "14 (", "15 ("):
        assert said in card


def test_latents_are_scaled_to_unit_variance(model_folder, small_tiles):
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(model_folder / "vae")
    examples = Examples(scan(str(small_tiles), rows=RowFilter()), view=View(16), seed=0)
    pixels = torch.stack([torch.from_numpy(examples[c].pixels.copy()).permute(2, 0, 1) for c in range(48)])
    with torch.no_grad():
        latents = vae.encode(pixels / 127.5 - 1).latent_dist.mean * vae.config.scaling_factor
    assert float(latents.std()) == pytest.approx(1.0, abs=0.15)


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("steps_before_kill", [3, 31])
def test_a_killed_run_ends_at_the_same_weights(model_folder, small_tiles, tmp_path, monkeypatch, steps_before_kill):
    """Killed at any step, also between states and within the first stage, and run again: equal to the bit."""
    taken, take = 0, _Run._take

    def take_or_die(run, phase, micro_batches):
        nonlocal taken
        if taken == steps_before_kill:
            raise _KilledError
        taken += 1
        return take(run, phase, micro_batches)

    output = tmp_path / "model"
    with monkeypatch.context() as patch:
        patch.setattr(_Run, "_take", take_or_die)
        with pytest.raises(_KilledError):
            train(nano_config(small_tiles), output=output)
    # What else is free to change may change in between.
    again = train(nano_config(small_tiles, checkpoint_every=1000), output=output)
    for one, other in zip(weights(output), weights(model_folder), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert lines(output) == lines(model_folder)
    assert again.tally.seen == 480


def test_sigterm_saves_and_stops_and_the_next_run_goes_on(model_folder, small_tiles, tmp_path, monkeypatch):
    take = _Run._take

    def take_and_be_told(run, phase, micro_batches):
        taken = take(run, phase, micro_batches)
        if run.stage.name == "denoiser" and run.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return taken

    config, output = nano_config(small_tiles, checkpoint_every=1000), tmp_path / "model"
    with monkeypatch.context() as patch:
        patch.setattr(_Run, "_take", take_and_be_told)
        with pytest.raises(InterruptedTraining, match=r"stopped at step 5 of 60 of stage denoiser"):
            train(config, output=output)
    assert not (output / "model_index.json").exists()
    train(config, output=output)
    assert lines(output) == lines(model_folder)


def test_a_changed_configuration_is_refused(model_folder, small_tiles):
    config = nano_config(small_tiles)
    changed = config.model_copy(
        update={
            "vae": config.vae.model_copy(update={"steps": 11}),
            "model": config.model.model_copy(update={"preset": "tiny"}),
        }
    )
    with pytest.raises(ConfigError, match=r"changed: config\.model\.preset \('nano' → 'tiny'\), config\.vae\.steps"):
        train(changed, output=model_folder)


def test_an_image_size_that_does_not_halve_is_refused(small_tiles, tmp_path):
    config = nano_config(small_tiles)
    odd = config.model_copy(update={"model": config.model.model_copy(update={"image_size": 18})})
    with pytest.raises(ConfigError, match=r"model\.image_size is 18; for preset nano it is a multiple of 4"):
        train(odd, output=tmp_path / "model")


def test_a_loss_that_is_not_a_number_stops_with_the_rows(small_tiles, tmp_path):
    stage = denoiser(build(PRESETS["nano"], tokenizer=train_tokenizer(["water"], vocab_size=600)))
    stage.module.alphas_cumprod = stage.module.alphas_cumprod * float("nan")
    examples = Examples(scan(str(small_tiles), rows=RowFilter()), view=View(16), seed=0)
    with pytest.raises(DivergedError, match=r"became nan at step 1, on the rows .*1[45]_\d+_5000_\d+\.jpg"):
        run_stage(
            stage,
            settings=nano_config(small_tiles).denoiser,
            phases=[Phase(nano_config(small_tiles).denoiser, examples)],
            first_counter=0,
            spread=Spread(Accelerator()),
            pace=Pace(tmp_path, 100, 1, 0),
        )


def test_average_moves_and_is_what_is_published(small_tiles, tmp_path):
    """A run of one step more has another average; the average differs from start and from the last weights."""
    config = nano_config(small_tiles)
    stage = denoiser(build(PRESETS["nano"], tokenizer=train_tokenizer(["water"], vocab_size=600)))
    start = {name: weight.detach().clone() for name, weight in stage.module.named_parameters()}
    examples = Examples(scan(str(small_tiles), rows=RowFilter()), view=View(16), seed=0)
    settings = config.denoiser.model_copy(update={"steps": 12, "ema_power": 0.3})
    pace = Pace(tmp_path, 11, 1, 0)
    phases = [Phase(settings, examples)]
    run_stage(stage, settings=settings, phases=phases, first_counter=0, spread=Spread(Accelerator()), pace=pace)
    state = load_state(tmp_path / "denoiser" / "step-00000011")
    assert state.ema.keys() == start.keys()
    moved = [name for name in start if not torch.equal(state.ema[name], start[name])]
    apart = [name for name in start if not torch.equal(state.ema[name], state.weights[name])]
    assert len(moved) == len(apart) == len(start)
    published = dict(stage.module.named_parameters())
    assert all(not torch.equal(published[name], state.ema[name]) for name in start)


def test_state_reads_back_as_it_was(tmp_path):
    weight = torch.nn.Parameter(torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last))
    optimizer = torch.optim.AdamW([weight], lr=1e-3)
    weight.square().sum().backward()
    optimizer.step()
    from text2earth.checkpoints import TrainingState, latest_state

    state = TrainingState({"w": weight.detach()}, {"w": weight.detach() * 2}, optimizer.state_dict(), {"step": 3})
    save_state(state, tmp_path, step=3)
    save_state(state, tmp_path, step=12)
    (tmp_path / "step-00000099.123.tmp").mkdir()  # what a kill leaves behind
    assert latest_state(tmp_path) == tmp_path / "step-00000012"
    found = load_state(tmp_path / "step-00000012")
    assert torch.equal(found.weights["w"], weight) and torch.equal(found.ema["w"], weight * 2)
    assert found.progress == {"step": 3}
    other = torch.optim.AdamW([weight], lr=1.0)
    other.load_state_dict(found.optimizer)
    for name, value in optimizer.state[weight].items():
        assert torch.equal(other.state[weight][name], value)


def test_training_uses_the_null_condition_and_the_gradient_flows_through_it(model, batch):
    stage = denoiser(model, rates=DropRates(both=1.0))
    inputs = stage.inputs(batch, device=torch.device("cpu"))
    null = model.tokenizer(NULL.prompt, padding="max_length", max_length=77)["input_ids"]
    assert inputs["ids"].tolist() == [null] * 8
    assert inputs["levels"].tolist() == [NULL.level] * 8
    stage.module.zero_grad()
    stage.module(**inputs).mean().backward()
    for part in (
        stage.module.text_encoder.text_model if hasattr(model.text_encoder, "text_model") else model.text_encoder,
        model.unet.class_embedding,
    ):
        assert all(weight.grad is not None for weight in part.parameters())
        assert any(float(weight.grad.abs().sum()) > 0 for weight in part.parameters())


def test_draws_of_an_image_do_not_depend_on_its_batch(model, batch):
    """Any split of a batch over processes trains on the same numbers (latents to rounding: convolutions batch)."""
    stage = denoiser(model, rates=DropRates(0.5, 0.5, 0.2), seed=4)
    whole = stage.inputs(batch, device=torch.device("cpu"))
    part = replace(
        batch,
        counters=batch.counters[3:5],
        names=(),
        pixels=batch.pixels[3:5],
        conditions=batch.conditions[3:5],
    )
    found = stage.inputs(part, device=torch.device("cpu"))
    for name in ("noise", "timesteps", "ids", "levels"):
        assert torch.equal(found[name], whole[name][3:5])
    torch.testing.assert_close(found["latents"], whole["latents"][3:5], atol=1e-5, rtol=1e-4)


def test_accumulated_micro_batches_give_the_step_of_the_whole_batch(small_tiles, tmp_path):
    losses = []
    for accumulate in (1, 4):
        config = nano_config(small_tiles)
        stage = config.denoiser.model_copy(update={"accumulate": accumulate, "steps": 6})
        short = config.model_copy(update={"denoiser": stage, "vae": config.vae.model_copy(update={"steps": 1})})
        train(short, output=tmp_path / str(accumulate))
        losses.append([line["loss"] for line in lines(tmp_path / str(accumulate))])
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-3)


def test_texture_difference_is_of_strength_and_not_of_place():
    grain = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    elsewhere = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mush = torch.full_like(grain, 0.5)
    assert texture_difference(grain, grain).item() == 0.0
    # A pixel distance prefers mush to grain that lies elsewhere; this does not.
    assert (elsewhere - grain).abs().mean() > (mush - grain).abs().mean()
    assert texture_difference(elsewhere, grain) < 0.2 * texture_difference(mush, grain)
