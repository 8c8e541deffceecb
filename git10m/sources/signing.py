"""Addresses that a service signs, for imagery that is free to read but not to hot-link."""

from __future__ import annotations

from git10m.errors import RecipeError, SourceError

__all__ = ["signed"]


def signed(address: str, *, service: str) -> str:
    """Return an address with a signature that is valid for a while.

    Tokens are kept, a container each, until shortly before they expire. A subscription key may stand in the
    environment (``PC_SDK_SUBSCRIPTION_KEY``); what is signed is never stored or shown.

    Args:
        address: http(s) address; others are returned as they are.
        service: ``"planetary-computer"``.

    Raises:
        RecipeError: If the service is unknown.
        SourceError: If the service refuses, or cannot be reached.
    """
    if service != "planetary-computer":
        raise RecipeError(f"sign = {service!r}: no such service; known is 'planetary-computer'")
    if not address.startswith(("http://", "https://")):
        return address
    import planetary_computer  # noqa: PLC0415 - only signed sources need it
    import requests  # noqa: PLC0415 - comes with it

    try:
        return str(planetary_computer.sign_url(address))
    except requests.RequestException as error:
        status = getattr(error.response, "status_code", None)
        why = f"it answers {status}" if status else "it cannot be reached"
        raise SourceError(
            f"{address.partition('?')[0]}: the Planetary Computer does not sign it ({why}); try again later, or leave "
            "sign out where the address needs no signature"
        ) from error
