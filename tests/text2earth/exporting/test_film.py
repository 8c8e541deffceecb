"""Films of a zoom, read back by Pillow and PyAV."""

import math
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from text2earth.errors import ExportError
from text2earth.exporting import Film, Flight, export
from text2earth.exporting.flight import resampled
from text2earth.provenance import DIGITAL_SOURCE_TYPE
from text2earth.world.box import Box

MUNICH = {"lon": 11.5761, "lat": 48.1374}
X, Y = 0.5 + 11.5761 / 360, 0.5 - math.asinh(math.tan(math.radians(48.1374))) / (2 * math.pi)
"""Where Munich lies in the world's square, by another formula than the toolkit's."""


def region_of(world):
    def region(zoom: int, box: Box):
        return world.region(zoom, box.x, box.y, box.width, box.height)

    return region


def frames_of(world, flight: Flight) -> list[np.ndarray]:
    return list(flight.frames(region_of(world)))


def test_a_frame_at_a_whole_zoom_shows_the_zooms_own_pixels(world):
    flight = Flight(**MUNICH, zooms=(3, 6), width=128, height=96, seconds=0.7, fps=10)  # zooms 3, 3.5, 4 … 6
    frames = frames_of(world, flight)
    assert len(frames) == 7
    for frame, zoom in zip(frames[::2], (3, 4, 5, 6), strict=True):
        side = 256 << zoom
        assert np.array_equal(frame, world.region(zoom, round(X * side) - 64, round(Y * side) - 48, 128, 96))


def test_nothing_pops_from_zoom_to_zoom(world):
    """The step into a new zoom is no larger than the steps around it."""
    flight = Flight(**MUNICH, zooms=(3, 6), width=128, height=128, seconds=6.1, fps=10)  # 20 frames a zoom
    frames = np.array(frames_of(world, flight), np.int16)
    steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    for whole in (20, 40):  # the frame at zoom 4 or 5; the next one is made of finer pixels
        around = [*steps[whole - 5 : whole], *steps[whole + 1 : whole + 6]]
        assert steps[whole] <= 1.15 * max(around)


def test_a_film_that_took_the_nearest_zoom_would_pop(world):
    """The measure of the test above sees what it is there to see."""
    flight = Flight(**MUNICH, zooms=(3, 6), width=128, height=128, seconds=6.1, fps=10)
    rough = np.random.default_rng(0).integers(-6, 7, (7, 128, 128, 3))
    frames = np.array(frames_of(world, flight), np.int16)
    frames += np.array([rough[math.ceil(flight.zoom(i) - 1e-9)] for i in range(flight.count)], np.int16)
    steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert steps[20] > 1.15 * max(*steps[15:20], *steps[21:26])


