"""Many requests at once: equal ones are painted once, others together, and none waits for ever."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import requests
from analytic_server import Running

from text2earth.errors import RequestError
from text2earth.serving import ServerSettings

Start = Callable[..., Running]


class Crowd:
    """Requests that are under way; each from a thread of its own."""

    def __init__(self, server: Running) -> None:
        self._server, self._pool = server, ThreadPoolExecutor(64)

    def ask(self, *paths: str) -> list[Future[requests.Response]]:
        return [self._pool.submit(self._server.get, path) for path in paths]


def hang_up(server: Running, path: str) -> Callable[[], None]:
    """Ask for something, and return what ends the connection without waiting for it."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection.close


def busy(server: Running) -> None:
    """Give the painter a tile, and keep it at that."""
    server.world.gate.clear()
    threading.Thread(target=lambda: server.get("/tiles/9/500/500.png"), daemon=True).start()
    server.until(lambda: len(server.world.batches) == 1)


def waiting(server: Running) -> int:
    return int(server.get("/health").json()["waiting"])


def test_equal_wishes_are_painted_once(start: Start):
    server = start()
    busy(server)
    answers = Crowd(server).ask(*["/tiles/6/1/2.png"] * 20, *["/tiles/6/1/2.jpg"] * 5)
    server.until(lambda: server.metric("tiles_joined_total") == 24)
    server.world.gate.set()

    assert {answer.result().status_code for answer in answers} == {200}
    assert len({answer.result().content for answer in answers}) == 2
    assert server.world.batches[1:] == [[(6, 1, 2)]]


def test_wishes_that_wait_together_are_painted_together(start: Start):
    server = start(ServerSettings(batch_tiles=8))
    busy(server)
    answers = Crowd(server).ask(*[f"/tiles/6/{x}/2.png" for x in range(20)])
    server.until(lambda: waiting(server) == 20)
    server.world.gate.set()

    assert {answer.result().status_code for answer in answers} == {200}
    assert [len(batch) for batch in server.world.batches] == [1, 8, 8, 4]


def test_a_batch_is_of_one_world(start: Start):
    server = start()
    busy(server)
    answers = Crowd(server).ask(*[f"/tiles/6/{x}/2.png?seed={x % 2}" for x in range(8)])
    server.until(lambda: waiting(server) == 8)
    server.world.gate.set()

    assert {answer.result().status_code for answer in answers} == {200}
    for chosen in server.opened[1:]:
        (batch,) = server.worlds[chosen].batches
        assert sorted(x % 2 for _, x, _ in batch) == [chosen.seed] * 4


def test_who_finds_the_queue_full_is_told_when_to_come_back(start: Start):
    server = start(ServerSettings(queue_tiles=4, image_tiles=4))
    busy(server)
    answers = Crowd(server).ask(*[f"/tiles/6/{x}/2.png" for x in range(4)])
    server.until(lambda: waiting(server) == 4)

    refused = server.get("/tiles/6/50/2.png")
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert "the queue holds 4" in refused.json()["error"]
    assert server.metric("tiles_refused_total") == 1
    joined = Crowd(server).ask("/tiles/6/0/2.png")  # is on its way already and needs no place
    server.until(lambda: server.metric("tiles_joined_total") == 1)
    server.world.gate.set()
    assert {answer.result().status_code for answer in answers + joined} == {200}
    assert server.get("/tiles/6/50/2.png").status_code == 200


def test_who_hangs_up_gives_the_place_back(start: Start):
    server = start(ServerSettings(queue_tiles=4, image_tiles=4))
    busy(server)
    leave = [hang_up(server, f"/tiles/6/{x}/2.png") for x in range(4)]
    server.until(lambda: waiting(server) == 4)
    stays = Crowd(server).ask("/tiles/6/0/2.png")
    server.until(lambda: server.metric("tiles_joined_total") == 1)
    for each in leave:
        each()

    server.until(lambda: waiting(server) == 1)  # the one that somebody else waits for too
    server.world.gate.set()
    assert stays[0].result().status_code == 200
    assert server.world.batches[1:] == [[(6, 0, 2)]]
    assert server.metric("tiles_abandoned_total") == 3
    assert 'status="499"' in server.get("/metrics").text


