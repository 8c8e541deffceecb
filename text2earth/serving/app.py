"""The routes: what is asked over HTTP, and how it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Annotated, TypeVar

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from text2earth.errors import QueueFullError, RequestError, Text2EarthError
from text2earth.serving.asking import ImageQuery, WmtsQuery, WorldQuery, complaint, status_of
from text2earth.serving.documents import Offer, tilejson, wmts_capabilities
from text2earth.serving.encoding import FORMATS, MEDIA_TYPES, Format, format_of
from text2earth.serving.pages import pages
from text2earth.serving.pictures import parse_bbox, plan_picture
from text2earth.serving.studio import Studio
from text2earth.serving.worlds import Chosen

__all__ = ["create_app"]

Answer = TypeVar("Answer")
_TILE_FORMATS = tuple(kind for kind in FORMATS if kind != "tif")
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_CLIENT_GONE = 499
"""nginx' status for a client that hung up; only the metrics see it."""
router = APIRouter()


def create_app(studio: Studio) -> FastAPI:
    """Return the application.

    Args:
        studio: What paints; started and stopped with the application.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        studio.painter.start()
        try:
            yield
        finally:
            await studio.painter.stop()

    # The usual pages of documentation load scripts from elsewhere; the schema itself is at /openapi.json.
    app = FastAPI(title="text2earth: a synthetic world", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.studio = studio
    app.include_router(router)
    app.include_router(pages)
    app.add_exception_handler(RequestValidationError, _wrong_parameters)
    app.add_exception_handler(Text2EarthError, _failed)
    app.add_exception_handler(HTTPException, _no_such_route)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(_Counted, studio=studio)
    return app


@router.api_route("/tiles/{z}/{x}/{y}.{ending}", methods=["GET", "HEAD"])
async def tile(
    request: Request, z: int, x: int, y: int, ending: str, query: Annotated[WorldQuery, Query()]
) -> Response:
    """Answer with a tile of 256 px, as PNG, WebP or JPEG."""
    studio = _studio(request)
    chosen = _chosen(studio, query)
    wanted, kind = studio.tile(z, x, y), format_of(ending, of=_TILE_FORMATS)
    headers = _headers(studio, chosen, query, (wanted, kind))
    if _has_it(request, headers["ETag"]):
        studio.metrics.unchanged.inc()
        return Response(status_code=304, headers=headers)
    body = await _while_connected(request, studio.encoded_tile(chosen, wanted, kind))
    return _picture(body, kind, headers)


@router.api_route("/image", methods=["GET", "HEAD"])
async def image(request: Request, query: Annotated[ImageQuery, Query()]) -> Response:
    """Answer with a box of longitude and latitude as one picture in EPSG:3857."""
    studio = _studio(request)
    chosen = _chosen(studio, query)
    kind = format_of(query.format)
    box = parse_bbox(query.bbox)
    size = {"width": query.width, "height": query.height}
    picture = plan_picture(box, levels=studio.levels, settings=studio.settings, level=query.level, **size)
    headers = _headers(studio, chosen, query, (picture, kind))
    if _has_it(request, headers["ETag"]):
        studio.metrics.unchanged.inc()
        return Response(status_code=304, headers=headers)
    body = await _while_connected(request, studio.encoded_picture(chosen, picture, kind))
    name = f"synthetic-level-{picture.level}-seed-{chosen.seed}.{kind}"
    headers |= {"Content-Disposition": f'inline; filename="{name}"', "X-Level": str(picture.level)}
    return _picture(body, kind, headers)


@router.get("/tilejson.json")
async def describe(request: Request, query: Annotated[WorldQuery, Query()]) -> JSONResponse:
    """Answer with the TileJSON of a world."""
    studio = _studio(request)
    chosen = _chosen(studio, query)
    told = tilejson(_offer(request, studio, chosen))
    return JSONResponse(told, headers={"Cache-Control": _ASK_AGAIN})


@router.get("/WMTSCapabilities.xml")
@router.get("/wmts")
async def capabilities(request: Request, query: Annotated[WmtsQuery, Query()]) -> Response:
    """Answer with WMTS capabilities; tiles are asked for at the addresses that stand there."""
    if (query.request or "GetCapabilities").lower() != "getcapabilities":
        raise RequestError(
            f"REQUEST is {query.request!r}; this WMTS answers GetCapabilities, and tiles at the addresses given there"
        )
    studio = _studio(request)
    chosen = _chosen(studio, query)
    told = wmts_capabilities(_offer(request, studio, chosen))
    return Response(told, media_type="application/xml", headers={"Cache-Control": _ASK_AGAIN})


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """Answer whether tiles are painted, and what is waiting."""
    studio = _studio(request)
    told = {
        "status": "ok" if studio.painter.alive else "stopped",
        "synthetic": True,
        "model": studio.model,
        "prompt": studio.first.prompt,
        "seed": studio.first.seed,
        "minzoom": studio.levels[0],
        "maxzoom": studio.levels[-1],
        "world": studio.version(studio.first),
        "fixed": studio.settings.fixed,
        "waiting": studio.painter.waiting,
        "painting": studio.painter.painting,
    }
    status = 200 if studio.painter.alive else 503
    return JSONResponse(told, status_code=status, headers={"Cache-Control": "no-store"})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Answer with the counters, in Prometheus' text format."""
    text, media_type = _studio(request).metrics.text()
    return Response(text, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


def _studio(request: Request) -> Studio:
    found: Studio = request.app.state.studio
    return found


def _offer(request: Request, studio: Studio, chosen: Chosen) -> Offer:
    return Offer(chosen, studio.version(chosen), studio.levels, studio.model, str(request.base_url).rstrip("/"))


def _chosen(studio: Studio, query: WorldQuery) -> Chosen:
    chosen = query.chosen(studio.first, fixed=studio.settings.fixed)
    studio.check_version(chosen, query.v)
    return chosen


def _headers(studio: Studio, chosen: Chosen, query: WorldQuery, what: tuple[object, ...]) -> dict[str, str]:
    """Return an address' headers: one that names the version of its world shows the same for ever."""
    lasting = _FOREVER if query.v is not None else _ASK_AGAIN
    return {"ETag": studio.etag(chosen, *what), "Cache-Control": lasting}


def _has_it(request: Request, etag: str) -> bool:
    """Say whether the client's copy is still right (RFC 9110, 13.1.2)."""
    given = request.headers.get("if-none-match", "")
    tags = [tag.strip().removeprefix("W/") for tag in given.split(",")]
    return "*" in tags or etag in tags


def _picture(body: bytes, kind: Format, headers: dict[str, str]) -> Response:
    return Response(body, media_type=MEDIA_TYPES[kind], headers=headers)


async def _while_connected(request: Request, work: Awaitable[Answer]) -> Answer:
    """Wait for an answer, but only as long as somebody wants it.

    Raises:
        HTTPException: With status 499 if the client hung up.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(_CLIENT_GONE, "the client hung up")
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _wrong_parameters(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _told(422, complaint(error.errors(), path=request.url.path))


async def _no_such_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    message = str(error.detail)
    if error.status_code == 404:
        message = f"there is nothing at {request.url.path}; see /, /tilejson.json, /WMTSCapabilities.xml and /image"
    elif error.status_code == 405:
        message = f"{request.method} was asked; this server answers GET"
    return _told(error.status_code, message, dict(error.headers or {}))


async def _failed(_: Request, error: Exception) -> JSONResponse:
    status = status_of(error)
    headers = {}
    if isinstance(error, QueueFullError):
        headers["Retry-After"] = str(error.retry_after_s)
    elif status == 503:
        headers["Retry-After"] = "5"
    known = isinstance(error, Text2EarthError)
    return _told(status, str(error) if known else f"an error of the server: {type(error).__name__}: {error}", headers)


def _told(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        {"error": message}, status_code=status, headers={"Cache-Control": "no-store", **(headers or {})}
    )


class _Counted:
    """Counts answers by route and status, and adds the headers that all of them bear."""

    def __init__(self, app: ASGIApp, *, studio: Studio) -> None:
        self._app, self._metrics = app, studio.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [(b"x-synthetic", b"true"), (b"access-control-allow-origin", b"*")]
                more.append((b"x-content-type-options", b"nosniff"))
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)