@settings(max_examples=30)
@given(
    st.integers(20, 60),
    st.integers(20, 60),
    st.floats(0, 10),
    st.floats(0, 10),
    st.sampled_from([1.0, 1.25, 1.618, 2.0]),
)
def test_a_pixel_is_the_mean_of_the_area_that_it_covers(width, height, x, y, scale):
    across, down = int((width - 11) / scale), int((height - 11) / scale)
    picture = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = resampled(picture, (x, y, across * scale, down * scale), size=(across, down))
    for row, column in ((0, 0), (down - 1, across - 1), (down // 2, across // 3)):
        top, left = y + row * scale, x + column * scale
        shares = [
            np.clip(np.minimum(np.arange(n) + 1, end) - np.maximum(np.arange(n), start), 0, None)
            for n, start, end in ((height, top, top + scale), (width, left, left + scale))
        ]
        mean = np.einsum("r,c,rcb->b", *shares, picture) / scale**2
        assert np.abs(found[row, column] - mean).max() <= 0.5 + 1e-3


def test_at_twice_the_size_it_is_the_box_mean():
    picture = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    means = picture.reshape(20, 2, 30, 2, 3).mean((1, 3))
    assert np.array_equal(resampled(picture, (0, 0, 60, 40), size=(30, 20)), np.floor(means + 0.5).astype(np.uint8))


@pytest.mark.parametrize("lat", [85.05, -85.05, 80.0])
@pytest.mark.parametrize("lon", [-180.0, 179.99, 0.0])
def test_at_the_edges_of_the_world_a_frame_stays_within_it(world, lon, lat):
    flight = Flight(lon=lon, lat=lat, zooms=(2, 5), width=256, height=256, seconds=1, fps=9)
    for zoom, box in flight.boxes().items():
        assert box.y >= 0
        assert box.bottom <= 256 << zoom
    assert {frame.shape for frame in frames_of(world, flight)} == {(256, 256, 3)}


def test_a_film_may_zoom_out_and_between_whole_zooms(world):
    there = frames_of(world, Flight(**MUNICH, zooms=(2.3, 4.9), width=64, height=64, seconds=1, fps=8))
    back = frames_of(world, Flight(**MUNICH, zooms=(4.9, 2.3), width=64, height=64, seconds=1, fps=8))
    assert [np.array_equal(*pair) for pair in zip(there, reversed(back), strict=True)] == [True] * 8


def test_a_zooms_pixels_are_asked_for_once(world):
    asked = []

    def region(zoom: int, box: Box):
        asked.append(zoom)
        return region_of(world)(zoom, box)

    list(Flight(**MUNICH, zooms=(3, 6), width=64, height=64, seconds=4, fps=10).frames(region))
    assert asked == [3, 4, 5, 6]


def test_a_gif_repeats_and_is_marked(tmp_path, world):
    flight = Flight(**MUNICH, zooms=(3, 5), width=96, height=64, seconds=1.6, fps=12.5)
    done = export(world, Film(flight), tmp_path / "munich.gif")
    assert done["tiles"] == len(world.asked) == len(set(world.asked))
    expected = frames_of(world, flight)
    with Image.open(tmp_path / "munich.gif") as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (20, (96, 64), 0)
        assert b"Synthetic image" in film.info["comment"]
        for i, frame in enumerate(expected):
            film.seek(i)
            assert film.info["duration"] == 80
            shown = np.asarray(film.convert("RGB")).astype(int)
            assert np.abs(shown - frame).mean() < 6  # of 256 colours
    data = (tmp_path / "munich.gif").read_bytes()
    packet = re.search(rb"!\xff\x0bXMP DataXMP(<\?xpacket begin.*<\?xpacket end=\"r\"\?>)\x01\xff\xfe", data, re.S)
    marked = ElementTree.fromstring(packet[1]).find(".//{*}Description").attrib
    assert DIGITAL_SOURCE_TYPE in marked.values()
    assert [path.name for path in tmp_path.iterdir()] == ["munich.gif"]


def test_an_mp4_plays_and_is_marked(tmp_path, world):
    av = pytest.importorskip("av")
    flight = Flight(**MUNICH, zooms=(3, 5), width=96, height=64, seconds=1.6, fps=12.5)
    export(world, Film(flight), tmp_path / "munich.mp4")
    expected = frames_of(world, flight)
    with av.open(tmp_path / "munich.mp4") as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 96, 64)
        assert float(stream.average_rate) == 12.5
        assert film.metadata["comment"].startswith("Synthetic image")
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(shown) == 20
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(shown, expected, strict=True)) < 6
    data = (tmp_path / "munich.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert boxes_of(data)[-1] == b"uuid"
    packet = re.search(rb"<\?xpacket begin.*<\?xpacket end=\"r\"\?>$", data, re.S)
    assert DIGITAL_SOURCE_TYPE.encode() in packet[0]


def boxes_of(data: bytes) -> list[bytes]:
    """Walk the boxes of an MP4 from its first to its last byte."""
    found, at = [], 0
    while at < len(data):
        found.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    assert at == len(data)
    return found


def test_without_pyav_an_mp4_is_refused_before_anything_is_painted(tmp_path, world, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    flight = Flight(**MUNICH, zooms=(3, 5), width=96, height=64)
    with pytest.raises(ExportError, match=re.escape("pip install 'git10m[video]'")):
        export(world, Film(flight), tmp_path / "munich.mp4")
    assert world.asked == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lon": 181.0}, "longitude and latitude in degrees"),
        ({"lat": 86.0}, "longitude and latitude in degrees"),
        ({"width": 97}, "--width 97 was given; a film's frame has an even number"),
        ({"height": 8}, "--height 8 was given"),
        ({"seconds": 0.0}, "--seconds 0 and --fps 25 were given"),
        ({"fps": 1000.0}, "at most 120 frames a second"),
        ({"zooms": (0, 4)}, "higher than the world at zoom 0; begin at zoom 1 or later"),
    ],
)
def test_films_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ExportError, match=message):
        Flight(**{**MUNICH, "zooms": (3, 5), **changed})


def test_the_place_stays_in_the_middle():
    """It moves by less than a pixel of any frame."""
    flight = Flight(**MUNICH, zooms=(2, 6), width=64, height=64, seconds=4.1, fps=10)
    for frame in range(flight.count):
        level, (left, top, width, height) = flight._view(frame)
        side, scale = 256 << level, width / 64
        assert abs((left + width / 2) - X * side) / scale <= 0.75
        assert abs((top + height / 2) - Y * side) / scale <= 0.75
