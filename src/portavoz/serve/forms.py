"""Multipart forms with one file: every field is known, unique, and bounded before it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from .problems import Problem

if TYPE_CHECKING:
    from fastapi import Request

MOST_FIELD = 4096  # bytes of a field that is no file
MOST_NAME = 256  # characters


class Form(NamedTuple):
    """The text fields of a form by name, and the bytes of its file."""

    fields: dict[str, str]
    data: bytes


def schema(file: str, wanted: dict[str, dict[str, Any]], optional: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The form for the OpenAPI document."""
    sound = {"type": "string", "format": "binary", "description": "1 to 60 seconds of sound"}
    form = {
        "type": "object",
        "additionalProperties": False,
        "required": [*wanted, file],
        "properties": {**wanted, file: sound, **optional},
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}


async def read(request: Request, file: str, wanted: tuple[str, ...], optional: tuple[str, ...] = ()) -> Form:
    """The form of a request. Raises Problem for what is missing, wrong, unknown, or there twice."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Problem(415, f"Content-Type is {kind[:80]!r}, wanted multipart/form-data", code="unsupported_media_type")
    known = (*wanted, file, *optional)
    try:
        form = await request.form(max_files=1, max_fields=len(known), max_part_size=MOST_FIELD)
    except HTTPException as error:
        if error.status_code == 413:
            raise
        raise Problem(400, f"the form cannot be read: {error.detail}", code="invalid_form") from error
    try:
        _check(form, known, (*wanted, file))
        sound = form[file]
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        if not isinstance(sound, UploadFile) or len(fields) != len(form) - 1:
            raise Problem(400, f"{file} is the one file, the rest are texts", param=file, code="invalid_value")
        check_name(fields["name"])
        return Form(fields, await sound.read())
    finally:
        await form.close()


def _check(form: Any, known: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    names = [name for name, _ in form.multi_items()]
    for name in names:
        if name not in known:
            raise Problem(400, f"unknown field: {name[:80]!r}", code="unknown_parameter")
        if names.count(name) > 1:
            raise Problem(400, f"{name} is there more than once", param=name, code="invalid_value")
    for name in wanted:
        if name not in names:
            raise Problem(400, f"{name} is missing", param=name, code="missing_required_parameter")


def check_name(name: str) -> None:
    """Raises Problem for a name that cannot be displayed."""
    if not name.strip() or len(name) > MOST_NAME or not name.isprintable():
        message = f"name: wanted 1 to {MOST_NAME} printable characters"
        raise Problem(400, message, param="name", code="invalid_value")
