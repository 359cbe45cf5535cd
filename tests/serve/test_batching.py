"""Sentences of several requests in one batch: each as when alone, and nobody pays for another's fault or pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import fake_voice
import httpx
import numpy as np
import pytest
import served

from portavoz.audio.files import to_pcm16
from portavoz.errors import InputError
from portavoz.serve.batching import Batching

TEXTS = tuple(f"Sentence number {n} of several." for n in range(6))


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def model() -> fake_voice.FakeBatcher:
    return fake_voice.FakeBatcher()


@pytest.fixture
def server(model: fake_voice.FakeBatcher) -> Iterator[served.Served]:
    settings: dict[str, Any] = {"workers": 1, "slots": 16, "preload": False}
    with served.in_thread(lambda source: fake_voice.fake(model, source), **settings) as running:
        yield running


def said(server: served.Served, text: str, **more: Any) -> httpx.Response:
    body = {"model": "fake", "voice": "ann", "input": text, "response_format": "pcm", **more}
    return httpx.post(f"{server.url}/v1/audio/speech", json=body, timeout=60, trust_env=False)


def held(model: fake_voice.FakeBatcher, server: served.Served, requests: list[dict[str, Any]]) -> list[httpx.Response]:
    """The answers to requests of which the first computes while all others come."""
    model.begin.clear()
    with ThreadPoolExecutor(len(requests)) as pool:
        first = pool.submit(said, server, **requests[0])
        until(lambda: model.sizes == [1])
        rest = [pool.submit(said, server, **request) for request in requests[1:]]
        assert server.app is not None
        [found] = [one for one in server.app.state.service.models if one.batching]
        until(lambda: len(found.batching._waiting) == len(rest))
        model.begin.set()
        return [one.result() for one in (first, *rest)]


def test_requests_that_wait_together_are_computed_together(
    model: fake_voice.FakeBatcher, server: served.Served
) -> None:
    requests = [{"text": text, "voice": ["ann", "bob"][n % 2], "seed": n, "speed": 1 + n / 8}
                for n, text in enumerate(TEXTS)]  # fmt: skip
    answers = held(model, server, requests)
    assert model.sizes == [1, 4, 1]
    for request, answer in zip(requests, answers):
        alone = fake_voice.fake().speak(
            request["text"], speaker=request["voice"], seed=request["seed"], speed=request["speed"]
        )
        assert answer.content == to_pcm16(alone.samples).tobytes()
    assert model.open == 0


def test_one_that_cannot_be_said_is_refused_alone(model: fake_voice.FakeBatcher, server: served.Served) -> None:
    texts = [TEXTS[0], TEXTS[1], "Please refuse.", TEXTS[2]]
    answers = held(model, server, [{"text": text} for text in texts])
    assert [answer.status_code for answer in answers] == [200, 200, 400, 200]
    assert answers[2].json()["error"]["message"] == "the model refuses"
    assert answers[3].content == to_pcm16(fake_voice.fake().speak(TEXTS[2], speaker="ann").samples).tobytes()
    assert model.sizes == [1, 3, 1, 1, 1]


def test_a_listener_that_stalls_or_leaves_holds_nobody_back(model: fake_voice.FakeBatcher) -> None:
    voice = fake_voice.fake(model)
    with closing(Batching(model, 1)) as batching:
        voice.synthesize = batching
        stalled = voice.stream(TEXTS[0], speaker="ann")
        pieces = [next(stalled).samples]
        # The one thread that computes is free again, though nobody has read the rest.
        assert np.array_equal(voice.speak(TEXTS[1], speaker="ann", batch=1).samples,
                              fake_voice.fake().speak(TEXTS[1], speaker="ann").samples)  # fmt: skip
        pieces += [piece.samples for piece in stalled]
        assert np.array_equal(np.concatenate(pieces), fake_voice.fake().speak(TEXTS[0], speaker="ann").samples)
        model.gate = threading.Event()
        leaving = voice.stream(TEXTS[2], speaker="ann")
        next(leaving)
        steps = model.steps
        leaving.close()
        model.gate.set()
        until(lambda: model.open == 0)
        assert model.steps <= steps + 1


def test_an_error_amid_the_sound_reaches_who_listens(model: fake_voice.FakeBatcher) -> None:
    voice = fake_voice.fake(model)
    with closing(Batching(model, 1)) as batching:
        voice.synthesize = batching
        pieces = voice.stream("explode a little later than at once", speaker="ann")
        next(pieces)
        with pytest.raises(InputError, match="the model exploded"):
            list(pieces)
        assert len(voice.speak(TEXTS[0], speaker="ann", batch=1).samples)
