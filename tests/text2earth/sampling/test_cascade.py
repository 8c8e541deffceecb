import json

import numpy as np
import pytest
import torch
from PIL import Image
from small_cascades import nano_cascade

import text2earth
from text2earth.errors import ModelError, RequestError
from text2earth.sampling import CascadeNetwork, MetaEarthPipeline


@pytest.fixture(scope="module")
def pipeline():
    return nano_cascade(guidance=2.0)


@pytest.fixture(scope="module")
def network(pipeline):
    return CascadeNetwork(pipeline)


@pytest.fixture(scope="module")
def folder(pipeline, tmp_path_factory):
    name = tmp_path_factory.mktemp("cascade") / "model"
    pipeline.save_pretrained(name)
    return name


def noise(count=2, size=16, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def low(count=2, size=4, seed=1):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def painted(pipeline, *args, seed=0, **given):
    images = pipeline(*args, generator=torch.Generator().manual_seed(seed), output_type="np", **given).images
    return (images * 255).round().astype(np.uint8)


class TestTheBaseStage:
    def test_text_and_level_become_a_window(self, pipeline):
        image = pipeline("water", generator=torch.Generator().manual_seed(0)).images[0]
        assert (image.size, image.mode) == ((16, 16), "RGB")

    def test_its_level_is_asked_for_if_none_is_said(self, pipeline):
        assert np.array_equal(painted(pipeline, "water"), painted(pipeline, "water", level=8))
        assert np.array_equal(painted(pipeline, "water", level=10), painted(pipeline, "10_GOOGLE_LEVEL_water"))
        assert not np.array_equal(painted(pipeline, "water"), painted(pipeline, "water", level=10))

    def test_guidance_is_the_models_own_unless_given(self, pipeline):
        assert np.array_equal(painted(pipeline, "water"), painted(pipeline, "water", guidance_scale=2.0))
        assert not np.array_equal(painted(pipeline, "water"), painted(pipeline, "water", guidance_scale=1.0))


class TestTheNextStages:
    def test_an_image_of_the_level_above_is_painted_finer(self, pipeline):
        grey, white = (Image.new("RGB", (4, 4), (shade,) * 3) for shade in (90, 255))
        finer = painted(pipeline, "water", level=10, low=grey)
        assert finer.shape == (1, 16, 16, 3)
        assert not np.array_equal(finer, painted(pipeline, "water", level=10, low=white))

    def test_a_larger_image_makes_a_larger_window(self, pipeline):
        assert painted(pipeline, "water", level=10, low=np.zeros((6, 8, 3), np.uint8)).shape == (1, 24, 32, 3)

    def test_one_image_for_each_prompt(self, pipeline):
        images = [Image.new("RGB", (4, 4), (shade,) * 3) for shade in (0, 255)]
        both = painted(pipeline, ["water", "forest"], level=10, low=images)
        assert len(both) == 2


class TestWhatItRefuses:
    def test_an_image_that_makes_no_window(self, pipeline):
        with pytest.raises(RequestError, match=r"low is 5×4 px.*multiples of 4 px.*8×8 px"):
            nano_cascade(image_size=16, factor=2)("water", level=9, low=np.zeros((4, 5, 3), np.uint8))

    def test_two_levels_in_one_call(self, pipeline):
        with pytest.raises(RequestError, match=r"levels \[8, 10\]"):
            pipeline(["8_GOOGLE_LEVEL_water", "10_GOOGLE_LEVEL_water"])

    def test_images_that_are_not_one_for_each_prompt(self, pipeline):
        with pytest.raises(RequestError, match="2 low images were given for 3 prompts"):
            pipeline(["a", "b", "c"], level=10, low=np.zeros((2, 4, 4, 3), np.uint8))

    def test_no_steps(self, pipeline):
        with pytest.raises(RequestError, match="num_inference_steps is 0"):
            pipeline("water", num_inference_steps=0)

    def test_stages_that_are_not_a_factor_apart(self, folder, tmp_path):
        broken = copied(folder, tmp_path, stage_levels=[8, 9, 10])
        with pytest.raises(ModelError, match=r"stage_levels \[8, 9, 10\].*2 levels apart, such as \[8, 10, 12\]"):
            text2earth.load(broken)

    def test_another_factor_than_the_networks(self, folder, tmp_path):
        with pytest.raises(ModelError, match=r"factor is 2 in model_index\.json, and 4 by the networks"):
            text2earth.load(copied(folder, tmp_path, factor=2))

    def test_an_index_that_does_not_say_where_it_begins(self, folder, tmp_path):
        with pytest.raises(ModelError, match=r"base_level was not given; model_index\.json"):
            text2earth.load(copied(folder, tmp_path, base_level=None))


def copied(folder, tmp_path, **changes):
    """The same model with another index."""
    import shutil

    name = tmp_path / "copy"
    shutil.copytree(folder, name)
    index = json.loads((name / "model_index.json").read_text()) | changes
    kept = {key: value for key, value in index.items() if value is not None}
    (name / "model_index.json").write_text(json.dumps(kept))
    return name


class TestAFolder:
    def test_it_paints_the_same(self, pipeline, folder):
        loaded = text2earth.load(folder)
        assert isinstance(loaded, MetaEarthPipeline)
        assert np.array_equal(painted(loaded, "water"), painted(pipeline, "water"))
        assert CascadeNetwork(loaded).fingerprint == CascadeNetwork(pipeline).fingerprint

    def test_diffusers_reads_it_too(self, pipeline, folder):
        loaded = MetaEarthPipeline.from_pretrained(folder, local_files_only=True)
        loaded.set_progress_bar_config(disable=True)
        assert np.array_equal(painted(loaded, "water"), painted(pipeline, "water"))

    def test_it_says_its_stages(self, folder):
        index = json.loads((folder / "model_index.json").read_text())
        assert index["_class_name"] == "MetaEarthPipeline"
        wanted = {"base_level": 8, "stage_levels": [8, 10, 12], "factor": 4, "window": 16, "steps": 12, "guidance": 2.0}
        assert {name: index[name] for name in wanted} == wanted


class TestANetworkOfWindows:
    def test_it_says_what_it_is(self, network):
        assert (network.window, network.factor) == (16, 4)
        assert network.alphas_cumprod.shape == (1000,)
        assert bool((network.alphas_cumprod.diff() < 0).all())

    def test_prompts_become_states(self, network):
        assert network.encode(["water", ""]).shape == (2, 77, 16)
        assert torch.equal(network.encode([""])[0], network.encode(["", "water"])[0])

    def test_it_predicts_clean_pixels(self, network):
        text = network.encode(["water", "forest"])
        for given, level in ((None, 8), (low(), 10)):
            found = network.denoise(noise(), 500, low=given, level=level, text=text)
            assert (found.shape, found.dtype) == ((2, 3, 16, 16), torch.float32)
            assert float(found.abs().max()) <= 1.0

    def test_every_condition_matters(self, network):
        text = network.encode(["water", "forest"])
        found = network.denoise(noise(), 500, low=low(), level=10, text=text)
        others = [
            network.denoise(noise(), 500, low=None, level=10, text=text),
            network.denoise(noise(), 500, low=low(seed=2), level=10, text=text),
            network.denoise(noise(), 500, low=low(), level=12, text=text),
            network.denoise(noise(), 500, low=low(), level=10, text=text.flip(0)),
            network.denoise(noise(), 400, low=low(), level=10, text=text),
        ]
        assert all(not torch.equal(found, other) for other in others)

    def test_it_walks_as_the_pipeline_does(self, pipeline, network):
        """DDIM on its clean pixels is the scheduler's own walk."""
        start = noise(1)
        expected = pipeline("water", latents=start, num_inference_steps=4, output_type="pt").images
        text, alphas, image = network.encode(["water"]), network.alphas_cumprod, start
        times = [999, 749, 499, 249]
        for now, later in zip(times, [*times[1:], None], strict=True):
            clean = network.denoise(image, now, low=None, level=8, text=text)
            grain = (image - alphas[now].sqrt() * clean) / (1 - alphas[now]).sqrt()
            after = torch.tensor(1.0) if later is None else alphas[later]
            image = after.sqrt() * clean + (1 - after).sqrt() * grain
        assert torch.allclose(image / 2 + 0.5, expected, atol=2e-2)

    def test_a_padded_batch_does_not_change_a_window(self, network):
        rows, text = noise(4), network.encode(["water"]).expand(4, -1, -1)
        other = torch.cat([rows[:1], noise(3, seed=5)])
        first, second = (network.denoise(each, 500, low=None, level=8, text=text)[0] for each in (rows, other))
        assert torch.equal(first, second)

    def test_other_weights_or_settings_are_another_network(self, network):
        prints = {
            network.fingerprint,
            CascadeNetwork(nano_cascade(guidance=3.0)).fingerprint,
            CascadeNetwork(nano_cascade(guidance=2.0, seed=1)).fingerprint,
        }
        assert len(prints) == 3
        assert CascadeNetwork(nano_cascade(guidance=2.0)).fingerprint == network.fingerprint


class TestTheCommand:
    def test_a_window_and_a_finer_one_in_it(self, run, folder, tmp_path):
        coarse, finer, crop = (tmp_path / f"{name}.png" for name in ("coarse", "finer", "crop"))
        status, out, _ = run("sample", folder, "water", "--out", coarse, "--json")
        told = json.loads(out.splitlines()[-1])
        assert (status, told["width"], told["height"]) == (0, 16, 16)
        assert {"12", "2.0", "8"} <= set(map(str, told.values()))  # its own steps, guidance and base level
        with Image.open(coarse) as image:
            assert "synthetic" in " ".join(map(str, image.info.values())).lower()
            image.crop((4, 4, 8, 8)).save(crop)
        assert run("sample", folder, "water", "--level", 10, "--low", crop, "--out", finer)[0] == 0
        with Image.open(finer) as image:
            assert image.size == (16, 16)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("sample", "MODEL", "x", "--width", 32), "a cascade paints windows"),
            (("sample", "MODEL", "x", "--month", 3), "month was given; a cascade takes text and level"),
            (("sample", "MODEL", "x", "--low", "nowhere.png"), "nowhere.png: there is no such file"),
            (("inpaint", "MODEL", "x", "--image", "A", "--mask", "A"), "is a cascade and has no autoencoder"),
            (("convert", "MODEL", "OUT"), "is a cascade, which has one layout alone"),
        ],
    )
    def test_what_it_refuses(self, run, folder, tmp_path, arguments, message):
        picture = tmp_path / "a.png"
        Image.new("RGB", (16, 16)).save(picture)
        given = {"MODEL": folder, "A": picture, "OUT": tmp_path / "out"}
        status, _, err = run(*(given.get(each, each) for each in arguments))
        assert status == 2
        assert message in " ".join(err.split())
