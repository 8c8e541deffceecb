"""Tiles over HTTP: the world's own pixels, marked, with headers that let nobody paint or send them twice."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from analytic_server import FIRST, Running
from analytic_world import TOP, AnalyticWorld
from PIL import Image

from text2earth.provenance import DIGITAL_SOURCE_TYPE
from text2earth.serving import Area, Chosen, ServerSettings


def pixels(body: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))


def test_a_tile_has_the_pixels_of_the_world(server: Running):
    answer = server.get("/tiles/5/17/11.png")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/png"
    assert (pixels(answer.content) == AnalyticWorld(FIRST).tile(5, 17, 11)).all()


@pytest.mark.parametrize(("ending", "kind"), [("jpg", "JPEG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_lossy_tiles_are_encoded_from_the_lossless_one(server: Running, ending: str, kind: str):
    body = server.get(f"/tiles/5/17/11.{ending}").content

    assert Image.open(io.BytesIO(body)).format == kind
    error = pixels(body).astype(int) - AnalyticWorld(FIRST).tile(5, 17, 11)
    assert np.abs(error).mean() < 4


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_every_tile_says_that_it_is_synthetic(server: Running, ending: str):
    answer = server.get(f"/tiles/5/3/4.{ending}")

    assert answer.headers["X-Synthetic"] == "true"
    assert DIGITAL_SOURCE_TYPE.encode() in answer.content
    picture = Image.open(io.BytesIO(answer.content))
    picture.load()
    if ending == "png":
        assert picture.info["SYNTHETIC"] == "YES"
        assert (picture.info["PROMPT"], picture.info["SEED"], picture.info["LEVEL"]) == ("fields", "7", "5")


def test_a_client_that_has_a_tile_is_not_sent_it_again_and_nothing_is_painted_for_it(server: Running):
    etag = server.get("/tiles/6/1/2.png").headers["ETag"]
    painted = server.metric("tiles_painted_total")

    for held in (etag, f'W/{etag}, "other"', "*"):
        answer = server.get("/tiles/6/1/2.png", headers={"If-None-Match": held})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == etag
    assert server.get("/tiles/6/9/9.png", headers={"If-None-Match": "*"}).status_code == 304
    assert server.metric("tiles_painted_total") == painted
    assert server.get("/tiles/6/1/2.png", headers={"If-None-Match": '"other"'}).status_code == 200


def test_an_etag_stands_for_world_tile_and_format(server: Running):
    paths = ["6/1/2.png", "6/1/2.jpg", "6/1/3.png", "6/1/2.png?seed=8", "6/1/2.png?prompt=sea"]
    paths.append("6/1/2.png?area=0,0,10,10,a lake")
    tags = [server.get(f"/tiles/{path}").headers["ETag"] for path in paths]
    assert len(set(tags)) == len(tags)
    assert server.get("/tiles/6/1/2.png?seed=7&prompt=fields").headers["ETag"] == tags[0]


def test_an_address_with_the_version_of_its_world_may_be_kept_for_ever(server: Running):
    told = server.get("/tilejson.json").json()
    address = told["tiles"][0].format(z=6, x=1, y=2).removeprefix(server.url)

    assert "immutable" in server.get(address).headers["Cache-Control"]
    assert server.get("/tiles/6/1/2.png").headers["Cache-Control"] == "no-cache"
    answer = server.get("/tiles/6/1/2.png?v=0123456789abcdef")
    assert answer.status_code == 404
    assert "tilejson" in answer.json()["error"]


def test_head_tells_of_a_tile_without_sending_it(server: Running):
    import requests

    answer = requests.head(f"{server.url}/tiles/6/1/2.png", timeout=60)
    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["Content-Length"]) == len(server.get("/tiles/6/1/2.png").content)


def test_prompt_seed_and_areas_choose_other_worlds_of_the_model(server: Running):
    chosen = Chosen("deep, blue sea", 3, (Area(5, 40, 15, 50, "an island, green"),))
    query = "prompt=deep, blue sea&seed=3&area=5,40,15,50,an island, green"

    assert (pixels(server.get(f"/tiles/4/8/5.png?{query}").content) == AnalyticWorld(chosen).tile(4, 8, 5)).all()
    assert server.worlds[chosen].batches == [[(4, 8, 5)]]


def test_only_so_many_other_worlds_stay_open(start):
    server = start(ServerSettings(worlds=2, memory_mb=0))
    for seed in (1, 2, 1, 3, 1, 2):
        assert server.get(f"/tiles/4/8/5.png?seed={seed}").status_code == 200

    assert [chosen.seed for chosen in server.opened] == [7, 1, 2, 3, 2]
    assert server.metric("open_worlds") == 3


def test_a_server_may_paint_one_world_only(start):
    server = start(ServerSettings(fixed=True))

    assert server.get("/tiles/4/8/5.png?seed=7&prompt=fields").status_code == 200
    answer = server.get("/tiles/4/8/5.png?seed=8")
    assert answer.status_code == 400
    assert "one world only" in answer.json()["error"]
    assert server.get("/health").json()["fixed"] is True


WRONG = {
    "/tiles/1/0/0.png": (404, f"levels 2…{TOP}"),
    f"/tiles/{TOP + 1}/0/0.png": (404, f"levels 2…{TOP}"),
    "/tiles/3/8/0.png": (404, "0…7"),
    "/tiles/3/0/-1.png": (404, "0…7"),
    "/tiles/99999999999999999999/0/0.png": (404, "levels"),
    "/tiles/3/0/0.gif": (400, "png, webp, jpg"),
    "/tiles/3/0/0.tif": (400, "png, webp, jpg"),
    "/tiles/3/0/0": (404, "nothing at"),
    "/tiles/three/0/0.png": (422, "'three'"),
    "/tiles/3/0.5/0.png": (422, "'0.5'"),
    "/tiles/3/0/0.png?size=512": (422, "prompt, seed, area, v"),
    "/tiles/3/0/0.png?seed=-1": (422, "-1"),
    "/tiles/3/0/0.png?seed=9007199254740992": (422, "9007199254740992"),
    "/tiles/3/0/0.png?seed=two": (422, "'two'"),
    "/tiles/3/0/0.png?prompt=a%00b": (400, "one line"),
    f"/tiles/3/0/0.png?prompt={'a' * 501}": (400, "501"),
    "/tiles/3/0/0.png?area=1,2,3": (400, "WEST,SOUTH,EAST,NORTH,PROMPT"),
    "/tiles/3/0/0.png?area=1,2,3,4": (400, "no prompt"),
    "/tiles/3/0/0.png?area=1,4,3,2,sea": (400, "south"),
    "/tiles/3/0/0.png?area=nan,2,3,4,sea": (400, "west"),
    "/tiles/3/0/0.png?" + "&".join(["area=1,2,3,4,sea"] * 17): (400, "17 areas"),
    "/tilejson.json?foo=1": (422, "no parameter 'foo'"),
    "/nothing": (404, "/tilejson.json"),
    "/docs": (404, "nothing at"),
    "/assets/../app.py": (404, "nothing at"),
    "/assets/%2e%2e%2fapp.py": (404, "nothing at"),
}


@pytest.mark.parametrize("path", WRONG)
def test_a_wrong_request_is_told_what_was_expected(server: Running, path: str):
    status, told = WRONG[path]
    answer = server.get(path)

    assert answer.status_code == status
    assert told in answer.json()["error"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_other_methods_are_refused(server: Running):
    import requests

    answer = requests.post(f"{server.url}/tiles/3/0/0.png", timeout=60)
    assert answer.status_code == 405
    assert "GET" in answer.json()["error"]


def test_tiles_are_the_same_alone_in_crowds_and_from_another_server(start):
    places = np.random.default_rng(4).integers(0, 32, (60, 2))
    paths = [f"/tiles/{5 + x % 4}/{x}/{y}.png" for x, y in places]
    alone, crowd = start(ServerSettings(memory_mb=0)), start(ServerSettings())

    first = {path: alone.get(path).content for path in paths}
    asked = paths[::-1] * 3
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda path: crowd.get(path).content, asked)
        assert all(body == first[path] for path, body in zip(asked, found, strict=True))
