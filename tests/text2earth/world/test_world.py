"""A planet whose pixels are always the same, and whose zooms agree."""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from small_cascades import nano_cascade
from small_worlds import cheap_model, cheap_world, digests

from text2earth.errors import ModelError, RequestError, WorldError
from text2earth.sampling import CascadeNetwork
from text2earth.world import Box, WorldModel, block_mean


def some_places(count: int, *, seed: int = 0, zooms: tuple[int, ...] = (2, 3, 4, 5, 6)) -> list[tuple[int, int, int]]:
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        z = int(random.choice(zooms))
        x, y = (int(number) for number in random.integers(0, 1 << z, 2))
        found.append((z, x, y))
    return found


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def test_a_tile_is_an_image_and_its_zooms_are_told():
    world = cheap_world(seed=3, prompt="a town by a river")
    assert (world.minzoom, world.maxzoom) == (2, 6)
    assert (world.model_name, world.prompt, world.seed) == ("cheap", "a town by a river", 3)
    tile = world.tile(2, 1, 1)
    assert (tile.shape, tile.dtype) == ((256, 256, 3), np.uint8)
    assert tile.std() > 5


def test_tiles_are_the_same_cold_warm_in_any_order_alone_and_together(tmp_path):
    places = [(4, 3, 5), (5, 6, 10), (2, 0, 1), (4, 2, 5)]
    alone = [cheap_world(seed=5).tile(*place) for place in places[:1]]
    world = cheap_world(seed=5, cache=tmp_path)
    backwards = [world.tile(*place) for place in reversed(places)][::-1]
    warm = [world.tile(*place) for place in places]
    other = cheap_world(seed=5, cache=tmp_path)
    together = other.tiles(places)
    painted_by_the_other = other.counts.get("painted", 0)
    for number, tile in enumerate(backwards):
        assert np.array_equal(tile, warm[number])
        assert np.array_equal(tile, together[number])
    assert all(np.array_equal(one, tile) for one, tile in zip(alone, backwards, strict=False))
    assert painted_by_the_other == 0  # all of it was on disk
    assert len({digest(tile) for tile in backwards}) == len(places)


def agreement(world, places, *, side: int = 256) -> tuple[float, int]:
    """Share of the pixels of tiles' corners that are the mean of the zoom below, and the largest difference."""
    equal, most, pixels = 0, 0, 0
    for z, x, y in places:
        parent = world.region(z, Box(256 * x, 256 * y, side, side))
        children = world.region(z + 1, Box(512 * x, 512 * y, 2 * side, 2 * side))
        difference = np.abs(block_mean(children, factor=2).astype(int) - parent)
        equal, most, pixels = (
            equal + int((difference == 0).sum()),
            max(most, int(difference.max())),
            pixels + parent.size,
        )
    return equal / pixels, most


def test_every_zoom_is_the_mean_of_the_next():
    world = cheap_world(prompt="a lake")
    assert agreement(world, [(2, 1, 2), (3, 2, 5), (4, 4, 10), (5, 8, 20)], side=64) == (1.0, 0)
    parent, child = world.region(2, Box(256, 512, 64, 64)), world.region(4, Box(1024, 2048, 256, 256))
    assert np.array_equal(block_mean(child, factor=4), parent)


def test_a_factor_of_two_has_no_zooms_between():
    world = cheap_world(cheap_model(levels=(3, 4), factor=2))
    assert agreement(world, [(3, 2, 5)], side=64) == (1.0, 0)


def test_the_antimeridian_is_a_place_like_any_other():
    world = cheap_world(seed=2, prompt="an ocean")
    side = 256 << 2
    across = world.region(2, Box(-32, 300, 64, 64))
    assert np.array_equal(across, world.region(2, Box(side - 32, 300, 64, 64)))
    assert np.array_equal(across[:, :32], world.region(2, Box(side - 32, 300, 32, 64)))
    assert np.array_equal(across[:, 32:], world.region(2, Box(0, 300, 32, 64)))
    steps = np.abs(np.diff(across.astype(int), axis=1)).mean(axis=(0, 2))
    assert steps[31] < 1.3 * np.median(steps)  # the step over the line itself


def test_rows_at_the_poles_are_like_others_and_there_are_none_beyond():
    world = cheap_world(seed=2, prompt="ice")
    top, middle = world.region(2, Box(0, 0, 256, 16)), world.region(2, Box(0, 500, 256, 16))
    assert abs(float(top.mean()) - float(middle.mean())) < 10
    assert 0.5 < top.std() / middle.std() < 2
    assert np.array_equal(block_mean(world.region(4, Box(0, 0, 64, 32)), factor=4), top[:8, :16])
    with pytest.raises(WorldError, match=r"rows of zoom 2 are 0–1023"):
        world.region(2, Box(0, -1, 8, 8))


@pytest.mark.parametrize("place", [(1, 0, 0), (7, 0, 0), (3, 8, 0), (3, 0, -1)])
def test_a_tile_that_is_not_there_is_refused(place):
    with pytest.raises(WorldError, match="was asked for"):
        cheap_world().tile(*place)


