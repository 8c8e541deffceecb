from pathlib import Path

import pytest

from text2earth.errors import ConfigError
from text2earth.training import learning_rate, load_config

PIPELINES = Path(__file__).parents[3] / "pipelines"

SMALL = """
name = "small"
[data]
path = "${dataset}"
[vae]
steps = 10
batch_size = 2
[denoiser]
steps = 100
batch_size = 2
learning_rate = 1e-3
warmup_steps = 9
decay = "cosine"
"""


def config(tmp_path, text=SMALL, **variables):
    path = tmp_path / "train.toml"
    path.write_text(text)
    return load_config(path, variables={"dataset": "shards", **variables})


@pytest.mark.parametrize("name", ["demo-train.toml", "text2earth-from-scratch.toml"])
def test_shipped_configurations_are_sound(name):
    loaded = load_config(PIPELINES / name, variables={"dataset": "shards"})
    assert loaded.data.path == "shards"


def test_from_scratch_is_the_published_model():
    loaded = load_config(PIPELINES / "text2earth-from-scratch.toml", variables={"dataset": "shards"})
    assert (loaded.model.preset, loaded.model.prediction) == ("text2earth", "epsilon")


def test_variables_fill_numbers_too(tmp_path):
    text = SMALL.replace("steps = 100", 'steps = "${steps}"')
    assert config(tmp_path, text, steps="250").denoiser.steps == 250


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("batch_size = 2", "batchsize = 2"), r"unknown key vae\.batchsize; did you mean batch_size\?"),
        (("[vae]", "[vea]"), r"unknown key vea; did you mean vae\?"),
        (("steps = 10\n", "steps = 0\n"), r"vae\.steps is 0: input should be greater than 0"),
        (("steps = 10\n", ""), r"vae\.steps is missing"),
        (("[vae]\nsteps = 10\nbatch_size = 2\n", ""), r"vae is missing; add a section \[vae\], or .* model\.start"),
        (('name = "small"', 'name = "a/b"'), r"name is 'a/b'"),
        (('decay = "cosine"', 'decay = "cosin"'), r"denoiser\.decay is 'cosin': input should be 'cosine'"),
        (
            ("[vae]", '[model]\npreset = "huge"\n[vae]'),
            r"model\.preset is 'huge'; presets are tiny, text2earth",
        ),
        (("[vae]", "[vae"), "is not TOML"),
    ],
)
def test_faults_are_named(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, SMALL.replace(*change, 1))


def test_a_missing_variable_is_named(tmp_path):
    (tmp_path / "a.toml").write_text(SMALL)
    with pytest.raises(ConfigError, match=r"needs a value for dataset; give it as --var dataset=VALUE"):
        load_config(tmp_path / "a.toml")


def test_a_variable_that_is_not_used_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"has no variable datset; it uses dataset"):
        config(tmp_path, datset="x")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        load_config(tmp_path / "none.toml")


def test_learning_rate_warms_up_and_falls(tmp_path):
    settings = config(tmp_path).denoiser
    rates = [learning_rate(step, settings=settings) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[9] == max(rates) == pytest.approx(1e-3)
    assert rates[99] < 1e-5
    assert rates[9:] == sorted(rates[9:], reverse=True)
    constant = settings.model_copy(update={"decay": "constant"})
    assert learning_rate(99, settings=constant) == 1e-3
