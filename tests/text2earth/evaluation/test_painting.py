"""Measures of painting, on images whose answer is known, and the shipped model's card against the imagery."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from text2earth.errors import RequestError
from text2earth.evaluation import (
    Patches,
    Settings,
    fidelity,
    high_pass_energy,
    level_correlation,
    measure,
    nearest_distances,
    read_patches,
    word_accuracy,
)
from text2earth.sampling import load

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "text2earth" / "zoo_models" / "text2earth-tiny"


def noise(count, *, colour=(128, 128, 128), spread=20.0, grain=1, seed=0):
    """Images of one colour with noise of ``grain`` px."""
    drawn = np.random.default_rng(seed).normal(0.0, spread, (count, 32 // grain, 32 // grain, 1))
    drawn = drawn.repeat(grain, axis=1).repeat(grain, axis=2)
    return np.clip(drawn + np.array(colour), 0, 255).astype(np.uint8)


def test_high_pass_energy_falls_as_grain_grows():
    fine, coarse, flat = noise(4), noise(4, grain=4), noise(4, spread=0.0)
    assert (high_pass_energy(fine) > 2.0 * high_pass_energy(coarse)).all()
    assert high_pass_energy(flat).max() == 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"colour": (40, 60, 120)}, {"colour": (60, 110, 50)}),  # told apart by colour
        ({"grain": 1}, {"grain": 8}),  # and by texture alone
    ],
)
def test_words_are_told_apart_by_colour_and_by_texture(one, other):
    real = [noise(30, **one), noise(12, seed=1, **other)]
    painted = [noise(16, seed=2, **one), noise(16, seed=3, **other)]
    assert word_accuracy(real, painted) == 1.0
    assert word_accuracy(real, painted[::-1]) == 0.0
    assert word_accuracy(real, [painted[0], painted[0]]) == 0.5  # a model that is deaf to the word


def test_levels_are_read_off_the_scale_of_the_texture():
    grains = {14: 1, 13: 2, 12: 4}
    real = np.concatenate([noise(10, grain=grain, seed=level) for level, grain in grains.items()])
    levels = [level for level in grains for _ in range(10)]
    painted = np.concatenate([noise(5, grain=grain, seed=99 + level) for level, grain in grains.items()])
    asked = [level for level in grains for _ in range(5)]
    assert level_correlation(real, levels, painted, asked) > 0.9
    assert level_correlation(real, levels, painted[::-1], asked) < -0.9


def test_a_copy_is_found_however_it_is_mirrored_and_turned():
    real = noise(6)
    copy = np.rot90(real[2], k=3)[:, ::-1][None]
    assert nearest_distances(copy, real).tolist() == [0.0]
    assert nearest_distances(real, real, skip_itself=True).min() > 10.0
    assert nearest_distances(real[:1] // 2 * 2 + 1, real)[0] == pytest.approx(0.7, abs=0.2)


def test_fidelity_is_the_psnr_of_the_rebuilt_image():
    class Offset:
        """An autoencoder that makes everything 1 % of the range brighter."""

        def encode(self, pixels):
            self.latent_dist = type("Posterior", (), {"mean": pixels})
            return self

        def decode(self, latents):
            return type("Decoded", (), {"sample": latents + 0.02})

    assert fidelity(Offset(), noise(20)) == pytest.approx(40.0, abs=0.01)


def test_a_word_is_known_from_enough_patches_of_enough_scenes():
    shares = ({"water": 0.6}, {"water": 0.7, "snow": 0.2}, {"snow": 1.0}, {"snow": 0.8})
    patches = Patches(noise(4), (14,) * 4, ("a", "b", "b", "b"), shares, ("",) * 4)
    assert patches.known_words(patches=2) == ["water"]  # snow lies in one scene
    assert patches.known_words(patches=2, scenes=1) == ["snow", "water"]
    assert patches.mostly("water").tolist() == [True, True, False, False]


def test_everything_is_measured_of_a_model(model_folder):
    pixels = np.concatenate([noise(20, colour=(40, 60, 120)), noise(20, colour=(60, 110, 50), seed=1)])
    pixels = pixels[:, :16, :16]
    shares = ({"water": 1.0},) * 20 + ({"forest": 1.0},) * 20
    trained = Patches(pixels, (13, 14) * 20, ("a", "a", "b", "b") * 10, shares, ("a caption",) * 40)
    settings = Settings(images=4, steps=2)
    found = measure(load(model_folder), trained=trained, held_out=trained, settings=settings)
    assert found == measure(load(model_folder), trained=trained, held_out=trained, settings=settings)
    assert set(found.word_pairs) == {("forest", "water")}
    assert -1.0 <= found.level_correlation <= 1.0
    assert found.nearest_painted > 0.0 and found.nearest_real > 0.0 and found.nearest_alike > 0.0
    one_word = Patches(pixels, trained.levels, trained.sources, ({"water": 1.0},) * 40, trained.captions)
    with pytest.raises(RequestError, match="pairs need two"):
        measure(load(model_folder), trained=one_word, held_out=trained)


def test_the_command_measures_a_model(run, model_folder, small_tiles, monkeypatch):
    known = np.array([{"water": 1.0} if row % 2 else {"forest": 1.0} for row in range(24)])
    found = read_patches(small_tiles, size=16)
    sources = ("a", "b") * 6 + ("b", "a") * 6
    of_two_words = Patches(found.pixels, found.levels, sources, tuple(known), found.captions)
    monkeypatch.setattr("text2earth.evaluation.read_patches", lambda folder, *, size: of_two_words)
    monkeypatch.setattr(Patches, "known_words", lambda self: ["forest", "water"])
    asked = ("--trained", small_tiles, "--held-out", small_tiles, "--images", 4, "--steps", 2)
    status, out, _ = run("evaluate", "painting", model_folder, *asked)
    assert status == 0 and "autoencoder" in out and "forest or water" in out
    status, out, _ = run("evaluate", "painting", model_folder, *asked, "--json")
    assert status == 0 and set(json.loads(out.splitlines()[-1])["word_pairs"]) == {"forest / water"}


def test_the_command_says_what_it_misses(run, model_folder, small_tiles, tmp_path):
    asked = ("--trained", small_tiles, "--held-out", tmp_path)
    status, _, err = run("evaluate", "painting", model_folder, *asked)
    assert status == 2 and "has no data/train-*.parquet" in err
    asked = ("--trained", small_tiles, "--held-out", small_tiles)
    status, _, err = run("evaluate", "painting", model_folder, *asked)
    assert status == 2 and "pairs need two" in err


def test_tiles_are_averaged_and_their_levels_fall(dataset, tmp_path):
    patches = read_patches(dataset, size=64)
    assert patches.pixels.shape == (48, 64, 64, 3)
    assert set(patches.levels) == {12, 13}  # tiles of 256 px, levels 14 and 15
    with pytest.raises(RequestError, match="256×256 px; give tiles of 100"):
        read_patches(dataset, size=100)
    with pytest.raises(RequestError, match=r"no data/train"):
        read_patches(tmp_path, size=64)


@pytest.mark.slow
@pytest.mark.skipif(not SHIPPED.is_dir(), reason="no weights are shipped")
@pytest.mark.skipif("GIT10M_IMAGERY" not in os.environ, reason="GIT10M_IMAGERY is unset: no real imagery")
def test_the_card_says_what_the_shipped_weights_do(tmp_path):
    from typer.testing import CliRunner

    from git10m.cli import app

    imagery = Path(os.environ["GIT10M_IMAGERY"])
    recipes = ROOT / "pipelines"

    def run(*words):
        answer = CliRunner().invoke(app, [str(word) for word in words])
        assert answer.exit_code == 0, answer.output

    scenes = f"imagery={imagery}"
    run("classify", recipes / "text2earth-tiny-classes.toml", "--var", scenes, "-o", tmp_path / "classes")
    made = ("--var", f"classes={tmp_path / 'classes'}", "--workers", "1", "-o", tmp_path / "data")
    run("build", recipes / "text2earth-tiny-data.toml", "--var", scenes, *made)
    held = ("--var", scenes, "--workers", "1", "-o", tmp_path / "held-out")
    run("build", recipes / "text2earth-tiny-held-out.toml", *held)
    found = measure(
        load(SHIPPED, device="cpu"),
        trained=read_patches(tmp_path / "data", size=64),
        held_out=read_patches(tmp_path / "held-out", size=64),
    )
    said = json.loads((SHIPPED / "measures.json").read_text(encoding="utf-8"))
    assert found.psnr_db == pytest.approx(said["psnr_db"], abs=0.2)
    assert found.high_pass_ratio == pytest.approx(said["high_pass_ratio"], rel=0.15)
    pairs = {" / ".join(pair): share for pair, share in found.word_pairs.items()}
    assert pairs == pytest.approx(said["word_pairs"], abs=0.06)
    assert found.level_correlation == pytest.approx(said["level_correlation"], abs=0.1)
    assert found.nearest_painted == pytest.approx(said["nearest_painted"], rel=0.15)
    assert found.nearest_real == pytest.approx(said["nearest_real"], rel=0.1)
    assert found.nearest_alike == pytest.approx(said["nearest_alike"], rel=0.1)