def test_equal_tiles_asked_at_once_are_painted_once():
    model = cheap_model()
    cheap_world(model).tile(4, 3, 3)
    once = len(model.network.calls)
    model.network.calls.clear()
    crowded = cheap_world(model)
    with ThreadPoolExecutor(8) as threads:
        tiles = [*threads.map(lambda _: crowded.tile(4, 3, 3), range(8))]
    assert len(model.network.calls) == once
    assert all(np.array_equal(tile, tiles[0]) for tile in tiles)


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    cheap_world(threads=before + 1).tile(2, 0, 0)
    assert torch.get_num_threads() == before


def test_worlds_of_one_model_differ_by_seed_and_prompt():
    model = cheap_model()
    worlds = [cheap_world(model, seed=1), cheap_world(model, seed=2), cheap_world(model, seed=1, prompt="sand")]
    assert len({digest(world.tile(2, 0, 0)) for world in worlds}) == 3
    assert len({world.fingerprint for world in worlds}) == 3


def test_the_fingerprint_knows_all_that_pixels_depend_on_and_nothing_else(tmp_path):
    model = cheap_model()
    usual = cheap_world(model).fingerprint
    assert cheap_world(cheap_model(), cache=tmp_path, cache_bytes=10**6).fingerprint == usual
    changed = [
        cheap_world(model, **{name: value}).fingerprint
        for name, value in {"batch": 4, "threads": 2, "steps": 3, "mode": "tent", "seed": 1, "feather": 9}.items()
    ]
    assert len({usual, *changed, cheap_world(cheap_model(window=64)).fingerprint}) == 8


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"seed": -1}, "seed -1"),
        ({"batch": 0}, "batch 0"),
        ({"steps": 0}, "steps 0"),
        ({"mode": "best"}, "mode 'best'"),
    ],
)
def test_impossible_settings_are_refused(asked, said):
    with pytest.raises(RequestError, match=said):
        cheap_world(**asked)


@pytest.mark.parametrize("levels", [(), (2, 3), (2, 4, 8), (20, 22, 24)])
def test_stages_that_do_not_fit_the_network_are_refused(levels):
    with pytest.raises(ModelError, match="stages are at levels"):
        WorldModel(cheap_model().network, "odd", levels, 2)


COLD = {
    "trimmed": {2: 64, 3: 400, 4: 128, 5: 464, 6: 192},
    "tent": {2: 81, 3: 458, 4: 162, 5: 539, 6: 243},
    "fused": {2: 101, 3: 522, 4: 202, 5: 623, 6: 303},
}
"""Most walks of a window, from noise to pixels, that a cold tile of each zoom costs with stages at 2, 4 and 6."""


def cold_cost(mode: str, z: int, *, x: int) -> float:
    model = cheap_model(window=64)
    cheap_world(model, mode=mode, batch=1).tile(z, x, x)
    return len(model.network.calls) / model.steps


def test_a_cold_tile_costs_its_windows_and_four_blocks_of_each_stage_above():
    assert cold_cost("fused", 6, x=33) == COLD["fused"][6]


@pytest.mark.slow
@pytest.mark.parametrize("mode", COLD)
def test_the_cost_of_a_cold_tile_is_bounded(mode):
    """The table of pipelines/worlds.md: windows of 64 px, factor 4."""
    for z, most in COLD[mode].items():
        costs = [cold_cost(mode, z, x=x) for x in range((1 << z) // 2, (1 << z) // 2 + min(4, z))]
        assert max(costs) == most


def test_a_cascade_paints_a_world():
    """Random weights. A block is the same whatever is painted beside it, in the rows of a batch that it shares."""
    model = WorldModel(CascadeNetwork(nano_cascade(base_level=2, stages=2, image_size=64)), "nano", (2, 4), 1)
    together = cheap_world(model, prompt="a forest", mode="trimmed").region(4, Box(64, 512, 128, 64))
    assert together.std() > 1
    alone = cheap_world(model, prompt="a forest", mode="trimmed")
    assert np.array_equal(alone.region(4, Box(128, 512, 64, 64)), together[:, 64:])
    assert np.array_equal(block_mean(together, factor=4), alone.region(2, Box(16, 128, 32, 16)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_tiles_are_the_same_from_two_processes_in_two_orders_warm_and_in_crowds(tmp_path):
    places = some_places(200, seed=1)
    turned = [places[number] for number in np.random.default_rng(2).permutation(200)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        shared = [processes.submit(digests, order, tmp_path) for order in (places, turned)]
        forwards, backwards = [each.result() for each in shared]
        cold, warm = [processes.submit(digests, places, folder) for folder in (None, tmp_path)]
        cold, warm = cold.result(), warm.result()
    by_place = dict(zip(turned, backwards, strict=True))
    assert forwards == cold == warm == [by_place[place] for place in places]
    crowded = cheap_world(seed=5, prompt="a forest")
    with ThreadPoolExecutor(16) as threads:
        assert [digest(tile) for tile in threads.map(lambda place: crowded.tile(*place), turned)] == backwards


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_hundred_families_agree():
    world = cheap_world(seed=7, prompt="fields", memory_bytes=1 << 28)
    equal, most = agreement(world, some_places(500, seed=3, zooms=(2, 3, 4, 5)))
    assert equal >= 0.999 and most <= 1
