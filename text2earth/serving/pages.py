"""The page at ``/`` and the files that it needs, MapLibre's out of the package that ships them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

__all__ = ["maplibre_file", "pages"]

_FOLDER = Path(__file__).parent / "page"
_OWN = ("page.css", "page.js")
_OF_MAPLIBRE = ("maplibre-gl.css", "maplibre-gl.js")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page asks nothing of anybody else. MapLibre starts its workers from a blob, and styles its markers inline."""

pages = APIRouter(include_in_schema=False)


def maplibre_file(name: str) -> Path | None:
    """Return a file of MapLibre GL JS as the package ``maplibre`` brings it, or none where that is not installed."""
    try:
        found = Path(str(distribution("maplibre").locate_file(f"maplibre/srcjs/{name}")))
    except PackageNotFoundError:
        return None
    return found if found.is_file() else None


@pages.get("/")
async def index() -> Response:
    """Answer with the page."""
    return FileResponse(_FOLDER / "index.html", headers={"Content-Security-Policy": _POLICY, **_checked_each_time()})


@pages.get("/assets/{name}")
async def asset(name: str) -> Response:
    """Answer with a file that the page needs."""
    path = _FOLDER / name if name in _OWN else maplibre_file(name) if name in _OF_MAPLIBRE else None
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, headers=_checked_each_time())


def _checked_each_time() -> dict[str, str]:
    return {"Cache-Control": "no-cache"}
