"""Errors in the format of OpenAI's API: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ..errors import BackendError, InputError, MissingExtra, PortavozError

NAMED = {"nothing to say": "input", "no option": "options"}  # how a voice's errors begin, and the field meant
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Problem(Exception):
    """A request that cannot be served. `param` is the field at fault, `code` an identifier for programs."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None,
        retry_after: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.retry_after = status, message, param, code, retry_after

    def body(self) -> dict[str, Any]:
        """The JSON value of the response."""
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """The headers of the response. OpenAI's client respects both retry times."""
        headers = {} if self.status != 401 else {"WWW-Authenticate": "Bearer"}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
            headers["retry-after-ms"] = str(max(1, round(1000 * self.retry_after)))
        return headers

    def response(self) -> Response:
        """The response."""
        return JSONResponse(self.body(), self.status, self.headers())


def problem(error: PortavozError, params: Mapping[str, Any]) -> Problem:
    """An error of a voice as an answer. `params`: the fields that were given; the one that it names is the culprit."""
    message = str(error)
    if isinstance(error, (MissingExtra, BackendError)):
        return Problem(501, message, code="not_available")
    if isinstance(error, InputError):
        first = message.partition(" ")[0].strip(":'\"")
        named = (name for words, name in NAMED.items() if words in message[:80] and name in {*params, "input"})
        param = first if first in params else next(named, None)
        return Problem(400, message, param=param, code="invalid_value")
    return Problem(500, message, code="model_error")


def install(app: FastAPI) -> None:
    """Convert every error of the application to this format."""

    @app.exception_handler(Problem)
    async def _problem(_: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        return invalid(error.errors()).response()

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_")
        answer = Problem(error.status_code, _plain(error.detail) or phrase, code=code).response()
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def _internal(_: Request, error: Exception) -> Response:
        # What went wrong stands in the log; a client is told no more than that.
        return Problem(500, "internal error; the server's log has it under this request's id").response()


def invalid(errors: Any) -> Problem:
    """Pydantic's list of errors in a body, as one sentence about the first of them."""
    first = errors[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    # A union's members stand in the location as well; a person knows only the fields.
    param = next((part for part in where if not part.isdecimal()), None)
    kind, message = first["type"], first["msg"]
    if kind == "extra_forbidden":
        return Problem(400, f"unknown parameter: {_plain(param)}", param=_plain(param), code="unknown_parameter")
    if kind == "missing":
        return Problem(400, f"{param or 'the body'} is missing", param=param, code="missing_required_parameter")
    if kind == "json_invalid":
        return Problem(400, "the body is not JSON", code="invalid_json")
    return Problem(400, _plain(f"{param or 'the body'}: {message}"), param=_plain(param), code="invalid_value")


def _plain(text: Any) -> Any:
    """A text without surrogates, which no encoder could write."""
    return None if text is None else str(text)[:300].encode("utf-8", "replace").decode()
