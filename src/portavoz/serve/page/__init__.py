"""The page at /: plain HTML, CSS and JavaScript that load nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response

# The page's files by name: a path that a client sends is looked up here, never opened.
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/spectrum.js": ("spectrum.js", "text/javascript; charset=utf-8"),
    "/api": ("api.html", "text/html; charset=utf-8"),
    "/api.js": ("api.js", "text/javascript; charset=utf-8"),
}


def add(app: FastAPI) -> None:
    """Add the page's routes."""
    for path, (name, kind) in FILES.items():
        content = (files(__name__) / name).read_bytes()
        app.add_api_route(path, _sender(content, kind), methods=["GET"], include_in_schema=False)


def _sender(content: bytes, kind: str) -> Any:
    async def send() -> Response:
        return Response(content, headers={"Content-Type": kind, "Cache-Control": "no-cache"})

    return send