def test_a_hung_up_image_gives_all_its_places_back(start: Start):
    server = start()
    busy(server)
    leave = hang_up(server, "/image?bbox=0,0,20,20&level=6")
    server.until(lambda: waiting(server) == 16)
    leave()
    server.until(lambda: waiting(server) == 0)


def test_a_wish_that_waits_too_long_ends(start: Start):
    server = start(ServerSettings(timeout_s=0.3))
    busy(server)
    waited = server.get("/tiles/6/0/2.png")
    begun = server.get("/tiles/9/500/500.png")
    server.world.gate.set()

    assert (waited.status_code, begun.status_code) == (503, 504)
    assert "Retry-After" in waited.headers
    assert waiting(server) == 0
    assert "0.3 s" in waited.json()["error"]
    server.until(lambda: server.get("/tiles/9/500/500.png").status_code == 200)


def test_an_image_lets_tiles_go_first_but_not_for_ever(start: Start):
    server = start(ServerSettings(batch_tiles=1, queue_tiles=8, image_tiles=4))
    busy(server)
    image = Crowd(server).ask("/image?bbox=0,1,2,2&level=5")
    server.until(lambda: waiting(server) == 1)
    tiles = Crowd(server).ask("/tiles/6/0/0.png")
    server.until(lambda: waiting(server) == 2)
    server.world.gate.set()
    assert {answer.result().status_code for answer in image + tiles} == {200}

    assert server.world.batches[1:] == [[(6, 0, 0)], [(5, 16, 15)]]


def test_one_tile_that_fails_does_not_spoil_the_others(start: Start, caplog: pytest.LogCaptureFixture):
    server = start()
    server.world.broken.add((6, 2, 2))
    busy(server)
    answers = Crowd(server).ask(*[f"/tiles/6/{x}/2.png" for x in range(4)])
    server.until(lambda: waiting(server) == 4)
    server.world.gate.set()

    assert [answer.result().status_code for answer in answers] == [200, 200, 500, 200]
    assert "a brush broke" in answers[2].result().json()["error"]
    assert "a brush broke" in caplog.text
    assert server.metric("tiles_failed_total") == 1
    assert server.get("/health").status_code == 200


def test_a_world_that_cannot_be_opened_fails_alone(start: Start):
    server = start()
    server.worlds.clear()
    refused = server.get("/tiles/6/2/2.png?prompt=refuse me")
    assert refused.status_code == 400
    assert "refuse me" in refused.json()["error"]
    assert server.get("/tiles/6/2/2.png").status_code == 200


def test_a_server_that_stops_answers_what_waits(start: Start):
    server = start()
    busy(server)
    answers = Crowd(server).ask("/tiles/6/0/2.png")
    server.until(lambda: waiting(server) == 1)
    began = time.monotonic()
    server.stop()

    assert answers[0].result().status_code == 503
    assert time.monotonic() - began < 10


def test_the_queue_is_empty_after_a_storm(start: Start):
    """A third hang up at once, others share tiles; whoever stays gets an answer, and nothing is left behind."""
    server = start(ServerSettings(queue_tiles=32, image_tiles=16, batch_tiles=4), pace_s=0.002)
    leave = []
    answers = []
    crowd = Crowd(server)
    for number in range(120):
        path = f"/tiles/6/{number % 40}/{number % 7}.png"
        if number % 3:
            answers += crowd.ask(path)
        else:
            leave.append(hang_up(server, path))
            if len(leave) > 3:
                leave.pop(0)()
    for each in leave:
        each()

    assert {answer.result().status_code for answer in answers} <= {200, 429}
    server.until(lambda: server.get("/health").json()["waiting"] + server.get("/health").json()["painting"] == 0)


@pytest.mark.parametrize(
    "wrong", [{"queue_tiles": 0}, {"timeout_s": 0}, {"memory_mb": -1}, {"queue_tiles": 8, "image_tiles": 9}]
)
def test_impossible_settings_are_refused(wrong: dict[str, int]):
    with pytest.raises(RequestError):
        ServerSettings(**wrong)
