"""Signed addresses: tokens asked for once, renewed in time, never shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from canned_server import Canned, Reply, canned

from git10m.errors import RecipeError, SourceError
from git10m.sources.signing import signed

BLOB = "https://naipeuwest.blob.core.windows.net/naip/v002/a.tif"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    """A service that counts its tokens; they are valid for an hour."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from planetary_computer import sas
    with canned() as running:
        monkeypatch.setenv("PC_SDK_SAS_URL", f"{running.url}/token")
        monkeypatch.setenv("PC_SDK_SUBSCRIPTION_KEY", "k3y")
        sas.Settings.get.cache_clear()
        sas.TOKEN_CACHE.clear()
        running.replies = {"/token/naipeuwest/naip": lambda _: token(running, hours=1)}
        yield running
    sas.Settings.get.cache_clear()
    sas.TOKEN_CACHE.clear()


def token(running: Canned, *, hours: float) -> dict[str, str]:
    until = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    return {"msft:expiry": until, "token": f"se={hours}&sp=r&sig=number{len(running.asked)}"}


def sign(address: str) -> str:
    return signed(address, service="planetary-computer")


def test_a_container_has_one_token(service: Canned):
    assert sign(BLOB) == f"{BLOB}?se=1&sp=r&sig=number1"
    assert sign(BLOB.replace("a.tif", "b.tif")).endswith("b.tif?se=1&sp=r&sig=number1")
    assert [(asked.path, asked.headers["Ocp-Apim-Subscription-Key"]) for asked in service.asked] == [
        ("/token/naipeuwest/naip", "k3y")
    ]


def test_a_token_is_renewed_before_it_ends(service: Canned):
    service.replies = {"/token/naipeuwest/naip": lambda _: token(service, hours=0.05)}
    assert [sign(BLOB)[-7:] for _ in range(2)] == ["number1", "number2"]


def test_an_old_signature_is_replaced(service: Canned):
    assert sign(f"{BLOB}?se=2020-01-01&sp=r&sig=old") == f"{BLOB}?se=1&sp=r&sig=number1"


@pytest.mark.parametrize("address", ["https://example.org/a.tif", "/data/a.tif", "s3://bucket/a.tif"])
def test_what_is_not_the_services_stays_as_it_is(service: Canned, address: str):
    assert sign(address) == address
    assert service.asked == []


def test_a_busy_service_is_asked_again(service: Canned):
    service.replies = {
        "/token/naipeuwest/naip": [
            Reply(b"", 429, {"Retry-After": "0"}),
            Reply(b"", 503),
            Reply(token(service, hours=1)),
        ]
    }
    assert "sig=" in sign(BLOB)
    assert len(service.asked) == 3


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(b"", 403), "it answers 403); check PC_SDK_SUBSCRIPTION_KEY"),
        (Reply(b"", 404), "it answers 404"),
        (Reply(b"<html>"), "its answer holds no token"),
        (Reply({"message": "hello"}), "its answer holds no token"),
    ],
)
def test_a_service_that_refuses_is_explained(service: Canned, reply: Reply, expected: str):
    service.replies = {"/token/naipeuwest/naip": reply}
    with pytest.raises(SourceError) as raised:
        sign(f"{BLOB}?sig=old")
    assert expected in str(raised.value)
    assert "sig=" not in str(raised.value)
    assert "k3y" not in str(raised.value)


def test_a_service_that_is_gone(service: Canned, monkeypatch: pytest.MonkeyPatch):
    from planetary_computer import sas

    monkeypatch.setenv("PC_SDK_SAS_URL", "http://127.0.0.1:9/token")
    sas.Settings.get.cache_clear()
    with pytest.raises(SourceError, match="does not sign it \\(it cannot be reached\\)"):
        sign(BLOB)


def test_another_service_is_unknown():
    with pytest.raises(RecipeError, match="known is 'planetary-computer'"):
        signed(BLOB, service="other")
