"""Checks before any route: request id, key, origin and host; counts and logs."""

from __future__ import annotations

import hmac
import ipaddress
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException

from .page import FILES
from .problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .service import Service

OPEN = frozenset({"/health", "/ready", *FILES})
SPEAKING = "/v1/audio/speech"
UPLOADS = ("/v1/audio/voices", "/v1/audio/voice_consents")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'self'; media-src blob:; img-src 'self' data:; frame-ancestors 'none'",
}


class Guard:
    """ASGI middleware around everything. What is open to all tells nothing: health, and the page's own files."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service
        key = service.settings.api_key
        self.key = key.get_secret_value().encode() if key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = headers.get("x-request-id", "")
        request_id = asked if REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        began, status = time.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                changed = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    changed.setdefault(name, value)
                changed["x-request-id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                self._check(scope, headers)
            except Problem as problem:
                await problem.response()(scope, receive, answer)
            else:
                await self._call(scope, receive, answer)
            finally:
                self._count(scope, status, time.monotonic() - began)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        with _Logged(self.service.log):
            await self.app(scope, self._bounded(scope, receive), send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raises Problem. The cheapest refusals come first: nothing of the body is read yet."""
        path = scope["path"]
        if scope.get("method") == "OPTIONS" and "access-control-request-method" in headers:
            return  # the browser's question before a call; it carries no key, and CORS answers it
        if self.key is not None and path not in OPEN:
            self._check_key(headers)
        if self.key is None:
            self._check_host(headers.get("host", ""))
        self._check_origin(headers)
        self._check_size(path, headers.get("content-length", ""))
        if scope.get("method") == "POST" and path == SPEAKING:
            self.service.admission.check()

    def _most(self, path: str) -> int:
        settings = self.service.settings
        return settings.max_upload if path in UPLOADS else settings.max_body

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """A body without a length is counted while it arrives."""
        most, size = self._most(scope["path"]), 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size > most:
                    raise HTTPException(413, too_large(most))
            return message

        return counted if scope["type"] == "http" else receive

    def _check_size(self, path: str, length: str) -> None:
        most = self._most(path)
        if length.isdecimal() and int(length[:20]) > most:
            raise Problem(413, too_large(most), code="request_entity_too_large")

    def _check_key(self, headers: Headers) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        token = given.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else b""
        # A browser's WebSocket cannot send this header, but a list of protocols: "bearer", KEY.
        if not token:
            offered = [part.strip() for part in headers.get("sec-websocket-protocol", "").split(",")]
            token = offered[1].encode() if len(offered) == 2 and offered[0] == "bearer" else b""
        if self.key is None or not hmac.compare_digest(token, self.key):
            raise Problem(401, "wrong API key, or none: send 'Authorization: Bearer KEY'", code="invalid_api_key")

    def _check_host(self, host: str) -> None:
        """Without a key, a foreign page could reach this server by a name of its own that leads here.

        Such a name has a dot; addresses, localhost, and the names that the settings list are fine.
        """
        name = _without_port(host).lower()
        allowed = self.service.settings.allowed_hosts
        if "." not in name or name in allowed or name.endswith((".localhost", ".local")) or _is_address(name):
            return
        raise Problem(403, f"this server is not called {name[:80]!r}; add it to allowed_hosts", code="host_not_allowed")

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or origin in self.service.settings.cors_origins:
            return
        if origin.partition("://")[2] != headers.get("host"):
            raise Problem(403, "calls from other pages are not allowed; see cors_origins", code="origin_not_allowed")

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        name = getattr(route, "path", "other")
        self.service.metrics.requests.labels(name, str(status)).inc()
        level = self.service.log.error if status >= 500 else self.service.log.info
        level("request", method=scope.get("method", "WS"), route=name, status=status, seconds=round(seconds, 4))


class _Logged:
    """Writes an error into the log and lets it go on: FastAPI has told the client, who learns no more than that."""

    def __init__(self, log: Any) -> None:
        self.log = log

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            self.log.error("internal error", exc_info=error)


def too_large(most: int) -> str:
    """The message for a body above the limit."""
    return f"the body is larger than {most} bytes; send less"


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and ":" in host else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
