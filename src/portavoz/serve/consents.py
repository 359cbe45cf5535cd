"""The routes of recorded consents, /v1/audio/voice_consents, as OpenAI's contract has them.

Nothing here listens to a consent: the recording is kept as a document. A voice may rest on it, and is forgotten with
it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request

from ..errors import PortavozError
from . import forms
from .problems import Problem, problem
from .recordings import Consent
from .requests import Strict, Text
from .store import decode
from .uploads import REFUSALS

if TYPE_CHECKING:
    from .service import Service

PATH, ONE = "/v1/audio/voice_consents", "/v1/audio/voice_consents/{consent}"
FILE, WANTED = "recording", ("name", "language")
BODY = forms.schema(
    FILE,
    {
        "name": {"type": "string", "minLength": 1, "maxLength": forms.MOST_NAME},
        "language": {"type": "string", "description": "of the phrase, as BCP 47 has it: en-US"},
    },
    {},
)
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")  # the shape of RFC 5646, not its registry
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"description": "no such consent"}}


class Update(Strict):
    """Another name."""

    name: Text


def described(consent: Consent) -> dict[str, Any]:
    """As it is listed."""
    return {
        "id": consent.id,
        "object": "audio.voice_consent",
        "name": consent.name,
        "language": consent.language,
        "created_at": consent.created,
    }


def add(app: FastAPI, service: Service) -> None:
    """Add the routes."""

    def find(consent: str) -> Consent:
        found = service.consents.get(consent)
        if found is None:
            raise Problem(404, "there is no such consent", param="consent", code="consent_not_found")
        return found

    @app.post(PATH, tags=["voices"], openapi_extra=BODY, responses=REFUSALS)
    async def create(request: Request) -> dict[str, Any]:
        """Keep a recording in which a speaker agrees; its `id` is what an upload's `consent` takes."""
        return described(await _create(service, request))

    @app.get(PATH, tags=["voices"])
    async def listed(after: str = "", limit: Annotated[int, Query(ge=1, le=100)] = 20) -> dict[str, Any]:
        """The consents, the oldest first; `after` is the last id of the page before."""
        known = service.consents.listed()
        start = 0 if not after else 1 + known.index(find(after))
        page = [described(one) for one in known[start : start + limit]]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        return {"object": "list", "data": page, **ends, "has_more": start + limit < len(known)}

    @app.get(ONE, tags=["voices"], responses=NOT_FOUND)
    async def one(consent: str) -> dict[str, Any]:
        """One consent."""
        return described(find(consent))

    @app.post(ONE, tags=["voices"], responses={**NOT_FOUND, 400: REFUSALS[400]})
    async def update(consent: str, body: Update) -> dict[str, Any]:
        """Another name for a consent."""
        forms.check_name(body.name)
        changed = dataclasses.replace(find(consent), name=body.name)
        service.consents.describe(changed)
        return described(changed)

    @app.delete(ONE, tags=["voices"], responses=NOT_FOUND)
    async def delete(consent: str) -> dict[str, Any]:
        """Forget a consent, and the voices that rest on it."""
        found = find(consent)
        service.recordings.withdraw(found.id)
        service.consents.remove(found.id)
        return {"id": found.id, "object": "audio.voice_consent", "deleted": True}


async def _create(service: Service, request: Request) -> Consent:
    service.check_uploads()
    service.consents.check_room()
    form = await forms.read(request, FILE, WANTED)
    name, language = form.fields["name"], form.fields["language"]
    if not LANGUAGE.fullmatch(language):
        message = f"language is {language[:80]!r}, wanted a tag of BCP 47 such as en-US"
        raise Problem(400, message, param="language", code="invalid_value")
    try:
        async with service.admission.slot():
            loop = asyncio.get_running_loop()
            wave = await loop.run_in_executor(None, decode, form.data, FILE)
            return await loop.run_in_executor(
                None, service.consents.add, lambda id, now: Consent(id, name, language, now), wave
            )
    except PortavozError as error:
        raise problem(error, {FILE: None}) from error
