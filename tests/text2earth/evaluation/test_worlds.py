"""Agreement of children and parents, and determinism, on worlds whose faults are known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from text2earth.errors import RequestError
from text2earth.evaluation import agreement, determinism, drawn_tiles, family_agreement


class Terrain:
    """A world of levels 0–3 that is the box mean of one image; ``fault`` spoils one tile."""

    minzoom, maxzoom = 0, 3
    finest = np.random.default_rng(0).integers(0, 256, (2048, 2048, 3), dtype=np.uint8)

    def __init__(self, fault=None):
        self.fault = fault
        self.asked = []

    def tile(self, z, x, y):
        self.asked.append((z, x, y))
        k = 2 ** (self.maxzoom - z)
        part = self.finest[256 * k * y : 256 * k * (y + 1), 256 * k * x : 256 * k * (x + 1)]
        pixels = np.rint(part.reshape(256, k, 256, k, 3).mean(axis=(1, 3))).astype(np.uint8)
        if self.fault == (z, x, y):
            pixels[10, 20] ^= 7
        return pixels


class TwoStages(Terrain):
    """The same as a cascade would paint it: stages at the levels 1 and 3, each 4× finer."""

    minzoom = 1
    model = SimpleNamespace(levels=(1, 3), network=SimpleNamespace(factor=4))
    fingerprint = "terrain"


def test_a_parent_is_the_rounded_mean_of_its_children():
    child = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    parent = np.rint(child.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))).astype(np.uint8)
    assert agreement(parent, child, factor=4).equal == 1.0
    parent[3, 5, 1] += 2
    found = agreement(parent, child, factor=4)
    assert (found.pixels, found.largest) == (16 * 24 * 3, 2)
    assert found.equal == pytest.approx(1 - 1 / found.pixels)
    with pytest.raises(RequestError, match="a child 2 times finer has 48×32 px"):
        agreement(parent, child, factor=2)


def test_families_of_a_world():
    parents = drawn_tiles(Terrain(), 4, levels=(0, 1))
    assert {z for z, _, _ in parents} == {0, 1} and parents == drawn_tiles(Terrain(), 4, levels=(0, 1))
    assert len(set(parents)) == 4 and len(drawn_tiles(Terrain(), 40, levels=(0, 1))) == 5  # there are no more
    exact = family_agreement(Terrain(), [(2, 1, 3), (2, 0, 0)])
    assert (exact.equal, exact.largest, exact.pixels) == (1.0, 0, 2 * 256 * 256 * 3)
    assert family_agreement(Terrain(), [(1, 1, 1)], levels=2).largest == 0
    spoilt = family_agreement(Terrain(fault=(2, 1, 3)), [(2, 1, 3), (2, 0, 0)])
    assert spoilt.largest > 0 and spoilt.equal == pytest.approx(1 - 3 / spoilt.pixels)
    with pytest.raises(RequestError, match=r"levels \[3, 4\] were asked for; the world has 0–3"):
        drawn_tiles(Terrain(), 1, levels=(3, 4))


def test_tiles_are_asked_for_twice_and_in_the_other_order():
    opened = []

    def open_world():
        opened.append(Terrain())
        return opened[-1]

    tiles = [(3, 1, 2), (0, 0, 0), (2, 3, 3)]
    found = determinism(open_world, tiles)
    assert found.is_exact and found.tiles == 3 and len(found.sha256) == 64
    assert opened[0].asked == tiles * 2 and opened[1].asked == tiles[::-1]
    assert determinism(open_world, tiles[::-1]).sha256 == found.sha256


def test_a_world_that_depends_on_what_was_asked_before_is_found_out():
    class Drunken(Terrain):
        def tile(self, z, x, y):
            return super().tile(z, x, y) + np.uint8(len(self.asked) == 2)

    tiles = [(3, 1, 2), (0, 0, 0), (2, 3, 3)]
    found = determinism(Drunken, tiles)
    assert found.differing == ((0, 0, 0),) and not found.is_exact


def test_the_command_measures_a_world(run, monkeypatch):
    from text2earth.cli.asking_world import WorldOptions

    asked = []

    def opened(options):
        asked.append(options)
        return TwoStages()

    monkeypatch.setattr(WorldOptions, "open", opened)
    options = ("a-cascade", "--families", 2, "--tiles", 2, "--prompt", "water", "--seed", 3)
    status, out, _ = run("evaluate", "world", *options, "--json")
    report = json.loads(out.splitlines()[-1])
    assert status == 0 and report["determinism"]["is_exact"] and report["determinism"]["tiles"] == 2
    assert report["families"]["next stage"]["equal"] == 1.0
    for name in ("next zoom", "next stage"):  # a mean of rounded means may round otherwise
        assert report["families"][name]["equal"] > 0.8 and report["families"][name]["largest"] <= 1
    assert {(each.model, each.prompt, each.seed) for each in asked} == {("a-cascade", "water", 3)} and len(asked) == 3
    status, _, err = run("evaluate", "world", "a-cascade", "--tiles", 0)
    assert status == 2 and "--tiles 0 were given; at least 1" in err


def test_there_must_be_a_model(run):
    status, _, err = run("evaluate", "world", "no-such-model")
    assert status == 2 and "no-such-model" in err
