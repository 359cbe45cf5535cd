"""The routes of uploaded recordings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from ..errors import PortavozError
from .problems import Problem, problem
from .recordings import ID, Recording, decode
from .voices import Model

if TYPE_CHECKING:
    from .service import Service

FIELDS = ("name", "audio_sample", "consent", "model")
MOST_FIELD = 4096  # bytes of a field that is no file
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["name", "audio_sample", "consent"],
                    "properties": {
                        "name": {"type": "string", "minLength": 1, "maxLength": 256},
                        "audio_sample": {"type": "string", "format": "binary", "description": "1 to 60 seconds"},
                        "consent": {"type": "string", "enum": ["true"], "description": "the speaker has agreed"},
                        "model": {"type": "string", "description": "one that clones; the first of them without it"},
                    },
                }
            }
        },
    }
}


def described(recording: Recording) -> dict[str, Any]:
    """As it is listed."""
    return {
        "id": recording.id,
        "name": recording.name,
        "object": "voice",
        "model": recording.model,
        "language": "",
        "kind": "recording",
        "seconds": recording.seconds,
        "created_at": recording.created,
    }


def add(app: FastAPI, service: Service) -> None:
    """Add the routes."""
    refusals: dict[int | str, dict[str, Any]] = {
        400: {"description": "what is wrong, in OpenAI's shape"},
        404: {"description": "no such model"},
        413: {"description": "too large"},
    }

    @app.post("/v1/audio/voices", tags=["voices"], openapi_extra=BODY, responses=refusals)
    async def upload(request: Request) -> dict[str, Any]:
        """Keep a recording whose voice a model can speak with; its `id` is what a request's `voice` takes."""
        return described(await _upload(service, request))

    @app.delete("/v1/audio/voices/{voice}", tags=["voices"], responses={404: {"description": "no such recording"}})
    async def delete(voice: str) -> dict[str, Any]:
        """Forget a recording."""
        if not ID.fullmatch(voice) or not service.recordings.remove(voice):
            raise Problem(404, "there is no such recording", param="voice", code="voice_not_found")
        return {"id": voice, "object": "voice", "deleted": True}


async def _upload(service: Service, request: Request) -> Recording:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Problem(415, f"Content-Type is {kind[:80]!r}, wanted multipart/form-data", code="unsupported_media_type")
    service.recordings.check_room()
    try:
        form = await request.form(max_files=1, max_fields=len(FIELDS), max_part_size=MOST_FIELD)
    except HTTPException as error:
        if error.status_code == 413:
            raise
        raise Problem(400, f"the form cannot be read: {error.detail}", code="invalid_form") from error
    try:
        fields = _fields(form)
        data = await form["audio_sample"].read()  # pyright: ignore[reportAttributeAccessIssue] (checked in _fields)
    finally:
        await form.close()
    model = await _cloner(service, fields.get("model"))
    try:
        async with service.admission.slot(), service.models.lease(model) as voice:
            loop = asyncio.get_running_loop()
            wave = await loop.run_in_executor(model.pool, decode, data)
            # A recording that the family cannot use is refused now, not when it is to speak.
            await loop.run_in_executor(model.pool, voice.clone, wave)
            return await loop.run_in_executor(None, service.recordings.add, fields["name"], model.id, wave)
    except PortavozError as error:
        raise problem(error, {}) from error


def _fields(form: Any) -> dict[str, str]:
    """The text fields. Raises Problem for what is missing, wrong, unknown, or there twice."""
    names = [name for name, _ in form.multi_items()]
    for name in names:
        if name not in FIELDS:
            raise Problem(400, f"unknown field: {name[:80]!r}", code="unknown_parameter")
        if names.count(name) > 1:
            raise Problem(400, f"{name} is there more than once", param=name, code="invalid_value")
    for name in FIELDS[:3]:
        if name not in names:
            raise Problem(400, f"{name} is missing", param=name, code="missing_required_parameter")
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if not isinstance(form["audio_sample"], UploadFile) or len(fields) != len(names) - 1:
        raise Problem(
            400, "audio_sample is the one file, the rest are texts", param="audio_sample", code="invalid_value"
        )
    if fields["consent"] != "true":
        message = "consent must be 'true': the speaker has agreed that this voice is used"
        raise Problem(400, message, param="consent", code="consent_required")
    if not 1 <= len(fields["name"].strip()) <= 256 or not fields["name"].isprintable():
        raise Problem(400, "name: wanted 1 to 256 printable characters", param="name", code="invalid_value")
    return fields


async def _cloner(service: Service, name: str | None) -> Model:
    """The model that was asked for, or the first that clones. Raises Problem when there is none."""
    candidates = [service.models.find(name)] if name else list(service.models)
    for model in candidates:
        async with service.models.lease(model):
            if model.clones:
                return model
    message = "no model here speaks with the voice of a recording" if not name else f"{name[:80]} has voices of its own"
    raise Problem(400, f"{message}; choose one that GET /v1/models lists with clones", param="model",
                  code="unsupported_parameter")  # fmt: skip
