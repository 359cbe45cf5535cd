"""Who may call: keys, addresses, other pages; and that the server itself calls nobody."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import fake_voice
import httpx
import pytest
from fastapi import FastAPI

from portavoz.serve.app import create_app
from portavoz.serve.guard import OPEN
from portavoz.serve.page import FILES
from portavoz.serve.settings import Settings

KEY = "correct-horse-battery"
SAID = {"model": "fake", "voice": "ann", "input": "Hi."}


def app(**settings: Any) -> FastAPI:
    made = Settings(**{"voices": ("fake",), "log_level": "error", **settings})
    return create_app(made, opener=lambda source: fake_voice.fake())


def call(
    made: FastAPI, method: str, path: str, *, base: str = "http://127.0.0.1:8000", **options: Any
) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(made, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, **options)

    return asyncio.run(ask())


def routes(made: FastAPI) -> list[tuple[str, str]]:
    """(method, path) of everything that is there, the page's files included."""
    return sorted((m, r.path) for r in made.routes for m in getattr(r, "methods", None) or ())  # type: ignore[attr-defined]


def test_every_route_wants_the_key_but_health_and_the_pages_files() -> None:
    made = app(api_key=KEY)
    known = routes(made)
    assert ("GET", "/metrics") in known
    assert ("GET", "/openapi.json") in known
    closed = [(method, path) for method, path in known if path not in OPEN]
    assert len(closed) >= 6
    for method, path in closed:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"},
                        {"Authorization": f"Bearer {KEY[:-1]}"}, {"Authorization": "Bearer \xff"}):  # fmt: skip
            raw = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = call(made, method, path, headers=raw)
            assert answer.status_code == 401, (method, path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
        answer = call(made, method, path, headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code != 401, (method, path)
    assert {"/health", "/ready", *FILES} == OPEN
    for path in OPEN:
        assert call(made, "GET", path).status_code in (200, 503)


def test_a_wrong_key_is_told_in_openais_shape() -> None:
    error = call(app(api_key=KEY), "POST", "/v1/audio/speech", json=SAID).json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")


@pytest.mark.parametrize(
    ("base", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("http://localhost:8000", 200),
        ("http://[::1]:8000", 200),
        ("http://192.168.0.7:8000", 200),
        ("http://voice.local", 200),
        ("http://tts.example.org", 200),
        ("http://attacker.example", 403),
        ("http://127.0.0.1.attacker.example:8000", 403),
    ],
)
def test_a_name_that_is_not_ours_is_refused_without_a_key(base: str, status: int) -> None:
    """DNS rebinding: a foreign page whose name leads to this machine."""
    made = app(allowed_hosts=("tts.example.org",))
    assert call(made, "POST", "/v1/audio/speech", base=base, json=SAID).status_code == status


def test_other_pages_may_call_only_when_they_are_listed() -> None:
    made = app(cors_origins=("https://friend.example",))
    for origin, status in (("https://friend.example", 200), ("http://127.0.0.1:8000", 200),
                           ("https://enemy.example", 403), ("null", 403), ("http://127.0.0.1:9000", 403)):  # fmt: skip
        answer = call(made, "POST", "/v1/audio/speech", json=SAID, headers={"Origin": origin})
        assert answer.status_code == status, origin
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == (origin if origin == "https://friend.example" else None)
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    asked = call(made, "OPTIONS", "/v1/audio/speech", headers={"Origin": "https://friend.example", **ask})
    assert asked.headers["access-control-allow-origin"] == "https://friend.example"
    asked = call(made, "OPTIONS", "/v1/audio/speech", headers={"Origin": "https://enemy.example", **ask})
    assert "access-control-allow-origin" not in asked.headers


def test_a_requests_id_is_kept_or_made() -> None:
    made = app()
    assert call(made, "GET", "/health", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    for bad in ("a b", "x" * 65, "a\tb"):
        assert call(made, "GET", "/health", headers={"X-Request-ID": bad}).headers["x-request-id"] != bad


def test_what_the_log_has(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (False, True):
        made = app(log_level="info", log_text=shown)
        call(made, "POST", "/v1/audio/speech", json={**SAID, "input": "A secret."}, headers={"X-Request-ID": "r1"})
        log = capsys.readouterr().err
        assert '"request_id": "r1"' in log
        assert '"route": "/v1/audio/speech"' in log
        assert ("A secret." in log) == shown


PROGRAM = """
import sys
calls = []
WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request")
sys.addaudithook(lambda name, args: calls.append((name, args)) if name in WATCHED else None)
import asyncio, json
import httpx
from portavoz.serve.app import create_app
from portavoz.serve.settings import Settings
async def main():
    app = create_app(Settings(log_level="error"))
    async with app.router.lifespan_context(app), httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        for format in ("mp3", "opus", "aac", "flac", "wav", "pcm"):
            body = {"model": "tts-1", "voice": "heart", "input": "http://example.org/ is read, not opened.",
                    "response_format": format}
            assert (await client.post("/v1/audio/speech", json=body)).status_code == 200
        for voice in ("http://127.0.0.1:9/a", "file:///etc/passwd", "//host/share", "owner/name"):
            body = {"model": voice, "voice": voice, "input": "Hi."}
            assert (await client.post("/v1/audio/speech", json=body)).status_code == 404
            body = {"model": "tts-1", "voice": voice, "input": "Hi."}
            assert (await client.post("/v1/audio/speech", json=body)).status_code == 400
        for path in ("/", "/page.js", "/api", "/v1/models", "/v1/audio/voices", "/metrics", "/openapi.json"):
            assert (await client.get(path)).status_code == 200, path
asyncio.run(main())
print(json.dumps([str(call) for call in calls]))
"""


def test_the_server_connects_to_nobody() -> None:
    """With the bundled voice, every socket call of the process audited: the list is empty."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
