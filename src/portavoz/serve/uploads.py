"""The routes of uploaded recordings: POST and DELETE /v1/audio/voices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request

from ..errors import PortavozError
from . import forms
from .problems import Problem, problem
from .recordings import Recording
from .store import decode
from .voices import Model

if TYPE_CHECKING:
    from ..flow import Wave
    from .service import Service

FILE, WANTED, OPTIONAL = "audio_sample", ("name", "consent"), ("model", "type")
BODY = forms.schema(
    FILE,
    {
        "name": {"type": "string", "minLength": 1, "maxLength": forms.MOST_NAME},
        "consent": {"type": "string", "description": "true: the speaker has agreed; or the id of a recorded consent"},
    },
    {
        "model": {"type": "string", "description": "one that clones; the first of them without it"},
        "type": {"type": "string", "enum": ["audio_sample"]},
    },
)
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "what is wrong, in OpenAI's shape"},
    404: {"description": "no such model"},
    413: {"description": "too large"},
    415: {"description": "not a form"},
}


def described(recording: Recording) -> dict[str, Any]:
    """As it is listed."""
    return {
        "id": recording.id,
        "name": recording.name,
        "object": "audio.voice",
        "type": "audio_sample",
        "model": recording.model,
        "language": "",
        "kind": "recording",
        "seconds": recording.seconds,
        "created_at": recording.created,
    }


def add(app: FastAPI, service: Service) -> None:
    """Add the routes."""

    @app.post("/v1/audio/voices", tags=["voices"], openapi_extra=BODY, responses=REFUSALS)
    async def upload(request: Request) -> dict[str, Any]:
        """Keep a recording whose voice a model can speak with; its `id` is what a request's `voice` takes."""
        return described(await _upload(service, request))

    @app.delete("/v1/audio/voices/{voice}", tags=["voices"], responses={404: {"description": "no such recording"}})
    async def delete(voice: str) -> dict[str, Any]:
        """Forget a recording."""
        if not service.recordings.remove(voice):
            raise Problem(404, "there is no such recording", param="voice", code="voice_not_found")
        return {"id": voice, "object": "audio.voice", "deleted": True}


async def _upload(service: Service, request: Request) -> Recording:
    service.check_uploads()
    service.recordings.check_room()
    form = await forms.read(request, FILE, WANTED, OPTIONAL)
    _check(service, form.fields)
    model = await _cloner(service, form.fields.get("model"))

    def kept(wave: Wave) -> Recording:
        seconds, name = round(len(wave.samples) / wave.rate, 3), form.fields["name"]
        return service.recordings.add(
            lambda id, now: Recording(id, name, model.id, seconds, now, form.fields["consent"]), wave
        )

    try:
        async with service.admission.slot(), service.models.lease(model) as voice:
            loop = asyncio.get_running_loop()
            wave = await loop.run_in_executor(model.pool, decode, form.data, FILE)
            # A recording that the family cannot use is refused now, not when it is to speak.
            await loop.run_in_executor(model.pool, voice.clone, wave)
            return await loop.run_in_executor(None, kept, wave)
    except PortavozError as error:
        raise problem(error, {FILE: None}) from error


def _check(service: Service, fields: dict[str, str]) -> None:
    """Raises Problem for a way that no model here has, and without a consent."""
    if fields.get("type", "audio_sample") != "audio_sample":
        message = f"no model here makes a voice by {fields['type'][:80]!r}; send an audio_sample"
        raise Problem(400, message, param="type", code="unsupported_parameter")
    consent = fields["consent"]
    if consent != "true" and service.consents.get(consent) is None:
        message = (
            "consent must be 'true', the speaker has agreed that this voice is used, or the id of a recorded consent "
            "(POST /v1/audio/voice_consents)"
        )
        raise Problem(400, message, param="consent", code="consent_required")


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
