"""The application: `create_app()`, for `portavoz serve` and any ASGI server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from starlette.middleware.cors import CORSMiddleware

from .. import __version__
from ..audio.encoders import available
from ..errors import InputError, MissingExtra, PortavozError, WeightError, needed
from . import consents, metrics, page, problems, uploads, websocket
from .guard import Guard
from .problems import Problem
from .requests import SpeechRequest
from .service import Service
from .settings import Settings, read
from .speech import SpeechResponse, check
from .voices import Opener, listed

WARM = "Ready."
AUDIO: dict[int | str, dict[str, Any]] = {
    200: {"description": "sound", "content": {"application/octet-stream": {}, "text/event-stream": {}}},
    **{code: {"description": text} for code, text in (
        (400, "what is wrong, in OpenAI's shape"), (404, "no such model"), (429, "come back after Retry-After"),
    )},
}  # fmt: skip


def create_app(settings: Settings | None = None, *, opener: Opener | None = None) -> FastAPI:
    """The application with these settings, or with those of the environment.

    opener: makes a Voice of a configured name or folder; `portavoz.load` when not given. Raises InputError.
    """
    service = Service.of(settings or read(), opener)
    app = FastAPI(
        title="portavoz",
        version=__version__,
        summary="Text to speech with OpenAI's speech API.",
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere; ours is /api
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda app: _running(service),
    )
    app.state.service = service
    problems.install(app)
    _status(app, service)
    _speech(app, service)
    uploads.add(app, service)
    consents.add(app, service)
    websocket.add(app, service)
    page.add(app)
    _document(app)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(service.settings.cors_origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["authorization", "content-type", "x-request-id"],
        expose_headers=["x-request-id", "retry-after", "x-portavoz-warnings"],
    )
    app.add_middleware(Guard, service=service)
    return app


@asynccontextmanager
async def _running(service: Service) -> AsyncIterator[None]:
    """Open the first voice beside the server, so that /health answers from the start; close all at the end."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(service.models.watch())]
    try:
        home = await _wyoming(service)
    except PortavozError as error:
        service.fault = error
        raise
    if service.settings.preload:
        tasks.append(asyncio.create_task(warm(service)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if home is not None:
            home.close()
        service.models.close_all()


async def _wyoming(service: Service) -> asyncio.Server | None:
    settings = service.settings
    if settings.wyoming_port is None:
        return None
    with needed("wyoming", "serve", "--wyoming-port"):
        from . import wyoming  # only who serves it needs its package

    home = await wyoming.serve(service, settings.wyoming_host, settings.wyoming_port)
    service.log.info("wyoming", port=home.sockets[0].getsockname()[1])
    return home


async def warm(service: Service) -> None:
    """Open the first voice and speak once, since the first call of a model is the slowest.

    If the first voice cannot be opened, or is damaged, the server has a `fault`.
    """
    model = service.models.first
    try:
        async with service.models.lease(model) as voice:
            await asyncio.get_running_loop().run_in_executor(model.pool, lambda: list(voice.stream(WARM)))
    except Problem as problem:
        service.log.error("model", model=model.id, problem=problem.message)
        cause = problem.__cause__
        service.fault = cause if isinstance(cause, PortavozError) else InputError(problem.message)
        return
    except (WeightError, MissingExtra) as error:
        service.log.error("model", model=model.id, problem=str(error))
        service.fault = error
        return
    except PortavozError as error:
        # It may need a recording to speak with: it is open, and that is all that can be done now.
        service.log.info("model", model=model.id, problem=str(error))
    service.models.warm = True


def _status(app: FastAPI, service: Service) -> None:
    @app.get("/health", tags=["status"])
    async def health() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/ready", tags=["status"], responses={503: {"description": "not yet, or not any more"}})
    async def ready() -> JSONResponse:
        """The first model is open and has spoken once, and the server is not shutting down."""
        if service.admission.draining:
            return JSONResponse({"status": "draining"}, 503)
        if service.settings.preload and not service.models.warm:
            return JSONResponse({"status": "loading"}, 503)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", tags=["status"])
    async def measured() -> Response:
        """Counters for Prometheus."""
        return Response(service.metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})


def _speech(app: FastAPI, service: Service) -> None:
    @app.post("/v1/audio/speech", tags=["speech"], response_class=Response, responses=AUDIO)
    async def speech(request: SpeechRequest) -> Response:
        """Speak a text. OpenAI's contract, and what portavoz adds to it."""
        return SpeechResponse(service, request, check(service, request))

    @app.get("/v1/models", tags=["speech"])
    async def models() -> dict[str, Any]:
        """The models, as OpenAI lists them."""
        return {"object": "list", "data": [_listed(model) for model in service.models]}

    @app.get("/v1/models/{model:path}", tags=["speech"], responses={404: AUDIO[404]})
    async def model(model: str) -> dict[str, Any]:
        """One model."""
        return _listed(service.models.find(model))

    @app.get("/v1/audio/voices", tags=["speech"])
    async def voices() -> dict[str, Any]:
        """The voices of all models; `id` is what a request's `voice` takes."""
        kept = [uploads.described(recording) for recording in service.recordings.listed()]
        return {"object": "list", "voices": [*listed(service.models), *kept], "formats": available()}


def _listed(model: Any) -> dict[str, Any]:
    about = {
        "language": model.about.get("language", ""),
        "open": model.voice is not None,
        "clones": model.clones,
        "mixes": model.mixes,
        "timed": model.timed,
    }
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": "portavoz", **about}


def _document(app: FastAPI) -> None:
    """FastAPI's OpenAPI document without its 422: an invalid body gets 400, as in OpenAI's API."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for route in (route for methods in document["paths"].values() for route in methods.values()):
            if route["responses"].pop("422", None):
                route["responses"].setdefault("400", {"description": "what is wrong, in OpenAI's shape"})
        return document

    app.openapi = openapi
