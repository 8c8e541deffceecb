"""Polygons with prompts of their own: where they hold, how they end, and what is none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_worlds import cheap_model, cheap_world

from text2earth.errors import AreasError
from text2earth.world import Box
from text2earth.world.areas import AreaPrompts, read_areas

DESERT = [[[-90, 20], [0, 20], [0, 60], [-90, 60], [-90, 20]]]
SIDE = 256 << 2


def feature(coordinates, prompt="a desert", kind="Polygon"):
    return {"type": "Feature", "properties": {"prompt": prompt}, "geometry": {"type": kind, "coordinates": coordinates}}


def collection(*features):
    return {"type": "FeatureCollection", "features": [*features]}


def test_weights_sum_to_one_and_ramp_over_the_feather():
    areas = read_areas(
        collection(feature(DESERT), feature([[[-45, 0], [45, 0], [45, 40], [-45, 40], [-45, 0]]], "ice"))
    )
    shares = areas.weights(Box(470, 350, 128, 64), level=2, feather=16)
    assert shares.shape == (3, 64, 128)
    assert (shares.max((1, 2)) > 0.9).all()
    assert np.allclose(shares.sum(0), 1, atol=1e-6)
    row = areas.weights(Box(SIDE // 4 - 20, 350, 40, 1), level=2, feather=16)[1, 0]
    assert row[:12].max() == 0 and row[28:].min() == 1  # 8 px on each side of the border at −90°
    assert np.allclose(np.diff(row[12:28]), 1 / 16, atol=1e-6)


def test_a_weight_depends_on_its_place_alone():
    areas = read_areas(collection(feature([[[-91.3, 20], [3, 31], [10, 60], [-80, 70], [-91.3, 20]]])))
    whole = areas.weights(Box(220, 240, 100, 100), level=2, feather=24)
    part = areas.weights(Box(240, 260, 64, 64), level=2, feather=24)
    assert np.array_equal(part, whole[:, 20:84, 20:84])


def test_a_sharp_border_has_no_ramp():
    shares = read_areas(feature(DESERT)).weights(Box(0, 350, SIDE, 1), level=2, feather=0)
    assert set(np.unique(shares)) == {0.0, 1.0}


def test_an_area_in_two_parts_goes_on_across_the_antimeridian():
    parts = [[[[170, -20], [180, -20], [180, 20], [170, 20], [170, -20]]]]
    parts += [[[[-180, -20], [-170, -20], [-170, 20], [-180, 20], [-180, -20]]]]
    areas = read_areas(feature(parts, kind="MultiPolygon"))
    share = areas.weights(Box(-20, SIDE // 2, 40, 1), level=2, feather=16)[1, 0]
    assert share.min() == 1
    assert np.array_equal(areas.weights(Box(SIDE - 20, SIDE // 2, 20, 1), level=2, feather=16)[1, 0], share[:20])


def test_an_area_at_a_pole_does_not_fade_there():
    areas = read_areas(feature([[[-180, 70], [180, 70], [180, 90], [-180, 90], [-180, 70]]], "ice"))
    assert areas.weights(Box(0, -8, SIDE, 16), level=2, feather=32)[1].min() == 1


def test_prompts_that_do_not_touch_a_box_are_left_out():
    prompts = AreaPrompts("sea", read_areas(feature(DESERT)), 16)
    assert prompts.weights(Box(900, 900, 64, 64), 2)[0] == ("sea",)
    assert prompts.weights(Box(400, 350, 32, 32), 2)[0] == ("a desert",)
    assert prompts.weights(Box(240, 350, 32, 32), 2)[0] == ("sea", "a desert")


def test_an_area_is_painted_with_its_prompt_and_changes_nothing_far_from_it():
    model = cheap_model(levels=(2, 4))
    small = [[[-90, 20], [-60, 20], [-60, 45], [-90, 45], [-90, 20]]]
    with_area = cheap_world(model, prompt="the sea", areas=feature(small), mode="tent")
    without = cheap_world(model, prompt="the sea", mode="tent")
    within, far = Box(1056, 1576, 32, 32), Box(1056 + 1024, 1576, 32, 32)
    assert np.array_equal(with_area.region(4, far), without.region(4, far))
    assert np.abs(with_area.region(4, within).mean((0, 1)) - without.region(4, within).mean((0, 1))).max() > 20
    assert with_area.fingerprint != without.fingerprint


def test_areas_are_read_from_a_file(tmp_path):
    path = tmp_path / "areas.geojson"
    path.write_text(json.dumps(collection(feature(DESERT, "  a\n desert "))))
    areas = read_areas(path)
    assert areas.prompts == ("a desert",)
    assert areas.digest == read_areas(collection(feature(DESERT))).digest


BOW_TIE = [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]]
ACROSS = [[[170, 0], [-170, 0], [-170, 10], [170, 10], [170, 0]]]
METRES = [[[0, 0], [100000, 0], [100000, 100000], [0, 0]]]
ABOVE = [[[0, 86], [10, 86], [10, 88], [0, 86]]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "Topology"}, "its type is 'Topology'"),
        (collection(), "no features"),
        (collection({"type": "Point"}), "feature 1: it is no GeoJSON Feature"),
        (collection(feature(DESERT), feature(DESERT, "")), "feature 2: its property 'prompt' is ''"),
        (collection(feature(DESERT, None)), "every area needs a text"),
        (feature([0, 0], kind="Point"), "its geometry is Point"),
        ({"type": "Feature", "properties": None, "geometry": None}, "'prompt' is None"),
        (feature([[[0, 0], [1]]]), "coordinates cannot be read"),
        (feature([[[0, 0], [1, 1]]]), "coordinates cannot be read"),
        (feature([]), "empty"),
        (feature(BOW_TIE), "not valid .Self-intersection"),
        (feature(ACROSS), "crosses the antimeridian; cut it there"),
        (feature(METRES), "longitudes are −180…180"),
        (feature(ABOVE), "covers nothing of the map"),
        ({**collection(feature(DESERT)), "crs": {"properties": {"name": "EPSG:3857"}}}, "longitude and latitude"),
    ],
)
def test_what_is_no_area_is_refused_with_its_reason(given, said):
    with pytest.raises(AreasError, match=said):
        read_areas(given)


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "cannot be read as JSON"), ("[1]", "not an object"), ("prompt: sand", "cannot be read as JSON")],
)
def test_a_file_that_is_no_geojson_is_refused(tmp_path, content, said):
    path = tmp_path / "areas.geojson"
    path.write_text(content)
    with pytest.raises(AreasError, match=said):
        read_areas(path)
    with pytest.raises(AreasError, match="no such file"):
        read_areas(tmp_path / "absent.geojson")
