"""Growing images with an inpainting model of random weights: what holds does not depend on what is painted."""

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from small_models import nano_preset

from text2earth.checkpoints import new_scheduler
from text2earth.errors import RequestError
from text2earth.models import Inputs, build, train_tokenizer
from text2earth.sampling import Text2EarthInpaintPipeline
from text2earth.world.box import Box
from text2earth.world.grounds import ArrayGround, FileGround
from text2earth.world.outpainting import Outpainting, Waypoint, area_windows, outpaint, path_windows, unfinished

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

SIDE, STRIDE = 16, 8
PICTURE = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
AREA = Box(-8, 0, 48, 28)


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["a view of water. forest and fields"], vocab_size=600)
    model = build(nano_preset(), tokenizer=tokenizer, inputs=Inputs(inpainting=True))
    networks = (model.vae.eval(), model.text_encoder.eval(), tokenizer, model.unet.eval(), new_scheduler("epsilon"))
    found = Text2EarthInpaintPipeline(*networks)
    found.set_progress_bar_config(disable=True)
    return found


@pytest.fixture(scope="module")
def inpainter_folder(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "nano-inpainting"
    pipeline.save_pretrained(folder)
    return folder


def way(pipeline, *waypoints, **changes):
    return Outpainting(pipeline, waypoints or (Waypoint("water"),), **{"steps": 2, "level": 14, "seed": 5, **changes})


def grown(how, *, area=AREA, picture=PICTURE, valid=None):
    ground = ArrayGround(area, picture, valid)
    given = None if picture is None else Box(0, 0, picture.shape[1], picture.shape[0])
    windows = unfinished(ground, area_windows(given, area, side=how.side, stride=how.stride))
    assert [*outpaint(ground, windows, how=how)] == [*range(1, len(windows) + 1)]
    return ground


def test_an_image_grows_and_keeps_its_own_pixels(pipeline):
    ground = grown(way(pipeline))
    assert ground.pixels.shape == (28, 48, 3) and ground.painted.all()
    own = ground.pixels[0:20, 8:32]
    assert np.array_equal(own, PICTURE)
    beside = np.ones((28, 48), dtype=bool)
    beside[0:20, 8:32] = False
    assert ground.pixels[beside].std() > 10.0
    assert np.array_equal(ground.pixels, grown(way(pipeline)).pixels)
    for changes in ({"seed": 6}, {"level": 15}, {"steps": 3}, {"overlap": 0.25}):
        assert not np.array_equal(ground.pixels, grown(way(pipeline, **changes)).pixels)


def test_holes_of_the_image_are_painted_too(pipeline):
    valid = np.ones((20, 24), dtype=bool)
    valid[4:9, 5:12] = False
    ground = grown(way(pipeline), area=Box(0, 0, 24, 20), valid=valid)
    assert ground.painted.all() and np.array_equal(ground.pixels[valid], PICTURE[valid])
    hidden = PICTURE.copy()
    hidden[~valid] = 7
    assert np.array_equal(
        grown(way(pipeline), area=Box(0, 0, 24, 20), picture=hidden, valid=valid).pixels, ground.pixels
    )


def test_an_area_begins_from_nothing(pipeline):
    ground = grown(way(pipeline), area=Box(0, 0, 40, 24), picture=None)
    assert ground.painted.all() and ground.pixels.std() > 5.0


def test_windows_go_outwards_and_each_sees_a_quarter_of_a_side_at_least():
    given, area = Box(0, 0, 24, 20), Box(-30, -20, 100, 80)
    windows = area_windows(given, area, side=SIDE, stride=STRIDE)
    ground = ArrayGround(area, PICTURE)
    known = ground.painted
    for window in unfinished(ground, windows):
        inside = window.overlap(area)
        place = inside.slices(area)
        assert known[place].sum() >= (SIDE - STRIDE) * min(inside.width, inside.height) / 2
        known[place] = True
    assert known.all()
    assert windows == area_windows(given, area, side=SIDE, stride=STRIDE)
    assert len(set(windows)) == len(windows)


def test_a_path_is_followed_in_steps_of_the_stride():
    windows = path_windows([(8, 8), (48, 8), (48, 40)], side=SIDE, stride=STRIDE, unit=2)
    centres = [(window.x + 8, window.y + 8) for window in windows]
    assert centres[0] == (8, 8) and centres[-1] == (48, 40) and (48, 8) in centres
    assert all(abs(a[0] - b[0]) + abs(a[1] - b[1]) <= STRIDE for a, b in pairwise(centres))
    assert path_windows([(7, 9)], side=SIDE, stride=STRIDE, unit=2) == [Box(0, 0, 16, 16)]
    with pytest.raises(RequestError, match="the path has no point"):
        path_windows([], side=SIDE, stride=STRIDE, unit=2)


def test_a_prompt_holds_at_its_place_and_others_between(pipeline):
    water, forest = Waypoint("water", 8, 8), Waypoint("forest and fields", 88, 8)
    how = way(pipeline, water, forest)
    assert how.weights(Box(0, 0, 16, 16)).tolist() == [1.0, 0.0]
    assert how.weights(Box(40, 0, 16, 16)).tolist() == [0.5, 0.5]
    assert how.weights(Box(20, 0, 16, 16)) == pytest.approx([0.9, 0.1])
    alone = {text: pipeline.encode_prompt(text) for text in ("water", "forest and fields")}
    torch.testing.assert_close(how.states(Box(0, 0, 16, 16)), alone["water"])
    between = 0.5 * (alone["water"] + alone["forest and fields"])
    torch.testing.assert_close(how.states(Box(40, 0, 16, 16)), between)
    switched = way(pipeline, water, forest, blend="switch")
    assert switched.weights(Box(20, 0, 16, 16)).tolist() == [1.0, 0.0]
    assert switched.weights(Box(70, 0, 16, 16)).tolist() == [0.0, 1.0]


def test_prompts_along_the_way_change_what_is_painted_there_and_after(pipeline):
    area = Box(0, 0, 72, 16)
    picture = PICTURE[:16]
    plain = grown(way(pipeline, Waypoint("water", 8, 8)), area=area, picture=picture).pixels
    turns = (Waypoint("water", 8, 8), Waypoint("forest and fields", 64, 8))
    mixed = grown(way(pipeline, *turns, blend="switch"), area=area, picture=picture).pixels
    assert np.array_equal(mixed[:, :32], plain[:, :32])  # windows that are nearer to the first prompt
    assert not np.array_equal(mixed[:, 56:], plain[:, 56:])


def test_a_text_to_image_model_paints_outwards_too(model_folder):
    from text2earth.sampling import load

    plain = load(model_folder, device="cpu")
    settings = {"trained_levels": plain.config.trained_levels, "text_windows": plain.config.text_windows}
    painter = Text2EarthInpaintPipeline(**plain.components, **settings)
    painter.set_progress_bar_config(disable=True)
    ground = grown(way(painter), area=Box(0, 0, 40, 20))
    assert np.array_equal(ground.pixels[:, :24], PICTURE) and ground.painted.all()


def test_a_run_that_was_stopped_goes_on_to_the_same_pixels(pipeline, tmp_path):
    how, given = way(pipeline), Box(0, 0, 24, 20)
    windows = area_windows(given, AREA, side=how.side, stride=how.stride)

    def ground(folder):
        made = FileGround(folder, AREA, {"seed": 5})
        if not made.has_begun:
            made.put(given, PICTURE, np.ones((20, 24), bool))
            made.note(0)
        return made

    stopped = ground(tmp_path / "a")
    needed = unfinished(stopped, windows)
    painting = outpaint(stopped, needed, how=how)
    assert [next(painting) for _ in range(3)] == [1, 2, 3]
    stopped.note(3)
    # The fourth window is killed while it writes: some of what it paints is there, and not as it should be.
    half = needed[3].overlap(AREA)
    new = ~stopped.given(half)
    for window in needed[:3]:
        if shared := window.overlap(half):
            new[shared.slices(half)] = False
    assert new.any()
    stopped.write(half, np.full((half.height, half.width, 3), 99, np.uint8), new)
    stopped.close()
    again = ground(tmp_path / "a")
    assert again.done == 3 < len(needed)
    assert [*outpaint(again, needed, how=how, done=again.done)] == [*range(4, len(needed) + 1)]
    assert np.array_equal(again.read(AREA), grown(how).pixels)
    again.remove()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overlap": 0.1}, r"overlap 0\.1 was given; windows have 0\.25…0\.75"),
        ({"seed": -1}, "seed -1 was given"),
        ({"steps": 0}, "steps is 0"),
        ({"blend": "mix"}, "blend 'mix' was given; it is interpolate or switch"),
        ({"waypoints": ()}, "no prompt was given"),
    ],
)
def test_impossible_ways_are_refused(pipeline, changes, message):
    with pytest.raises(RequestError, match=message):
        Outpainting(pipeline, **{"waypoints": (Waypoint("water"),), **changes})


