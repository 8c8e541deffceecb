import json
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import rasterio.transform
from PIL import Image

CONFIG = """
name = "nano"
[data]
path = "${dataset}"
[model]
preset = "nano"
[vae]
steps = 2
batch_size = 2
[denoiser]
steps = 2
batch_size = 2
"""


def test_help_is_quick_to_come():
    code = "import sys, text2earth.cli, text2earth; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_train_then_sample(run, small_tiles, tmp_path):
    config, model = tmp_path / "train.toml", tmp_path / "model"
    config.write_text(CONFIG)
    status, out, err = run("train", config, "--var", f"dataset={small_tiles}", "--output", model, "--json")
    assert status == 0
    report = json.loads(out.splitlines()[-1])
    assert (report["model"], report["rows"], report["skipped_rows"]) == (str(model), 24, {})
    assert "train denoiser" in err
    image = tmp_path / "out" / "tile.png"
    status, out, _ = run("sample", model, "a river", "--level", 14, "--seed", 1, "--steps", 2, "--out", image)
    assert status == 0 and "16×16 px, synthetic" in out
    with Image.open(image) as found:
        assert found.size == (16, 16) and found.text["SYNTHETIC"] == "YES" and found.text["SEED"] == "1"


def test_same_seed_same_file(run, model_folder, tmp_path):
    for name in ("a", "b"):
        arguments = ("water", "--level", 14, "--seed", 5, "--steps", 2, "--out", tmp_path / f"{name}.png")
        assert run("sample", model_folder, *arguments)[0] == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_sample_a_geotiff(run, model_folder, tmp_path):
    place = ("--lon", 11.5, "--lat", 48.1, "--width", 32, "--steps", 2, "--out", tmp_path / "a.tif", "--json")
    status, out, _ = run("sample", model_folder, "15_GOOGLE_LEVEL_water", *place)
    assert status == 0
    assert json.loads(out.splitlines()[-1])["LEVEL"] == "15"
    with rasterio.open(tmp_path / "a.tif") as found:
        assert (found.width, found.height, found.crs.to_epsg()) == (32, 16, 3857)
        assert found.tags()["SYNTHETIC"] == "YES"


def test_inpaint_keeps_what_is_black_in_the_mask_and_the_place_of_a_geotiff(run, model_folder, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    place = rasterio.transform.from_origin(690_000, 5_330_000, 10, 10)
    with rasterio.open(
        tmp_path / "image.tif", "w", driver="GTiff", width=24, height=16, count=3, dtype="uint8", crs="EPSG:32632",
        transform=place, photometric="RGB",
    ) as target:  # fmt: skip
        target.write(np.moveaxis(pixels, -1, 0))
    white = np.zeros((16, 24), dtype=bool)
    white[4:9, 3:12] = True
    Image.fromarray((white * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    files = ("--image", tmp_path / "image.tif", "--mask", tmp_path / "mask.png", "--level", 14, "--steps", 2)
    status, out, _ = run("inpaint", model_folder, "water", *files, "--out", tmp_path / "out.tif")
    assert status == 0 and "24×16 px, synthetic" in out
    with rasterio.open(tmp_path / "out.tif") as found:
        painted = np.moveaxis(found.read(), 0, -1)
        assert (found.crs.to_epsg(), found.transform) == (32632, place)
        assert found.tags()["SYNTHETIC"] == "YES"
    assert np.array_equal(painted[~white], pixels[~white])
    assert not np.array_equal(painted[white], pixels[white])
    assert run("inpaint", model_folder, "water", *files, "--out", tmp_path / "out.png")[0] == 0
    with Image.open(tmp_path / "out.png") as found:
        assert np.array_equal(np.asarray(found), painted) and found.text["LEVEL"] == "14"


def test_a_level_that_was_not_trained_on_is_said(run, model_folder, tmp_path):
    status, _, err = run("sample", model_folder, "water", "--level", 9, "--steps", 1, "--out", tmp_path / "a.png")
    assert status == 0
    assert "level 9 was not trained on; trained levels are [14, 15]" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sample", "MODEL", "x", "--level", "40"), "level 40 was given; levels are 1–22"),
        (("sample", "MODEL", "16_GOOGLE_LEVEL_x", "--level", "12"), "prefix says level 16"),
        (("sample", "MODEL", "x", "--out", "a.jpg"), "the image is written as .png or .tif"),
        (("sample", "MODEL", "x", "--out", "a.tif"), "takes both --lon and --lat"),
        (("sample", "MODEL", "x", "--out", "a.png", "--lon", "1", "--lat", "2"), "this model takes text, level"),
        (("sample", "MODEL", "x", "--lon", "1"), "a place has both, or neither"),
        (("sample", "MODEL", "x", "--month", "13"), "month 13 was given"),
        (("inpaint", "MODEL", "x", "--image", "no.png", "--mask", "no.png"), "--image no.png: there is no such file"),
        (("inpaint", "MODEL", "x", "--image", "IMAGE", "--mask", "TEXT"), "cannot be read"),
        (("inpaint", "MODEL", "x", "--image", "IMAGE", "--mask", "MASK"), "the mask is 16×8 px and the image 16×16 px"),
        (
            ("inpaint", "MODEL", "x", "--image", "IMAGE", "--mask", "IMAGE", "--out", "a.tif"),
            "takes its place from a GeoTIFF",
        ),
        (("sample", "MODEL", "x", "--out", "a.tif", "--lon", "1", "--lat", "2"), "needs a level of 1–22"),
        (("sample", "MODEL", "x", "--steps", "0"), "at least 1 is needed"),
        (("sample", "MODEL", "x", "--width", "17"), "a multiple of 2"),
        (
            ("sample", "no-such-model", "x"),
            "there is no folder 'no-such-model', and no zoo model of that name",
        ),
        (("sample", "EMPTY", "x"), "is not a model: it has no model_index.json"),
        (("train", "none.toml"), "none.toml cannot be read"),
        (("train", "none.toml", "--var", "dataset"), "write --var NAME=VALUE"),
    ],
)
def test_a_wrong_request_is_one_message_and_status_2(run, model_folder, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (16, 16)).save("image.png")
    Image.new("L", (16, 8)).save("mask.png")
    (tmp_path / "text.png").write_text("no picture")
    places = {
        "MODEL": model_folder,
        "EMPTY": tmp_path / "empty",
        "IMAGE": "image.png",
        "MASK": "mask.png",
        "TEXT": "text.png",
    }
    status, _, err = run(*(places.get(argument, argument) for argument in arguments))
    assert status == 2
    assert message in err and "Traceback" not in err


def test_an_unfinished_training_is_told_apart(run, tmp_path):
    (tmp_path / "model" / "training").mkdir(parents=True)
    status, _, err = run("sample", tmp_path / "model", "x")
    assert status == 2 and "holds a training that has not ended" in err


def test_failed_work_is_status_1(run, model_folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, _, err = run("sample", model_folder, "x", "--steps", 1, "--out", tmp_path / "file" / "a.png")
    assert status == 1
    assert err.count("text2earth: ") == 1 and "Traceback" not in err
