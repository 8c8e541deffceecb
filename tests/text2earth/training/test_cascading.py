"""A cascade trains by the same loop and command as every model."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_cascades import WORDS, nano_cascade_preset

import text2earth
from text2earth.checkpoints import load_state
from text2earth.conditioning import Condition
from text2earth.data import Batch
from text2earth.errors import ConfigError, InterruptedTraining
from text2earth.models import CASCADES, build_cascade, train_tokenizer
from text2earth.sampling import MetaEarthPipeline
from text2earth.training import TrainConfig, load_config, train
from text2earth.training.cascade_settings import CascadeSettings
from text2earth.training.cascading import cascade_stage, draw_low
from text2earth.training.loop import _Run

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nano(monkeypatch):
    """The preset ``nano`` of cascades."""
    monkeypatch.setitem(CASCADES, "nano", nano_cascade_preset())  # type: ignore[arg-type]


def config(data="DATA", *, cascade=None, **sections) -> TrainConfig:
    """Six steps of a cascade whose base is level 14; made-up tiles are at 14 and 15."""
    plain = {
        "name": "nano",
        "data": {"path": str(data), "flips": True},
        "model": {"preset": "nano", "prediction": "v_prediction"},
        "conditions": {"drop_text": 0.2, "drop_level": 0.0, "drop_both": 0.0},
        "cascade": {"base_level": 14, "stages": 2, "steps": 3, **(cascade or {})},
        "denoiser": {"steps": 6, "batch_size": 4, "learning_rate": 1e-3},
        "run": {"checkpoint_every": 2, "log_every": 1, "keep": 100},
    }
    return TrainConfig.model_validate({**plain, **sections})


def stage(**cascade):
    model = build_cascade(nano_cascade_preset(), tokenizer=train_tokenizer(WORDS, vocab_size=600))
    return cascade_stage(model, config=config(cascade=cascade))


def batch(counters=(0, 1, 2, 3), *, levels=(14, 15, 16, 16)) -> Batch:
    """Noise, image ``i`` the same whatever is beside it."""
    pixels = [torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(each)) * 2 - 1 for each in counters]
    conditions = tuple(Condition("water", level) for level in levels)
    return Batch(tuple(counters), tuple(map(str, counters)), torch.stack(pixels), conditions, ())


class TestLowResolutionConditions:
    def test_they_are_means_of_the_image(self):
        low, told = stage(drop_low=0.0, degraded=0.0, noise=0.0).low(batch())
        pixels = batch().pixels
        assert torch.allclose(low[1:], pixels.unflatten(-1, (4, 4)).unflatten(-3, (4, 4)).mean((-1, -3))[1:], atol=1e-6)
        assert told[1:].tolist() == [0.0, 0.0, 0.0]

    def test_the_base_level_has_none(self):
        low, told = stage(drop_low=0.0).low(batch())
        assert told.isnan().tolist() == [True, False, False, False]
        assert not low[0].any()

    def test_unless_it_is_asked_for(self):
        _, told = stage(drop_low=0.0, drop_low_at_base=0.0).low(batch())
        assert not told.isnan().any()

    def test_others_lose_theirs_at_the_rate(self):
        settings = CascadeSettings(base_level=8, drop_low=0.25, degraded=0.4, noise=0.3)
        draws = [draw_low(Condition("", 10), settings=settings, seed=0, counter=each) for each in range(2000)]
        assert np.mean([draw.absent for draw in draws]) == pytest.approx(0.25, abs=0.03)
        assert np.mean([draw.degraded for draw in draws]) == pytest.approx(0.4, abs=0.03)
        assert np.mean([draw.noise_level for draw in draws]) == pytest.approx(0.15, abs=0.01)

    def test_noise_is_what_the_network_is_told(self):
        made = stage(drop_low=0.0, degraded=0.0, noise=0.9)
        many = batch(tuple(range(64)), levels=(16,) * 64)
        (low, told), clean = made.low(many), torch.nn.functional.avg_pool2d(many.pixels, 4)
        spread = (low - clean).flatten(1).std(dim=1)
        assert torch.corrcoef(torch.stack([spread, told]))[0, 1] > 0.9
        assert float((spread / told).mean()) == pytest.approx(1.0, abs=0.1)

    def test_degraded_copies_differ_from_means(self):
        mean, worse = (stage(drop_low=0.0, degraded=each, noise=0.0).low(batch())[0] for each in (0.0, 1.0))
        assert worse.shape == mean.shape
        assert float((worse - mean)[1:].abs().mean()) > 0.01
        assert float(worse.abs().max()) <= 1.0


class TestKeyedDraws:
    def test_neighbours_change_nothing(self):
        made = stage(drop_low=0.3, degraded=0.5)
        together = made.inputs(batch(), device=CPU)
        alone = made.inputs(batch((2,), levels=(16,)), device=CPU)
        for name, value in alone.items():
            assert torch.equal(value, together[name][2:3]) or (value.isnan().all() and together[name][2].isnan()), name

    def test_another_seed_changes_them(self):
        made = stage()
        one, two = (each.inputs(batch(), device=CPU) for each in (made, replace(made, seed=1)))
        assert all(not torch.equal(one[name], two[name]) for name in ("noise", "timesteps", "low", "told"))

    def test_validation_sees_clean_conditions(self):
        _, told = stage(drop_low=1.0, degraded=1.0).undropped(seed=0).low(batch())
        assert told.nan_to_num(-1.0).tolist() == [-1.0, 0.0, 0.0, 0.0]

    def test_the_null_text_is_that_of_sampling(self):
        """A dropped caption and the null of guidance are the same tokens, at every stage."""
        made = stage()
        silent = replace(made, rates=replace(made.rates, text=1.0))
        tokenizer = made.model.tokenizer
        parts = {**made.model.networks(), "tokenizer": tokenizer}
        pipeline = MetaEarthPipeline(**parts, scheduler=None, base_level=14, stage_levels=[14, 16])
        states = made.model.text_encoder.eval()(silent.inputs(batch(), device=CPU)["ids"])[0]
        assert torch.equal(states[:1], pipeline.encode_prompt(""))
        assert all(torch.equal(each, states[0]) for each in states)


@pytest.fixture(scope="module")
def straight(small_tiles, tmp_path_factory):
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("cascade") / "straight"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CASCADES, "nano", nano_cascade_preset())  # type: ignore[arg-type]
        train(config(small_tiles), output=folder)
    return folder


class TestTraining:
    def test_the_folder_is_a_model(self, straight):
        pipeline = text2earth.load(straight)
        assert isinstance(pipeline, MetaEarthPipeline)
        assert (pipeline.config.stage_levels, pipeline.config.steps) == ([14, 16], 3)
        assert pipeline.scheduler.config.beta_schedule == "linear"
        assert (pipeline.scheduler.config.beta_start, pipeline.scheduler.config.beta_end) == (0.0015, 0.0155)
        assert pipeline("water").images[0].size == (16, 16)
        card = (straight / "README.md").read_text()
        assert "Every image that it makes is synthetic" in card and "14 → 16" in card and "Nobody's imagery" in card

    def test_stopped_and_begun_again_it_takes_the_same_steps(self, straight, small_tiles, tmp_path, monkeypatch):
        take = _Run._take

        def take_and_be_told(run, phase, micro_batches):
            taken = take(run, phase, micro_batches)
            if run.step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return taken

        with monkeypatch.context() as patch:
            patch.setattr(_Run, "_take", take_and_be_told)
            with pytest.raises(InterruptedTraining, match="stopped at step 3 of 6"):
                train(config(small_tiles), output=tmp_path)
        state = load_state(tmp_path / "training" / "denoiser" / "step-00000003")
        assert {name.split(".")[0] for name in state.weights} == {"unet", "low_encoder", "text_encoder"}
        train(config(small_tiles), output=tmp_path)
        for network in ("unet", "low_encoder", "text_encoder"):
            one, two = (next((each / network).glob("*.safetensors")).read_bytes() for each in (straight, tmp_path))
            assert one == two, network
        assert (straight / "training/log.jsonl").read_text() == (tmp_path / "training/log.jsonl").read_text()

    def test_validation_looks_at_it(self, small_tiles, tmp_path):
        look = {"split": "train", "every": 3, "images": 4, "timesteps": 2, "prompts": ["water"], "sampling_steps": 2}
        train(config(small_tiles, validation=look), output=tmp_path)
        lines = [json.loads(line) for line in (tmp_path / "training" / "log.jsonl").read_text().splitlines()]
        found = [line["validation_loss"] for line in lines if "validation_loss" in line]
        assert len(found) == 2 and all(0.0 < value < 10.0 for value in found)
        from PIL import Image

        with Image.open(tmp_path / "training/samples/step-00000006.png") as grid:
            assert grid.size == (32, 16)  # two stages

    @pytest.mark.slow
    def test_it_learns_two_tiles_by_heart(self, tmp_path):
        """Base windows of the two words differ as the tiles do, and a finer stage follows its condition."""
        made = stage(drop_low=0.0, degraded=0.0, noise=0.0)
        red, blue = (
            torch.tensor(colour).view(3, 1, 1).expand(3, 16, 16) for colour in ((0.7, -0.7, -0.7), (-0.7, -0.7, 0.7))
        )
        optimizer = torch.optim.AdamW(made.module.parameters(), lr=3e-3)
        for step in range(400):
            counters = tuple(range(8 * step, 8 * step + 8))
            conditions = tuple(
                Condition("water" if each % 2 else "forest", 14 + 2 * (each // 2 % 2)) for each in counters
            )
            pixels = torch.stack([blue if each % 2 else red for each in counters])
            given = Batch(counters, tuple(map(str, counters)), pixels, conditions, ())
            loss = made.module(**made.inputs(given, device=CPU)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        from text2earth.checkpoints import new_cascade_scheduler

        made.module.eval()
        parts = {**made.model.networks(), "tokenizer": made.model.tokenizer}
        scheduler = new_cascade_scheduler("v_prediction")
        pipeline = MetaEarthPipeline(**parts, scheduler=scheduler, base_level=14, stage_levels=[14, 16])
        pipeline.set_progress_bar_config(disable=True)
        wanted = {"forest": red, "water": blue}

        def is_nearest(image, colour):
            """Less than half as far from its own colour as from the other: 400 steps do not make it plain."""
            other = blue if colour is red else red
            return float((image - colour).abs().mean()) < 0.5 * float((image - other).abs().mean())

        for word, colour in wanted.items():
            image = pipeline(word, generator=torch.Generator().manual_seed(0), output_type="pt").images[0] * 2 - 1
            assert is_nearest(image, colour), word
            low = (colour[:, :4, :4] + 1) / 2
            asked = {"level": 16, "low": low, "generator": torch.Generator().manual_seed(0), "output_type": "pt"}
            finer = pipeline("", **asked).images[0] * 2 - 1
            assert is_nearest(finer, colour), word


class TestConfigurations:
    def written(self, tmp_path, text):
        path = tmp_path / "config.toml"
        path.write_text('name = "x"\n' + text)
        return path

    def test_the_recipe_reads(self):
        recipe = Path(__file__).parents[3] / "pipelines" / "metaearth-tiny.toml"
        found = load_config(recipe, variables={"dataset": "DATA"})
        assert found.cascade is not None
        assert found.cascade.stage_levels == (8, 10, 12, 14)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('[model]\npreset = "tiny"', r"presets are metaearth-tiny, .* with \[cascade\]"),
            ('[model]\npreset = "nano"\n[vae]\nsteps = 1\nbatch_size = 1', r"vae with \[cascade\]"),
            ('[model]\npreset = "nano"\nprediction = "flow"', r"model.prediction = 'flow' with \[cascade\]"),
            ('[model]\npreset = "nano"\nstart = "a"', r"model.start with \[cascade\]"),
        ],
    )
    def test_what_does_not_go_with_it(self, tmp_path, text, message):
        rest = '\n[data]\npath = "a"\n[denoiser]\nsteps = 1\nbatch_size = 1\n[cascade]\nbase_level = 8\n'
        with pytest.raises(ConfigError, match=message):
            load_config(self.written(tmp_path, text + rest))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("base_level = 8\nfactor = 3", r"cascade.factor is 3"),
            ("base_level = 20\nstages = 3", "ends beyond level 22"),
            ("base_level = 8\ndrop_lows = 0.1", r"unknown key cascade.drop_lows; did you mean drop_low\?"),
            ("stages = 2", "cascade.base_level is missing"),
        ],
    )
    def test_impossible_values(self, tmp_path, text, message):
        rest = '[model]\npreset = "nano"\n[data]\npath = "a"\n[denoiser]\nsteps = 1\nbatch_size = 1\n[cascade]\n'
        with pytest.raises(ConfigError, match=message):
            load_config(self.written(tmp_path, rest + text))
