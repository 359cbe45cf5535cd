"""Ray Serve: two replicas, one killed under load: only its running requests are lost, and none is taken for whole."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest
import served

import portavoz
from portavoz.audio.files import to_pcm16
from portavoz.errors import MissingExtra
from portavoz.serve import ray
from portavoz.serve.ray_errors import Answers
from portavoz.serve.settings import Settings

TEXT = "This text is long enough to be in the middle of when its replica dies. It goes on for some seconds more."
SAID = {"model": "heart", "voice": "heart", "input": TEXT, "response_format": "wav", "stream": True}
STREAMED_HEADER = 44  # bytes


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def replicas(server: served.Process) -> list[psutil.Process]:
    """The replicas' processes, below the one that this test has started."""
    below = psutil.Process(server.process.pid).children(recursive=True)
    return [one for one in below if "ServeReplica" in _command(one)]


def _command(process: psutil.Process) -> str:
    """Empty for one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.slow
def test_one_of_two_replicas_is_killed_under_load() -> None:
    expected = to_pcm16(portavoz.load().speak(TEXT, speaker="heart").samples).tobytes()
    port = free_port()
    options = ("--ray", "--replicas", "2", "--slots", "4", "--port", str(port))
    with served.Process(*options, module="portavoz serve", warnings="ignore") as server:
        url = f"http://127.0.0.1:{port}/v1/audio/speech"
        found = replicas(server)
        assert len(found) == 2
        ends: list[str] = []
        problems: list[tuple[int, str]] = []
        stop, started = threading.Event(), threading.Semaphore(0)

        def client() -> None:
            with httpx.Client(timeout=120) as http:
                while not stop.is_set():
                    try:
                        with http.stream("POST", url, json=SAID) as answer:
                            started.release()
                            body = answer.read()
                            whole = body[STREAMED_HEADER:] == expected
                            if answer.status_code == 200:
                                ends.append("whole" if whole else "wrong")
                            else:
                                problems.append((answer.status_code, json.loads(body)["error"]["code"]))
                                ends.append("told")
                    except httpx.HTTPError:
                        ends.append("broken")

        with ThreadPoolExecutor(6) as pool:
            clients = [pool.submit(client) for _ in range(6)]
            try:
                for _ in range(12):
                    assert started.acquire(timeout=120)
                before = len(ends)
                random.Random(1).choice(found).kill()
                # The other one goes on, and Ray starts another in its place.
                end = time.monotonic() + 180
                while len(replicas(server)) < 2 or ends.count("whole") < before + 12:
                    assert time.monotonic() < end, ends
                    time.sleep(0.1)
            finally:
                stop.set()
            for one in clients:
                one.result()
        assert "wrong" not in ends
        assert set(problems) <= {(503, "replica_died")}
        # No more than those that ran: 4 slots and the one for /health.
        assert ends.count("broken") + ends.count("told") <= 6 + 5
        with httpx.Client(timeout=120) as http:
            assert http.post(url, json=SAID).content[STREAMED_HEADER:] == expected
            assert http.post(url, json={**SAID, "voice": "nobody"}).json()["error"]["code"] == "voice_not_found"
        assert server.stop() == 0
    assert not [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"portavoz\[ray\]"):
        ray.run(Settings(ray=True), ready=print)


def answers(status: int, kind: bytes, *, fails: bool = False, started: bool = False) -> list[Any]:
    """What a client gets through `Answers` from a proxy that answers so, or fails."""
    sent: list[Any] = []

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        if fails and not started:
            raise RuntimeError("the actor died")
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"Some words.", "more_body": fails})
        if fails:
            raise RuntimeError("the actor died")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Answers(proxy)({"type": "http"}, None, send))  # pyright: ignore[reportArgumentType]
    return sent


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limit_exceeded"), (408, "timeout"), (503, "unavailable")])
def test_what_the_proxy_says_itself_has_openais_shape(status: int, code: str) -> None:
    start, body = answers(status, b"text/plain")
    assert start["status"] == status
    assert json.loads(body["body"])["error"]["code"] == code
    assert ((b"retry-after", b"1") in start["headers"]) == (status != 408)


def test_a_replica_that_dies_before_it_answers_is_told_and_a_begun_answer_is_cut() -> None:
    start, body = answers(200, b"audio/wav", fails=True)
    assert start["status"] == 503
    assert json.loads(body["body"])["error"]["code"] == "replica_died"
    with pytest.raises(RuntimeError):
        answers(200, b"audio/wav", fails=True, started=True)


@pytest.mark.parametrize(("status", "kind"), [(429, b"application/json"), (200, b"text/plain; version=1.0.0")])
def test_what_a_replica_says_passes(status: int, kind: bytes) -> None:
    start, body = answers(status, kind)
    assert (start["status"], body["body"]) == (status, b"Some words.")
