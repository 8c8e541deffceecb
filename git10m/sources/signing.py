"""Addresses that a service signs, for imagery that is free to read but not to hot-link."""

from __future__ import annotations

import threading
import warnings
from typing import Any
from urllib.parse import urlsplit

from git10m.errors import RecipeError, SourceError

__all__ = ["signed"]

_LEAST_LEFT_S = 300.0
"""A token that is valid for less is renewed: a block may take a while to be read."""
_TIMEOUT_S = (15.0, 30.0)
_PASSING = (429, 500, 502, 503, 504)
_asking = threading.Lock()


def signed(address: str, *, service: str) -> str:
    """Return an address with a signature that is valid for a while.

    Tokens are kept, a container each, until shortly before they expire. A subscription key may stand in the
    environment (``PC_SDK_SUBSCRIPTION_KEY``), and so may the address of the service (``PC_SDK_SAS_URL``); what is
    signed is never stored or shown.

    Args:
        address: http(s) address; others, and those of other stores than the service's, are returned as they are.
        service: ``"planetary-computer"``.

    Raises:
        RecipeError: If the service is unknown.
        SourceError: If the service refuses, or cannot be reached.
    """
    if service != "planetary-computer":
        raise RecipeError(f"sign = {service!r}: no such service; known is 'planetary-computer'")
    if not address.startswith(("http://", "https://")):
        return address
    from requests import RequestException  # noqa: PLC0415 - only signed sources need it

    sas = _library()
    plain = address.partition("?")[0]
    if not str(urlsplit(plain).netloc).endswith(sas.BLOB_STORAGE_DOMAIN):
        return address
    try:
        with _asking:
            _renew(sas, plain)
        return str(sas.sign_url(plain))
    except (RequestException, ValueError, KeyError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        why = "its answer holds no token" if isinstance(error, ValueError | KeyError) else "it cannot be reached"
        hint = "; check PC_SDK_SUBSCRIPTION_KEY" if status in {401, 403} else ""
        raise SourceError(
            f"{plain}: the Planetary Computer does not sign it ({f'it answers {status}' if status else why}){hint}; "
            "try again later, or leave sign out where the address needs no signature"
        ) from error


def _library() -> Any:
    with warnings.catch_warnings():
        # It defines its models in pydantic's older way.
        warnings.simplefilter("ignore")
        from planetary_computer import sas  # noqa: PLC0415 - only signed sources need it

        return sas


def _renew(sas: Any, address: str) -> None:
    """Put a fresh token of an address's container into the library's cache, which asks without a time limit."""
    import requests  # noqa: PLC0415 - only signed sources need it
    from requests.adapters import HTTPAdapter  # noqa: PLC0415
    from urllib3.util.retry import Retry  # noqa: PLC0415

    settings = sas.Settings.get()
    account, container = sas.parse_blob_url(urlsplit(address))
    where = f"{settings.sas_url}/{account}/{container}"
    known = sas.TOKEN_CACHE.get(where)
    if known is not None and known.ttl() > _LEAST_LEFT_S:
        return
    key = {"Ocp-Apim-Subscription-Key": settings.subscription_key} if settings.subscription_key else {}
    passing = Retry(
        total=5, connect=3, backoff_factor=0.5, backoff_jitter=0.3, status_forcelist=_PASSING, raise_on_status=False
    )
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=passing))
        answer = session.get(where, headers=key, timeout=_TIMEOUT_S)
        answer.raise_for_status()
    sas.TOKEN_CACHE[where] = sas.SASToken(**answer.json())
