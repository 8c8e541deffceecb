"""Seams that are planted, textures that repeat by construction, and real imagery, which has neither."""

import json
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from PIL import Image

from text2earth.errors import RequestError
from text2earth.evaluation import high_pass_energy, measure_seams

DEEPFOREST = "deepforest__5dded5bc0140b80006d2e565_23.tif"
TCI = "titiler__TCI.tif"


def smooth_noise(size, *, spread=30.0, grain=24, seed=0):
    """Hills of about ``grain`` px with a standard deviation of ``spread``, without a seam or a repetition."""
    drawn = np.random.default_rng(seed).normal(0.0, 1.0, (size, size, 3))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    low = np.exp(-((frequency * grain) ** 2))[..., None]
    hills = np.fft.ifft2(np.fft.fft2(drawn, axes=(0, 1)) * low, axes=(0, 1)).real
    return np.clip(hills / hills.std() * spread + 128.0, 0, 255).round().astype(np.uint8)


def with_step(pixels, height, *, stride):
    """Brighten every other tile, as a checkerboard."""
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    board = (x // stride + y // stride) % 2
    return np.clip(pixels.astype(np.int16) + height * board[..., None], 0, 255).astype(np.uint8)


def windowed(scene, *, period, share, seed=0):
    """MetaEarth's fault by formula: texture of one noise that all windows start from, ``share`` of it common."""
    draws = np.random.default_rng(seed)
    common = np.tile(draws.normal(0.0, 12.0, (period, period, 3)), (len(scene) // period,) * 2 + (1,))
    own = draws.normal(0.0, 12.0, scene.shape)
    painted = scene + np.sqrt(share) * common + np.sqrt(1.0 - share) * own
    return np.clip(painted, 0, 255).round().astype(np.uint8)


def scene(imagery, name, *, size):
    """A real image, mirrored at its borders until it is ``size`` px a side."""
    with rasterio.open(imagery / "rasters" / name) as source:
        pixels = np.moveaxis(source.read([1, 2, 3]), 0, -1)
    return np.pad(pixels, ((0, size - len(pixels)), (0, size - pixels.shape[1]), (0, 0)), mode="symmetric")


def seam(measures, axis, kind):
    return next(each for each in measures.seams if (each.axis, each.kind) == (axis, kind))


def test_smooth_noise_has_no_seam_and_a_planted_step_is_found():
    pixels = smooth_noise(512)
    clean, planted = (measure_seams(each, stride=64) for each in (pixels, with_step(pixels, 2, stride=64)))
    assert clean.is_seamless
    for axis in ("columns", "rows"):
        assert not seam(planted, axis, "step").is_inside
        assert seam(planted, axis, "step").ratio > 4.0
        assert seam(clean, axis, "step").ratio < 1.2


def test_a_seam_is_told_by_axis_and_by_phase():
    pixels = smooth_noise(512)
    pixels[:, 24::64] //= 2  # one dark column every 64
    found = measure_seams(pixels, stride=64, offset=24)
    assert not seam(found, "columns", "gradient").is_inside
    assert seam(found, "rows", "gradient").is_inside
    assert int(np.argmax(seam(measure_seams(pixels, stride=64), "columns", "gradient").by_phase)) in (24, 25)


def test_windows_that_are_sharp_in_the_middle_show_as_a_wave():
    pixels = smooth_noise(512, grain=2).astype(np.float32)
    wave = 0.75 + 0.25 * np.cos(2 * np.pi * np.arange(512) / 64)
    blended = (128 + (pixels - 128) * wave[:, None]).astype(np.uint8)
    assert seam(measure_seams(blended, stride=64), "columns", "gradient").modulation > 0.25
    assert seam(measure_seams(pixels.astype(np.uint8), stride=64), "columns", "gradient").modulation < 0.05


def test_one_noise_for_all_windows_repeats_and_noise_of_the_place_does_not():
    hills = smooth_noise(640, grain=40).astype(np.float64)
    painted = windowed(hills, period=128, share=0.5)
    repeated = measure_seams(painted, stride=128)
    assert [(each.axis, each.lag) for each in repeated.repetitions] == [("columns", 128), ("rows", 128)]
    assert all(each.score == pytest.approx(0.5, abs=0.05) for each in repeated.repetitions)
    assert repeated.periodicity >= 0.3
    assert measure_seams(painted, stride=80).periodicity < 0.02  # another distance, and 4 times that
    assert abs(measure_seams(windowed(hills, period=128, share=0.0), stride=128).periodicity) < 0.01


def test_a_repetition_shows_at_the_multiples_too():
    painted = measure_seams(windowed(smooth_noise(512, grain=40), period=32, share=1.0), stride=32)
    scores = {(each.axis, each.lag): each.score for each in painted.repetitions}
    assert sorted(scores) == [("columns", 32), ("columns", 128), ("rows", 32), ("rows", 128)]
    assert min(scores.values()) > 0.8


def test_sharpness_is_the_energy_that_painting_is_measured_by():
    pixels = smooth_noise(512, grain=2)
    found = measure_seams(pixels, stride=64)
    assert found.high_pass_energy == pytest.approx(float(high_pass_energy(pixels[None])[0]), rel=0.01)
    blurred = measure_seams(smooth_noise(512, grain=8), stride=64)
    assert blurred.high_pass_energy < found.high_pass_energy / 10
    assert blurred.spectral_slope < found.spectral_slope - 0.5


def write(path, pixels, **options):
    bands = np.moveaxis(pixels, -1, 0)
    size = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype.name}
    place = {"crs": "EPSG:3857", "transform": rasterio.transform.from_origin(500_000, 900_000, 2, 2)}
    with rasterio.open(path, "w", driver="GTiff", **size, **place, **options) as target:
        target.write(bands)
    return path


def test_a_file_is_measured_as_its_array_however_it_is_stored(tmp_path):
    pixels = with_step(smooth_noise(512), 1, stride=64)[:, :448]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tiled = write(tmp_path / "a.tif", pixels, tiled=True, blockxsize=128, blockysize=128, photometric="RGB")
    assert measure_seams(tmp_path / "a.png", stride=64) == measure_seams(pixels, stride=64)
    assert measure_seams(tiled, stride=64) == measure_seams(pixels, stride=64)


def test_large_files_in_whole_rows_are_rewritten_in_tiles(tmp_path, monkeypatch):
    pixels = smooth_noise(512)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    monkeypatch.setattr("text2earth.evaluation.strips._IN_MEMORY_PIXELS", 1000)
    monkeypatch.setattr("text2earth.evaluation.strips._STRIP_PIXELS", 512 * 20)  # strips that end within a seam
    found, whole = measure_seams(tmp_path / "a.png", stride=64), measure_seams(pixels, stride=64)
    assert [each.value for each in found.seams] == pytest.approx([each.value for each in whole.seams])
    assert found.periodicity == pytest.approx(whole.periodicity)


def test_what_is_not_valid_is_left_out(tmp_path):
    pixels = smooth_noise(512)
    clean = measure_seams(pixels, stride=64)
    holed = np.dstack([pixels, np.full((512, 512), 255, np.uint8)])
    holed[100:260, 128:256] = 0  # a black hole along the seams, and transparent
    path = write(tmp_path / "a.tif", holed, tiled=True, blockxsize=64, blockysize=64, photometric="RGB", alpha="yes")
    found = measure_seams(path, stride=64)
    assert found.is_seamless
    assert found.high_pass_energy == pytest.approx(clean.high_pass_energy, rel=0.05)
    visible = holed[..., :3].copy()
    assert not measure_seams(visible, stride=64).is_seamless


@pytest.mark.parametrize(
    ("source", "stride", "message"),
    [
        (np.zeros((100, 400, 3), np.uint8), 32, "array is 400×100 px; seams 32 px apart need 128 px a side"),
        (np.zeros((400, 400, 3), np.uint8), 4, "stride 4 and offset 0: a stride is ≥ 8 px"),
        (np.zeros((400, 400, 4), np.uint8), 32, r"an array uint8 \(400, 400, 4\) was given"),
        (np.zeros((400, 400, 3), np.float32), 32, "an array float32"),
        (np.zeros((0, 400, 3), np.uint8), 32, "which has no pixels"),
    ],
)
def test_impossible_requests_are_refused(source, stride, message):
    with pytest.raises(RequestError, match=message):
        measure_seams(source, stride=stride)


def test_files_that_are_no_image_are_refused(tmp_path):
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(RequestError, match=r"a\.png cannot be read"):
        measure_seams(tmp_path / "a.png", stride=32)
    with pytest.raises(RequestError, match="there is no such file"):
        measure_seams(tmp_path / "b.png", stride=32)
    deep = write(tmp_path / "deep.tif", np.zeros((256, 256, 3), np.uint16))
    with pytest.raises(RequestError, match="has pixels of uint16; give an image of 8-bit"):
        measure_seams(deep, stride=32)
    empty = write(tmp_path / "empty.tif", np.zeros((256, 256, 3), np.uint8), nodata=0)
    with pytest.raises(RequestError, match="0 valid pixels"):
        measure_seams(empty, stride=32)
    whole = write(tmp_path / "whole.tif", smooth_noise(256), tiled=True, blockxsize=64, blockysize=64, compress="lzw")
    torn = tmp_path / "torn.tif"
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(RequestError, match=r"torn\.tif (is damaged|cannot be read)"):
        measure_seams(torn, stride=32)


def test_a_flat_image_has_no_seam_and_no_texture():
    found = measure_seams(np.full((256, 256, 3), 90, np.uint8), stride=32)
    assert found.is_seamless and found.periodicity == 0.0 and found.high_pass_energy == 0.0
    assert np.isnan(found.spectral_slope)


def test_real_imagery_does_not_repeat_and_a_planted_step_is_found(imagery):
    with rasterio.open(imagery / "rasters" / TCI) as source:
        pixels = np.moveaxis(source.read(), 0, -1)[:768, :768]
    found = measure_seams(pixels, stride=128)
    assert found.periodicity < 0.01
    planted = measure_seams(with_step(pixels, 2, stride=128), stride=128)
    for axis in ("columns", "rows"):
        assert not seam(planted, axis, "step").is_inside
        assert seam(planted, axis, "step").value > 2 * seam(found, axis, "step").value


@pytest.mark.slow
@pytest.mark.parametrize("name", [DEEPFOREST, TCI])
def test_a_step_of_2_is_found_on_real_imagery_of_4096_px(imagery, name):
    """No real image at hand is that large: these are mirrored at their borders, which makes no seam."""
    pixels = scene(imagery, name, size=4096)
    control = measure_seams(pixels, stride=128)
    assert control.is_seamless and control.periodicity < 0.01
    planted = measure_seams(with_step(pixels, 2, stride=128), stride=128)
    assert not seam(planted, "columns", "step").is_inside and not seam(planted, "rows", "step").is_inside
    repeated = windowed(pixels.astype(np.float64), period=128, share=0.8)
    assert measure_seams(repeated, stride=128).periodicity >= 0.3


PEAK = """
import resource, sys
from pathlib import Path
from text2earth.evaluation import measure_seams
measure_seams(Path(sys.argv[1]), stride=128)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_area(tmp_path):
    def peak_mib(height):
        block = smooth_noise(512)
        profile = {
            "driver": "GTiff",
            "count": 3,
            "width": 1024,
            "height": height,
            "dtype": "uint8",
            "photometric": "RGB",
        }
        place = {"crs": "EPSG:3857", "transform": rasterio.transform.from_origin(500_000, 900_000, 2, 2)}
        tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "zlevel": 1}
        path = tmp_path / f"{height}.tif"
        with rasterio.open(path, "w", **profile, **place, **tiles) as target:
            for row in range(0, height, 512):
                for column in (0, 512):
                    window = rasterio.windows.Window(column, row, 512, 512)
                    target.write(np.moveaxis(block, -1, 0), window=window)
        done = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert peak_mib(16384) < peak_mib(1024) * 1.3


def test_the_command_prints_a_table_and_json(run, tmp_path):
    Image.fromarray(with_step(smooth_noise(256), 2, stride=32)).save(tmp_path / "painted.png")
    Image.fromarray(smooth_noise(256)).save(tmp_path / "real.png")
    asked = ("evaluate", "seams", tmp_path / "painted.png", "--stride", 32, "--real", tmp_path / "real.png")
    status, out, _ = run(*asked)
    assert status == 0
    assert "columns, step" in out and "OUTSIDE" in out and "seams stand out: " in out and "× real" in out
    status, out, _ = run(*asked, "--json")
    report = json.loads(out.splitlines()[-1])
    assert status == 0 and not report["is_seamless"]
    steps = [row["ratio"] for part in (report, report["real"]) for row in part["seams"] if row["kind"] == "step"]
    assert min(steps[:2]) > 4.0 and max(steps[2:]) < 1.5
    assert report["high_pass_ratio"] == pytest.approx(1.0, abs=0.2)
    assert {row["kind"] for row in report["seams"]} == {"gradient", "step"}
    status, _, err = run("evaluate", "seams", tmp_path / "none.png", "--stride", 32)
    assert status == 2 and "there is no such file" in err
