"""Ray Serve: two replicas, one killed under load: only its running requests are lost, and none is taken for whole."""

from __future__ import annotations

import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
import served

import portavoz
from portavoz.audio.files import to_pcm16
from portavoz.errors import MissingExtra
from portavoz.serve import ray
from portavoz.serve.settings import Settings

TEXT = "This text is long enough to be in the middle of when its replica dies. It goes on for some seconds more."
SAID = {"model": "arctic", "voice": "slt", "input": TEXT, "response_format": "wav", "stream": True}
STREAMED_HEADER = 44  # bytes


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def replicas(server: served.Process) -> list[psutil.Process]:
    """The replicas' processes, below the one that this test has started."""
    below = psutil.Process(server.process.pid).children(recursive=True)
    return [one for one in below if "ServeReplica" in " ".join(one.cmdline())]


@pytest.mark.slow
def test_one_of_two_replicas_is_killed_under_load() -> None:
    expected = to_pcm16(portavoz.load().speak(TEXT, speaker="slt").samples).tobytes()
    port = free_port()
    options = ("--ray", "--replicas", "2", "--slots", "4", "--port", str(port))
    with served.Process(*options, module="portavoz serve", warnings="ignore") as server:
        url = f"http://127.0.0.1:{port}/v1/audio/speech"
        found = replicas(server)
        assert len(found) == 2
        ends: list[str] = []
        stop, started = threading.Event(), threading.Semaphore(0)

        def client() -> None:
            with httpx.Client(timeout=120) as http:
                while not stop.is_set():
                    try:
                        with http.stream("POST", url, json=SAID) as answer:
                            started.release()
                            body = answer.read()
                            told = answer.status_code != 200
                            whole = body[STREAMED_HEADER:] == expected
                            ends.append("told" if told else "whole" if whole else "wrong")
                    except httpx.HTTPError:
                        ends.append("broken")

        with ThreadPoolExecutor(6) as pool:
            clients = [pool.submit(client) for _ in range(6)]
            for _ in range(12):
                assert started.acquire(timeout=120)
            before = len(ends)
            random.Random(1).choice(found).kill()
            # The other one goes on, and Ray starts another in its place.
            end = time.monotonic() + 180
            while len([one for one in replicas(server) if one.is_running()]) < 2 or ends.count("whole") < before + 12:
                assert time.monotonic() < end, ends
                time.sleep(0.1)
            stop.set()
            for one in clients:
                one.result()
        assert "wrong" not in ends
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
