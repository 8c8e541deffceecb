"""Training with every condition, long captions and masks, up to a folder that paints."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import nano_config, nano_preset

import text2earth
from text2earth.checkpoints import load_state
from text2earth.conditioning import KEEP_ALL, NULL, Condition, DropRates, extras_of
from text2earth.data import Examples, RowFilter, View, batches, scan
from text2earth.diffusion import Objective
from text2earth.errors import ConfigError
from text2earth.models import Inputs, build, train_tokenizer
from text2earth.sampling import Text2EarthInpaintPipeline
from text2earth.training import load_config, train
from text2earth.training.stages import DenoiserLoss, DenoiserStage
from text2earth.training.train import new_model

CPU = torch.device("cpu")
EVERY, SOURCES = ("gsd", "place", "month", "source"), ("aerial", "satellite")
SAID = {"gsd_m": 0.6, "lon": 11.5, "lat": 48.1, "month": 7, "source": "satellite"}

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")


@pytest.fixture(scope="module")
def model():
    """Takes everything, a mask too."""
    tokenizer = train_tokenizer(["a view of water and forest"], vocab_size=600)
    return build(nano_preset(), tokenizer=tokenizer, inputs=Inputs(EVERY, SOURCES, inpainting=True))


@pytest.fixture(scope="module")
def batch(small_tiles):
    """Four tiles whose rows say everything."""
    examples = Examples(scan(str(small_tiles), rows=RowFilter()), view=View(16), seed=0)
    found = next(batches(examples, positions=[range(4)]))
    return replace(found, conditions=tuple(replace(each, **SAID) for each in found.conditions))


def stage_of(model, rates=KEEP_ALL, **settings):
    loss = DenoiserLoss(model, objective=Objective("epsilon"), train_text_encoder=True)
    return DenoiserStage(loss, model, rates, 0, **settings)


def test_inputs_say_everything(model, batch):
    inputs = stage_of(model, long_captions="windows", windows=2).inputs(batch, device=CPU)
    assert inputs["latents"].shape == (4, 9, 8, 8) and inputs["noise"].shape == (4, 4, 8, 8)
    assert inputs["ids"].shape == inputs["mask"].shape == (4, 154)
    assert torch.equal(inputs["extras"], extras_of(batch.conditions, sources=SOURCES))
    assert set(inputs["latents"][:, 4].unique().tolist()) <= {0.0, 1.0}


def test_a_model_without_them_is_given_nothing_of_them(batch):
    plain = build(nano_preset(), tokenizer=train_tokenizer(["water"], vocab_size=600))
    inputs = stage_of(plain).inputs(batch, device=CPU)
    assert set(inputs) == {"latents", "noise", "timesteps", "ids", "levels"}
    assert inputs["latents"].shape == (4, 4, 8, 8)


@pytest.mark.parametrize("dropped", [KEEP_ALL, DropRates(both=1.0)], ids=["said", "null"])
def test_the_gradient_reaches_embedders_or_nulls(model, batch, dropped):
    stage = stage_of(model, rates=dropped)
    torch.nn.init.normal_(model.unet.time_embedding.cond_proj.weight)
    inputs = stage.inputs(batch, device=CPU)
    if dropped is not KEEP_ALL:
        assert inputs["extras"].isnan().all() and inputs["levels"].tolist() == [NULL.level] * 4
    stage.module.zero_grad()
    stage.module(**inputs).mean().backward()
    for name in EVERY:
        null = float(model.condition_embedder.nulls[name].grad.abs().sum())
        said = sum(float(w.grad.abs().sum()) for w in model.condition_embedder.embedders[name].parameters())
        assert (null > 0, said > 0) == ((False, True) if dropped is KEEP_ALL else (True, False))
    assert float(model.unet.class_embedding.linear_1.weight.grad.abs().sum()) > 0
    for network in (model.unet, model.text_encoder):
        assert all(weight.grad is None or weight.grad.isfinite().all() for weight in network.parameters())


@pytest.mark.slow
def test_the_step_can_be_compiled_in_one_piece(model, batch):
    stage = stage_of(model, long_captions="windows", windows=2)
    inputs = stage.inputs(batch, device=CPU)
    compiled = torch.compile(stage.module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(**inputs), stage.module(**inputs))


def test_long_captions_are_cut_and_counted_or_shown_by_sentences_or_kept_in_windows(model, batch):
    long_ = " ".join(f"a view of water and forest {number}." for number in range(20))
    told = replace(batch, conditions=tuple(Condition(long_, 14) for _ in batch.counters))
    cut, sentences, windows = (
        stage_of(model),
        stage_of(model, long_captions="sentences"),
        stage_of(model, long_captions="windows", windows=4),
    )
    ids = [stage.inputs(told, device=CPU)["ids"] for stage in (cut, sentences, windows)]
    assert (cut.truncated, sentences.truncated, windows.truncated) == (4, 0, 0)
    assert len(ids[0].unique(dim=0)) == 1 and len(ids[1].unique(dim=0)) == 4  # each image draws its own
    assert ids[2].shape == (4, 4 * 77)
    # The same sentences whatever else is in the batch.
    part = replace(told, counters=told.counters[2:], conditions=told.conditions[2:], pixels=told.pixels[2:])
    assert torch.equal(sentences.inputs(part, device=CPU)["ids"], ids[1][2:])


def short(small_tiles, *, steps=3, **changes):
    config = nano_config(small_tiles).model_dump()
    config["vae"] |= {"steps": 2}
    config["denoiser"] |= {"steps": steps}
    for section, values in changes.items():
        config[section] = (config[section] or {}) | values
    return type(nano_config(small_tiles)).model_validate(config)


@pytest.fixture(scope="module")
def child(small_tiles, model_folder, tmp_path_factory):
    """An inpainting model with every condition that starts from ``nano``, which has none of it."""
    config = short(
        small_tiles,
        model={"start": str(model_folder), "inpainting": True},
        conditions={"further": EVERY, "sources": SOURCES, "long_captions": "windows", "text_windows": 2},
        run={"checkpoint_every": 2},
    ).model_copy(update={"vae": None})
    output = tmp_path_factory.mktemp("models") / "child"
    return config, output, train(config, output=output)


def test_an_inpainting_model_with_every_condition_is_trained_and_paints(child):
    _, output, result = child
    assert result.parameters["condition_embedder"] > 0
    pipeline = text2earth.load(output, device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    assert isinstance(pipeline, Text2EarthInpaintPipeline)
    assert pipeline.config.text_windows == 2 and pipeline.config.trained_levels == [14, 15]
    image, mask = Image.new("RGB", (16, 16), (30, 60, 120)), np.eye(16, dtype=bool)
    painted = np.asarray(pipeline("water", image, mask, 14, num_inference_steps=2, **SAID).images[0])
    assert (painted[~mask] == (30, 60, 120)).all()


def test_its_start_equals_the_parent_and_the_report_says_what_grew(child, model_folder, small_tiles):
    config, output, _ = child
    start = new_model(config, tokenizer=text2earth.load(model_folder, device="cpu").tokenizer)
    parent = text2earth.load(model_folder, device="cpu")
    noisy, beside = torch.randn(2, 2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    states, levels = torch.randn(2, 77, 32), torch.tensor([0, 14])
    said = start.condition_embedder(extras_of([Condition("", 0, **SAID), NULL], sources=SOURCES))
    with torch.no_grad():
        wide = torch.cat([noisy[:, :4], beside], dim=1)
        found = start.unet(wide, 500, states, class_labels=levels, timestep_cond=said).sample
        expected = parent.unet(noisy[:, :4], 500, states, class_labels=levels).sample
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    report = (output / "training" / "start.txt").read_text()
    assert "grown: conv_in.weight (16, 4, 3, 3) → (16, 9, 3, 3)" in report
    assert "new, without effect at the start: time_embedding.cond_proj.weight" in report


def test_what_is_new_is_learnt(child, model_folder):
    """After a few steps the new inputs have weights, and the average that is published has moved with them."""
    _, output, _ = child
    unet = text2earth.load(output, device="cpu").unet.requires_grad_(False)
    assert float(unet.conv_in.weight[:, 4:].abs().sum()) > 0
    assert float(unet.time_embedding.cond_proj.weight.abs().sum()) > 0


def test_the_state_holds_the_embedder(small_tiles, tmp_path, monkeypatch):
    from text2earth.training import loop

    config = short(small_tiles, conditions={"further": ("gsd",)}, run={"checkpoint_every": 1})
    kept = {}
    save = loop.save_state

    def note(state, folder, **rest):
        save(state, folder, **rest)
        if folder.name == "denoiser":
            kept.update(load_state(folder / f"step-{rest['step']:08d}").weights)

    monkeypatch.setattr(loop, "save_state", note)
    train(config, output=tmp_path / "model")
    assert {"condition_embedder.nulls.gsd", "condition_embedder.embedders.gsd.0.weight"} <= set(kept)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ('[conditions]\nfurther = ["source"]', r"conditions\.further is \['source'\] and conditions\.sources is \[\]"),
        ('[conditions]\nfurther = ["weather"]', r"conditions\.further\.0 is 'weather': input should be 'gsd', 'place'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, added, message):
    path = tmp_path / "train.toml"
    path.write_text(
        f'name = "a"\n[data]\npath = "shards"\n[vae]\nsteps = 1\nbatch_size = 1\n'
        f"[denoiser]\nsteps = 1\nbatch_size = 1\n{added}\n"
    )
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_source_that_the_model_does_not_know_is_left_open(model, batch):
    other = replace(batch, conditions=tuple(replace(each, source="radar") for each in batch.conditions))
    extras = stage_of(model).inputs(other, device=CPU)["extras"]
    assert extras[:, 4].isnan().all() and not extras[:, :4].isnan().any()


def test_the_recipe_and_the_page_are_sound(tmp_path):
    pipelines = Path(__file__).parents[3] / "pipelines"
    recipe = load_config(pipelines / "text2earth-inpainting.toml", variables={"dataset": "shards", "start": "model"})
    assert recipe.model.inpainting and recipe.vae is None
    page = (pipelines / "conditions.md").read_text()
    shown = page[page.index("    [conditions]") : page.index("They enter a stock")]
    path = tmp_path / "train.toml"
    path.write_text(
        'name = "a"\n[data]\npath = "shards"\n[denoiser]\nsteps = 1\nbatch_size = 1\n[model]\nstart = "m"\n' + shown
    )
    found = load_config(path).conditions
    assert found.further == EVERY and found.windows == 3
    assert (found.rates().gsd, found.rates().both) == (0.1, 0.1)