def test_the_command_grows_a_picture(run, inpainter_folder, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    asked = (tmp_path / "a.png", inpainter_folder, "--prompt", "water", "--level", 14, "--steps", 2)
    status, out, _ = run("outpaint", *asked, "--right", 16, "--up", 8, "--out", tmp_path / "b.png", "--json")
    report = json.loads(out.splitlines()[-1])
    assert status == 0 and (report["width"], report["height"], report["up"]) == (40, 28, 8)
    with Image.open(tmp_path / "b.png") as found:
        assert found.mode == "RGB" and found.text["SYNTHETIC"] == "YES" and found.text["PROMPT"] == "water"
        assert np.array_equal(np.asarray(found)[8:28, 0:24], PICTURE)
    assert not (tmp_path / "b.png.work").exists()


def test_the_command_follows_a_path_and_leaves_the_rest_clear(run, inpainter_folder, tmp_path):
    asked = ("--prompt", "water", "--prompt", "forest", "--path", "8,8 60,8 60,60", "--steps", 2)
    status, out, _ = run("outpaint", "-", inpainter_folder, *asked, "--out", tmp_path / "a.png")
    assert status == 0 and "windows, synthetic" in out
    with Image.open(tmp_path / "a.png") as found:
        assert found.mode == "RGBA" and found.text["PROMPT"] == "water | forest"
        alpha = np.asarray(found)[..., 3]
    assert alpha[8, 30] == alpha[40, 60] == 255 and alpha[40, 20] == 0


def test_a_geotiff_keeps_its_place(run, inpainter_folder, tmp_path):
    place = {"crs": "EPSG:32632", "transform": rasterio.transform.from_origin(690_000, 5_330_000, 10, 10)}
    size = {"driver": "GTiff", "width": 24, "height": 20, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(tmp_path / "a.tif", "w", **size, **place) as target:
        target.write(np.moveaxis(PICTURE, -1, 0))
    asked = ("--prompt", "water", "--left", 16, "--up", 8, "--steps", 2, "--out", tmp_path / "b.tif")
    assert run("outpaint", tmp_path / "a.tif", inpainter_folder, *asked)[0] == 0
    with rasterio.open(tmp_path / "b.tif") as found:
        assert (found.width, found.height, found.crs.to_epsg()) == (40, 28, 32632)
        assert tuple(found.bounds)[:1] + tuple(found.bounds)[3:] == (690_000 - 160, 5_330_000 + 80)
        assert np.array_equal(np.moveaxis(found.read(), 0, -1)[8:, 16:], PICTURE)
        assert found.tags()["SYNTHETIC"] == "YES"
    assert (tmp_path / "b.stac.json").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "nothing to paint: give --right"),
        (("--right", -5), "none is below 0"),
        (("--right", 8, "--path", "1,1"), "give one of the two"),
        (("--right", 8, "--prompt", "forest"), "several prompts need their places"),
        (("--right", 8, "--at", "1,1", "--at", "2,2"), "1 prompts and 2 --at were given"),
        (("--path", "8;8"), "--path has '8;8'; a point is X,Y"),
        (("--path", "300,8 400,8"), "the path begins at 300,8, from where a window of 16 px sees nothing of the image"),
        (("--right", 8, "--overlap", 0.9), "overlap 0.9 was given"),
        (("--right", 8, "--out", "a.jpg"), "the image is written as .png or .tif"),
        (("--right", 90_000, "--down", 90_000), "is too large; give --out outpainted.tif"),
    ],
)
def test_impossible_requests_are_refused(run, inpainter_folder, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    status, _, err = run("outpaint", tmp_path / "a.png", inpainter_folder, "--prompt", "water", *options)
    assert status == 2 and message in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_request_that_differs_from_the_one_begun_is_refused(run, inpainter_folder, tmp_path, monkeypatch):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    asked = (tmp_path / "a.png", inpainter_folder, "--prompt", "water", "--right", 24, "--steps", 2)
    named = ("--out", tmp_path / "b.png")
    from text2earth.world import outpainting

    real, calls = Outpainting.painted, []

    def failing(self, *arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise MemoryError
        return real(self, *arguments)

    monkeypatch.setattr(outpainting.Outpainting, "painted", failing)
    with pytest.raises(MemoryError):
        run("outpaint", *asked, *named)
    assert (tmp_path / "b.png.work").is_dir() and not (tmp_path / "b.png").exists()
    status, _, err = run("outpaint", *asked, "--seed", 3, *named)
    assert status == 2 and "was begun by another request (seed 0 → 3); ask for the same again" in err
    calls.clear()
    monkeypatch.setattr(outpainting.Outpainting, "painted", real)
    assert run("outpaint", *asked, *named)[0] == 0
    assert run("outpaint", *asked, "--out", tmp_path / "c.png")[0] == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.asarray(Image.open(tmp_path / "c.png")))


PEAK = """
import resource, sys
from pathlib import Path
import numpy as np
from text2earth.provenance import Origin
from text2earth.world.box import Box
from text2earth.world.ground_files import write_ground
from text2earth.world.grounds import FileGround
side = int(sys.argv[1])
folder = Path(sys.argv[2])
area = Box(0, 0, 2048, side)
ground = FileGround(folder / "work", area, {})
tile = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
for y in range(0, side, 256):
    for x in range(0, 2048, 256):
        ground.write(Box(x, y, 256, 256), tile, ~ground.given(Box(x, y, 256, 256)))
write_ground(ground, folder / "a.tif", origin=Origin("m", "p", 1, 0), place={})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_area(tmp_path):
    peaks = []
    for side in (1024, 16384):
        (tmp_path / str(side)).mkdir()
        command = [sys.executable, "-c", PEAK, str(side), str(tmp_path / str(side))]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < peaks[0] * 1.1 + 64  # GDAL's cache fills up to 64 MiB
