"""Errors of Ray's proxy in the format of OpenAI's API; the proxy sends plain text, and sees a replica die."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

RETRY_AFTER = 1.0  # seconds
PROBLEMS = {
    408: Problem(408, "the request took longer than request_timeout", code="timeout"),
    429: Problem(429, "all replicas are busy and their queues are full; try again later",
                 code="rate_limit_exceeded", retry_after=RETRY_AFTER),
    500: Problem(503, "the replica that served this request has died; send it again",
                 code="replica_died", retry_after=RETRY_AFTER),
    503: Problem(503, "no replica is running; try again later", code="unavailable", retry_after=RETRY_AFTER),
}  # fmt: skip


class Answers:
    """ASGI middleware: JSON in place of the proxy's own errors. A replica's responses pass unchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, own = False, None

        async def answer(message: Message) -> None:
            nonlocal started, own
            if message["type"] == "http.response.start":
                started, own = True, _own(message)
            if own is None:
                await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception:
            # An answer that has begun is cut: uvicorn closes the connection, and nobody takes it for whole.
            if started:
                raise
            own = PROBLEMS[500]
        if own is not None:
            await own.response()(scope, receive, send)


def _own(message: Message) -> Problem | None:
    """The problem for a response of the proxy; None for a replica's."""
    kind = dict(message.get("headers", ())).get(b"content-type", b"")
    return PROBLEMS.get(message["status"]) if kind.startswith(b"text/plain") else None
