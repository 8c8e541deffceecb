import numpy as np
import pytest
from small_networks import AnalyticNetwork

from text2earth.errors import RequestError
from text2earth.world import Box, Painting, UniformPrompt, block_mean, paint, passes

FIELDS = UniformPrompt("fields")
MODES = ["metaearth", "trimmed", "tent", "fused"]


def painting_of(network, **changes):
    settings = {"level": 14, "stage": 1, "seed": 5, "steps": 3, "mode": "fused", "batch": 4}
    return Painting(network, **settings | changes)


def hills(box):
    """A parent without edges: slow waves of three colours, uint8 (h, w, 3)."""
    y, x = np.mgrid[box.y : box.bottom, box.x : box.right]
    waves = [np.sin(x / 9) + np.cos(y / 7), np.sin((x + y) / 11), np.cos(x / 13) * np.sin(y / 17)]
    return np.rint(128 + 45 * np.stack(waves, axis=-1)).astype(np.uint8)


def flat(box):
    return np.full((box.height, box.width, 3), 128, dtype=np.uint8)


def painted(box, painting, *, low=hills, prompts=FIELDS, project=True):
    return paint([box], painting=painting, low=low, prompts=prompts, project=project)[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_box_is_the_cut_of_any_larger_one(network, mode):
    painting = painting_of(network, mode=mode)
    whole, box = Box(-70, 30, 200, 150), Box(-13, 61, 90, 77)
    assert np.array_equal(painted(box, painting), painted(whole, painting)[box.slices(whole)])


@pytest.mark.parametrize("mode", MODES)
def test_boxes_of_one_call_get_what_each_gets_alone(network, mode):
    painting = painting_of(network, mode=mode)
    boxes = [Box(0, 0, 64, 64), Box(64, 0, 64, 64), Box(4000, -900, 30, 41), Box(0, 0, 64, 64)]
    together = paint(boxes, painting=painting, low=hills, prompts=FIELDS)
    for box, pixels in zip(boxes, together, strict=True):
        assert np.array_equal(pixels, painted(box, painting))


def test_boxes_share_the_windows_that_they_have_in_common(network):
    painting = painting_of(network, mode="tent", batch=1)
    paint([Box(0, 0, 64, 64), Box(32, 0, 32, 64)], painting=painting, low=hills, prompts=UniformPrompt())
    assert len(network.calls) == passes(Box(0, 0, 64, 64), painting=painting)


def test_no_box_is_no_work(network):
    assert paint([], painting=painting_of(network), low=hills, prompts=UniformPrompt()) == []
    assert network.calls == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("factor", [2, 4])
def test_the_childs_block_means_are_the_parents_pixels(mode, factor):
    network = AnalyticNetwork(factor=factor, texture=0.6)
    box = Box(-64, 128, 128, 96)
    child = painted(box, painting_of(network, mode=mode))
    assert np.array_equal(block_mean(child, factor=factor), hills(box.coarsened(factor)))


def test_without_projection_the_child_goes_its_own_way(network):
    box = Box(0, 0, 128, 128)
    child = painted(box, painting_of(network), project=False)
    assert not np.array_equal(block_mean(child, factor=4), hills(box.coarsened(4)))


def test_the_first_stage_paints_from_text_and_level_alone(network):
    green, blue = (
        painted(Box(0, 0, 96, 96), painting_of(network), low=None, prompts=UniformPrompt(text)) for text in "ab"
    )
    colours = network.encode("ab")[:, 0].numpy()
    difference = (green.mean((0, 1)) - blue.mean((0, 1))) / 127.5
    assert difference == pytest.approx(colours[0] - colours[1], abs=0.15)


@pytest.mark.parametrize("changes", [{"seed": 6}, {"stage": 2}, {"level": 13}])
def test_other_numbers_paint_another_plane(network, changes):
    box = Box(0, 0, 64, 64)
    assert not np.array_equal(painted(box, painting_of(network)), painted(box, painting_of(network, **changes)))


def high_pass(pixels):
    values = pixels.astype(float)
    return values - values.mean((0, 1), keepdims=True)


def autocorrelation(pixels, lag):
    values = high_pass(pixels)
    return float((values[:, lag:] * values[:, :-lag]).mean() / (values**2).mean())


@pytest.mark.parametrize(
    ("mode", "repeats"), [("metaearth", True), ("trimmed", False), ("tent", False), ("fused", False)]
)
def test_only_the_noise_of_metaearth_repeats_at_the_stride(network, mode, repeats):
    texture = painted(Box(0, 0, 256, 256), painting_of(network, mode=mode), low=flat)
    assert (autocorrelation(texture, 32) > 0.3) == repeats
    assert autocorrelation(texture, 23) < 0.1


def step_at_seams(pixels, stride=32):
    """Mean step of neighbouring columns at the windows' edges over that elsewhere."""
    steps = np.abs(np.diff(pixels.astype(float), axis=1)).mean((0, 2))
    at_seams = steps[stride - 1 :: stride].mean()
    return at_seams / np.delete(steps, np.s_[stride - 1 :: stride]).mean()


def test_tents_leave_no_seams_where_trimmed_windows_do():
    network = AnalyticNetwork(context=60.0)
    seams = {
        mode: step_at_seams(painted(Box(0, 0, 256, 128), painting_of(network, mode=mode), low=flat, project=False))
        for mode in ("trimmed", "tent", "fused")
    }
    assert seams["trimmed"] > 1.05
    assert seams["tent"] == pytest.approx(1.0, abs=0.03)
    assert seams["fused"] == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("mode", ["trimmed", "tent", "fused"])
def test_the_plane_begins_again_after_its_period(network, mode):
    """West of the antimeridian and east of it, the same windows; a window lies across it."""
    painting = painting_of(network, mode=mode, period=512)

    def around(box):
        columns = np.arange(box.x, box.right) % 128
        return hills(Box(0, box.y, 128, box.height))[:, columns]

    west, east = (painted(Box(x, 0, 100, 40), painting, low=around) for x in (-50, 512 - 50))
    assert np.array_equal(west, east)
    assert not np.array_equal(painted(Box(-50, 0, 100, 40), painting_of(network, mode=mode), low=around), west)


class Halves:
    """One prompt west of a column, one east of it, and a ramp of 40 px between them."""

    def weights(self, box, level):
        east = np.clip((np.arange(box.x, box.right) + 0.5 + 20) / 40, 0, 1).astype(np.float32)
        shares = [(name, share) for name, share in (("sand", 1 - east), ("ice", east)) if share.any()]
        rows = np.stack([np.broadcast_to(share, (box.height, box.width)) for _, share in shares])
        return tuple(name for name, _ in shares), rows


def test_prompts_are_blended_where_they_meet_and_alone_elsewhere(network):
    painting = painting_of(network, mode="tent", batch=3)
    box = Box(-200, 0, 400, 64)
    both = painted(box, painting, low=None, prompts=Halves())
    sand, ice = (painted(box, painting, low=None, prompts=UniformPrompt(name)) for name in ("sand", "ice"))
    assert np.array_equal(both[:, :116], sand[:, :116])
    assert np.array_equal(both[:, 284:], ice[:, 284:])
    middle = both[:, 199:201].mean(0)
    assert np.allclose(middle, (sand[:, 199:201].mean(0) + ice[:, 199:201].mean(0)) / 2, atol=4)
    assert set(network.calls) == {(3, 3, 64, 64)}


def test_a_window_in_which_more_prompts_meet_than_a_pass_has_rows(network):
    painting = painting_of(network, mode="tent", batch=1)
    assert np.array_equal(
        painted(Box(-32, 0, 64, 64), painting, prompts=Halves()),
        painted(Box(-32, 0, 64, 64), painting_of(network, mode="tent", batch=8), prompts=Halves()),
    )


def test_every_forward_pass_is_of_one_size(network):
    painted(Box(0, 0, 100, 40), painting_of(network, batch=7))
    assert set(network.calls) == {(7, 3, 64, 64)}


@pytest.mark.parametrize(("mode", "walks"), [("metaearth", 4), ("trimmed", 4), ("tent", 9), ("fused", 17)])
def test_a_cold_tile_costs_what_the_documentation_says(mode, walks):
    network = AnalyticNetwork(window=256)
    painting = painting_of(network, mode=mode, steps=2, batch=1)
    box = Box(256, -512, 256, 256)
    assert passes(box, painting=painting) == 2 * walks
    painted(box, painting)
    assert len(network.calls) == 2 * walks


@pytest.mark.parametrize(("mode", "walks"), [("trimmed", 64), ("tent", 81), ("fused", 101)])
def test_a_cold_tile_of_small_windows_costs_what_the_documentation_says(network, mode, walks):
    assert passes(Box(0, 0, 256, 256), painting=painting_of(network, mode=mode, steps=10)) == 10 * walks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "mosaic"}, "mode 'mosaic' was given; choose from metaearth, trimmed, tent, fused"),
        ({"rounds": 3}, "rounds 3 was given; it is 1…2"),
        ({"steps": 1}, "steps 1 was given; it is 2…1000"),
        ({"steps": 1001}, "steps 1001"),
        ({"level": 23}, "level 23"),
        ({"seed": -1}, "seed -1"),
        ({"batch": 0}, "batch 0"),
        ({"period": 32}, "at least a window"),
    ],
)
def test_what_cannot_be_painted_is_refused(network, changes, message):
    with pytest.raises(RequestError, match=message):
        painting_of(network, **changes)


def test_windows_whose_quarters_are_no_whole_parents_pixels_are_refused():
    with pytest.raises(RequestError, match="windows of 40 px and a factor of 4"):
        painting_of(AnalyticNetwork(window=40))


def test_a_parent_of_the_wrong_size_is_refused(network):
    with pytest.raises(RequestError, match=r"the parent gave uint8 \(1, 1, 3\) for Box"):
        painted(Box(0, 0, 8, 8), painting_of(network), low=lambda box: np.zeros((1, 1, 3), dtype=np.uint8))
