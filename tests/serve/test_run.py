"""SIGTERM: first not ready, running streams end, then exit code 0."""

from __future__ import annotations

import signal
import threading
import time

import fake_voice
import httpx
import served

from portavoz.audio.files import to_pcm16

TEXT = "a stream of some seconds that is long enough to be in the middle of when the signal comes"
SAID = {"model": "fake", "voice": "ann", "input": TEXT, "response_format": "pcm"}


def test_sigterm_drains() -> None:
    """While a stream runs: /ready says 503 first, a new request 503, the stream is whole, the code 0."""
    expected = to_pcm16(fake_voice.fake().speak(TEXT, speaker="ann").samples).tobytes()
    with served.Process("--drain-delay", "1.5", FAKE_DELAY="0.06") as server, httpx.Client(timeout=60) as client:
        url, found = f"{server.url}/v1/audio/speech", []
        while client.get(f"{server.url}/ready").status_code != 200:
            time.sleep(0.02)
        reading = threading.Event()

        def read() -> None:
            with httpx.Client(timeout=60) as other, other.stream("POST", url, json=SAID) as answer:
                chunks = answer.iter_raw()
                found.append(next(chunks))
                reading.set()
                found.extend(chunks)

        thread = threading.Thread(target=read)
        thread.start()
        assert reading.wait(60)
        server.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + served.PATIENCE
        while (answer := client.get(f"{server.url}/ready")).status_code == 200:
            assert time.monotonic() < end
        assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
        refused = client.post(url, json=SAID)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "shutting_down"
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get(f"{server.url}/health").status_code == 200
        thread.join(served.PATIENCE)
        assert b"".join(found) == expected
        assert server.process.wait(served.PATIENCE) == 0


def test_a_second_signal_ends_it_at_once() -> None:
    with served.Process("--drain-delay", "600", "--no-preload", FAKE_CHARACTER="10", FAKE_DELAY="0.05") as server:
        url, client = f"{server.url}/v1/audio/speech", httpx.Client(timeout=60)
        with client, client.stream("POST", url, json=SAID) as answer:
            next(answer.iter_raw())
            server.process.send_signal(signal.SIGTERM)
            end = time.monotonic() + served.PATIENCE
            while "draining" not in "".join(server.lines):
                assert time.monotonic() < end
                time.sleep(0.01)
            assert server.stop(signal.SIGTERM) == 0
